//! Ctrl-C and termination, heard once and remembered.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a run in good order.
#[derive(Debug)]
pub struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupt {
    /// Starts to listen; from now on these signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when a signal has come, with its name.
    pub async fn heard(&mut self) -> &'static str {
        tokio::select! {
            _ = self.ctrl_c.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}
