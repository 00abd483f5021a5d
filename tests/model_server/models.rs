//! Small SavedModels, written with the product's own writer and ops that TensorFlow 2.5 knows.

use std::collections::BTreeMap;
use std::path::Path;

use canary_lab::savedmodel::SavedModelWriter;
use canary_lab::savedmodel::proto::{
    AttrValue, DataType, GraphDef, MetaGraphDef, NodeDef, SavedModel, SignatureDef, TensorInfo, TensorProto,
    TensorShapeProto, VersionDef, attr_value, meta_graph_def, tensor_info,
};

use attr_value::Value;

const PREDICT: &str = "tensorflow/serving/predict";

/// A model under construction.
#[derive(Default)]
pub struct Model {
    nodes: Vec<NodeDef>,
    signatures: BTreeMap<String, SignatureDef>,
}

/// A tensor of a signature; `shape` has -1 for unknown sizes.
pub fn tensor(name: &str, dtype: DataType, shape: Option<&[i64]>) -> TensorInfo {
    let unknown = TensorShapeProto { dim: Vec::new(), unknown_rank: true };
    TensorInfo {
        encoding: Some(tensor_info::Encoding::Name(name.to_owned())),
        dtype: dtype as i32,
        tensor_shape: Some(shape.map_or(unknown, TensorShapeProto::of)),
    }
}

fn dtype(value: DataType) -> Value {
    Value::Type(value as i32)
}

impl Model {
    /// Adds a node.
    pub fn node(&mut self, name: &str, op: &str, inputs: &[&str], attributes: Vec<(&str, Value)>) {
        self.nodes.push(NodeDef {
            name: name.to_owned(),
            op: op.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            attr: attributes.into_iter().map(|(key, value)| (key.to_owned(), AttrValue::from(value))).collect(),
            ..NodeDef::default()
        });
    }

    /// Adds a placeholder.
    pub fn placeholder(&mut self, name: &str, element: DataType, shape: Option<&[i64]>) {
        let unknown = TensorShapeProto { dim: Vec::new(), unknown_rank: true };
        let shape = shape.map_or(unknown, TensorShapeProto::of);
        self.node(name, "Placeholder", &[], vec![("dtype", dtype(element)), ("shape", Value::Shape(shape))]);
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: &str, value: TensorProto) {
        let element = Value::Type(value.dtype);
        self.node(name, "Const", &[], vec![("dtype", element), ("value", Value::Tensor(Box::new(value)))]);
    }

    /// Adds a constant of floats.
    pub fn floats(&mut self, name: &str, shape: &[i64], values: Vec<f32>) {
        self.constant(name, TensorProto { float_val: values, ..of(DataType::DtFloat, shape) });
    }

    /// Adds a node with the one attribute `T`.
    pub fn typed(&mut self, name: &str, op: &str, inputs: &[&str], element: DataType) {
        self.node(name, op, inputs, vec![("T", dtype(element))]);
    }

    /// Adds a signature.
    pub fn signature(
        &mut self,
        name: &str,
        method: &str,
        inputs: Vec<(&str, TensorInfo)>,
        outputs: Vec<(&str, TensorInfo)>,
    ) {
        let named = |tensors: Vec<(&str, TensorInfo)>| {
            tensors.into_iter().map(|(alias, info)| (alias.to_owned(), info)).collect()
        };
        let signature = SignatureDef {
            inputs: named(inputs),
            outputs: named(outputs),
            method_name: method.to_owned(),
            ..SignatureDef::default()
        };
        self.signatures.insert(name.to_owned(), signature);
    }

    /// Writes the model as the version directory `directory`.
    pub fn write(self, directory: &Path) {
        let meta = meta_graph_def::MetaInfoDef {
            tags: vec!["serve".to_owned()],
            tensorflow_version: "2.5.0".to_owned(),
            ..Default::default()
        };
        let graph = GraphDef {
            node: self.nodes,
            versions: Some(VersionDef { producer: 716, ..VersionDef::default() }),
            ..GraphDef::default()
        };
        let meta_graph = MetaGraphDef {
            meta_info_def: Some(meta),
            graph_def: Some(graph),
            signature_def: self.signatures,
            ..MetaGraphDef::default()
        };
        let model = SavedModel { saved_model_schema_version: 1, meta_graphs: vec![meta_graph] };
        SavedModelWriter::create(directory).unwrap().finish(&model).unwrap().publish().unwrap();
    }
}

