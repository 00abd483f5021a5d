//! Divisions as inline SVG: measured share as a bar, its interval as a whisker, the wanted share as a line.

use std::fmt::Write;

use super::story::Division;

/// Units of the drawing; the browser scales it to the page.
const WIDTH: f64 = 640.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 90.0;
const ROW: f64 = 34.0;

/// The chart of one sample. Colours come from the page's style by class, so that it follows light and dark.
pub(super) fn division(division: &Division) -> String {
    let height = ROW * division.parts.len() as f64 + 30.0;
    let span = WIDTH - LEFT - RIGHT;
    let x = |share: f64| LEFT + span * share.clamp(0.0, 1.0);
    let words: Vec<String> = division
        .parts
        .iter()
        .map(|part| format!("{} {} of {}, wanted {:.0} %", part.name, part.hits, division.size, part.wanted * 100.0))
        .collect();
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        super::html::escaped(&words.join("; "))
    );
    for (index, part) in division.parts.iter().enumerate() {
        let (top, middle) = (ROW * index as f64 + 6.0, ROW * index as f64 + 17.0);
        let (low, high) = (x(part.interval.0), x(part.interval.1));
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{:.0}\" y=\"{:.0}\">{}</text>\
             <rect class=\"track\" x=\"{LEFT}\" y=\"{top}\" width=\"{span}\" height=\"22\" rx=\"3\"/>\
             <rect class=\"bar b{index}\" x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"22\" rx=\"3\"/>\
             <path class=\"whisker\" d=\"M{low:.1} {:.1}v12M{low:.1} {middle}H{high:.1}M{high:.1} {:.1}v12\"/>\
             <path class=\"wanted\" d=\"M{:.1} {:.1}v30\"/>\
             <text class=\"figure\" x=\"{:.0}\" y=\"{:.0}\">{:.1} %</text>",
            LEFT - 8.0,
            middle + 5.0,
            super::html::escaped(&part.name),
            x(part.share) - LEFT,
            middle - 6.0,
            middle - 6.0,
            x(part.wanted),
            top - 4.0,
            WIDTH - RIGHT + 8.0,
            middle + 5.0,
            part.share * 100.0,
        );
    }
    let base = ROW * division.parts.len() as f64 + 22.0;
    for tick in [0, 25, 50, 75, 100] {
        let _ =
            write!(svg, "<text class=\"tick\" x=\"{:.0}\" y=\"{base:.0}\">{tick} %</text>", x(f64::from(tick) / 100.0));
    }
    svg.push_str("</svg>");
    svg
}
