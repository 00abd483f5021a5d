//! Markdown as lines for a terminal.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::paint::Paint;
use super::words::wrap;

/// Renders paragraphs, headings, lists, emphasis and code to lines of at most `width` columns. A word that is longer
/// keeps its own line, and code blocks are never wrapped, so that both can still be copied.
pub fn markdown(text: &str, width: usize, paint: Paint) -> Vec<String> {
    let mut page = Typesetter { width: width.max(10), paint, ..Typesetter::default() };
    for event in Parser::new(text) {
        page.take(event);
    }
    while page.lines.last().is_some_and(String::is_empty) {
        page.lines.pop();
    }
    page.lines
}

#[derive(Default)]
struct Typesetter {
    width: usize,
    paint: Paint,
    lines: Vec<String>,
    /// The paragraph that is being collected; spaces inside code are kept together by [`GLUE`].
    current: String,
    /// The next number of each list that is open; none for a list of dots.
    lists: Vec<Option<u64>>,
    /// The sign that the next paragraph starts with.
    bullet: Option<String>,
    strong: bool,
    emphasis: bool,
    heading: bool,
    code_block: bool,
}

/// Stands for a space at which a line is not broken.
const GLUE: char = '\u{a0}';

impl Typesetter {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code_block => {
                let lines: Vec<String> = text.lines().map(|line| format!("  {}", self.paint.command(line))).collect();
                self.lines.extend(lines);
            }
            Event::Text(text) => {
                let styled: Vec<String> = text.split(' ').map(|word| self.styled(word)).collect();
                self.current.push_str(&styled.join(" "));
            }
            Event::Code(text) => {
                let code = self.paint.command(&text.replace(' ', &GLUE.to_string()));
                let code = if self.paint.is_coloured() { code } else { format!("`{code}`") };
                self.current.push_str(&code);
            }
            Event::SoftBreak => self.current.push(' '),
            Event::HardBreak => self.current.push('\n'),
            Event::Rule => self.lines.extend(["─".repeat(self.width), String::new()]),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Strong => self.strong = true,
            Tag::Emphasis => self.emphasis = true,
            Tag::Heading { .. } => self.heading = true,
            Tag::CodeBlock(_) => self.code_block = true,
            Tag::List(first) => {
                // An item's own words stand above the list inside it.
                self.flush();
                self.lists.push(*first);
            }
            Tag::Item => {
                self.bullet = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                });
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.strong = false,
            TagEnd::Emphasis => self.emphasis = false,
            TagEnd::Heading(_) => {
                self.flush();
                self.heading = false;
                self.lines.push(String::new());
            }
            TagEnd::Paragraph => {
                self.flush();
                if self.lists.is_empty() {
                    self.lines.push(String::new());
                }
            }
            TagEnd::Item => self.flush(),
            TagEnd::List(_) => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.lines.push(String::new());
                }
            }
            TagEnd::CodeBlock => {
                self.code_block = false;
                self.lines.push(String::new());
            }
            _ => {}
        }
    }

    fn styled(&self, word: &str) -> String {
        if word.is_empty() || !(self.strong || self.heading || self.emphasis) {
            return word.to_owned();
        }
        self.paint.bold(word)
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.current);
        if text.is_empty() {
            return;
        }
        let outer = "  ".repeat(self.lists.len().saturating_sub(1));
        let bullet = self.bullet.take();
        let hanging = if self.lists.is_empty() { 0 } else { bullet.as_ref().map_or(2, |sign| sign.chars().count()) };
        let indent = outer.len() + hanging;
        for (index, line) in wrap(&text, self.width.saturating_sub(indent).max(8)).into_iter().enumerate() {
            let lead = match (&bullet, index) {
                (Some(sign), 0) => format!("{outer}{sign}"),
                _ => " ".repeat(indent),
            };
            self.lines.push(format!("{lead}{}", line.replace(GLUE, " ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lists_and_code_are_set() {
        let text = "A *Pod* runs `kubectl get pods`.\nSecond line.\n\n- one thing that is longer than a line\n- two\n\n```\nverbatim and long enough to be wider than the page\n```\n";
        let lines = markdown(text, 24, Paint::PLAIN);
        assert_eq!(
            lines,
            [
                "A Pod runs",
                "`kubectl get pods`.",
                "Second line.",
                "",
                "• one thing that is",
                "  longer than a line",
                "• two",
                "",
                "  verbatim and long enough to be wider than the page"
            ]
        );
    }

    #[test]
    fn numbers_count_and_bold_is_marked_word_by_word() {
        let lines = markdown("3. **very loud** word\n4. next", 40, Paint::COLOUR);
        assert_eq!(lines[0], "3. \x1b[1mvery\x1b[0m \x1b[1mloud\x1b[0m word");
        assert_eq!(lines[1], "4. next");
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        let text = include_str!("../../README.md");
        for width in [40, 60, 80] {
            for line in markdown(text, width, Paint::PLAIN) {
                let one_word = !line.trim().contains(' ');
                let code = line.starts_with("  ");
                assert!(
                    console::measure_text_width(&line) <= width || one_word || code || line.contains('`'),
                    "{line}"
                );
            }
        }
    }
}
