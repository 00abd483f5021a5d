//! Whole graphs: fetching, functions, fusion, and models that are wrong.

use std::collections::BTreeMap;

use super::constant::VariableSource;
use super::{LoadError, RunError, Session, StatusCode, Tensor, TensorData};
use crate::savedmodel::proto::{
    AttrValue, DataType, FunctionDef, FunctionDefLibrary, GraphDef, NameAttrList, NodeDef, OpDef, SignatureDef,
    TensorInfo, TensorProto, TensorShapeProto, attr_value, op_def, tensor_info,
};

struct NoVariables;

impl VariableSource for NoVariables {
    fn variable(&self, _: &str, name: &str) -> Result<Tensor, RunError> {
        Err(RunError::new(StatusCode::FailedPrecondition, format!("Could not find variable {name}.")))
    }
}

fn node(name: &str, op: &str, inputs: &[&str], attributes: Vec<(&str, attr_value::Value)>) -> NodeDef {
    NodeDef {
        name: name.to_owned(),
        op: op.to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        attr: attributes.into_iter().map(|(name, value)| (name.to_owned(), AttrValue::from(value))).collect(),
        ..NodeDef::default()
    }
}

fn placeholder(name: &str) -> NodeDef {
    node(name, "Placeholder", &[], vec![("dtype", attr_value::Value::Type(DataType::DtFloat as i32))])
}

fn tensor(tensor: TensorProto) -> Vec<(&'static str, attr_value::Value)> {
    vec![("value", attr_value::Value::Tensor(Box::new(tensor)))]
}

fn floats(name: &str, shape: &[i64], values: &[f32]) -> NodeDef {
    let proto = TensorProto {
        dtype: DataType::DtFloat as i32,
        tensor_shape: Some(TensorShapeProto::of(shape)),
        float_val: values.to_vec(),
        ..TensorProto::default()
    };
    node(name, "Const", &[], tensor(proto))
}

fn integers(name: &str, shape: &[i64], values: &[i32]) -> NodeDef {
    let proto = TensorProto {
        dtype: DataType::DtInt32 as i32,
        tensor_shape: Some(TensorShapeProto::of(shape)),
        int_val: values.to_vec(),
        ..TensorProto::default()
    };
    node(name, "Const", &[], tensor(proto))
}

fn list(values: &[i64]) -> attr_value::Value {
    attr_value::Value::List(Box::new(attr_value::ListValue { i: values.to_vec(), ..Default::default() }))
}

fn text(value: &'static str) -> attr_value::Value {
    attr_value::Value::S(bytes::Bytes::from_static(value.as_bytes()))
}

fn call(name: &str, function: &str, inputs: &[&str]) -> NodeDef {
    let function = NameAttrList { name: function.to_owned(), ..NameAttrList::default() };
    node(name, "StatefulPartitionedCall", inputs, vec![("f", attr_value::Value::Func(Box::new(function)))])
}

fn function(name: &str, arguments: &[&str], body: Vec<NodeDef>, results: &[(&str, &str)]) -> FunctionDef {
    let argument = |name: &&str| op_def::ArgDef { name: (*name).to_owned(), ..op_def::ArgDef::default() };
    FunctionDef {
        signature: Some(OpDef {
            name: name.to_owned(),
            input_arg: arguments.iter().map(argument).collect(),
            output_arg: results.iter().map(|(name, _)| argument(name)).collect(),
            ..OpDef::default()
        }),
        node_def: body,
        ret: results.iter().map(|&(name, tensor)| (name.to_owned(), tensor.to_owned())).collect(),
        ..FunctionDef::default()
    }
}

fn info(name: &str) -> TensorInfo {
    TensorInfo {
        encoding: Some(tensor_info::Encoding::Name(name.to_owned())),
        dtype: DataType::DtFloat as i32,
        tensor_shape: None,
    }
}

