//! What unit tests of several rooms need: the samples that live beside the checkout, and generated pages.

use std::path::{Path, PathBuf};

/// The path of a sample in the `shared` folder beside the checkout (or in `CANARY_LAB_SHARED`).
///
/// `None`, with a line that says so, when the folder is not there: a checkout alone passes its tests. A CI run
/// (`CI=true`) must have it, so there its absence is a failure.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CANARY_LAB_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if !folder.is_dir() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the samples are missing: {}", folder.display());
        println!("skipped: no samples at {}", folder.display());
        return None;
    }
    Some(folder.join(path))
}

/// Asserts that a generated page of `docs/` is committed as it is generated; with `CANARY_LAB_WRITE_DOCS` set, writes it.
pub(crate) fn assert_page_is_current(file: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("CANARY_LAB_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, page,
        "docs/{file} is out of date: run CANARY_LAB_WRITE_DOCS=1 cargo test --lib page_is_current"
    );
}

/// The runs of a recorded session: by command line, what came of it. Blocks read `$ COMMAND`, `--- stdout`, `--- stderr`,
/// `--- exit N (Ts)`; a repeated command keeps its last run.
pub(crate) fn recorded_runs(path: &str) -> Option<std::collections::BTreeMap<String, crate::tools::Ran>> {
    let text = std::fs::read_to_string(shared(path)?).unwrap();
    let mut runs = std::collections::BTreeMap::new();
    let (mut command, mut part) = (None, 0);
    let mut parts = [String::new(), String::new(), String::new()];
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("$ ").filter(|_| command.is_none()) {
            command = Some(words.to_owned());
            parts = Default::default();
            part = 0;
        } else if line == "--- stdin" {
            part = 2;
        } else if line == "--- stdout" {
            part = 0;
        } else if line == "--- stderr" {
            part = 1;
        } else if let Some(end) = line.strip_prefix("--- exit ") {
            let code = end.split(' ').next().and_then(|code| code.parse().ok());
            let [out, err, _] = std::mem::take(&mut parts);
            if let Some(command) = command.take() {
                runs.insert(command, crate::tools::Ran { code, out, err, took: std::time::Duration::ZERO });
            }
        } else {
            parts[part].push_str(line);
            parts[part].push('\n');
        }
    }
    assert!(!runs.is_empty(), "{path} holds no recorded runs");
    Some(runs)
}
