//! One screen, from what is to be said to lines that fit. Pure: the same page is the same lines.

use std::time::Duration;

use crate::ui::{Mark, Paint, fold, wrap};

/// Where a stage of the lab stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Proven.
    Proven,
    /// Failed when it was looked at last.
    Failed,
    /// Not yet.
    Open,
}

/// The head of a page.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Every stage, in order.
    pub(super) stages: Vec<Standing>,
    /// The one that is shown; none for the welcome and the closing page.
    pub(super) position: Option<usize>,
    /// The heading.
    pub(super) heading: String,
    /// How long the rest usually takes.
    pub(super) left: Duration,
}

/// A page that is to be drawn.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// The head.
    pub(super) head: Head,
    /// What can be scrolled.
    pub(super) body: Vec<String>,
    /// The line of the body that should be visible, such as where a panel begins.
    pub(super) focus: Option<usize>,
    /// What always stands below it: what was seen, what works.
    pub(super) foot: Vec<String>,
    /// The keys, each with what it does.
    pub(super) keys: Vec<(&'static str, &'static str)>,
}

/// A page laid out for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The lines, from the top.
    pub(super) lines: Vec<String>,
    /// The scroll position that was used: lines of the body above the first one shown.
    pub(super) scroll: usize,
    /// How many lines of the body are shown.
    pub(super) room: usize,
    /// How far can be scrolled.
    pub(super) furthest: usize,
}

impl Page {
    /// Lays the page out on `rows` × `columns`; `scroll` is where the body should begin, within what there is.
    pub(super) fn lay_out(&self, (rows, columns): (usize, usize), scroll: usize, paint: Paint) -> Frame {
        let width = columns.max(20);
        let mut lines = self.head.lines(width, paint);
        lines.push(paint.dim(&"─".repeat(width)));
        let keys = self.key_lines(width, paint);
        // On a low screen what was seen gives way before the text does.
        let below = keys.len() + 1;
        let spare = rows.saturating_sub(lines.len() + below);
        let foot: Vec<String> = self.foot.iter().rev().take(spare / 2).rev().cloned().collect();
        let taken: usize = foot.iter().map(|line| height(line, width)).sum();
        let room = spare.saturating_sub(taken).max(1);
        let total = self.body.len();
        let furthest = first_of_last_screen(&self.body, width, room);
        let scroll = scroll.min(furthest);
        let mut used = 0;
        let mut shown = 0;
        for line in &self.body[scroll.min(total)..] {
            let rows = height(line, width);
            if used + rows > room && shown > 0 {
                break;
            }
            used += rows;
            shown += 1;
            lines.push(line.clone());
        }
        lines.extend(std::iter::repeat_n(String::new(), room.saturating_sub(used)));
        lines.extend(foot);
        lines.push(paint.dim(&rule(scroll, scroll + shown < total, width)));
        lines.extend(keys);
        Frame { lines, scroll, room, furthest }
    }

    fn key_lines(&self, width: usize, paint: Paint) -> Vec<String> {
        let mut lines = Vec::new();
        let (mut line, mut used) = (String::new(), 0);
        for (key, what) in &self.keys {
            let columns = key.chars().count() + what.chars().count() + 3;
            if used > 0 && used + 1 + columns > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push_str(&format!(" {}{}{} {what}", paint.dim("["), paint.bold(key), paint.dim("]")));
            used += columns + 1;
        }
        lines.push(line);
        lines
    }
}

impl Head {
    fn lines(&self, width: usize, paint: Paint) -> Vec<String> {
        let dots: String = self
            .stages
            .iter()
            .enumerate()
            .map(|(index, standing)| {
                let sign = match standing {
                    Standing::Proven => paint.added("●"),
                    Standing::Failed => paint.removed("✗"),
                    Standing::Open => "○".to_owned(),
                };
                if self.position == Some(index) { paint.bold(&sign) } else { sign }
            })
            .collect();
        let place =
            self.position.map(|position| format!("{}/{}  ", position + 1, self.stages.len())).unwrap_or_default();
        let left = if self.left.is_zero() { String::new() } else { format!("{} left", roughly(self.left)) };
        let heading = paint.bold(&self.heading);
        let wide = format!(" {dots}  {place}{heading}");
        let columns = console::measure_text_width(&wide);
        if columns + left.chars().count() + 3 <= width {
            let gap = " ".repeat(width - columns - left.chars().count() - 1);
            return vec![format!("{wide}{gap}{}", paint.dim(&left))];
        }
        let mut lines = vec![format!(" {dots}")];
        let gap = width.saturating_sub(self.stages.len() + left.chars().count() + 2);
        if gap > 0 && self.stages.len() + left.chars().count() + 2 <= width {
            lines[0].push_str(&format!("{}{}", " ".repeat(gap), paint.dim(&left)));
        }
        lines.extend(
            wrap(&format!("{place}{}", self.heading), width - 1).iter().map(|line| format!(" {}", paint.bold(line))),
        );
        lines
    }
}

/// The rule above the keys, which says when there is more text than the screen holds.
fn rule(above: usize, below: bool, width: usize) -> String {
    let note = match (above > 0, below) {
        (false, false) => return "─".repeat(width),
        (false, true) => " more: ↓ or space ",
        (true, true) => " more: ↑ ↓ ",
        (true, false) => " more above: ↑ ",
    };
    let start = width.saturating_sub(note.chars().count() + 2);
    format!("{}{note}──", "─".repeat(start))
}

