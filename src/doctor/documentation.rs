//! `docs/reasons.md` and `docs/exit-codes.md`, generated from the table of reasons.

use super::reasons::{Layer, Reason};

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
        "# Exit codes\n\n<!-- Generated from src/doctor/reasons.rs; `cargo test exit_codes_page` says how to renew it. -->\n\n\
         | code | meaning |\n|---|---|\n| 0 | everything asked for was done and verified |\n",
    );
    for layer in Layer::ALL {
        page.push_str(&format!("| {} | {} |\n", layer.exit_code(), layer.meaning()));
    }
    page.push_str("\nWith `--output json` a failure is printed as an object that carries the reason's id: [reasons](reasons.md).\n");
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
    fn exit_codes_page_is_current() {
        assert_page_is_current("exit-codes.md", &exit_codes_page());
    }
}
