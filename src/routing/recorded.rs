//! Recorded answers of the real stack, for tests: files beside the checkout that are not part of it.

use std::path::PathBuf;

use serde_json::Value;

/// The folder of recorded material, if this machine has it.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("CANARY_LAB_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

/// The JSON lines of a recorded file, or `None`, with the reason printed, where the material is not there.
///
/// # Panics
/// When the material is missing in CI, or a line is not JSON.
pub(crate) fn lines(file: &str) -> Option<Vec<Value>> {
    let path = folder().join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            Some(text.lines().map(|line| serde_json::from_str(line).expect("a recorded line is JSON")).collect())
        }
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{}: {error}", path.display());
            println!("skipped: {} is not on this machine: {error}", path.display());
            None
        }
    }
}
