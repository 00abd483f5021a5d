//! What can go wrong, in TensorFlow's terms: a status code and a text that a client of the model server sees.

use std::fmt;

use crate::savedmodel::SavedModelError;

/// A status code as TensorFlow's kernels return it; the model server maps it to HTTP and gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusCode {
    /// The caller gave something that no state of the model would accept.
    InvalidArgument,
    /// The op exists, but not for this type or these attributes.
    Unimplemented,
    /// The model is not in the state that the request needs, for example a variable was never restored.
    FailedPrecondition,
    /// A node, tensor or variable of that name does not exist.
    NotFound,
    /// An index lies outside its tensor.
    OutOfRange,
    /// The request would need more memory than a run may take.
    ResourceExhausted,
    /// Something that must not happen did.
    Internal,
    /// The model's files are damaged.
    DataLoss,
}

impl fmt::Display for StatusCode {
    /// The spelling of TensorFlow 2.5's `error::Code` in messages, for example `Invalid argument`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidArgument => "Invalid argument",
            Self::Unimplemented => "Unimplemented",
            Self::FailedPrecondition => "Failed precondition",
            Self::NotFound => "Not found",
            Self::OutOfRange => "Out of range",
            Self::ResourceExhausted => "Resource exhausted",
            Self::Internal => "Internal",
            Self::DataLoss => "Data loss",
        })
    }
}

/// Why a run gave no answer.
///
/// The message is the one that TensorFlow 2.5 gives, with the node it came from as `\n\t [[{{node NAME}}]]` where
/// TensorFlow adds that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RunError {
    /// The kind of mistake.
    pub code: StatusCode,
    /// The text without the code.
    pub message: String,
}

impl RunError {
    /// An error with this code and text.
    pub fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// [`StatusCode::InvalidArgument`] with this text.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::InvalidArgument, message)
    }

    /// Adds the node that failed, unless a message names one already.
    #[must_use]
    pub fn at(mut self, node: &str) -> Self {
        if !self.message.contains("\n\t [[{{node ") {
            self.message.push_str(&format!("\n\t [[{{{{node {node}}}}}]]"));
        }
        self
    }
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A node that the signatures need has an op that is not implemented here.
    #[error("op `{op}` of node `{node}` is not supported; supported are {}", .supported.join(", "))]
    UnsupportedOp {
        /// The op.
        op: String,
        /// The node, as its graph or function names it.
        node: String,
        /// All ops that are implemented, in alphabetical order.
        supported: Vec<&'static str>,
    },
    /// The model's files could not be read.
    #[error(transparent)]
    Files(#[from] SavedModelError),
    /// The graph contradicts itself: a missing node, a cycle, an attribute of the wrong kind, a shape beyond all bounds.
    #[error("{0}")]
    Graph(RunError),
}

impl LoadError {
    /// The status code to report.
    pub fn code(&self) -> StatusCode {
        match self {
            Self::Graph(error) => error.code,
            Self::UnsupportedOp { .. }
            | Self::Files(SavedModelError::Missing { .. } | SavedModelError::MissingTag { .. }) => StatusCode::NotFound,
            Self::Files(_) => StatusCode::DataLoss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_once_in_tensorflows_form() {
        let error = RunError::invalid("bad").at("conv/Conv2D").at("outer");
        assert_eq!(error.message, "bad\n\t [[{{node conv/Conv2D}}]]");
        assert_eq!(error.to_string(), "Invalid argument: bad\n\t [[{{node conv/Conv2D}}]]");
    }

    #[test]
    fn an_unsupported_op_is_named_with_its_node_and_the_alternatives() {
        let error =
            LoadError::UnsupportedOp { op: "Erf".into(), node: "gelu/Erf".into(), supported: vec!["Add", "Exp"] };
        assert_eq!(error.to_string(), "op `Erf` of node `gelu/Erf` is not supported; supported are Add, Exp");
        assert_eq!(error.code(), StatusCode::NotFound);
    }
}
