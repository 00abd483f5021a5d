//! `down`: the lab goes, and an audit says what is left.

use super::Output;
use super::context::Context;
use super::session::{load_for_teardown, provider, runtime};
use crate::cluster::ClusterChoice;
use crate::doctor::Failure;
use crate::run::{Report, Teardown};
use crate::state::Lock;
use crate::steps::work_files;
use crate::ui::{Mark, home_relative};

/// Takes the lab down: stops everything, removes what is the lab's, and names what is left
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab down --dry-run        lists what would go
  canary-lab down                  models, caches and the record of runs stay for the next `up`
  canary-lab down --purge          they go as well
  canary-lab down --keep-cluster   only the lab's objects go; cluster and mesh stay")]
pub(super) struct Args {
    /// Remove models, caches and the record of runs as well
    #[arg(long, conflicts_with = "keep_cluster")]
    purge: bool,

    /// Remove the lab's objects only
    #[arg(long)]
    keep_cluster: bool,

    /// List what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    if !home.root().is_dir() {
        return match context.output {
            Output::Json => context.say_json(&Report::default()),
            Output::Human => context.remark(&format!("there is no lab at {}", home.root().display())),
        };
    }
    let lock = Lock::take(&home, "down", (context.io.clock)())?;
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let mut state = load_for_teardown(&home, context)?;
    let lab = context.lab()?;
    let mut teardown = Teardown {
        home: &home,
        provider: provider.as_ref(),
        state: &mut state,
        work_files: work_files(&lab, &provider.models_on_node()),
        purge: args.purge,
        keep_cluster: args.keep_cluster,
    };
    let runtime = runtime()?;
    let report = if args.dry_run { runtime.block_on(teardown.plan()) } else { runtime.block_on(teardown.carry_out()) }?;
    drop(lock);
    if context.output == Output::Json {
        context.say_json(&report)?;
    } else {
        show(context, &report, args.dry_run)?;
    }
    match report.failure() {
        Some(failure) if !args.dry_run => Err(failure),
        _ => Ok(()),
    }
}

fn show(context: &mut Context, report: &Report, dry_run: bool) -> Result<(), Failure> {
    let (paint, user_home) = (context.paint_out(), context.user_home());
    let short = |line: &str| match &user_home {
        Some(user_home) => home_relative(std::path::Path::new(line), Some(user_home)),
        None => line.to_owned(),
    };
    let verb = if dry_run { "would remove" } else { "removed" };
    for line in &report.removed {
        context.say(&format!("{} {verb} {}", paint.mark(Mark::Fine), short(line)))?;
    }
    for line in &report.kept {
        context.say(&format!("{} kept {}", paint.mark(Mark::Quiet), short(line)))?;
    }
    if !dry_run && report.leftovers.is_empty() {
        context.say("\nThe lab is down; nothing of it runs.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Reason;

    #[test]
    fn leftovers_are_a_failure() {
        let report = Report { leftovers: vec!["process 7".into()], ..Report::default() };
        assert_eq!(report.failure().unwrap().reason, Reason::Leftovers);
        assert!(Report::default().failure().is_none());
    }
}
