//! The examples of a classification or regression, as the one string tensor that models take.

use crate::inference::{Tensor, TensorData};
use crate::serving::proto::{Input, input};
use crate::serving::status::Status;

/// How many examples an input holds.
pub fn number_of_examples(input: &Input) -> usize {
    match &input.kind {
        Some(input::Kind::ExampleList(list)) => list.examples.len(),
        Some(input::Kind::ExampleListWithContext(list)) => list.examples.len(),
        None => 0,
    }
}

/// Encoded examples, one per element. Features in common are put in front of each: concatenated messages merge.
pub(super) fn serialized_examples(input: &Input) -> Result<Tensor, Status> {
    let examples: Vec<Vec<u8>> = match &input.kind {
        Some(input::Kind::ExampleList(list)) => list.examples.iter().map(|example| example.to_vec()).collect(),
        Some(input::Kind::ExampleListWithContext(list)) => {
            let context = list.context.as_deref().unwrap_or_default();
            list.examples.iter().map(|example| [context, example].concat()).collect()
        }
        None => Vec::new(),
    };
    if examples.is_empty() {
        return Err(Status::invalid("Input is empty."));
    }
    Ok(Tensor { shape: vec![examples.len()], data: TensorData::String(examples) })
}
