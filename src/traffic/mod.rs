//! Requests through the ingress: who answered, samples, and verdicts about splits.