/// `about 4 min`, `under a minute`.
pub(super) fn roughly(length: Duration) -> String {
    match length.as_secs() {
        0..45 => "under a minute".to_owned(),
        seconds => format!("about {} min", (seconds + 30) / 60),
    }
}

/// Rows that a line takes on a terminal that breaks it at its last column.
fn height(line: &str, width: usize) -> usize {
    console::measure_text_width(line).div_ceil(width).max(1)
}

/// The first line of the body from which the rest fits into `room` rows.
fn first_of_last_screen(body: &[String], width: usize, room: usize) -> usize {
    let mut used = 0;
    for (index, line) in body.iter().enumerate().rev() {
        used += height(line, width);
        if used > room {
            return (index + 1).min(body.len().saturating_sub(1));
        }
    }
    0
}

/// A command to paste, over several lines where it is wide: each but the last ends with a backslash.
pub(super) fn command_lines(command: &str, width: usize, paint: Paint) -> Vec<String> {
    const INDENT: usize = 3;
    let room = width.saturating_sub(INDENT + 4);
    let mut parts: Vec<String> = Vec::new();
    for word in words(command) {
        match parts.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= room => {
                last.push(' ');
                last.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    let last = parts.len().saturating_sub(1);
    let line = |(index, part): (usize, String)| {
        let hanging = if index == 0 { "" } else { "  " };
        let end = if index == last { "" } else { " \\" };
        format!("{}{hanging}{}", " ".repeat(INDENT), paint.command(&format!("{part}{end}")))
    };
    parts.into_iter().enumerate().map(line).collect()
}

/// The words of a command line; what stands in quotes stays together.
fn words(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (index, letter) in command.char_indices() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (' ', None) => {
                words.push(&command[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    words.push(&command[start..]);
    words.retain(|word| !word.is_empty());
    words
}

/// A line with a mark before it, wrapped beside the mark.
pub(super) fn marked(mark: Mark, text: &str, width: usize, paint: Paint) -> Vec<String> {
    let room = width.saturating_sub(4).max(10);
    let lines: Vec<String> = wrap(text, room).iter().flat_map(|line| fold(line, room)).collect();
    let lead = |index| if index == 0 { format!(" {} ", paint.mark(mark)) } else { "   ".to_owned() };
    lines.iter().enumerate().map(|(index, line)| format!("{}{line}", lead(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body: usize) -> Page {
        let stages = (0..13).map(|index| if index < 10 { Standing::Proven } else { Standing::Open }).collect();
        Page {
            head: Head {
                stages,
                position: Some(10),
                heading: "The canary waits in the wings".into(),
                left: Duration::from_secs(230),
            },
            body: (0..body).map(|line| format!(" line {line}")).collect(),
            focus: None,
            foot: vec!["seen  deployment x created by you".into()],
            keys: vec![("enter", "do it for me"), ("c", "check"), ("d", "what changes"), ("q", "quit")],
        }
    }

    fn widest(frame: &Frame) -> usize {
        frame.lines.iter().map(|line| console::measure_text_width(line)).max().unwrap_or(0)
    }

    #[test]
    fn a_page_fills_the_screen_exactly() {
        for (rows, columns) in [(24, 80), (24, 40), (10, 40), (50, 200)] {
            for body in [0, 5, 100] {
                let frame = page(body).lay_out((rows, columns), 0, Paint::PLAIN);
                assert_eq!(frame.lines.len(), rows, "{rows}x{columns} {body}");
                assert!(widest(&frame) <= columns, "{frame:#?}");
            }
        }
    }

    #[test]
    fn the_head_tells_place_and_time() {
        let frame = page(3).lay_out((24, 80), 0, Paint::PLAIN);
        assert_eq!(frame.lines[0], " ●●●●●●●●●●○○○  11/13  The canary waits in the wings           about 4 min left");
        let narrow = page(3).lay_out((24, 40), 0, Paint::PLAIN);
        assert_eq!(narrow.lines[0], " ●●●●●●●●●●○○○         about 4 min left");
        assert_eq!(narrow.lines[1], " 11/13  The canary waits in the wings");
    }

    #[test]
    fn scrolling_ends_with_the_last_line() {
        let page = page(100);
        let frame = page.lay_out((24, 80), 1000, Paint::PLAIN);
        assert_eq!(frame.scroll, frame.furthest);
        assert!(frame.lines.contains(&" line 99".to_owned()));
        assert!(frame.lines.iter().any(|line| line.contains("more above")), "{frame:#?}");
        let frame = page.lay_out((24, 80), 0, Paint::PLAIN);
        assert!(frame.lines.iter().any(|line| line.contains("more: ↓")), "{frame:#?}");
    }

    #[test]
    fn a_wide_command_stays_something_to_paste() {
        let command = "curl -d @request-body.json -X POST http://$INGRESS_HOST:$INGRESS_PORT/v1/models/image_classifier/versions/1:predict";
        let lines = command_lines(command, 80, Paint::PLAIN);
        assert_eq!(lines[0], "   curl -d @request-body.json -X POST \\");
        let joined: String = lines.iter().map(|line| line.trim().trim_end_matches('\\').to_owned()).collect();
        assert_eq!(joined, command);
        assert_eq!(words("sed -e 's/a: b/c: d/' \"x y\""), ["sed", "-e", "'s/a: b/c: d/'", "\"x y\""]);
    }
}
