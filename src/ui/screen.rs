//! A run on the screen: one line a stage, and on a terminal one live line below while something works.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::bars::Shares;
use super::paint::{Mark, Paint};
use super::words::{duration, wrap};

/// Columns of `12/13 Split 70/30          ` before the result.
const TITLE: usize = 26;

/// What the live line tells.
#[derive(Debug, Clone, Default)]
pub struct LiveNote {
    /// What is awaited.
    pub awaited: String,
    /// What was seen last.
    pub seen: Option<String>,
    /// The division of a sample so far, while one is taken.
    pub shares: Option<Shares>,
}

/// Draws stages. `out` gets the results, `live` (a terminal's standard error) the line that comes and goes.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    live: Option<&'a mut dyn Write>,
    paint: Paint,
    width: usize,
    drawn: bool,
    current: Option<Current>,
    listener: Option<UnboundedSender<LiveNote>>,
}

struct Current {
    note: LiveNote,
    since: Instant,
    typical: Option<Duration>,
}

impl<'a> Screen<'a> {
    /// A screen of `width` columns; without `live` it only ever appends lines.
    pub fn new(out: &'a mut dyn Write, live: Option<&'a mut dyn Write>, paint: Paint, width: usize) -> Self {
        Self { out, live, paint, width, drawn: false, current: None, listener: None }
    }

    /// Hands every note to `listener` as well, for whoever draws them in another way.
    #[must_use]
    pub fn told_to(mut self, listener: UnboundedSender<LiveNote>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// A line of its own.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// A stage starts to work; `typical` is how long it usually takes.
    pub fn begin(&mut self, awaited: impl Into<String>, typical: Option<Duration>) -> io::Result<()> {
        self.current = Some(Current {
            note: LiveNote { awaited: awaited.into(), ..LiveNote::default() },
            since: Instant::now(),
            typical,
        });
        self.tick()
    }

    /// Something new is awaited or was seen.
    pub fn note(&mut self, note: LiveNote) -> io::Result<()> {
        if let Some(listener) = &self.listener {
            // Whoever has gone needs no notes.
            let _ = listener.send(note.clone());
        }
        if let Some(current) = &mut self.current {
            current.note = note;
        }
        self.tick()
    }

    /// Draws the live line anew, with the time that has passed.
    pub fn tick(&mut self) -> io::Result<()> {
        let (Some(current), Some(live)) = (&self.current, self.live.as_mut()) else { return Ok(()) };
        let mut text = format!("{} · {}", current.note.awaited, duration(current.since.elapsed()));
        if let Some(typical) = current.typical {
            text.push_str(&format!(" of ~{}", duration(typical)));
        }
        if let Some(seen) = &current.note.seen {
            text.push_str(&format!(" · {seen}"));
        }
        let text = console::truncate_str(&text, self.width.saturating_sub(8), "…").into_owned();
        let hide = if self.drawn { "" } else { "\x1b[?25l" };
        self.drawn = true;
        write!(live, "{hide}\r\x1b[K       {}", self.paint.dim(&text))?;
        live.flush()
    }

    /// The result of a stage: `12/13 Title   ✔ text   0.3s`, the text wrapped beside its title.
    pub fn stage(
        &mut self,
        number: usize,
        of: usize,
        title: &str,
        mark: Mark,
        text: &str,
        took: Option<Duration>,
    ) -> io::Result<()> {
        self.clear()?;
        self.current = None;
        let place = format!("{number:>2}/{of}");
        let took = took.map(duration).unwrap_or_default();
        let narrow = self.width < 60;
        let indent = self.indent();
        let room = self.width.saturating_sub(indent + if narrow { 0 } else { took.len() + 2 }).max(20);
        let mut lines = wrap(text, room).into_iter();
        let first = lines.next().unwrap_or_default();
        let mark = self.paint.mark(mark);
        if narrow {
            writeln!(self.out, "{} {} {}", self.paint.dim(&place), self.paint.bold(title), self.paint.dim(&took))?;
            writeln!(self.out, "    {mark} {first}")?;
        } else {
            let title_room = TITLE - 1 - place.len();
            let gap = " ".repeat((room + 2).saturating_sub(console::measure_text_width(&first)));
            let title = format!("{title:<title_room$}");
            let line = format!(
                "{} {}{mark} {first}{gap}{}",
                self.paint.dim(&place),
                self.paint.bold(&title),
                self.paint.dim(&took)
            );
            writeln!(self.out, "{}", line.trim_end())?;
        }
        for line in lines {
            writeln!(self.out, "{}{line}", " ".repeat(indent))?;
        }
        self.out.flush()
    }

    /// A line below a result, beside its title; it is never wrapped, so that it can be something to paste.
    pub fn remark(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{}{text}", " ".repeat(self.indent()))?;
        self.out.flush()
    }

    /// Columns left of a result's second line.
    fn indent(&self) -> usize {
        if self.width < 60 { 6 } else { TITLE + 2 }
    }

    /// Takes the live line away and shows the cursor again.
    pub fn clear(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.drawn) {
            return Ok(());
        }
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        write!(live, "\r\x1b[K\x1b[?25h")?;
        live.flush()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no cursor.
        let _ = self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_one_line_and_wraps_beside_its_title() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, None, Paint::PLAIN, 70);
        screen.begin("waiting", None).unwrap();
        screen.stage(2, 13, "Cluster", Mark::Fine, "Kubernetes v1.24.3", Some(Duration::from_millis(300))).unwrap();
        screen.stage(13, 13, "By header", Mark::Failed, "one two three four five six seven eight nine", None).unwrap();
        drop(screen);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], " 2/13 Cluster             ✔ Kubernetes v1.24.3                    0.3s");
        assert!(lines[1].starts_with("13/13 By header           ✗ one two"), "{text}");
        assert!(lines[2].starts_with("                            "), "{text}");
        assert!(lines.iter().all(|line| console::measure_text_width(line) <= 70), "{text}");
    }

    #[test]
    fn forty_columns_are_enough() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, None, Paint::PLAIN, 40);
        let text = "300 requests: resnet50 209 (69.7 %), resnet101 91; 95 % interval 64.1–74.8 %";
        screen.stage(12, 13, "Split 70/30", Mark::Fine, text, Some(Duration::from_secs(2))).unwrap();
        drop(screen);
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| console::measure_text_width(line) <= 40), "{text}");
        assert!(text.starts_with("12/13 Split 70/30 2.0s\n    ✔ 300"), "{text}");
    }

    #[test]
    fn the_live_line_leaves_nothing_behind() {
        let (mut out, mut live) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, Some(&mut live), Paint::PLAIN, 80);
        screen.begin("waiting for Deployment x", Some(Duration::from_secs(2))).unwrap();
        screen
            .note(LiveNote { awaited: "waiting for Deployment x".into(), seen: Some("0/1 ready".into()), shares: None })
            .unwrap();
        drop(screen);
        let live = String::from_utf8(live).unwrap();
        assert!(live.contains("waiting for Deployment x · 0.0s of ~2.0s · 0/1 ready"), "{live}");
        assert_eq!(live.matches("\x1b[?25l").count(), 1);
        assert!(live.ends_with("\r\x1b[K\x1b[?25h"), "{live:?}");
        assert!(out.is_empty());
    }
}
