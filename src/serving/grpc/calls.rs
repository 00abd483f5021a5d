//! Serving one unary call: decoding, waiting for a turn, working, encoding.

use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use super::grpc_status;
use super::metered::{Carrying, Metered, Share};
use crate::serving::rest::Gate;
use crate::serving::status::Status;

/// The largest message that is taken or given: 2^31 - 1 bytes.
pub(super) const LARGEST_MESSAGE: usize = i32::MAX as usize;

/// What a service answers with.
pub(super) type Answer = BoxFuture<Response<Body>, std::convert::Infallible>;

/// Whether a call runs a model, and then waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Waits,
    AtOnce,
}

/// Serves a call with a function that may block.
pub(super) fn unary<I, O, F>(request: Request<Body>, gate: &Gate, turn: Turn, call: F) -> Answer
where
    I: prost::Message + Default + Send + 'static,
    O: prost::Message + Default + Send + 'static,
    F: Fn(I) -> Result<O, Status> + Send + Sync + 'static,
{
    let turns = (turn == Turn::Waits).then(|| gate.clone());
    let handler = Handler { gate: turns, call: Arc::new(call), types: std::marker::PhantomData };
    let share = Share::default();
    let request = request.map(|body| Body::new(Metered::new(body, gate.clone(), Arc::clone(&share))));
    Box::pin(async move {
        let mut grpc = Grpc::new(ProstCodec::<O, I>::default())
            .accept_compressed(Gzip)
            .accept_compressed(Deflate)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        let response = grpc.unary(handler, request).await;
        Ok(response.map(|body| Body::new(Carrying::new(body, share))))
    })
}

/// The answer to a method that does not exist.
pub(super) fn unimplemented() -> Answer {
    Box::pin(async { Ok(tonic::Status::unimplemented("").into_http()) })
}

struct Handler<I, O, F> {
    gate: Option<Gate>,
    call: Arc<F>,
    types: std::marker::PhantomData<fn(I) -> O>,
}

impl<I, O, F> UnaryService<I> for Handler<I, O, F>
where
    I: Send + 'static,
    O: Send + 'static,
    F: Fn(I) -> Result<O, Status> + Send + Sync + 'static,
{
    type Response = O;
    type Future = BoxFuture<tonic::Response<O>, tonic::Status>;

    fn call(&mut self, request: tonic::Request<I>) -> Self::Future {
        let (gate, call) = (self.gate.clone(), Arc::clone(&self.call));
        Box::pin(async move {
            let turn = match &gate {
                Some(gate) => gate.turn().await,
                None => None,
            };
            let worked = tokio::task::spawn_blocking(move || {
                let outcome = call(request.into_inner());
                drop(turn);
                outcome
            });
            match worked.await {
                Ok(Ok(response)) => Ok(tonic::Response::new(response)),
                Ok(Err(status)) => Err(grpc_status(&status)),
                Err(_) => Err(tonic::Status::internal("the request's thread ended early")),
            }
        })
    }
}

/// The method that a request calls.
pub(super) fn method<'a>(request: &'a Request<Body>, service: &str) -> Option<&'a str> {
    request.uri().path().strip_prefix('/')?.strip_prefix(service)?.strip_prefix('/')
}
