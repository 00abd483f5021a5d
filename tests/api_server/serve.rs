use std::io::Read;

use super::harness::Server;

/// Serves until standard input ends, for kubectl by hand:
/// `CANARY_LAB_KUBECONFIG=FILE cargo test --test api_server -- --ignored serve`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "serves until standard input ends; for trying by hand"]
async fn serve() {
    let server = Server::start().await;
    let path = std::env::var("CANARY_LAB_KUBECONFIG").expect("CANARY_LAB_KUBECONFIG names where the kubeconfig goes");
    std::fs::write(path, server.kubeconfig()).expect("the kubeconfig can be written");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.expect("waits").expect("reads");
}
