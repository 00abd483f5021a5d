//! `report`: what the lab has shown, to keep.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;

use super::Output;
use super::context::{Context, written};
use crate::doctor::{Failure, Reason};
use crate::report::{self, Story};
use crate::state::{HomeError, Loaded, State, StateFile, write_atomically};
use crate::ui::home_relative;

/// Writes what the stages have shown: evidence, timings, charts, versions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab report --open                     one HTML file, shown in the browser
  canary-lab report -o report.html
  canary-lab report --format junit -o lab.xml  for a CI system
  canary-lab report --format md                for a comment

The report is made from records: it can be made after the lab is down (unless with `--purge`).")]
pub(super) struct Args {
    /// The format; without it by the file's ending, else html
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    /// Where to; without it HTML goes into the home and the other formats to standard output
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,

    /// Show the file in the browser
    #[arg(long)]
    open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One self-contained page.
    Html,
    /// Everything, for a program.
    Json,
    /// For CI systems.
    Junit,
    /// A table, for a comment.
    Md,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let state = match StateFile::of(&home).load()? {
        Loaded::Present(state) => state,
        Loaded::Absent | Loaded::Unusable(_) => State::new(&lab.spec.name),
    };
    let story = Story::gather(&lab, &home, &state, (context.io.clock)());
    let by_ending = args.out.as_deref().and_then(by_ending);
    let default = if context.output == Output::Json { Format::Json } else { Format::Html };
    let format = args.format.or(by_ending).unwrap_or(default);
    let text = match format {
        Format::Html => report::html(&story),
        Format::Junit => report::junit(&story),
        Format::Md => report::markdown(&story),
        Format::Json => {
            let text = serde_json::to_string_pretty(&story);
            text.map_err(|error| Failure::new(Reason::Internal, format!("cannot write JSON: {error}")))? + "\n"
        }
    };
    let path = match &args.out {
        Some(path) => Some(path.clone()),
        None if format == Format::Html || args.open => {
            let folder = home.runs();
            std::fs::create_dir_all(&folder)
                .map_err(|source| HomeError::NotWritable { path: folder.clone(), source })?;
            Some(folder.join(format!("report.{}", ending(format))))
        }
        None => None,
    };
    let Some(path) = path else {
        return written(context.io.stdout.write_all(text.as_bytes()).and_then(|()| context.io.stdout.flush()));
    };
    let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    write_atomically(&absolute, text.as_bytes())
        .map_err(|source| HomeError::NotWritable { path: path.clone(), source })?;
    let shown = home_relative(&path, context.user_home().as_deref());
    let (proven, of) = (story.proven(), story.stages.len());
    context.say(&format!("{shown}   {proven} of {of} stages proven, {} KB", text.len().div_ceil(1024)))?;
    if args.open { open(&absolute, context) } else { Ok(()) }
}

fn by_ending(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "html" | "htm" => Some(Format::Html),
        "json" => Some(Format::Json),
        "xml" => Some(Format::Junit),
        "md" => Some(Format::Md),
        _ => None,
    }
}

fn ending(format: Format) -> &'static str {
    match format {
        Format::Html => "html",
        Format::Json => "json",
        Format::Junit => "xml",
        Format::Md => "md",
    }
}

/// Hands the file to the desktop; where there is none, its path was printed and is enough.
fn open(path: &Path, context: &mut Context) -> Result<(), Failure> {
    let openers = ["xdg-open", "open", "wslview"];
    let Some(opener) = openers.iter().find_map(|name| which::which(name).ok()) else {
        return context.remark("no program to open it with was found; open the file in a browser");
    };
    let spawned =
        Command::new(opener).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match spawned {
        Ok(_) => Ok(()),
        Err(error) => context.remark(&format!("it could not be opened ({error}); open the file in a browser")),
    }
}
