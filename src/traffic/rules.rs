//! The one table of the rules that verdicts about traffic follow. Code, documentation and tests read it from here.

use std::time::Duration;

/// How many answers a split is judged by.
pub const SPLIT_SAMPLE: u64 = 300;
/// How many answers a stage is judged by that allows no stray one, for each of its questions.
pub const EXACT_SAMPLE: u64 = 120;
/// A sample passes when its two-sided p-value is at least this.
pub const ALPHA: f64 = 0.001;
/// The confidence of the intervals and bounds that are printed.
pub const CONFIDENCE: f64 = 0.95;
/// The probability with which the printed detectable deviation is caught.
pub const POWER: f64 = 0.99;
/// How long a sample may take before it is inconclusive.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How many requests are in flight at once while a sample is taken.
pub const IN_FLIGHT: usize = 4;

/// One row of the table, for documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the rule is about.
    pub rule: &'static str,
    /// Its value as a person reads it.
    pub value: String,
}

/// The table as rows, in the order in which a verdict is reached.
pub fn table() -> Vec<Row> {
    let row = |rule, value| Row { rule, value };
    vec![
        row("answers that a split is judged by", SPLIT_SAMPLE.to_string()),
        row("test", "exact two-sided binomial".to_owned()),
        row("passes when p is at least", ALPHA.to_string()),
        row("otherwise", "one fresh sample; fails only when that is below too".to_owned()),
        row("answers where no stray one is allowed", EXACT_SAMPLE.to_string()),
        row("interval", format!("Clopper-Pearson, {} %", CONFIDENCE * 100.0)),
        row("detectable deviation is caught with", format!("{} %", POWER * 100.0)),
        row("inconclusive", format!("on any error, a gate not reached, or after {} s", PATIENCE.as_secs())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        let mut page = String::from(
            "# How traffic is judged\n\n<!-- Generated from src/traffic/rules.rs; `cargo test verdicts_page` says how to renew it. -->\n\n\
             Before the first sample counts, the route must be live: on the embedded cluster every gateway has acknowledged\n\
             the configuration that holds the object. What was asked before that is thrown away.\n\n| rule | value |\n|---|---|\n",
        );
        for Row { rule, value } in table() {
            page.push_str(&format!("| {rule} | {value} |\n"));
        }
        page.push_str(
            "\nA stage that allows no stray answer fails on the first one. When it passes, it prints the largest share of\n\
             strays that its number of answers leaves possible.\n\n\
             Who answered is told from the prediction: the lab runs both SavedModels itself and compares. An answer that is\n\
             neither version's within 1e-5 counts as an error, whatever its status.\n",
        );
        page
    }

    #[test]
    fn verdicts_page_is_current() {
        crate::testing::assert_page_is_current("verdicts.md", &page());
    }
}
