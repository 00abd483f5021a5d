//! A model's signatures as one graph of TensorFlow nodes without functions, for writing the model anew.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::constant::Constant;
use super::graph::{Graph, Op, Port};
use super::import::import;
use super::status::{LoadError, RunError, StatusCode};
use crate::savedmodel::LoadedSavedModel;
use crate::savedmodel::proto::attr_value::Value;
use crate::savedmodel::proto::{AttrValue, DataType, NodeDef, SignatureDef, TensorInfo, tensor_info};

/// What [`flatten`] makes of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatModel {
    /// Nodes in an order in which inputs come first; all that a signature needs, and nothing for saving or training.
    pub nodes: Vec<NodeDef>,
    /// The variables: the name of their `VarHandleOp` among the nodes, and the node of the model that they come from.
    pub variables: Vec<FlatVariable>,
    /// The model's signatures with the names of the new graph's tensors.
    pub signatures: BTreeMap<String, SignatureDef>,
}

/// One variable of a [`FlatModel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlatVariable {
    /// The `VarHandleOp` that reads refer to; whoever writes the model adds it, with type and shape.
    pub node: String,
    /// What [`LoadedSavedModel::variable`] takes.
    pub handle: String,
}

/// Names that are not taken yet.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn unique(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 0;
        while !self.0.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}_{number}");
        }
        name
    }
}

fn node_of(tensor: &str) -> &str {
    tensor.split(':').next().unwrap_or(tensor)
}

/// The type that a signature declares for a result.
fn result_type(model: &LoadedSavedModel, tensor: &str) -> Option<i32> {
    let results = model.signatures.values().flat_map(|signature| signature.outputs.values());
    let mut types = results.filter(|info| info.tensor_name() == Some(tensor)).map(|info| info.dtype);
    types.find(|&dtype| dtype != DataType::DtInvalid as i32)
}

/// Walks through all calls and leaves one level of nodes.
///
/// Fails as [`Session::load`](super::Session::load) does: on an op that is not supported here, or a graph that
/// contradicts itself.
pub fn flatten(model: &LoadedSavedModel) -> Result<FlatModel, LoadError> {
    let Graph { nodes, feeds, fetches, checks } = import(&model.graph, model.signatures.values())?;
    let mut names = Names::default();
    let mut chosen: Vec<Option<String>> = vec![None; nodes.len()];
    let mut fed: Vec<_> = feeds.iter().collect();
    fed.sort();
    for (tensor, &node) in fed {
        chosen[node] = Some(names.unique(node_of(tensor)));
    }
    let chosen: Vec<String> =
        nodes.iter().zip(chosen).map(|(node, chosen)| chosen.unwrap_or_else(|| names.unique(&node.name))).collect();
    let tensor = |port: &Port| match port.output {
        0 => chosen[port.node].clone(),
        output => format!("{}:{output}", chosen[port.node]),
    };
    let declared: HashMap<&str, &TensorInfo> = model
        .signatures
        .values()
        .flat_map(|signature| signature.inputs.values())
        .filter_map(|info| Some((node_of(info.tensor_name()?), info)))
        .collect();
    let mut variables: Vec<FlatVariable> = Vec::new();
    let mut by_handle: HashMap<String, String> = HashMap::new();
    let mut list = Vec::new();
    for (node, name) in nodes.iter().zip(&chosen) {
        let mut made = NodeDef { name: name.clone(), ..NodeDef::default() };
        let mut set = |key: &str, value: Value| made.attr.insert(key.to_owned(), AttrValue::from(value));
        match &node.op {
            Op::Input { dtype, .. } => {
                "Placeholder".clone_into(&mut made.op);
                set("dtype", Value::Type(*dtype as i32));
                let shape = declared.get(name.as_str()).and_then(|info| info.tensor_shape.clone());
                if let Some(shape) = shape {
                    set("shape", Value::Shape(shape));
                }
            }
            Op::Constant(Constant::Proto(proto)) => {
                "Const".clone_into(&mut made.op);
                set("dtype", Value::Type(proto.dtype));
                set("value", Value::Tensor(proto.clone()));
            }
            Op::Constant(Constant::Variable { handle, .. }) => {
                let variable = by_handle.entry(handle.clone()).or_insert_with(|| {
                    let node = names.unique(handle);
                    variables.push(FlatVariable { node: node.clone(), handle: handle.clone() });
                    node
                });
                "ReadVariableOp".clone_into(&mut made.op);
                made.input.push(variable.clone());
                // The type is filled in with the variable's own.
            }
            Op::Call { op, attributes } => {
                op.clone_into(&mut made.op);
                made.input = node.inputs.iter().map(&tensor).collect();
                made.attr.clone_from(&attributes.0);
            }
            _ => {
                let text = "a branch or loop cannot be written without functions";
                return Err(LoadError::Graph(RunError::new(StatusCode::Unimplemented, text).at(&node.name)));
            }
        }
        list.push(made);
    }
    // A result that waits for assertions gets a node of its own, which they do not depend on.
    let mut waiting = HashMap::new();
    let mut asserted: Vec<_> = checks.iter().collect();
    asserted.sort();
    for (fetched, checks) in asserted {
        let (Some(port), Some(dtype)) = (fetches.get(fetched), result_type(model, fetched)) else { continue };
        let name = names.unique(&format!("{}_asserted", chosen[port.node]));
        let controls = checks.iter().map(|&check| format!("^{}", chosen[check]));
        list.push(NodeDef {
            name: name.clone(),
            op: "Identity".to_owned(),
            input: std::iter::once(tensor(port)).chain(controls).collect(),
            attr: [("T".to_owned(), AttrValue::from(Value::Type(dtype)))].into(),
            ..NodeDef::default()
        });
        waiting.insert(fetched.as_str(), format!("{name}:0"));
    }
    let signatures = model.signatures.iter().filter_map(|(key, signature)| {
        let mut signature = signature.clone();
        signature.outputs.retain(|_, info| info.dtype != DataType::DtInvalid as i32);
        for info in signature.outputs.values_mut() {
            let fetched = info.tensor_name()?;
            let port = fetches.get(fetched)?;
            let plain = || format!("{}:{}", chosen[port.node], port.output);
            let name = waiting.get(fetched).cloned().unwrap_or_else(plain);
            info.encoding = Some(tensor_info::Encoding::Name(name));
        }
        (!signature.outputs.is_empty()).then(|| (key.clone(), signature))
    });
    let signatures = signatures.collect();
    Ok(FlatModel { nodes: list, variables, signatures })
}
