//! Results as JSON.

use std::collections::BTreeMap;

use base64::Engine as _;

use super::predict::Format;
use crate::inference::{Tensor, TensorData};
use crate::serving::json::PrettyWriter;
use crate::serving::proto::{ClassificationResult, RegressionResult};
use crate::serving::status::Status;

/// The body of an error: `{"error": TEXT}`.
pub(super) fn error_body(status: &Status) -> Vec<u8> {
    let mut writer = PrettyWriter::with_capacity(status.message.len() + 32);
    writer.start_object();
    writer.string(b"error");
    writer.string(&status.message);
    writer.end_object();
    writer.finish()
}

/// The body of a prediction.
pub(super) fn prediction_body(outputs: &BTreeMap<String, Tensor>, format: Format) -> Result<Vec<u8>, Status> {
    if outputs.is_empty() {
        return Err(Status::invalid("Cannot convert empty tensor map to JSON"));
    }
    let elements: usize = outputs.values().map(Tensor::len).sum();
    let writer = PrettyWriter::with_capacity(elements * 16 + 64);
    match format {
        Format::Row => rows(outputs, writer),
        Format::Column => columns(outputs, writer),
    }
}

fn rows(outputs: &BTreeMap<String, Tensor>, mut writer: PrettyWriter) -> Result<Vec<u8>, Status> {
    let mut batch: Option<usize> = None;
    for (name, tensor) in outputs {
        let size = *tensor
            .shape
            .first()
            .ok_or_else(|| Status::invalid(format!("Tensor name: {name} has no shape information ")))?;
        let expected = *batch.get_or_insert(size);
        if size != expected {
            return Err(Status::invalid(format!(
                "Tensor name: {name} has inconsistent batch size: {size} expecting: {expected}"
            )));
        }
    }
    let named = outputs.len() > 1;
    let mut offsets = vec![0; outputs.len()];
    writer.start_object();
    writer.string(b"predictions");
    writer.start_array();
    for _ in 0..batch.unwrap_or(0) {
        if named {
            writer.start_object();
        }
        writer.single_line_arrays(true);
        for ((name, tensor), offset) in outputs.iter().zip(&mut offsets) {
            if named {
                writer.string(name.as_bytes());
            }
            write_values(name, tensor, 1, &mut writer, offset)?;
        }
        writer.single_line_arrays(false);
        if named {
            writer.end_object();
        }
    }
    writer.end_array();
    writer.end_object();
    Ok(writer.finish())
}

fn columns(outputs: &BTreeMap<String, Tensor>, mut writer: PrettyWriter) -> Result<Vec<u8>, Status> {
    let named = outputs.len() > 1;
    writer.start_object();
    writer.string(b"outputs");
    if named {
        writer.start_object();
    }
    for (name, tensor) in outputs {
        if named {
            writer.string(name.as_bytes());
        }
        write_values(name, tensor, 0, &mut writer, &mut 0)?;
    }
    if named {
        writer.end_object();
    }
    writer.end_object();
    Ok(writer.finish())
}

/// Writes the values of the dimensions from `level` on, beginning at `offset`, which is moved on. Recurses once a
/// dimension; tensors have at most 254.
fn write_values(
    name: &str,
    tensor: &Tensor,
    level: usize,
    writer: &mut PrettyWriter,
    offset: &mut usize,
) -> Result<(), Status> {
    let Some(&size) = tensor.shape.get(level) else {
        write_value(name, tensor, *offset, writer)?;
        *offset += 1;
        return Ok(());
    };
    writer.start_array();
    for _ in 0..size {
        write_values(name, tensor, level + 1, writer, offset)?;
    }
    writer.end_array();
    Ok(())
}

