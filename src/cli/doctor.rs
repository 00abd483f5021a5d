//! `doctor`: checks of machine, tools, cluster, mesh, models and routes, and the safe cures.

use serde_json::json;

use super::choice;
use super::context::Context;
use super::session::{provider, runtime};
use super::{Format, Output};
use crate::cluster::minikube::usual_driver;
use crate::cluster::{Api, ClusterChoice, ClusterPlan, Provider};
use crate::doctor::checks::{CHECKS, Category, Check, LabFacts, ModelFacts, Severity, Subject, Target, examine};
use crate::doctor::fixes::{self, Fix};
use crate::doctor::{Failure, Next, Reason};
use crate::state::Home;
use crate::ui::{Mark, plural, wrap};

/// Checks whether this machine can carry the lab, whether the lab holds together, and says what to do where it does not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab doctor                        everything, with what to do about it
  canary-lab doctor --cluster minikube     what minikube needs is an error, not a warning
  canary-lab doctor --fix                  applies the safe cures, after asking
  canary-lab doctor --fix minikube --yes   downloads the pinned minikube for this lab, without asking
  canary-lab doctor --output short         only what is wrong; `table` and `json` are there too

Nothing is downloaded or changed without `--fix`. The checks are listed in docs/checks.md.")]
pub(super) struct Args {
    /// Apply the safe cures, of all checks or of those named
    #[arg(long, value_name = "CHECK", num_args = 0.., value_delimiter = ',')]
    fix: Option<Vec<String>>,

    /// Do not ask before a cure
    #[arg(long, requires = "fix")]
    yes: bool,

    /// The cluster that the lab is to run on: auto, embedded, minikube or context:NAME
    #[arg(long, value_name = "CLUSTER", default_value = "auto")]
    cluster: ClusterChoice,

    /// The Kubernetes version that minikube is to start
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,

    /// The driver that minikube is to use
    #[arg(long, value_name = "DRIVER")]
    driver: Option<String>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    known_checks(args.fix.as_deref().unwrap_or_default())?;
    let home = context.home()?;
    let lab = context.lab()?;
    let provider = cluster(args, &home, context)?;
    let environment = context.io.environment.clone();
    let target = match &args.cluster {
        ClusterChoice::Minikube => Target::Minikube,
        ClusterChoice::Context(_) => Target::Context,
        ClusterChoice::Embedded => Target::Embedded,
        ClusterChoice::Auto => Target::of_provider(provider.name()),
    };
    let mut subject = Subject::new(home.root(), &environment, target);
    let runtime = runtime()?;
    expect(&mut subject, &runtime.block_on(provider.plan()), args);
    subject.trace = context.trace.clone();
    subject.provider = Some(provider.as_ref());
    subject.lab = LabFacts {
        namespace: lab.namespace().unwrap_or_default().to_owned(),
        ingress: (lab.spec.ingress.namespace.clone(), lab.spec.ingress.service.clone()),
        models: lab
            .spec
            .models
            .keys()
            .map(|name| ModelFacts { name: name.clone(), folder: home.models().join(name) })
            .collect(),
    };
    subject.own_pids = runtime.block_on(provider.processes())?;
    let mut checks = runtime.block_on(examine(&subject, |_| true));
    if let Some(named) = &args.fix {
        let fixes = fixes::offered(&checks, named, &subject)?;
        if fixes.is_empty() {
            context.remark("nothing to mend that has a safe cure")?;
        }
        let mut mended = false;
        for fix in &fixes {
            mended |= mend(fix, args.yes, provider.kubeconfig(), &runtime, context)?;
        }
        if mended {
            // What was learned before the cure no longer holds.
            let mut again = Subject::new(home.root(), &environment, target);
            expect(&mut again, &runtime.block_on(provider.plan()), args);
            again.trace = subject.trace.clone();
            again.provider = subject.provider;
            again.lab = subject.lab.clone();
            again.own_pids.clone_from(&subject.own_pids);
            checks = runtime.block_on(examine(&again, |_| true));
        }
    }
    tell(context, &checks)?;
    let failed = checks.iter().find(|check| check.severity() == Severity::Error);
    let Some(first) = failed.and_then(|check| check.failure()) else { return Ok(()) };
    // The failure was shown among the checks; only its exit code is left to tell.
    context.exit_quietly(first.clone())
}

