//! What a stage has proven, as a person wants to see it: the picture, the ten likeliest classes, the division.

use std::cmp::Ordering;

use serde_json::Value;

use super::view::Look;
use crate::models::labels::MEAN_NOTHING;
use crate::models::picture::Picture;
use crate::ui::{Paint, Share, Shares, bar, half_blocks};

/// The picture's largest size on the screen, in characters.
const PICTURE: (usize, usize) = (28, 15);

/// Lines for the evidence of one stage; none where the summary says it all.
pub(super) fn lines(evidence: &Value, picture: &Picture, look: &Look, width: usize) -> Vec<String> {
    let steps = evidence["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = Vec::new();
    for step in steps {
        let seen = &step["seen"];
        match step["kind"].as_str() {
            Some("predict") => lines.extend(prediction(seen, picture, look, width)),
            Some("traffic") => {
                if let Some(shares) = shares_of(seen) {
                    lines.push(String::new());
                    if let Some(headers) = seen["headers"].as_object().filter(|headers| !headers.is_empty()) {
                        let text: Vec<String> = headers
                            .iter()
                            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()))
                            .collect();
                        lines.push(format!(" with {}", text.join(", ")));
                    }
                    lines.extend(shares.lines(width, look.paint));
                }
            }
            _ => {}
        }
    }
    lines
}

/// The picture beside (or, on a narrow screen, above) the ten likeliest classes.
fn prediction(seen: &Value, picture: &Picture, look: &Look, width: usize) -> Vec<String> {
    let top: Vec<Class> = classes_of(seen);
    if top.is_empty() {
        return Vec::new();
    }
    let drawn = half_blocks(&picture.rgb, (picture.width, picture.height), PICTURE, look.colours);
    let across = drawn.iter().map(|line| console::measure_text_width(line)).max().unwrap_or(0);
    let beside = width >= across + 44;
    let mut lines = vec![String::new()];
    let mut list = class_lines(&top, if beside { width - across - 4 } else { width - 1 }, look.paint);
    if let Some(caution) = caution(seen) {
        list.extend([String::new(), look.paint.dim(caution)]);
    }
    if beside {
        let rows = drawn.len().max(list.len());
        for row in 0..rows {
            let left = drawn.get(row).cloned().unwrap_or_else(|| " ".repeat(across));
            let right = list.get(row).map(String::as_str).unwrap_or_default();
            lines.push(format!(" {left}  {right}"));
        }
    } else {
        lines.extend(drawn.iter().map(|line| format!(" {line}")));
        lines.push(String::new());
        lines.extend(list.iter().map(|line| format!(" {line}")));
    }
    lines
}

/// A class of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Class {
    /// Its number.
    pub(crate) number: u64,
    /// Its name, if one is known.
    pub(crate) label: Option<String>,
    /// Its probability, 0..=1.
    pub(crate) probability: f64,
}

/// The classes that evidence of a prediction names.
pub(crate) fn classes_of(seen: &Value) -> Vec<Class> {
    let numbers = seen["top"].as_array().map(Vec::as_slice).unwrap_or_default();
    let class = |(index, number): (usize, &Value)| {
        Some(Class {
            number: number.as_u64()?,
            label: seen["labels"][index].as_str().map(str::to_owned),
            probability: seen["probabilities"][index].as_f64()?,
        })
    };
    numbers.iter().enumerate().filter_map(class).collect()
}

/// What must be said beside the classes' names.
pub(crate) fn caution(seen: &Value) -> Option<&'static str> {
    let named = seen["labels"].as_array().is_some_and(|labels| labels.iter().any(Value::is_string));
    (named && seen["weights"] == "synthetic").then_some(MEAN_NOTHING)
}