fn load_with(nodes: Vec<NodeDef>, functions: Vec<FunctionDef>, fetches: &[&str]) -> Result<Session, LoadError> {
    let inputs = nodes.iter().filter(|node| node.op == "Placeholder").map(|node| {
        let name = format!("{}:0", node.name);
        (name.clone(), info(&name))
    });
    let signature = SignatureDef {
        inputs: inputs.collect(),
        outputs: fetches.iter().map(|&name| (name.to_owned(), info(name))).collect(),
        ..SignatureDef::default()
    };
    let library = Some(FunctionDefLibrary { function: functions });
    let graph = GraphDef { node: nodes, library, ..GraphDef::default() };
    let signatures = BTreeMap::from([("serving_default".to_owned(), signature)]);
    Session::prepare(&graph, signatures, &NoVariables, 2)
}

fn load(nodes: Vec<NodeDef>, fetches: &[&str]) -> Result<Session, LoadError> {
    load_with(nodes, Vec::new(), fetches)
}

fn vector(values: &[f32]) -> Tensor {
    Tensor::floats(&[values.len()], values.to_vec()).unwrap()
}

/// A small residual block: padding, convolution, bias, batch norm, shortcut, activation.
fn block(bias: &[f32]) -> Vec<NodeDef> {
    let strides = || list(&[1, 1, 1, 1]);
    let training = attr_value::Value::B(false);
    let filter: Vec<f32> = (0..36).map(|value| value as f32 / 10.0 - 1.5).collect();
    vec![
        placeholder("x"),
        integers("paddings", &[4, 2], &[0, 0, 1, 1, 1, 1, 0, 0]),
        node("pad", "Pad", &["x", "paddings"], vec![]),
        floats("filter", &[3, 3, 2, 2], &filter),
        node("conv", "Conv2D", &["pad", "filter"], vec![("strides", strides()), ("padding", text("VALID"))]),
        floats("bias", &[2], bias),
        node("biased", "BiasAdd", &["conv", "bias"], vec![]),
        floats("gamma", &[2], &[1.5, -2.0]),
        floats("beta", &[2], &[0.25, 1.0]),
        floats("mean", &[2], &[0.5, 0.0]),
        floats("variance", &[2], &[4.0, 1.0]),
        node(
            "bn",
            "FusedBatchNormV3",
            &["biased", "gamma", "beta", "mean", "variance"],
            vec![("is_training", training), ("epsilon", attr_value::Value::F(0.001))],
        ),
        node("sum", "AddV2", &["x", "bn"], vec![]),
        node("relu", "Relu", &["sum"], vec![]),
    ]
}

#[test]
fn fusing_changes_nothing_but_the_speed() {
    let picture: Vec<f32> = (0..2 * 5 * 4 * 2).map(|value| (value as f32 * 0.7).sin()).collect();
    let picture = Tensor::floats(&[2, 5, 4, 2], picture).unwrap();
    // Fetching every node forbids fusing across it.
    let plain = load(block(&[0.1, 0.2]), &["pad:0", "conv:0", "biased:0", "bn:0", "sum:0", "relu:0"]).unwrap();
    let fused = load(block(&[0.1, 0.2]), &["relu:0"]).unwrap();
    assert!(fused.steps() < plain.steps(), "{} against {}", fused.steps(), plain.steps());
    let feeds = [("x:0", picture)];
    let expected = plain.run(&feeds, &["relu:0"]).unwrap();
    let result = fused.run(&feeds, &["relu:0"]).unwrap();
    assert_eq!(result[0].shape, [2, 5, 4, 2]);
    for (got, want) in result[0].as_floats().unwrap().iter().zip(expected[0].as_floats().unwrap()) {
        assert!((got - want).abs() < 1e-5, "{got} is not {want}");
    }
}

