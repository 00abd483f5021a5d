//! Memory of calls: a message's share of the limit is waited for before its bytes are read, and given back when the
//! answer is written.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use crate::serving::rest::{Gate, MemoryShare};

/// A message begins with a byte that says whether it is compressed, and four for its length.
const PREFIX: usize = 5;
/// The most that deflate makes of one byte.
const LARGEST_RATIO: usize = 1032;
/// How long a message may stand still while it is being read.
const PATIENCE: Duration = Duration::from_secs(50);

/// The share of the memory that one call holds.
pub(super) type Share = Arc<Mutex<MemoryShare>>;

/// A request's body that waits for room before it gives its first byte.
pub(super) struct Metered {
    body: Body,
    gate: Gate,
    share: Share,
    /// Frames that were read to learn the message's length, and their bytes so far.
    held: VecDeque<Frame<Bytes>>,
    prefix: Vec<u8>,
    room: Option<Pin<Box<dyn Future<Output = MemoryShare> + Send>>>,
    /// Whether there is room, so that frames pass.
    passing: bool,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    pub(super) fn new(body: Body, gate: Gate, share: Share) -> Self {
        let (held, prefix) = (VecDeque::new(), Vec::with_capacity(PREFIX));
        Self { body, gate, share, held, prefix, room: None, passing: false, stalled: None }
    }

    /// Reads the next frame; fails when none comes for too long.
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.stalled = None;
            return Poll::Ready(frame);
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Some(Err(Status::deadline_exceeded("the request's message stopped arriving"))))
    }
}

/// The bytes that a message may take, when its prefix is complete.
fn size_of_message(prefix: &[u8]) -> Option<usize> {
    let &[compressed, a, b, c, d] = prefix.first_chunk::<PREFIX>()?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let most = super::calls::LARGEST_MESSAGE;
    Some(if compressed == 0 { length } else { length.saturating_mul(LARGEST_RATIO).min(most) })
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        while !this.passing {
            if let Some(room) = &mut this.room {
                let share = ready!(room.as_mut().poll(context));
                this.share.lock().unwrap_or_else(PoisonError::into_inner).join(share);
                (this.room, this.passing) = (None, true);
                break;
            }
            match ready!(this.next(context)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        let missing = PREFIX - this.prefix.len();
                        this.prefix.extend_from_slice(&data[..data.len().min(missing)]);
                    }
                    this.held.push_back(frame);
                    if let Some(size) = size_of_message(&this.prefix) {
                        let gate = this.gate.clone();
                        this.room = Some(Box::pin(async move { gate.room(size).await }));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.passing = true,
            }
        }
        match this.held.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => this.next(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }
}

/// A response's body that keeps the call's share until it is written.
pub(super) struct Carrying {
    body: Body,
    _share: Share,
}

impl Carrying {
    pub(super) fn new(body: Body, share: Share) -> Self {
        Self { body, _share: share }
    }
}

impl HttpBody for Carrying {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[test]
    fn a_compressed_message_counts_with_what_it_could_become() {
        assert_eq!(size_of_message(&[0, 0, 0, 1]), None);
        assert_eq!(size_of_message(&[0, 0, 0, 1, 0, 9, 9]), Some(256));
        assert_eq!(size_of_message(&[1, 0, 0, 0, 10]), Some(10_320));
        assert_eq!(size_of_message(&[1, 255, 255, 255, 255]), Some(i32::MAX as usize));
    }

    #[tokio::test]
    async fn a_message_waits_for_room_and_gives_it_back_with_the_answer() {
        let gate = Gate::new(1, 1 << 20);
        let message = |length: usize| {
            let prefix = [&[0][..], &(length as u32).to_be_bytes()].concat();
            Body::new(http_body_util::Full::new(Bytes::from([prefix, vec![7; length]].concat())))
        };
        let first = Share::default();
        let whole = Metered::new(message(700 << 10), gate.clone(), Arc::clone(&first)).collect().await.unwrap();
        assert_eq!(whole.to_bytes().len(), (700 << 10) + PREFIX);
        let second = Metered::new(message(700 << 10), gate.clone(), Share::default());
        let mut second = Box::pin(second.collect());
        assert!(futures::poll!(&mut second).is_pending());
        drop(Carrying::new(Body::empty(), first));
        assert!(futures::poll!(&mut second).is_ready());
        let empty = Metered::new(Body::empty(), gate, Share::default()).collect().await.unwrap();
        assert!(empty.to_bytes().is_empty());
    }
}
