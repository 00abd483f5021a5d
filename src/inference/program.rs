//! A graph made ready to run: its steps in order, and what a run of them needs.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::{self, Layout};
use super::constant::{Value, VariableSource};
use super::context::Context;
use super::control::Control;
use super::fused::{Convolution, Depthwise, Pooling};
use super::graph::{Graph, NodeId, Op, Port};
use super::ops::{self, Kernel};
use super::optimise::{constant_value, optimise};
use super::status::{LoadError, RunError, StatusCode};
use super::tensor::Tensor;
use crate::savedmodel::proto::DataType;

/// Bytes that the values of one run may have at any time.
const MAX_RUN_BYTES: usize = 8 << 30;

/// The steps of one graph: the model's, or a branch's or loop's.
pub(crate) struct Program {
    steps: Vec<Step>,
    /// Steps that are fed, by the names that signatures use; in a branch or loop the arguments by their number.
    pub(crate) feeds: HashMap<String, NodeId>,
    /// What can be fetched, likewise.
    pub(crate) fetches: HashMap<String, Port>,
    /// Assertions, by the name of the fetched tensor that asks for them.
    checks: HashMap<String, Vec<NodeId>>,
}

struct Step {
    name: String,
    action: Action,
    inputs: Vec<Port>,
    /// Whether its first output keeps the pictures of a batch apart.
    apart: bool,
}

enum Action {
    Input { dtype: DataType, shape: Option<String> },
    Constant(Value),
    Fail(RunError),
    Call(Kernel),
    Convolution(Box<Convolution>),
    Depthwise(Box<Depthwise>),
    Pooling(Box<Pooling>),
    Control(Box<Control<Program>>),
}

