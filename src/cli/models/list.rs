//! `models list`: the catalogue.

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::doctor::Failure;
use crate::models::catalogue::Source;
use crate::ui::thousands;

/// Lists the models that the lab can build
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let catalogue = super::catalogue()?;
    if context.output == Output::Json {
        let entries = catalogue.entries.iter().map(|entry| {
            json!({
                "name": entry.network.id(), "title": entry.title, "parameters": entry.parameters,
                "sources": entry.sources.iter().map(source).collect::<Vec<_>>(),
            })
        });
        return context.say_json(&entries.collect::<Vec<_>>());
    }
    context.say(&format!("{:<10} {:>10}  {:<24} WHAT", "NAME", "PARAMETERS", "WEIGHTS"))?;
    for entry in &catalogue.entries {
        let sources: Vec<&str> = entry.sources.iter().map(source).collect();
        let parameters = thousands(entry.parameters as u64);
        let name = entry.network.id();
        context.say(&format!("{name:<10} {parameters:>10}  {:<24} {}", sources.join(", "), entry.title))?;
    }
    Ok(())
}

fn source(source: &Source) -> &'static str {
    match source {
        Source::Pretrained(_) => "pretrained",
        Source::Synthetic(_) => "synthetic",
    }
}
