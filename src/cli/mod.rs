//! The commands: one file each. Parses arguments, wires the rooms below together and prints through [`crate::ui`]; it
//! decides nothing about a cluster.
//!
//! `run` is the only way in. A command gets a `Context` (streams, home, lab) and ends with nothing to add or with
//! a [`Failure`], which is printed here and nowhere else. Hidden commands are the processes that the embedded cluster
//! starts from the same binary.

mod arguments;
mod choice;
mod completions;
mod context;
mod daemon;
mod diagnose;
mod doctor;
mod down;
mod env;
mod explain;
mod export;
mod keep;
mod ls;
mod model_options;
mod model_server;
mod models;
mod options;
mod payload;
mod prefetch;
mod proxy;
mod report;
mod request;
mod reset;
mod session;
mod shell;
mod status;
mod tunnel;
mod up;
mod verify;
mod walk;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::doctor::{Failure, Reason};
use crate::ui::Io;

use context::Context;

/// Deploys a TensorFlow model as a canary release with Kubernetes and Istio, and proves every outcome.
#[derive(Debug, Parser)]
#[command(
    name = "canary-lab",
    version,
    propagate_version = false,
    disable_help_subcommand = false,
    max_term_width = 110
)]
#[command(after_help = "\
Start here:
  canary-lab walk                         read, do, and see it verified, stage by stage
  canary-lab up                           the whole lab, every outcome proven
  eval \"$(canary-lab env)\"                kubectl, curl and Python of this terminal find the lab
  canary-lab down                         takes it away again

The lab lives in one directory: `--home DIR`, else CANARY_LAB_HOME, else ~/.local/share/canary-lab.
Exit codes and reasons are listed in docs/exit-codes.md and docs/reasons.md.")]
struct Cli {
    /// The directory that holds everything of this lab
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,

    /// Another lab: a directory with a lab.yaml; else CANARY_LAB_LAB, else the one that the home holds
    #[arg(long, global = true, value_name = "DIR")]
    lab: Option<PathBuf>,

    /// What standard output gets: lines for a person, or JSON for a script; `doctor` knows `short` and `table` as well
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, value_name = "FORMAT")]
    output: Format,

    /// Show every command of another program, its output and what was read in it
    #[arg(long, global = true)]
    trace: bool,

    /// Without one, a terminal gets `walk`, and everything else this help
    #[command(subcommand)]
    command: Option<Command>,
}

/// Whom standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A person.
    Human,
    /// A script.
    Json,
}

/// What standard output gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for a person.
    Human,
    /// JSON for a script.
    Json,
    /// Only what is wrong.
    Short,
    /// A row each.
    Table,
}

impl Format {
    const fn output(self) -> Output {
        match self {
            Self::Json => Output::Json,
            Self::Human | Self::Short | Self::Table => Output::Human,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Walk(Box<walk::Args>),
    Up(Box<up::Args>),
    Status(status::Args),
    Verify(verify::Args),
    Request(request::Args),
    Explain(explain::Args),
    Payload(payload::Args),
    Env(env::Args),
    Shell(shell::Args),
    Tunnel(tunnel::Args),
    Doctor(doctor::Args),
    Report(report::Args),
    Ls(ls::Args),
    Export(export::Args),
    Reset(reset::Args),
    Down(down::Args),
    Diagnose(diagnose::Args),
    Models(models::Args),
    Prefetch(prefetch::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Daemon(daemon::Args),
    #[command(hide = true)]
    Keep(keep::Args),
    #[command(hide = true)]
    Gateway(proxy::Args),
    #[command(hide = true)]
    Sidecar(proxy::Args),
    ModelServer(model_server::Args),
}

/// Runs one command and returns the process's exit code.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>, mut io: Io) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
            let format = if arguments::ask_for_json(&args) { Format::Json } else { Format::Human };
            let mut context = Context::new(io, None, None, format);
            return finish(Err(arguments::not_unicode(&args)), &mut context);
        }
        Err(error) => return usage(&error, &mut io),
    };
    let command = match cli.command {
        Some(Command::ModelServer(args)) => return model_server::run(&args, &mut io),
        Some(command) => command,
        None if walk::is_possible(&io) => Command::Walk(Box::default()),
        None => return help(&mut io),
    };
    let mut context = Context::new(io, cli.home, cli.lab, cli.output);
    if cli.trace {
        context.start_trace();
    }
    if matches!(cli.output, Format::Short | Format::Table) && !matches!(command, Command::Doctor(_)) {
        let failure = Failure::new(Reason::Usage, "only `doctor` prints a short list or a table");
        return finish(Err(failure), &mut context);
    }
    let done = match command {
        Command::Walk(args) => walk::run(&args, &mut context),
        Command::Up(args) => up::run(&args, &mut context),
        Command::Status(args) => status::run(&args, &mut context),
        Command::Verify(args) => verify::run(&args, &mut context),
        Command::Request(args) => request::run(&args, &mut context),
        Command::Explain(args) => explain::run(&args, &mut context),
        Command::Payload(args) => payload::run(&args, &mut context),
        Command::Env(args) => env::run(&args, &mut context),
        Command::Shell(args) => shell::run(&args, &mut context),
        Command::Tunnel(args) => tunnel::run(&args, &mut context),
        Command::Doctor(args) => doctor::run(&args, &mut context),
        Command::Report(args) => report::run(&args, &mut context),
        Command::Ls(args) => ls::run(&args, &mut context),
        Command::Export(args) => export::run(&args, &mut context),
        Command::Reset(args) => reset::run(&args, &mut context),
        Command::Down(args) => down::run(&args, &mut context),
        Command::Diagnose(args) => diagnose::run(&args, &mut context),
        Command::Models(args) => models::run(&args, &mut context),
        Command::Prefetch(args) => prefetch::run(&args, &mut context),
        Command::Completions(args) => completions::run(&args, &mut context, &mut Cli::command()),
        Command::Keep(args) => keep::run(&args, &mut context),
        Command::Gateway(_) => return proxy::run(proxy::Role::Gateway, &mut context),
        Command::Sidecar(_) => return proxy::run(proxy::Role::Sidecar, &mut context),
        Command::Daemon(args) => match daemon::run(&args, &mut context) {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        // Has its own exit codes and was handled above.
        Command::ModelServer(_) => Ok(()),
    };
    finish(done, &mut context)
}

/// Prints a failure, if there is one, and tells the exit code.
fn finish(done: Result<(), Failure>, context: &mut Context) -> u8 {
    match done {
        Ok(()) => 0,
        Err(failure) => {
            if !context.shown_already {
                context.show(&failure);
            }
            failure.exit_code()
        }
    }
}

/// The help, for somebody who asked for nothing where no screen can be shown.
fn help(io: &mut Io) -> u8 {
    let text = Cli::command().render_long_help();
    let _ = write!(io.stdout, "{text}").and_then(|()| io.stdout.flush());
    0
}

/// Help and version go to standard output with code 0, mistakes to standard error with code 2.
fn usage(error: &clap::Error, io: &mut Io) -> u8 {
    let text = error.render();
    let (stream, is_terminal) =
        if error.use_stderr() { (&mut io.stderr, io.terminal.stderr) } else { (&mut io.stdout, io.terminal.stdout) };
    let coloured = crate::ui::Paint::for_stream(is_terminal, &io.environment).is_coloured();
    // A reader that has gone away, as in `canary-lab help | head -1`, is no failure of ours.
    let _ = if coloured { write!(stream, "{}", text.ansi()) } else { write!(stream, "{text}") };
    let _ = stream.flush();
    u8::try_from(error.exit_code()).unwrap_or(2)
}
