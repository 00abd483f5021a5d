//! One client connection: HTTP/1.1 or HTTP/2 in clear text, or, at a sidecar, anything else passed through as bytes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::forward;
use super::refusals::Refusals;
use super::upstream::LocalExecutor;
use super::worker::{Origin, Role, Worker};

/// Request heads above this are refused with 431.
const LONGEST_HEAD: usize = 60 << 10;
const MOST_HEADERS: usize = 100;
/// A sidecar waits this long for a client to speak first before it takes the protocol for one where the server does.
const SNIFF_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, stream: TcpStream, origin: Origin, drain: CancellationToken) {
    let _ = stream.set_nodelay(true);
    if let Role::Sidecar { application, .. } = &worker.role
        && !speaks_http(&stream).await
    {
        pass_through(stream, (*application, origin.local.port()).into()).await;
        return;
    }
    let in_flight = Rc::new(Cell::new(0_usize));
    let socket = Refusals::new(stream, in_flight.clone());
    let service = service_fn(move |request| forward::handle(worker.clone(), origin, in_flight.clone(), request));
    let mut builder = auto::Builder::new(LocalExecutor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_header_list_size(LONGEST_HEAD as u32);
    let mut connection = std::pin::pin!(builder.serve_connection(socket, service));
    tokio::select! {
        // How a connection ended was the client's affair.
        _ = connection.as_mut() => {}
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Whether the first bytes look like an HTTP/1 method or HTTP/2's preface.
async fn speaks_http(stream: &TcpStream) -> bool {
    let mut first = [0_u8; 16];
    let look = async {
        loop {
            match stream.peek(&mut first).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => {
                    let seen = &first[..count];
                    let word = seen.iter().take_while(|b| b.is_ascii_uppercase() || **b == b'-').count();
                    if word < count {
                        return (3..=11).contains(&word) && seen[word] == b' ';
                    }
                    if count == first.len() {
                        return false;
                    }
                    // Part of a word: the rest has to arrive before anything can be told.
                    if stream.readable().await.is_err() {
                        return false;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    tokio::time::timeout(SNIFF_TIMEOUT, look).await.unwrap_or(false)
}

async fn pass_through(mut client: TcpStream, application: std::net::SocketAddr) {
    if let Ok(mut upstream) = TcpStream::connect(application).await {
        let _ = upstream.set_nodelay(true);
        // Either side may cut a byte stream at any time.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    }
}
