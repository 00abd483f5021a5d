//! Cluster providers: what supplies a kubeconfig, a mesh, a reachable ingress, placed models and a gate for routes.
