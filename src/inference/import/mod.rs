//! From a GraphDef to a [`Graph`]: starts at what the signatures name, follows inputs, and walks through function
//! calls as if their bodies stood in place of them.
//!
//! Everything is driven by lists of work, never by recursion, and every list has a bound: a cyclic graph, functions that
//! call themselves, or functions that double at each level end in an error.

mod checks;

use std::collections::HashMap;

use crate::inference::attributes::Attributes;
use crate::inference::constant::Constant;
use crate::inference::control::{Control, Flow};
use crate::inference::graph::{Graph, Node, NodeId, Op, Port};
use crate::inference::ops;
use crate::inference::status::{LoadError, RunError, StatusCode};
use crate::savedmodel::proto::{AttrValue, DataType, FunctionDef, GraphDef, NodeDef, SignatureDef, attr_value::Value};

/// Calls inside calls inside calls.
const MAX_CALL_DEPTH: usize = 64;
/// Function calls in all.
const MAX_CALLS: usize = 50_000;
/// Nodes after inlining.
const MAX_NODES: usize = 500_000;

/// Arguments of a branch's or loop's graph are numbered from here on, beyond all nodes of any body.
const ARGUMENTS: usize = usize::MAX / 2;

/// Ops that hand their input on unchanged.
const PASSING: &[&str] =
    &["Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot", "PlaceholderWithDefault", "EnsureShape"];

fn graph_error(message: String) -> LoadError {
    LoadError::Graph(RunError::invalid(message))
}

/// A graph or a function's body, with its nodes by name.
struct Body<'a> {
    nodes: &'a [NodeDef],
    index: HashMap<&'a str, usize>,
    function: Option<&'a FunctionDef>,
}

impl<'a> Body<'a> {
    fn new(nodes: &'a [NodeDef], function: Option<&'a FunctionDef>) -> Self {
        let index = nodes.iter().enumerate().map(|(position, node)| (node.name.as_str(), position)).collect();
        Self { nodes, index, function }
    }

    /// The function's name; the graph itself has none.
    fn name(&self) -> &'a str {
        self.function.and_then(|function| function.signature.as_ref()).map_or("", |signature| &signature.name)
    }

    fn argument(&self, name: &str) -> Option<usize> {
        self.function?.signature.as_ref()?.input_arg.iter().position(|argument| argument.name == name)
    }
}

/// One call of a function; the first frame is the graph itself.
struct Frame {
    body: usize,
    /// The frame and the node that called, or `None` for the graph.
    caller: Option<(usize, usize)>,
    depth: usize,
    /// For a branch's or loop's graph: how many of the caller's inputs come before its arguments. Arguments are then
    /// inputs of that graph, but handles of variables are followed to the caller.
    border: Option<usize>,
    built: HashMap<usize, NodeId>,
    calls: HashMap<usize, usize>,
}

/// An output of a node of a frame.
#[derive(Debug, Clone, Copy)]
struct Place {
    frame: usize,
    node: usize,
    output: usize,
}

struct Importer<'a> {
    bodies: Vec<Body<'a>>,
    functions: HashMap<&'a str, usize>,
    /// Which bodies hold assertions, or name functions that do.
    asserting: Vec<bool>,
    frames: Vec<Frame>,
    fed: HashMap<(usize, usize), String>,
    graph: Graph,
    /// Nodes whose inputs are still to be resolved.
    open: Vec<(NodeId, usize, usize)>,
    /// Nodes made so far, in all graphs.
    made: usize,
}

/// Builds the graph that computes all outputs of `signatures` from their inputs.
pub(crate) fn import<'s>(
    graph: &GraphDef,
    signatures: impl Iterator<Item = &'s SignatureDef> + Clone,
) -> Result<Graph, LoadError> {
    let mut bodies = vec![Body::new(&graph.node, None)];
    let mut functions = HashMap::new();
    for function in graph.library.iter().flat_map(|library| &library.function) {
        let name = function.signature.as_ref().map_or("", |signature| signature.name.as_str());
        functions.insert(name, bodies.len());
        bodies.push(Body::new(&function.node_def, Some(function)));
    }
    let top = Frame { body: 0, caller: None, depth: 0, border: None, built: HashMap::new(), calls: HashMap::new() };
    let mut importer = Importer {
        asserting: checks::asserting(&bodies),
        bodies,
        functions,
        frames: vec![top],
        fed: HashMap::new(),
        graph: Graph::empty(),
        open: Vec::new(),
        made: 0,
    };
    let inputs = signatures.clone().flat_map(|signature| signature.inputs.values());
    for name in inputs.filter_map(|info| info.tensor_name()) {
        let (node, output) = importer.tensor(0, name)?;
        importer.fed.insert((node, output), name.to_owned());
    }
    for name in importer.fed.values().cloned().collect::<Vec<_>>() {
        let port = importer.port(0, &name)?;
        importer.graph.feeds.insert(name, port.node);
    }
    for info in signatures.flat_map(|signature| signature.outputs.values()) {
        // An initialisation op is listed as an output without a type; it has no value.
        if info.dtype == DataType::DtInvalid as i32 {
            continue;
        }
        let Some(name) = info.tensor_name() else { continue };
        let port = importer.port(0, name)?;
        importer.graph.fetches.insert(name.to_owned(), port);
        let checks = importer.checks_of_tensor(name)?;
        if !checks.is_empty() {
            importer.graph.checks.insert(name.to_owned(), checks);
        }
    }
    importer.resolve_all()?;
    importer.graph.sorted()
}