fn of(element: DataType, shape: &[i64]) -> TensorProto {
    TensorProto { dtype: element as i32, tensor_shape: Some(TensorShapeProto::of(shape)), ..TensorProto::default() }
}

fn strings(shape: &[i64], values: &[&'static str]) -> TensorProto {
    TensorProto { string_val: values.iter().map(|value| (*value).into()).collect(), ..of(DataType::DtString, shape) }
}

/// TensorFlow Serving's classic: `y = x / 2 + 2`, for tensors and for examples with a feature `x`.
pub fn half_plus_two(directory: &Path) {
    let mut model = Model::default();
    let float = DataType::DtFloat;
    model.floats("a", &[], vec![0.5]);
    model.floats("b", &[], vec![2.0]);
    model.placeholder("x", float, None);
    model.typed("scaled", "Mul", &["x", "a"], float);
    model.typed("y", "AddV2", &["scaled", "b"], float);

    model.placeholder("tf_example", DataType::DtString, Some(&[-1]));
    model.constant("names", strings(&[0], &[]));
    model.constant("key", strings(&[], &["x"]));
    model.floats("default", &[0], Vec::new());
    let list = |list| Value::List(Box::new(list));
    model.node(
        "parsed",
        "ParseExample",
        &["tf_example", "names", "key", "default"],
        vec![
            ("Nsparse", Value::I(0)),
            ("Ndense", Value::I(1)),
            ("sparse_types", list(attr_value::ListValue::default())),
            ("Tdense", list(attr_value::ListValue { r#type: vec![float as i32], ..Default::default() })),
            (
                "dense_shapes",
                list(attr_value::ListValue { shape: vec![TensorShapeProto::of(&[1])], ..Default::default() }),
            ),
        ],
    );
    model.typed("example_scaled", "Mul", &["parsed", "a"], float);
    model.typed("example_y", "AddV2", &["example_scaled", "b"], float);

    let any = || tensor("x:0", float, None);
    model.signature("serving_default", PREDICT, vec![("x", any())], vec![("y", tensor("y:0", float, None))]);
    let examples = || vec![("inputs", tensor("tf_example:0", DataType::DtString, Some(&[-1])))];
    let result = || tensor("example_y:0", float, Some(&[-1, 1]));
    let (classify, regress) = ("tensorflow/serving/classify", "tensorflow/serving/regress");
    model.signature("classify_x_to_y", classify, examples(), vec![("scores", result())]);
    model.signature("regress_x_to_y", regress, examples(), vec![("outputs", result())]);
    model.write(directory);
}

/// Gives every input back under its own name.
pub fn echo(directory: &Path, signatures: &BTreeMap<String, BTreeMap<String, DataType>>) {
    let mut model = Model::default();
    for (name, inputs) in signatures {
        if inputs.is_empty() {
            model.node("NoOp", "NoOp", &[], Vec::new());
            let none = tensor("NoOp", DataType::DtInvalid, None);
            model.signature(name, "", Vec::new(), vec![(name, none)]);
            continue;
        }
        let mut given = Vec::new();
        let mut echoed = Vec::new();
        for (alias, &element) in inputs {
            let (placeholder, identity) = (format!("{name}_{alias}"), format!("{name}_{alias}_echo"));
            model.placeholder(&placeholder, element, None);
            model.typed(&identity, "Identity", &[&placeholder], element);
            given.push((alias.as_str(), tensor(&format!("{placeholder}:0"), element, None)));
            echoed.push((alias.as_str(), tensor(&format!("{identity}:0"), element, None)));
        }
        model.signature(name, PREDICT, given, echoed);
    }
    model.write(directory);
}

/// ResNet50's beginning and end without its middle: the padded first convolution with its bias under the names that
/// Keras gives them, the mean over the picture, and a softmax over 1000 classes.
pub fn resnet_stem(directory: &Path) {
    const CHANNELS: usize = 4;
    const CLASSES: usize = 1000;
    let float = DataType::DtFloat;
    let spread = |count: usize| (0..count).map(|at| ((at * 37) % 101) as f32 / 1010.0 - 0.05).collect::<Vec<f32>>();
    let mut model = Model::default();
    model.placeholder("serving_default_input_1", float, Some(&[-1, 224, 224, 3]));
    let paddings = TensorProto { int_val: vec![0, 0, 3, 3, 3, 3, 0, 0], ..of(DataType::DtInt32, &[4, 2]) };
    model.constant("resnet50/conv1_pad/Pad/paddings", paddings);
    model.node(
        "resnet50/conv1_pad/Pad",
        "Pad",
        &["serving_default_input_1", "resnet50/conv1_pad/Pad/paddings"],
        vec![("T", dtype(float)), ("Tpaddings", dtype(DataType::DtInt32))],
    );
    model.floats("kernel", &[7, 7, 3, CHANNELS as i64], spread(7 * 7 * 3 * CHANNELS));
    let ones_and_twos = attr_value::ListValue { i: vec![1, 2, 2, 1], ..Default::default() };
    model.node(
        "resnet50/conv1_conv/Conv2D",
        "Conv2D",
        &["resnet50/conv1_pad/Pad", "kernel"],
        vec![
            ("T", dtype(float)),
            ("strides", Value::List(Box::new(ones_and_twos))),
            ("padding", Value::S("VALID".into())),
            ("data_format", Value::S("NHWC".into())),
        ],
    );
    model.floats("bias", &[CHANNELS as i64], spread(CHANNELS));
    model.typed("resnet50/conv1_conv/BiasAdd", "BiasAdd", &["resnet50/conv1_conv/Conv2D", "bias"], float);
    for (name, value) in [("scale", 1.0), ("offset", 0.0), ("average", 0.0), ("variance", 1.0)] {
        model.floats(name, &[CHANNELS as i64], vec![value; CHANNELS]);
    }
    let normalised = "resnet50/conv1_bn/FusedBatchNormV3";
    let inputs = ["resnet50/conv1_conv/BiasAdd", "scale", "offset", "average", "variance"];
    model.node(
        normalised,
        "FusedBatchNormV3",
        &inputs,
        vec![
            ("T", dtype(float)),
            ("U", dtype(float)),
            ("epsilon", Value::F(1.001e-5)),
            ("is_training", Value::B(false)),
            ("data_format", Value::S("NHWC".into())),
        ],
    );
    model.typed("resnet50/conv1_relu/Relu", "Relu", &[normalised], float);
    model.constant("axes", TensorProto { int_val: vec![1, 2], ..of(DataType::DtInt32, &[2]) });
    model.node(
        "resnet50/avg_pool/Mean",
        "Mean",
        &["resnet50/conv1_relu/Relu", "axes"],
        vec![("T", dtype(float)), ("Tidx", dtype(DataType::DtInt32)), ("keep_dims", Value::B(false))],
    );
    model.floats("dense", &[CHANNELS as i64, CLASSES as i64], spread(CHANNELS * CLASSES));
    model.typed("resnet50/predictions/MatMul", "MatMul", &["resnet50/avg_pool/Mean", "dense"], float);
    model.typed("resnet50/predictions/Softmax", "Softmax", &["resnet50/predictions/MatMul"], float);
    let input = tensor("serving_default_input_1:0", float, Some(&[-1, 224, 224, 3]));
    let output = tensor("resnet50/predictions/Softmax:0", float, Some(&[-1, 1000]));
    model.signature("serving_default", PREDICT, vec![("input_1", input)], vec![("predictions", output)]);
    model.write(directory);
}
