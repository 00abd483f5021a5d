//! Branches and loops: steps that run other graphs.

use std::sync::Arc;

use super::constant::Value;
use super::context::Context;
use super::graph::Graph;
use super::program::Program;
use super::status::{RunError, StatusCode};
use super::tensor::{Tensor, TensorData};

/// Turns after which a loop is given up: a model that never ends must not hold the server for ever.
const MAX_TURNS: usize = 100_000;

/// Which graph runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The first of two when the first input is true, else the second.
    If,
    /// The one that the first input numbers; the last for any number that none has.
    Case,
    /// The second, as long as the first says so.
    While,
}

impl Flow {
    /// The ops of branches and loops.
    pub(crate) fn of(op: &str) -> Option<Self> {
        match op {
            "If" | "StatelessIf" => Some(Self::If),
            "Case" | "StatelessCase" => Some(Self::Case),
            "While" | "StatelessWhile" => Some(Self::While),
            _ => None,
        }
    }

    /// Inputs that choose and are not handed on.
    pub(crate) fn choosing_inputs(self) -> usize {
        usize::from(self != Self::While)
    }
}

/// A branch or loop with its graphs.
pub(crate) struct Control<G> {
    /// How it goes on.
    pub(crate) flow: Flow,
    /// Branches, or a loop's condition and body.
    pub(crate) parts: Vec<G>,
    /// Where each of the graphs' results belongs among the node's outputs; outputs that are handles have no value.
    pub(crate) outputs: Vec<usize>,
}

impl Control<Graph> {
    /// The same with the graphs made ready to run.
    pub(crate) fn prepared<E>(self, prepare: impl FnMut(Graph) -> Result<Program, E>) -> Result<Control<Program>, E> {
        let parts = self.parts.into_iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(Control { flow: self.flow, parts, outputs: self.outputs })
    }
}

/// Whether a value counts as true.
fn truth(value: &Tensor) -> Result<bool, RunError> {
    let found = match &value.data {
        TensorData::Bool(values) => values.first().copied(),
        TensorData::Int32(values) => values.first().map(|&value| value != 0),
        TensorData::Int64(values) => values.first().map(|&value| value != 0),
        TensorData::Float(values) => values.first().map(|&value| value != 0.0),
        TensorData::Double(values) => values.first().map(|&value| value != 0.0),
        _ => None,
    };
    // A tensor that is no scalar counts by whether it has elements.
    let scalar = value.shape.is_empty();
    let unknown = || RunError::new(StatusCode::Unimplemented, "a condition must be a truth value or a number");
    if scalar { found.ok_or_else(unknown) } else { Ok(!value.is_empty()) }
}

impl Control<Program> {
    /// Runs the chosen graph on the inputs behind the choosing one, or the loop on all.
    pub(crate) fn run(&self, inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
        let missing = || RunError::new(StatusCode::Internal, "a branch or loop has fewer parts than it needs");
        let results = match self.flow {
            Flow::If | Flow::Case => {
                let (chosen, arguments) = inputs.split_first().ok_or_else(missing)?;
                let index = match (self.flow, &chosen.data) {
                    (Flow::If, _) => usize::from(!truth(chosen)?),
                    (_, TensorData::Int32(values)) => {
                        let index = values.first().and_then(|&index| usize::try_from(index).ok());
                        index.unwrap_or(usize::MAX).min(self.parts.len().saturating_sub(1))
                    }
                    _ => return Err(RunError::invalid("a branch is chosen by a 32-bit integer")),
                };
                self.parts.get(index).ok_or_else(missing)?.call(arguments.to_vec(), context)?
            }
            Flow::While => {
                let [condition, body] = &self.parts[..] else { return Err(missing()) };
                let mut state = inputs.to_vec();
                let mut turns = 0;
                loop {
                    let answer = condition.call(state.clone(), context)?;
                    if !truth(answer.first().ok_or_else(missing)?)? {
                        break state;
                    }
                    turns += 1;
                    if turns > MAX_TURNS {
                        let text = format!("a loop did not end within {MAX_TURNS} turns");
                        return Err(RunError::new(StatusCode::ResourceExhausted, text));
                    }
                    state = body.call(state, context)?;
                }
            }
        };
        let count = self.outputs.iter().max().map_or(0, |last| last + 1);
        let none = Arc::new(Tensor { shape: vec![0], data: TensorData::Bool(Vec::new()) });
        let mut outputs = vec![none; count];
        for (&place, result) in self.outputs.iter().zip(results) {
            outputs[place] = result;
        }
        Ok(outputs)
    }
}
