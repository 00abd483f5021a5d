//! Ctrl-C and termination, heard once and remembered.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;

/// What ends a run in good order.
#[derive(Debug)]
pub struct Interrupt(Source);

#[derive(Debug)]
enum Source {
    Signals {
        ctrl_c: Signal,
        terminate: Signal,
        hang_up: Signal,
    },
    /// Somebody else hears the signals, and keys as well.
    Told(UnboundedReceiver<&'static str>),
}

impl Interrupt {
    /// Starts to listen; from now on these signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(Source::Signals {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        }))
    }

    /// An interrupt that comes over a channel, with its name.
    pub fn told_by(receiver: UnboundedReceiver<&'static str>) -> Self {
        Self(Source::Told(receiver))
    }

    /// Returns when a signal has come, with its name.
    pub async fn heard(&mut self) -> &'static str {
        match &mut self.0 {
            Source::Signals { ctrl_c, terminate, hang_up } => tokio::select! {
                _ = ctrl_c.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hang_up.recv() => "SIGHUP",
            },
            Source::Told(receiver) => match receiver.recv().await {
                Some(name) => name,
                // Nobody is left who could say so.
                None => std::future::pending().await,
            },
        }
    }
}
