//! What a SavedModel is made of, and whether the TensorFlow of the tutorial loads it.
//!
//! `tensorflow/serving:2.5.1` embeds TensorFlow 2.5; a graph with an op or an attribute that came later does not load
//! there, not even when it sits in a function that serving never calls. What 2.5 knows is a list, made from TensorFlow
//! itself by `tests/reference/tensorflow_ops.py`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;

use crate::savedmodel::proto::{DataType, NodeDef, TensorInfo};
use crate::savedmodel::{LoadedSavedModel, SavedModelError};

/// One op a line, followed by its attributes.
const OPS_OF_2_5: &str = include_str!("../../models/tensorflow-2.5-ops.txt");
/// The graph version of TensorFlow 2.5.
const GRAPH_VERSION_OF_2_5: i32 = 716;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The TensorFlow that wrote it and that one's commit, as the file says itself.
    pub written_by: String,
    /// The signatures by key.
    pub signatures: BTreeMap<String, SignatureSummary>,
    /// How often each op occurs, functions included.
    pub ops: BTreeMap<String, usize>,
    /// The number of functions.
    pub functions: usize,
    /// The number of variables that the bundle holds.
    pub variables: usize,
    /// Their elements; bookkeeping entries do not count.
    pub parameters: u64,
    /// Why TensorFlow 2.5 does not load it; empty when it does.
    pub obstacles_for_2_5: Vec<Obstacle>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignatureSummary {
    /// The method, `tensorflow/serving/predict` for prediction.
    pub method: String,
    /// Inputs by name: type and shape.
    pub inputs: BTreeMap<String, String>,
    /// Outputs by name: type and shape.
    pub outputs: BTreeMap<String, String>,
}

/// Something that TensorFlow 2.5 does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Obstacle {
    /// An op that came later.
    Op {
        /// The op.
        op: String,
        /// A node of this kind, with its function where it is in one.
        node: String,
    },
    /// An attribute that came later.
    Attribute {
        /// The op.
        op: String,
        /// The attribute.
        attribute: String,
        /// A node that has it, with its function where it is in one.
        node: String,
    },
    /// The graph says that it needs a later TensorFlow.
    GraphVersion {
        /// The lowest graph version that may read it.
        min_consumer: i32,
    },
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Op { op, node } => write!(f, "the op {op} (node {node}) came after TensorFlow 2.5"),
            Self::Attribute { op, attribute, node } => {
                write!(f, "the attribute {attribute} of {op} (node {node}) came after TensorFlow 2.5")
            }
            Self::GraphVersion { min_consumer } => {
                write!(
                    f,
                    "the graph asks for version {min_consumer} or later; TensorFlow 2.5 has {GRAPH_VERSION_OF_2_5}"
                )
            }
        }
    }
}

/// The attributes that TensorFlow 2.5 knows of an op; `None` for an op that came later.
pub(super) fn attributes_of_2_5(op: &str) -> Option<&'static BTreeSet<&'static str>> {
    static KNOWN: OnceLock<HashMap<&str, BTreeSet<&str>>> = OnceLock::new();
    let read = || {
        let lines = OPS_OF_2_5.lines().filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.collect()))
        });
        lines.collect()
    };
    KNOWN.get_or_init(read).get(op)
}

