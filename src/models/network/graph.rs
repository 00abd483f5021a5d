//! The SavedModel of a network: TensorFlow's graph with variables, a saver and the signature that Keras publishes.
//!
//! One flat graph without functions, with ops that TensorFlow 2.5 knows: what later versions put into a SavedModel
//! (`DisableCopyOnRead`) keeps it from loading in `tensorflow/serving:2.5.1`. Node names are those that Keras gives, so
//! that an error text names the same node.

use std::collections::BTreeMap;

use crate::savedmodel::SERVE_TAG;
use crate::savedmodel::proto::attr_value::Value;
use crate::savedmodel::proto::{
    DataType, GraphDef, MetaGraphDef, SavedModel, SaverDef, SignatureDef, TensorInfo, TensorShapeProto, VersionDef,
    meta_graph_def, saver_def, tensor_info,
};

use super::architecture::{Architecture, CLASSES, EPSILON, LayerKind};
use super::nodes::{NO_INPUTS, Nodes, int32_tensor, integers, kind, kinds, shape, string_tensor, text};

/// The input's name in the signature, as the first model of a Python process has it.
pub const INPUT_NAME: &str = "input_1";
/// The output's name in the signature.
pub const OUTPUT_NAME: &str = "predictions";

/// The shape that the signature declares for the input; the graph takes pictures of any size.
const INPUT_SHAPE: [i64; 4] = [-1, 224, 224, 3];
const PLACEHOLDER: &str = "serving_default_input_1";
const INIT_OP: &str = "__saved_model_init_op";
/// The graph version of TensorFlow 2.5.
const PRODUCER: i32 = 716;
const FLOAT: DataType = DataType::DtFloat;

/// The SavedModel of an architecture; its variables have the keys of [`Architecture::weights`].
pub fn saved_model(architecture: &Architecture) -> SavedModel {
    let mut nodes = Nodes::default();
    let weights = architecture.weights();
    let dtype = || ("dtype", kind(FLOAT));
    nodes.add(PLACEHOLDER, "Placeholder", NO_INPUTS, [dtype(), ("shape", shape(&INPUT_SHAPE))]);
    for weight in &weights {
        let sizes: Vec<i64> = weight.shape.iter().map(|&size| size as i64).collect();
        let shared_name = Value::S(weight.key.clone().into());
        let attrs = [dtype(), ("shape", shape(&sizes)), ("shared_name", shared_name)];
        nodes.add(&weight.key, "VarHandleOp", NO_INPUTS, attrs);
    }
    let output = layers(&mut nodes, architecture);
    let saved: Vec<_> = weights.iter().map(|weight| (weight.key.clone(), FLOAT)).collect();
    let saver = saver(&mut nodes, &saved);

    let info = |tensor: String, sizes: &[i64]| TensorInfo {
        encoding: Some(tensor_info::Encoding::Name(tensor)),
        dtype: FLOAT as i32,
        tensor_shape: Some(TensorShapeProto::of(sizes)),
    };
    let serving = SignatureDef {
        inputs: [(INPUT_NAME.to_owned(), info(format!("{PLACEHOLDER}:0"), &INPUT_SHAPE))].into(),
        outputs: [(OUTPUT_NAME.to_owned(), info(format!("{output}:0"), &[-1, CLASSES as i64]))].into(),
        method_name: "tensorflow/serving/predict".to_owned(),
        ..SignatureDef::default()
    };
    servable(nodes, saver, [("serving_default".to_owned(), serving)].into())
}

/// A SavedModel of one meta graph for serving, whose graph and ops are those of TensorFlow 2.5.
pub(in crate::models) fn servable(
    mut nodes: Nodes,
    saver: SaverDef,
    mut signatures: BTreeMap<String, SignatureDef>,
) -> SavedModel {
    nodes.add("NoOp", "NoOp", NO_INPUTS, []);
    let init = TensorInfo {
        encoding: Some(tensor_info::Encoding::Name("NoOp".to_owned())),
        dtype: DataType::DtInvalid as i32,
        tensor_shape: Some(TensorShapeProto { unknown_rank: true, ..TensorShapeProto::default() }),
    };
    let init = SignatureDef { outputs: [(INIT_OP.to_owned(), init)].into(), ..SignatureDef::default() };
    signatures.insert(INIT_OP.to_owned(), init);
    let meta_graph = MetaGraphDef {
        meta_info_def: Some(meta_graph_def::MetaInfoDef {
            tags: vec![SERVE_TAG.to_owned()],
            tensorflow_version: "2.5.0".to_owned(),
            // The version is the one whose ops are used; this tells who wrote the file.
            tensorflow_git_version: "canary-lab".to_owned(),
            stripped_default_attrs: true,
            ..meta_graph_def::MetaInfoDef::default()
        }),
        graph_def: Some(GraphDef {
            node: nodes.list,
            library: None,
            versions: Some(VersionDef { producer: PRODUCER, min_consumer: 12, ..VersionDef::default() }),
        }),
        saver_def: Some(saver),
        signature_def: signatures,
        ..MetaGraphDef::default()
    };
    SavedModel { saved_model_schema_version: 1, meta_graphs: vec![meta_graph] }
}

