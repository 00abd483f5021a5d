//! This machine can carry the lab.

use serde_json::json;

use super::{Seen, World};
use crate::doctor::Failure;
use crate::doctor::checks::{Finding, machine};
use crate::ui::plural;

pub(super) async fn judge(world: &World<'_>) -> Result<Seen, Failure> {
    let own = world.provider.processes().await?;
    let checks = machine(world.home.root(), world.environment, &own);
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