#[test]
fn a_large_batch_in_parts_has_the_bits_of_its_pictures() {
    let mut nodes = block(&[0.5, -0.25]);
    nodes.push(integers("axes", &[2], &[1, 2]));
    nodes.push(node("pooled", "Mean", &["relu", "axes"], vec![]));
    nodes.push(node("all", "Mean", &["relu", "every"], vec![]));
    nodes.push(integers("every", &[4], &[0, 1, 2, 3]));
    let session = load(nodes, &["pooled:0", "relu:0", "all:0"]).unwrap();
    let (count, side) = (3, 500);
    let picture = |index: usize| -> Vec<f32> {
        (0..side * side * 2).map(|place| ((place * 7 + index * 13) % 31) as f32 / 8.0 - 1.5).collect()
    };
    let whole = Tensor::floats(&[count, side, side, 2], (0..count).flat_map(picture).collect()).unwrap();
    assert_eq!(session.pictures_at_once(&whole, &["pooled:0", "relu:0"]), Some(2));
    // The mean of everything needs all pictures.
    assert_eq!(session.pictures_at_once(&whole, &["pooled:0", "all:0"]), None);
    let together = session.run(&[("x:0", whole)], &["pooled:0", "relu:0"]).unwrap();
    assert_eq!(together[0].shape, [count, 2]);
    for index in 0..count {
        let alone = Tensor::floats(&[1, side, side, 2], picture(index)).unwrap();
        let alone = session.run(&[("x:0", alone)], &["pooled:0", "relu:0"]).unwrap();
        for (alone, together) in alone.iter().zip(&together) {
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            let values = alone.as_floats().unwrap();
            let part = &together.as_floats().unwrap()[index * values.len()..][..values.len()];
            assert!(bits(values) == bits(part), "picture {index}");
        }
    }
    // What is wrong is said of the whole batch.
    let wrong = Tensor::floats(&[count, side, side, 3], vec![0.0; count * side * side * 3]).unwrap();
    let error = session.run(&[("x:0", wrong)], &["pooled:0"]).unwrap_err();
    assert!(error.message.contains("conv") || error.message.contains("depth"), "{}", error.message);
}

#[test]
fn mistakes_in_a_fused_step_name_the_node_that_tensorflow_names() {
    let session = load(block(&[0.0, 0.0]), &["relu:0"]).unwrap();
    let message = |shape: &[usize]| {
        let picture = Tensor::floats(shape, vec![0.0; shape.iter().product()]).unwrap();
        session.run(&[("x:0", picture)], &["relu:0"]).unwrap_err().message
    };
    let expected = "The first dimension of paddings must be the rank of inputs[4,2] [5,4,2]\n\t [[{{node pad}}]]";
    assert_eq!(message(&[5, 4, 2]), expected);
    let expected = "input depth must be evenly divisible by filter depth: 3 vs 2\n\t [[{{node biased}}]]";
    assert_eq!(message(&[1, 5, 4, 3]), expected);
    let wrong = Tensor::new(&[1], TensorData::Uint8(vec![1])).unwrap();
    let error = session.run(&[("x:0", wrong)], &["relu:0"]).unwrap_err();
    assert_eq!(error.message, "Expects arg[0] to be float but uint8 is provided");
    let error = session.run(&[], &["relu:0"]).unwrap_err();
    let expected = "You must feed a value for placeholder tensor 'x' with dtype float\n\t [[{{node x}}]]";
    assert_eq!(error.message, expected);
    assert_eq!(session.run(&[], &["nothing:0"]).unwrap_err().code, StatusCode::NotFound);
    assert_eq!(session.run(&[("y:0", vector(&[1.0]))], &["relu:0"]).unwrap_err().code, StatusCode::NotFound);
}

#[test]
fn both_sides_of_a_block_are_fused_when_both_are_convolutions() {
    let side = |name: &str, weights: &[f32]| {
        let (filter, bias) = (format!("{name}_filter"), format!("{name}_bias"));
        let conv = format!("{name}_conv");
        vec![
            floats(&filter, &[1, 1, 1, 2], weights),
            floats(&bias, &[2], &[0.5, 0.25]),
            node(&conv, "Conv2D", &["x", &filter], vec![("padding", text("VALID"))]),
            node(name, "BiasAdd", &[&conv, &bias], vec![]),
        ]
    };
    let mut nodes = vec![placeholder("x")];
    nodes.extend(side("left", &[1.0, -1.0]));
    nodes.extend(side("right", &[2.0, -3.0]));
    nodes.push(node("sum", "AddV2", &["left", "right"], vec![]));
    nodes.push(node("relu", "Relu", &["sum"], vec![]));
    let session = load(nodes, &["relu:0"]).unwrap();
    assert_eq!(session.steps(), 3, "the input and two convolutions");
    let result = session.run(&[("x:0", Tensor::floats(&[1, 1, 1, 1], vec![2.0]).unwrap())], &["relu:0"]).unwrap();
    assert_eq!(result[0], Tensor::floats(&[1, 1, 1, 2], vec![7.0, 0.0]).unwrap());
}

