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
            let remote = entry.pretrained();
            json!({
                "name": entry.name, "title": entry.title, "architecture": entry.network, "parameters": entry.parameters,
                "sources": entry.sources.iter().map(source).collect::<Vec<_>>(), "labels": entry.labels,
                "pretrained": remote.map(|file| json!({"url": file.url, "bytes": file.bytes, "md5": file.md5})),
                "published": entry.published.as_ref().map(|published| json!({
                    "picture": catalogue.picture_of(entry).map(|picture| &picture.url), "top_10": published.top_10,
                    "in_common_for_the_shipped_picture": published.in_common,
                })),
            })
        });
        return context.say_json(&entries.collect::<Vec<_>>());
    }
    context.say(&format!("{:<10} {:>10}  {:<32} WHAT", "NAME", "PARAMETERS", "WEIGHTS"))?;
    for entry in &catalogue.entries {
        let sources: Vec<String> = entry.sources.iter().map(sized).collect();
        let parameters = thousands(entry.parameters as u64);
        context.say(&format!("{:<10} {parameters:>10}  {:<32} {}", entry.name, sources.join(", "), entry.title))?;
    }
    Ok(())
}

fn source(source: &Source) -> &'static str {
    match source {
        Source::Pretrained(_) => "pretrained",
        Source::Synthetic(_) => "synthetic",
    }
}

fn sized(of: &Source) -> String {
    match of {
        Source::Pretrained(remote) => format!("{} ({:.0} MB)", source(of), remote.bytes as f64 / 1e6),
        Source::Synthetic(_) => source(of).to_owned(),
    }
}
