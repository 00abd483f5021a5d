//! One request through the ingress.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::cause::innermost;

/// Where the ingress gateway listens, and the Host header that its routes expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// A Host header to send in place of `host:port`.
    pub host_header: Option<String>,
}

impl Ingress {
    /// `http://HOST:PORT`, with an IPv6 address in brackets; the port is written even when it is 80.
    pub fn url(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("http://[{address}]:{}", self.port),
            _ => format!("http://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// What is asked: a POST of `body` to `path` with extra headers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Absolute path, for example `/v1/models/image_classifier/versions/1:predict`.
    pub path: String,
    /// The JSON request body.
    pub body: Bytes,
    /// Extra headers, for example `user-group: canary`.
    pub headers: Vec<(String, String)>,
}

impl Question {
    /// The same question with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What came back, read to the end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Header names in lower case, with values, in the order received.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
    /// From the first byte sent to the last one received.
    pub elapsed: Duration,
}

impl Answer {
    /// The first value of a header, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The start of the body as text, at most `limit` characters, for messages.
    pub fn excerpt(&self, limit: usize) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let mut characters = text.trim().chars();
        let start: String = characters.by_ref().take(limit).collect();
        if characters.next().is_some() { format!("{start}…") } else { start }
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum AskError {
    /// Nothing listens there.
    #[error("{ingress} refused the connection")]
    Refused {
        /// The ingress's URL.
        ingress: String,
    },
    /// The connection could not be made for another reason.
    #[error("{ingress} could not be reached: {detail}")]
    Unreachable {
        /// The ingress's URL.
        ingress: String,
        /// The system's words.
        detail: String,
    },
    /// No complete answer in time.
    #[error("{ingress} gave no complete answer within {} s", limit.as_secs_f32())]
    TimedOut {
        /// The ingress's URL.
        ingress: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to {ingress} broke: {detail}")]
    Broken {
        /// The ingress's URL.
        ingress: String,
        /// The system's words.
        detail: String,
    },
}

/// An HTTP client for ingresses: keep-alive, HTTP/1.1, never through a proxy.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    limit: Duration,
}

impl Client {
    /// A client that waits at most `limit` for one answer. Fails only if the TLS provider cannot be set up.
    pub fn new(limit: Duration) -> Result<Self, reqwest::Error> {
        // An error here means that a provider was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .timeout(limit)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("canary-lab/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, limit })
    }

    /// Sends one question and reads the whole answer, whatever its status.
    pub async fn ask(&self, ingress: &Ingress, question: &Question) -> Result<Answer, AskError> {
        let started = Instant::now();
        let mut request = self
            .http
            .post(format!("{}{}", ingress.url(), question.path))
            .header("content-type", "application/json")
            .body(question.body.clone());
        if let Some(host) = &ingress.host_header {
            request = request.header("host", host);
        }
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| self.explain(ingress, &error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = response.bytes().await.map_err(|error| self.explain(ingress, &error))?;
        Ok(Answer { status, headers, body, elapsed: started.elapsed() })
    }

    fn explain(&self, ingress: &Ingress, error: &reqwest::Error) -> AskError {
        let ingress = ingress.url();
        let detail = innermost(error);
        if error.is_timeout() {
            AskError::TimedOut { ingress, limit: self.limit }
        } else if refused(error) {
            AskError::Refused { ingress }
        } else if error.is_connect() {
            AskError::Unreachable { ingress, detail }
        } else {
            AskError::Broken { ingress, detail }
        }
    }
}

fn refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(io) = current.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        next = current.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn question() -> Question {
        Question { path: "/x".into(), body: Bytes::from_static(b"{}"), headers: vec![] }
    }

    async fn server(reply: &'static [u8]) -> Ingress {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            stream.write_all(reply).await.unwrap();
        });
        Ingress { host: "127.0.0.1".into(), port, host_header: None }
    }

    #[tokio::test]
    async fn an_answer_is_read_whatever_its_status() {
        let ingress = server(
            b"HTTP/1.1 503 Service Unavailable\r\nServer: istio-envoy\r\ncontent-length: 19\r\n\r\nno healthy upstream",
        )
        .await;
        let answer = Client::new(Duration::from_secs(10)).unwrap().ask(&ingress, &question()).await.unwrap();
        assert_eq!((answer.status, answer.header("server")), (503, Some("istio-envoy")));
        assert_eq!(answer.excerpt(10), "no healthy…");
    }

    #[tokio::test]
    async fn a_closed_port_is_called_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let ingress = Ingress { host: "127.0.0.1".into(), port, host_header: None };
        let error = Client::new(Duration::from_secs(10)).unwrap().ask(&ingress, &question()).await.unwrap_err();
        assert_eq!(error, AskError::Refused { ingress: ingress.url() });
    }

    #[tokio::test]
    async fn a_cut_answer_is_called_broken() {
        let ingress = server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await;
        let error = Client::new(Duration::from_secs(10)).unwrap().ask(&ingress, &question()).await.unwrap_err();
        assert!(matches!(error, AskError::Broken { .. }), "{error}");
    }

    #[tokio::test]
    async fn silence_is_called_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ingress = Ingress { host: "127.0.0.1".into(), port, host_header: None };
        let error = Client::new(Duration::from_millis(50)).unwrap().ask(&ingress, &question()).await.unwrap_err();
        assert!(matches!(error, AskError::TimedOut { .. }), "{error}");
        drop(listener);
    }

    #[test]
    fn an_ipv6_host_is_bracketed() {
        let ingress = Ingress { host: "::1".into(), port: 80, host_header: None };
        assert_eq!(ingress.url(), "http://[::1]:80");
    }
}
