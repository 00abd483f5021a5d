//! A request's body on its way upstream: streamed, and kept up to a limit so that another try can send it again.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Notify;

/// Beyond this many bytes a request is not repeated (Envoy's buffer limit in Istio).
pub(super) const REPLAY_LIMIT: usize = 1 << 20;

/// The client's body, shared by all tries of one request.
pub(super) struct Source {
    incoming: RefCell<Option<Incoming>>,
    hint: SizeHint,
    chunks: RefCell<Vec<Bytes>>,
    trailers: RefCell<Option<HeaderMap>>,
    kept: Cell<usize>,
    overflowed: Cell<bool>,
    received: Cell<u64>,
    finished: Cell<Option<Instant>>,
    notify: Notify,
}

impl Source {
    pub(super) fn new(incoming: Incoming) -> Rc<Self> {
        let empty = incoming.is_end_stream();
        Rc::new(Self {
            hint: incoming.size_hint(),
            incoming: RefCell::new((!empty).then_some(incoming)),
            chunks: RefCell::default(),
            trailers: RefCell::default(),
            kept: Cell::new(0),
            overflowed: Cell::new(false),
            received: Cell::new(0),
            finished: Cell::new(empty.then(Instant::now)),
            notify: Notify::new(),
        })
    }

    /// A body that sends everything from the start.
    pub(super) fn body(self: &Rc<Self>) -> RequestBody {
        RequestBody { source: self.clone(), next: 0, trailers_sent: false }
    }

    /// Whether another try can still send the whole body.
    pub(super) fn can_repeat(&self) -> bool {
        !self.overflowed.get()
    }

    /// Whether the client sends no body at all.
    pub(super) fn is_empty(&self) -> bool {
        self.finished.get().is_some() && self.received.get() == 0
    }

    /// Bytes read from the client so far.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// When the last byte was read.
    pub(super) fn finished(&self) -> Option<Instant> {
        self.finished.get()
    }

    /// Waits until the whole body has been read.
    pub(super) async fn wait_finished(&self) {
        while self.finished.get().is_none() {
            self.notify.notified().await;
        }
    }

    fn finish(&self) {
        self.incoming.borrow_mut().take();
        self.finished.set(Some(Instant::now()));
        self.notify.notify_waiters();
    }

    fn keep(&self, data: &Bytes) {
        if self.overflowed.get() {
            return;
        }
        let kept = self.kept.get() + data.len();
        if kept > REPLAY_LIMIT {
            self.overflowed.set(true);
            self.chunks.borrow_mut().clear();
        } else {
            self.kept.set(kept);
            self.chunks.borrow_mut().push(data.clone());
        }
    }
}

/// The body of one try.
pub(super) struct RequestBody {
    source: Rc<Source>,
    next: usize,
    trailers_sent: bool,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let source = &this.source;
        if let Some(chunk) = source.chunks.borrow().get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        let polled = match source.incoming.borrow_mut().as_mut() {
            None => Poll::Ready(None),
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    source.received.set(source.received.get() + data.len() as u64);
                    source.keep(&data);
                    this.next += 1;
                    let ended = source.incoming.borrow().as_ref().is_some_and(Body::is_end_stream);
                    if ended {
                        source.finish();
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        *source.trailers.borrow_mut() = Some(trailers);
                    }
                    source.finish();
                    this.poll_trailers()
                }
            },
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => {
                if source.finished.get().is_none() {
                    source.finish();
                }
                this.poll_trailers()
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.finished.get().is_some()
            && self.source.trailers.borrow().is_none()
            && self.next >= self.source.chunks.borrow().len()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.hint
    }
}

impl RequestBody {
    fn poll_trailers(&mut self) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.trailers_sent {
            return Poll::Ready(None);
        }
        self.trailers_sent = true;
        Poll::Ready(self.source.trailers.borrow().clone().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}