#[test]
fn a_shortcut_of_another_shape_is_stretched() {
    let nodes = vec![
        placeholder("x"),
        placeholder("y"),
        floats("filter", &[1, 1, 1, 2], &[1.0, -1.0]),
        node("conv", "Conv2D", &["x", "filter"], vec![("padding", text("VALID"))]),
        node("sum", "AddV2", &["conv", "y"], vec![]),
        node("relu", "Relu", &["sum"], vec![]),
    ];
    let session = load(nodes, &["relu:0"]).unwrap();
    let picture = Tensor::floats(&[1, 1, 2, 1], vec![1.0, 2.0]).unwrap();
    let result = session.run(&[("x:0", picture), ("y:0", vector(&[0.5, 1.5]))], &["relu:0"]).unwrap();
    assert_eq!(result[0], Tensor::floats(&[1, 1, 2, 2], vec![1.5, 0.5, 2.5, 0.0]).unwrap());
}

#[test]
fn functions_run_as_if_they_stood_in_place() {
    let inner = function("inner", &["a", "b"], vec![node("sum", "AddV2", &["a", "b"], vec![])], &[("r", "sum:z:0")]);
    let body = vec![
        call("call", "inner", &["x", "x"]),
        node("top", "TopKV2", &["call:output:0", "k:output:0"], vec![]),
        integers("k", &[], &[1]),
        node("passed", "Identity", &["top:values:0", "^call"], vec![]),
    ];
    let outer = function("outer", &["x"], body, &[("first", "passed:output:0"), ("second", "top:indices:0")]);
    let nodes = vec![placeholder("x"), call("served", "outer", &["x"])];
    let session = load_with(nodes, vec![inner, outer], &["served:0", "served:1"]).unwrap();
    let results = session.run(&[("x:0", vector(&[1.0, 4.0, 2.0]))], &["served:1", "served:0"]).unwrap();
    assert_eq!(results[0].data, TensorData::Int32(vec![1]));
    assert_eq!(results[1], vector(&[8.0]));
}

#[test]
fn graphs_that_do_not_end_are_refused() {
    let looping = vec![node("a", "Neg", &["b"], vec![]), node("b", "Neg", &["a"], vec![])];
    assert!(load(looping, &["a:0"]).is_err_and(|error| error.to_string().contains("depends on itself")));
    let passing = vec![node("a", "Identity", &["b"], vec![]), node("b", "Identity", &["a"], vec![])];
    assert!(load(passing, &["a:0"]).is_err_and(|error| error.to_string().contains("cyclic")));
    let recursive = function("f", &["x"], vec![call("again", "f", &["x"])], &[("r", "again:output:0")]);
    let nodes = vec![placeholder("x"), call("call", "f", &["x"])];
    let error = load_with(nodes, vec![recursive], &["call:0"]).err().unwrap();
    assert!(error.to_string().contains("nest too deep"), "{error}");
    let doubling: Vec<FunctionDef> = (0..40)
        .map(|level| {
            let next = format!("f{}", level + 1);
            let body = vec![
                call("a", &next, &["x"]),
                call("b", &next, &["x"]),
                node("sum", "AddV2", &["a:output:0", "b:output:0"], vec![]),
            ];
            function(&format!("f{level}"), &["x"], body, &[("r", "sum:z:0")])
        })
        .collect();
    let nodes = vec![placeholder("x"), call("call", "f0", &["x"])];
    assert!(load_with(nodes, doubling, &["call:0"]).is_err());
}

fn part(attribute: &'static str, function: &str) -> (&'static str, attr_value::Value) {
    let function = NameAttrList { name: function.to_owned(), ..NameAttrList::default() };
    (attribute, attr_value::Value::Func(Box::new(function)))
}

