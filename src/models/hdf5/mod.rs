//! HDF5, as far as Keras weight files need it, read-only and in place.
//!
//! Keras writes its `.h5` files in the oldest form of the format: superblock 0, groups as B-trees of symbol tables,
//! object headers of version 1, contiguous little-endian `float32` datasets, attributes with fixed or variable-length
//! strings. This reader knows exactly that much ("HDF5 File Format Specification Version 3.0" calls every structure
//! by the name used here) and says of everything else what it met. The file is read into memory once and never copied; each offset is
//! checked against the file before it is followed, and every loop is bounded by the file's size, so a hostile file
//! costs an error and nothing else.
//!
//! [`read_layers`] is what callers want: a Keras file's layers with their weights, and the order in which they stand.

mod file;
mod header;
mod weights;

pub use file::{Dataset, Hdf5File};
pub use weights::{LayerWeights, SavedLayers, SavedOrder, Weight, WeightsError, read_layers};

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hdf5Error {
    /// The bytes do not begin like HDF5.
    #[error("not an HDF5 file: it does not begin with the signature")]
    NotHdf5,
    /// An offset or a length points outside of the file.
    #[error("the file ends inside of {what} at byte {at}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: u64,
    },
    /// Something contradicts the format.
    #[error("{what} at byte {at} is not what the format says")]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: u64,
    },
    /// A part of the format that Keras does not write.
    #[error("{0} is not supported: Keras's weight files do not use it")]
    Unsupported(&'static str),
    /// A group, dataset or attribute that is not there.
    #[error("`{0}` is not in the file")]
    Missing(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::{Path, PathBuf};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5").join(name)
    }

    /// A file's content in the form of `golden.json`, with sums instead of values.
    fn content(layers: &[LayerWeights<'_>]) -> Value {
        layers
            .iter()
            .map(|layer| {
                let weights: Vec<Value> = layer
                    .weights
                    .iter()
                    .map(|weight| {
                        let sum: f64 = weight.data.values().into_iter().map(f64::from).sum();
                        json!([weight.name, weight.data.shape, (sum * 1e6).round()])
                    })
                    .collect();
                json!([layer.name, weights])
            })
            .collect()
    }

    #[test]
    fn keras_files_read_as_h5py_reads_them() {
        let golden: Value = serde_json::from_slice(&std::fs::read(fixture("golden.json")).unwrap()).unwrap();
        for (name, layers) in golden.as_object().unwrap() {
            let mut expected = layers.clone();
            for layer in expected.as_array_mut().unwrap() {
                for weight in layer[1].as_array_mut().unwrap() {
                    weight[2] = json!((weight[2].as_f64().unwrap() * 1e6).round());
                }
            }
            let found = read_layers(&fixture(name), |saved| content(&saved.layers)).unwrap();
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(golden.as_object().unwrap().len(), 3);
    }

    #[test]
    fn what_is_not_hdf5_or_not_keras_is_named() {
        assert_eq!(Hdf5File::parse(b"<html>captive portal</html>".to_vec()).unwrap_err(), Hdf5Error::NotHdf5);
        let missing = read_layers(Path::new("/nonexistent/x.h5"), |_| ()).unwrap_err();
        assert!(matches!(missing, WeightsError::Io { .. }), "{missing}");
        let folder = read_layers(Path::new("/"), |_| ()).unwrap_err();
        assert!(folder.to_string().contains("not a regular file"), "{folder}");
    }

    #[test]
    fn a_heap_object_whose_size_leads_beyond_all_numbers_ends_the_search() {
        // Found by the fuzzer: behind this size the next position is almost 2^64.
        let mut bytes = std::fs::read(fixture("weights_tf25.h5")).unwrap();
        let heaps: Vec<usize> = (0..bytes.len() - 32).filter(|&at| bytes[at..].starts_with(b"GCOL")).collect();
        assert!(!heaps.is_empty());
        for heap in heaps {
            bytes[heap + 24..heap + 32].copy_from_slice(&(u64::MAX - 39).to_le_bytes());
            // The first object gets a number that nothing asks for, so that the search goes on.
            bytes[heap + 16..heap + 18].copy_from_slice(&u16::MAX.to_le_bytes());
        }
        let file = Hdf5File::parse(bytes).unwrap();
        assert!(matches!(file.layers(), Err(Hdf5Error::Corrupt { what: "a global heap", .. })));
    }

    #[test]
    fn truncated_and_flipped_files_end_in_errors_not_in_panics_or_loops() {
        let whole = std::fs::read(fixture("weights_tf25.h5")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.h5");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_layers(&path, |saved| saved.layers.len()).is_ok()
        };
        for end in (0..whole.len()).step_by(401) {
            assert!(!read(&whole[..end]), "cut at {end}");
        }
        let broken = (0..whole.len()).step_by(29).filter(|at| {
            let mut bytes = whole.clone();
            bytes[*at] ^= 0xFF;
            !read(&bytes)
        });
        assert!(broken.count() > 10);
    }
}
