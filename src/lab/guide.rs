//! The guide: a lab's texts for somebody who walks through it. Optional; several labs may share one.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All texts of a guide. Texts are markdown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// The version of the schema: 1.
    pub version: u32,
    /// What is going to happen, shown before the first stage.
    #[serde(default)]
    pub welcome: String,
    /// By stage id.
    #[serde(default)]
    pub stages: BTreeMap<String, StageGuide>,
    /// What was learned, shown after the last stage.
    #[serde(default)]
    pub learned: String,
    /// Where to go from there.
    #[serde(default)]
    pub onward: Vec<Onward>,
}

/// The texts of one stage.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageGuide {
    /// A heading that says more than the stage's title.
    #[serde(default)]
    pub heading: Option<String>,
    /// What the stage is about, in place of the stage's own short text.
    #[serde(default)]
    pub story: Option<String>,
    /// More for those who want to know.
    #[serde(default)]
    pub deeper: Option<String>,
    /// Questions to check understanding.
    #[serde(default)]
    pub questions: Vec<Question>,
}

/// A question with one right answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The question.
    pub ask: String,
    /// The answers to choose from.
    pub choices: Vec<String>,
    /// The position of the right one, from 0.
    pub right: usize,
    /// Why it is right.
    pub because: String,
}

/// Something to try after the lab.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Onward {
    /// A heading.
    pub title: String,
    /// What it is about.
    pub text: String,
    /// What to type for it, in the work folder.
    #[serde(default)]
    pub commands: Vec<String>,
}

impl Guide {
    /// The texts of a stage; empty ones if the guide has none.
    pub fn stage(&self, id: &str) -> StageGuide {
        self.stages.get(id).cloned().unwrap_or_default()
    }

    /// What does not fit: a stage that the lab lacks, or a question without its answer.
    pub(super) fn fault(&self, stages: &[&str]) -> Option<(String, String)> {
        if let Some(id) = self.stages.keys().find(|id| !stages.contains(&id.as_str())) {
            return Some((
                format!("{id}:"),
                format!("the guide speaks of a stage `{id}`, which the lab does not have"),
            ));
        }
        let questions = self.stages.values().flat_map(|stage| &stage.questions);
        let wrong = questions.into_iter().find(|question| question.right >= question.choices.len())?;
        Some((wrong.ask.clone(), format!("`right: {}` is no position of its choices, counted from 0", wrong.right)))
    }
}
