//! Comparisons, logic and choice.

use std::cmp::Ordering;

use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData, shape_text};
use super::{Family, Kernel, broadcast, input, one, unsupported_type, walk};
use crate::savedmodel::proto::DataType;

pub(super) const OPS: Family = &[
    ("Equal", |_| Ok(comparison(|o| o == Some(Ordering::Equal)))),
    ("Greater", |_| Ok(comparison(|o| o == Some(Ordering::Greater)))),
    ("GreaterEqual", |_| Ok(comparison(|o| o.is_some_and(Ordering::is_ge)))),
    ("IsFinite", |_| Ok(each(f64::is_finite))),
    ("IsInf", |_| Ok(each(f64::is_infinite))),
    ("IsNan", |_| Ok(each(f64::is_nan))),
    ("Less", |_| Ok(comparison(|o| o == Some(Ordering::Less)))),
    ("LessEqual", |_| Ok(comparison(|o| o.is_some_and(Ordering::is_le)))),
    ("LogicalAnd", |_| Ok(logic(|a, b| a && b))),
    ("LogicalNot", |_| Ok(Box::new(not))),
    ("LogicalOr", |_| Ok(logic(|a, b| a || b))),
    ("NotEqual", |_| Ok(comparison(|o| o != Some(Ordering::Equal)))),
    ("Select", |_| Ok(Box::new(select))),
    ("SelectV2", |_| Ok(Box::new(select_v2))),
];

fn comparison(holds: fn(Option<Ordering>) -> bool) -> Kernel {
    Box::new(move |inputs, _| {
        let (left, right) = (input(inputs, 0)?, input(inputs, 1)?);
        macro_rules! compare {
            ($($kind:ident),+) => {
                match (&left.data, &right.data) {
                    $( (TensorData::$kind(a), TensorData::$kind(b)) => {
                        broadcast::zip((&left.shape, a), (&right.shape, b), DataType::DtBool, |a, b| holds(a.partial_cmp(&b)))?
                    } )+
                    (TensorData::String(a), TensorData::String(b)) => {
                        let (a, b): (Vec<&[u8]>, Vec<&[u8]>) =
                            (a.iter().map(Vec::as_slice).collect(), b.iter().map(Vec::as_slice).collect());
                        let of = |a: &[u8], b: &[u8]| holds(Some(a.cmp(b)));
                        broadcast::zip((&left.shape, &a), (&right.shape, &b), DataType::DtBool, of)?
                    }
                    _ => return Err(unsupported_type(left.dtype())),
                }
            };
        }
        let (shape, values) = compare!(Float, Double, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Bool);
        one(shape, TensorData::Bool(values))
    })
}

fn booleans(tensor: &Tensor) -> Result<&[bool], RunError> {
    match &tensor.data {
        TensorData::Bool(values) => Ok(values),
        _ => Err(unsupported_type(tensor.dtype())),
    }
}

fn logic(combine: fn(bool, bool) -> bool) -> Kernel {
    Box::new(move |inputs, _| {
        let (left, right) = (input(inputs, 0)?, input(inputs, 1)?);
        let (a, b) = (booleans(left)?, booleans(right)?);
        let (shape, values) = broadcast::zip((&left.shape, a), (&right.shape, b), DataType::DtBool, combine)?;
        one(shape, TensorData::Bool(values))
    })
}

fn not(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let tensor = input(inputs, 0)?;
    let values = booleans(tensor)?.iter().map(|value| !value).collect();
    one(tensor.shape.clone(), TensorData::Bool(values))
}

/// The older form: a vector of conditions chooses whole rows.
fn select(inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
    let (condition, yes) = (input(inputs, 0)?, input(inputs, 1)?);
    if yes.shape != input(inputs, 2)?.shape {
        let text = format!(
            "'then' and 'else' must have the same size.  but received: {} vs. {}",
            shape_text(&yes.shape),
            shape_text(&input(inputs, 2)?.shape)
        );
        return Err(RunError::invalid(text));
    }
    if condition.shape.len() == 1 && yes.shape.len() > 1 && condition.shape[0] == yes.shape[0] {
        let mut shape = vec![1; yes.shape.len()];
        shape[0] = condition.shape[0];
        let stretched = Tensor { shape, data: condition.data.clone() };
        let (yes, no) = (Value::clone(&inputs[1]), Value::clone(&inputs[2]));
        return select_v2(&mut [Value::new(stretched), yes, no], context);
    }
    if !condition.shape.is_empty() && condition.shape != yes.shape {
        let text = format!(
            "Inputs to operation Select must have the same size and shape.  Input 0: {} != input 1: {}",
            shape_text(&condition.shape),
            shape_text(&yes.shape)
        );
        return Err(RunError::invalid(text));
    }
    select_v2(inputs, context)
}

