//! Pictures: what is asked about.
//!
//! The product ships the public-domain portrait of Grace Hopper (512 wide, 600 high; provenance in NOTICE). Baseline
//! JPEG is decoded by [`super::jpeg`], exactly as the tutorial's published answers need it; everything else by the
//! `image` crate.

use std::io::Cursor;
use std::sync::OnceLock;

use super::jpeg::{self, JpegError, MAX_PIXELS};

/// The portrait as the program carries it.
const PORTRAIT: &[u8] = include_bytes!("../../models/pictures/grace_hopper.jpg");
/// The small picture has one pixel for a square of this many pixels of the portrait's.
const SMALL_SQUARE: usize = 16;
/// The most memory that decoding may take, in bytes: four samples of two bytes for each pixel.
const MEMORY_LIMIT: u64 = 8 * MAX_PIXELS as u64;

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height × width × 3` samples, rows from the top: red, green, blue.
    pub rgb: Vec<u8>,
}

/// Why a file is not a picture that the lab can ask about.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// A JPEG that cannot be decoded.
    #[error(transparent)]
    Jpeg(JpegError),
    /// Neither JPEG nor PNG, or one that is damaged.
    #[error("neither a JPEG nor a PNG that can be decoded: {0}")]
    Other(image::ImageError),
    /// A picture without pixels.
    #[error("the picture has {width}x{height} pixels")]
    Empty {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
}

/// Decodes a JPEG or PNG. Grey becomes RGB, transparency is dropped, and a turned picture stays turned, as in Pillow.
pub fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    match jpeg::decode(bytes) {
        Ok(rgb) => Ok(Picture { width: rgb.width, height: rgb.height, rgb: rgb.samples }),
        Err(JpegError::NotJpeg | JpegError::NotBaseline(_)) => decode_other(bytes),
        Err(error) => Err(PictureError::Jpeg(error)),
    }
}

fn decode_other(bytes: &[u8]) -> Result<Picture, PictureError> {
    let mut reader = image::ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| PictureError::Other(error.into()))?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MEMORY_LIMIT);
    reader.limits(limits);
    let rgb = reader.decode().map_err(PictureError::Other)?.to_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    if width == 0 || height == 0 {
        return Err(PictureError::Empty { width, height });
    }
    Ok(Picture { width, height, rgb: rgb.into_raw() })
}

/// The file of the portrait that the product ships.
pub fn portrait_file() -> &'static [u8] {
    PORTRAIT
}

/// The portrait that the product ships, 512 wide and 600 high.
pub fn portrait() -> Picture {
    static DECODED: OnceLock<Picture> = OnceLock::new();
    DECODED.get_or_init(|| decode(PORTRAIT).expect("the embedded portrait is a baseline JPEG")).clone()
}

/// A small picture for hundreds of requests, 32 wide and 37 high.
///
/// Each sample is the mean, rounded down, of a square of 16x16 pixels out of the portrait's middle.
pub fn small() -> Picture {
    let portrait = portrait();
    let (width, height) = (portrait.width / SMALL_SQUARE, portrait.height / SMALL_SQUARE);
    let left = portrait.width % SMALL_SQUARE / 2;
    let top = portrait.height % SMALL_SQUARE / 2;
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let sample = |dy: usize, dx: usize| {
                    let (row, column) = (top + y * SMALL_SQUARE + dy, left + x * SMALL_SQUARE + dx);
                    u32::from(portrait.rgb[(row * portrait.width + column) * 3 + channel])
                };
                let pixels = (0..SMALL_SQUARE).flat_map(|dy| (0..SMALL_SQUARE).map(move |dx| (dy, dx)));
                let sum: u32 = pixels.map(|(dy, dx)| sample(dy, dx)).sum();
                rgb.push((sum / (SMALL_SQUARE * SMALL_SQUARE) as u32) as u8);
            }
        }
    }
    Picture { width, height, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/data/jpeg/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn encoded(format: image::ImageFormat, color: image::DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        color.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn the_shipped_pictures_have_their_sizes() {
        let (portrait, small) = (portrait(), small());
        assert_eq!((portrait.width, portrait.height, portrait.rgb.len()), (512, 600, 512 * 600 * 3));
        assert_eq!((small.width, small.height, small.rgb.len()), (32, 37, 32 * 37 * 3));
        let mean = |rgb: &[u8]| rgb.iter().map(|&sample| f64::from(sample)).sum::<f64>() / rgb.len() as f64;
        assert!((mean(&portrait.rgb) - mean(&small.rgb)).abs() < 3.0);
    }

    #[test]
    fn png_of_any_kind_and_progressive_jpeg_become_rgb() {
        let rgba = image::RgbaImage::from_fn(3, 2, |x, y| image::Rgba([x as u8, y as u8, 9, 0]));
        let picture = decode(&encoded(image::ImageFormat::Png, rgba.into())).unwrap();
        assert_eq!((picture.width, picture.height), (3, 2));
        assert_eq!(picture.rgb[..9], [0, 0, 9, 1, 0, 9, 2, 0, 9]);
        let grey = image::GrayImage::from_pixel(2, 1, image::Luma([7]));
        assert_eq!(decode(&encoded(image::ImageFormat::Png, grey.into())).unwrap().rgb, [7; 6]);
        let progressive = decode(&fixture("progressive.jpg")).unwrap();
        assert_eq!((progressive.width, progressive.height), (24, 24));
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        assert!(matches!(decode(b""), Err(PictureError::Other(_))));
        assert!(matches!(decode(b"<html>not found</html>"), Err(PictureError::Other(_))));
        let jpeg = fixture("420.jpg");
        assert!(matches!(decode(&jpeg[..jpeg.len() / 2]), Err(PictureError::Jpeg(_))));
        // A PNG that promises more pixels than memory: refused by its header.
        let mut png = encoded(image::ImageFormat::Png, image::GrayImage::new(1, 1).into());
        png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(matches!(decode(&png), Err(PictureError::Other(_))));
    }
}
