//! Several classifications and regressions on the same examples, in one run of the model.

use std::collections::BTreeSet;

use super::examples::serialized_examples;
use super::{CLASSIFY_METHOD, Handle, REGRESS_METHOD, classify, or_default, regress};
use crate::savedmodel::proto::SignatureDef;
use crate::serving::proto::{
    InferenceResult, InferenceTask, MultiInferenceRequest, MultiInferenceResponse, inference_result,
};
use crate::serving::status::{Code, Status};

enum Target<'a> {
    Classify(classify::ClassifyTarget<'a>),
    Regress(regress::RegressTarget<'a>),
}

/// Runs all tasks. The texts of errors are those of `multi_inference.cc`.
pub fn multi_inference(handle: &Handle, request: &MultiInferenceRequest) -> Result<MultiInferenceResponse, Status> {
    let targets = targets(handle, &request.tasks)?;
    let mut inputs = BTreeSet::new();
    let mut fetches = BTreeSet::new();
    for target in &targets {
        match target {
            Target::Classify(target) => {
                inputs.insert(target.input);
                fetches.extend(target.fetches());
            }
            Target::Regress(target) => {
                inputs.insert(target.input);
                fetches.insert(target.output);
            }
        }
    }
    let examples = serialized_examples(&request.input.clone().unwrap_or_default())?;
    let number = examples.len();
    let feeds: Vec<_> = inputs.into_iter().map(|name| (name, examples.clone())).collect();
    let fetches: Vec<&str> = fetches.into_iter().collect();
    let outputs = handle.run(&feeds, &fetches)?;
    let mut results = Vec::with_capacity(targets.len());
    for (task, target) in request.tasks.iter().zip(&targets) {
        let result = match target {
            Target::Classify(target) => {
                inference_result::Result::ClassificationResult(target.result(number, &fetches, &outputs)?)
            }
            Target::Regress(target) => {
                inference_result::Result::RegressionResult(target.result(number, &fetches, &outputs)?)
            }
        };
        let spec = task.model_spec.clone().unwrap_or_default();
        results.push(InferenceResult {
            model_spec: Some(handle.answered(&spec.name, &spec.signature_name)),
            result: Some(result),
        });
    }
    Ok(MultiInferenceResponse { results })
}

fn targets<'a>(handle: &'a Handle, tasks: &[InferenceTask]) -> Result<Vec<Target<'a>>, Status> {
    let mut model_name = String::new();
    let mut seen = BTreeSet::new();
    let mut targets = Vec::with_capacity(tasks.len());
    for task in tasks {
        let spec = task.model_spec.clone().unwrap_or_default();
        if spec.name.is_empty() {
            return Err(Status::invalid("Found ModelSpec with an empty model name."));
        }
        if model_name.is_empty() {
            model_name.clone_from(&spec.name);
        } else if model_name != spec.name {
            return Err(Status::invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name."));
        }
        let name = or_default(&spec.signature_name).to_owned();
        if seen.contains(&name) {
            return Err(Status::invalid(format!("Duplicate evaluation of signature: {name}")));
        }
        let signature: &SignatureDef = handle
            .signatures()
            .get(&name)
            .ok_or_else(|| Status::invalid(format!("Requested signature not found in model graph: {name}")))?;
        seen.insert(name);
        targets.push(match task.method_name.as_str() {
            CLASSIFY_METHOD => Target::Classify(classify::target(handle, signature)?),
            REGRESS_METHOD => Target::Regress(regress::target(handle, signature)?),
            other => {
                return Err(Status::new(Code::Unimplemented, format!("Unsupported signature method_name: {other}")));
            }
        });
    }
    Ok(targets)
}