/// What the cluster is going to be, unless something else is asked about.
fn expect(subject: &mut Subject<'_>, plan: &ClusterPlan, args: &Args) {
    subject.expect(plan);
    if subject.target == Target::Minikube && subject.driver.is_none() {
        subject.driver = usual_driver();
    }
    let asked = args.kubernetes_version.as_ref().map(|version| format!("v{}", version.trim_start_matches('v')));
    for (asked, planned) in [(asked, Some(&mut subject.kubernetes)), (args.driver.clone(), subject.driver.as_mut())] {
        if let (Some(asked), Some(planned)) = (asked, planned)
            && *planned != asked
        {
            *planned = asked;
            // Then it is not what stands that is asked about.
            subject.stands = None;
        }
    }
    if subject.driver.is_none() {
        subject.driver.clone_from(&args.driver);
    }
}

/// The lab's cluster; without one, that which is asked about. A minikube that is not there is a finding, not a failure.
fn cluster(args: &Args, home: &Home, context: &Context) -> Result<Box<dyn Provider>, Failure> {
    match provider(&args.cluster, home, context) {
        Ok((provider, _)) => Ok(provider),
        Err(failure) if failure.reason == Reason::MinikubeMissing => {
            choice::make(&ClusterChoice::Embedded, home, &context.lab()?, context)
        }
        Err(failure) => Err(failure),
    }
}

fn known_checks(named: &[String]) -> Result<(), Failure> {
    let fixable: Vec<&str> = CHECKS.iter().filter(|kind| kind.fixable).map(|kind| kind.id).collect();
    match named.iter().find(|name| !fixable.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Failure::new(Reason::Usage, format!("there is no safe cure for `{name}`"))
            .observed(format!("checks with a cure: {}", fixable.join(", ")))),
    }
}

/// Asks, unless told not to, and applies; false when the person said no.
fn mend(
    fix: &Fix,
    yes: bool,
    kubeconfig: &std::path::Path,
    runtime: &tokio::runtime::Runtime,
    context: &mut Context,
) -> Result<bool, Failure> {
    if !yes {
        if !(context.io.terminal.stdin && context.io.terminal.stderr) {
            return Err(Failure::new(Reason::Usage, "nobody is there to be asked")
                .observed(fix.question())
                .then("canary-lab doctor --fix --yes", "does all that is offered without asking"));
        }
        let answer = dialoguer::Confirm::new().with_prompt(fix.question()).default(false).interact();
        if !answer.unwrap_or(false) {
            context.remark("left as it is")?;
            return Ok(false);
        }
    }
    let done = runtime.block_on(async {
        let api = Api::connect(kubeconfig).await.ok();
        fixes::apply(fix, api.as_ref()).await
    })?;
    context.remark(&format!("{} {done}", context.paint_err().mark(Mark::Fine)))?;
    Ok(true)
}

fn tell(context: &mut Context, checks: &[Check]) -> Result<(), Failure> {
    match (context.output, context.format) {
        (Output::Json, _) => {
            let count = |severity| checks.iter().filter(|check| check.severity() == severity).count();
            let summary = json!({
                "fine": count(Severity::Fine), "warning": count(Severity::Warning),
                "error": count(Severity::Error), "skipped": count(Severity::Skipped),
            });
            context.say_json(&json!({"checks": checks, "summary": summary}))
        }
        (_, Format::Table) => table(context, checks),
        (_, Format::Short) => {
            for check in checks.iter().filter(|check| check.failure().is_some()) {
                line(context, check)?;
            }
            context.say(&summary(checks))
        }
        _ => whole(context, checks),
    }
}

fn whole(context: &mut Context, checks: &[Check]) -> Result<(), Failure> {
    let paint = context.paint_out();
    for category in Category::ALL {
        let inside: Vec<&Check> = checks.iter().filter(|check| check.kind.category == category).collect();
        if inside.is_empty() {
            continue;
        }
        context.say(&paint.bold(category.title()))?;
        for (index, check) in inside.iter().enumerate() {
            // Checks that were skipped for one reason are one line, where the first of them would stand.
            let alike = |other: &&&Check| skipped_for(other).is_some() && skipped_for(other) == skipped_for(check);
            if inside[..index].iter().any(|other| alike(&other)) {
                continue;
            }
            let names: Vec<&str> = inside.iter().filter(alike).map(|other| other.kind.id).collect();
            if let Some(why) = skipped_for(check) {
                skipped(context, &names, why)?;
            } else {
                line(context, check)?;
                detail(context, check)?;
            }
        }
    }
    context.say(&format!("\n{}", summary(checks)))
}

