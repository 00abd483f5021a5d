//! Words that are nearly another one.

use crate::yaml;

/// Equal but for case, or for a slip of the hand: at most two letters of difference.
pub(super) fn close(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || yaml::edits(&a.to_lowercase(), &b.to_lowercase()) <= 2
}

/// The known word that is nearest to one, if it is near at all.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.collect();
    let owned: Vec<String> = known.iter().map(|known| (*known).to_owned()).collect();
    let near = yaml::nearest(word, &owned)?;
    known.into_iter().find(|known| *known == near)
}
