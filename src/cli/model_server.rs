//! `model-server`: the model server on its own, and what the kubelet starts for a `tensorflow/serving` container.

use std::ffi::OsString;
use std::io::Write as _;

use crate::process::{SANDBOX_VARIABLE, Sandbox};
use crate::serving;
use crate::ui::Io;

/// The exit code for a sandbox that cannot be read, the same as for any start that fails.
const FAILED: u8 = 255;

/// Serves SavedModels with the interfaces and the flags of TensorFlow Serving 2.5.1
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// Flags of `tensorflow_model_server`, for example --rest_api_port=8501 --model_name=NAME --model_base_path=DIR
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

/// Runs the server until it is told to stop; its exit code is the process's.
pub(super) fn run(args: &Args, io: &mut Io) -> u8 {
    // Before the first thread that would get a heap of its own.
    crate::inference::give_back_large_blocks();
    let sandbox = match io.environment.text(SANDBOX_VARIABLE).map(Sandbox::from_variable).transpose() {
        Ok(sandbox) => sandbox,
        Err(error) => {
            // With standard error gone there is nobody to tell; the exit code remains.
            let _ = writeln!(io.stderr, "{error}");
            return FAILED;
        }
    };
    let flags: Vec<String> = args.flags.iter().map(|flag| flag.to_string_lossy().into_owned()).collect();
    serving::run(&flags, sandbox, &mut io.stdout)
}
