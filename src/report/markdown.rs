//! Markdown, for a comment on a change or a page of a wiki.

use std::fmt::Write;
use std::time::Duration;

use super::story::Story;
use crate::ui::duration;

/// The document.
pub fn markdown(story: &Story) -> String {
    let mut page = format!("# {}\n\n", story.title);
    let _ = writeln!(
        page,
        "{} of {} stages proven, {} of work; canary-lab {}, cluster {}, {}.\n",
        story.proven(),
        story.stages.len(),
        duration(Duration::from_millis(story.took_ms())),
        story.environment.program,
        story.environment.provider.as_deref().unwrap_or("none"),
        story.environment.machine,
    );
    page.push_str("| | stage | shown | time |\n|---|---|---|---|\n");
    for stage in &story.stages {
        let sign = match stage.standing {
            "proven" => "✔",
            "failed" => "✗",
            "begun" => "!",
            _ => "○",
        };
        let shown = if stage.summary.is_empty() { stage.standing.to_owned() } else { stage.summary.join("; ") };
        let took = stage.took_ms.map(|ms| duration(Duration::from_millis(ms))).unwrap_or_default();
        let _ = writeln!(page, "| {sign} | {} | {} | {took} |", cell(&stage.title), cell(&shown));
    }
    let divisions: Vec<_> =
        story.stages.iter().flat_map(|stage| stage.divisions.iter().map(move |of| (stage, of))).collect();
    if !divisions.is_empty() {
        page.push_str(
            "\n| traffic | version | answers | share | wanted | 95 % interval | p |\n|---|---|---|---|---|---|---|\n",
        );
    }
    for (stage, division) in divisions {
        for part in &division.parts {
            let with = division.headers.iter().fold(stage.title.clone(), |text, header| format!("{text}, {header}"));
            let _ = writeln!(
                page,
                "| {} | {} | {} of {} | {:.1} % | {:.0} % | {:.1}–{:.1} % | {:.2} |",
                cell(&with),
                cell(&part.name),
                part.hits,
                division.size,
                part.share * 100.0,
                part.wanted * 100.0,
                part.interval.0 * 100.0,
                part.interval.1 * 100.0,
                part.p
            );
        }
    }
    for stage in story.stages.iter().filter(|stage| stage.failure.is_some()) {
        let failure = stage.failure.clone().unwrap_or_default();
        let _ = writeln!(page, "\n**{}** failed: `{}`\n", stage.title, failure["reason"].as_str().unwrap_or_default());
        for line in failure["observed"].as_array().into_iter().flatten().filter_map(|line| line.as_str()) {
            let _ = writeln!(page, "- {line}");
        }
    }
    page.push_str("\n| with | version |\n|---|---|\n");
    for version in &story.environment.versions {
        let _ = writeln!(page, "| {} | {} |", cell(&version.what), cell(&version.version));
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
