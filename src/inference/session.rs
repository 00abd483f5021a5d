//! A loaded model, ready to run.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::constant::{Value, VariableSource, from_bytes};
use super::context::Context;
use super::fused::{Convolution, Depthwise, Pooling};
use super::graph::{Graph, NodeId, Op, Port};
use super::import::import;
use super::kernel::Pool;
use super::ops::{self, Kernel};
use super::optimise::{constant_value, optimise};
use super::status::{LoadError, RunError, StatusCode};
use super::tensor::Tensor;
use crate::savedmodel::proto::{DataType, GraphDef, SignatureDef};
use crate::savedmodel::{LoadedSavedModel, SavedModelError};

/// Bytes of buffers that a session keeps from one run to the next: enough for a picture of 224 by 224 in ResNet50.
const KEPT_BYTES: usize = 48 << 20;
/// Bytes that the values of one run may have at any time.
const MAX_RUN_BYTES: usize = 8 << 30;

/// How to load a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionOptions {
    /// Threads that a run uses, the caller's own included; 0 for one per processor. Sessions with the same number
    /// share them and take turns.
    pub threads: usize,
}

/// A model in memory; runs may be started from any number of threads and take turns in the order of their arrival.
pub struct Session {
    signatures: BTreeMap<String, SignatureDef>,
    steps: Vec<Step>,
    feeds: HashMap<String, NodeId>,
    fetches: HashMap<String, Port>,
    context: Context,
}

struct Step {
    name: String,
    action: Action,
    inputs: Vec<Port>,
}

enum Action {
    Input { dtype: DataType, shape: Option<String> },
    Constant(Value),
    Fail(RunError),
    Call(Kernel),
    Convolution(Box<Convolution>),
    Depthwise(Box<Depthwise>),
    Pooling(Box<Pooling>),
}

impl VariableSource for LoadedSavedModel {
    fn variable(&self, node: &str, name: &str) -> Result<Tensor, RunError> {
        let slice = self.variable(node).map_err(|error| match error {
            SavedModelError::UnknownTensor { .. } | SavedModelError::NoVariables { .. } => {
                let text = format!(
                    "Could not find variable {name}. This could mean that the variable has been deleted. In TF1, it can \
                     also mean the variable is uninitialized. Debug info: container=localhost, status=Not found: \
                     Container localhost does not exist. (Could not find resource: localhost/{name})"
                );
                RunError::new(StatusCode::FailedPrecondition, text)
            }
            other => RunError::new(StatusCode::DataLoss, other.to_string()),
        })?;
        from_bytes(slice.dtype, &slice.shape, &slice.bytes)
    }
}

impl Session {
    /// Reads the SavedModel in `dir` (a version directory) and prepares all its signatures.
    #[allow(clippy::trivially_copy_pass_by_ref)] // Options grow.
    pub fn load(dir: &Path, options: &SessionOptions) -> Result<Self, LoadError> {
        let model = LoadedSavedModel::read(dir)?;
        Self::prepare(&model.graph, model.signatures.clone(), &model, options.threads)
    }

    /// Prepares a graph that is already in memory; its variables come from `variables`.
    pub(crate) fn prepare(
        graph: &GraphDef,
        signatures: BTreeMap<String, SignatureDef>,
        variables: &dyn VariableSource,
        threads: usize,
    ) -> Result<Self, LoadError> {
        let context = Context::new(Pool::of_threads(threads), KEPT_BYTES);
        let graph = import(graph, signatures.values())?;
        let Graph { nodes, feeds, fetches } = optimise(graph, variables, &context)?;
        let mut steps = Vec::with_capacity(nodes.len());
        for node in nodes {
            let action = match node.op {
                Op::Input { dtype, shape } => Action::Input { dtype, shape },
                Op::Constant(constant) => match constant_value(&constant, variables, &node.name)? {
                    Ok(value) => Action::Constant(value),
                    Err(error) => Action::Fail(error),
                },
                Op::Call { op, attributes } => match ops::build(&op, &attributes) {
                    Ok(kernel) => Action::Call(kernel),
                    // The op exists, but not with these attributes: TensorFlow says so when the node is run.
                    Err(error) => Action::Fail(error.at(&node.name)),
                },
                Op::Convolution(convolution) => Action::Convolution(convolution),
                Op::Depthwise(depthwise) => Action::Depthwise(depthwise),
                Op::Pooling(pooling) => Action::Pooling(pooling),
            };
            steps.push(Step { name: node.name, action, inputs: node.inputs });
        }
        Ok(Self { signatures, steps, feeds, fetches, context })
    }

