//! Kubernetes objects as values: merging, selectors, quantities, defaults, validation and tables, all pure functions.