/// Why a check was skipped, short where the check that it needs has told more already.
fn skipped_for(check: &Check) -> Option<&str> {
    if check.severity() != Severity::Skipped {
        return None;
    }
    let why = check.headline();
    Some(if why.starts_with("needs `") { why.split_once(':').map_or(why, |(short, _)| short) } else { why })
}

fn skipped(context: &mut Context, names: &[&str], why: &str) -> Result<(), Failure> {
    let (paint, width) = (context.paint_out(), context.width());
    let mut mark = paint.mark(Mark::Quiet);
    for line in wrap(&format!("{}: {why}", names.join(", ")), width.saturating_sub(4).max(30)) {
        context.say(&format!("  {mark} {line}"))?;
        " ".clone_into(&mut mark);
    }
    Ok(())
}

const fn mark_of(severity: Severity) -> Mark {
    match severity {
        Severity::Fine => Mark::Fine,
        Severity::Warning => Mark::Warning,
        Severity::Error => Mark::Failed,
        Severity::Skipped => Mark::Quiet,
    }
}

fn line(context: &mut Context, check: &Check) -> Result<(), Failure> {
    let (paint, width) = (context.paint_out(), context.width());
    let id = check.failure().map(|failure| failure.reason.id()).unwrap_or_default();
    let mut lines =
        wrap(check.headline(), width.saturating_sub(4 + if id.is_empty() { 0 } else { id.len() + 3 }).max(30))
            .into_iter();
    let first = lines.next().unwrap_or_default();
    let id = if id.is_empty() { String::new() } else { format!("   {}", paint.dim(id)) };
    context.say(&format!("  {} {first}{id}", paint.mark(mark_of(check.severity()))))?;
    for line in lines {
        context.say(&format!("    {line}"))?;
    }
    Ok(())
}

fn detail(context: &mut Context, check: &Check) -> Result<(), Failure> {
    let Some(failure) = check.failure() else { return Ok(()) };
    let (paint, width) = (context.paint_out(), context.width());
    let room = width.saturating_sub(13).max(30);
    let told = failure.observed.iter().map(|line| ("seen", line.as_str())).chain([("cause", failure.cause_text())]);
    let mut last = "";
    for (label, text) in told {
        for line in wrap(text, room) {
            let shown = if last == label { "" } else { label };
            last = label;
            context.say(&format!("      {}{line}", paint.dim(&format!("{shown:<7}"))))?;
        }
    }
    for (index, Next { command, effect }) in check.fixes().into_iter().enumerate() {
        let word = if index == 0 { "fix" } else { "or" };
        let painted = paint.command(&command);
        if 13 + command.chars().count() + 3 + effect.chars().count() <= width {
            context.say(&format!("      {}{painted}   {effect}", paint.dim(&format!("{word:<7}"))))?;
        } else {
            context.say(&format!("      {}{painted}", paint.dim(&format!("{word:<7}"))))?;
            context.say(&format!("               {effect}"))?;
        }
    }
    context.say(&format!("      {}{}", paint.dim("about  "), paint.dim(&check.documentation())))
}

/// One row a check, for a wide terminal or a spreadsheet.
fn table(context: &mut Context, checks: &[Check]) -> Result<(), Failure> {
    let severity = |check: &Check| match check.severity() {
        Severity::Fine => "fine",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Skipped => "skipped",
    };
    context.say(&format!("{:<8} {:<20} {:<8} {:<24} FOUND", "CATEGORY", "CHECK", "SEVERITY", "REASON"))?;
    for check in checks {
        let reason = check.failure().map_or("-", |failure| failure.reason.id());
        let category = check.kind.category.title().to_lowercase();
        context.say(&format!(
            "{category:<8} {:<20} {:<8} {reason:<24} {}",
            check.kind.id,
            severity(check),
            check.headline()
        ))?;
    }
    Ok(())
}

fn summary(checks: &[Check]) -> String {
    let count = |wanted: Severity| checks.iter().filter(|check| check.severity() == wanted).count() as u64;
    let parts = [
        (count(Severity::Fine), "fine", "fine"),
        (count(Severity::Warning), "warning", "warnings"),
        (count(Severity::Error), "error", "errors"),
        (count(Severity::Skipped), "skipped", "skipped"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _, _)| *number > 0)
        .map(|(number, one, many)| format!("{number} {}", if *number == 1 { one } else { many }))
        .collect();
    format!("{}: {}", plural(checks.len() as u64, "check"), parts.join(", "))
}
