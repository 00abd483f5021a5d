//! One self-contained page: no script, no font, no picture from elsewhere; for a phone and a desk, light and dark.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::chart;
use super::story::{Prediction, Story, Told};
use crate::ui::duration;

const STYLE: &str = include_str!("page.css");

/// The page.
pub fn html(story: &Story) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{0}: report</title><style>{STYLE}</style></head><body><main>\n\
         <header><p class=\"kicker\">canary-lab {1} · lab {2}</p><h1>{0}</h1>",
        escaped(&story.title),
        escaped(&story.environment.program),
        escaped(&story.lab),
    );
    let of = story.stages.len();
    let class = if story.proven() == of { "good" } else { "open" };
    let _ = write!(
        page,
        "<p class=\"result {class}\"><strong>{} of {of}</strong> stages proven · {} of work · {}</p>",
        story.proven(),
        duration(Duration::from_millis(story.took_ms())),
        time(story.made_at),
    );
    page.push_str("<ol class=\"dots\">");
    for stage in &story.stages {
        let _ = write!(
            page,
            "<li><a class=\"{}\" href=\"#{}\" title=\"{}\">{}</a></li>",
            stage.standing,
            escaped(&stage.id),
            escaped(&stage.title),
            sign(stage.standing)
        );
    }
    page.push_str("</ol></header>\n");
    for (index, stage) in story.stages.iter().enumerate() {
        section(&mut page, index + 1, stage, &story.picture);
    }
    environment(&mut page, story);
    page.push_str("</main></body></html>\n");
    page
}

fn section(page: &mut String, number: usize, stage: &Told, picture: &[u8]) {
    let took = stage.took_ms.map(|ms| duration(Duration::from_millis(ms))).unwrap_or_default();
    let _ = write!(
        page,
        "<section id=\"{}\" class=\"{}\"><h2><span class=\"sign\">{}</span> {number}. {} <small>{took}</small></h2><p class=\"about\">{}</p>",
        escaped(&stage.id),
        stage.standing,
        sign(stage.standing),
        escaped(&stage.title),
        escaped(&stage.about),
    );
    if !stage.commands.is_empty() {
        let commands: Vec<String> = stage.commands.iter().map(|command| escaped(command)).collect();
        let _ = write!(page, "<pre class=\"commands\"><code>{}</code></pre>", commands.join("\n"));
    }
    let _ = write!(page, "<p class=\"expect\">Expected: {}</p>", escaped(&stage.expect));
    if !stage.summary.is_empty() {
        page.push_str("<ul class=\"summary\">");
        for line in &stage.summary {
            let _ = match line.strip_prefix("! ") {
                Some(warning) => write!(page, "<li class=\"warning\">{}</li>", with_code(warning)),
                None if line.starts_with('(') => write!(page, "<li class=\"aside\">{}</li>", with_code(line)),
                None => write!(page, "<li>{}</li>", with_code(line)),
            };
        }
        page.push_str("</ul>");
    } else if stage.standing == "not-begun" {
        page.push_str("<p class=\"quiet\">Not begun.</p>");
    }
    if let Some(prediction) = &stage.prediction {
        show_prediction(page, prediction, picture);
    }
    for division in &stage.divisions {
        let with =
            if division.headers.is_empty() { String::new() } else { format!(" with {}", division.headers.join(", ")) };
        let _ = write!(
            page,
            "<figure>{}<figcaption>{} answers{}",
            chart::division(division),
            division.size,
            escaped(&with)
        );
        match (division.exact, division.stray_bound, division.parts.first()) {
            (true, Some(bound), _) => {
                let _ = write!(page, "; no stray answer: strays are under {:.1} % with 95 % confidence", bound * 100.0);
            }
            (_, _, Some(part)) => {
                let (low, high) = part.interval;
                let _ = write!(
                    page,
                    "; {} {:.1} %, 95 % interval {:.1}–{:.1} %, p = {:.2}",
                    escaped(&part.name),
                    part.share * 100.0,
                    low * 100.0,
                    high * 100.0,
                    part.p
                );
            }
            _ => {}
        }
        let _ = write!(page, ": <strong>{}</strong></figcaption></figure>", escaped(&division.verdict));
    }
    if let Some(failure) = &stage.failure {
        let _ = write!(
            page,
            "<dl class=\"failure\"><dt>reason</dt><dd><code>{}</code></dd>",
            escaped(failure["reason"].as_str().unwrap_or_default())
        );
        for line in failure["observed"].as_array().into_iter().flatten().filter_map(|line| line.as_str()) {
            let _ = write!(page, "<dt>observed</dt><dd>{}</dd>", escaped(line));
        }
        if let Some(cause) = failure["cause"].as_str() {
            let _ = write!(page, "<dt>cause</dt><dd>{}</dd>", escaped(cause));
        }
        page.push_str("</dl>");
    }
    if stage.evidence.is_object() {
        let text = serde_json::to_string_pretty(&stage.evidence).unwrap_or_default();
        let _ = write!(
            page,
            "<details><summary>Evidence <code>{}</code>{}</summary><pre>{}</pre></details>",
            escaped(stage.evidence_file.as_deref().unwrap_or_default()),
            stage.at.map(|at| format!(", {}", time(at))).unwrap_or_default(),
            escaped(&text)
        );
    }
    page.push_str("</section>\n");
}

