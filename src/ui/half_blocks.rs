//! Pictures in half blocks: two pixels a character, the upper one as its colour and the lower one as its background.

use super::io::{Environment, Terminal};
use super::paint::Paint;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// 24 bits.
    True,
    /// The 256 colours of xterm.
    Indexed,
    /// None: shades are drawn with blocks of different density.
    None,
}

impl Colours {
    /// By COLORTERM and TERM, and none where colour is off.
    pub fn of(terminal: Terminal, environment: &Environment) -> Self {
        if !Paint::stdout(terminal, environment).is_coloured() {
            return Self::None;
        }
        let says = |name: &str, words: &[&str]| {
            environment.text(name).is_some_and(|value| words.iter().any(|word| value.contains(word)))
        };
        if says("COLORTERM", &["truecolor", "24bit"]) || says("TERM", &["direct"]) {
            Self::True
        } else if says("TERM", &["256color"]) {
            Self::Indexed
        } else {
            Self::None
        }
    }
}

/// Draws a picture (`rgb`, rows from the top, three bytes a pixel) into at most `columns` × `rows` characters.
/// Returns nothing for a picture without pixels.
pub fn half_blocks(
    rgb: &[u8],
    (width, height): (usize, usize),
    (columns, rows): (usize, usize),
    colours: Colours,
) -> Vec<String> {
    if width == 0 || height == 0 || rgb.len() < width * height * 3 || columns == 0 || rows == 0 {
        return Vec::new();
    }
    // A character is twice as high as wide, so that two pixels above each other are about square.
    let scale = (columns as f64 / width as f64).min(2.0 * rows as f64 / height as f64);
    let (across, down) = (((width as f64 * scale) as usize).max(1), ((height as f64 * scale) as usize).max(2) & !1);
    let pixel = |x: usize, y: usize| mean(rgb, (width, height), (across, down), x, y);
    let row = |y: usize| {
        let mut line = String::new();
        for x in 0..across {
            let (upper, lower) = (pixel(x, y), pixel(x, y + 1));
            match colours {
                Colours::True => {
                    let [r, g, b] = upper;
                    let [s, h, c] = lower;
                    line.push_str(&format!("\x1b[38;2;{r};{g};{b}m\x1b[48;2;{s};{h};{c}m▀"));
                }
                Colours::Indexed => {
                    line.push_str(&format!("\x1b[38;5;{}m\x1b[48;5;{}m▀", indexed(upper), indexed(lower)));
                }
                Colours::None => line.push(shade(upper, lower)),
            }
        }
        if colours != Colours::None {
            line.push_str("\x1b[0m");
        }
        line
    };
    (0..down).step_by(2).map(row).collect()
}

/// The mean colour of the part of the picture that falls on one pixel of the drawing.
fn mean(rgb: &[u8], (width, height): (usize, usize), (across, down): (usize, usize), x: usize, y: usize) -> [u8; 3] {
    let range = |at: usize, of: usize, size: usize| {
        let start = (at * size / of).min(size - 1);
        start..((at + 1) * size / of).clamp(start + 1, size)
    };
    let mut sums = [0usize; 3];
    let mut count = 0;
    for row in range(y, down, height) {
        for column in range(x, across, width) {
            let offset = (row * width + column) * 3;
            for (sum, value) in sums.iter_mut().zip(&rgb[offset..offset + 3]) {
                *sum += usize::from(*value);
            }
            count += 1;
        }
    }
    sums.map(|sum| (sum / count) as u8)
}

/// The nearest colour of xterm's cube of 6×6×6, or of its 24 greys.
fn indexed([r, g, b]: [u8; 3]) -> u8 {
    let spread = r.max(g).max(b) - r.min(g).min(b);
    if spread < 12 {
        let grey = (u16::from(r) + u16::from(g) + u16::from(b)) / 3;
        return match grey {
            0..=7 => 16,
            239..=255 => 231,
            _ => 232 + ((grey - 8) * 24 / 231).min(23) as u8,
        };
    }
    let level = |value: u8| (u16::from(value) * 5 + 127) / 255;
    (16 + 36 * level(r) + 6 * level(g) + level(b)) as u8
}

/// A character as dark as the two pixels are together.
fn shade(upper: [u8; 3], lower: [u8; 3]) -> char {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let light = |[r, g, b]: [u8; 3]| (u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114) / 1000;
    SHADES[((light(upper) + light(lower)) * 5 / 512).min(4) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White above, black below.
    fn picture() -> Vec<u8> {
        let mut rgb = vec![255; 4 * 2 * 3];
        rgb.extend(vec![0; 4 * 2 * 3]);
        rgb
    }

    #[test]
    fn a_picture_keeps_its_shape_and_fits() {
        let lines = half_blocks(&picture(), (4, 4), (8, 10), Colours::None);
        assert_eq!(lines, ["████████", "████████", "        ", "        "]);
        let lines = half_blocks(&picture(), (4, 4), (100, 2), Colours::None);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() == 4), "{lines:?}");
    }

    #[test]
    fn colours_follow_the_terminal() {
        let lines = half_blocks(&picture(), (4, 4), (1, 1), Colours::True);
        assert_eq!(lines, ["\x1b[38;2;255;255;255m\x1b[48;2;0;0;0m▀\x1b[0m"]);
        let lines = half_blocks(&picture(), (4, 4), (1, 1), Colours::Indexed);
        assert_eq!(lines, ["\x1b[38;5;231m\x1b[48;5;16m▀\x1b[0m"]);
        assert_eq!(indexed([255, 0, 0]), 196);
        assert!(half_blocks(&[], (0, 0), (1, 1), Colours::True).is_empty());
    }
}
