//! Tensors of strings in a bundle: lengths, a checksum of the lengths, then the strings.

use crate::savedmodel::checksum;
use crate::savedmodel::damage::Damage;

/// The masked checksum that TensorFlow stores for a string tensor.
///
/// It covers each length as a little-endian number of 4 bytes (8 if it needs them), then the stored checksum of the
/// lengths, then the strings (`WriteStringTensor` in `tensor_bundle.cc`).
pub(super) fn masked_checksum(bytes: &[u8], elements: usize) -> Result<u32, Damage> {
    let damage = |reason: &str| Damage::Malformed { format: "string tensor", reason: reason.to_owned() };
    let mut position = 0;
    let mut crc = 0;
    let mut total = 0u64;
    for _ in 0..elements {
        let length = varint(bytes, &mut position).ok_or_else(|| damage("a length is cut off"))?;
        total = total.checked_add(length).ok_or_else(|| damage("its lengths overflow"))?;
        crc = match u32::try_from(length) {
            Ok(short) => crc32c::crc32c_append(crc, &short.to_le_bytes()),
            Err(_) => crc32c::crc32c_append(crc, &length.to_le_bytes()),
        };
    }
    let rest = &bytes[position..];
    let Some((stored, strings)) = rest.split_first_chunk::<4>() else {
        return Err(damage("the checksum of its lengths is cut off"));
    };
    let stored_value = u32::from_le_bytes(*stored);
    let computed = checksum::mask(crc);
    if stored_value != computed {
        return Err(Damage::Checksum { what: "a string tensor's lengths".to_owned(), stored: stored_value, computed });
    }
    if strings.len() as u64 != total {
        return Err(damage("its strings do not have the lengths that it lists"));
    }
    crc = crc32c::crc32c_append(crc, stored);
    Ok(checksum::mask(crc32c::crc32c_append(crc, strings)))
}

fn varint(bytes: &[u8], position: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*position)?;
        *position += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
