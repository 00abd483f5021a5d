//! Istio's release and its installation into a real cluster.
