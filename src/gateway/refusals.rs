//! A socket that puts the proxy's own words into replies that the HTTP library makes by itself.
//!
//! A request that cannot be parsed never reaches the proxy: the library answers it with an empty body and no server name, or not at
//! all; and to HTTP/1.0 it speaks HTTP/1.0. Envoy's clients see neither.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// After a refusal the rest of what the client sends is read and dropped for this long: closing at once would take the reply away.
const LINGER: Duration = Duration::from_secs(1);
const SERVER: &[u8] = b"\r\nserver: ";

/// See the module.
pub(super) struct Refusals {
    /// There until the drop.
    inner: Option<TokioIo<TcpStream>>,
    in_flight: Rc<Cell<usize>>,
    replacement: Option<(Vec<u8>, usize)>,
    refused: bool,
    /// The client has spoken.
    heard: bool,
    /// It has begun a first HTTP/1 request, and nothing has been written yet.
    unanswered: bool,
}

fn refusal(status: &str) -> Vec<u8> {
    let reason = match status {
        "431" => "Request Header Fields Too Large",
        "414" => "URI Too Long",
        _ => "Bad Request",
    };
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let length = reason.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-length: {length}\r\ncontent-type: text/plain\r\ndate: {date}\r\n\
         server: istio-envoy\r\nconnection: close\r\n\r\n{reason}"
    )
    .into_bytes()
}

impl Refusals {
    /// Wraps a client's connection; `in_flight` counts the requests that the proxy is answering.
    pub(super) fn new(stream: TcpStream, in_flight: Rc<Cell<usize>>) -> Self {
        let inner = Some(TokioIo::new(stream));
        Self { inner, in_flight, replacement: None, refused: false, heard: false, unanswered: false }
    }

    fn socket(&mut self) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(self.inner.as_mut().expect("the socket is there until the drop"))
    }

    fn replacement_for(&self, head: &[u8]) -> Option<Vec<u8>> {
        if head.starts_with(b"HTTP/1.0 426") {
            let mut changed = head.to_vec();
            changed[..8].copy_from_slice(b"HTTP/1.1");
            return Some(changed);
        }
        if self.in_flight.get() > 0 || !head.starts_with(b"HTTP/1.1 4") || !head.ends_with(b"\r\n\r\n") {
            return None;
        }
        // A reply of the proxy itself whose empty body is over already names its server.
        if head.windows(SERVER.len()).any(|part| part == SERVER) {
            return None;
        }
        Some(refusal(std::str::from_utf8(head.get(9..12)?).ok()?))
    }

    fn write_replacement(&mut self, cx: &mut Context<'_>, replaced: usize) -> Poll<io::Result<usize>> {
        while let Some((bytes, written)) = self.replacement.take() {
            if written == bytes.len() {
                break;
            }
            let outcome = self.socket().poll_write(cx, &bytes[written..]);
            let written = written + if let Poll::Ready(Ok(count)) = &outcome { *count } else { 0 };
            self.replacement = Some((bytes, written));
            match outcome {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(replaced))
    }
}

impl Read for Refusals {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard {
            return self.socket().poll_read(cx, buffer);
        }
        let mut bytes = [0_u8; 4 << 10];
        let room = buffer.remaining().min(bytes.len());
        let mut own = tokio::io::ReadBuf::new(&mut bytes[..room]);
        let stream = Pin::new(self.socket().get_mut().inner_mut());
        // Only the first bytes are looked at; everything after them is read without a detour.
        let outcome = tokio::io::AsyncRead::poll_read(stream, cx, &mut own);
        let filled = own.filled();
        if !filled.is_empty() {
            self.heard = true;
            self.unanswered = !filled.starts_with(b"PRI ");
            buffer.put_slice(filled);
        }
        outcome
    }
}

impl Write for Refusals {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.unanswered = false;
        if self.replacement.is_none()
            && let Some(replacement) = self.replacement_for(buffer)
        {
            self.replacement = Some((replacement, 0));
            self.refused = true;
        }
        if self.replacement.is_some() {
            return self.write_replacement(cx, buffer.len());
        }
        self.socket().poll_write(cx, buffer)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unanswered = false;
        let replaces = self.replacement.is_some()
            || buffers.first().is_some_and(|head| head.starts_with(b"HTTP/1.") && self.replacement_for(head).is_some());
        if replaces {
            return self.poll_write(cx, buffers.first().map_or(&[][..], |head| head));
        }
        self.socket().poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refused || (self.unanswered && self.in_flight.get() == 0) {
            // The drop takes its time for it.
            return Poll::Ready(Ok(()));
        }
        self.socket().poll_shutdown(cx)
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        let Some(socket) = self.inner.take() else { return };
        let mut stream = socket.into_inner();
        if self.unanswered && self.in_flight.get() == 0 {
            // A short reply fits into an empty send buffer; a client that is gone does not read it.
            self.refused = stream.try_write(&refusal("400")).is_ok();
        }
        if self.refused {
            tokio::task::spawn_local(async move {
                let drain = async {
                    let _ = stream.shutdown().await;
                    let mut sink = [0_u8; 4096];
                    while matches!(stream.read(&mut sink).await, Ok(count) if count > 0) {}
                };
                let _ = tokio::time::timeout(LINGER, drain).await;
            });
        }
    }
}
