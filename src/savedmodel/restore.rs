//! Which tensor of the bundle belongs to which variable of the graph.
//!
//! The graph itself says it: its restore op leads to `RestoreV2` nodes that read keys from the bundle, and from there
//! through `Identity` to `AssignVariableOp` nodes. In models of TensorFlow 2 all this lies inside a function, to which
//! the top graph passes the `VarHandleOp` nodes as arguments. Variables that the restore op does not reach fall back to
//! the handle's shared name, which is the variable's own name.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::bundle::Variables;
use super::proto::{AttrValue, DataType, FunctionDef, GraphDef, NodeDef, SaverDef, TensorProto, attr_value};

/// From the name of a `VarHandleOp` node in the top graph to its key in the bundle.
pub(super) fn checkpoint_keys(
    graph: &GraphDef,
    saver: Option<&SaverDef>,
    variables: Option<&Variables>,
) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    if let Some(variables) = variables {
        for node in handles(graph) {
            let shared_name = match node.attr.get("shared_name").and_then(|attr| attr.value.as_ref()) {
                Some(attr_value::Value::S(name)) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
                _ => node.name.clone(),
            };
            if variables.info(&shared_name).is_ok() {
                keys.insert(node.name.clone(), shared_name);
            }
        }
    }
    if let Some(saver) = saver {
        keys.extend(by_restore_op(graph, &saver.restore_op_name));
    }
    keys
}

fn handles(graph: &GraphDef) -> impl Iterator<Item = &NodeDef> {
    graph.node.iter().filter(|node| node.op == "VarHandleOp")
}

/// Follows the restore op of the top graph.
fn by_restore_op(graph: &GraphDef, restore_op: &str) -> Vec<(String, String)> {
    let top: HashMap<&str, &NodeDef> = graph.node.iter().map(|node| (node.name.as_str(), node)).collect();
    let restore_op = node_name(restore_op);
    let Some(restore) = top.get(restore_op) else { return Vec::new() };
    let function = called_function(graph, restore);
    let Some(function) = function else {
        // TensorFlow 1 and our own models: the assignments are nodes of the top graph.
        return assignments(&graph.node)
            .into_iter()
            .filter(|(handle, _)| top.get(handle.as_str()).is_some_and(|node| node.op == "VarHandleOp"))
            .collect();
    };
    let arguments: HashMap<&str, &str> = function
        .signature
        .iter()
        .flat_map(|signature| &signature.input_arg)
        .zip(&restore.input)
        .map(|(argument, input)| (argument.name.as_str(), node_name(input)))
        .collect();
    assignments(&function.node_def)
        .into_iter()
        .filter_map(|(argument, key)| Some(((*arguments.get(argument.as_str())?).to_owned(), key)))
        .collect()
}

/// The function that a node calls, by its `f` attribute or its op.
fn called_function<'a>(graph: &'a GraphDef, node: &NodeDef) -> Option<&'a FunctionDef> {
    let name = match node.attr.get("f").and_then(|attr| attr.value.as_ref()) {
        Some(attr_value::Value::Func(function)) => function.name.as_str(),
        _ => node.op.as_str(),
    };
    let library = graph.library.as_ref()?;
    library.function.iter().find(|function| function.signature.as_ref().is_some_and(|signature| signature.name == name))
}

/// Pairs of what is assigned to (a node or an argument) and the key that it is restored from.
fn assignments(nodes: &[NodeDef]) -> Vec<(String, String)> {
    let by_name: HashMap<&str, &NodeDef> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    nodes
        .iter()
        .filter(|node| node.op == "AssignVariableOp")
        .filter_map(|node| {
            let handle = node_name(node.input.first()?);
            let key = restored_key(&by_name, node.input.get(1)?)?;
            Some((handle.to_owned(), key))
        })
        .collect()
}

/// The key behind a tensor that comes from `RestoreV2`, perhaps through `Identity` nodes.
fn restored_key(nodes: &HashMap<&str, &NodeDef>, tensor: &str) -> Option<String> {
    let mut tensor = tensor;
    // A chain longer than the graph would be a cycle.
    for _ in 0..=nodes.len() {
        let node = nodes.get(node_name(tensor))?;
        match node.op.as_str() {
            "Identity" => tensor = node.input.first()?,
            "RestoreV2" => {
                let names = nodes.get(node_name(node.input.get(1)?))?;
                let position = output_position(tensor);
                return constant_string(names, position);
            }
            _ => return None,
        }
    }
    None
}

/// `a:b:2` and `a:2` stand for output 2, `a` for output 0.
fn output_position(tensor: &str) -> usize {
    tensor.rsplit_once(':').and_then(|(_, position)| position.parse().ok()).unwrap_or(0)
}

/// The node of `^node`, `node:1` and `node:output:1`.
fn node_name(tensor: &str) -> &str {
    let tensor = tensor.strip_prefix('^').unwrap_or(tensor);
    tensor.split(':').next().unwrap_or(tensor)
}

/// One string of a `Const` node.
fn constant_string(node: &NodeDef, position: usize) -> Option<String> {
    let Some(AttrValue { value: Some(attr_value::Value::Tensor(tensor)) }) = node.attr.get("value") else {
        return None;
    };
    let TensorProto { dtype, string_val, .. } = tensor.as_ref();
    if *dtype != DataType::DtString as i32 {
        return None;
    }
    string_val.get(position).map(|bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned())
}