#[test]
fn branches_run_one_side_and_loops_run_until_they_say_no() {
    let doubled = function("doubled", &["x"], vec![node("sum", "AddV2", &["x", "x"], vec![])], &[("r", "sum:z:0")]);
    let negated = function("negated", &["x"], vec![node("n", "Neg", &["x"], vec![])], &[("r", "n:y:0")]);
    let small = vec![
        floats("bound", &[], &[100.0]),
        integers("all", &[1], &[0]),
        node("most", "Max", &["x", "all:output:0"], vec![]),
        node("less", "Less", &["most:output:0", "bound:output:0"], vec![]),
    ];
    let small = function("small", &["x"], small, &[("r", "less:z:0")]);
    let forever = function("forever", &["x"], vec![integers("one", &[], &[1])], &[("r", "one:output:0")]);
    let library = vec![doubled, negated, small, forever];
    let nodes = vec![
        placeholder("x"),
        integers("axis", &[1], &[0]),
        floats("zero", &[], &[0.0]),
        node("total", "Sum", &["x", "axis"], vec![]),
        node("positive", "Greater", &["total", "zero"], vec![]),
        node(
            "if",
            "StatelessIf",
            &["positive", "x"],
            vec![part("then_branch", "doubled"), part("else_branch", "negated")],
        ),
        node("while", "While", &["if"], vec![part("cond", "small"), part("body", "doubled")]),
        node("endless", "StatelessWhile", &["x"], vec![part("cond", "forever"), part("body", "negated")]),
    ];
    let session = load_with(nodes, library, &["if:0", "while:0", "endless:0"]).unwrap();
    for (x, branch, looped) in [([1.0, 4.0], [2.0, 8.0], [32.0, 128.0]), ([-3.0, 1.0], [3.0, -1.0], [192.0, -64.0])] {
        let results = session.run(&[("x:0", vector(&x))], &["if:0", "while:0"]).unwrap();
        assert_eq!(results, [vector(&branch), vector(&looped)]);
    }
    let error = session.run(&[("x:0", vector(&[1.0]))], &["endless:0"]).unwrap_err();
    assert_eq!(error.code, StatusCode::ResourceExhausted);
    assert!(error.message.contains("did not end"), "{}", error.message);
    // A branch that contains itself, and a function that is not there.
    let again = vec![node("i", "If", &["x", "x"], vec![part("then_branch", "f"), part("else_branch", "f")])];
    let again = function("f", &["x"], again, &[("r", "i:output:0")]);
    let nodes = vec![placeholder("x"), call("call", "f", &["x"])];
    assert!(load_with(nodes, vec![again], &["call:0"]).is_err_and(|error| error.to_string().contains("nest too deep")));
    let nodes = vec![placeholder("x"), node("w", "While", &["x"], vec![part("cond", "a"), part("body", "b")])];
    assert!(load_with(nodes, vec![], &["w:0"]).is_err_and(|error| error.to_string().contains("a is not defined")));
}

fn constant_text(name: &str, value: &'static [u8]) -> NodeDef {
    let proto = TensorProto {
        dtype: DataType::DtString as i32,
        tensor_shape: Some(TensorShapeProto::of(&[])),
        string_val: vec![bytes::Bytes::from_static(value)],
        ..TensorProto::default()
    };
    node(name, "Const", &[], tensor(proto))
}

/// Nodes that say whether the sum of `x` is above zero, as `positive`.
fn positive(colon: bool) -> Vec<NodeDef> {
    let of = |name: &str, output: &str| if colon { format!("{name}:{output}:0") } else { name.to_owned() };
    vec![
        integers("axis", &[1], &[0]),
        floats("zero", &[], &[0.0]),
        node("total", "Sum", &["x", &of("axis", "output")], vec![]),
        node("positive", "Greater", &[&of("total", "output"), &of("zero", "output")], vec![]),
        constant_text("words", b"too small"),
    ]
}

