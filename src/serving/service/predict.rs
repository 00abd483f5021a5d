//! Predictions: any signature, any tensors.

use std::collections::{BTreeMap, BTreeSet};

use super::{CLASSIFY_METHOD, Handle, PREDICT_METHOD, REGRESS_METHOD, or_default};
use crate::inference::Tensor;
use crate::savedmodel::proto::SignatureDef;
use crate::serving::proto::ModelSpec;
use crate::serving::status::{Code, Status};

/// The result of a prediction.
#[derive(Debug)]
pub struct Prediction {
    /// Which version and signature answered.
    pub answered: ModelSpec,
    /// The tensors by output name.
    pub outputs: BTreeMap<String, Tensor>,
}

/// Runs a signature.
///
/// `inputs` are the tensors by input name; `None` stands for one that could not be read. `output_filter` names the
/// outputs to give, none for all. The texts of errors are those of `predict_util.cc`.
pub fn predict(
    handle: &Handle,
    spec: &ModelSpec,
    inputs: BTreeMap<String, Option<Tensor>>,
    output_filter: &[String],
) -> Result<Prediction, Status> {
    let signature_name = or_default(&spec.signature_name);
    let signature = handle.signatures().get(signature_name).ok_or_else(|| {
        Status::new(Code::FailedPrecondition, format!("Serving signature key \"{signature_name}\" not found."))
    })?;
    check_method(handle, signature)?;
    compare_names(signature, &inputs)?;

    let mut feeds = Vec::with_capacity(inputs.len());
    for (alias, tensor) in inputs {
        let info = signature.inputs.get(&alias).ok_or_else(|| {
            let expected = joined(signature.inputs.keys());
            Status::invalid(format!(
                "input tensor alias not found in signature: {alias}. Inputs expected to be in the set {{{expected}}}."
            ))
        })?;
        let tensor = tensor.ok_or_else(|| Status::invalid(format!("tensor parsing error: {alias}")))?;
        feeds.push((info.tensor_name().unwrap_or_default(), tensor));
    }

    let aliases = wanted_outputs(signature, output_filter)?;
    let fetches: Vec<&str> =
        aliases.iter().map(|alias| signature.outputs[*alias].tensor_name().unwrap_or_default()).collect();
    let outputs = handle.run(&feeds, &fetches)?;
    if outputs.len() != aliases.len() {
        return Err(Status::new(Code::Unknown, "Predict internal error"));
    }
    Ok(Prediction {
        answered: handle.answered(&spec.name, signature_name),
        outputs: aliases.into_iter().map(str::to_owned).zip(outputs).collect(),
    })
}

fn check_method(handle: &Handle, signature: &SignatureDef) -> Result<(), Status> {
    let allowed = [PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD];
    if !handle.model.checks_method_names() || allowed.contains(&signature.method_name.as_str()) {
        return Ok(());
    }
    let text = format!(
        "Expected prediction signature method_name to be one of {{{}}}. Was: {}",
        allowed.join(", "),
        signature.method_name
    );
    Err(Status::new(Code::Internal, text))
}

fn compare_names(signature: &SignatureDef, inputs: &BTreeMap<String, Option<Tensor>>) -> Result<(), Status> {
    if inputs.len() == signature.inputs.len() {
        return Ok(());
    }
    let extra = joined(inputs.keys().filter(|name| !signature.inputs.contains_key(*name)));
    let missing = joined(signature.inputs.keys().filter(|name| !inputs.contains_key(*name)));
    Err(Status::invalid(format!(
        "input size does not match signature: {}!={} len({{{}}}) != len({{{}}}). Sent extra: {{{extra}}}. Missing but \
         required: {{{missing}}}.",
        inputs.len(),
        signature.inputs.len(),
        joined(inputs.keys()),
        joined(signature.inputs.keys()),
    )))
}

fn wanted_outputs<'a>(signature: &'a SignatureDef, filter: &'a [String]) -> Result<Vec<&'a str>, Status> {
    if filter.is_empty() {
        return Ok(signature.outputs.keys().map(String::as_str).collect());
    }
    let mut seen = BTreeSet::new();
    for alias in filter {
        if !signature.outputs.contains_key(alias) {
            let expected = joined(signature.outputs.keys());
            return Err(Status::invalid(format!(
                "output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{expected}}}."
            )));
        }
        if !seen.insert(alias) {
            return Err(Status::invalid(format!("duplicate output tensor alias: {alias}")));
        }
    }
    Ok(filter.iter().map(String::as_str).collect())
}

fn joined<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(",")
}