fn write_value(name: &str, tensor: &Tensor, at: usize, writer: &mut PrettyWriter) -> Result<(), Status> {
    match &tensor.data {
        TensorData::Float(values) => writer.float(values[at]),
        TensorData::Double(values) => writer.double(values[at]),
        TensorData::Int8(values) => writer.integer(values[at]),
        TensorData::Int16(values) => writer.integer(values[at]),
        TensorData::Int32(values) => writer.integer(values[at]),
        TensorData::Int64(values) => writer.integer(values[at]),
        TensorData::Uint8(values) => writer.integer(values[at]),
        TensorData::Uint32(values) => writer.integer(values[at]),
        TensorData::Uint64(values) => writer.integer(values[at]),
        TensorData::Bool(values) => writer.boolean(values[at]),
        TensorData::String(values) if name.ends_with("_bytes") => {
            writer.start_object();
            writer.string(b"b64");
            writer.string(base64::engine::general_purpose::STANDARD.encode(&values[at]).as_bytes());
            writer.end_object();
        }
        TensorData::String(values) => writer.string(&values[at]),
        TensorData::Half(_) | TensorData::Uint16(_) => {
            return Err(Status::invalid(format!(
                "Failed to write JSON value for tensor type: {}",
                tensor.dtype().short_name()
            )));
        }
    }
    Ok(())
}

/// The body of a classification: per example the list of `[label, score]`.
pub(super) fn classification_body(result: &ClassificationResult) -> Result<Vec<u8>, Status> {
    if result.classifications.is_empty() {
        return Err(Status::invalid("Cannot convert empty ClassificationResults to JSON"));
    }
    let mut writer = PrettyWriter::default();
    writer.start_object();
    writer.string(b"results");
    writer.start_array();
    for example in &result.classifications {
        writer.single_line_arrays(true);
        writer.start_array();
        for class in &example.classes {
            writer.start_array();
            writer.string(class.label.as_bytes());
            writer.float(class.score);
            writer.end_array();
        }
        writer.end_array();
        writer.single_line_arrays(false);
    }
    writer.end_array();
    writer.end_object();
    Ok(writer.finish())
}

/// The body of a regression: one value per example, on one line.
pub(super) fn regression_body(result: &RegressionResult) -> Result<Vec<u8>, Status> {
    if result.regressions.is_empty() {
        return Err(Status::invalid("Cannot convert empty RegressionResults to JSON"));
    }
    let mut writer = PrettyWriter::default();
    writer.start_object();
    writer.string(b"results");
    writer.single_line_arrays(true);
    writer.start_array();
    for regression in &result.regressions {
        writer.float(regression.value);
    }
    writer.end_array();
    writer.end_object();
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(outputs: &[(&str, Tensor)], format: Format) -> String {
        let outputs = outputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
        prediction_body(&outputs, format)
            .map_or_else(|error| error.text().into_owned(), |text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn rows_are_one_line_and_columns_are_exploded() {
        let tensor = Tensor::floats(&[2, 1], vec![2.5, 3.0]).unwrap();
        let outputs = [("y", tensor)];
        assert_eq!(body(&outputs, Format::Row), "{\n    \"predictions\": [[2.5], [3.0]\n    ]\n}");
        let column = "{\n    \"outputs\": [\n        [\n            2.5\n        ],\n        [\n            3.0\n        ]\n    ]\n}";
        assert_eq!(body(&outputs, Format::Column), column);
    }

    #[test]
    fn rows_need_equal_batches() {
        let scalar = Tensor::floats(&[], vec![1.0]).unwrap();
        assert_eq!(body(&[("y", scalar.clone())], Format::Row), "Tensor name: y has no shape information ");
        let (two, one) = (Tensor::floats(&[2], vec![1.0; 2]).unwrap(), Tensor::floats(&[1], vec![1.0]).unwrap());
        let message = "Tensor name: z has inconsistent batch size: 1 expecting: 2";
        assert_eq!(body(&[("y", two), ("z", one)], Format::Row), message);
        assert_eq!(body(&[("y", scalar)], Format::Column), "{\n    \"outputs\": 1.0\n}");
        assert_eq!(body(&[], Format::Column), "Cannot convert empty tensor map to JSON");
    }
}
