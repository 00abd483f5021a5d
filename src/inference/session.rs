//! A loaded model, ready to run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::constant::{VariableSource, from_bytes};
use super::context::Context;
use super::graph::Port;
use super::import::import;
use super::kernel::Pool;
use super::program::Program;
use super::status::{LoadError, RunError, StatusCode};
use super::tensor::Tensor;
use crate::savedmodel::proto::{GraphDef, SignatureDef};
use crate::savedmodel::{LoadedSavedModel, SERVE_TAG, SavedModelError};

/// Bytes of buffers that a session keeps from one run to the next: enough for a picture of 224 by 224 in ResNet50.
const KEPT_BYTES: usize = 24 << 20;

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
    program: Program,
    context: Context,
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
        Self::load_tagged(dir, &[SERVE_TAG], options)
    }

    /// As [`load`](Self::load), with the meta graph that has exactly these tags.
    #[allow(clippy::trivially_copy_pass_by_ref)] // Options grow.
    pub fn load_tagged(dir: &Path, tags: &[&str], options: &SessionOptions) -> Result<Self, LoadError> {
        let model = LoadedSavedModel::read_tagged(dir, tags)?;
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
        let program = Program::prepare(import(graph, signatures.values())?, variables, &context)?;
        Ok(Self { signatures, program, context })
    }

    /// The model's signatures by key, as its file has them.
    pub fn signatures(&self) -> &BTreeMap<String, SignatureDef> {
        &self.signatures
    }

    /// How many steps a run of everything has.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> usize {
        self.program.steps()
    }

    /// How many pictures of `fed` a run computes at once, if not all.
    #[cfg(test)]
    pub(crate) fn pictures_at_once(&self, fed: &Tensor, fetches: &[&str]) -> Option<usize> {
        let targets: Vec<Port> = fetches.iter().map(|name| self.program.fetches[*name]).collect();
        let node = self.program.feeds.values().next().copied()?;
        self.program.pictures_at_once(&[(node, Arc::new(fed.clone()))], &targets)
    }

    /// Computes the tensors `fetches` from `feeds`; names are those of the signatures, for example `x:0`.
    ///
    /// Shapes are not compared with the signature, as TensorFlow's own session does not: what the ops accept is
    /// computed.
    pub fn run(&self, feeds: &[(&str, Tensor)], fetches: &[&str]) -> Result<Vec<Tensor>, RunError> {
        let (mut fed, mut targets) = (Vec::new(), Vec::new());
        for name in fetches {
            let port = self.program.fetches.get(*name).copied().or_else(|| {
                let node = *self.program.feeds.get(*name)?;
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
            let node = *self.program.feeds.get(*name).ok_or_else(missing)?;
            if let Some(dtype) = self.program.input_type(node)
                && dtype != tensor.dtype()
            {
                let (wanted, given) = (dtype.short_name(), tensor.dtype().short_name());
                let text = format!("Expects arg[{position}] to be {wanted} but {given} is provided");
                return Err(RunError::invalid(text));
            }
            fed.push((node, Arc::new(tensor.clone())));
        }
        // Kernels check their input; should one miss something, the request fails and not the server.
        let results = catch_unwind(AssertUnwindSafe(|| {
            let _turn = self.context.pool.turn();
            let checks = self.program.checks(fetches.iter().copied());
            self.program.execute_in_parts(fed, &targets, &checks, &self.context)
        }));
        self.context.trim();
        let results = results.unwrap_or_else(|_| {
            Err(RunError::new(StatusCode::Internal, "the computation failed unexpectedly; this is a bug in canary-lab"))
        })?;
        Ok(results
            .into_iter()
            .map(|value| Arc::try_unwrap(value).unwrap_or_else(|shared| Tensor::clone(&shared)))
            .collect())
    }
}
