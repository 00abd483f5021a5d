//! Whether a try is repeated, and how long to wait before.

use std::time::Duration;

use http::HeaderMap;

use super::upstream::Failure;
use crate::routing::snapshot::{RetryCondition, RetryPolicy};

const BACK_OFF_BASE_MS: u64 = 25;
const BACK_OFF_CAP_MS: u64 = 250;

/// Whether the policy repeats after a failure without a response.
pub(super) fn after_failure(policy: &RetryPolicy, failure: Failure) -> bool {
    let on = |condition| policy.conditions.contains(&condition);
    let reset_like = on(RetryCondition::ServerError) || on(RetryCondition::GatewayError) || on(RetryCondition::Reset);
    match failure {
        Failure::Connect => reset_like || on(RetryCondition::ConnectFailure),
        Failure::RefusedStream => reset_like || on(RetryCondition::RefusedStream),
        Failure::Termination | Failure::RemoteReset | Failure::Protocol => {
            on(RetryCondition::ServerError) || on(RetryCondition::Reset)
        }
        Failure::PerTryTimeout => reset_like,
        Failure::ClientGone => false,
    }
}

/// Whether the policy repeats after a response with this head.
pub(super) fn after_response(policy: &RetryPolicy, status: u16, headers: &HeaderMap) -> bool {
    let grpc =
        headers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u32>().ok());
    policy.conditions.iter().any(|condition| match condition {
        RetryCondition::ServerError => (500..600).contains(&status),
        RetryCondition::GatewayError => (502..=504).contains(&status),
        RetryCondition::Retriable4xx => status == 409,
        RetryCondition::RetriableStatusCodes => policy.statuses.contains(&status),
        RetryCondition::Cancelled => grpc == Some(1),
        RetryCondition::DeadlineExceeded => grpc == Some(4),
        RetryCondition::Internal => grpc == Some(13),
        RetryCondition::ResourceExhausted => grpc == Some(8),
        RetryCondition::Unavailable => grpc == Some(14),
        RetryCondition::Reset | RetryCondition::ConnectFailure | RetryCondition::RefusedStream => false,
    })
}

/// A random wait whose upper bound doubles with each repetition.
pub(super) fn back_off(repetition: u32) -> Duration {
    let bound = (BACK_OFF_BASE_MS << repetition.min(8)).min(BACK_OFF_CAP_MS);
    Duration::from_micros(rand::random_range(0..bound * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(conditions: &[RetryCondition], statuses: &[u16]) -> RetryPolicy {
        RetryPolicy {
            retries: 2,
            conditions: conditions.to_vec(),
            statuses: statuses.to_vec(),
            per_try_timeout_ms: None,
        }
    }

    #[test]
    fn the_default_repeats_503_and_refusals_only() {
        let default = policy(
            &[RetryCondition::ConnectFailure, RetryCondition::RefusedStream, RetryCondition::RetriableStatusCodes],
            &[503],
        );
        let headers = HeaderMap::new();
        assert!(after_response(&default, 503, &headers));
        assert!(!after_response(&default, 500, &headers));
        assert!(after_failure(&default, Failure::Connect));
        assert!(!after_failure(&default, Failure::Termination));
        assert!(!after_failure(&default, Failure::PerTryTimeout));
        let server_errors = policy(&[RetryCondition::ServerError], &[]);
        assert!(after_response(&server_errors, 500, &headers));
        assert!(after_failure(&server_errors, Failure::PerTryTimeout));
    }

    #[test]
    fn back_off_stays_below_its_cap() {
        for repetition in 0..10 {
            assert!(back_off(repetition) < Duration::from_millis(BACK_OFF_CAP_MS));
        }
    }
}
