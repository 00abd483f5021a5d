//! `diagnose`: everything that explains a failure, in one archive.

use std::path::PathBuf;

use super::Output;
use super::context::Context;
use super::session::{provider, runtime};
use crate::cluster::ClusterChoice;
use crate::doctor::Failure;
use crate::run::{Bundle, Packed};
use crate::ui::{home_relative, plural};

/// Packs logs, events, objects and records into one archive, for whoever helps with a failure
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Values of Secrets, the kubeconfig, keys and the API's token are left out; what else is in the archive is listed in its
index.json. Nothing is changed, and a lab that hangs can be looked at while it does.

Examples:
  canary-lab diagnose
  canary-lab diagnose -o /tmp/lab.tar.gz
  tar tzf canary-lab-diagnostics-*.tar.gz")]
pub(super) struct Args {
    /// The archive to write; a name with the time in the current directory by default
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let path = args.file.clone().unwrap_or_else(|| Bundle::name((context.io.clock)()).into());
    let bundle = Bundle {
        home: &home,
        provider: provider.as_ref(),
        environment: &context.io.environment,
        clock: context.io.clock,
    };
    let packed = runtime()?.block_on(bundle.write(&path))?;
    show(&packed, context)
}

/// Says where the archive is and what it lacks.
fn show(packed: &Packed, context: &mut Context) -> Result<(), Failure> {
    if context.output == Output::Json {
        return context.say_json(packed);
    }
    let size = packed.bytes as f64 / 1e6;
    context.say(&packed.path.display().to_string())?;
    let files = plural(packed.files as u64, "file");
    context.remark(&format!("{files}, {size:.1} MB; values of Secrets, keys and the API's token are not in it"))?;
    for line in &packed.missing {
        let line = home_relative(std::path::Path::new(line), context.user_home().as_deref());
        context.remark(&format!("  without {line}"))?;
    }
    Ok(())
}
