//! `status`: what stands, by the lab's records.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Output;
use super::context::{Context, written};
use super::session::{provider, runtime};
use crate::cluster::{ClusterChoice, Standing};
use crate::doctor::Failure;
use crate::lab::{Lab, StageSpec};
use crate::state::{Home, Loaded, StageRecord, StageStanding, State, StateFile};
use crate::ui::{Mark, Screen, age, home_relative};

/// Shows the stages, what proved them, and how long ago; looks at records, and whether the cluster runs (`verify` looks at the lab itself)
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let lab = context.lab()?;
    let state = match StateFile::of(&home).load()? {
        Loaded::Present(state) => state,
        Loaded::Absent => State::new(&lab.spec.name),
        Loaded::Unusable(reason) => {
            let name = home_relative(&home.state_file(), context.user_home().as_deref());
            context.remark(&format!(
                "{} {name}: {reason}; the next `up` keeps it aside",
                context.paint_err().mark(Mark::Warning)
            ))?;
            State::new(&lab.spec.name)
        }
    };
    let now = (context.io.clock)();
    let down = why_down(&home, &state, context)?;
    if context.output == Output::Json {
        return context.say_json(&as_json(&lab, &state, now, home.root(), down.is_none()));
    }
    let paint = context.paint_out();
    let shown_home = home_relative(home.root(), context.user_home().as_deref());
    let provider = state.provider.as_deref().unwrap_or("none yet");
    context.say(&format!("lab {}   cluster {provider}", lab.spec.name))?;
    if let Some(why) = down.filter(|_| state.provider.is_some()) {
        let mark = context.paint_out().mark(Mark::Warning);
        context.say(&format!(
            "{mark} the cluster does not run: {why}; `canary-lab{} up` starts it",
            context.home_words()
        ))?;
    }
    context.say(&format!("home {shown_home}\n"))?;
    let count = lab.spec.stages.len();
    let width = context.width();
    let mut screen = Screen::new(&mut context.io.stdout, None, paint, width);
    for (index, stage) in lab.spec.stages.iter().enumerate() {
        let (mark, text) = match state.stages.get(&stage.id) {
            Some(record) => (mark_of(record.standing), describe(record, now)),
            None => (Mark::Quiet, "not begun".to_owned()),
        };
        written(screen.stage(index + 1, count, &stage.title, mark, &text, None))?;
        if let Some(evidence) = state.stages.get(&stage.id).and_then(|record| record.evidence.as_ref()) {
            written(screen.remark(&paint.dim(evidence)))?;
        }
    }
    Ok(())
}

/// Why the cluster does not run, if it does not.
fn why_down(home: &Home, state: &State, context: &Context) -> Result<Option<String>, Failure> {
    if state.provider.is_none() {
        return Ok(Some("none was started".to_owned()));
    }
    let (provider, _) = provider(&ClusterChoice::Auto, home, context)?;
    Ok(match runtime()?.block_on(provider.probe())? {
        Standing::Runs { .. } => None,
        Standing::Down(why) => Some(why),
    })
}

fn mark_of(standing: StageStanding) -> Mark {
    match standing {
        StageStanding::Proven => Mark::Fine,
        StageStanding::Failed => Mark::Failed,
        StageStanding::Begun => Mark::Warning,
    }
}

fn describe(record: &StageRecord, now: Timestamp) -> String {
    let ago = age(since(record.at, now));
    match record.standing {
        StageStanding::Proven => {
            let (first, rest) = record
                .summary
                .split_once('\n')
                .map_or((record.summary.as_str(), None), |(first, rest)| (first, Some(rest)));
            let rest = rest.map(|rest| format!("\n{rest}")).unwrap_or_default();
            format!("{first} · {ago} ago{rest}")
        }
        StageStanding::Failed => format!("failed {ago} ago: {}", record.summary),
        StageStanding::Begun => format!("begun {ago} ago, not finished"),
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

fn as_json(lab: &Lab, state: &State, now: Timestamp, home: &std::path::Path, running: bool) -> Value {
    let stage = |stage: &StageSpec| {
        let record = state.stages.get(&stage.id);
        json!({
            "id": stage.id, "title": stage.title,
            "standing": record.map_or(json!("not-begun"), |record| json!(record.standing)),
            "summary": record.map(|record| &record.summary),
            "at": record.map(|record| record.at),
            "age_seconds": record.map(|record| since(record.at, now).as_secs()),
            "evidence": record.and_then(|record| record.evidence.as_ref()).map(|evidence| home.join(evidence)),
        })
    };
    json!({
        "lab": lab.spec.name, "home": home, "provider": state.provider, "cluster": state.cluster, "running": running,
        "stages": lab.spec.stages.iter().map(stage).collect::<Vec<_>>(),
        "inventory": state.inventory,
    })
}
