//! The gRPC interface: PredictionService and ModelService, on tonic.
//!
//! Messages are those of `proto/`; the two services dispatch by method name and hand each request to `service/` on a
//! thread where blocking does no harm. Messages wait for their share of the memory; compressed ones (gzip, deflate)
//! are read, answers are not compressed. Statuses carry TensorFlow's codes and texts, cut at 1024 bytes as there.

mod calls;
mod metered;
mod model_service;
mod prediction_service;
mod reload;
mod services;

pub use reload::Reload;
pub use services::Services;

/// The longest text of an error.
const LONGEST_TEXT: usize = 1024;

/// A status in gRPC's terms.
fn grpc_status(status: &super::status::Status) -> tonic::Status {
    let text = if status.message.len() > LONGEST_TEXT {
        format!("{}...TRUNCATED", String::from_utf8_lossy(&status.message[..LONGEST_TEXT]))
    } else {
        status.text().into_owned()
    };
    tonic::Status::new(tonic::Code::from_i32(status.code as i32), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::status::{Code, Status};

    #[test]
    fn codes_keep_their_numbers_and_long_texts_are_cut() {
        let status = grpc_status(&Status::new(Code::FailedPrecondition, "no"));
        assert_eq!((status.code(), status.message()), (tonic::Code::FailedPrecondition, "no"));
        let status = grpc_status(&Status::invalid("x".repeat(2000)));
        assert_eq!(status.message().len(), 1024 + "...TRUNCATED".len());
    }
}
