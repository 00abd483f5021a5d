//! How it is known that a gateway routes as the objects say, where its acknowledgement cannot be read: a run of probes
//! that all answer alike. The probes are no samples; nobody counts them.

use std::time::{Duration, Instant};

use super::ingress::direct_client;
use super::provider::{ClusterError, Gate};
use crate::traffic::Ingress;

/// Probes in a row that must answer alike.
const RUN: u32 = 12;
/// Time between them. A gateway takes over a change about 110–150 ms after the API's answer (measured on Istio 1.12.7), with
/// a debounce of 100 ms; twelve probes over more than a second outlast it several times.
const EVERY: Duration = Duration::from_millis(100);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a probe saw: only what the route decides, not what the model says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen(String);

/// Asks until a run of answers is alike, or time is up.
pub(super) async fn consistent_probes(ingress: &Ingress, path: &str, within: Duration) -> Result<Gate, ClusterError> {
    let started = Instant::now();
    let client = direct_client(PATIENCE).map_err(|error| ClusterError::NotRunning(error.to_string()))?;
    let (mut last, mut run) = (None::<Seen>, 0);
    loop {
        let seen = probe(&client, ingress, path).await;
        if last.as_ref() == Some(&seen) {
            run += 1;
        } else {
            run = 1;
        }
        if run >= RUN {
            return Ok(Gate { by: format!("{RUN} probes in a row that answered alike"), seen: seen.0 });
        }
        let waited = started.elapsed();
        if waited > within {
            let wanted = format!("{RUN} probes in a row that answer alike");
            return Err(ClusterError::RouteNotLive { seen: seen.0, wanted, waited });
        }
        last = Some(seen);
        tokio::time::sleep(EVERY).await;
    }
}

async fn probe(client: &reqwest::Client, ingress: &Ingress, path: &str) -> Seen {
    let mut request = client.get(format!("{}{path}", ingress.url()));
    if let Some(host) = &ingress.host_header {
        request = request.header("host", host);
    }
    Seen(match request.send().await {
        Ok(answer) => {
            let upstream = answer.headers().contains_key("x-envoy-upstream-service-time");
            format!("{}{}", answer.status().as_u16(), if upstream { " from a pod" } else { " from the gateway" })
        }
        Err(error) if error.is_connect() => "connection refused".to_owned(),
        Err(error) if error.is_timeout() => "no answer".to_owned(),
        Err(_) => "no HTTP answer".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Answers 503 to the first `bad` requests, and 200 as a pod does from then on.
    async fn gateway(bad: usize) -> Ingress {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0_u8; 1024];
                let _ = stream.read(&mut head).await;
                count += 1;
                let answer: &[u8] = if count <= bad {
                    b"HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                } else {
                    b"HTTP/1.1 200 OK\r\nx-envoy-upstream-service-time: 3\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                };
                let _ = stream.write_all(answer).await;
            }
        });
        Ingress { host: "127.0.0.1".into(), port, host_header: None }
    }

    #[tokio::test]
    async fn the_gate_opens_on_a_run_of_like_answers() {
        let gate = consistent_probes(&gateway(5).await, "/", Duration::from_secs(20)).await.unwrap();
        assert_eq!(gate.seen, "200 from a pod");
    }

    #[tokio::test]
    async fn answers_that_keep_changing_keep_it_shut() {
        let error = consistent_probes(&gateway(5).await, "/", Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, ClusterError::RouteNotLive { .. }), "{error}");
    }
}
