//! The data plane: the ingress gateway's and the sidecar's proxy process.
