//! What a request means, whichever interface it came through.
//!
//! REST and gRPC read requests into the same calls, so look-ups, checks and their texts are in one place: finding the
//! signature, comparing inputs with it, running the model, shaping classifications and regressions. Every function
//! takes a [`Handle`] on a loaded model; finding that is the business of `lifecycle/`.

mod classify;
mod debug_string;
mod examples;
mod multi;
mod predict;
mod regress;
mod tensors;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::proto::{ModelSpec, model_spec};
use super::status::Status;
use crate::inference::Tensor;
use crate::savedmodel::proto::SignatureDef;

pub use classify::classify;
pub use examples::number_of_examples;
pub use multi::multi_inference;
pub use predict::{Prediction, predict};
pub use regress::regress;
pub(super) use tensors::filled;
pub use tensors::{tensor_from_proto, tensor_to_proto};

/// The `method_name` of signatures for predictions.
const PREDICT_METHOD: &str = "tensorflow/serving/predict";
/// The `method_name` of signatures for classifications.
const CLASSIFY_METHOD: &str = "tensorflow/serving/classify";
/// The `method_name` of signatures for regressions.
const REGRESS_METHOD: &str = "tensorflow/serving/regress";

/// The signature that is meant when none is named.
pub const DEFAULT_SIGNATURE: &str = "serving_default";

/// A model that can be run.
pub trait Execute: Send + Sync {
    /// The signatures by name.
    fn signatures(&self) -> &BTreeMap<String, SignatureDef>;

    /// Whether the `method_name` of a signature must fit the request (`--enable_signature_method_name_check`).
    fn checks_method_names(&self) -> bool {
        false
    }

    /// Feeds tensors by their names in the graph and fetches others.
    fn run(&self, feeds: &[(&str, Tensor)], fetches: &[&str]) -> Result<Vec<Tensor>, Status>;
}

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServableId {
    /// The model's name.
    pub name: String,
    /// The version's number.
    pub version: i64,
}

impl std::fmt::Display for ServableId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{name: {} version: {}}}", self.name, self.version)
    }
}

/// A loaded version of a model. It stays loaded as long as a handle lives.
#[derive(Clone)]
pub struct Handle {
    id: Arc<ServableId>,
    model: Arc<dyn Execute>,
    pace: Arc<AtomicU32>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Handle {
    /// A handle on a model that has just been loaded.
    pub fn new(id: ServableId, model: Arc<dyn Execute>) -> Self {
        Self { id: Arc::new(id), model, pace: Arc::new(AtomicU32::new(u32::MAX)) }
    }

    /// Which version it is.
    pub fn id(&self) -> &ServableId {
        &self.id
    }

    /// The model's signatures.
    pub fn signatures(&self) -> &BTreeMap<String, SignatureDef> {
        self.model.signatures()
    }

    /// How long runs of the model have taken lately; very long before the first.
    pub fn pace(&self) -> Duration {
        Duration::from_micros(u64::from(self.pace.load(Ordering::Relaxed)))
    }

    /// Whether a signature may be used for a kind of request, as far as its method's name is looked at.
    fn allows(&self, signature: &SignatureDef, kind: &str, method: &str) -> Result<(), Status> {
        let name = &signature.method_name;
        if !self.model.checks_method_names() || name == method {
            return Ok(());
        }
        Err(Status::invalid(format!("Expected {kind} signature method_name to be {method}. Was: {name}")))
    }

    fn run(&self, feeds: &[(&str, Tensor)], fetches: &[&str]) -> Result<Vec<Tensor>, Status> {
        let started = Instant::now();
        let outputs = self.model.run(feeds, fetches);
        let took = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX - 1);
        // A slow run counts at once, quick ones bring the figure down slowly. Lost updates do no harm.
        let before = self.pace.load(Ordering::Relaxed);
        let now = if took >= before || before == u32::MAX { took } else { before - (before - took) / 4 };
        self.pace.store(now, Ordering::Relaxed);
        outputs
    }

    /// What a response says about who answered.
    fn answered(&self, model_name: &str, signature_name: &str) -> ModelSpec {
        ModelSpec {
            name: model_name.to_owned(),
            version_choice: Some(model_spec::VersionChoice::Version(self.id.version)),
            signature_name: or_default(signature_name).to_owned(),
        }
    }
}

fn or_default(signature_name: &str) -> &str {
    if signature_name.is_empty() { DEFAULT_SIGNATURE } else { signature_name }
}
