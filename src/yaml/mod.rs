//! Strict YAML: what is wrong with a file is told with file, line and the nearest thing that would be right.
//!
//! The lab's files and the model catalogue are data that people edit; [`parse`] reads them by their types, in which
//! unknown keys are errors, and [`YamlError`] points to the place.

use serde::de::DeserializeOwned;

/// Why a YAML file does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// A key that the schema does not have.
    #[error("{file}:{line}: unknown key `{key}`{}", nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The nearest valid key, if one is near.
        nearest: Option<String>,
        /// All valid keys at that place.
        known: Vec<String>,
    },
    /// Anything else that the schema does not allow.
    #[error("{file}:{line}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

/// Reads `text` as a value of the type; `file` is the name that errors show.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, YamlError> {
    serde_yaml::from_str(text).map_err(|error| YamlError::of(file, text, &error))
}

impl YamlError {
    /// Turns a YAML error into one that points into the file.
    pub fn of(file: &str, text: &str, error: &serde_yaml::Error) -> Self {
        let line = error.location().map_or(1, |location| location.line());
        let message = error.to_string();
        let Some((key, known)) = unknown_key(&message) else {
            return Self::Invalid { file: file.to_owned(), line, message: without_location(&message) };
        };
        // The parser reports where the surrounding mapping starts or where the key ends; the key's own line is nearer.
        let line = line_of_key(text, &key, line).unwrap_or(line);
        let nearest = nearest(&key, &known).map(str::to_owned);
        Self::UnknownKey { file: file.to_owned(), line, key, nearest, known }
    }
}

/// Takes apart serde's "unknown field `x`, expected one of `a`, `b`" (also "variant", also with a single choice).
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let start = ["unknown field `", "unknown variant `"]
        .iter()
        .find_map(|text| message.find(text).map(|at| at + text.len()))?;
    let (key, rest) = message[start..].split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((key.to_owned(), known))
}

fn without_location(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// The line of `key:` nearest to where the parser stood.
pub fn line_of_key(text: &str, key: &str, near: usize) -> Option<usize> {
    let is_key = |line: &str| {
        let line = line.trim_start_matches([' ', '-', '{', '"', '\'']);
        line.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    let inside = |line: &str| line.split(['{', ',']).any(|part| is_key(part.trim_start()));
    text.lines()
        .enumerate()
        .filter(|(_, line)| is_key(line) || inside(line))
        .map(|(index, _)| index + 1)
        .min_by_key(|line| line.abs_diff(near))
}

/// The candidate that is fewest edits away, if it is at most a third of the key's length (and at least two).
pub fn nearest<'a>(key: &str, candidates: &'a [String]) -> Option<&'a str> {
    let limit = (key.chars().count() / 3).max(2);
    let scored = candidates.iter().map(|candidate| (edits(key, candidate), candidate.as_str()));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// The number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
pub(crate) fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let shortest = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if swap { shortest.min(rows[i - 2][j - 2] + 1) } else { shortest }
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found() {
        let known: Vec<String> = ["manifest", "models", "stages"].map(str::to_owned).into();
        assert_eq!(nearest("manifets", &known), Some("manifest"));
        assert_eq!(nearest("stage", &known), Some("stages"));
        assert_eq!(nearest("entirely-else", &known), None);
    }

    #[test]
    fn messages_are_taken_apart() {
        let (key, known) = unknown_key("unknown field `x`, expected one of `a`, `b` at line 1 column 2").unwrap();
        assert_eq!((key.as_str(), known), ("x", vec!["a".to_owned(), "b".to_owned()]));
        let (key, known) = unknown_key("stages[0].steps[1]: unknown variant `aply`, expected `apply`").unwrap();
        assert_eq!((key.as_str(), known), ("aply", vec!["apply".to_owned()]));
        assert!(unknown_key("missing field `name`").is_none());
    }

    #[test]
    fn keys_are_found_in_block_and_flow_style() {
        let text = "a: 1\nsteps:\n  - aply: {manifest: x}\n  - apply: {manifst: y}\n";
        assert_eq!(line_of_key(text, "aply", 1), Some(3));
        assert_eq!(line_of_key(text, "manifst", 1), Some(4));
        assert_eq!(line_of_key(text, "absent", 1), None);
    }
}
