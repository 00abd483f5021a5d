//! The terminal of this process, taken for a full screen and always given back as it was.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// Alternate screen on, cleared, cursor away, and no wrapping of its own making at the last column.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[H";
/// Colours off, cursor back, the screen that was there before.
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";

/// How the terminal was before; there is one terminal in a process, and a panic must find it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static PANICS: Once = Once::new();

/// The terminal while it shows full screens. Dropping it, a panic and [`Taken::give_back`] all restore it.
#[derive(Debug)]
pub(super) struct Taken(());

impl Taken {
    /// Takes standard input and output, which must be terminals: no echo, no line editing, another screen.
    pub(super) fn take() -> io::Result<Self> {
        PANICS.call_once(|| {
            let earlier = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                earlier(panic);
            }));
        });
        let taken = Self(());
        hold()?;
        Ok(taken)
    }

    /// Whether somebody reads a key: then, and only then, the terminal makes no signals of keys. A terminal that is gone
    /// has no reader to wait for.
    pub(super) fn waits_for_a_key() -> bool {
        !tcgetattr(io::stdin()).is_ok_and(|now| now.local_modes.contains(LocalModes::ISIG))
    }

    /// What Ctrl-Z does: gives the terminal back, stops, and takes the terminal again when the shell lets this go on. Where
    /// no shell could let it go on, the system does not stop it.
    ///
    /// Call it on the main thread, which is the one that a signal to its own process stops before the call returns, and
    /// while no key is asked for.
    pub(super) fn suspend() -> io::Result<()> {
        restore();
        kill_current_process_group(Signal::TSTP)?;
        hold()
    }

    /// Rows and columns.
    pub(super) fn size() -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0);
        size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)))
    }

    /// Gives the terminal back before the value is dropped.
    pub(super) fn give_back(self) {
        drop(self);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        restore();
    }
}

fn hold() -> io::Result<()> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    // Signals stay on: Ctrl-C is heard even while nobody reads keys.
    silent.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    // Ctrl-Z is read as a key, late where nobody reads: a process that it stopped at once would keep the terminal.
    silent.special_codes[SpecialCodeIndex::VSUSP] = 0;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    tcsetattr(&stdin, OptionalActions::Now, &silent)?;
    let mut out = io::stdout();
    out.write_all(ENTER.as_bytes())?;
    out.flush()
}

/// Puts everything back that [`hold`] changed; only the first call does.
fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(before) = before else { return };
    // A terminal that is gone cannot be restored, and needs not.
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    let mut out = io::stdout();
    let _ = out.write_all(LEAVE.as_bytes());
    let _ = out.flush();
}