/// Adds the nodes of all layers; returns the name of the last.
fn layers(nodes: &mut Nodes, architecture: &Architecture) -> String {
    let t = || ("T", kind(FLOAT));
    let nhwc = || ("data_format", text("NHWC"));
    let mut outputs: Vec<String> = Vec::new();
    for layer in &architecture.layers {
        let scope = format!("{}/{}", architecture.name, layer.name);
        let inputs: Vec<String> = layer.inputs.iter().map(|&input| outputs[input].clone()).collect();
        let read = |nodes: &mut Nodes, name: &str, weight: &str| {
            let variable = format!("{}/{weight}", layer.name);
            nodes.add(format!("{scope}/{name}"), "ReadVariableOp", [variable], [("dtype", kind(FLOAT))])
        };
        let output = match layer.kind {
            LayerKind::Input => PLACEHOLDER.to_owned(),
            LayerKind::Pad { amount } => {
                let amount = amount as i32;
                let amounts = int32_tensor(&[4, 2], &[0, 0, amount, amount, amount, amount, 0, 0]);
                let amounts = nodes.constant(format!("{scope}/Pad/paddings"), amounts);
                let attrs = [t(), ("Tpaddings", kind(DataType::DtInt32))];
                nodes.add(format!("{scope}/Pad"), "Pad", [inputs[0].clone(), amounts], attrs)
            }
            LayerKind::Conv { stride, same, .. } => {
                let kernel = read(nodes, "Conv2D/ReadVariableOp", "kernel");
                let stride = stride as i64;
                let attrs = [
                    t(),
                    nhwc(),
                    ("strides", integers(&[1, stride, stride, 1])),
                    ("padding", text(if same { "SAME" } else { "VALID" })),
                ];
                let product = nodes.add(format!("{scope}/Conv2D"), "Conv2D", [inputs[0].clone(), kernel], attrs);
                let bias = read(nodes, "BiasAdd/ReadVariableOp", "bias");
                nodes.add(format!("{scope}/BiasAdd"), "BiasAdd", [product, bias], [t(), nhwc()])
            }
            LayerKind::Norm { .. } => {
                let weights = [
                    inputs[0].clone(),
                    read(nodes, "ReadVariableOp", "gamma"),
                    read(nodes, "ReadVariableOp_1", "beta"),
                    read(nodes, "FusedBatchNormV3/ReadVariableOp", "moving_mean"),
                    read(nodes, "FusedBatchNormV3/ReadVariableOp_1", "moving_variance"),
                ];
                let attrs =
                    [t(), ("U", kind(FLOAT)), nhwc(), ("epsilon", Value::F(EPSILON)), ("is_training", Value::B(false))];
                nodes.add(format!("{scope}/FusedBatchNormV3"), "FusedBatchNormV3", weights, attrs)
            }
            LayerKind::Relu => nodes.add(format!("{scope}/Relu"), "Relu", inputs, [t()]),
            LayerKind::MaxPool => {
                let attrs = [
                    t(),
                    nhwc(),
                    ("ksize", integers(&[1, 3, 3, 1])),
                    ("strides", integers(&[1, 2, 2, 1])),
                    ("padding", text("VALID")),
                ];
                nodes.add(format!("{scope}/MaxPool"), "MaxPool", inputs, attrs)
            }
            LayerKind::Add => nodes.add(format!("{scope}/add"), "AddV2", inputs, [t()]),
            LayerKind::Mean => {
                let axes = int32_tensor(&[2], &[1, 2]);
                let axes = nodes.constant(format!("{scope}/Mean/reduction_indices"), axes);
                let attrs = [t(), ("Tidx", kind(DataType::DtInt32)), ("keep_dims", Value::B(false))];
                nodes.add(format!("{scope}/Mean"), "Mean", [inputs[0].clone(), axes], attrs)
            }
            LayerKind::Classifier { .. } => {
                let kernel = read(nodes, "MatMul/ReadVariableOp", "kernel");
                let attrs = [t(), ("transpose_a", Value::B(false)), ("transpose_b", Value::B(false))];
                let product = nodes.add(format!("{scope}/MatMul"), "MatMul", [inputs[0].clone(), kernel], attrs);
                let bias = read(nodes, "BiasAdd/ReadVariableOp", "bias");
                let logits = nodes.add(format!("{scope}/BiasAdd"), "BiasAdd", [product, bias], [t(), nhwc()]);
                nodes.add(format!("{scope}/Softmax"), "Softmax", [logits], [t()])
            }
        };
        outputs.push(output);
    }
    outputs.pop().unwrap_or_default()
}

