//! Both services behind one port.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;

use super::calls::{Answer, method, unimplemented};
use super::model_service::{self, ModelService};
use super::prediction_service::{self, PredictionService};
use super::reload::Reload;
use crate::serving::lifecycle::Log;
use crate::serving::rest::{Context, Gate};

/// PredictionService and ModelService.
#[derive(Clone)]
pub struct Services {
    prediction: PredictionService,
    model: ModelService,
}

impl Services {
    /// The services for these models. Runs keep the order of the gate; configurations are handed to `reload`.
    pub fn new(context: Arc<Context>, gate: Gate, reload: Arc<dyn Reload>, log: Log) -> Self {
        Self {
            prediction: PredictionService::new(Arc::clone(&context), gate.clone()),
            model: ModelService::new(context, gate, reload, log),
        }
    }
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        if method(&request, prediction_service::NAME).is_some() {
            self.prediction.dispatch(request)
        } else if method(&request, model_service::NAME).is_some() {
            self.model.dispatch(request)
        } else {
            unimplemented()
        }
    }
}
