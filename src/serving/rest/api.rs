//! From a request's method, target and body to its answer, without any HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::classify::read_examples;
use super::error_page::page;
use super::metadata::metadata_body;
use super::predict::{Format, Inputs, parse_object, read_inputs, signature_name};
use super::response::{classification_body, error_body, prediction_body, regression_body};
use super::route::{NoRoute, Route, Target, Verb, is_api, is_well_formed, route};
use super::status::status_body;
use crate::inference::Tensor;
use crate::savedmodel::proto::{DataType, SignatureDef};
use crate::serving::json::parse_numbers_request;
use crate::serving::lifecycle::Registry;
use crate::serving::metrics::Metrics;
use crate::serving::proto::{ClassificationRequest, ModelSpec, RegressionRequest, model_spec};
use crate::serving::service::{self, DEFAULT_SIGNATURE, Handle};
use crate::serving::status::{Code, Status};

/// What both interfaces work on.
#[derive(Debug, Default)]
pub struct Context {
    /// The models.
    pub registry: Registry,
    /// The metrics.
    pub metrics: Metrics,
}

/// The REST interface.
#[derive(Debug, Clone)]
pub struct Api {
    /// What it works on.
    pub context: Arc<Context>,
    /// Where the Prometheus page is, if anywhere.
    pub prometheus_path: Option<String>,
    /// The longest time that a model may run; none when zero.
    pub timeout: Duration,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Who answers.
    pub speaker: Speaker,
}

/// Who answers a request; the headers depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The HTTP library, which closes the connection.
    Library,
    /// The Prometheus page.
    Monitoring,
    /// The API, with CORS headers where they are switched on.
    Api,
}

const JSON: &str = "application/json";
/// What libevent puts on an answer that names no type.
const UNNAMED: &str = "text/html; charset=ISO-8859-1";

impl Answer {
    /// An HTML page of the HTTP library.
    pub(super) fn page(code: u16) -> Self {
        Self { code, content_type: "text/html", body: page(code).into_bytes(), speaker: Speaker::Library }
    }
}

/// A request whose route is known.
pub(super) struct Planned {
    kind: Kind,
    /// Whether the answer takes so little time that it need not leave the thread that reads requests.
    pub(super) quick: bool,
}

enum Kind {
    Page(u16),
    Prometheus,
    Options,
    Api(Result<Route, NoRoute>),
}

/// A model that answers within this time runs where its requests are read.
const QUICK: Duration = Duration::from_micros(400);

impl Api {
    /// Finds out what a request asks for. `target` is the path with query.
    pub(super) fn plan(&self, method: &str, target: &str) -> Planned {
        let at_once = |kind| Planned { kind, quick: true };
        if !matches!(method, "GET" | "POST" | "HEAD" | "PUT" | "DELETE" | "OPTIONS") {
            return at_once(Kind::Page(501));
        }
        if !is_well_formed(target) {
            return at_once(Kind::Page(400));
        }
        let path = target.split('?').next().unwrap_or_default();
        if self.prometheus_path.as_deref() == Some(path) {
            return at_once(Kind::Prometheus);
        }
        if !is_api(target) {
            return at_once(Kind::Page(404));
        }
        if method == "OPTIONS" {
            return at_once(Kind::Options);
        }
        let route = route(method, target);
        let quick = match &route {
            Ok(Route::Run { target, .. }) => {
                self.context.registry.find(&spec(target)).is_ok_and(|handle| handle.pace() < QUICK)
            }
            _ => true,
        };
        Planned { kind: Kind::Api(route), quick }
    }

    /// Answers a request. May block for as long as the model runs.
    pub(super) fn answer(&self, planned: &Planned, target: &str, origin: Option<&str>, body: &[u8]) -> Answer {
        let route = match &planned.kind {
            Kind::Page(code) => return Answer::page(*code),
            Kind::Prometheus => return self.prometheus(target),
            Kind::Options => {
                let from_page = origin.is_some_and(|origin| origin.contains("http://") || origin.contains("https://"));
                let metrics = &self.context.metrics;
                metrics.count_request("", if from_page { "OK" } else { Code::FailedPrecondition.name() });
                if from_page {
                    metrics.record_request("", "", "REST", Duration::ZERO);
                }
                let code = if from_page { 200 } else { 400 };
                return Answer { code, content_type: UNNAMED, body: Vec::new(), speaker: Speaker::Api };
            }
            Kind::Api(route) => route,
        };
        let started = Instant::now();
        let (model, api, outcome) = match route {
            Ok(Route::Run { target, verb }) => (target.name.as_str(), verb.name(), self.run(target, *verb, body)),
            Ok(Route::Status(target)) => (target.name.as_str(), "", self.status(target)),
            Ok(Route::Metadata(target)) => (target.name.as_str(), "", self.metadata(target)),
            Err(NoRoute::Malformed { model, status }) => (model.as_str(), "", Err(status.clone())),
            Err(NoRoute::EmptyBody { model, status }) => {
                self.context.metrics.count_request(model, status.code.name());
                return Answer {
                    code: status.code.http(),
                    content_type: JSON,
                    body: Vec::new(),
                    speaker: Speaker::Api,
                };
            }
        };
        let metrics = &self.context.metrics;
        match outcome {
            Ok(body) => {
                metrics.count_request(model, "OK");
                metrics.record_request(model, api, "REST", started.elapsed());
                Answer { code: 200, content_type: JSON, body, speaker: Speaker::Api }
            }
            Err(status) => {
                metrics.count_request(model, status.code.name());
                Answer {
                    code: status.code.http(),
                    content_type: JSON,
                    body: error_body(&status),
                    speaker: Speaker::Api,
                }
            }
        }
    }

