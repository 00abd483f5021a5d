//! `tensorflow.serving.PredictionService`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use http::Request;
use prost::Message as _;
use tonic::body::Body;

use super::calls::{Answer, Turn, method, unary, unimplemented};
use crate::serving::proto::{
    Any, ClassificationRequest, ClassificationResponse, GetModelMetadataRequest, GetModelMetadataResponse, ModelSpec,
    MultiInferenceRequest, MultiInferenceResponse, PredictRequest, PredictResponse, RegressionRequest,
    RegressionResponse, SignatureDefMap, model_spec,
};
use crate::serving::rest::{Context, Gate};
use crate::serving::service::{self, Handle, number_of_examples, tensor_from_proto, tensor_to_proto};
use crate::serving::status::Status;

pub(super) const NAME: &str = "tensorflow.serving.PredictionService";

/// Runs models.
#[derive(Debug, Clone)]
pub(super) struct PredictionService {
    context: Arc<Context>,
    gate: Gate,
}

impl PredictionService {
    /// The service for these models, with its runs in the order of this gate.
    pub(super) fn new(context: Arc<Context>, gate: Gate) -> Self {
        Self { context, gate }
    }

    pub(super) fn dispatch(&self, request: Request<Body>) -> Answer {
        let context = Arc::clone(&self.context);
        let gate = &self.gate;
        match method(&request, NAME) {
            Some("Predict") => unary(request, gate, Turn::Waits, move |request| predict(&context, request)),
            Some("Classify") => unary(request, gate, Turn::Waits, move |request| classify(&context, &request)),
            Some("Regress") => unary(request, gate, Turn::Waits, move |request| regress(&context, &request)),
            Some("MultiInference") => {
                unary(request, gate, Turn::Waits, move |request| multi_inference(&context, &request))
            }
            Some("GetModelMetadata") => unary(request, gate, Turn::AtOnce, move |request| metadata(&context, &request)),
            _ => unimplemented(),
        }
    }
}

/// Finds the model, runs the call, and counts it.
fn run<T>(
    context: &Context,
    spec: Option<&ModelSpec>,
    api: &str,
    call: impl FnOnce(&Handle, &ModelSpec) -> Result<T, Status>,
) -> Result<T, Status> {
    let started = Instant::now();
    let model = spec.map_or("", |spec| spec.name.as_str());
    let outcome = spec.ok_or_else(|| Status::invalid("Missing ModelSpec")).and_then(|spec| {
        let handle = context.registry.find(spec)?;
        let running = Instant::now();
        let outcome = call(&handle, spec)?;
        context.metrics.record_run(model, api, running.elapsed());
        Ok(outcome)
    });
    match &outcome {
        Ok(_) => {
            context.metrics.record_request(model, api, "GRPC", started.elapsed());
            context.metrics.count_request(model, "OK");
        }
        Err(status) => context.metrics.count_request(model, status.code.name()),
    }
    outcome
}

fn predict(context: &Context, request: PredictRequest) -> Result<PredictResponse, Status> {
    let PredictRequest { model_spec, inputs, output_filter } = request;
    run(context, model_spec.as_ref(), "Predict", |handle, spec| {
        let inputs = inputs.into_iter().map(|(name, tensor)| (name, tensor_from_proto(&tensor))).collect();
        let prediction = service::predict(handle, spec, inputs, &output_filter)?;
        let outputs = prediction.outputs.into_iter().map(|(name, tensor)| (name, tensor_to_proto(tensor))).collect();
        Ok(PredictResponse { outputs, model_spec: Some(prediction.answered) })
    })
}

fn classify(context: &Context, request: &ClassificationRequest) -> Result<ClassificationResponse, Status> {
    run(context, request.model_spec.as_ref(), "Classify", |handle, _| service::classify(handle, request))
}

fn regress(context: &Context, request: &RegressionRequest) -> Result<RegressionResponse, Status> {
    run(context, request.model_spec.as_ref(), "Regress", |handle, _| service::regress(handle, request))
}

/// The model is the one of the first task, as all tasks must mean the same.
fn multi_inference(context: &Context, request: &MultiInferenceRequest) -> Result<MultiInferenceResponse, Status> {
    let spec = request.tasks.first().and_then(|task| task.model_spec.clone()).unwrap_or_default();
    let handle = context.registry.find(&spec)?;
    let response = service::multi_inference(&handle, request)?;
    context.metrics.record_examples(&spec.name, request.input.as_ref().map_or(0, number_of_examples));
    Ok(response)
}

fn metadata(context: &Context, request: &GetModelMetadataRequest) -> Result<GetModelMetadataResponse, Status> {
    let spec = request.model_spec.as_ref().ok_or_else(|| Status::invalid("Missing ModelSpec"))?;
    if request.metadata_field.is_empty() {
        return Err(Status::invalid("GetModelMetadataRequest must specify at least one metadata_field"));
    }
    if let Some(field) = request.metadata_field.iter().find(|field| *field != "signature_def") {
        return Err(Status::invalid(format!("Metadata field {field} is not supported")));
    }
    let handle = context.registry.find(spec)?;
    let signatures = SignatureDefMap {
        signature_def: handle.signatures().iter().map(|(name, signature)| (name.clone(), signature.clone())).collect(),
    };
    let any = Any {
        type_url: "type.googleapis.com/tensorflow.serving.SignatureDefMap".into(),
        value: signatures.encode_to_vec().into(),
    };
    Ok(GetModelMetadataResponse {
        model_spec: Some(ModelSpec {
            name: handle.id().name.clone(),
            version_choice: Some(model_spec::VersionChoice::Version(handle.id().version)),
            signature_name: String::new(),
        }),
        metadata: BTreeMap::from([("signature_def".to_owned(), any)]),
    })
}
