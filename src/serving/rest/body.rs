//! Bodies: reading a request's, inflating it, and holding a response's memory until it is written.

use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::gate::{Gate, MemoryShare};

/// The most that a compressed body may inflate to, as in TensorFlow Serving.
const MOST_INFLATED: usize = 100 << 20;
/// The most that a body may have. TensorFlow Serving has no limit of its own; beyond this no tensor is useful.
const MOST_BYTES: usize = 2 << 30;
/// How long a body may stand still while it is being read.
const PATIENCE: Duration = Duration::from_secs(50);
/// What a body of unknown length takes as its share of the memory at a time.
const STEP: usize = 1 << 20;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than anything that is accepted.
    TooLarge,
    /// The client went away, sent something malformed, or stopped sending.
    Broken,
}

/// A request's body and its share of the memory.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) share: MemoryShare,
}

/// Reads a whole body, in the order in which there is memory for it.
pub(super) async fn receive(mut body: Incoming, gate: &Gate) -> Result<Received, Unread> {
    let known = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if known.is_some_and(|length| length > MOST_BYTES) {
        return Err(Unread::TooLarge);
    }
    let mut received = Received::default();
    if let Some(length) = known {
        received.share = gate.room(length).await;
        received.bytes.reserve_exact(length.min(64 << 20));
    }
    let mut granted = known.unwrap_or(0);
    loop {
        let frame = match tokio::time::timeout(PATIENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return Ok(received),
            Ok(Some(Err(_))) | Err(_) => return Err(Unread::Broken),
        };
        let Some(data) = frame.data_ref() else { continue };
        if known.is_none() && received.bytes.len() + data.len() > granted {
            // Waiting here while others wait for us could stand still for ever, so such a body gives up in time.
            let more = tokio::time::timeout(PATIENCE, gate.room(STEP)).await.map_err(|_| Unread::Broken)?;
            received.share.join(more);
            granted += STEP.max(data.len());
        }
        if received.bytes.len() + data.len() > MOST_BYTES {
            return Err(Unread::TooLarge);
        }
        received.bytes.extend_from_slice(data);
    }
}

/// Whether the headers say that the body is compressed.
pub(super) fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_ENCODING)
        .is_some_and(|value| value.as_bytes().windows(4).any(|part| part == b"gzip"))
}

/// The size that a gzip body claims to inflate to: its last four bytes.
pub(super) fn inflated_size(compressed: &[u8]) -> Option<usize> {
    let trailer = compressed.last_chunk::<4>()?;
    Some(u32::from_le_bytes(*trailer) as usize).filter(|size| *size <= MOST_INFLATED)
}

/// Inflates a gzip body. One that is damaged, or larger than the limit, gives nothing, as in TensorFlow Serving, whose
/// answer then is that the document is empty.
pub(super) fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    let claimed = inflated_size(compressed)?;
    let mut inflated = Vec::with_capacity(claimed.min(compressed.len().saturating_mul(64)));
    let mut reader = flate2::bufread::GzDecoder::new(compressed).take(MOST_INFLATED as u64 + 1);
    reader.read_to_end(&mut inflated).ok()?;
    // Nothing may follow: neither a second member nor anything else.
    let nothing_left = reader.into_inner().into_inner().is_empty();
    (nothing_left && inflated.len() == claimed).then_some(inflated)
}

/// A response's body. Its memory counts until it is written.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Option<Bytes>,
    _share: MemoryShare,
}

impl Held {
    pub(super) fn new(bytes: Vec<u8>, share: MemoryShare) -> Self {
        Self { bytes: Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()), _share: share }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_bodies_are_inflated_up_to_the_limit() {
        assert_eq!(inflate(&gzip(b"{}")).as_deref(), Some(&b"{}"[..]));
        assert_eq!(inflate(b"not gzip at all"), None);
        let mut damaged = gzip(b"{\"a\": 1}");
        damaged[12] ^= 0xFF;
        assert_eq!(inflate(&damaged), None);
        let twice = [gzip(b"{}"), gzip(b"{}")].concat();
        assert_eq!(inflate(&twice), None);
        let trailed = [gzip(b"{}"), b"\x02\0\0\0".to_vec()].concat();
        assert_eq!(inflate(&trailed), None);
        assert_eq!(inflate(&gzip(b"{}")[..20]), None);
        let bomb = gzip(&vec![b' '; MOST_INFLATED + 1]);
        assert_eq!(inflate(&bomb), None);
        let mut lying = bomb;
        let end = lying.len() - 4;
        lying[end..].copy_from_slice(&8_u32.to_le_bytes());
        assert_eq!(inflate(&lying), None);
    }
}
