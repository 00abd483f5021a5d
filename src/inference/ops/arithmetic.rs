//! Arithmetic on each element, and on pairs of them.

use std::sync::Arc;

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::kernel::Activation;
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData};
use super::{Family, Kernel, broadcast, input, one, unsupported_type};
use crate::savedmodel::proto::DataType;

pub(super) const OPS: Family = &[
    ("Abs", |_| Ok(unary(f64::abs, f32::abs, Some(i64::wrapping_abs)))),
    ("Add", |_| Ok(binary(|a, b| a + b, |a, b| a + b, i64::wrapping_add))),
    ("AddN", |_| Ok(Box::new(add_n))),
    ("AddV2", |_| Ok(binary(|a, b| a + b, |a, b| a + b, i64::wrapping_add))),
    ("Ceil", |_| Ok(unary(f64::ceil, f32::ceil, None))),
    ("Cos", |_| Ok(unary(f64::cos, f32::cos, None))),
    ("ClipByValue", |_| Ok(Box::new(clip))),
    ("Div", |_| Ok(division(Rounding::Truncate))),
    ("DivNoNan", |_| {
        let whole = |_, _| Err(unsupported_type(DataType::DtInt64));
        Ok(Box::new(move |inputs, _| {
            pairs(inputs, |a, b| if b == 0.0 { 0.0 } else { a / b }, |a, b| if b == 0.0 { 0.0 } else { a / b }, &whole)
        }))
    }),
    ("Elu", |_| Ok(unary(|x| if x < 0.0 { x.exp_m1() } else { x }, |x| if x < 0.0 { x.exp_m1() } else { x }, None))),
    ("Erf", |_| Ok(unary(erf, |x| erf(f64::from(x)) as f32, None))),
    ("Erfc", |_| Ok(unary(|x| 1.0 - erf(x), |x| (1.0 - erf(f64::from(x))) as f32, None))),
    ("Exp", |_| Ok(unary(f64::exp, f32::exp, None))),
    ("Expm1", |_| Ok(unary(f64::exp_m1, f32::exp_m1, None))),
    ("Floor", |_| Ok(unary(f64::floor, f32::floor, None))),
    ("FloorDiv", |_| Ok(division(Rounding::Floor))),
    ("FloorMod", |_| Ok(remainder())),
    ("LeakyRelu", leaky_relu),
    ("Log", |_| Ok(unary(f64::ln, f32::ln, None))),
    ("Log1p", |_| Ok(unary(f64::ln_1p, f32::ln_1p, None))),
    ("Maximum", |_| Ok(binary(|a, b| if a < b { b } else { a }, |a, b| if a < b { b } else { a }, i64::max))),
    ("Minimum", |_| Ok(binary(|a, b| if b < a { b } else { a }, |a, b| if b < a { b } else { a }, i64::min))),
    ("Mul", |_| Ok(binary(|a, b| a * b, |a, b| a * b, i64::wrapping_mul))),
    ("Neg", |_| Ok(unary(|x| -x, |x| -x, Some(i64::wrapping_neg)))),
    ("Pow", |_| Ok(binary(f64::powf, f32::powf, integer_power))),
    ("RealDiv", |_| Ok(division(Rounding::Truncate))),
    ("Reciprocal", |_| Ok(unary(f64::recip, f32::recip, None))),
    ("Relu", |_| Ok(activation(Activation::Relu))),
    ("Relu6", |_| Ok(activation(Activation::Relu6))),
    ("Round", |_| Ok(unary(f64::round_ties_even, f32::round_ties_even, Some(|x| x)))),
    ("Rsqrt", |_| Ok(unary(|x| x.sqrt().recip(), |x| x.sqrt().recip(), None))),
    ("Selu", |_| Ok(unary(selu, |x| selu(f64::from(x)) as f32, None))),
    ("Sigmoid", |_| Ok(unary(|x| 1.0 / (1.0 + (-x).exp()), |x| 1.0 / (1.0 + (-x).exp()), None))),
    ("Sign", |_| Ok(unary(sign, |x| sign(f64::from(x)) as f32, Some(i64::signum)))),
    ("Sin", |_| Ok(unary(f64::sin, f32::sin, None))),
    ("Softplus", |_| Ok(unary(softplus, |x| softplus(f64::from(x)) as f32, None))),
    ("Softsign", |_| Ok(unary(|x| x / (1.0 + x.abs()), |x| x / (1.0 + x.abs()), None))),
    ("Sqrt", |_| Ok(unary(f64::sqrt, f32::sqrt, None))),
    ("Square", |_| Ok(unary(|x| x * x, |x| x * x, Some(|x| x.wrapping_mul(x))))),
    ("SquaredDifference", |_| Ok(binary(|a, b| (a - b) * (a - b), |a, b| (a - b) * (a - b), squared_difference))),
    ("Sub", |_| Ok(binary(|a, b| a - b, |a, b| a - b, i64::wrapping_sub))),
    ("Tanh", |_| Ok(unary(f64::tanh, f32::tanh, None))),
];

