//! Conversion between types.

use super::super::attributes::Attributes;
use super::super::status::{RunError, StatusCode};
use super::super::tensor::TensorData;
use super::{Family, Kernel, input, one};
use crate::savedmodel::proto::DataType;

pub(super) const OPS: Family = &[("Cast", cast)];

/// The value of a half-precision bit pattern.
pub(super) fn half_to_float(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// The nearest half-precision bit pattern, ties to even.
fn float_to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Below the normal range the unit is 2^-24.
        return sign | (f32::from_bits(magnitude) * 2f32.powi(24)).round_ties_even() as u16;
    }
    let rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

fn cast(attributes: &Attributes) -> Result<Kernel, RunError> {
    let (from, to) = (attributes.dtype("SrcT", DataType::DtInvalid)?, attributes.dtype("DstT", DataType::DtInvalid)?);
    let refusal = move || {
        let text = format!("Cast {} to {} is not supported", from.short_name(), to.short_name());
        RunError::new(StatusCode::Unimplemented, text)
    };
    if super::super::constant::zeros(to, 0).is_none() || to == DataType::DtString {
        return Err(refusal());
    }
    Ok(Box::new(move |inputs, _| {
        let tensor = input(inputs, 0)?;
        if tensor.dtype() == to {
            return Ok(vec![std::sync::Arc::clone(&inputs[0])]);
        }
        // Floats become integers by truncation; what does not fit is undefined in TensorFlow and saturates here.
        macro_rules! spread {
            ($values:expr) => {
                match to {
                    DataType::DtFloat => TensorData::Float($values.map(|v| v as f32).collect()),
                    DataType::DtDouble => TensorData::Double($values.map(|v| v as f64).collect()),
                    DataType::DtHalf => TensorData::Half($values.map(|v| float_to_half(v as f32)).collect()),
                    DataType::DtInt8 => TensorData::Int8($values.map(|v| v as i8).collect()),
                    DataType::DtInt16 => TensorData::Int16($values.map(|v| v as i16).collect()),
                    DataType::DtInt32 => TensorData::Int32($values.map(|v| v as i32).collect()),
                    DataType::DtInt64 => TensorData::Int64($values.map(|v| v as i64).collect()),
                    DataType::DtUint8 => TensorData::Uint8($values.map(|v| v as u8).collect()),
                    DataType::DtUint16 => TensorData::Uint16($values.map(|v| v as u16).collect()),
                    DataType::DtUint32 => TensorData::Uint32($values.map(|v| v as u32).collect()),
                    DataType::DtUint64 => TensorData::Uint64($values.map(|v| v as u64).collect()),
                    DataType::DtBool => TensorData::Bool($values.map(|v| v as f64 != 0.0).collect()),
                    _ => return Err(refusal()),
                }
            };
        }
        #[allow(clippy::cast_lossless)] // One pattern serves widening and narrowing.
        let data = match &tensor.data {
            TensorData::Float(values) => spread!(values.iter().copied()),
            TensorData::Double(values) => spread!(values.iter().copied()),
            TensorData::Half(values) => spread!(values.iter().map(|&bits| half_to_float(bits))),
            TensorData::Int8(values) => spread!(values.iter().copied()),
            TensorData::Int16(values) => spread!(values.iter().copied()),
            TensorData::Int32(values) => spread!(values.iter().copied()),
            TensorData::Int64(values) => spread!(values.iter().copied()),
            TensorData::Uint8(values) => spread!(values.iter().copied()),
            TensorData::Uint16(values) => spread!(values.iter().copied()),
            TensorData::Uint32(values) => spread!(values.iter().copied()),
            TensorData::Uint64(values) => spread!(values.iter().copied()),
            TensorData::Bool(values) => spread!(values.iter().map(|&value| u8::from(value))),
            TensorData::String(_) => return Err(refusal()),
        };
        one(tensor.shape.clone(), data)
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run};
    use super::*;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    #[test]
    fn values_keep_their_meaning() {
        let to = |dtype: DataType| [("DstT", Attribute::Type(dtype as i32))];
        assert_eq!(run("Cast", &to(DataType::DtFloat), &[ints(&[-3])]).unwrap(), floats(&[1], &[-3.0]));
        assert_eq!(run("Cast", &to(DataType::DtInt32), &[floats(&[2], &[-1.9, 2.9])]).unwrap(), ints(&[-1, 2]));
        let flags = run("Cast", &to(DataType::DtBool), &[ints(&[0, 2])]).unwrap();
        assert_eq!(flags.data, TensorData::Bool(vec![false, true]));
        assert!(run("Cast", &to(DataType::DtString), &[ints(&[0])]).is_err());
    }

    #[test]
    fn every_half_survives_the_way_through_float() {
        for bits in 0..=u16::MAX {
            let value = half_to_float(bits);
            assert!(value.is_nan() || float_to_half(value) == bits, "{bits:#06x}");
        }
        assert_eq!(half_to_float(0x3555).to_bits(), 0.333_251_95f32.to_bits());
        assert_eq!(float_to_half(65520.0), 0x7c00);
    }
}
