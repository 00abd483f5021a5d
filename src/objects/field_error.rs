use std::fmt;

use super::{Gvk, names};

/// A complaint about one field of an object, as the API server makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `spec.ports[0].name`. The API server prints a missing path as `<nil>`.
    pub field: String,
    /// What is wrong in general.
    pub reason: FieldErrorReason,
    /// What is wrong in particular: the text after the path, such as `Invalid value: "A": must be …`.
    pub message: String,
}

/// The kinds of complaint that Kubernetes knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorReason {
    /// The value is missing.
    Required,
    /// The value is malformed.
    Invalid,
    /// The value has the wrong type.
    TypeInvalid,
    /// The value is none of those allowed.
    NotSupported,
    /// The value is there already.
    Duplicate,
    /// The field may not be set or changed.
    Forbidden,
    /// The value has too many characters.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// What the value refers to does not exist.
    NotFound,
    /// The server failed.
    Internal,
}

impl FieldErrorReason {
    /// The word in `details.causes[].reason` of a Status.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
            Self::Internal => "InternalError",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
            Self::Internal => "Internal error",
        }
    }
}

impl FieldError {
    fn new(field: impl Into<String>, reason: FieldErrorReason, value: Option<&str>, detail: &str) -> Self {
        let parts = [Some(reason.label()), value, Some(detail).filter(|detail| !detail.is_empty())];
        let message = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        Self { field: field.into(), reason, message }
    }

    /// `Required value`, with a detail unless that is empty.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new(field, FieldErrorReason::Required, None, detail)
    }

    /// `Invalid value: VALUE: detail`; the value is printed as given, so a string comes [quoted](names::quote).
    pub fn invalid(field: impl Into<String>, value: &str, detail: &str) -> Self {
        Self::new(field, FieldErrorReason::Invalid, Some(value), detail)
    }

    /// `Invalid value: "text": detail`.
    pub fn invalid_text(field: impl Into<String>, text: &str, detail: &str) -> Self {
        Self::invalid(field, &names::quote(text), detail)
    }

    /// [`FieldError::invalid_text`] for each complaint of a check in [`names`].
    pub fn invalid_texts(field: &str, text: &str, problems: Vec<String>) -> impl Iterator<Item = Self> {
        problems.into_iter().map(move |problem| Self::invalid_text(field, text, &problem))
    }

    /// `Invalid value: VALUE: detail` for a value of the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: &str, detail: &str) -> Self {
        Self::new(field, FieldErrorReason::TypeInvalid, Some(value), detail)
    }

    /// `Unsupported value: VALUE: supported values: …`, in the order given.
    pub fn not_supported<S: AsRef<str>>(field: impl Into<String>, value: &str, supported: &[S]) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| names::quote(value.as_ref())).collect();
        let detail =
            if supported.is_empty() { String::new() } else { format!("supported values: {}", supported.join(", ")) };
        Self::new(field, FieldErrorReason::NotSupported, Some(value), &detail)
    }

    /// `Duplicate value: VALUE`.
    pub fn duplicate(field: impl Into<String>, value: &str) -> Self {
        Self::new(field, FieldErrorReason::Duplicate, Some(value), "")
    }

    /// `Forbidden: detail`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(field, FieldErrorReason::Forbidden, None, detail)
    }

    /// `Not found: VALUE`.
    pub fn not_found(field: impl Into<String>, value: &str) -> Self {
        Self::new(field, FieldErrorReason::NotFound, Some(value), "")
    }

    /// `Too long: must have at most N bytes`.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        Self::new(field, FieldErrorReason::TooLong, None, &format!("must have at most {limit} bytes"))
    }

    /// `Too long: may not be longer than N`: the wording for strings in custom resources.
    pub fn longer_than(field: impl Into<String>, limit: i64) -> Self {
        Self::new(field, FieldErrorReason::TooLong, None, &format!("may not be longer than {limit}"))
    }

    /// `Too many: N: must have at most LIMIT items`.
    pub fn too_many(field: impl Into<String>, count: i64, limit: i64) -> Self {
        let detail = format!("must have at most {limit} items");
        Self::new(field, FieldErrorReason::TooMany, Some(&count.to_string()), &detail)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.field, self.message)
    }
}

/// The message of a 422 Status: `Deployment.apps "x" is invalid: …`, with one complaint bare and several in brackets.
/// Equal complaints are said once.
pub fn invalid_message(gvk: &Gvk, name: &str, errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let complaints = if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) };
    format!("{} {} is invalid: {complaints}", gvk.qualified_kind(), names::quote(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_aggregation() {
        let errors = [
            FieldError::required("spec.selector", ""),
            FieldError::required("spec.selector", ""),
            FieldError::not_supported("spec.type", "\"X\"", &["A", "B"]),
        ];
        assert_eq!(
            invalid_message(&Gvk::new("apps", "v1", "Deployment"), "e", &errors),
            "Deployment.apps \"e\" is invalid: [spec.selector: Required value, spec.type: Unsupported value: \"X\": supported values: \"A\", \"B\"]"
        );
        assert_eq!(
            invalid_message(&Gvk::new("", "v1", "Pod"), "p", &errors[..1]),
            "Pod \"p\" is invalid: spec.selector: Required value"
        );
        assert_eq!(FieldError::too_many("a", 5, 3).to_string(), "a: Too many: 5: must have at most 3 items");
    }
}