/// Adds the nodes that save and restore variables, given by key and type; the key is also the name of the handle.
pub(in crate::models) fn saver(nodes: &mut Nodes, variables: &[(String, DataType)]) -> SaverDef {
    let keys = || variables.iter().map(|(key, _)| key.as_str());
    let dtypes = || ("dtypes", kinds(variables.iter().map(|(_, dtype)| *dtype)));
    let prefix = nodes.add(
        "saver_filename",
        "Placeholder",
        NO_INPUTS,
        [("dtype", kind(DataType::DtString)), ("shape", shape(&[]))],
    );
    let names = nodes.constant("save/tensor_names", string_tensor(keys()));
    let slices = nodes.constant("save/shape_and_slices", string_tensor(keys().map(|_| "")));

    let mut inputs = vec![prefix.clone(), names.clone(), slices.clone()];
    for (key, dtype) in variables {
        let name = format!("save/{key}/Read");
        inputs.push(nodes.add(name, "ReadVariableOp", [key.clone()], [("dtype", kind(*dtype))]));
    }
    let mut saved = vec![prefix.clone()];
    // The ops take at least one tensor; a model without variables has nothing to save.
    if !variables.is_empty() {
        saved.push(format!("^{}", nodes.add("save/SaveV2", "SaveV2", inputs, [dtypes()])));
    }
    let saved = nodes.add("save/control_dependency", "Identity", saved, [("T", kind(DataType::DtString))]);

    let mut assigned = Vec::new();
    if !variables.is_empty() {
        nodes.add("save/RestoreV2", "RestoreV2", [prefix.clone(), names, slices], [dtypes()]);
    }
    for (position, (key, dtype)) in variables.iter().enumerate() {
        let value = if position == 0 { "save/RestoreV2".to_owned() } else { format!("save/RestoreV2:{position}") };
        let name = format!("save/{key}/Assign");
        let assign = nodes.add(name, "AssignVariableOp", [key.clone(), value], [("dtype", kind(*dtype))]);
        assigned.push(format!("^{assign}"));
    }
    let restore_all = nodes.add("save/restore_all", "NoOp", assigned, []);
    SaverDef {
        filename_tensor_name: format!("{prefix}:0"),
        save_tensor_name: format!("{saved}:0"),
        restore_op_name: restore_all,
        max_to_keep: 5,
        keep_checkpoint_every_n_hours: 10_000.0,
        version: saver_def::CheckpointFormatVersion::V2 as i32,
        ..SaverDef::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Network;
    use super::*;

    fn graph(network: Network) -> GraphDef {
        let model = saved_model(&Architecture::of(network));
        model.meta_graphs.into_iter().next().unwrap().graph_def.unwrap()
    }

    #[test]
    fn the_ops_are_those_of_the_keras_model() {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for node in graph(Network::ResNet50).node {
            *counts.entry(node.op).or_default() += 1;
        }
        for (op, count) in [
            ("Conv2D", 53),
            ("BiasAdd", 54),
            ("FusedBatchNormV3", 53),
            ("Relu", 49),
            ("AddV2", 16),
            ("Pad", 2),
            ("MaxPool", 1),
            ("Mean", 1),
            ("MatMul", 1),
            ("Softmax", 1),
            ("VarHandleOp", 320),
        ] {
            assert_eq!(counts.get(op), Some(&count), "{op}");
        }
    }

    #[test]
    fn names_are_unique_and_inputs_exist() {
        for network in Network::ALL {
            let graph = graph(network);
            let names: BTreeSet<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
            assert_eq!(names.len(), graph.node.len(), "{network:?}");
            for node in &graph.node {
                for input in &node.input {
                    let source = input.trim_start_matches('^').split(':').next().unwrap();
                    assert!(names.contains(source), "{} takes {input}", node.name);
                }
            }
        }
    }
}
