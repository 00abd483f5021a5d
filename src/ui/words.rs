//! Numbers, durations and lines as a person reads them.

use std::path::Path;
use std::time::Duration;

/// `3.7 MB`, and `12 kB` for what is small.
pub fn byte_size(bytes: u64) -> String {
    if bytes < 100_000 { format!("{} kB", bytes.div_ceil(1000)) } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}

/// `44707176` as `44,707,176`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 check`, `14 checks`: the number with its noun, which forms its plural by an `s`.
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A length of time at the precision a person cares about: `0.2s`, `14.1s`, `2m 05s`, `1h 03m`.
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    if seconds < 59.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 { format!("{}m {:02}s", whole / 60, whole % 60) } else { age(Duration::from_secs(whole)) }
}

/// How long ago something was: `3s`, `12m`, `5h 20m`, `3d`.
pub fn age(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A path with the user's home directory shortened to `~`.
pub fn home_relative(path: &Path, user_home: Option<&Path>) -> String {
    match user_home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// Breaks `text` at spaces into lines of at most `width` columns; a longer word stays whole on its own line.
/// Existing line breaks are kept.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split(' ') {
            let columns = console::measure_text_width(word);
            if used > 0 && used + 1 + columns > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += columns;
        }
        lines.push(line);
    }
    lines
}

/// Cuts a line that is wider than `width`, as one long name is, after a `/`, `-` or `.` where it has one.
pub fn fold(line: &str, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some((limit, _)) = rest.char_indices().nth(width.max(1)) {
        let joint = rest[..limit].rfind(['/', '-', '.']).map_or(limit, |at| at + 1);
        let (part, after) = rest.split_at(joint);
        parts.push(part.to_owned());
        rest = after;
    }
    parts.push(rest.to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (25_636_712, "25,636,712")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(plural(1, "check"), "1 check");
        assert_eq!(plural(1200, "request"), "1,200 requests");
    }

    #[test]
    fn times_read_well() {
        for (seconds, text) in
            [(0.04, "0.0s"), (14.13, "14.1s"), (59.97, "1m 00s"), (125.0, "2m 05s"), (3780.0, "1h 03m")]
        {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
        for (seconds, text) in [(3, "3s"), (720, "12m"), (19_200, "5h 20m"), (300_000, "3d")] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn wrapping_keeps_words_and_breaks() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrap("unbreakableword x", 5), ["unbreakableword", "x"]);
        assert_eq!(wrap("✔ ✔ ✔", 3), ["✔ ✔", "✔"]);
    }

    #[test]
    fn a_long_name_is_cut_at_its_joints() {
        assert_eq!(fold("deployment.apps/image-classifier-x", 20), ["deployment.apps/", "image-classifier-x"]);
        assert_eq!(fold("deployment.apps/image-classifier-x", 12), ["deployment.", "apps/image-", "classifier-x"]);
        assert_eq!(fold("unbreakable", 5), ["unbre", "akabl", "e"]);
        assert_eq!(fold("✔ short", 7), ["✔ short"]);
        assert_eq!(fold("", 7), [""]);
    }

    #[test]
    fn home_is_shortened() {
        let home = Path::new("/home/a");
        assert_eq!(home_relative(Path::new("/home/a/b/c"), Some(home)), "~/b/c");
        assert_eq!(home_relative(Path::new("/home/abc"), Some(home)), "/home/abc");
        assert_eq!(home_relative(Path::new("/home/a"), Some(home)), "~");
    }
}
