#![no_main]
//! Any bytes as a Keras weights file.

use canary_lab_fuzz::models::hdf5::Hdf5File;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = Hdf5File::parse(data.to_vec()) else { return };
    if let Ok(Some(saved)) = file.layers() {
        for weight in saved.layers.iter().flat_map(|layer| &layer.weights) {
            assert_eq!(weight.data.bytes.len(), 4 * weight.data.shape.iter().product::<usize>());
        }
    }
});
