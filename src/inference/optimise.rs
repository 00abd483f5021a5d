//! Makes the graph cheaper to run without changing what it computes.
//!
//! First, what depends on constants alone is computed once. Then each convolution and matrix product with constant
//! weights takes in what follows it: biases, batch norms, and factors and summands for each channel go into the weights;
//! the addition of a shortcut and the activation go into the last step of the sum; zero padding in front becomes
//! part of the window. The weights are packed, one at a time, so that the model is never in memory twice.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::constant::{Constant, Value, VariableSource};
use super::context::Context;
use super::fused::{Convolution, Depthwise, Keep, PadStage, Pooling, Product};
use super::graph::{Graph, NodeId, Op, Port};
use super::kernel::{Activation, Instructions, PackedMatrix};
use super::ops;
use super::status::{LoadError, RunError};
use super::tensor::Tensor;
use super::window::{Padding, Window};

/// Results of constant folding beyond this are computed in each run instead of being kept.
const MAX_FOLDED_BYTES: usize = 256 << 20;

/// Folds and fuses; `variables` gives the weights.
pub(crate) fn optimise(
    mut graph: Graph,
    variables: &dyn VariableSource,
    context: &Context,
) -> Result<Graph, LoadError> {
    fold_constants(&mut graph, variables, context);
    let graph = graph.sorted()?;
    let mut fusion = Fusion::new(graph, variables);
    for node in 0..fusion.graph.nodes.len() {
        fusion.fuse(node);
    }
    fusion.graph.sorted()
}

/// Computes nodes that read only constants. What fails is left to fail in the run that needs it.
fn fold_constants(graph: &mut Graph, variables: &dyn VariableSource, context: &Context) {
    let mut beyond_first = vec![false; graph.nodes.len()];
    for port in graph.readers().keys().filter(|port| port.output > 0) {
        beyond_first[port.node] = true;
    }
    for (node, &beyond_first) in beyond_first.iter().enumerate() {
        let Some((op, attributes)) = graph.nodes[node].call() else { continue };
        let inputs = &graph.nodes[node].inputs;
        if inputs.is_empty() || beyond_first {
            continue;
        }
        let constants = inputs.iter().map(|port| match &graph.nodes[port.node].op {
            Op::Constant(constant) => Some(constant),
            _ => None,
        });
        let Some(constants) = constants.collect::<Option<Vec<_>>>() else { continue };
        let Ok(mut values) = constants.iter().map(|c| c.value(variables)).collect::<Result<Vec<_>, _>>() else {
            continue;
        };
        let result = ops::build(op, attributes).and_then(|kernel| kernel(&mut values, context));
        let Some(value) = result.ok().and_then(|results| results.into_iter().next()) else { continue };
        if value.len().saturating_mul(value.dtype().size().unwrap_or(64)) <= MAX_FOLDED_BYTES {
            graph.nodes[node].op = Op::Constant(Constant::Ready(value));
            graph.nodes[node].inputs.clear();
        }
    }
}

struct Fusion<'a> {
    graph: Graph,
    variables: &'a dyn VariableSource,
    /// The one reader of a port that has no other and is not fetched.
    only_reader: HashMap<Port, NodeId>,
    /// Nodes of which more than the first output is read.
    beyond_first: Vec<bool>,
    /// Nodes that a fused step has taken in.
    taken: Vec<bool>,
}

/// A fused step, and the chain of nodes that it replaces, the last of which it stands for.
struct Fused {
    op: Op,
    inputs: Vec<Port>,
    members: Vec<NodeId>,
}

/// What follows a convolution, as one factor and one summand for each channel, and what comes after.
struct Chain {
    members: Vec<NodeId>,
    last: NodeId,
    /// Both in double precision: what is folded is rounded once, as a weight.
    scale: Vec<f64>,
    shift: Vec<f64>,
    activation: Activation,
    residual: Option<Port>,
    blamed: NodeId,
    fused: bool,
}

impl Chain {
    /// What each sum begins with.
    fn bias(&self) -> Vec<f32> {
        self.shift.iter().copied().map(rounded).collect()
    }
}