/// Looks at the SavedModel in a version directory.
pub fn inspect(dir: &Path) -> Result<Inspection, SavedModelError> {
    let model = LoadedSavedModel::read(dir)?;
    let library = model.graph.library.as_ref().map_or(&[][..], |library| &library.function);
    let name_of = |function: &crate::savedmodel::proto::FunctionDef| {
        function.signature.as_ref().map_or(String::new(), |signature| signature.name.clone())
    };
    let own: BTreeSet<String> = library.iter().map(name_of).collect();
    let mut ops: BTreeMap<String, usize> = BTreeMap::new();
    let mut obstacles: BTreeMap<(String, Option<String>), Obstacle> = BTreeMap::new();
    let mut look = |node: &NodeDef, place: String| {
        *ops.entry(node.op.clone()).or_default() += 1;
        if own.contains(&node.op) {
            return;
        }
        let Some(attributes) = attributes_of_2_5(&node.op) else {
            let obstacle = Obstacle::Op { op: node.op.clone(), node: place };
            obstacles.entry((node.op.clone(), None)).or_insert(obstacle);
            return;
        };
        // Names that begin with an underscore are private to the writer and never checked.
        for attribute in node.attr.keys().filter(|name| !name.starts_with('_') && !attributes.contains(name.as_str())) {
            let key = (node.op.clone(), Some(attribute.clone()));
            obstacles.entry(key).or_insert_with(|| Obstacle::Attribute {
                op: node.op.clone(),
                attribute: attribute.clone(),
                node: place.clone(),
            });
        }
    };
    for node in &model.graph.node {
        look(node, node.name.clone());
    }
    for function in library {
        let name = name_of(function);
        for node in &function.node_def {
            look(node, format!("{} in function {name}", node.name));
        }
    }
    let mut obstacles: Vec<Obstacle> = obstacles.into_values().collect();
    let min_consumer = model.graph.versions.as_ref().map_or(0, |versions| versions.min_consumer);
    if min_consumer > GRAPH_VERSION_OF_2_5 {
        obstacles.push(Obstacle::GraphVersion { min_consumer });
    }
    let weights = || {
        let entries = model.variables.iter().flat_map(crate::savedmodel::Variables::iter);
        entries.filter(|(key, info)| info.dtype != DataType::DtString && !key.starts_with("save_counter"))
    };
    Ok(Inspection {
        written_by: [&model.meta.tensorflow_version, &model.meta.tensorflow_git_version]
            .into_iter()
            .filter(|text| !text.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(", "),
        signatures: model.signatures.iter().map(|(key, signature)| (key.clone(), summary(signature))).collect(),
        functions: library.len(),
        variables: weights().count(),
        parameters: weights().map(|(_, info)| info.elements() as u64).sum(),
        ops,
        obstacles_for_2_5: obstacles,
    })
}

fn summary(signature: &crate::savedmodel::proto::SignatureDef) -> SignatureSummary {
    let side = |tensors: &BTreeMap<String, TensorInfo>| {
        tensors.iter().map(|(name, info)| (name.clone(), describe(info))).collect()
    };
    SignatureSummary {
        method: signature.method_name.clone(),
        inputs: side(&signature.inputs),
        outputs: side(&signature.outputs),
    }
}

/// `float [-1,224,224,3]`.
fn describe(info: &TensorInfo) -> String {
    let dtype = DataType::try_from(info.dtype).map_or("unknown", DataType::short_name);
    match &info.tensor_shape {
        Some(shape) if !shape.unknown_rank => {
            let sizes: Vec<String> = shape.dim.iter().map(|dim| dim.size.to_string()).collect();
            format!("{dtype} [{}]", sizes.join(","))
        }
        _ => format!("{dtype} of any shape"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::built::VERSION;
    use crate::models::network::{Architecture, Network, saved_model};
    use crate::models::synthetic;
    use crate::savedmodel::SavedModelWriter;
    use crate::savedmodel::proto::AttrValue;
    use crate::savedmodel::proto::attr_value::Value;

    #[test]
    fn our_own_models_load_in_2_5() {
        let home = tempfile::tempdir().unwrap();
        let built = synthetic::build(Network::TinyA, home.path(), &[], &mut |_| {}).unwrap();
        let inspection = inspect(&home.path().join(VERSION)).unwrap();
        assert_eq!(inspection.obstacles_for_2_5, []);
        assert_eq!(inspection.written_by, "2.5.0, canary-lab");
        assert_eq!(inspection.parameters, built.parameters);
        assert_eq!(inspection.signatures["serving_default"].inputs["input_1"], "float [-1,224,224,3]");
        assert_eq!(inspection.signatures["serving_default"].outputs["predictions"], "float [-1,1000]");
    }

    #[test]
    fn what_came_later_is_named_once() {
        let home = tempfile::tempdir().unwrap();
        let mut model = saved_model(&Architecture::of(Network::TinyA));
        let graph = model.meta_graphs[0].graph_def.as_mut().unwrap();
        for node in &mut graph.node {
            if node.op == "VarHandleOp" {
                node.attr.insert("debug_name".to_owned(), AttrValue::from(Value::S("x".into())));
                node.attr.insert("_private".to_owned(), AttrValue::from(Value::B(true)));
            }
        }
        let mut later = graph.node[0].clone();
        (later.name, later.op) = ("later".to_owned(), "DisableCopyOnRead".to_owned());
        graph.node.push(later);
        graph.versions.as_mut().unwrap().min_consumer = 2000;
        SavedModelWriter::create(&home.path().join("1")).unwrap().finish(&model).unwrap().publish().unwrap();
        let obstacles = inspect(&home.path().join("1")).unwrap().obstacles_for_2_5;
        assert_eq!(
            obstacles,
            [
                Obstacle::Op { op: "DisableCopyOnRead".to_owned(), node: "later".to_owned() },
                Obstacle::Attribute {
                    op: "VarHandleOp".to_owned(),
                    attribute: "debug_name".to_owned(),
                    node: "conv1_conv/kernel".to_owned(),
                },
                Obstacle::GraphVersion { min_consumer: 2000 },
            ]
        );
    }
}
