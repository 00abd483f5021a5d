//! Regressions: the signature's input is a batch of encoded examples, its output one value per example.

use super::classify::named_signature;
use super::debug_string::{debug_shape, debug_signature};
use super::examples::serialized_examples;
use super::{Handle, REGRESS_METHOD};
use crate::inference::Tensor;
use crate::savedmodel::proto::SignatureDef;
use crate::serving::proto::{Regression, RegressionRequest, RegressionResponse, RegressionResult};
use crate::serving::status::Status;

const INPUTS: &str = "inputs";
const OUTPUTS: &str = "outputs";

/// Runs a regression. The texts of errors are those of `regressor.cc`.
pub fn regress(handle: &Handle, request: &RegressionRequest) -> Result<RegressionResponse, Status> {
    let spec = request.model_spec.clone().unwrap_or_default();
    let target = target(handle, named_signature(handle, &spec)?)?;
    let examples = serialized_examples(&request.input.clone().unwrap_or_default())?;
    let number = examples.len();
    let outputs = handle.run(&[(target.input, examples)], &[target.output])?;
    let result = target.result(number, &[target.output], &outputs)?;
    Ok(RegressionResponse { result: Some(result), model_spec: Some(handle.answered(&spec.name, &spec.signature_name)) })
}

/// The tensors of a regression signature, by their names in the graph.
pub(super) struct RegressTarget<'a> {
    pub(super) input: &'a str,
    pub(super) output: &'a str,
}

/// Checks that a signature can regress.
pub(super) fn target<'a>(handle: &Handle, signature: &'a SignatureDef) -> Result<RegressTarget<'a>, Status> {
    handle.allows(signature, "regression", REGRESS_METHOD)?;
    if signature.inputs.len() != 1 {
        return Err(Status::invalid("Expected one input Tensor."));
    }
    if signature.outputs.len() != 1 {
        return Err(Status::invalid("Expected one output Tensor."));
    }
    let missing = |what: &str| {
        Status::invalid(format!("No regression {what} found in SignatureDef: {}", debug_signature(signature)))
    };
    let input = signature.inputs.get(INPUTS).ok_or_else(|| missing("inputs"))?;
    let output = signature.outputs.get(OUTPUTS).ok_or_else(|| missing("outputs"))?;
    Ok(RegressTarget {
        input: input.tensor_name().unwrap_or_default(),
        output: output.tensor_name().unwrap_or_default(),
    })
}

impl RegressTarget<'_> {
    /// Shapes the tensor, fetched under one of `names`, into one value per example.
    pub(super) fn result(
        &self,
        examples: usize,
        names: &[&str],
        outputs: &[Tensor],
    ) -> Result<RegressionResult, Status> {
        if outputs.len() != names.len() {
            return Err(Status::invalid("Expected output_tensors and output_tensor_names to have the same size."));
        }
        let tensor = names
            .iter()
            .position(|name| *name == self.output)
            .map(|at| &outputs[at])
            .ok_or_else(|| Status::invalid(format!("Could not find output tensor '{}'", self.output)))?;
        if !matches!(tensor.shape.as_slice(), [_] | [_, 1]) {
            return Err(Status::invalid(format!(
                "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {}",
                debug_shape(&tensor.shape)
            )));
        }
        if tensor.shape[0] != examples {
            return Err(Status::invalid(format!(
                "Input batch size did not match output batch size: {examples} vs. {}",
                tensor.shape[0]
            )));
        }
        let values = tensor.as_floats().ok_or_else(|| {
            Status::invalid(format!("Expected output Tensor of DT_FLOAT.  Got: {}", tensor.dtype().proto_name()))
        })?;
        Ok(RegressionResult { regressions: values.iter().map(|&value| Regression { value }).collect() })
    }
}