/// `667 mortarboard  ████▏  41.2 %`, a line a class; bars are relative to the first class.
pub(crate) fn class_lines(classes: &[Class], width: usize, paint: Paint) -> Vec<String> {
    let largest = classes.iter().map(|class| class.probability).fold(f64::MIN_POSITIVE, f64::max);
    let name = |class: &Class| match &class.label {
        Some(label) => format!("{:>3} {label}", class.number),
        None => format!("class {:>3}", class.number),
    };
    let names: Vec<String> = classes.iter().map(name).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(width.saturating_sub(18).max(9));
    let room = width.saturating_sub(longest + 11).min(24);
    let line = |(class, name): (&Class, &String)| {
        let name = console::truncate_str(name, longest, "…");
        let gap = " ".repeat(longest.saturating_sub(console::measure_text_width(&name)));
        let drawn = if room >= 4 { paint.added(&bar(class.probability / largest, room)) } else { String::new() };
        format!("{name}{gap} {drawn} {:>6.2} %", class.probability * 100.0)
    };
    classes.iter().zip(&names).map(line).collect()
}

/// The division that evidence of traffic names.
fn shares_of(seen: &Value) -> Option<Shares> {
    let wanted = seen["shares"].as_object()?;
    let last = seen["samples"].as_array()?.last()?;
    let mut parts: Vec<Share> = wanted
        .iter()
        .map(|(name, percent)| Share {
            name: name.clone(),
            count: last["answers"][name].as_u64().unwrap_or(0),
            wanted: percent.as_f64().map(|percent| percent / 100.0),
        })
        .collect();
    parts.sort_by(|a, b| b.wanted.partial_cmp(&a.wanted).unwrap_or(Ordering::Equal).then(a.name.cmp(&b.name)));
    let of = parts.iter().map(|part| part.count).sum();
    let first = &parts.first()?.name;
    let figures = seen["figures"].as_array()?.iter().find(|figures| figures["version"] == first.as_str())?;
    let interval = [figures["interval"][0].as_f64()?, figures["interval"][1].as_f64()?];
    let verdict = format!(
        "95 % interval {:.1}–{:.1} %   p {:.2}   PASS",
        interval[0] * 100.0,
        interval[1] * 100.0,
        figures["p"].as_f64()?
    );
    Some(Shares { parts, of, verdict })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::Colours;

    #[test]
    fn classes_are_bars_with_labels_or_numbers() {
        let seen = json!({"top": [667, 457], "labels": ["mortarboard", null], "probabilities": [0.5, 0.25]});
        let lines = class_lines(&classes_of(&seen), 60, Paint::PLAIN);
        assert!(lines[0].starts_with("667 mortarboard ████"), "{lines:?}");
        assert!(lines[1].starts_with("class 457") && lines[1].ends_with("25.00 %"), "{lines:?}");
        for width in [24, 40] {
            for line in class_lines(&classes_of(&seen), width, Paint::PLAIN) {
                assert!(console::measure_text_width(&line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn names_under_synthetic_weights_are_said_to_mean_nothing() {
        let seen = |weights: &str, label: Value| json!({"top": [667], "labels": [label], "probabilities": [0.5], "weights": weights});
        let look = Look {
            paint: Paint::PLAIN,
            colours: Colours::None,
            flags: String::new(),
            user_home: None,
            kubectl: false,
            cluster: String::new(),
        };
        let picture = Picture { width: 1, height: 1, rgb: vec![0; 3] };
        let said = |seen: &Value, width| prediction(seen, &picture, &look, width).join("\n").contains(MEAN_NOTHING);
        for width in [40, 100] {
            assert!(said(&seen("synthetic", json!("mortarboard")), width));
            assert!(!said(&seen("pretrained", json!("mortarboard")), width));
            assert!(!said(&seen("synthetic", Value::Null), width));
        }
    }

    #[test]
    fn a_division_is_read_from_the_evidence() {
        let seen = json!({"shares": {"resnet101": 30, "resnet50": 70}, "samples": [{"answers": {"resnet50": 211, "resnet101": 89}}],
            "figures": [{"version": "resnet50", "interval": [0.648, 0.754], "p": 0.95}]});
        let shares = shares_of(&seen).unwrap();
        assert_eq!((shares.parts[0].name.as_str(), shares.parts[0].count, shares.of), ("resnet50", 211, 300));
        assert_eq!(shares.verdict, "95 % interval 64.8–75.4 %   p 0.95   PASS");
    }
}