impl Program {
    /// Optimises the graph and builds its kernels.
    pub(crate) fn prepare(graph: Graph, variables: &dyn VariableSource, context: &Context) -> Result<Self, LoadError> {
        let Graph { nodes, feeds, fetches, checks } = optimise(graph, variables, context)?;
        let mut steps = Vec::with_capacity(nodes.len());
        let mut layouts: Vec<Layout> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let read = |port: &Port| if port.output == 0 { &layouts[port.node] } else { &Layout::Unknown };
            let inputs: Vec<&Layout> = node.inputs.iter().map(read).collect();
            let (action, layout) = match node.op {
                Op::Input { dtype, shape } => (Action::Input { dtype, shape }, Layout::FED),
                Op::Constant(constant) => match constant_value(&constant, variables, &node.name)? {
                    Ok(value) => (Action::Constant(Arc::clone(&value)), Layout::Fixed(value)),
                    Err(error) => (Action::Fail(error), Layout::Unknown),
                },
                Op::Call { op, attributes } => {
                    let layout = Layout::of_call(&op, &attributes, &inputs);
                    match ops::build(&op, &attributes) {
                        Ok(kernel) => (Action::Call(kernel), layout),
                        // The op exists, but not with these attributes: TensorFlow says so when the node is run.
                        Err(error) => (Action::Fail(error.at(&node.name)), layout),
                    }
                }
                Op::Convolution(convolution) => {
                    let layout = Layout::of_product(&convolution, &inputs);
                    (Action::Convolution(convolution), layout)
                }
                Op::Depthwise(depthwise) => (Action::Depthwise(depthwise), Layout::of_windows(4, &inputs)),
                Op::Pooling(pooling) => (Action::Pooling(pooling), Layout::of_windows(4, &inputs)),
                Op::Control(control) => {
                    let prepared = control.prepared(|graph| Self::prepare(graph, variables, context))?;
                    (Action::Control(Box::new(prepared)), Layout::Unknown)
                }
            };
            let apart = layout.is_batch();
            layouts.push(layout);
            steps.push(Step { name: node.name, action, inputs: node.inputs, apart });
        }
        Ok(Self { steps, feeds, fetches, checks })
    }

    /// How many steps a run of everything has.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The type that a fed step accepts.
    pub(crate) fn input_type(&self, node: NodeId) -> Option<DataType> {
        match &self.steps[node].action {
            Action::Input { dtype, .. } => Some(*dtype),
            _ => None,
        }
    }

    /// The assertions that must hold when these tensors are fetched.
    pub(crate) fn checks<'a>(&'a self, fetched: impl Iterator<Item = &'a str>) -> Vec<NodeId> {
        fetched.filter_map(|name| self.checks.get(name)).flatten().copied().collect()
    }

    /// Runs a branch or a loop's graph: argument `i` is fed as `i`, result `i` fetched as `i`.
    pub(crate) fn call(&self, arguments: Vec<Value>, context: &Context) -> Result<Vec<Value>, RunError> {
        let missing = || RunError::new(StatusCode::Internal, "a branch or loop has other arguments than its graph");
        let mut fed = Vec::new();
        for (position, value) in arguments.into_iter().enumerate() {
            // An argument that the graph does not read has no step.
            if let Some(&node) = self.feeds.get(&position.to_string()) {
                fed.push((node, value));
            }
        }
        let targets = (0..self.fetches.len()).map(|position| self.fetches.get(&position.to_string()).copied());
        let targets = targets.collect::<Option<Vec<Port>>>().ok_or_else(missing)?;
        self.execute(fed, &targets, &self.checks(std::iter::once("")), context)
    }

    /// Computes `targets`, a large batch of pictures in parts where they stay apart; the caller has the pool's turn.
    pub(crate) fn execute_in_parts(
        &self,
        fed: Vec<(NodeId, Value)>,
        targets: &[Port],
        checks: &[NodeId],
        context: &Context,
    ) -> Result<Vec<Value>, RunError> {
        // An assertion may be about the batch as a whole.
        if checks.is_empty()
            && let Some(at_once) = self.pictures_at_once(&fed, targets)
            && let Some(results) = self.parts(&fed, at_once, targets, context)
        {
            return Ok(results);
        }
        // All at once; also what fails in parts, for a message that names the shapes that were fed.
        self.execute(fed, targets, checks, context)
    }

    /// How many pictures of the batch that is fed to compute at once, if not all.
    pub(crate) fn pictures_at_once(&self, fed: &[(NodeId, Value)], targets: &[Port]) -> Option<usize> {
        let apart = targets.iter().all(|port| port.output == 0 && self.steps[port.node].apart);
        if apart { batch::pictures_at_once(fed.iter().map(|(_, value)| value)) } else { None }
    }

    fn parts(
        &self,
        fed: &[(NodeId, Value)],
        at_once: usize,
        targets: &[Port],
        context: &Context,
    ) -> Option<Vec<Value>> {
        let &count = fed.first()?.1.shape.first()?;
        let mut results: Vec<Vec<Value>> = vec![Vec::new(); targets.len()];
        for from in (0..count).step_by(at_once) {
            let to = (from + at_once).min(count);
            let part = |(node, value): &(NodeId, Value)| Some((*node, Arc::new(batch::part(value, from, to)?)));
            let fed = fed.iter().map(part).collect::<Option<Vec<_>>>()?;
            for (whole, part) in results.iter_mut().zip(self.execute(fed, targets, &[], context).ok()?) {
                whole.push(part);
            }
        }
        results.iter().map(|parts| batch::joined(parts).map(Arc::new)).collect()
    }

    /// Computes `targets` if none of the assertions `checks` fails; the caller has the pool's turn.
    pub(crate) fn execute(
        &self,
        fed: Vec<(NodeId, Value)>,
        targets: &[Port],
        checks: &[NodeId],
        context: &Context,
    ) -> Result<Vec<Value>, RunError> {
        let mut values: Vec<Vec<Slot>> = Vec::new();
        values.resize_with(self.steps.len(), Vec::new);
        for (node, value) in fed {
            values[node] = vec![Slot { value: Some(value), readers: 0 }];
        }
        let mut needed = vec![false; self.steps.len()];
        for node in targets.iter().map(|port| port.node).chain(checks.iter().copied()) {
            needed[node] = true;
        }
        for node in (0..self.steps.len()).rev() {
            if needed[node] && values[node].is_empty() {
                for port in &self.steps[node].inputs {
                    needed[port.node] = true;
                }
            }
        }
        let mut readers: HashMap<Port, usize> = HashMap::new();
        for (step, _) in self.steps.iter().zip(&needed).filter(|(_, needed)| **needed) {
            for port in &step.inputs {
                *readers.entry(*port).or_default() += 1;
            }
        }
        for port in targets {
            *readers.entry(*port).or_default() += 1;
        }
        for (node, slots) in values.iter_mut().enumerate() {
            for (output, slot) in slots.iter_mut().enumerate() {
                slot.readers = readers.get(&Port { node, output }).copied().unwrap_or(0);
            }
        }
        let mut held = 0usize;
        for node in (0..self.steps.len()).filter(|&node| needed[node]) {
            if !values[node].is_empty() {
                continue;
            }
            let step = &self.steps[node];
            let mut inputs = Vec::with_capacity(step.inputs.len());
            for port in &step.inputs {
                inputs.push(take(&mut values, *port, &step.name)?);
            }
            let outputs = step.run(&mut inputs, context).map_err(|error| error.at(&step.name))?;
            for (output, value) in outputs.into_iter().enumerate() {
                held = held.saturating_add(bytes(&value));
                let readers = readers.get(&Port { node, output }).copied().unwrap_or(0);
                values[node].push(Slot { value: Some(value), readers });
            }
            for input in inputs {
                if Arc::strong_count(&input) == 1 {
                    held = held.saturating_sub(bytes(&input));
                }
                context.recycle(input);
            }
            if held > MAX_RUN_BYTES {
                let text = "OOM: the values of this run are larger than it may hold";
                return Err(RunError::new(StatusCode::ResourceExhausted, text).at(&step.name));
            }
        }
        let mut results = Vec::with_capacity(targets.len());
        for port in targets {
            results.push(take(&mut values, *port, &self.steps[port.node].name)?);
        }
        Ok(results)
    }
}

