//! `Assert`: fails with the values that it was given to show.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData};
use super::{Family, Kernel, input};

pub(super) const OPS: Family = &[("Assert", assert)];

/// Elements of each value that a message shows when the node does not say how many.
const SHOWN: i64 = 3;

fn assert(attributes: &Attributes) -> Result<Kernel, RunError> {
    let shown = attributes.integer("summarize", SHOWN)?;
    Ok(Box::new(move |inputs, _| {
        let condition = input(inputs, 0)?;
        match (&condition.data, &condition.shape[..]) {
            (TensorData::Bool(values), []) if values.first() == Some(&true) => Ok(Vec::new()),
            (TensorData::Bool(_), []) => Err(RunError::invalid(message(&inputs[1..], shown))),
            (_, []) => Err(super::unsupported_type(condition.dtype())),
            _ => Err(RunError::invalid("In[0] should be a scalar: shape of the condition of Assert")),
        }
    }))
}

/// The text of TensorFlow 2.5 (`core/kernels/logging_ops.cc`).
fn message(values: &[Value], shown: i64) -> String {
    let shown = usize::try_from(shown).unwrap_or(usize::MAX);
    let values: Vec<String> = values.iter().map(|value| format!("[{}]", summary(value, shown))).collect();
    format!("assertion failed: {}", values.join(" "))
}

/// The first elements, with brackets around each row (`core/framework/tensor.cc`, the first of its two forms).
fn summary(tensor: &Tensor, shown: usize) -> String {
    let texts = texts(&tensor.data, shown);
    let mut out = String::new();
    match &tensor.shape[..] {
        [] => out.push_str(&texts.concat()),
        shape => one_dimension(shape, true, &mut texts.iter(), &mut out),
    }
    if tensor.len() > shown {
        out.push_str("...");
    }
    out
}

fn one_dimension(shape: &[usize], outermost: bool, texts: &mut std::slice::Iter<'_, String>, out: &mut String) {
    let [count, inner @ ..] = shape else { return };
    for index in 0..*count {
        if texts.len() == 0 {
            if inner.is_empty() && !outermost && index > 0 {
                out.push_str("...");
            }
            return;
        }
        if inner.is_empty() {
            out.push_str(if index > 0 { " " } else { "" });
            out.push_str(texts.next().map_or("", String::as_str));
        } else {
            out.push('[');
            one_dimension(inner, false, texts, out);
            out.push(']');
        }
    }
}

fn texts(data: &TensorData, shown: usize) -> Vec<String> {
    macro_rules! plain {
        ($values:expr) => {
            $values.iter().take(shown).map(ToString::to_string).collect()
        };
    }
    match data {
        TensorData::Float(values) => values
            .iter()
            .take(shown)
            .map(|value| number(f64::from(*value), value.to_string(), format!("{value:e}")))
            .collect(),
        TensorData::Double(values) => {
            values.iter().take(shown).map(|value| number(*value, value.to_string(), format!("{value:e}"))).collect()
        }
        TensorData::Half(values) => {
            let floats = values.iter().take(shown).map(|&bits| super::convert::half_to_float(bits));
            floats.map(|value| number(f64::from(value), value.to_string(), format!("{value:e}"))).collect()
        }
        TensorData::Int8(values) => plain!(values),
        TensorData::Int16(values) => plain!(values),
        TensorData::Int32(values) => plain!(values),
        TensorData::Int64(values) => plain!(values),
        TensorData::Uint8(values) => plain!(values),
        TensorData::Uint16(values) => plain!(values),
        TensorData::Uint32(values) => plain!(values),
        TensorData::Uint64(values) => plain!(values),
        TensorData::Bool(values) => values.iter().take(shown).map(|&value| u8::from(value).to_string()).collect(),
        TensorData::String(values) => values.iter().take(shown).map(|value| escaped(value)).collect(),
    }
}

/// As C's `%g` writes it: with an exponent of two digits when the number is large or small.
fn number(value: f64, plain: String, scientific: String) -> String {
    if !value.is_finite() {
        return plain.to_lowercase();
    }
    if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
        return plain;
    }
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Text with C's escapes.
fn escaped(text: &[u8]) -> String {
    let one = |&byte: &u8| match byte {
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'"' | b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        0x20..0x7f => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    text.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run_all};
    use super::*;
    use crate::inference::status::StatusCode;

    fn truth(value: bool) -> Tensor {
        Tensor::new(&[], TensorData::Bool(vec![value])).unwrap()
    }

    #[test]
    fn what_holds_gives_nothing_and_what_does_not_shows_its_values() {
        assert_eq!(run_all("Assert", &[], &[truth(true)]).unwrap(), []);
        let text = Tensor::new(&[], TensorData::String(vec![b"it's \x01\n".to_vec()])).unwrap();
        let values = [
            truth(false),
            text,
            ints(&[1, 2, 3, 4]),
            floats(&[2, 2], &[0.5, 1e7, 1e-5, 2.0]),
            floats(&[2, 1], &[f32::NAN, 3.0]),
        ];
        let error = run_all("Assert", &[], &values).unwrap_err();
        assert_eq!(error.code, StatusCode::InvalidArgument);
        let expected = r"assertion failed: [it\'s \001\n] [1 2 3...] [[0.5 1e+07][1e-05...]...] [[nan][3]]";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn a_condition_is_one_truth_value() {
        assert!(run_all("Assert", &[], &[ints(&[1])]).is_err());
        assert!(run_all("Assert", &[], &[]).is_err());
        assert!(run_all("Assert", &[], &[Tensor::new(&[], TensorData::Int32(vec![1])).unwrap()]).is_err());
    }
}
