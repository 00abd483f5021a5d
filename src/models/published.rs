//! Comparing an answer with what is published about it.
//!
//! The published lists hold for the pretrained weights: in exact order for the very picture that they are about, and in
//! part for the copy of the same portrait that the program carries. The SavedModel itself is the primary judge; this
//! shows in addition that the weights, the picture and its decoding are the published ones.

use serde::Serialize;

use super::catalogue::Published;

/// Which picture an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The one that the list was published for.
    Published,
    /// The portrait that the program carries.
    Shipped,
    /// Another one; nothing is published about it.
    Another,
}

/// How an answer compares with what is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "published", rename_all = "kebab-case")]
#[must_use]
pub enum Comparison {
    /// The ten classes in the published order.
    Exact,
    /// As many of the ten as must be in common, or more.
    InCommon {
        /// How many.
        classes: usize,
    },
    /// Nothing is published about the picture.
    NotPublished,
    /// Another list than must come out.
    Missed {
        /// The published list.
        wanted: [usize; 10],
        /// How many classes must be in common; all, in this order, when none is said.
        in_common: Option<usize>,
        /// How many are.
        classes: usize,
    },
}

/// Compares the ten most likely classes of an answer, the first one first.
pub fn compare(published: &Published, about: About, top: &[usize]) -> Comparison {
    let classes = published.top_10.iter().filter(|class| top.contains(class)).count();
    let missed = |in_common| Comparison::Missed { wanted: published.top_10, in_common, classes };
    match about {
        About::Another => Comparison::NotPublished,
        About::Published if top == published.top_10 => Comparison::Exact,
        About::Published => missed(None),
        About::Shipped if classes >= published.in_common => Comparison::InCommon { classes },
        About::Shipped => missed(Some(published.in_common)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_for_the_published_picture_and_number_for_the_shipped_one() {
        let top_10 = [667, 457, 906, 610, 834, 796, 841, 652, 620, 465];
        let published = Published { picture: "tutorial".to_owned(), top_10, in_common: 8 };
        let with = |replaced: &[usize]| {
            let mut top = top_10.to_vec();
            top[10 - replaced.len()..].copy_from_slice(replaced);
            top
        };
        assert_eq!(compare(&published, About::Published, &top_10), Comparison::Exact);
        let swapped = with(&[465, 620]);
        let missed = Comparison::Missed { wanted: top_10, in_common: None, classes: 10 };
        assert_eq!(compare(&published, About::Published, &swapped), missed);
        assert_eq!(compare(&published, About::Shipped, &swapped), Comparison::InCommon { classes: 10 });
        assert_eq!(compare(&published, About::Shipped, &with(&[1, 2])), Comparison::InCommon { classes: 8 });
        let missed = Comparison::Missed { wanted: top_10, in_common: Some(8), classes: 7 };
        assert_eq!(compare(&published, About::Shipped, &with(&[1, 2, 3])), missed);
        assert_eq!(compare(&published, About::Another, &[1]), Comparison::NotPublished);
    }
}
