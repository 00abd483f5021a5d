//! Istio 1.12.7's rules as pure functions: admission, binding, matching and route tables.
