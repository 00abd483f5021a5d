//! The cause at the end of a chain of errors.

use std::error::Error;

/// The words of the innermost cause, which name what really happened: the layers above it only say what was tried.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the upper one")]
    struct Upper(#[source] std::io::Error);

    #[test]
    fn the_last_cause_speaks() {
        assert_eq!(innermost(&Upper(std::io::Error::other("connection reset"))), "connection reset");
        assert_eq!(innermost(&std::io::Error::other("alone")), "alone");
    }
}
