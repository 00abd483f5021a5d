//! Classifications: the signature's input is a batch of encoded examples, its outputs classes and scores.

use super::debug_string::{debug_shape, debug_signature};
use super::examples::serialized_examples;
use super::{CLASSIFY_METHOD, Handle, or_default};
use crate::inference::{Tensor, TensorData};
use crate::savedmodel::proto::SignatureDef;
use crate::serving::proto::{
    Class, ClassificationRequest, ClassificationResponse, ClassificationResult, Classifications, ModelSpec,
};
use crate::serving::status::Status;

const INPUTS: &str = "inputs";
const CLASSES: &str = "classes";
const SCORES: &str = "scores";

/// Runs a classification. The texts of errors are those of `classifier.cc`.
pub fn classify(handle: &Handle, request: &ClassificationRequest) -> Result<ClassificationResponse, Status> {
    let spec = request.model_spec.clone().unwrap_or_default();
    let signature = named_signature(handle, &spec)?;
    let target = target(handle, signature)?;
    let examples = serialized_examples(&request.input.clone().unwrap_or_default())?;
    let number = examples.len();
    let fetches: Vec<&str> = target.fetches().collect();
    let outputs = handle.run(&[(target.input, examples)], &fetches)?;
    let result = target.result(number, &fetches, &outputs)?;
    Ok(ClassificationResponse {
        result: Some(result),
        model_spec: Some(handle.answered(&spec.name, &spec.signature_name)),
    })
}

pub(super) fn named_signature<'a>(handle: &'a Handle, spec: &ModelSpec) -> Result<&'a SignatureDef, Status> {
    let name = or_default(&spec.signature_name);
    handle
        .signatures()
        .get(name)
        .ok_or_else(|| Status::invalid(format!("No signature was found with the name: {name}")))
}

/// The tensors of a classification signature, by their names in the graph.
pub(super) struct ClassifyTarget<'a> {
    pub(super) input: &'a str,
    classes: Option<&'a str>,
    scores: Option<&'a str>,
}

/// Checks that a signature can classify.
pub(super) fn target<'a>(handle: &Handle, signature: &'a SignatureDef) -> Result<ClassifyTarget<'a>, Status> {
    handle.allows(signature, "classification", CLASSIFY_METHOD)?;
    if signature.inputs.len() != 1 {
        return Err(Status::invalid("Expected one input Tensor."));
    }
    if !matches!(signature.outputs.len(), 1 | 2) {
        return Err(Status::invalid(format!("Expected one or two output Tensors, found {}", signature.outputs.len())));
    }
    let input = signature.inputs.get(INPUTS).ok_or_else(|| {
        Status::invalid(format!("No classification inputs found in SignatureDef: {}", debug_signature(signature)))
    })?;
    let name = |alias| signature.outputs.get(alias).map(|info| info.tensor_name().unwrap_or_default());
    let (classes, scores) = (name(CLASSES), name(SCORES));
    if classes.is_none() && scores.is_none() {
        return Err(Status::invalid(format!(
            "Expected classification signature outputs to contain at least one of \"{CLASSES}\" or \"{SCORES}\". \
             Signature was: {}",
            debug_signature(signature)
        )));
    }
    Ok(ClassifyTarget { input: input.tensor_name().unwrap_or_default(), classes, scores })
}

impl<'a> ClassifyTarget<'a> {
    pub(super) fn fetches(&self) -> impl Iterator<Item = &'a str> {
        self.classes.into_iter().chain(self.scores)
    }

    /// Shapes the tensors, fetched under `names`, into classes per example.
    pub(super) fn result(
        &self,
        examples: usize,
        names: &[&str],
        outputs: &[Tensor],
    ) -> Result<ClassificationResult, Status> {
        if outputs.len() != names.len() {
            return Err(Status::invalid(format!("Expected {} output tensor(s).  Got: {}", names.len(), outputs.len())));
        }
        let find = |wanted: Option<&str>| {
            wanted.and_then(|wanted| names.iter().position(|name| *name == wanted)).map(|at| &outputs[at])
        };
        let classes = find(self.classes).map(|tensor| check(tensor, CLASSES, examples)).transpose()?;
        // One tensor under both names counts as the classes.
        let scores = find(self.scores.filter(|_| self.scores != self.classes))
            .map(|tensor| check(tensor, SCORES, examples))
            .transpose()?;
        let columns = match (classes, scores) {
            (Some(classes), Some(scores)) if classes.shape[1] != scores.shape[1] => {
                return Err(Status::invalid(format!(
                    "Tensors class and score should match in dim_size(1). Got {} vs. {}",
                    classes.shape[1], scores.shape[1]
                )));
            }
            (Some(tensor), _) | (None, Some(tensor)) => tensor.shape[1],
            (None, None) => 0,
        };
        let label = |at: usize| match classes.map(|tensor| &tensor.data) {
            Some(TensorData::String(values)) => String::from_utf8_lossy(&values[at]).into_owned(),
            _ => String::new(),
        };
        let score = |at: usize| scores.and_then(Tensor::as_floats).map_or(0.0, |values| values[at]);
        let classifications = (0..examples)
            .map(|row| Classifications {
                classes: (0..columns)
                    .map(|column| row * columns + column)
                    .map(|at| Class { label: label(at), score: score(at) })
                    .collect(),
            })
            .collect();
        Ok(ClassificationResult { classifications })
    }
}

fn check<'a>(tensor: &'a Tensor, alias: &str, examples: usize) -> Result<&'a Tensor, Status> {
    use crate::savedmodel::proto::DataType::{DtFloat, DtString};
    if tensor.shape.len() != 2 {
        return Err(Status::invalid(format!(
            "Expected Tensor shape: [batch_size num_classes] but got {}",
            debug_shape(&tensor.shape)
        )));
    }
    let expected = if alias == CLASSES { DtString } else { DtFloat };
    if tensor.dtype() != expected {
        return Err(Status::invalid(format!(
            "Expected {alias} Tensor of {}. Got: {}",
            expected.proto_name(),
            tensor.dtype().proto_name()
        )));
    }
    if tensor.shape[0] != examples {
        return Err(Status::invalid(format!(
            "Expected {alias} output batch size of {examples}. Got: {}",
            tensor.shape[0]
        )));
    }
    Ok(tensor)
}
