//! A SavedModel written anew for TensorFlow 2.5: same signatures, same weights, same answers.
//!
//! Later versions of TensorFlow and Keras write ops that `tensorflow/serving:2.5.1` does not know, most of them only in the
//! functions that save the model. [`rewrite`] keeps what the signatures need: one graph without functions, as
//! [`inference::flatten`](crate::inference::flatten) gives it, with this crate's own way of restoring variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::inspection::attributes_of_2_5;
use super::network::{NO_INPUTS, Nodes, kind, saver, servable};
use crate::inference::{FlatModel, LoadError, flatten};
use crate::savedmodel::proto::attr_value::Value;
use crate::savedmodel::proto::{AttrValue, DataType, NodeDef, TensorShapeProto};
use crate::savedmodel::{LoadedSavedModel, SavedModelError, SavedModelWriter, WrittenFile};

/// Why a model was not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It cannot be read, or has an op that canary-lab does not know.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A variable cannot be read, or the new files not be written.
    #[error(transparent)]
    Files(#[from] SavedModelError),
    /// It computes with something that TensorFlow 2.5 does not have.
    #[error("node `{node}` needs {what}, which TensorFlow 2.5 does not have")]
    Newer {
        /// The node.
        node: String,
        /// The op, or the attribute with its op.
        what: String,
    },
    /// There is nothing to serve.
    #[error("it has no signature with outputs")]
    NoSignature,
}

/// A model that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The files of the version directory, sorted by name.
    pub files: Vec<WrittenFile>,
    /// The signatures it has, in order.
    pub signatures: Vec<String>,
    /// Elements of all variables.
    pub parameters: usize,
    /// Ops of the old model that the new one does without, in order: those of saving, of calls, and replaced ones.
    pub left_out: Vec<String>,
}

/// Reads the version directory `from` and writes an equivalent one to `to`, which is replaced when it exists.
pub fn rewrite(from: &Path, to: &Path) -> Result<Rewritten, RewriteError> {
    let model = LoadedSavedModel::read(from).map_err(LoadError::from)?;
    let FlatModel { nodes: flat, variables, signatures } = flatten(&model)?;
    if signatures.is_empty() {
        return Err(RewriteError::NoSignature);
    }
    let mut writer = SavedModelWriter::create(to)?;
    let mut nodes = Nodes::default();
    let mut saved = Vec::new();
    let mut types = BTreeMap::new();
    let mut parameters = 0;
    for variable in &variables {
        let value = model.variable(&variable.handle)?;
        writer.add_variable(&variable.node, value.dtype, &value.shape, &value.bytes)?;
        let sizes: Vec<i64> = value.shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
        let attributes = [
            ("dtype", kind(value.dtype)),
            ("shape", Value::Shape(TensorShapeProto::of(&sizes))),
            ("shared_name", Value::S(variable.node.clone().into())),
        ];
        nodes.add(&variable.node, "VarHandleOp", NO_INPUTS, attributes);
        parameters += value.shape.iter().product::<usize>();
        types.insert(variable.node.clone(), value.dtype);
        saved.push((variable.node.clone(), value.dtype));
    }
    for mut node in flat {
        if let (true, Some(dtype)) = (node.op == "ReadVariableOp", node.input.first().and_then(|name| types.get(name)))
        {
            node.attr.insert("dtype".to_owned(), AttrValue::from(kind(*dtype)));
        }
        nodes.list.push(for_2_5(node)?);
    }
    let saver = saver(&mut nodes, &saved);
    let kept: BTreeSet<&str> = nodes.list.iter().map(|node| node.op.as_str()).collect();
    let bodies =
        model.graph.library.iter().flat_map(|library| &library.function).flat_map(|function| &function.node_def);
    let before: BTreeSet<&str> = model.graph.node.iter().chain(bodies).map(|node| node.op.as_str()).collect();
    let left_out = before.difference(&kept).map(|&op| op.to_owned()).collect();
    let names = signatures.keys().cloned().collect();
    let files = writer.finish(&servable(nodes, saver, signatures))?.publish()?;
    Ok(Rewritten { files, signatures: names, parameters, left_out })
}

