//! One thread that reads keys and runs prompts, so that nothing else ever waits for a person.
//!
//! The thread does what it is asked for, one thing at a time, and tells over a channel what it heard. While it waits
//! inside a prompt, cluster events, a resize or a signal are handled as always.

use std::sync::mpsc::{Receiver, Sender, channel};

use console::{Key, Term};
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, Select};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Ask {
    /// One key.
    Key,
    /// Yes or no.
    Confirm {
        /// The question.
        text: String,
        /// What enter alone says.
        default: bool,
    },
    /// One of a list.
    Choose {
        /// The question.
        text: String,
        /// The list.
        items: Vec<String>,
        /// Where the cursor stands first.
        at: usize,
    },
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A key.
    Key(Key),
    /// The answer to a confirmation; none when it was left with escape.
    Confirmed(Option<bool>),
    /// The position of the choice; none when it was left with escape.
    Chosen(Option<usize>),
    /// The terminal is gone.
    Gone,
}

/// The keyboard of this process's terminal.
#[derive(Debug)]
pub(super) struct Keyboard {
    asks: Sender<Ask>,
    heard: UnboundedReceiver<Heard>,
}

impl Keyboard {
    /// Starts the thread; it ends with the process.
    pub(super) fn start(coloured: bool) -> std::io::Result<Self> {
        let (asks, asked) = channel();
        let (tell, heard) = unbounded_channel();
        std::thread::Builder::new().name("keyboard".to_owned()).spawn(move || listen(&asked, &tell, coloured))?;
        Ok(Self { asks, heard })
    }

    /// Asks for something; the answer comes from [`Keyboard::heard`].
    pub(super) fn ask(&self, ask: Ask) {
        // A thread that is gone says so through the other channel.
        let _ = self.asks.send(ask);
    }

    /// What is heard next.
    pub(super) async fn heard(&mut self) -> Heard {
        self.heard.recv().await.unwrap_or(Heard::Gone)
    }
}

fn listen(asked: &Receiver<Ask>, tell: &UnboundedSender<Heard>, coloured: bool) {
    let term = Term::stdout();
    console::set_colors_enabled(coloured);
    let theme: Box<dyn Theme> = if coloured { Box::new(ColorfulTheme::default()) } else { Box::new(SimpleTheme) };
    for ask in asked {
        let heard = match ask {
            Ask::Key => term.read_key_raw().map(Heard::Key).ok(),
            Ask::Confirm { text, default } => {
                let prompt = Confirm::with_theme(theme.as_ref()).with_prompt(text).default(default);
                prompt
                    .interact_on_opt(&term)
                    .map(Heard::Confirmed)
                    .or_else(|error| left(error, Heard::Confirmed(None)))
                    .ok()
            }
            Ask::Choose { text, items, at } => {
                let prompt = Select::with_theme(theme.as_ref()).with_prompt(text).items(&items).default(at);
                prompt.interact_on_opt(&term).map(Heard::Chosen).or_else(|error| left(error, Heard::Chosen(None))).ok()
            }
        };
        let gone = heard.is_none();
        if tell.send(heard.unwrap_or(Heard::Gone)).is_err() || gone {
            return;
        }
    }
}

/// Ctrl-C inside a prompt: the signal itself is heard elsewhere, and the prompt counts as left.
fn left(error: dialoguer::Error, instead: Heard) -> Result<Heard, dialoguer::Error> {
    let dialoguer::Error::IO(io) = &error;
    if io.kind() == std::io::ErrorKind::Interrupted { Ok(instead) } else { Err(error) }
}
