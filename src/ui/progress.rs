//! The way a step tells what it waits for.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::bars::Shares;
use super::screen::LiveNote;

/// Sends notes to whoever draws them; cheap to clone, and silent when nobody listens.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<UnboundedSender<LiveNote>>);

impl Progress {
    /// A progress and the notes that it sends.
    pub fn channel() -> (Self, UnboundedReceiver<LiveNote>) {
        let (sender, receiver) = unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Nobody listens.
    pub fn silent() -> Self {
        Self(None)
    }

    /// What is awaited, and what was seen last.
    pub fn awaiting(&self, awaited: impl Into<String>, seen: Option<String>) {
        self.tell(LiveNote { awaited: awaited.into(), seen, shares: None });
    }

    /// What is awaited, and how a sample is divided so far.
    pub fn sampling(&self, awaited: impl Into<String>, seen: String, shares: Shares) {
        self.tell(LiveNote { awaited: awaited.into(), seen: Some(seen), shares: Some(shares) });
    }

    fn tell(&self, note: LiveNote) {
        if let Some(sender) = &self.0 {
            // A screen that has gone needs no notes.
            let _ = sender.send(note);
        }
    }
}
