//! The connection below HTTP: it ends when the other side reads nothing for too long, and what hyper answers by
//! itself to a malformed request leaves it as libevent's page.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::error_page::{page, phrase};

/// How long a write may stand still.
const PATIENCE: Duration = Duration::from_secs(50);

/// A TCP stream whose writes fail with `TimedOut` when the peer takes nothing for [`PATIENCE`], so that what waits to
/// be written to it does not wait for ever. Reading may idle.
#[derive(Debug)]
pub(super) struct Impatient {
    stream: TcpStream,
    /// Runs while a write stands still.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What goes out instead of hyper's own answer, and how much of it is out.
    instead: Option<(Vec<u8>, usize)>,
}

impl Impatient {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, stalled: None, instead: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes the page that replaces `length` bytes of hyper's; gives `length` when all of it is out.
    fn write_instead(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        while let Some((page, written)) = &mut self.instead {
            if *written == page.len() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(context, &page[*written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => *written += more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.instead = None;
        Poll::Ready(Ok(length))
    }

    /// Whether `data` is to be replaced, from now on or still.
    fn replaces(&mut self, data: &[u8]) -> bool {
        if self.instead.is_none() {
            self.instead = libevents_answer(data).map(|page| (page, 0));
        }
        self.instead.is_some()
    }
}

/// libevent's answer where `data` is all of hyper's own to a request that it could not read: a head without a type.
/// Every answer of ours names one.
fn libevents_answer(data: &[u8]) -> Option<Vec<u8>> {
    const LONGEST: usize = 256;
    let head = data.strip_prefix(b"HTTP/1.1 4")?;
    if data.len() > LONGEST || !head.ends_with(b"\r\n\r\n") {
        return None;
    }
    let lines = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    if lines.contains("content-type:") || !lines.contains("content-length: 0\r\n") {
        return None;
    }
    // Too long a head or target, or else malformed.
    let code = if lines.starts_with("31") || lines.starts_with("14") { 413 } else { 400 };
    let (phrase, body) = (phrase(code), page(code));
    let date = lines.split("\r\n").find_map(|line| line.strip_prefix("date: "));
    let date = date.map_or_else(String::new, |_| {
        let at = data.windows(6).position(|window| window.eq_ignore_ascii_case(b"date: ")).unwrap_or_default() + 6;
        let value = data[at..].split(|byte| *byte == b'\r').next().unwrap_or_default();
        format!("Date: {}\r\n", String::from_utf8_lossy(value))
    });
    let length = body.len();
    Some(
        format!(
            "HTTP/1.1 {code} {phrase}\r\nContent-Type: text/html\r\nConnection: close\r\n{date}Content-Length: \
             {length}\r\n\r\n{body}"
        )
        .into_bytes(),
    )
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = if self.replaces(data) {
            self.write_instead(context, data.len())
        } else {
            Pin::new(&mut self.stream).poll_write(context, data)
        };
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = match data {
            [only] if self.replaces(only) => self.write_instead(context, only.len()),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, data),
        };
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_hypers_own_is_replaced() {
        let own =
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\nDate: Sat, 28 Nov 2026\r\n\r\n";
        let text = String::from_utf8(libevents_answer(own).unwrap()).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n"), "{text}");
        assert!(text.contains("\r\nDate: Sat, 28 Nov 2026\r\n") && text.ends_with(&page(400)), "{text}");
        let long = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        assert!(libevents_answer(long).unwrap().starts_with(b"HTTP/1.1 413 Request Entity Too Large\r\n"));
        for other in [
            &b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(libevents_answer(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