#[test]
fn assertions_of_a_graph_hold_back_what_depends_on_them() {
    let mut nodes = vec![placeholder("x")];
    nodes.extend(positive(false));
    nodes.push(node("check", "Assert", &["positive", "words", "x"], vec![]));
    nodes.push(node("group", "NoOp", &["^check"], vec![]));
    nodes.push(node("guarded", "Identity", &["x", "^group"], vec![]));
    nodes.push(node("y", "Neg", &["guarded"], vec![]));
    nodes.push(node("free", "Neg", &["x"], vec![]));
    let session = load(nodes, &["y:0", "free:0"]).unwrap();
    let ask = |x: &[f32], fetch: &str| session.run(&[("x:0", vector(x))], &[fetch]);
    assert_eq!(ask(&[1.0, -0.5], "y:0").unwrap(), [vector(&[-1.0, 0.5])]);
    assert_eq!(ask(&[-1.0], "free:0").unwrap(), [vector(&[1.0])]);
    let error = ask(&[-1.0], "y:0").unwrap_err();
    assert_eq!(error.code, StatusCode::InvalidArgument);
    assert_eq!(error.message, "assertion failed: [too small] [-1]\n\t [[{{node check}}]]");
}

#[test]
fn assertions_of_a_function_run_whoever_asks_and_also_behind_a_branch() {
    let mut fails = vec![constant_text("words", b"too small"), node("no", "Assert", &["c", "words:output:0"], vec![])];
    fails.push(node("r", "Identity", &["c", "^no"], vec![]));
    let bool_argument = |mut function: FunctionDef| {
        let signature = function.signature.as_mut().unwrap();
        for argument in signature.input_arg.iter_mut().chain(&mut signature.output_arg) {
            argument.r#type = DataType::DtBool as i32;
        }
        function
    };
    let fails = bool_argument(function("fails", &["c"], fails, &[("r", "r:output:0")]));
    let passes = vec![node("r", "Identity", &["c"], vec![])];
    let passes = bool_argument(function("passes", &["c"], passes, &[("r", "r:output:0")]));
    let mut body = positive(true);
    let sides = vec![part("then_branch", "passes"), part("else_branch", "fails")];
    body.push(node("guard", "If", &["positive:z:0", "positive:z:0"], sides));
    body.push(node("n", "Neg", &["x"], vec![]));
    let outer = function("outer", &["x"], body, &[("r", "n:y:0")]);
    let nodes = vec![placeholder("x"), call("call", "outer", &["x"])];
    let session = load_with(nodes, vec![passes, fails, outer], &["call:0"]).unwrap();
    assert_eq!(session.run(&[("x:0", vector(&[2.0]))], &["call:0"]).unwrap(), [vector(&[-2.0])]);
    let error = session.run(&[("x:0", vector(&[-2.0]))], &["call:0"]).unwrap_err();
    assert_eq!(error.message, "assertion failed: [too small]\n\t [[{{node no}}]]");
}

#[test]
fn a_chain_of_a_hundred_thousand_nodes_runs_without_recursion() {
    let mut nodes = vec![placeholder("n0")];
    nodes.extend((1..100_001).map(|number| node(&format!("n{number}"), "Neg", &[&format!("n{}", number - 1)], vec![])));
    let session = load(nodes, &["n100000:0"]).unwrap();
    assert_eq!(session.run(&[("n0:0", vector(&[3.0]))], &["n100000:0"]).unwrap(), [vector(&[3.0])]);
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let error = load(vec![placeholder("x"), node("y", "Cholesky", &["x"], vec![])], &["y:0"]).err().unwrap();
    let LoadError::UnsupportedOp { op, node: at, supported } = error else { panic!("{error}") };
    assert_eq!((op.as_str(), at.as_str()), ("Cholesky", "y"));
    assert!(supported.contains(&"Conv2D"));
    let error = load(vec![node("y", "Neg", &["gone"], vec![])], &["y:0"]).err().unwrap();
    assert!(error.to_string().contains("there is no node \"gone\""), "{error}");
    let error = load(vec![call("y", "gone", &[])], &["y:0"]).err().unwrap();
    assert!(error.to_string().contains("Function gone is not defined."), "{error}");
    let effect =
        vec![placeholder("x"), node("a", "AssignVariableOp", &["x"], vec![]), node("y", "Neg", &["x", "^a"], vec![])];
    assert!(matches!(load(effect, &["y:0"]), Err(LoadError::UnsupportedOp { .. })));
}

