//! `models inspect`: what a SavedModel is made of.

use std::path::PathBuf;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::doctor::Failure;
use crate::models::inspection::{Inspection, inspect};
use crate::models::place::version_directory;
use crate::ui::{plural, thousands};

/// Shows a SavedModel's signatures, ops and variables, and whether tensorflow/serving:2.5.1 loads it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The version directory, or the one above it
    directory: PathBuf,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let found = inspect(&version_directory(&args.directory)?)?;
    if context.output == Output::Json {
        return context.say_json(&found);
    }
    for line in lines(&found) {
        context.say(&line)?;
    }
    Ok(())
}

fn lines(found: &Inspection) -> Vec<String> {
    let written_by = if found.written_by.is_empty() { "not said" } else { &found.written_by };
    let mut lines = vec![
        format!("Written by   TensorFlow {written_by}"),
        format!("Parameters   {} in {}", thousands(found.parameters), plural(found.variables as u64, "variable")),
    ];
    for (key, signature) in &found.signatures {
        lines.push(format!("Signature    {key} {}", signature.method).trim_end().to_owned());
        let tensor = |side: &str, (name, what): (&String, &String)| format!("  {side:<10} {name}: {what}");
        lines.extend(signature.inputs.iter().map(|input| tensor("input", input)));
        lines.extend(signature.outputs.iter().map(|output| tensor("output", output)));
    }
    let ops: Vec<String> = found.ops.iter().map(|(op, count)| format!("{op} {count}")).collect();
    let functions = match found.functions {
        0 => String::new(),
        count => format!(" (with {})", plural(count as u64, "function")),
    };
    lines.push(format!("Ops{functions}"));
    lines.extend(ops.chunks(6).map(|row| format!("  {}", row.join(", "))));
    if found.obstacles_for_2_5.is_empty() {
        lines.push("Serving      tensorflow/serving:2.5.1 knows all of its ops and attributes".to_owned());
    } else {
        lines.push("Serving      tensorflow/serving:2.5.1 does not load it:".to_owned());
        lines.extend(found.obstacles_for_2_5.iter().map(|obstacle| format!("  {obstacle}")));
        lines.push(
            "Next         `canary-lab models build --from VERSION_DIR NEW_DIR` writes an equivalent that it loads"
                .to_owned(),
        );
    }
    lines
}
