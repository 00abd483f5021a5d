//! `doctor`: checks of this machine.

use super::Output;
use super::context::Context;
use super::session::{provider, runtime};
use crate::cluster::ClusterChoice;
use crate::doctor::checks::{Area, Check, Finding, machine};
use crate::doctor::{Failure, Next};
use crate::ui::{Mark, plural};

/// Checks whether this machine can carry the lab, and says what to do where it cannot
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let own = runtime()?.block_on(provider.processes())?;
    let checks = machine(home.root(), &context.io.environment, &own);
    let failed = checks.iter().find_map(|check| match &check.finding {
        Finding::Failed(failure) => Some(failure.clone()),
        _ => None,
    });
    if context.output == Output::Json {
        context.say_json(&checks)?;
    } else {
        show(context, &checks)?;
    }
    failed.map_or(Ok(()), Err)
}

fn show(context: &mut Context, checks: &[Check]) -> Result<(), Failure> {
    let paint = context.paint_out();
    for (area, title) in
        [(Area::Tools, "Tools"), (Area::Machine, "Machine"), (Area::Network, "Network"), (Area::Home, "Home")]
    {
        context.say(&paint.bold(title))?;
        for check in checks.iter().filter(|check| check.area == area) {
            let (mark, text, failure) = match &check.finding {
                Finding::Fine(text) => (Mark::Fine, text, None),
                Finding::Skipped(text) => (Mark::Quiet, text, None),
                Finding::Warning(failure) => (Mark::Warning, &failure.headline, Some(failure)),
                Finding::Failed(failure) => (Mark::Failed, &failure.headline, Some(failure)),
            };
            let id = failure.map(|failure| format!("   {}", paint.dim(failure.reason.id()))).unwrap_or_default();
            context.say(&format!("  {} {text}{id}", paint.mark(mark)))?;
            let Some(failure) = failure else { continue };
            for line in &failure.observed {
                context.say(&format!("      {line}"))?;
            }
            for (index, Next { command, effect }) in failure.next_steps().into_iter().enumerate() {
                let word = if index == 0 { "fix" } else { "or " };
                context.say(&format!("      {word}  {}   {effect}", paint.command(&command)))?;
            }
        }
    }
    let count = |wanted: fn(&Finding) -> bool| checks.iter().filter(|check| wanted(&check.finding)).count() as u64;
    let parts = [
        (count(|finding| matches!(finding, Finding::Fine(_))), "fine"),
        (count(|finding| matches!(finding, Finding::Warning(_))), "warned"),
        (count(|finding| matches!(finding, Finding::Failed(_))), "failed"),
        (count(|finding| matches!(finding, Finding::Skipped(_))), "skipped"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    context.say(&format!("{}: {}", plural(checks.len() as u64, "check"), parts.join(", ")))
}