/// Text in which what stands between backticks is code.
fn with_code(text: &str) -> String {
    let mut parts = text.split('`');
    let mut page = escaped(parts.next().unwrap_or_default());
    while let Some(code) = parts.next() {
        match parts.next() {
            Some(after) => page.push_str(&format!("<code>{}</code>{}", escaped(code), escaped(after))),
            // The last backtick has no other.
            None => page.push_str(&format!("`{}", escaped(code))),
        }
    }
    page
}

fn show_prediction(page: &mut String, prediction: &Prediction, picture: &[u8]) {
    let kind = if picture.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
    let _ = write!(
        page,
        "<figure class=\"prediction\"><img alt=\"The picture that was asked about\" src=\"data:image/{kind};base64,{}\"><table><caption>answered by <strong>{}</strong> in {}</caption>",
        STANDARD.encode(picture),
        escaped(&prediction.answered_by),
        duration(Duration::from_secs_f64(prediction.seconds)),
    );
    let largest = prediction.classes.iter().map(|class| class.2).fold(f64::MIN_POSITIVE, f64::max);
    for (number, label, probability) in &prediction.classes {
        let name = label.as_deref().map_or_else(|| format!("class {number}"), |label| format!("{number} {label}"));
        let name = escaped(&name);
        let _ = write!(
            page,
            "<tr><th title=\"{name}\"><span>{name}</span></th><td class=\"meter\"><span style=\"width:{:.1}%\"></span></td><td>{:.2} %</td></tr>",
            probability / largest * 100.0,
            probability * 100.0
        );
    }
    page.push_str("</table>");
    if let Some(caution) = prediction.caution {
        let _ = write!(page, "<figcaption>{}</figcaption>", escaped(caution));
    }
    page.push_str("</figure>");
}

fn environment(page: &mut String, story: &Story) {
    let environment = &story.environment;
    page.push_str("<section class=\"environment\"><h2>Where and with what</h2><table>");
    let mut row = |name: &str, value: &str| {
        let _ = write!(page, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value));
    };
    row("program", &format!("canary-lab {}", environment.program));
    row("cluster", environment.provider.as_deref().unwrap_or("none"));
    row("machine", &format!("{}, {} processors", environment.machine, environment.processors));
    for version in &environment.versions {
        row(&version.what, &version.version);
    }
    for (rule, value) in &environment.rules {
        row(rule, value);
    }
    page.push_str("</table></section>\n");
}

fn sign(standing: &str) -> &'static str {
    match standing {
        "proven" => "✔",
        "failed" => "✗",
        "begun" => "!",
        _ => "○",
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Text that HTML and XML take literally.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no place for these, not even as references.
            letter if letter.is_control() && !matches!(letter, '\n' | '\t') => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}