fn select_v2(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (condition, yes, no) = (input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?);
    let flags = booleans(condition)?;
    let shape = broadcast::shape(&condition.shape, &broadcast::shape(&yes.shape, &no.shape)?)?;
    Context::allowed(&shape, yes.dtype())?;
    let places = |tensor: &Tensor| {
        let mut places = Vec::new();
        walk(&shape, &broadcast::steps(&tensor.shape, &shape), 0, |at| places.push(at));
        places
    };
    let (first, second) = (places(yes), places(no));
    macro_rules! choose {
        ($($kind:ident),+) => {
            match (&yes.data, &no.data) {
                $( (TensorData::$kind(a), TensorData::$kind(b)) => {
                    let mut out = Vec::with_capacity(first.len());
                    let mut next = first.iter().zip(&second);
                    walk(&shape, &broadcast::steps(&condition.shape, &shape), 0, |at| {
                        if let Some((&first, &second)) = next.next() {
                            out.push(if flags[at] { a[first].clone() } else { b[second].clone() });
                        }
                    });
                    TensorData::$kind(out)
                } )+
                _ => return Err(unsupported_type(yes.dtype())),
            }
        };
    }
    let data = choose!(Float, Double, Half, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Bool, String);
    one(shape, data)
}

/// A question about single floats.
fn each(ask: fn(f64) -> bool) -> Kernel {
    Box::new(move |inputs, _| {
        let tensor = input(inputs, 0)?;
        let answers = match &tensor.data {
            TensorData::Float(values) => values.iter().map(|&value| ask(f64::from(value))).collect(),
            TensorData::Double(values) => values.iter().map(|&value| ask(value)).collect(),
            _ => return Err(unsupported_type(tensor.dtype())),
        };
        one(tensor.shape.clone(), TensorData::Bool(answers))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run};
    use super::*;

    fn flags(values: &[bool]) -> Tensor {
        Tensor::new(&[values.len()], TensorData::Bool(values.to_vec())).unwrap()
    }

    #[test]
    fn comparisons_and_logic() {
        let (left, right) = (floats(&[3], &[1.0, 2.0, f32::NAN]), floats(&[3], &[1.0, 3.0, f32::NAN]));
        for (op, expected) in [
            ("Equal", [true, false, false]),
            ("NotEqual", [false, true, true]),
            ("Less", [false, true, false]),
            ("LessEqual", [true, true, false]),
            ("Greater", [false, false, false]),
            ("GreaterEqual", [true, false, false]),
        ] {
            assert_eq!(run(op, &[], &[left.clone(), right.clone()]).unwrap(), flags(&expected), "{op}");
        }
        let (a, b) = (flags(&[true, true]), flags(&[true, false]));
        assert_eq!(run("LogicalAnd", &[], &[a.clone(), b.clone()]).unwrap(), b);
        assert_eq!(run("LogicalOr", &[], &[a.clone(), b.clone()]).unwrap(), a);
        assert_eq!(run("LogicalNot", &[], &[b]).unwrap(), flags(&[false, true]));
        let text = |value: &str| Tensor::new(&[1], TensorData::String(vec![value.into()])).unwrap();
        assert_eq!(run("Equal", &[], &[text("a"), text("a")]).unwrap(), flags(&[true]));
    }

    #[test]
    fn choice() {
        let condition = flags(&[true, false]);
        assert_eq!(run("SelectV2", &[], &[condition.clone(), ints(&[1, 2]), ints(&[9])]).unwrap(), ints(&[1, 9]));
        let (yes, no) = (floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), floats(&[2, 2], &[0.0; 4]));
        let rows = run("Select", &[], &[condition.clone(), yes.clone(), no]).unwrap();
        assert_eq!(rows, floats(&[2, 2], &[1.0, 2.0, 0.0, 0.0]));
        assert!(run("Select", &[], &[condition, yes, ints(&[1])]).is_err());
    }
}
