//! Reading a SavedModel's directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;

use super::bundle::{VariableSlice, Variables};
use super::contained::ModelDir;
use super::damage::{Damage, SavedModelError};
use super::proto::{GraphDef, MetaGraphDef, SavedModel, SaverDef, SignatureDef, collection_def, meta_graph_def};
use super::restore;
use super::text_form;

/// The tag of a meta graph that is meant for serving.
pub const SERVE_TAG: &str = "serve";
/// The largest `saved_model.pb`, in bytes: protocol buffers stop at 2 GiB.
const MODEL_LIMIT: u64 = (1 << 31) - 1;
/// The only version of the layout there is.
const SCHEMA_VERSION: i64 = 1;

/// A SavedModel read into values; tensors of variables stay on disk until they are asked for.
#[derive(Debug)]
pub struct LoadedSavedModel {
    /// The version directory as given.
    pub dir: PathBuf,
    /// Tags and the TensorFlow that wrote it.
    pub meta: meta_graph_def::MetaInfoDef,
    /// The signatures by key, `serving_default` and others.
    pub signatures: BTreeMap<String, SignatureDef>,
    /// The graph with its function library.
    pub graph: GraphDef,
    /// How the graph restores its variables, if it has any.
    pub saver: Option<SaverDef>,
    /// The op to run after restoring, from a signature or a TensorFlow 1 collection.
    pub init_op: Option<String>,
    /// The bundle; `None` for a model without `variables/variables.index`.
    pub variables: Option<Variables>,
    /// From the name of a `VarHandleOp` node to the key of its tensor in the bundle.
    checkpoint_keys: BTreeMap<String, String>,
}

impl SavedModel {
    /// Reads the version directory `dir` for serving; see [`LoadedSavedModel::read`].
    pub fn read(dir: &Path) -> Result<LoadedSavedModel, SavedModelError> {
        LoadedSavedModel::read(dir)
    }
}

impl LoadedSavedModel {
    /// Reads the version directory `dir`: the meta graph tagged `serve`, and the index of its variables.
    pub fn read(dir: &Path) -> Result<Self, SavedModelError> {
        Self::read_tagged(dir, &[SERVE_TAG])
    }

    /// As [`read`](Self::read), with the meta graph that has exactly these tags, in any order.
    pub fn read_tagged(dir: &Path, tags: &[&str]) -> Result<Self, SavedModelError> {
        let missing = || SavedModelError::Missing { dir: dir.to_owned() };
        if !dir.is_dir() {
            return Err(missing());
        }
        let model_dir = ModelDir::open(dir)?;
        let (path, bytes) = if let Some(file) = model_dir.file("saved_model.pb")? {
            file.read(MODEL_LIMIT)?
        } else {
            let (path, text) = model_dir.file("saved_model.pbtxt")?.ok_or_else(missing)?.read(MODEL_LIMIT)?;
            let encoded = std::str::from_utf8(&text).ok().and_then(text_form::encode);
            let malformed = || SavedModelError::Damaged {
                path: path.clone(),
                damage: Damage::Malformed { format: "SavedModel", reason: "it is not the text form".to_owned() },
            };
            let encoded = encoded.ok_or_else(malformed)?;
            (path, encoded)
        };
        let meta_graph = decode(&path, bytes, tags)?;
        let variables = Variables::open(&model_dir, "variables/variables")?;
        let init_op = init_op(&meta_graph);
        let graph = meta_graph.graph_def.unwrap_or_default();
        let checkpoint_keys = restore::checkpoint_keys(&graph, meta_graph.saver_def.as_ref(), variables.as_ref());
        Ok(Self {
            dir: dir.to_owned(),
            meta: meta_graph.meta_info_def.unwrap_or_default(),
            signatures: meta_graph.signature_def,
            graph,
            saver: meta_graph.saver_def,
            init_op,
            variables,
            checkpoint_keys,
        })
    }

    /// The key in the bundle of the variable that the `VarHandleOp` node of this name stands for.
    pub fn variable_of(&self, handle_node: &str) -> Option<&str> {
        self.checkpoint_keys.get(handle_node).map(String::as_str)
    }

    /// Reads the value of a variable by its `VarHandleOp` node.
    pub fn variable(&self, handle_node: &str) -> Result<VariableSlice, SavedModelError> {
        let key = self.variable_of(handle_node).unwrap_or(handle_node);
        match &self.variables {
            Some(variables) => variables.get(key),
            None => Err(SavedModelError::NoVariables { dir: self.dir.clone(), key: key.to_owned() }),
        }
    }
}

/// Decodes `saved_model.pb` and picks the first meta graph with exactly the tags `wanted`.
fn decode(path: &Path, bytes: Vec<u8>, wanted: &[&str]) -> Result<MetaGraphDef, SavedModelError> {
    let malformed = |reason: String| SavedModelError::Damaged {
        path: path.to_owned(),
        damage: Damage::Malformed { format: "SavedModel", reason },
    };
    let size = bytes.len();
    // Tensor contents stay slices of this buffer.
    let model = SavedModel::decode(Bytes::from(bytes))
        .map_err(|error| malformed(format!("its {size} bytes are not the protocol buffer: {error}")))?;
    if model.saved_model_schema_version > SCHEMA_VERSION {
        return Err(malformed(format!("its layout has version {}", model.saved_model_schema_version)));
    }
    let tags =
        |meta_graph: &MetaGraphDef| meta_graph.meta_info_def.as_ref().map_or(Vec::new(), |info| info.tags.clone());
    let found: Vec<Vec<String>> = model.meta_graphs.iter().map(tags).collect();
    let set: BTreeSet<&str> = wanted.iter().copied().collect();
    let place = found.iter().position(|tags| tags.iter().map(String::as_str).collect::<BTreeSet<_>>() == set);
    let missing = || SavedModelError::MissingTag { path: path.to_owned(), wanted: wanted.join(" "), found };
    place.and_then(|place| model.meta_graphs.into_iter().nth(place)).ok_or_else(missing)
}

/// The op that initialises the model: TensorFlow 2 names it in a signature, TensorFlow 1 in a collection.
fn init_op(meta_graph: &MetaGraphDef) -> Option<String> {
    let from_signature = || {
        let signature = meta_graph.signature_def.get("__saved_model_init_op")?;
        let name = signature.outputs.get("__saved_model_init_op")?.tensor_name()?;
        Some(name.split(':').next().unwrap_or(name).to_owned())
    };
    let from_collection = |key: &str| match &meta_graph.collection_def.get(key)?.kind {
        Some(collection_def::Kind::NodeList(list)) => list.value.first().cloned(),
        _ => None,
    };
    from_signature().or_else(|| from_collection("saved_model_main_op")).or_else(|| from_collection("legacy_init_op"))
}
