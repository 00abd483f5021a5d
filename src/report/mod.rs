//! What a lab has shown, as one document: HTML to read and keep, JSON, JUnit for a CI system, markdown for a comment.
//!
//! [`Story::gather`] reads the records and the evidence files of a home; nothing is asked of the cluster, so a report can
//! be made after the lab is down. Every format is made from the same [`Story`]: [`html`], [`junit`], [`markdown`], and the story
//! itself as JSON. `docs/tutorial.md` is made from the lab's data by [`tutorial_page`].

mod chart;
mod html;
mod junit;
mod markdown;
mod story;
#[cfg(test)]
mod tests;
mod tutorial;

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use story::{Division, Environment, Part, Prediction, Story, Told, Version};
pub use tutorial::tutorial_page;
