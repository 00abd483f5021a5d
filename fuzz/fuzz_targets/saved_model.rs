#![no_main]
//! Any bytes as `saved_model.pb`.

use std::path::PathBuf;
use std::sync::LazyLock;

use canary_lab_fuzz::{directory, read_model};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(directory);

fuzz_target!(|data: &[u8]| {
    std::fs::write(DIRECTORY.join("saved_model.pb"), data).expect("a file in memory");
    read_model(&DIRECTORY);
});
