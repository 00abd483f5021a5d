//! Text patterns of a route table, ready to match; on the wire a regular expression is its source.

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A regular expression that must match the whole text.
#[derive(Debug, Clone)]
pub struct WholeRegex {
    source: String,
    compiled: Regex,
}

impl WholeRegex {
    /// Compiles a pattern in RE2's syntax.
    ///
    /// # Errors
    /// A pattern that does not compile.
    pub fn new(source: &str) -> Result<Self, regex::Error> {
        let compiled = Regex::new(&format!(r"\A(?:{source})\z"))?;
        Ok(Self { source: source.to_owned(), compiled })
    }

    /// Whether the whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl PartialEq for WholeRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Serialize for WholeRegex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for WholeRegex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).map_err(serde::de::Error::custom)
    }
}

/// What a header, query parameter or origin must look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pattern {
    /// Equal to the text.
    Exact(String),
    /// Starting with the text.
    Prefix(String),
    /// Wholly matched by the expression.
    Regex(WholeRegex),
    /// There at all.
    Present,
}

impl Pattern {
    /// Whether a value that is there fits.
    pub fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => value == text,
            Self::Prefix(text) => value.starts_with(text.as_str()),
            Self::Regex(regex) => regex.is_match(value),
            Self::Present => true,
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "exactly {text:?}"),
            Self::Prefix(text) => write!(f, "starting with {text:?}"),
            Self::Regex(regex) => write!(f, "matching {:?}", regex.source()),
            Self::Present => write!(f, "present"),
        }
    }
}