fn erf(x: f64) -> f64 {
    statrs::function::erf::erf(x)
}

/// The remainder with the divisor's sign.
fn remainder() -> Kernel {
    let whole = |a: i64, b: i64| match b {
        0 => Err(RunError::invalid("Integer division by zero")),
        _ => Ok(a.wrapping_rem(b).wrapping_add(b).wrapping_rem(b)),
    };
    Box::new(move |inputs, _| pairs(inputs, |a, b| a - b * (a / b).floor(), |a, b| a - b * (a / b).floor(), &whole))
}

/// Between a least and a most value, as two comparisons.
fn clip(inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
    let [value, least, most] = inputs else { return Err(RunError::invalid("ClipByValue has three inputs")) };
    let none = Attributes::default();
    let smaller = super::build("Minimum", &none)?(&mut [Arc::clone(value), Arc::clone(most)], context)?;
    let smaller = smaller.into_iter().next().ok_or_else(|| RunError::invalid("Minimum gave nothing"))?;
    super::build("Maximum", &none)?(&mut [smaller, Arc::clone(least)], context)
}

fn squared_difference(a: i64, b: i64) -> i64 {
    a.wrapping_sub(b).wrapping_mul(a.wrapping_sub(b))
}

fn integer_power(base: i64, exponent: i64) -> i64 {
    u32::try_from(exponent).map_or(0, |exponent| base.wrapping_pow(exponent))
}