fn rounded(value: f64) -> f32 {
    value as f32
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

impl<'a> Fusion<'a> {
    fn new(graph: Graph, variables: &'a dyn VariableSource) -> Self {
        let readers = graph.readers();
        let mut only_reader = HashMap::new();
        let mut beyond_first = vec![false; graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            for port in &node.inputs {
                if readers.get(port) == Some(&1) {
                    only_reader.insert(*port, id);
                }
                if port.output > 0 {
                    beyond_first[port.node] = true;
                }
            }
        }
        for port in graph.fetches.values().filter(|port| port.output > 0) {
            beyond_first[port.node] = true;
        }
        let taken = vec![false; graph.nodes.len()];
        Self { graph, variables, only_reader, beyond_first, taken }
    }

    /// The float value of a constant input, if it is one.
    fn floats(&self, port: Port) -> Option<Value> {
        self.constant(port).filter(|value| value.as_floats().is_some())
    }

    fn constant(&self, port: Port) -> Option<Value> {
        match &self.graph.nodes[port.node].op {
            Op::Constant(constant) => constant.value(self.variables).ok(),
            _ => None,
        }
    }

    fn is_constant(&self, port: Port) -> bool {
        matches!(self.graph.nodes[port.node].op, Op::Constant(_))
    }

    fn fuse(&mut self, node: NodeId) {
        // A node that cannot be fused keeps its kernel, which also reports what is wrong with it.
        let fused = match self.graph.nodes[node].call().map(|(op, _)| op) {
            Some("Conv2D") => self.fuse_convolution(node),
            Some("DepthwiseConv2dNative") => self.fuse_depthwise(node),
            Some("MatMul") => self.fuse_product(node),
            Some("MaxPool") => self.fuse_pooling(node, Keep::Largest),
            Some("AvgPool") => self.fuse_pooling(node, Keep::Mean),
            _ => None,
        };
        let Some(Fused { op, inputs, members }) = fused else { return };
        for &member in &members {
            self.taken[member] = true;
        }
        if let Some(&last) = members.last() {
            let target = &mut self.graph.nodes[last];
            target.op = op;
            target.inputs = inputs;
        }
    }

    fn fuse_convolution(&self, node: NodeId) -> Option<Fused> {
        let (_, attributes) = self.graph.nodes[node].call()?;
        let [input, filter] = self.graph.nodes[node].inputs[..] else { return None };
        if attributes.text("data_format", "NHWC").ok()? != "NHWC" {
            return None;
        }
        let filter = self.floats(filter)?;
        let [height, width, channels, outputs] = filter.shape[..] else { return None };
        let window = Window::read(attributes, Some([height, width])).ok()?;
        let (input, pad) = self.padding_before(input, &window);
        let chain = self.chain(node, outputs, 4);
        let weights = filter.as_floats()?;
        let packed = PackedMatrix::pack(Instructions::detect(), height * width * channels, outputs, |term, row| {
            let values = &weights[term * outputs..][..outputs];
            for ((target, value), scale) in row.iter_mut().zip(values).zip(&chain.scale) {
                *target = rounded(f64::from(*value) * scale);
            }
        });
        let convolution = Convolution {
            product: Product::Windows(window),
            weights: packed,
            transformed: OnceLock::new(),
            channels,
            bias: chain.bias(),
            residual: chain.residual.is_some(),
            activation: chain.activation,
            pad,
            blamed: self.graph.nodes[chain.blamed].name.clone(),
            fused: chain.fused,
        };
        let inputs = std::iter::once(input).chain(chain.residual).collect();
        Some(Fused { op: Op::Convolution(Box::new(convolution)), inputs, members: chain.members })
    }

    fn fuse_depthwise(&self, node: NodeId) -> Option<Fused> {
        let (_, attributes) = self.graph.nodes[node].call()?;
        let [input, filter] = self.graph.nodes[node].inputs[..] else { return None };
        if attributes.text("data_format", "NHWC").ok()? != "NHWC" {
            return None;
        }
        let filter = self.floats(filter)?;
        let [height, width, channels, multiplier] = filter.shape[..] else { return None };
        let window = Window::read(attributes, Some([height, width])).ok()?;
        let (input, pad) = self.padding_before(input, &window);
        let chain = self.chain(node, channels * multiplier, 4);
        let weights = filter
            .as_floats()?
            .iter()
            .zip(chain.scale.iter().cycle())
            .map(|(&weight, scale)| rounded(f64::from(weight) * scale))
            .collect();
        let depthwise = Depthwise {
            window,
            weights,
            channels: (channels, multiplier),
            bias: chain.bias(),
            activation: chain.activation,
            pad,
            node: self.graph.nodes[node].name.clone(),
        };
        Some(Fused { op: Op::Depthwise(Box::new(depthwise)), inputs: vec![input], members: chain.members })
    }

    fn fuse_product(&self, node: NodeId) -> Option<Fused> {
        let (_, attributes) = self.graph.nodes[node].call()?;
        let [input, matrix] = self.graph.nodes[node].inputs[..] else { return None };
        if attributes.flag("transpose_a", false).ok()? {
            return None;
        }
        let turned = attributes.flag("transpose_b", false).ok()?;
        let matrix = self.floats(matrix)?;
        let [rows, columns] = matrix.shape[..] else { return None };
        let (depth, outputs) = if turned { (columns, rows) } else { (rows, columns) };
        let weights = matrix.as_floats()?;
        let chain = self.chain(node, outputs, 2);
        let packed = PackedMatrix::pack(Instructions::detect(), depth, outputs, |term, row| {
            for (column, (target, scale)) in row.iter_mut().zip(&chain.scale).enumerate() {
                let at = if turned { column * depth + term } else { term * outputs + column };
                *target = rounded(f64::from(weights[at]) * scale);
            }
        });
        let convolution = Convolution {
            product: Product::Rows,
            weights: packed,
            transformed: OnceLock::new(),
            channels: depth,
            bias: chain.bias(),
            residual: false,
            activation: chain.activation,
            pad: None,
            blamed: self.graph.nodes[chain.blamed].name.clone(),
            fused: chain.fused,
        };
        Some(Fused { op: Op::Convolution(Box::new(convolution)), inputs: vec![input], members: chain.members })
    }

    fn fuse_pooling(&self, node: NodeId, keep: Keep) -> Option<Fused> {
        let (_, attributes) = self.graph.nodes[node].call()?;
        let [input] = self.graph.nodes[node].inputs[..] else { return None };
        if attributes.text("data_format", "NHWC").ok()? != "NHWC" {
            return None;
        }
        let window = Window::read(attributes, None).ok()?;
        let (input, pad) = self.padding_before(input, &window);
        let pooling = Pooling { window, keep, pad, node: self.graph.nodes[node].name.clone() };
        Some(Fused { op: Op::Pooling(Box::new(pooling)), inputs: vec![input], members: vec![node] })
    }

    /// The input of a zero padding of rows and columns that only this window reads.
    fn padding_before(&self, input: Port, window: &Window) -> (Port, Option<PadStage>) {
        let find = || {
            if window.padding != Padding::Valid {
                return None;
            }
            self.only_reader.get(&input)?;
            let node = &self.graph.nodes[input.node];
            let source = match (node.call()?.0, &node.inputs[..]) {
                ("Pad", [source, _]) => *source,
                ("PadV2", [source, _, value])
                    if self.floats(*value).is_some_and(|value| value.as_floats() == Some(&[0.0])) =>
                {
                    *source
                }
                _ => return None,
            };
            let amounts = ops::paddings(4, &[], self.constant(node.inputs[1])?.as_ref()).ok()?;
            let [[0, 0], rows, columns, [0, 0]] = amounts[..] else { return None };
            // Larger paddings than any network has are left to the kernel, which bounds the result.
            let small = rows.iter().chain(&columns).all(|&amount| amount < 1 << 16);
            small.then(|| (source, PadStage { node: node.name.clone(), amounts: [rows, columns] }))
        };
        match find() {
            Some((source, stage)) => (source, Some(stage)),
            None => (input, None),
        }
    }

    /// Follows the readers of a node as long as each is the only one and can be taken in.
    fn chain(&self, node: NodeId, outputs: usize, rank: usize) -> Chain {
        let convolution = self.graph.nodes[node].call().is_some_and(|(op, _)| op == "Conv2D");
        let mut chain = Chain {
            members: vec![node],
            last: node,
            scale: vec![1.0; outputs],
            shift: vec![0.0; outputs],
            activation: Activation::None,
            residual: None,
            blamed: node,
            fused: false,
        };
        while let Some(&reader) = self.only_reader.get(&Port { node: chain.last, output: 0 }) {
            let Some((op, attributes)) = self.graph.nodes[reader].call() else { break };
            // The addition of a block's two sides is taken in by one of them; the other ends in front of it.
            if self.taken[reader] || self.beyond_first[reader] || self.beyond_first[chain.last] {
                break;
            }
            let inputs = &self.graph.nodes[reader].inputs;
            let first = inputs.first().is_some_and(|port| port.node == chain.last);
            let other = inputs.iter().copied().find(|port| port.node != chain.last);
            let constant = || self.floats(other?).and_then(|value| for_each_channel(&value, outputs, rank));
            let taken = match op {
                "Relu" | "Relu6" => {
                    chain.activation = if op == "Relu" { Activation::Relu } else { Activation::Relu6 };
                    if chain.blamed == chain.last {
                        chain.blamed = reader;
                    }
                    chain.members.push(reader);
                    break;
                }
                _ if chain.residual.is_some() => false,
                "BiasAdd" if attributes.text("data_format", "NHWC").is_ok_and(|format| format == "NHWC") => {
                    let vector = other.and_then(|port| self.floats(port)).filter(|value| value.shape == [outputs]);
                    vector.is_some_and(|bias| {
                        add(&mut chain.shift, &doubles(bias.as_floats().unwrap_or_default()), 1.0);
                        // TensorFlow's remapper fuses a bias directly behind, under the bias' name.
                        if chain.last == node {
                            (chain.blamed, chain.fused) = (reader, true);
                        }
                        true
                    })
                }
                "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => self
                    .batch_norm(reader, outputs)
                    .map(|(scale, shift)| {
                        multiply(&mut chain, &scale);
                        add(&mut chain.shift, &shift, 1.0);
                    })
                    .is_some(),
                "Mul" => constant().map(|factor| multiply(&mut chain, &factor)).is_some(),
                "Add" | "AddV2" => {
                    if let Some(summand) = constant() {
                        add(&mut chain.shift, &summand, 1.0);
                        true
                    } else {
                        chain.residual = other.filter(|&port| convolution && !self.is_constant(port));
                        chain.residual.is_some()
                    }
                }
                "Sub" if first => constant().map(|summand| add(&mut chain.shift, &summand, -1.0)).is_some(),
                _ => false,
            };
            if !taken {
                break;
            }
            chain.members.push(reader);
            chain.last = reader;
        }
        chain
    }

    fn batch_norm(&self, node: NodeId, outputs: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let (_, attributes) = self.graph.nodes[node].call()?;
        if attributes.flag("is_training", true).ok()? || attributes.text("data_format", "NHWC").ok()? != "NHWC" {
            return None;
        }
        let epsilon = attributes.float("epsilon", 0.0001).ok()?;
        let [_, parts @ ..] = &self.graph.nodes[node].inputs[..] else { return None };
        let parts: Vec<Value> = parts.iter().map(|&port| self.floats(port)).collect::<Option<_>>()?;
        let [gamma, beta, mean, variance] = parts.iter().map(|part| part.as_floats()).collect::<Option<Vec<_>>>()?[..]
        else {
            return None;
        };
        let fits = parts.iter().all(|part| part.shape == [outputs]);
        fits.then(|| ops::scale_and_shift(gamma, beta, mean, variance, epsilon))
    }
}

/// One value for each channel, when that is what a tensor comes down to behind a product of this rank.
fn for_each_channel(value: &Tensor, outputs: usize, rank: usize) -> Option<Vec<f64>> {
    let values = value.as_floats()?;
    // More dimensions than the product has would change its shape.
    if value.shape.len() > rank {
        return None;
    }
    match (values, value.shape.last()) {
        ([one], _) => Some(vec![f64::from(*one); outputs]),
        (_, Some(&last)) if last == outputs && values.len() == outputs => Some(doubles(values)),
        _ => None,
    }
}

fn multiply(chain: &mut Chain, factor: &[f64]) {
    for ((scale, shift), factor) in chain.scale.iter_mut().zip(&mut chain.shift).zip(factor) {
        *scale *= factor;
        *shift *= factor;
    }
}

fn add(shift: &mut [f64], summand: &[f64], sign: f64) {
    shift.iter_mut().zip(summand).for_each(|(shift, summand)| *shift += sign * summand);
}

/// Reads a constant for the run itself; a variable that was never restored is an error of the run, not of the load.
pub(crate) fn constant_value(
    constant: &Constant,
    variables: &dyn VariableSource,
    node: &str,
) -> Result<Result<Value, RunError>, LoadError> {
    match constant.value(variables) {
        Ok(value) => Ok(Ok(Arc::clone(&value))),
        Err(error) if error.code == super::status::StatusCode::FailedPrecondition => Ok(Err(error.at(node))),
        Err(error) => Err(LoadError::Graph(error.at(node))),
    }
}
