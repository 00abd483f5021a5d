//! Loading a version from its directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::flags::Flags;
use super::log::{Level, Log};
use super::source::VersionPath;
use crate::inference::{LoadError, Session, SessionOptions, Tensor};
use crate::savedmodel::proto::SignatureDef;
use crate::savedmodel::{Damage, SERVE_TAG, SavedModelError};
use crate::serving::service::Execute;
use crate::serving::status::{Code, Status};

/// Loads versions of models.
pub trait Loader: Send + Sync {
    /// Loads one, blocking.
    fn load(&self, path: &VersionPath) -> Result<Arc<dyn Execute>, Status>;
}

/// Loads SavedModels.
#[derive(Debug)]
pub struct SavedModelLoader {
    options: SessionOptions,
    tags: Vec<String>,
    look_for_warmup: bool,
    checks_method_names: bool,
    log: Log,
}

impl SavedModelLoader {
    /// A loader that follows the command line.
    pub fn new(flags: &Flags) -> Self {
        let threads = match (flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism) {
            (intra, inter) if intra > 0 || inter > 0 => intra,
            _ => flags.tensorflow_session_parallelism,
        };
        Self {
            options: SessionOptions { threads: usize::try_from(threads).unwrap_or(0) },
            tags: match flags.saved_model_tags.as_str() {
                "" => vec![SERVE_TAG.to_owned()],
                tags => tags.split(',').map(str::to_owned).collect(),
            },
            look_for_warmup: flags.enable_model_warmup,
            checks_method_names: flags.enable_signature_method_name_check,
            log: Log,
        }
    }

    fn tensorflow(&self, place: &str, text: &str) {
        self.log.line(Level::Info, &format!("external/org_tensorflow/tensorflow/cc/saved_model/{place}"), text);
    }
}

impl Loader for SavedModelLoader {
    fn load(&self, path: &VersionPath) -> Result<Arc<dyn Execute>, Status> {
        let started = Instant::now();
        let (shown, tags) = (&path.shown, self.tags.join(" "));
        self.tensorflow("reader.cc:38", &format!("Reading SavedModel from: {shown}"));
        self.tensorflow("reader.cc:90", &format!("Reading meta graph with tags {{ {tags} }}"));
        let outcome = match &path.host {
            None => Err(not_found(shown)),
            Some(host) => {
                let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
                Session::load_tagged(host, &tags, &self.options).map_err(|error| worded(error, host, shown))
            }
        };
        if outcome.is_ok() {
            self.tensorflow("loader.cc:206", "Restoring SavedModel bundle.");
        }
        let told = match &outcome {
            Ok(_) => "success: OK".to_owned(),
            Err(error) => format!("fail: {error}"),
        };
        let took = started.elapsed().as_micros();
        self.tensorflow(
            "loader.cc:277",
            &format!("SavedModel load for tags {{ {tags} }}; Status: {told}. Took {took} microseconds."),
        );
        let session = outcome?;
        if self.look_for_warmup {
            let place = "servables/tensorflow/saved_model_warmup_util.cc:59";
            let text = format!("No warmup data file found at {shown}/assets.extra/tf_serving_warmup_requests");
            self.log.info(place, &text);
        }
        Ok(Arc::new(Loaded { session, checks_method_names: self.checks_method_names }))
    }
}

fn not_found(shown: &str) -> Status {
    let text = format!("Could not find SavedModel .pb or .pbtxt at supplied export directory path: {shown}");
    Status::new(Code::NotFound, text)
}

/// TensorFlow's words where it has some for the case; else ours, with the path as the client knows it.
fn worded(error: LoadError, host: &Path, shown: &str) -> Status {
    match &error {
        LoadError::Files(SavedModelError::Missing { .. }) => not_found(shown),
        LoadError::Files(SavedModelError::Damaged {
            path,
            damage: Damage::Malformed { .. } | Damage::Truncated { .. },
        }) if path.ends_with("saved_model.pb") => {
            Status::new(Code::DataLoss, format!("Can't parse {shown}/saved_model.pb as binary proto"))
        }
        LoadError::Files(SavedModelError::Damaged { path, damage: Damage::Malformed { .. } })
            if path.ends_with("saved_model.pbtxt") =>
        {
            Status::new(Code::DataLoss, format!("Can't parse {shown}/saved_model.pbtxt as text proto"))
        }
        LoadError::Files(SavedModelError::MissingTag { wanted, .. }) => Status::new(
            Code::NotFound,
            format!(
                "Could not find meta graph def matching supplied tags: {{ {wanted} }}. To inspect available tag-sets in \
                 the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
            ),
        ),
        _ => {
            let status = Status::from(error);
            let text = status.text().replace(&*host.to_string_lossy(), shown);
            Status::new(status.code, text)
        }
    }
}

struct Loaded {
    session: Session,
    checks_method_names: bool,
}

impl Execute for Loaded {
    fn signatures(&self) -> &BTreeMap<String, SignatureDef> {
        self.session.signatures()
    }

    fn checks_method_names(&self) -> bool {
        self.checks_method_names
    }

    fn run(&self, feeds: &[(&str, Tensor)], fetches: &[&str]) -> Result<Vec<Tensor>, Status> {
        Ok(self.session.run(feeds, fetches)?)
    }
}
