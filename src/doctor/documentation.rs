//! `docs/reasons.md`, `docs/exit-codes.md` and `docs/checks.md`, generated from the tables of reasons and checks.

use super::checks::{CHECKS, Category, Target};
use super::layer::Layer;
use super::reasons::Reason;

/// The text of `docs/reasons.md`.
pub fn reasons_page() -> String {
    let mut page = String::from(
        "# Reasons\n\n<!-- Generated from src/doctor/reasons.rs; `cargo test reasons_page` says how to renew it. -->\n\n\
         Every failure of `canary-lab` names one of these ids. The number is the exit code.\n",
    );
    for layer in Layer::ALL {
        page.push_str(&format!("\n## {} (exit {})\n", layer.title(), layer.exit_code()));
        for reason in Reason::ALL.iter().filter(|reason| reason.layer() == *layer) {
            page.push_str(&format!("\n### {}\n\n{}\n", reason.id(), sentence(reason.cause())));
            if !reason.next().is_empty() {
                page.push('\n');
            }
            for (command, effect) in reason.next() {
                page.push_str(&format!("- `{command}`: {effect}\n"));
            }
        }
    }
    page
}

/// The text of `docs/exit-codes.md`.
pub fn exit_codes_page() -> String {
    let mut page = String::from(
        "# Exit codes\n\n<!-- Generated from src/doctor/layer.rs; `cargo test exit_codes_page` says how to renew it. -->\n\n\
         | code | meaning |\n|---|---|\n| 0 | everything asked for was done and verified |\n",
    );
    for layer in Layer::ALL {
        page.push_str(&format!("| {} | {} |\n", layer.exit_code(), layer.meaning()));
    }
    page.push_str("\nWith `--output json` a failure is printed as an object that carries the reason's id: [reasons](reasons.md).\n");
    page
}

/// The text of `docs/checks.md`; each check's id is its anchor.
pub fn checks_page() -> String {
    let mut page = String::from(
        "# Checks\n\n<!-- Generated from src/doctor/checks/catalogue.rs; `cargo test checks_page` says how to renew it. -->\n\n\
         What `canary-lab doctor` looks at, in order. A check whose forerunner failed is skipped and says so. A failure is an error \
         for the clusters that are named, and a warning for others. `up` asks those of machine and tools that concern its cluster. \
         [doctor](doctor.md) says how to use it.\n",
    );
    for category in Category::ALL {
        page.push_str(&format!("\n## {}\n", category.title()));
        for kind in CHECKS.iter().filter(|kind| kind.category == category) {
            let concerns: Vec<&str> = kind.concerns.iter().map(|target| target.name()).collect();
            let concerns =
                if kind.concerns.len() == Target::ALL.len() { "every cluster".to_owned() } else { concerns.join(", ") };
            page.push_str(&format!("\n### {}\n\nLooks at {}: {}. For {concerns}.", kind.id, kind.looks_at, kind.why));
            if !kind.needs.is_empty() {
                page.push_str(&format!(
                    " Needs {}.",
                    kind.needs.iter().map(|id| format!("[{id}](#{id})")).collect::<Vec<_>>().join(", ")
                ));
            }
            if kind.fixable {
                page.push_str(&format!(" `canary-lab doctor --fix {}` mends it.", kind.id));
            }
            page.push('\n');
        }
    }
    page
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_page_is_current;

    #[test]
    fn reasons_page_is_current() {
        assert_page_is_current("reasons.md", &reasons_page());
    }

    #[test]
    fn checks_page_is_current() {
        assert_page_is_current("checks.md", &checks_page());
    }

    #[test]
    fn exit_codes_page_is_current() {
        assert_page_is_current("exit-codes.md", &exit_codes_page());
    }
}
