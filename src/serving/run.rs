//! The process: command line, runtime, signals, exit code.

use std::io::Write;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::lifecycle::{Flags, Level, Log, Parsed, SavedModelLoader};
use super::server::{Core, serve};
use super::status::{Code, Status};
use crate::process::{Sandbox, lifeline};

/// The exit code for everything that goes wrong before the server serves.
const FAILED: u8 = 255;

/// Runs a model server until it is told to stop, and gives the exit code.
///
/// `args` are the flags without the program's name. With a sandbox the server binds only the sandbox's address, sees
/// files through its mounts, and ends when standard input ends. The usage and the reason for a start that failed go to
/// `out`, log lines to standard error, as with TensorFlow Serving.
pub fn run(args: &[String], sandbox: Option<Sandbox>, out: &mut dyn Write) -> u8 {
    // What cannot be written to `out` is lost; the exit code tells the rest.
    let flags = match Flags::parse(args) {
        Parsed::Unusable { complaints } => {
            for complaint in complaints {
                Log.line(Level::Error, "tensorflow/core/util/command_line_flags.cc:106", &complaint);
            }
            let _ = out.write_all(Flags::usage().as_bytes());
            return FAILED;
        }
        Parsed::Version => {
            let version = env!("CARGO_PKG_VERSION");
            let _ = write!(
                out,
                "TensorFlow ModelServer: 2.5.1 (canary-lab {version})\nTensorFlow Library: 2.5.1 (canary-lab {version})\n"
            );
            return 0;
        }
        Parsed::Serve { flags, unknown } => {
            if let Some(argument) = unknown {
                let _ = write!(out, "unknown argument: {argument}\n{}", Flags::usage());
                let _ = out.flush();
            }
            *flags
        }
    };
    match serve_until_stopped(flags, sandbox, out) {
        Ok(()) => 0,
        Err(status) => {
            let _ = writeln!(out, "Failed to start server. Error: {status}");
            let _ = out.flush();
            FAILED
        }
    }
}

fn serve_until_stopped(flags: Flags, sandbox: Option<Sandbox>, out: &mut dyn Write) -> Result<(), Status> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(64)
        .build()
        .map_err(|error| Status::new(Code::ResourceExhausted, error.to_string()))?;
    let sandbox = sandbox.map(Arc::new);
    let stop = CancellationToken::new();
    watch_for_the_end(&runtime, sandbox.is_some(), &stop);

    // Loading blocks, and waits for ever while there is no version: it must not keep the process from ending.
    let loader = Arc::new(SavedModelLoader::new(&flags));
    let starting = std::thread::Builder::new().name("start".into());
    let (started, outcome) = tokio::sync::oneshot::channel();
    starting
        .spawn(move || {
            // The receiver is gone when the process is being stopped.
            let _ = started.send(Core::start(flags, sandbox, loader));
        })
        .map_err(|error| Status::new(Code::ResourceExhausted, error.to_string()))?;
    let served = runtime.block_on(async {
        let core = tokio::select! {
            core = outcome => core,
            () = stop.cancelled() => return Ok(()),
        };
        let core = core.map_err(|_| Status::new(Code::Internal, "the start ended early"))??;
        serve(core, stop.clone(), out).await
    });
    runtime.shutdown_background();
    served
}

/// Cancels `stop` on SIGTERM and SIGINT and, in a sandbox, when the parent is gone.
fn watch_for_the_end(runtime: &tokio::runtime::Runtime, sandboxed: bool, stop: &CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let _inside = runtime.enter();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        // The handler stands before anything is logged; without one the signal ends the process at once, which is all
        // right too.
        let Ok(mut signals) = signal(kind) else { continue };
        let stop = stop.clone();
        runtime.spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    if sandboxed {
        let stop = stop.clone();
        runtime.spawn(async move {
            lifeline::parent_gone().await;
            stop.cancel();
        });
    }
}

/// Lets the process have as many connections as the system allows it.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the server works with fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
