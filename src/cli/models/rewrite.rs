//! `models build --from`: a SavedModel written anew for TensorFlow 2.5.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::doctor::{Failure, Reason};
use crate::inference::{LoadError, RunError, StatusCode};
use crate::models::built::VERSION;
use crate::models::rewrite::{RewriteError, rewrite};
use crate::ui::{duration, thousands};

pub(super) fn run(from: &Path, directory: &Path, context: &mut Context) -> Result<(), Failure> {
    let start = Instant::now();
    let version = directory.join(VERSION);
    let written = rewrite(from, &version).map_err(|error| failure(from, &error))?;
    if context.output == Output::Json {
        let files = written.files.iter();
        let files = files.map(|file| json!({"name": file.name, "bytes": file.bytes, "sha256": file.sha256_hex()}));
        return context.say_json(&json!({
            "from": from, "directory": version, "signatures": written.signatures, "parameters": written.parameters,
            "left_out": written.left_out, "files": files.collect::<Vec<_>>(), "seconds": start.elapsed().as_secs_f64(),
        }));
    }
    context.remark(&format!(
        "{} rewritten for TensorFlow 2.5 in {}: {} parameters, {}",
        from.display(),
        version.display(),
        thousands(written.parameters as u64),
        duration(start.elapsed())
    ))?;
    context.say(&format!("Signatures   {}", written.signatures.join(", ")))?;
    if !written.left_out.is_empty() {
        context.say(&format!("Left out     {}", written.left_out.join(", ")))?;
    }
    for file in &written.files {
        context.say(&format!("{}  {}", file.sha256_hex(), file.name))?;
    }
    Ok(())
}

fn failure(from: &Path, error: &RewriteError) -> Failure {
    let what = format!("{} was not rewritten", from.display());
    let failure = Failure::new(Reason::ModelNotBuilt, what);
    let failure = match error {
        // Its own text goes on with all ops that are known, for the server's log.
        RewriteError::Load(LoadError::UnsupportedOp { op, node, .. }) => {
            failure.observed(format!("op `{op}` of node `{node}` is not one that canary-lab computes"))
        }
        _ => failure.observed(error.to_string()),
    };
    let inspect = format!("canary-lab models inspect {}", from.display());
    match error {
        RewriteError::Load(LoadError::UnsupportedOp { .. }) => failure
            .because("only what canary-lab itself computes is written anew")
            .then(inspect, "lists the model's ops"),
        RewriteError::Load(LoadError::Graph(RunError { code: StatusCode::Unimplemented, .. })) => failure
            .because(
                "a rewritten model is one graph without functions, and each side of a branch or loop is a function",
            )
            .then(inspect, "lists the model's ops"),
        RewriteError::Load(LoadError::Files(_) | LoadError::Graph(_)) => failure
            .because("the model's files are damaged or contradict each other")
            .then(inspect, "says whether the model can be read"),
        RewriteError::Newer { .. } | RewriteError::NoSignature => {
            failure.because("nothing in TensorFlow 2.5 computes the same").then(inspect, "says what 2.5 does not know")
        }
        RewriteError::Files(_) => failure
            .because("a variable cannot be read, or the directory cannot be written")
            .then(inspect, "says whether the model can be read"),
    }
}
