//! The models that the lab serves: catalogue, networks, synthetic weights, pictures and requests.
//!
//! [`catalogue`] says which models there are and where their weights come from; [`network`] knows their layers and
//! writes TensorFlow's graph. A model is made from synthetic weights ([`synthetic`]: integers, the same on every machine),
//! from a file that Keras saved ([`hdf5`] reads it, [`pretrained`] fits it), or from a SavedModel that was there
//! ([`mod@place`], after [`inspection`]; [`mod@rewrite`] makes of a newer one what TensorFlow 2.5 loads); [`weights`] decides which, downloads what that needs, and remembers it.
//! [`picture`], [`jpeg`] and [`payload`] make a request out of a picture; [`prediction`] asks in process, [`labels`] and
//! [`published`] judge the answer. Used by the lab's steps and by the commands; serving and inference know nothing of it.

pub mod built;
pub mod catalogue;
mod failure;
pub mod hdf5;
pub mod inspection;
pub mod jpeg;
pub mod labels;
pub mod network;
pub mod payload;
pub mod picture;
pub mod place;
pub mod prediction;
pub mod pretrained;
pub mod published;
pub mod rewrite;
pub mod synthetic;
pub mod weights;
