//! WebSocket with Kubernetes' channels: the first byte of a message says which stream it belongs to.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};

use super::Upgraded;

/// Messages that wait for their reader.
const WAITING: usize = 64;
/// How long a client may take to close its side.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// In version 5, the channel that says which other one ends.
const CLOSES: u8 = 255;
/// How much of a tunnelled connection is under way.
const TUNNEL: usize = 64 << 10;

/// What came on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Incoming {
    /// Bytes.
    Data(u8, Bytes),
    /// The client sends no more on it.
    End(u8),
}

/// The channels of a connection. When it is dropped, what was written is still sent, and then the connection is closed.
pub(in super::super) struct Channels {
    pub(in super::super) incoming: mpsc::Receiver<Incoming>,
    pub(in super::super) outgoing: mpsc::Sender<(u8, Bytes)>,
}

impl Channels {
    /// Takes over a connection. `base64` is for clients that can only send texts.
    pub(in super::super) async fn new(io: Upgraded, base64: bool) -> Self {
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        let (mut sink, mut source) = socket.split();
        let (arrived, incoming) = mpsc::channel(WAITING);
        let (outgoing, mut queue) = mpsc::channel::<(u8, Bytes)>(WAITING);
        let reading = tokio::spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                let Some(event) = event(message, base64) else { continue };
                if arrived.send(event).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Some((channel, bytes)) = queue.recv().await {
                let message = if base64 {
                    Message::text(format!("{}{}", char::from(b'0' + channel), STANDARD.encode(&bytes)))
                } else {
                    let mut framed = Vec::with_capacity(bytes.len() + 1);
                    framed.push(channel);
                    framed.extend_from_slice(&bytes);
                    Message::binary(framed)
                };
                if sink.send(message).await.is_err() {
                    break;
                }
            }
            let _ = sink.send(normal_close()).await;
            // The client answers with its own close; a reset would take from it what it has not read yet.
            let stop = reading.abort_handle();
            if tokio::time::timeout(LAST_WORDS, reading).await.is_err() {
                stop.abort();
            }
        });
        Self { incoming, outgoing }
    }
}

/// The end of a connection on which nothing went wrong; clients take an end without a code for a failure.
fn normal_close() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

fn event(message: Message, base64: bool) -> Option<Incoming> {
    let bytes = match message {
        Message::Binary(bytes) if !base64 => bytes,
        Message::Text(text) if base64 => {
            let (channel, text) = text.as_str().split_at_checked(1)?;
            let mut bytes = vec![channel.parse().ok()?];
            bytes.extend(STANDARD.decode(text).ok()?);
            bytes.into()
        }
        _ => return None,
    };
    let channel = *bytes.first()?;
    if channel == CLOSES {
        return bytes.get(1).map(|channel| Incoming::End(*channel));
    }
    Some(Incoming::Data(channel, bytes.slice(1..)))
}

/// A connection whose messages are the bytes of another protocol.
pub(in super::super) async fn tunnel(io: Upgraded) -> DuplexStream {
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (mut sink, mut source) = socket.split();
    let (ours, theirs) = tokio::io::duplex(TUNNEL);
    let (mut from, mut to) = tokio::io::split(theirs);
    tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Binary(bytes) = message
                && to.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; TUNNEL / 2];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if sink.send(Message::binary(buffer[..read].to_vec())).await.is_err() {
                return;
            }
        }
        let _ = sink.send(normal_close()).await;
    });
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_channel() {
        let data = |channel, bytes: &'static [u8]| Some(Incoming::Data(channel, Bytes::from_static(bytes)));
        assert_eq!(event(Message::binary(b"\x00ls".to_vec()), false), data(0, b"ls"));
        assert_eq!(event(Message::text("0bHM="), true), data(0, b"ls"));
        assert_eq!(event(Message::binary(vec![255, 0]), false), Some(Incoming::End(0)));
        assert_eq!(event(Message::text("0bHM="), false), None);
        assert_eq!(event(Message::binary(Vec::new()), false), None);
    }
}