#[test]
fn a_variable_that_was_not_restored_fails_the_run_and_not_the_load() {
    let nodes = vec![
        placeholder("x"),
        node("handle", "VarHandleOp", &[], vec![("shared_name", text("weights"))]),
        node("read", "ReadVariableOp", &["handle"], vec![]),
        node("y", "AddV2", &["x", "read"], vec![]),
        node("z", "Neg", &["x"], vec![]),
    ];
    let session = load(nodes, &["y:0", "z:0"]).unwrap();
    let feeds = [("x:0", vector(&[1.0]))];
    let error = session.run(&feeds, &["y:0"]).unwrap_err();
    assert_eq!(error.code, StatusCode::FailedPrecondition);
    assert_eq!(error.message, "Could not find variable weights.\n\t [[{{node read}}]]");
    assert_eq!(session.run(&feeds, &["z:0"]).unwrap(), [vector(&[-1.0])]);
}

#[test]
fn constants_are_computed_once() {
    let nodes = vec![
        placeholder("x"),
        floats("a", &[2], &[4.0, 9.0]),
        node("root", "Sqrt", &["a"], vec![]),
        integers("shape", &[2], &[1, 2]),
        node("row", "Reshape", &["root", "shape"], vec![]),
        node("y", "Mul", &["x", "row"], vec![]),
    ];
    let session = load(nodes, &["y:0"]).unwrap();
    assert_eq!(session.steps(), 3);
    let result = session.run(&[("x:0", vector(&[10.0]))], &["y:0"]).unwrap();
    assert_eq!(result[0], Tensor::floats(&[1, 2], vec![20.0, 30.0]).unwrap());
}

#[test]
fn sixteen_callers_at_once_get_the_same_bits() {
    let session = load(block(&[0.1, 0.2]), &["relu:0"]).unwrap();
    let picture: Vec<f32> = (0..16 * 16 * 2).map(|value| (value as f32).cos()).collect();
    let feeds = [("x:0", Tensor::floats(&[1, 16, 16, 2], picture).unwrap())];
    let expected = session.run(&feeds, &["relu:0"]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(session.run(&feeds, &["relu:0"]).unwrap(), expected);
                }
            });
        }
    });
}

mod any_shape {
    use proptest::prelude::*;

    use super::*;
    use crate::inference::ops::testing::run_all;

    /// Shapes as a caller might send them: any rank, empty dimensions included.
    fn shape() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(0usize..5, 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_network_answers_or_explains(shape in shape()) {
            let session = load(block(&[0.1, 0.2]), &["relu:0"]).unwrap();
            let picture = Tensor::floats(&shape, vec![1.0; shape.iter().product()]).unwrap();
            if let Err(error) = session.run(&[("x:0", picture)], &["relu:0"]) {
                prop_assert_ne!(error.code, StatusCode::Internal);
            }
        }

        #[test]
        fn no_op_panics(
            op in prop::sample::select(crate::inference::ops::supported()),
            shapes in prop::collection::vec(shape(), 0..5),
            numbers in prop::collection::vec(-3i32..4, 0..5),
            kind in 0..3,
        ) {
            let mut inputs: Vec<Tensor> = shapes
                .iter()
                .map(|shape| {
                    let count = shape.iter().product();
                    let data = match kind {
                        0 => TensorData::Float(vec![0.5; count]),
                        1 => TensorData::Int32(vec![2; count]),
                        _ => TensorData::Bool(vec![true; count]),
                    };
                    Tensor::new(shape, data).unwrap()
                })
                .collect();
            inputs.push(Tensor::new(&[numbers.len()], TensorData::Int32(numbers)).unwrap());
            // Whatever it answers, it answers.
            let _ = run_all(op, &[("is_training", attr_value::Value::B(false))], &inputs);
            let windows = [
                ("padding", text("SAME")),
                ("ksize", list(&[1, 2, 3, 1])),
                ("strides", list(&[1, 2, 1, 1])),
                ("axis", attr_value::Value::I(-1)),
                ("begin_mask", attr_value::Value::I(2)),
            ];
            if op != "Squeeze" && !op.starts_with("ParseExample") {
                let _ = run_all(op, &windows, &inputs);
            }
        }
    }
}
