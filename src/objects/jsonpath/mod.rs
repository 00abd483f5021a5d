//! JSONPath templates in kubectl's dialect: `{.spec.ports[?(@.name=="http2")].port}`, ranges, wildcards, unions, slices,
//! filters and `..`, with text between the braces.

mod eval;
mod parse;

use serde_json::Value;

use super::go_json;
use parse::{Part, Path};

/// A parsed template.
#[derive(Clone, Debug)]
pub struct JsonPath {
    parts: Vec<Part>,
}

/// Why a template cannot be read or does not fit an object; the texts are client-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPathError {
    /// A brace without its partner.
    #[error("unclosed action")]
    UnclosedAction,
    /// A bracket without its partner.
    #[error("unterminated array")]
    UnterminatedArray,
    /// A quote without its partner.
    #[error("unterminated quoted string")]
    UnterminatedString,
    /// A filter without its end.
    #[error("unterminated filter")]
    UnterminatedFilter,
    /// `{range}` without `{end}`, or the reverse.
    #[error("not in range, nothing to end")]
    UnbalancedRange,
    /// Something that is no part of a path.
    #[error("unrecognized character in action: {0}")]
    Unrecognized(String),
    /// The brackets hold no index.
    #[error("invalid array index {0}")]
    InvalidIndex(String),
    /// A field that the object does not have.
    #[error("{0} is not found")]
    NotFound(String),
    /// An index beyond the list.
    #[error("array index out of bounds: index {index}, length {length}")]
    OutOfBounds {
        /// The index as written.
        index: i64,
        /// The list's length.
        length: usize,
    },
    /// Brackets after something that is no list.
    #[error("{0} is not array or slice")]
    NotAList(String),
}

/// What to do about fields that an object does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// They find nothing, as in `kubectl get -o jsonpath` (`--allow-missing-template-keys`) and printer columns.
    Nothing,
    /// They are an error.
    Error,
}

impl JsonPath {
    /// Reads a template: text, with paths in braces.
    ///
    /// # Errors
    /// For unbalanced braces, brackets, quotes and ranges, and for characters that belong nowhere.
    pub fn parse(template: &str) -> Result<Self, JsonPathError> {
        Ok(Self { parts: parse::template(template)? })
    }

    /// Reads one path with or without braces and leading dot, as in printer columns and `kubectl --sort-by`.
    ///
    /// # Errors
    /// As for [`JsonPath::parse`].
    pub fn parse_path(path: &str) -> Result<Self, JsonPathError> {
        let inner = path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(path);
        let dot = if inner.starts_with(['.', '[', '$', '@']) { "" } else { "." };
        Self::parse(&format!("{{{dot}{inner}}}"))
    }

    /// The values that the template's paths outside ranges find, in order.
    ///
    /// # Errors
    /// For fields that are missing, unless that is allowed, and for indices out of bounds.
    pub fn find<'a>(&self, object: &'a Value, missing: Missing) -> Result<Vec<&'a Value>, JsonPathError> {
        let mut found = Vec::new();
        for part in &self.parts {
            if let Part::Path(path) = part {
                found.extend(eval::find(path, object, object, missing)?);
            }
        }
        Ok(found)
    }

    /// The template's text for an object. Several values of one path stand apart by spaces; objects and lists are
    /// printed as JSON.
    ///
    /// # Errors
    /// As for [`JsonPath::find`].
    pub fn render(&self, object: &Value, missing: Missing) -> Result<String, JsonPathError> {
        let mut out = String::new();
        render(&self.parts, object, object, missing, &mut out)?;
        Ok(out)
    }
}

fn render(parts: &[Part], root: &Value, here: &Value, missing: Missing, out: &mut String) -> Result<(), JsonPathError> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => out.push_str(&joined(path, root, here, missing)?),
            Part::Range(path, body) => {
                for item in eval::find_from(path, root, here, missing)? {
                    render(body, root, item, missing, out)?;
                }
            }
        }
    }
    Ok(())
}

fn joined(path: &Path, root: &Value, here: &Value, missing: Missing) -> Result<String, JsonPathError> {
    let found = eval::find_from(path, root, here, missing)?;
    Ok(found.into_iter().map(value_text).collect::<Vec<_>>().join(" "))
}

/// A value as templates print it: text bare, everything else as JSON.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => go_json::to_string(other),
    }
}

#[cfg(test)]
mod tests;
