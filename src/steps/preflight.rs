//! This machine can carry the lab.

use serde_json::json;

use super::{Seen, World};
use crate::doctor::Failure;
use crate::doctor::checks::{Finding, Subject, Target, preflight};
use crate::ui::plural;

pub(super) async fn judge(world: &World<'_>) -> Result<Seen, Failure> {
    let target = Target::of_provider(world.provider.name());
    let mut subject = Subject::new(world.home.root(), world.environment, target);
    subject.own_pids = world.provider.processes().await?;
    subject.provider = Some(world.provider);
    subject.expect(&world.provider.plan().await);
    let checks = preflight(&subject).await;
    let mut warnings = Vec::new();
    for check in &checks {
        match &check.finding {
            Finding::Failed(failure) => return Err(failure.clone()),
            Finding::Warning(failure) => warnings.push(failure.clone()),
            Finding::Fine(_) | Finding::Skipped(_) => {}
        }
    }
    let mut text = plural(checks.len() as u64, "check");
    for warning in &warnings {
        text.push_str(&format!("\n! {}", warning.headline));
    }
    Ok(Seen { warnings, ..Seen::new(text, json!({"checks": checks})) })
}