fn sign(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() { x } else { x.signum() }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn selu(x: f64) -> f64 {
    const SCALE: f64 = 1.050_700_987_355_480_5;
    const ALPHA: f64 = 1.673_263_242_354_377_2;
    if x < 0.0 { SCALE * ALPHA * x.exp_m1() } else { SCALE * x }
}

/// Applies `$function` to integers of every width through 64 bits, which wraps as the narrow type would.
macro_rules! widen {
    ($values:expr, $type:ty, $function:expr) => {
        $values.iter().map(|&value| $function(i64::from(value)) as $type).collect()
    };
}

/// An op on single elements; without an integer form it takes floats only.
fn unary(double: fn(f64) -> f64, float: fn(f32) -> f32, whole: Option<fn(i64) -> i64>) -> Kernel {
    Box::new(move |inputs, _| {
        if let Some(Tensor { data: TensorData::Float(values), .. }) = inputs.first_mut().and_then(Arc::get_mut) {
            for value in values.iter_mut() {
                *value = float(*value);
            }
            return Ok(vec![Arc::clone(&inputs[0])]);
        }
        let tensor = input(inputs, 0)?;
        let data = match (&tensor.data, whole) {
            (TensorData::Float(values), _) => TensorData::Float(values.iter().map(|&value| float(value)).collect()),
            (TensorData::Double(values), _) => TensorData::Double(values.iter().map(|&value| double(value)).collect()),
            (TensorData::Int8(values), Some(whole)) => TensorData::Int8(widen!(values, i8, whole)),
            (TensorData::Int16(values), Some(whole)) => TensorData::Int16(widen!(values, i16, whole)),
            (TensorData::Int32(values), Some(whole)) => TensorData::Int32(widen!(values, i32, whole)),
            (TensorData::Int64(values), Some(whole)) => TensorData::Int64(values.iter().map(|&v| whole(v)).collect()),
            _ => return Err(unsupported_type(tensor.dtype())),
        };
        one(tensor.shape.clone(), data)
    })
}

/// An op on pairs of elements of one type.
fn binary(double: fn(f64, f64) -> f64, float: fn(f32, f32) -> f32, whole: fn(i64, i64) -> i64) -> Kernel {
    Box::new(move |inputs, _| pairs(inputs, double, float, &|a, b| Ok(whole(a, b))))
}

fn pairs(
    inputs: &mut [Value],
    double: fn(f64, f64) -> f64,
    float: fn(f32, f32) -> f32,
    whole: &dyn Fn(i64, i64) -> Result<i64, RunError>,
) -> Result<Vec<Value>, RunError> {
    if let [left, right] = inputs
        && left.shape == right.shape
        && let TensorData::Float(others) = &right.data
        && let Some(Tensor { data: TensorData::Float(values), .. }) = Arc::get_mut(left)
    {
        values.iter_mut().zip(others).for_each(|(value, &other)| *value = float(*value, other));
        return Ok(vec![Arc::clone(left)]);
    }
    let (left, right) = (input(inputs, 0)?, input(inputs, 1)?);
    let dtype = left.dtype();
    macro_rules! integers {
        ($kind:ident, $a:expr, $b:expr, $type:ty) => {{
            let (shape, values) = broadcast::zip((&left.shape, $a), (&right.shape, $b), dtype, |a, b| {
                // 64 unsigned bits wrap to the same result.
                #[allow(clippy::cast_lossless)]
                whole(a as i64, b as i64).map(|value| value as $type)
            })?;
            (shape, TensorData::$kind(values.into_iter().collect::<Result<_, _>>()?))
        }};
    }
    let (shape, data) = match (&left.data, &right.data) {
        (TensorData::Float(a), TensorData::Float(b)) => {
            let (shape, values) = broadcast::zip((&left.shape, a), (&right.shape, b), dtype, float)?;
            (shape, TensorData::Float(values))
        }
        (TensorData::Double(a), TensorData::Double(b)) => {
            let (shape, values) = broadcast::zip((&left.shape, a), (&right.shape, b), dtype, double)?;
            (shape, TensorData::Double(values))
        }
        (TensorData::Int8(a), TensorData::Int8(b)) => integers!(Int8, a, b, i8),
        (TensorData::Int16(a), TensorData::Int16(b)) => integers!(Int16, a, b, i16),
        (TensorData::Int32(a), TensorData::Int32(b)) => integers!(Int32, a, b, i32),
        (TensorData::Int64(a), TensorData::Int64(b)) => integers!(Int64, a, b, i64),
        (TensorData::Uint8(a), TensorData::Uint8(b)) => integers!(Uint8, a, b, u8),
        (TensorData::Uint16(a), TensorData::Uint16(b)) => integers!(Uint16, a, b, u16),
        (TensorData::Uint32(a), TensorData::Uint32(b)) => integers!(Uint32, a, b, u32),
        _ if right.dtype() == dtype => return Err(unsupported_type(dtype)),
        _ => {
            let (left, right) = (dtype.short_name(), right.dtype().short_name());
            return Err(RunError::invalid(format!("expected {left} for both inputs, but one is {right}")));
        }
    };
    one(shape, data)
}

#[derive(Clone, Copy)]
enum Rounding {
    Truncate,
    Floor,
}

fn division(rounding: Rounding) -> Kernel {
    let whole = move |a: i64, b: i64| match (b, rounding) {
        (0, _) => Err(RunError::invalid("Integer division by zero")),
        (_, Rounding::Truncate) => Ok(a.wrapping_div(b)),
        (_, Rounding::Floor) => {
            let quotient = a.wrapping_div(b);
            Ok(if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
        }
    };
    match rounding {
        Rounding::Truncate => Box::new(move |inputs, _| pairs(inputs, |a, b| a / b, |a, b| a / b, &whole)),
        Rounding::Floor => {
            Box::new(move |inputs, _| pairs(inputs, |a, b| (a / b).floor(), |a, b| (a / b).floor(), &whole))
        }
    }
}

fn add_n(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let mut sum = Arc::clone(inputs.first().ok_or_else(|| RunError::invalid("AddN has no input"))?);
    for other in &inputs[1..] {
        if other.shape != sum.shape {
            return Err(RunError::invalid("Inputs to operation AddN must have the same size and shape."));
        }
        let added = pairs(&mut [sum, Arc::clone(other)], |a, b| a + b, |a, b| a + b, &|a, b| Ok(a.wrapping_add(b)))?;
        sum = added.into_iter().next().ok_or_else(|| RunError::invalid("AddN has no result"))?;
    }
    Ok(vec![sum])
}

fn activation(activation: Activation) -> Kernel {
    Box::new(move |inputs, context| activate(inputs, activation, context))
}

/// Applies an activation to a tensor of any real type.
pub(crate) fn activate(inputs: &mut [Value], kind: Activation, _: &Context) -> Result<Vec<Value>, RunError> {
    if kind == Activation::None {
        return Ok(vec![Arc::clone(&inputs[0])]);
    }
    let most = if kind == Activation::Relu6 { 6 } else { i64::MAX };
    if let Some(Tensor { data: TensorData::Float(values), .. }) = inputs.first_mut().and_then(Arc::get_mut) {
        for value in values.iter_mut() {
            *value = kind.apply(*value);
        }
        return Ok(vec![Arc::clone(&inputs[0])]);
    }
    let tensor = input(inputs, 0)?;
    let data = match &tensor.data {
        TensorData::Float(values) => TensorData::Float(values.iter().map(|&value| kind.apply(value)).collect()),
        TensorData::Double(values) => {
            let most = if kind == Activation::Relu6 { 6.0 } else { f64::INFINITY };
            let clip = |&value: &f64| {
                if value < 0.0 {
                    0.0
                } else if value > most {
                    most
                } else {
                    value
                }
            };
            TensorData::Double(values.iter().map(clip).collect())
        }
        TensorData::Int8(values) => TensorData::Int8(widen!(values, i8, |v: i64| v.clamp(0, most))),
        TensorData::Int16(values) => TensorData::Int16(widen!(values, i16, |v: i64| v.clamp(0, most))),
        TensorData::Int32(values) => TensorData::Int32(widen!(values, i32, |v: i64| v.clamp(0, most))),
        TensorData::Int64(values) => TensorData::Int64(values.iter().map(|&v| v.clamp(0, most)).collect()),
        _ => return Err(unsupported_type(tensor.dtype())),
    };
    one(tensor.shape.clone(), data)
}

fn leaky_relu(attributes: &Attributes) -> Result<Kernel, RunError> {
    let alpha = attributes.float("alpha", 0.2)?;
    Ok(Box::new(move |inputs, _| {
        let tensor = input(inputs, 0)?;
        let data = match &tensor.data {
            TensorData::Float(values) => {
                TensorData::Float(values.iter().map(|&x| if x > 0.0 { x } else { alpha * x }).collect())
            }
            TensorData::Double(values) => {
                let alpha = f64::from(alpha);
                TensorData::Double(values.iter().map(|&x| if x > 0.0 { x } else { alpha * x }).collect())
            }
            _ => return Err(unsupported_type(tensor.dtype())),
        };
        one(tensor.shape.clone(), data)
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run};

    #[test]
    fn single_elements() {
        // Values by NumPy (float32).
        for (op, input, expected) in [
            ("Abs", [-1.5, 2.0], [1.5, 2.0]),
            ("Elu", [-1.0, 2.0], [-0.632_120_55, 2.0]),
            ("Erf", [-0.5, 2.0], [-0.520_499_9, 0.995_322_3]),
            ("Erfc", [0.0, 0.5], [1.0, 0.479_500_12]),
            ("Exp", [0.0, 1.0], [1.0, 2.718_281_7]),
            ("Expm1", [0.0, 1.0], [0.0, 1.718_281_7]),
            ("Softsign", [-1.0, 3.0], [-0.5, 0.75]),
            ("Log", [1.0, 2.0], [0.0, std::f32::consts::LN_2]),
            ("Neg", [1.0, -2.0], [-1.0, 2.0]),
            ("Relu", [-1.0, 7.0], [0.0, 7.0]),
            ("Relu6", [-1.0, 7.0], [0.0, 6.0]),
            ("Round", [0.5, 1.5], [0.0, 2.0]),
            ("Rsqrt", [4.0, 0.25], [0.5, 2.0]),
            ("Selu", [-1.0, 1.0], [-1.111_330_7, 1.050_701]),
            ("Sigmoid", [0.0, 2.0], [0.5, 0.880_797]),
            ("Sign", [-3.0, 0.0], [-1.0, 0.0]),
            ("Softplus", [0.0, 100.0], [std::f32::consts::LN_2, 100.0]),
            ("Sqrt", [4.0, 9.0], [2.0, 3.0]),
            ("Square", [3.0, -2.0], [9.0, 4.0]),
            ("Tanh", [0.0, 1.0], [0.0, 0.761_594_2]),
            ("LeakyRelu", [-1.0, 1.0], [-0.2, 1.0]),
        ] {
            let result = run(op, &[], &[floats(&[2], &input)]).unwrap();
            for (got, want) in result.as_floats().unwrap().iter().zip(expected) {
                assert!((got - want).abs() < 1e-6, "{op}: {got} is not {want}");
            }
        }
        assert_eq!(run("Neg", &[], &[ints(&[3, i32::MIN])]).unwrap(), ints(&[-3, i32::MIN]));
        assert_eq!(run("Exp", &[], &[ints(&[3])]).unwrap_err().code, super::super::StatusCode::Unimplemented);
    }

    #[test]
    fn pairs_of_elements() {
        for (op, expected) in [
            ("AddV2", [5.0, 1.0]),
            ("Sub", [3.0, -5.0]),
            ("Mul", [4.0, -6.0]),
            ("RealDiv", [4.0, -2.0 / 3.0]),
            ("FloorDiv", [4.0, -1.0]),
            ("FloorMod", [0.0, 1.0]),
            ("DivNoNan", [4.0, -2.0 / 3.0]),
            ("Maximum", [4.0, 3.0]),
            ("Minimum", [1.0, -2.0]),
            ("Pow", [4.0, -8.0]),
            ("SquaredDifference", [9.0, 25.0]),
        ] {
            let result = run(op, &[], &[floats(&[2], &[4.0, -2.0]), floats(&[2], &[1.0, 3.0])]).unwrap();
            assert_eq!(result, floats(&[2], &expected), "{op}");
        }
        assert_eq!(run("Mul", &[], &[ints(&[1 << 30]), ints(&[4])]).unwrap(), ints(&[0]));
        assert_eq!(run("FloorDiv", &[], &[ints(&[-7, 7]), ints(&[2])]).unwrap(), ints(&[-4, 3]));
        assert_eq!(run("FloorMod", &[], &[ints(&[-7, 7]), ints(&[3])]).unwrap(), ints(&[2, 1]));
        assert_eq!(run("FloorMod", &[], &[ints(&[7]), ints(&[-3])]).unwrap(), ints(&[-2]));
        let clipped = run("ClipByValue", &[], &[ints(&[-7, 1, 9]), ints(&[0]), ints(&[5])]).unwrap();
        assert_eq!(clipped, ints(&[0, 1, 5]));
        assert_eq!(run("Div", &[], &[ints(&[-7]), ints(&[2])]).unwrap(), ints(&[-3]));
        assert_eq!(run("Div", &[], &[ints(&[1]), ints(&[0])]).unwrap_err().message, "Integer division by zero");
        assert!(run("Add", &[], &[ints(&[1]), floats(&[1], &[1.0])]).is_err());
        assert!(run("Add", &[], &[ints(&[1])]).is_err());
        assert_eq!(run("AddN", &[], &[ints(&[1]), ints(&[2]), ints(&[3])]).unwrap(), ints(&[6]));
    }
}
