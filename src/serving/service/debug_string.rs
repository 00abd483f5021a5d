//! Protocol buffers' text form, where error texts quote it.

use std::fmt::Write as _;

use crate::savedmodel::proto::{DataType, SignatureDef, TensorInfo};

/// A signature as `DebugString()` prints it: two blanks a level, maps in the order of their keys.
pub(super) fn debug_signature(signature: &SignatureDef) -> String {
    let mut text = String::new();
    for (field, tensors) in [("inputs", &signature.inputs), ("outputs", &signature.outputs)] {
        for (key, info) in tensors {
            let _ = writeln!(text, "{field} {{\n  key: {}\n  value {{", quoted(key));
            write_info(info, &mut text);
            text.push_str("  }\n}\n");
        }
    }
    if !signature.method_name.is_empty() {
        let _ = writeln!(text, "method_name: {}", quoted(&signature.method_name));
    }
    text
}

fn write_info(info: &TensorInfo, text: &mut String) {
    if let Some(name) = info.tensor_name() {
        let _ = writeln!(text, "    name: {}", quoted(name));
    }
    if info.dtype != 0 {
        let name = DataType::try_from(info.dtype)
            .map_or_else(|_| info.dtype.to_string(), |dtype| dtype.proto_name().to_owned());
        let _ = writeln!(text, "    dtype: {name}");
    }
    if let Some(shape) = &info.tensor_shape {
        text.push_str("    tensor_shape {\n");
        for dim in &shape.dim {
            text.push_str("      dim {\n");
            if dim.size != 0 {
                let _ = writeln!(text, "        size: {}", dim.size);
            }
            if !dim.name.is_empty() {
                let _ = writeln!(text, "        name: {}", quoted(&dim.name));
            }
            text.push_str("      }\n");
        }
        if shape.unknown_rank {
            text.push_str("      unknown_rank: true\n");
        }
        text.push_str("    }\n");
    }
}

/// A string in C's notation: octal for what is not printable ASCII.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for byte in value.bytes() {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\'' => text.push_str("\\'"),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text.push('"');
    text
}

/// A shape as `TensorShape::DebugString()` prints it: `[2,3]`.
pub(super) fn debug_shape(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::savedmodel::proto::{TensorShapeProto, tensor_info};

    #[test]
    fn a_signature_prints_like_text_format() {
        let info = TensorInfo {
            encoding: Some(tensor_info::Encoding::Name("x:0".into())),
            dtype: DataType::DtFloat as i32,
            tensor_shape: Some(TensorShapeProto::of(&[-1])),
        };
        let signature = SignatureDef {
            inputs: [("x".to_owned(), info)].into(),
            method_name: "tensorflow/serving/predict".into(),
            ..SignatureDef::default()
        };
        let expected = "inputs {\n  key: \"x\"\n  value {\n    name: \"x:0\"\n    dtype: DT_FLOAT\n    tensor_shape {\n      \
                        dim {\n        size: -1\n      }\n    }\n  }\n}\nmethod_name: \"tensorflow/serving/predict\"\n";
        assert_eq!(debug_signature(&signature), expected);
    }
}