/// A value and how many are still to read it.
struct Slot {
    value: Option<Value>,
    readers: usize,
}

/// The value of a port; the last reader gets the only copy.
fn take(values: &mut [Vec<Slot>], port: Port, reader: &str) -> Result<Value, RunError> {
    let missing = || RunError::new(StatusCode::Internal, format!("an input of `{reader}` has no value"));
    let slot = values[port.node].get_mut(port.output).ok_or_else(missing)?;
    slot.readers = slot.readers.saturating_sub(1);
    if slot.readers == 0 { slot.value.take() } else { slot.value.clone() }.ok_or_else(missing)
}

fn bytes(value: &Tensor) -> usize {
    value.len().saturating_mul(value.dtype().size().unwrap_or(size_of::<Vec<u8>>()))
}

impl Step {
    fn run(&self, inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
        match &self.action {
            Action::Input { dtype, shape } => {
                let shape = shape.as_ref().map_or(String::new(), |shape| format!(" and shape {shape}"));
                let (name, dtype) = (&self.name, dtype.short_name());
                let text = format!("You must feed a value for placeholder tensor '{name}' with dtype {dtype}{shape}");
                Err(RunError::invalid(text))
            }
            Action::Constant(value) => Ok(vec![Arc::clone(value)]),
            Action::Fail(error) => Err(error.clone()),
            Action::Call(kernel) => kernel(inputs, context),
            Action::Convolution(convolution) => convolution.run(inputs, context),
            Action::Depthwise(depthwise) => depthwise.run(inputs, context),
            Action::Pooling(pooling) => pooling.run(inputs, context),
            Action::Control(control) => control.run(inputs, context),
        }
    }
}
