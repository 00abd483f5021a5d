//! CRC-32C as TensorFlow and LevelDB store it.

/// Added after rotating, so that the checksum of data that contains checksums is not a fixed point.
const MASK_DELTA: u32 = 0xa282_ead8;

/// The stored form of a plain CRC-32C.
pub(super) fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK_DELTA)
}

/// The masked CRC-32C of `bytes`.
pub(super) fn masked(bytes: &[u8]) -> u32 {
    mask(crc32c::crc32c(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_check_value() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(mask(0xe306_9283), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
        assert_ne!(masked(b""), 0);
    }
}
