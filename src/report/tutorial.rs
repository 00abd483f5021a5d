//! `docs/tutorial.md`: the lab to read, from the same data that `walk` shows.

use std::fmt::Write;

use crate::lab::Lab;

/// The text of the page.
pub fn tutorial_page(lab: &Lab) -> String {
    let mut page = format!(
        "# {}\n\n<!-- Generated from lab/tensorflow-canary; `cargo test tutorial_page` says how to renew it. -->\n\n{}\n\
         Commands are typed in the work folder, in a terminal that `canary-lab shell` opens. `canary-lab walk` shows the same\n\
         page by page, watches, and checks.\n",
        lab.spec.title, lab.guide.welcome
    );
    let of = lab.spec.stages.len();
    for (index, stage) in lab.spec.stages.iter().enumerate() {
        let guide = lab.guide.stage(&stage.id);
        let heading = guide.heading.as_deref().unwrap_or(&stage.title);
        let _ = write!(page, "\n## {}/{of} {heading}\n\n", index + 1);
        page.push_str(guide.story.as_deref().unwrap_or(&stage.about).trim_end());
        page.push('\n');
        if !stage.commands.is_empty() {
            let _ = write!(page, "\n```sh\n{}\n```\n", stage.commands.join("\n"));
        }
        for manifest in lab.applied_by(stage) {
            let _ = write!(page, "\n`{}` makes {}.\n", manifest.file, manifest.key.label());
        }
        let _ = write!(page, "\nExpect: {}\n", stage.expect);
        let _ = write!(page, "\n`canary-lab up --until {}` does it and everything before.\n", stage.id);
        if let Some(deeper) = &guide.deeper {
            let _ = write!(
                page,
                "\n<details><summary>More</summary>\n\n{}\n</details>\n",
                deeper.trim_end().to_owned() + "\n"
            );
        }
        for question in &guide.questions {
            let _ = write!(page, "\n**{}**\n\n", question.ask);
            for choice in &question.choices {
                let _ = writeln!(page, "- {choice}");
            }
            let right = question.choices.get(question.right).map(String::as_str).unwrap_or_default();
            let _ =
                write!(page, "\n<details><summary>Answer</summary>\n\n{right}. {}\n\n</details>\n", question.because);
        }
    }
    let _ = write!(page, "\n## What was learned\n\n{}", lab.guide.learned);
    for onward in &lab.guide.onward {
        let _ =
            write!(page, "\n### {}\n\n{}\n\n```sh\n{}\n```\n", onward.title, onward.text, onward.commands.join("\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Source;

    #[test]
    fn tutorial_page_is_current() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        crate::testing::assert_page_is_current("tutorial.md", &tutorial_page(&lab));
    }
}
