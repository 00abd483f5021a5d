#![no_main]
//! Any bytes as a JPEG.

use canary_lab_fuzz::models::jpeg::decode;
use libfuzzer_sys::{Corpus, fuzz_target};

/// The most pixels that are worth the time; more only repeat what fewer show.
const PIXELS: usize = 1 << 14;

fuzz_target!(|data: &[u8]| -> Corpus {
    // A start-of-frame segment: marker, length, precision, height, width.
    let large = data.windows(9).any(|bytes| {
        let size = |at: usize| usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1]);
        bytes[0] == 0xFF && (0xC0..=0xC2).contains(&bytes[1]) && size(5) * size(7) > PIXELS
    });
    if large {
        return Corpus::Reject;
    }
    if let Ok(picture) = decode(data) {
        assert_eq!(picture.samples.len(), picture.width * picture.height * 3);
    }
    Corpus::Keep
});
