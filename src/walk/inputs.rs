//! Everything that the walk reacts to, as one stream: keys, prompts, the cluster, the terminal's size, signals, time.

use std::path::PathBuf;
use std::time::Duration;

use console::Key;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Interval;

use super::keyboard::{Ask, Heard, Keyboard};
use super::observer::Observer;
use super::terminal::Taken;
use crate::cluster::Watched;
use crate::run::Interrupt;

/// Ctrl-Z: while the terminal is taken it is a key like others.
pub(super) const SUSPEND: Key = Key::Char('\u{1a}');

/// How often elapsed times are drawn anew while something works.
const TICK: Duration = Duration::from_millis(100);

/// How often it is looked whether a key is waited for; nothing tells.
const GLANCE: Duration = Duration::from_millis(1);

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Input {
    /// Something was typed, or a prompt was answered.
    Heard(Heard),
    /// Something in the cluster changed.
    Cluster(Box<Watched>),
    /// The terminal has another size.
    Resized,
    /// A signal asks for an end.
    Signal(&'static str),
    /// Time went on.
    Tick,
}

/// The sources.
#[derive(Debug)]
pub(super) struct Inputs {
    keyboard: Keyboard,
    observer: Observer,
    resized: Signal,
    interrupt: Interrupt,
    ticks: Interval,
    /// Whether the keyboard was asked for something that it has not told yet.
    asked: bool,
    /// A key that was typed while something else was done. While there is one no other is asked for.
    kept: Option<Key>,
}

impl Inputs {
    /// Starts to listen.
    pub(super) fn start(kubeconfig: PathBuf, coloured: bool) -> std::io::Result<Self> {
        let keyboard = Keyboard::start(coloured)?;
        Ok(Self {
            keyboard,
            observer: Observer::start(kubeconfig),
            resized: signal(SignalKind::window_change())?,
            interrupt: Interrupt::listen()?,
            ticks: tokio::time::interval(TICK),
            asked: false,
            kept: None,
        })
    }

    /// Asks for the next key, unless something is asked for already or a key is kept.
    pub(super) fn key(&mut self) {
        if !self.asked && self.kept.is_none() {
            self.ask(Ask::Key);
        }
    }

    /// Asks for a key or for the answer to a prompt. One thing is asked for at a time; more are answered one by one.
    pub(super) fn ask(&mut self, ask: Ask) {
        self.asked = true;
        self.keyboard.ask(ask);
    }

    /// Keeps a key that was typed too early; it is told by [`Inputs::next`] before anything else.
    pub(super) fn keep(&mut self, key: Key) {
        self.kept = Some(key);
    }

    /// Whether a key is kept.
    pub(super) fn is_key_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Gives the terminal to the shell until that lets this go on. For a moment in which no key is asked for: right after
    /// one was told, and on the main thread.
    pub(super) fn suspend(&mut self) -> std::io::Result<()> {
        Taken::suspend()?;
        self.key();
        Ok(())
    }

    /// Waits until the keyboard's thread changes the terminal's modes no more: it has told what it was asked for, or
    /// waits for a key that nobody will hear. A thread that only then began to wait would take the terminal again.
    pub(super) async fn settle(&mut self) {
        while self.asked && !Taken::waits_for_a_key() {
            tokio::select! {
                _ = self.keyboard.heard() => self.asked = false,
                () = tokio::time::sleep(GLANCE) => {}
            }
        }
    }

    /// What happens next. Keys come before everything else, so that none waits behind a busy cluster.
    pub(super) async fn next(&mut self) -> Input {
        if let Some(key) = self.kept.take() {
            return Input::Heard(Heard::Key(key));
        }
        tokio::select! {
            biased;
            signal = self.interrupt.heard() => Input::Signal(signal),
            heard = self.keyboard.heard() => {
                self.asked = false;
                Input::Heard(heard)
            }
            _ = self.resized.recv() => Input::Resized,
            event = self.observer.next() => Input::Cluster(Box::new(event)),
            _ = self.ticks.tick() => Input::Tick,
        }
    }
}
