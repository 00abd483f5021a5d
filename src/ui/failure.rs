//! The block that a failure ends with.

use std::io::{self, Write};
use std::path::Path;

use super::paint::Paint;
use super::words::{home_relative, wrap};
use crate::doctor::Failure;

/// Columns of the label at the left of the block.
const LABEL: usize = 12;

/// Prints reason, observation, cause, evidence and next commands, wrapped to `width` columns.
pub fn show_failure(
    out: &mut dyn Write,
    failure: &Failure,
    paint: Paint,
    width: usize,
    user_home: Option<&Path>,
) -> io::Result<()> {
    writeln!(out)?;
    let case = failure.situation.map(|situation| format!(", {}", situation.id())).unwrap_or_default();
    let reason = format!("{} (exit {}){case}", failure.reason.id(), failure.exit_code());
    labelled(out, "reason", &[reason], paint, width)?;
    labelled(out, "observed", &failure.observed, paint, width)?;
    labelled(out, "cause", &[failure.cause_text().to_owned()], paint, width)?;
    if let Some(evidence) = &failure.evidence {
        // A path is never wrapped: it must stay something to paste.
        labelled(out, "evidence", &[home_relative(evidence, user_home)], paint, usize::MAX)?;
    }
    let steps = failure.next_steps();
    let column = steps.iter().map(|step| step.command.chars().count()).max().unwrap_or(0) + 3;
    for (index, step) in steps.iter().enumerate() {
        let label = if index == 0 { "next" } else { "" };
        let command = paint.command(&step.command);
        if LABEL + column + step.effect.chars().count() <= width {
            let gap = " ".repeat(column - step.command.chars().count());
            writeln!(out, "  {}{command}{gap}{}", paint.dim(&format!("{label:<10}")), step.effect)?;
        } else {
            writeln!(out, "  {}{command}", paint.dim(&format!("{label:<10}")))?;
            for line in wrap(&step.effect, width.saturating_sub(LABEL + 2).max(20)) {
                writeln!(out, "{}{line}", " ".repeat(LABEL + 2))?;
            }
        }
    }
    Ok(())
}

fn labelled(out: &mut dyn Write, label: &str, lines: &[String], paint: Paint, width: usize) -> io::Result<()> {
    let mut label = label;
    for line in lines.iter().flat_map(|line| wrap(line, width.saturating_sub(LABEL).max(20))) {
        writeln!(out, "  {}{line}", paint.dim(&format!("{label:<10}")))?;
        label = "";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Reason;

    fn shown(failure: &Failure, width: usize) -> String {
        let mut out = Vec::new();
        show_failure(&mut out, failure, Paint::PLAIN, width, Some(Path::new("/home/a"))).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_block_names_everything_and_ends_with_what_to_do() {
        let mut failure = Failure::new(Reason::RouteClusterMissing, "120 of 120 requests got 503")
            .observed("VirtualService routes to subset `resnet-50`")
            .because("the subset is misspelt")
            .then("canary-lab up", "puts the lab's own VirtualService back");
        failure.evidence = Some("/home/a/runs/0007/11.json".into());
        assert_eq!(
            shown(&failure, 100),
            "\n  reason    ROUTE_CLUSTER_MISSING (exit 23)\n  observed  VirtualService routes to subset `resnet-50`\n  cause     the \
             subset is misspelt\n  evidence  ~/runs/0007/11.json\n  next      canary-lab up   puts the lab's own VirtualService back\n"
        );
    }

    #[test]
    fn a_narrow_terminal_wraps_text_but_no_path() {
        let mut failure = Failure::new(Reason::RouteClusterMissing, "x")
            .because("a cause that is longer than forty columns can hold");
        failure.evidence = Some("/a/very/long/path/that/does/not/fit/into/forty/columns.json".into());
        let text = shown(&failure, 40);
        assert!(text.contains("\n            "), "{text}");
        assert!(text.contains("/a/very/long/path/that/does/not/fit/into/forty/columns.json"), "{text}");
    }
}