impl<'a> Importer<'a> {
    fn body(&self, frame: usize) -> &Body<'a> {
        &self.bodies[self.frames[frame].body]
    }

    fn definition(&self, frame: usize, node: usize) -> &'a NodeDef {
        &self.bodies[self.frames[frame].body].nodes[node]
    }

    /// The node and output that a tensor's name means, without going through calls.
    fn tensor(&self, frame: usize, text: &str) -> Result<(usize, usize), LoadError> {
        let body = self.body(frame);
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let node = *body.index.get(name).ok_or_else(|| {
            let text = format!("a tensor is named {text:?}, but there is no node {name:?}");
            LoadError::Graph(RunError::new(StatusCode::NotFound, text))
        })?;
        let number = |part: &str| part.parse::<usize>().map_err(|_| graph_error(format!("{text:?} names no tensor")));
        let output = match (parts.next(), parts.next()) {
            (None, _) => 0,
            (Some(index), None) if body.function.is_none() => number(index)?,
            (Some(argument), index) => {
                let index = index.map_or(Ok(0), number)?;
                self.first_output(&body.nodes[node], argument)? + index
            }
        };
        Ok((node, output))
    }

    /// Where the outputs of this name begin among all outputs of a node of a function's body.
    fn first_output(&self, node: &NodeDef, argument: &str) -> Result<usize, LoadError> {
        if let Some(&function) = self.functions.get(node.op.as_str()) {
            let signature = self.bodies[function].function.and_then(|function| function.signature.as_ref());
            let position = signature.and_then(|s| s.output_arg.iter().position(|output| output.name == argument));
            return position.ok_or_else(|| graph_error(format!("function `{}` has no result {argument:?}", node.op)));
        }
        ops::output_offset(&node.op, argument, &Attributes(node.attr.clone()))
            .ok_or_else(|| graph_error(format!("op `{}` of node `{}` has no output {argument:?}", node.op, node.name)))
    }

    /// The node that really computes a tensor: through arguments, calls and ops that change nothing.
    fn place(&mut self, frame: usize, text: &str) -> Result<Place, LoadError> {
        let (mut frame, mut text) = (frame, text.to_owned());
        for _ in 0..MAX_NODES {
            let name = text.split(':').next().unwrap_or_default();
            if let Some(argument) = self.body(frame).argument(name) {
                let offset = match text.split(':').nth(1) {
                    None => 0,
                    Some(part) => part.parse().map_err(|_| graph_error(format!("{text:?} names no tensor")))?,
                };
                let border = self.frames[frame].border;
                if border.is_some() && !self.is_handle(frame, argument) {
                    return Ok(Place { frame, node: ARGUMENTS + argument, output: 0 });
                }
                let (caller, node) = self.frames[frame]
                    .caller
                    .ok_or_else(|| graph_error(format!("{text:?} is an argument of no function")))?;
                let definition = self.definition(caller, node);
                data_input(definition, argument + offset + border.unwrap_or(0))?.clone_into(&mut text);
                frame = caller;
                continue;
            }
            let (node, output) = self.tensor(frame, &text)?;
            let definition = self.definition(frame, node);
            if frame == 0 && self.fed.contains_key(&(node, output)) {
                return Ok(Place { frame, node, output });
            }
            if PASSING.contains(&definition.op.as_str()) {
                data_input(definition, output)?.clone_into(&mut text);
                continue;
            }
            if let Some(function) = self.callee(definition)? {
                let inner = self.enter(frame, node, function)?;
                text = self.result(inner, output)?;
                frame = inner;
                continue;
            }
            return Ok(Place { frame, node, output });
        }
        Err(graph_error(format!("following {text:?} does not end: the graph is cyclic")))
    }

    /// Whether an argument of the function of a frame is a variable's handle.
    fn is_handle(&self, frame: usize, argument: usize) -> bool {
        let signature = self.body(frame).function.and_then(|function| function.signature.as_ref());
        let argument = signature.and_then(|signature| signature.input_arg.get(argument));
        argument.is_some_and(|argument| argument.r#type == DataType::DtResource as i32)
    }

    /// The function that a node calls, if it is a call.
    fn callee(&self, node: &NodeDef) -> Result<Option<usize>, LoadError> {
        let name = match node.op.as_str() {
            "PartitionedCall" | "StatefulPartitionedCall" => match node.attr.get("f").and_then(|f| f.value.as_ref()) {
                Some(Value::Func(function)) => function.name.as_str(),
                _ => return Err(graph_error(format!("node `{}` calls no function", node.name))),
            },
            op => match self.functions.get(op) {
                Some(&function) => return Ok(Some(function)),
                None => return Ok(None),
            },
        };
        let missing = || {
            let text = format!("Function {name} is not defined.");
            LoadError::Graph(RunError::new(StatusCode::NotFound, text).at(&node.name))
        };
        self.functions.get(name).copied().map(Some).ok_or_else(missing)
    }

    /// The frame of a call, made when it is first entered.
    fn enter(&mut self, frame: usize, node: usize, function: usize) -> Result<usize, LoadError> {
        if let Some(&inner) = self.frames[frame].calls.get(&node) {
            return Ok(inner);
        }
        let depth = self.frames[frame].depth + 1;
        if depth > MAX_CALL_DEPTH || self.frames.len() > MAX_CALLS {
            let name = &self.definition(frame, node).name;
            return Err(graph_error(format!("the calls in node `{name}` nest too deep or are too many: recursion?")));
        }
        let inner = self.frames.len();
        self.frames.push(Frame {
            body: function,
            caller: Some((frame, node)),
            depth,
            border: None,
            built: HashMap::new(),
            calls: HashMap::new(),
        });
        self.frames[frame].calls.insert(node, inner);
        Ok(inner)
    }

    /// The name, inside its body, of a function's result.
    fn result(&self, frame: usize, output: usize) -> Result<String, LoadError> {
        let function = self.body(frame).function;
        let signature = function.and_then(|function| function.signature.as_ref());
        let name = signature.and_then(|signature| signature.output_arg.get(output)).map(|result| &result.name);
        let text = name.and_then(|name| function?.ret.get(name));
        text.cloned().ok_or_else(|| {
            let function = signature.map_or("", |signature| signature.name.as_str());
            graph_error(format!("function `{function}` has no result {output}"))
        })
    }

    /// The port of a tensor; its node is made when it is first needed.
    fn port(&mut self, frame: usize, text: &str) -> Result<Port, LoadError> {
        let place = self.place(frame, text)?;
        Ok(Port { node: self.node_at(place)?, output: place.output })
    }

    fn node_at(&mut self, place: Place) -> Result<NodeId, LoadError> {
        if let Some(&node) = self.frames[place.frame].built.get(&place.node) {
            return Ok(node);
        }
        self.made += 1;
        if self.made > MAX_NODES {
            return Err(graph_error(format!("the graph has more than {MAX_NODES} nodes")));
        }
        let made = self.make(place)?;
        let node = self.graph.nodes.len();
        self.frames[place.frame].built.insert(place.node, node);
        self.graph.nodes.push(made);
        self.open.push((node, place.frame, place.node));
        Ok(node)
    }

    fn make(&mut self, place: Place) -> Result<Node, LoadError> {
        let definition = self.definition(place.frame, place.node);
        let name = definition.name.clone();
        let attributes = self.attributes(place.frame, definition);
        let at = |error: RunError| LoadError::Graph(error.at(&definition.name));
        let fed = place.frame == 0 && self.fed.contains_key(&(place.node, place.output));
        let op = match definition.op.as_str() {
            op if fed || op == "Placeholder" => {
                let dtype = ["dtype", "T", "out_type"].iter().find(|name| attributes.0.contains_key(**name));
                let dtype = attributes.dtype(dtype.unwrap_or(&"dtype"), DataType::DtFloat).map_err(at)?;
                let shape = attributes.shape("shape").filter(|shape| !shape.unknown_rank && !shape.dim.is_empty());
                Op::Input { dtype, shape: shape.map(partial_shape_text) }
            }
            "Const" => match attributes.tensor("value") {
                Some(tensor) => Op::Constant(Constant::Proto(Box::new(tensor.clone()))),
                None => return Err(at(RunError::invalid("a Const without a value"))),
            },
            "VariableV2" | "Variable" => Op::Constant(Constant::Variable { handle: name.clone(), name: name.clone() }),
            "ReadVariableOp" => {
                let handle = self.place(place.frame, data_input(definition, 0)?)?;
                let handle = self.definition(handle.frame, handle.node);
                if handle.op != "VarHandleOp" {
                    return Err(at(RunError::invalid(format!("it reads `{}`, which is no variable", handle.name))));
                }
                let shared = Attributes(handle.attr.clone()).text("shared_name", "").map_err(at)?;
                let called = if shared.is_empty() { handle.name.clone() } else { shared };
                Op::Constant(Constant::Variable { handle: handle.name.clone(), name: called })
            }
            op if Flow::of(op).is_some() => Op::Control(Box::new(self.control(place, definition)?)),
            op if ops::is_supported(op) => Op::Call { op: op.to_owned(), attributes },
            op => return Err(LoadError::UnsupportedOp { op: op.to_owned(), node: name, supported: ops::supported() }),
        };
        Ok(Node { name, op, inputs: Vec::new() })
    }

    /// The graphs of a branch or loop.
    fn control(&mut self, place: Place, definition: &NodeDef) -> Result<Control<Graph>, LoadError> {
        let wrong = || graph_error(format!("node `{}` (op `{}`) lacks a function", definition.name, definition.op));
        let flow = Flow::of(&definition.op).ok_or_else(wrong)?;
        let named = |name: &str| match definition.attr.get(name).and_then(|attribute| attribute.value.as_ref()) {
            Some(Value::Func(function)) => Ok(function.name.as_str()),
            _ => Err(wrong()),
        };
        let functions = match flow {
            Flow::If => vec![named("then_branch")?, named("else_branch")?],
            Flow::While => vec![named("cond")?, named("body")?],
            Flow::Case => match definition.attr.get("branches").and_then(|attribute| attribute.value.as_ref()) {
                Some(Value::List(list)) => list.func.iter().map(|function| function.name.as_str()).collect(),
                _ => return Err(wrong()),
            },
        };
        let mut parts = Vec::new();
        let mut outputs = Vec::new();
        for name in functions {
            let function = *self.functions.get(name).ok_or_else(|| {
                let text = format!("Function {name} is not defined.");
                LoadError::Graph(RunError::new(StatusCode::NotFound, text).at(&definition.name))
            })?;
            let (graph, results) = self.part(place, definition, function, flow.choosing_inputs())?;
            // A loop's condition has a result of its own; all other parts give the node's outputs.
            outputs = results;
            parts.push(graph);
        }
        if parts.is_empty() {
            return Err(wrong());
        }
        Ok(Control { flow, parts, outputs })
    }

    /// One function of a branch or loop as a graph of its own, and the outputs that its results are.
    fn part(
        &mut self,
        place: Place,
        definition: &NodeDef,
        function: usize,
        border: usize,
    ) -> Result<(Graph, Vec<usize>), LoadError> {
        let depth = self.frames[place.frame].depth + 1;
        if depth > MAX_CALL_DEPTH || self.frames.len() > MAX_CALLS {
            let name = &definition.name;
            return Err(graph_error(format!("the calls in node `{name}` nest too deep or are too many: recursion?")));
        }
        let inner = self.frames.len();
        self.frames.push(Frame {
            body: function,
            caller: Some((place.frame, place.node)),
            depth,
            border: Some(border),
            built: HashMap::new(),
            calls: HashMap::new(),
        });
        let outer = std::mem::replace(&mut self.graph, Graph::empty());
        let outer_open = std::mem::take(&mut self.open);
        let signature = self.body(inner).function.and_then(|function| function.signature.as_ref());
        let (arguments, results) = signature.map_or((&[][..], &[][..]), |s| (&s.input_arg[..], &s.output_arg[..]));
        let handle = |dtype: i32| dtype == DataType::DtResource as i32;
        for (number, argument) in arguments.iter().enumerate().filter(|(_, argument)| !handle(argument.r#type)) {
            let node = self.graph.nodes.len();
            let dtype = DataType::try_from(argument.r#type).unwrap_or(DataType::DtInvalid);
            let op = Op::Input { dtype, shape: None };
            self.graph.nodes.push(Node { name: argument.name.clone(), op, inputs: Vec::new() });
            self.frames[inner].built.insert(ARGUMENTS + number, node);
            let position = self.graph.feeds.len().to_string();
            self.graph.feeds.insert(position, node);
        }
        let mut outputs = Vec::new();
        for (number, _) in results.iter().enumerate().filter(|(_, result)| !handle(result.r#type)) {
            let text = self.result(inner, number)?;
            let port = self.port(inner, &text)?;
            self.graph.fetches.insert(outputs.len().to_string(), port);
            outputs.push(number);
        }
        let checks = self.checks_of_body(inner)?;
        if !checks.is_empty() {
            self.graph.checks.insert(String::new(), checks);
        }
        self.resolve_all()?;
        self.open = outer_open;
        let graph = std::mem::replace(&mut self.graph, outer);
        Ok((graph.sorted()?, outputs))
    }

    /// A node's attributes; inside a function those that name an attribute of the call are replaced by it.
    fn attributes(&self, frame: usize, definition: &NodeDef) -> Attributes {
        let mut attributes = definition.attr.clone();
        // Free text that no op reads.
        attributes.retain(|name, _| !name.starts_with('_'));
        for value in attributes.values_mut() {
            let mut level = frame;
            while let (Some(Value::Placeholder(name)), Some((caller, node))) = (&value.value, self.frames[level].caller)
            {
                let found: Option<&AttrValue> = self.definition(caller, node).attr.get(name);
                let Some(found) = found else { break };
                *value = found.clone();
                level = caller;
            }
        }
        Attributes(attributes)
    }

    fn resolve_all(&mut self) -> Result<(), LoadError> {
        while let Some((node, frame, position)) = self.open.pop() {
            let definition = self.definition(frame, position);
            for control in definition.input.iter().filter_map(|input| input.strip_prefix('^')) {
                self.check_control(frame, control)?;
            }
            let control = Flow::of(&definition.op).filter(|_| matches!(self.graph.nodes[node].op, Op::Control(_)));
            if control.is_none() && !matches!(self.graph.nodes[node].op, Op::Call { .. }) {
                continue;
            }
            let handles = control.map(|flow| (flow.choosing_inputs(), Self::input_types(definition)));
            let mut inputs = Vec::new();
            for (number, input) in definition.input.iter().filter(|input| !input.starts_with('^')).enumerate() {
                // A branch or loop finds variables by itself.
                let handle = handles.as_ref().is_some_and(|(before, types)| {
                    number.checked_sub(*before).and_then(|number| types.get(number)) == Some(&DataType::DtResource)
                });
                if !handle {
                    inputs.push(self.port(frame, input)?);
                }
            }
            self.graph.nodes[node].inputs = inputs;
        }
        Ok(())
    }

    /// The types of what a branch or loop hands to its functions.
    fn input_types(definition: &NodeDef) -> Vec<DataType> {
        let attributes = Attributes(definition.attr.clone());
        let of = |name| attributes.dtypes(name).ok().filter(|types: &Vec<DataType>| !types.is_empty());
        of("Tin").or_else(|| of("T")).unwrap_or_default()
    }

    /// A control input only orders side effects. No supported op has any but assertions, which `checks.rs` looks for, so
    /// it is enough that this one is supported.
    fn check_control(&self, frame: usize, name: &str) -> Result<(), LoadError> {
        let body = self.body(frame);
        let Some(&node) = body.index.get(name) else {
            return if body.argument(name).is_some() {
                Ok(())
            } else {
                Err(graph_error(format!("a control input names {name:?}, which is no node")))
            };
        };
        let definition = &body.nodes[node];
        let op = definition.op.as_str();
        let silent = ["NoOp", "Const", "Placeholder", "ReadVariableOp", "VarHandleOp", "VariableV2"].contains(&op);
        if silent
            || PASSING.contains(&op)
            || ops::is_supported(op)
            || Flow::of(op).is_some()
            || self.callee(definition)?.is_some()
        {
            return Ok(());
        }
        Err(LoadError::UnsupportedOp { op: op.to_owned(), node: definition.name.clone(), supported: ops::supported() })
    }
}

/// The data input of this number; control inputs come after all data inputs.
fn data_input(node: &NodeDef, number: usize) -> Result<&str, LoadError> {
    let input = node.input.iter().filter(|input| !input.starts_with('^')).nth(number);
    input
        .map(String::as_str)
        .ok_or_else(|| graph_error(format!("node `{}` (op `{}`) has no input {number}", node.name, node.op)))
}

fn partial_shape_text(shape: &crate::savedmodel::proto::TensorShapeProto) -> String {
    let sizes: Vec<String> =
        shape.dim.iter().map(|dim| if dim.size < 0 { "?".to_owned() } else { dim.size.to_string() }).collect();
    format!("[{}]", sizes.join(","))
}
