//! A response's body on its way to the client; its end is the request's end.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::flags::Flags;
use super::record::Record;
use super::upstream::Lease;

enum Content {
    Own(Option<Bytes>),
    Upstream(Incoming),
}

/// Counts a connection's unfinished requests.
pub(super) struct InFlight(Rc<Cell<usize>>);

impl InFlight {
    pub(super) fn new(count: Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The body, with what is to be done at its end.
pub(super) struct ResponseBody {
    content: Content,
    lease: Option<Lease>,
    record: Record,
    ended: bool,
    _in_flight: InFlight,
}

impl ResponseBody {
    pub(super) fn own(bytes: Bytes, record: Record, in_flight: InFlight) -> Self {
        let ended = bytes.is_empty();
        Self { content: Content::Own(Some(bytes)), lease: None, record, ended, _in_flight: in_flight }
    }

    pub(super) fn upstream(incoming: Incoming, lease: Lease, record: Record, in_flight: InFlight) -> Self {
        let ended = incoming.is_end_stream();
        Self { content: Content::Upstream(incoming), lease: Some(lease), record, ended, _in_flight: in_flight }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = match &mut this.content {
            Content::Own(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            Content::Upstream(incoming) => Pin::new(incoming).poll_frame(cx),
        };
        if let Poll::Ready(frame) = &frame {
            match frame {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    this.record.sent.set(this.record.sent.get() + length);
                }
                Some(Err(_)) => this.record.flags.add(Flags::CONNECTION_TERMINATION),
                None => this.ended = true,
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Upstream(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::Upstream(incoming) => incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if !self.ended && !self.is_end_stream() {
            self.record.flags.add(Flags::CLIENT_GONE);
        } else if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}