/// The node as TensorFlow 2.5 knows it.
fn for_2_5(mut node: NodeDef) -> Result<NodeDef, RewriteError> {
    if node.op == "BatchMatMulV3" {
        // The third version only added results of another type.
        let of = |name: &str| node.attr.get(name).cloned();
        let (left, right, result) = (of("Ta"), of("Tb"), of("Tout"));
        if left == right && left == result {
            node.attr.retain(|name, _| !["Ta", "Tb", "Tout"].contains(&name.as_str()));
            node.attr.extend(left.map(|dtype| ("T".to_owned(), dtype)));
            "BatchMatMulV2".clone_into(&mut node.op);
        }
    }
    let Some(known) = attributes_of_2_5(&node.op) else {
        return Err(RewriteError::Newer { what: format!("op {}", node.op), node: node.name });
    };
    let newer = node.attr.iter().find(|(name, value)| !known.contains(&name.as_str()) && !is_default(name, value));
    if let Some((name, _)) = newer {
        let what = format!("attribute {name} of op {}", node.op);
        return Err(RewriteError::Newer { what, node: node.name });
    }
    node.attr.retain(|name, _| known.contains(&name.as_str()));
    Ok(node)
}

/// Whether an attribute that came after 2.5 has the value that means what 2.5 does.
fn is_default(name: &str, value: &AttrValue) -> bool {
    match &value.value {
        None | Some(Value::B(false) | Value::I(0)) => true,
        // Indices had 32 bits before their type could be chosen.
        Some(Value::Type(dtype)) => name == "index_type" && *dtype == DataType::DtInt32 as i32,
        // Names that only help to debug, and hints for a gradient.
        Some(Value::S(text)) => text.is_empty() || name == "debug_name",
        Some(Value::List(list)) => **list == crate::savedmodel::proto::attr_value::ListValue::default(),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{Session, SessionOptions, Tensor};
    use crate::models::network::Network;
    use crate::models::synthetic;

    fn answer(dir: &Path) -> Vec<Tensor> {
        let session = Session::load(dir, &SessionOptions { threads: 1 }).unwrap();
        let signature = &session.signatures()["serving_default"];
        let name =
            |info: Option<&crate::savedmodel::proto::TensorInfo>| info.unwrap().tensor_name().unwrap().to_owned();
        let (input, output) = (name(signature.inputs.values().next()), name(signature.outputs.values().next()));
        let pixels = (0..24 * 20 * 3).map(|index| (index % 251) as f32).collect();
        session.run(&[(&input, Tensor::floats(&[1, 24, 20, 3], pixels).unwrap())], &[&output]).unwrap()
    }

    #[test]
    fn a_rewritten_model_answers_with_the_same_bits() {
        let dir = tempfile::tempdir().unwrap();
        synthetic::build(Network::TinyA, dir.path(), &[], &mut |_| ()).unwrap();
        let (from, to) = (dir.path().join("1"), dir.path().join("new/1"));
        let written = rewrite(&from, &to).unwrap();
        assert_eq!(written.signatures, ["serving_default"]);
        assert!(written.parameters > 1000 && written.files.len() == 3);
        assert_eq!(answer(&from), answer(&to));
        // Once more over the result, and over itself.
        rewrite(&to, &to).unwrap();
        assert_eq!(answer(&from), answer(&to));
    }

    #[test]
    fn what_came_later_is_taken_back_or_refused() {
        let node = |op: &str, attributes: &[(&str, Value)]| NodeDef {
            name: "n".to_owned(),
            op: op.to_owned(),
            attr: attributes.iter().map(|(name, value)| ((*name).to_owned(), AttrValue::from(value.clone()))).collect(),
            ..NodeDef::default()
        };
        let float = || kind(DataType::DtFloat);
        let product =
            node("BatchMatMulV3", &[("Ta", float()), ("Tb", float()), ("Tout", float()), ("grad_x", Value::B(false))]);
        let older = for_2_5(product).unwrap();
        assert_eq!(
            (older.op.as_str(), older.attr.keys().map(String::as_str).collect::<Vec<_>>()),
            ("BatchMatMulV2", vec!["T"])
        );
        let error = for_2_5(node("MatMul", &[("T", float()), ("grad_a", Value::B(true))])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "node `n` needs attribute grad_a of op MatMul, which TensorFlow 2.5 does not have"
        );
        let error = for_2_5(node("DisableCopyOnRead", &[])).unwrap_err();
        assert_eq!(error.to_string(), "node `n` needs op DisableCopyOnRead, which TensorFlow 2.5 does not have");
    }
}
