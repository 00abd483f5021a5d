//! An API server of its own on a free port, with a client that trusts it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use canary_lab::embedded::api::pki::Authority;
use canary_lab::embedded::api::{
    ApiServer, ApiServerOptions, LogAnswer, LogOptions, PodLogs, Registry, RegistryOptions, ServiceRange,
};
use canary_lab::embedded::store::Store;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Two lines for every container.
struct TwoLines;

impl PodLogs for TwoLines {
    fn logs<'a>(&'a self, _pod: &'a Value, container: &'a str, options: LogOptions) -> LogAnswer<'a> {
        Box::pin(async move {
            let lines = [format!("{container} one\n"), format!("{container} two\n")];
            let skip = options.tail_lines.map_or(0, |tail| lines.len().saturating_sub(tail));
            let stamp = |line: String| {
                if options.timestamps { format!("2026-11-23T08:38:42.753476858Z {line}") } else { line }
            };
            let chunks: Vec<_> = lines.into_iter().skip(skip).map(|line| Ok(Bytes::from(stamp(line)))).collect();
            Ok(Box::pin(futures::stream::iter(chunks)) as canary_lab::embedded::api::LogStream)
        })
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) client: reqwest::Client,
    _home: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    pub(crate) async fn start_on(address: SocketAddr) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(&home.path().join("pki")).unwrap();
        let store = Store::open(&home.path().join("store.redb")).unwrap();
        let services = ServiceRange { network: Ipv4Addr::new(10, 96, 0, 0), prefix: 12 };
        let registry = Registry::new(store, RegistryOptions { services });
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        registry.bootstrap(address.port()).await.unwrap();
        let server = ApiServer::new(ApiServerOptions {
            registry,
            tls: authority.server_config(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap(),
            token: TOKEN.to_owned(),
            address,
            logs: Arc::new(TwoLines),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(listener, async move {
            let _ = stopped.await;
        }));
        let certificate = reqwest::Certificate::from_pem(authority.certificate_pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
        Self { address, authority, client, _home: home, _stop: stop }
    }

    pub(crate) fn kubeconfig(&self) -> String {
        use base64::Engine;
        let authority = base64::engine::general_purpose::STANDARD.encode(self.authority.certificate_pem());
        let address = self.address;
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: lab\n  cluster:\n    server: https://{address}\n    certificate-authority-data: {authority}\nusers:\n- name: lab\n  user:\n    token: {TOKEN}\ncontexts:\n- name: lab\n  context: {{cluster: lab, user: lab}}\ncurrent-context: lab\n"
        )
    }
}