    /// The model's signatures by key, as its file has them.
    pub fn signatures(&self) -> &BTreeMap<String, SignatureDef> {
        &self.signatures
    }

    /// How many steps a run of everything has.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Computes the tensors `fetches` from `feeds`; names are those of the signatures, for example `x:0`.
    ///
    /// Shapes are not compared with the signature, as TensorFlow's own session does not: what the ops accept is
    /// computed.
    pub fn run(&self, feeds: &[(&str, Tensor)], fetches: &[&str]) -> Result<Vec<Tensor>, RunError> {
        let mut values: Vec<Vec<Slot>> = Vec::new();
        values.resize_with(self.steps.len(), Vec::new);
        let mut targets = Vec::new();
        for name in fetches {
            let port = self.fetches.get(*name).copied().or_else(|| {
                let node = *self.feeds.get(*name)?;
                Some(Port { node, output: 0 })
            });
            let missing = || RunError::new(StatusCode::NotFound, format!("FetchOutputs node {name}: not found"));
            targets.push(port.ok_or_else(missing)?);
        }
        for (position, (name, tensor)) in feeds.iter().enumerate() {
            let missing = || {
                let text = format!(
                    "Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph"
                );
                RunError::new(StatusCode::NotFound, text)
            };
            let node = *self.feeds.get(*name).ok_or_else(missing)?;
            if let Action::Input { dtype, .. } = &self.steps[node].action
                && *dtype != tensor.dtype()
            {
                let (wanted, given) = (dtype.short_name(), tensor.dtype().short_name());
                let text = format!("Expects arg[{position}] to be {wanted} but {given} is provided");
                return Err(RunError::invalid(text));
            }
            values[node] = vec![Slot { value: Some(Arc::new(tensor.clone())), readers: 0 }];
        }
        // Kernels check their input; should one miss something, the request fails and not the server.
        catch_unwind(AssertUnwindSafe(|| self.execute(values, &targets))).unwrap_or_else(|_| {
            Err(RunError::new(StatusCode::Internal, "the computation failed unexpectedly; this is a bug in canary-lab"))
        })
    }

    fn execute(&self, mut values: Vec<Vec<Slot>>, targets: &[Port]) -> Result<Vec<Tensor>, RunError> {
        let mut needed = vec![false; self.steps.len()];
        for port in targets {
            needed[port.node] = true;
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
        let _turn = self.context.pool.turn();
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
            let outputs = step.run(&mut inputs, &self.context).map_err(|error| error.at(&step.name))?;
            for (output, value) in outputs.into_iter().enumerate() {
                held = held.saturating_add(bytes(&value));
                let readers = readers.get(&Port { node, output }).copied().unwrap_or(0);
                values[node].push(Slot { value: Some(value), readers });
            }
            for input in inputs {
                if Arc::strong_count(&input) == 1 {
                    held = held.saturating_sub(bytes(&input));
                }
                self.context.recycle(input);
            }
            if held > MAX_RUN_BYTES {
                let text = "OOM: the values of this run are larger than it may hold";
                return Err(RunError::new(StatusCode::ResourceExhausted, text).at(&step.name));
            }
        }
        let mut results = Vec::with_capacity(targets.len());
        for port in targets {
            let value = take(&mut values, *port, &self.steps[port.node].name)?;
            results.push(Arc::try_unwrap(value).unwrap_or_else(|shared| Tensor::clone(&shared)));
        }
        self.context.trim();
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
        }
    }
}
