//! `down`: the lab goes, and an audit says what is left.

use super::Output;
use super::choice::{decide, make};
use super::context::Context;
use super::session::{load_for_teardown, on_screen, runtime};
use crate::cluster::ClusterChoice;
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, Source};
use crate::run::{Bundle, Report, Teardown};
use crate::state::{Home, HomeError, Lock, StageStanding, State};
use crate::ui::{Mark, home_relative};

/// Takes the lab down: stops everything, removes what is the lab's, and names what is left
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What others have made in the lab's own cluster goes with it, but a copy is kept in the home (not with `--force`). With
`--keep-cluster` such objects stay, and so do ones of the lab that somebody has changed since, unless `--force`. After a
failure a bundle of what explains it is made before anything goes (`canary-lab diagnose` makes one at any time); it
stays even with `--purge`, and goes with the next `--purge`, when there is no failed lab any more.

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

    /// Remove also what others have made or changed, and keep no copies
    #[arg(long)]
    force: bool,

    /// List what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    take_down(args, context, "\nThe lab is down; nothing of it runs.")
}

/// `reset` to before the first stage: all goes but models, caches and the record of runs.
pub(super) fn to_the_start(force: bool, dry_run: bool, context: &mut Context) -> Result<(), Failure> {
    let args = Args { purge: false, keep_cluster: false, force, dry_run };
    let next = format!("canary-lab{} up", context.home_words());
    take_down(
        &args,
        context,
        &format!("\nThe lab is as before its first stage; models and downloads are kept.\n  Go on          {next}"),
    )
}

fn take_down(args: &Args, context: &mut Context, farewell: &str) -> Result<(), Failure> {
    let home = context.home()?;
    if !home.root().is_dir() {
        return match context.output {
            Output::Json => context.say_json(&Report::default()),
            Output::Human => context.remark(&format!("there is no lab at {}", home.root().display())),
        };
    }
    let lock = Lock::take(&home, "down", (context.io.clock)())?;
    home.sweep();
    let (choice, _) = decide(&ClusterChoice::Auto, &home, context)?;
    let lab = lab_that_goes(&choice, args.keep_cluster, context)?;
    let provider = make(&choice, &home, &lab, context)?;
    let mut state = load_for_teardown(&home, context)?;
    if state.lab.is_empty() {
        // Without the cluster going, too, the next command finds the state that this one leaves.
        state.lab.clone_from(&lab.spec.name);
        state.lab_directory = context.lab_directory();
    }
    let runtime = runtime()?;
    let mut kept_bundle = None;
    if !args.dry_run && has_failed(&state) {
        let bundle = Bundle {
            home: &home,
            provider: provider.as_ref(),
            environment: &context.io.environment,
            clock: context.io.clock,
        };
        let path = bundle_path(&home, (context.io.clock)())?;
        let packed = runtime.block_on(bundle.write(&path))?;
        let shown = home_relative(&packed.path, context.user_home().as_deref());
        context.remark(&format!("a stage has failed; what explains it is kept in {shown}"))?;
        kept_bundle = Some(packed.path);
    }
    let mut teardown = Teardown {
        lab: &lab,
        home: &home,
        provider: provider.as_ref(),
        state: &mut state,
        purge: args.purge,
        keep_cluster: args.keep_cluster,
        force: args.force,
        bundle: kept_bundle,
        clock: context.io.clock,
    };
    let report = if args.dry_run {
        runtime.block_on(teardown.plan())?
    } else {
        on_screen(&runtime, context, async |screen, interrupt| teardown.carry_out(screen, interrupt).await)?
    };
    drop(lock);
    if context.output == Output::Json {
        context.say_json(&report)?;
    } else {
        show(context, &report, args.dry_run, farewell)?;
    }
    match report.failure() {
        Some(failure) if !args.dry_run => Err(failure),
        _ => Ok(()),
    }
}

/// The lab that goes. Where its files are gone the embedded cluster goes all the same, with everything in it.
fn lab_that_goes(choice: &ClusterChoice, keep_cluster: bool, context: &mut Context) -> Result<Lab, Failure> {
    match context.lab() {
        Err(failure)
            if failure.reason == Reason::LabNotFound && *choice == ClusterChoice::Embedded && !keep_cluster =>
        {
            let mark = context.paint_err().mark(Mark::Warning);
            context.remark(&format!("{mark} {}", failure.headline))?;
            for line in &failure.observed {
                context.remark(&format!("  {line}"))?;
            }
            context.remark("  the cluster goes with everything in it; more may be copied than others have changed")?;
            Ok(Lab::load(&Source::Builtin)?)
        }
        lab => lab,
    }
}

/// Whether a stage failed when it was tried last.
fn has_failed(state: &State) -> bool {
    state.stages.values().any(|record| record.standing == StageStanding::Failed)
}

/// Where the bundle of a lab that goes is kept.
fn bundle_path(home: &Home, now: jiff::Timestamp) -> Result<std::path::PathBuf, Failure> {
    let folder = home.diagnostics();
    let failed = |source| Failure::from(HomeError::NotWritable { path: folder.clone(), source });
    std::fs::create_dir_all(&folder).map_err(failed)?;
    Ok(folder.join(Bundle::name(now)))
}

fn show(context: &mut Context, report: &Report, dry_run: bool, farewell: &str) -> Result<(), Failure> {
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
        context.say(farewell)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_a_failure() {
        let report = Report { leftovers: vec!["process 7".into()], ..Report::default() };
        assert_eq!(report.failure().unwrap().reason, Reason::Leftovers);
        assert!(Report::default().failure().is_none());
    }
}