    fn prometheus(&self, target: &str) -> Answer {
        // The path alone finds the page, but a query makes it another one.
        let (code, body) = match self.prometheus_path.as_deref() {
            Some(path) if path != target => (400, format!("Unexpected path: {target}. Should be {path}")),
            _ => (200, self.context.metrics.page()),
        };
        Answer { code, content_type: "text/plain", body: body.into_bytes(), speaker: Speaker::Monitoring }
    }

    fn status(&self, target: &Target) -> Result<Vec<u8>, Status> {
        if target.name.is_empty() {
            return Err(Status::invalid("Missing model name in request."));
        }
        Ok(status_body(&self.context.registry.states(&spec(target))?).into_bytes())
    }

    fn metadata(&self, target: &Target) -> Result<Vec<u8>, Status> {
        if target.name.is_empty() {
            return Err(Status::invalid("Missing model name in request."));
        }
        let handle = self.context.registry.find(&spec(target))?;
        Ok(metadata_body(handle.id(), handle.signatures()).into_bytes())
    }

    fn run(&self, target: &Target, verb: Verb, body: &[u8]) -> Result<Vec<u8>, Status> {
        let mut spec = spec(target);
        if verb == Verb::Predict {
            return self.predict(spec, body);
        }
        let request = read_examples(body)?;
        spec.signature_name = request.signature_name;
        let handle = self.context.registry.find(&spec)?;
        let (model_spec, input) = (Some(spec.clone()), Some(request.input));
        if verb == Verb::Classify {
            let request = ClassificationRequest { model_spec, input };
            let response = self.timed(&spec.name, "Classify", || service::classify(&handle, &request))?;
            classification_body(&response.result.unwrap_or_default())
        } else {
            let request = RegressionRequest { model_spec, input };
            let response = self.timed(&spec.name, "Regress", || service::regress(&handle, &request))?;
            regression_body(&response.result.unwrap_or_default())
        }
    }

    fn predict(&self, mut spec: ModelSpec, body: &[u8]) -> Result<Vec<u8>, Status> {
        let (handle, format, inputs) = match self.simple_request(&mut spec, body) {
            Some(simple) => simple,
            None => self.whole_request(&mut spec, body)?,
        };
        let prediction = self.timed(&spec.name, "Predict", || service::predict(&handle, &spec, inputs, &[]))?;
        prediction_body(&prediction.outputs, format)
    }

    /// Reads the request by way of a document.
    fn whole_request(&self, spec: &mut ModelSpec, body: &[u8]) -> Result<(Handle, Format, Inputs), Status> {
        let document = parse_object(body)?;
        spec.signature_name = signature_name(document.root())?;
        let handle = self.context.registry.find(spec)?;
        let name = if spec.signature_name.is_empty() { DEFAULT_SIGNATURE } else { &spec.signature_name };
        let signature = handle
            .signatures()
            .get(name)
            .ok_or_else(|| Status::invalid(format!("Serving signature name: \"{name}\" not found in signature def")))?;
        if signature.inputs.is_empty() {
            let shown = if spec.signature_name.is_empty() { "DEFAULT" } else { name };
            return Err(Status::invalid(format!("Failed to get input map for signature: {shown}")));
        }
        let (format, inputs) = read_inputs(document.root(), &signature.inputs)?;
        Ok((handle, format, inputs))
    }

    /// Reads the request without a document when it is nothing but an array of numbers for a model that takes floats.
    fn simple_request(&self, spec: &mut ModelSpec, body: &[u8]) -> Option<(Handle, Format, Inputs)> {
        let handle = self.context.registry.find(spec).ok()?;
        let takes_floats = |signature: &SignatureDef| {
            signature.inputs.len() == 1 && signature.inputs.values().all(|info| info.dtype == DataType::DtFloat as i32)
        };
        // Some signature must fit, else reading the numbers would be for nothing.
        handle.signatures().values().any(takes_floats).then_some(())?;
        let request = parse_numbers_request(body)?;
        let name = match request.signature_name {
            None => String::new(),
            Some(name) => String::from_utf8(name).ok()?,
        };
        let signature = handle.signatures().get(if name.is_empty() { DEFAULT_SIGNATURE } else { &name })?;
        takes_floats(signature).then_some(())?;
        let alias = signature.inputs.keys().next()?.clone();
        let tensor = Tensor::floats(&request.array.shape, request.array.values)?;
        spec.signature_name = name;
        let format = if request.row_format { Format::Row } else { Format::Column };
        Some((handle, format, BTreeMap::from([(alias, Some(tensor))])))
    }

    /// Runs a model, records the time, and gives up on one that took too long.
    fn timed<T>(&self, model: &str, api: &str, run: impl FnOnce() -> Result<T, Status>) -> Result<T, Status> {
        let started = Instant::now();
        let outcome = run()?;
        let took = started.elapsed();
        if !self.timeout.is_zero() && took > self.timeout {
            return Err(Status::new(Code::DeadlineExceeded, "Timed out waiting for notification"));
        }
        self.context.metrics.record_run(model, api, took);
        Ok(outcome)
    }
}

fn spec(target: &Target) -> ModelSpec {
    let version_choice = match (target.version, &target.label) {
        (Some(version), _) => Some(model_spec::VersionChoice::Version(version)),
        (None, Some(label)) => Some(model_spec::VersionChoice::VersionLabel(label.clone())),
        (None, None) => None,
    };
    ModelSpec { name: target.name.clone(), version_choice, signature_name: String::new() }
}
