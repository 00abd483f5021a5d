//! Baseline JPEG, decoded as the tutorial's published answers need it.
//!
//! The published top-10 lists come out only when the picture is decoded with the accurate integer inverse DCT and with
//! plain chroma upsampling (each chroma sample repeated), as `tf.io.decode_jpeg(fancy_upscaling=False,
//! dct_method="INTEGER_ACCURATE")` does; other decoders differ by a level or two and change the order in the tail of
//! the list. So this one follows the JPEG standard (ITU-T T.81) and the arithmetic of libjpeg's `jidctint` and
//! `jdcolor` to the bit. What is not 8-bit sequential Huffman (progressive, arithmetic, lossless, CMYK) is reported as
//! [`JpegError::NotBaseline`], and the caller falls back to another decoder.
//!
//! Called by the pictures of [`crate::models`]. Memory is bounded by [`MAX_PIXELS`].

mod frame;
mod huffman;
mod idct;

pub use frame::{MAX_PIXELS, decode};

/// A decoded picture: `height × width × 3` bytes, rows from the top, RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// The samples, three a pixel.
    pub samples: Vec<u8>,
}

/// Why a JPEG was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// The bytes do not begin like a JPEG.
    #[error("not a JPEG: it does not begin with FF D8")]
    NotJpeg,
    /// A JPEG of a kind that this decoder leaves to others.
    #[error("not a baseline JPEG: {0}")]
    NotBaseline(&'static str),
    /// The file ends too early.
    #[error("the JPEG ends in the middle of {0}")]
    Truncated(&'static str),
    /// Something in it contradicts the standard.
    #[error("the JPEG is corrupt: {0}")]
    Corrupt(&'static str),
    /// More pixels than this program takes.
    #[error("the JPEG has {width}x{height} pixels, more than {MAX_PIXELS}")]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::path::Path;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg").join(name)).unwrap()
    }

    /// What TensorFlow decodes a picture to: width, height, sha256 of the samples (`tests/reference/jpeg_golden.py`).
    fn golden(name: &str) -> (usize, usize, String) {
        let golden: serde_json::Value = serde_json::from_slice(&fixture("golden.json")).unwrap();
        let picture = &golden["pictures"][name];
        let number = |key: &str| picture[key].as_u64().unwrap() as usize;
        (number("width"), number("height"), picture["sha256"].as_str().unwrap().to_owned())
    }

    struct Hex<'a>(&'a [u8]);

    impl std::fmt::LowerHex for Hex<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }

    fn assert_like_tensorflow(name: &str, bytes: &[u8]) {
        let rgb = decode(bytes).unwrap();
        let (width, height, sha256) = golden(name);
        assert_eq!((rgb.width, rgb.height), (width, height), "{name}");
        assert_eq!(format!("{:x}", Hex(&Sha256::digest(&rgb.samples))), sha256, "{name}");
    }

    #[test]
    fn baseline_pictures_decode_exactly_like_tensorflow() {
        for name in ["420.jpg", "422.jpg", "444.jpg", "grey.jpg", "restart.jpg", "rough.jpg"] {
            assert_like_tensorflow(name, &fixture(name));
        }
    }

    #[test]
    fn the_tutorials_picture_decodes_exactly_like_tensorflow() {
        if let Some(path) = crate::testing::shared("data/test.jpeg") {
            assert_like_tensorflow("test.jpeg", &std::fs::read(path).unwrap());
        }
    }

    #[test]
    fn other_kinds_are_left_to_others() {
        assert_eq!(decode(&fixture("progressive.jpg")), Err(JpegError::NotBaseline("it is progressive")));
        assert_eq!(decode(b"\x89PNG\r\n"), Err(JpegError::NotJpeg));
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_an_error_or_a_picture() {
        let whole = fixture("420.jpg");
        for end in 0..whole.len() - 2 {
            assert!(decode(&whole[..end]).is_err(), "cut at {end}");
        }
        let mut decoded = 0;
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0xA5;
            decoded += usize::from(decode(&broken).is_ok());
        }
        assert!(decoded > 0);
    }

    #[test]
    fn a_huge_picture_is_refused_before_memory_is_taken() {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3];
        bytes.extend_from_slice(&[1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        assert_eq!(decode(&bytes), Err(JpegError::TooLarge { width: 65535, height: 65535 }));
    }
}
