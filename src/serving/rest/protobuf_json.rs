//! JSON as protocol buffers' own printer lays it out: one blank a level, a line break at the end.

use std::fmt::Write as _;

/// A value to print.
pub(super) enum Item {
    Text(String),
    /// `true` and `false`.
    Flag(bool),
    List(Vec<Item>),
    Object(Vec<(String, Item)>),
}

impl Item {
    /// An object of named members.
    pub(super) fn object<const N: usize>(members: [(&str, Item); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, item)| (name.to_owned(), item)).collect())
    }

    /// A string.
    pub(super) fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// The text, with a line break at the end.
    pub(super) fn print(&self) -> String {
        let mut target = String::new();
        self.write(0, &mut target);
        target.push('\n');
        target
    }

    fn write(&self, level: usize, target: &mut String) {
        match self {
            Self::Text(text) => write_text(text, target),
            Self::Flag(flag) => target.push_str(if *flag { "true" } else { "false" }),
            Self::List(items) => {
                target.push('[');
                for (index, item) in items.iter().enumerate() {
                    next_line(index, level + 1, target);
                    item.write(level + 1, target);
                }
                close(items.is_empty(), level, ']', target);
            }
            Self::Object(members) => {
                target.push('{');
                for (index, (name, item)) in members.iter().enumerate() {
                    next_line(index, level + 1, target);
                    write_text(name, target);
                    target.push_str(": ");
                    item.write(level + 1, target);
                }
                close(members.is_empty(), level, '}', target);
            }
        }
    }
}

fn next_line(index: usize, level: usize, target: &mut String) {
    if index > 0 {
        target.push(',');
    }
    target.push('\n');
    target.extend(std::iter::repeat_n(' ', level));
}

fn close(empty: bool, level: usize, bracket: char, target: &mut String) {
    if !empty {
        target.push('\n');
        target.extend(std::iter::repeat_n(' ', level));
    }
    target.push(bracket);
}

/// A string with the escapes of protocol buffers, which include `<` and `>`.
fn write_text(text: &str, target: &mut String) {
    target.push('"');
    for character in text.chars() {
        match character {
            '"' => target.push_str("\\\""),
            '\\' => target.push_str("\\\\"),
            '\n' => target.push_str("\\n"),
            '\r' => target.push_str("\\r"),
            '\t' => target.push_str("\\t"),
            '\u{8}' => target.push_str("\\b"),
            '\u{c}' => target.push_str("\\f"),
            '<' | '>' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(target, "\\u{:04x}", u32::from(character));
            }
            other => target.push(other),
        }
    }
    target.push('"');
}
