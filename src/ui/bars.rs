//! Bars of eighths of a column, and the division of a sample as a person watches it.

use super::paint::Paint;
use super::words::thousands;

/// One part of a division.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Whose part it is.
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// The wanted share, 0..=1, if one is wanted.
    pub wanted: Option<f64>,
}

/// A sample's division so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shares {
    /// The parts, in the order to show them.
    pub parts: Vec<Share>,
    /// How many there are to be in all.
    pub of: u64,
    /// Interval, p and verdict, in words; empty while there is nothing to say.
    pub verdict: String,
}

/// A bar of `columns` columns for a share of 0..=1, filled up with spaces.
pub fn bar(share: f64, columns: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let mut text: String = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(EIGHTHS[eighths % 8]);
    }
    let used = eighths.div_ceil(8);
    text + &" ".repeat(columns.saturating_sub(used))
}

impl Shares {
    /// `resnet50  ████▏  211  70.3 %  wanted 70 %`, a line a part, and the verdict below.
    pub fn lines(&self, width: usize, paint: Paint) -> Vec<String> {
        let total: u64 = self.parts.iter().map(|part| part.count).sum();
        let names = self.parts.iter().map(|part| part.name.chars().count()).max().unwrap_or(0);
        // Where there is no room for a bar the numbers alone must do.
        let figures = |part: &Share| {
            let share = if total == 0 { 0.0 } else { part.count as f64 / total as f64 };
            let text = format!("{:>6}  {:>5.1} %", thousands(part.count), share * 100.0);
            let wanted = part.wanted.map(|wanted| format!("   wanted {:.0} %", wanted * 100.0)).unwrap_or_default();
            (share, text, wanted)
        };
        let mut lines = Vec::new();
        for part in &self.parts {
            let (share, text, wanted) = figures(part);
            let name = format!(" {:<names$} ", part.name);
            let wide = width >= names + text.len() + wanted.len() + 16;
            let room = width.saturating_sub(names + text.len() + 4 + if wide { wanted.len() } else { 0 }).min(40);
            let drawn = if room >= 6 { format!("{} ", paint.added(&bar(share, room))) } else { String::new() };
            let wanted = if wide { wanted } else { String::new() };
            lines.push(format!("{name}{drawn}{text}{wanted}"));
        }
        // What belongs together stays together where the line is broken.
        let mut line = format!(" {}/{}", thousands(total), thousands(self.of));
        for figure in self.verdict.split("   ").filter(|figure| !figure.is_empty()) {
            if line.chars().count() + 3 + figure.chars().count() > width {
                lines.push(std::mem::replace(&mut line, format!(" {figure}")));
            } else {
                line.push_str(&format!("   {figure}"));
            }
        }
        lines.push(line);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_eighths_and_a_fixed_width() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(17.0 / 32.0, 4), "██▏ ");
        assert_eq!(bar(7.0, 2), "██");
    }

    #[test]
    fn a_division_fits_into_the_width_that_there_is() {
        let part = |name: &str, count, wanted| Share { name: name.into(), count, wanted: Some(wanted) };
        let shares = Shares {
            parts: vec![part("resnet50", 211, 0.7), part("resnet101", 89, 0.3)],
            of: 300,
            verdict: "95 % interval 64.8–75.4 %   p 0.95   PASS".into(),
        };
        let wide = shares.lines(80, Paint::PLAIN);
        assert!(
            wide[0].starts_with(" resnet50  █████") && wide[0].ends_with("   211   70.3 %   wanted 70 %"),
            "{wide:?}"
        );
        assert_eq!(wide[2], " 300/300   95 % interval 64.8–75.4 %   p 0.95   PASS");
        let narrow = shares.lines(40, Paint::PLAIN);
        for line in &narrow {
            assert!(console::measure_text_width(line) <= 40, "{line}");
        }
        assert_eq!(narrow[2..], [" 300/300   95 % interval 64.8–75.4 %", " p 0.95   PASS"]);
    }
}
