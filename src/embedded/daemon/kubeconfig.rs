//! The kubeconfig of the embedded cluster.

use base64::Engine as _;

/// The name of cluster, user and context.
const NAME: &str = "canary-lab";

/// A kubeconfig for one cluster, with its CA and a bearer token. No proxy is ever asked for a loopback address.
pub(super) fn kubeconfig(api: &str, certificate_pem: &str, token: &str) -> String {
    let authority = base64::engine::general_purpose::STANDARD.encode(certificate_pem);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {NAME}
  cluster:
    certificate-authority-data: {authority}
    server: {api}
contexts:
- name: {NAME}
  context:
    cluster: {NAME}
    user: {NAME}
current-context: {NAME}
preferences: {{}}
users:
- name: {NAME}
  user:
    token: {token}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_what_clients_read() {
        let text = kubeconfig("https://127.77.0.2:6443", "PEM", "secret");
        let config: kube::config::Kubeconfig = serde_yaml::from_str(&text).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("canary-lab"));
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.77.0.2:6443"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("UEVN"));
    }
}
