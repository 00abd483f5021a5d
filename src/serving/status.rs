//! The outcome of a request in TensorFlow's terms, and what it becomes in HTTP and gRPC.

use std::fmt;

use crate::inference::{LoadError, RunError, StatusCode};

/// TensorFlow's error codes; the numbers are gRPC's as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Code {
    /// The caller went away.
    Cancelled = 1,
    /// Something failed and nothing more is known.
    Unknown = 2,
    /// The request is wrong whatever the state of the server.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// No such model, version, file or node.
    NotFound = 5,
    /// It is there already.
    AlreadyExists = 6,
    /// Not allowed.
    PermissionDenied = 7,
    /// Out of memory or another resource.
    ResourceExhausted = 8,
    /// The server is not in the state that the request needs.
    FailedPrecondition = 9,
    /// Given up for a concurrent change.
    Aborted = 10,
    /// An index beyond its end.
    OutOfRange = 11,
    /// Not supported.
    Unimplemented = 12,
    /// Something that must not happen did.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
    /// Damaged data.
    DataLoss = 15,
    /// Not known who asks.
    Unauthenticated = 16,
}

impl Code {
    /// The code's name in protocol buffers and metrics, for example `INVALID_ARGUMENT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The code's text in front of a message, as TensorFlow 2.5 spells it, for example `Invalid argument`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Cancelled => "Cancelled",
            Self::Unknown => "Unknown",
            Self::InvalidArgument => "Invalid argument",
            Self::DeadlineExceeded => "Deadline exceeded",
            Self::NotFound => "Not found",
            Self::AlreadyExists => "Already exists",
            Self::PermissionDenied => "Permission denied",
            Self::ResourceExhausted => "Resource exhausted",
            Self::FailedPrecondition => "Failed precondition",
            Self::Aborted => "Aborted",
            Self::OutOfRange => "Out of range",
            Self::Unimplemented => "Unimplemented",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
            Self::DataLoss => "Data loss",
            Self::Unauthenticated => "Unauthenticated",
        }
    }

    /// The HTTP status that TensorFlow Serving's REST interface answers with.
    pub fn http(self) -> u16 {
        match self {
            Self::Cancelled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::DeadlineExceeded => 504,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::PermissionDenied => 403,
            Self::ResourceExhausted => 429,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::Unauthenticated => 401,
        }
    }
}

/// Why something did not work: a code and a text that the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Status {
    /// The kind of failure.
    pub code: Code,
    /// The text without the code. Bytes, since it can quote what a client sent.
    pub message: Vec<u8>,
}

impl Status {
    /// A status with this code and text.
    pub fn new(code: Code, message: impl Into<Vec<u8>>) -> Self {
        Self { code, message: message.into() }
    }

    /// [`Code::InvalidArgument`] with this text.
    pub fn invalid(message: impl Into<Vec<u8>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// The message as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.message)
    }

    /// Code and message, for example `Not found: no such model`, as bytes.
    pub fn spelled(&self) -> Vec<u8> {
        [self.code.text().as_bytes(), b": ", &self.message].concat()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.text(), self.text())
    }
}

impl From<StatusCode> for Code {
    fn from(code: StatusCode) -> Self {
        match code {
            StatusCode::InvalidArgument => Self::InvalidArgument,
            StatusCode::Unimplemented => Self::Unimplemented,
            StatusCode::FailedPrecondition => Self::FailedPrecondition,
            StatusCode::NotFound => Self::NotFound,
            StatusCode::OutOfRange => Self::OutOfRange,
            StatusCode::ResourceExhausted => Self::ResourceExhausted,
            StatusCode::Internal => Self::Internal,
            StatusCode::DataLoss => Self::DataLoss,
        }
    }
}

impl From<RunError> for Status {
    fn from(error: RunError) -> Self {
        Self::new(error.code.into(), error.message)
    }
}

impl From<LoadError> for Status {
    fn from(error: LoadError) -> Self {
        let code = error.code().into();
        match error {
            LoadError::Graph(error) => Self::new(code, error.message),
            other => Self::new(code, other.to_string()),
        }
    }
}
