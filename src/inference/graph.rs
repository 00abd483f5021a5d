//! The graph as it is executed: one level, no functions, only what the signatures need.

use std::collections::HashMap;

use super::attributes::Attributes;
use super::constant::Constant;
use super::control::Control;
use super::fused::{Convolution, Depthwise, Pooling};
use super::status::RunError;
use crate::savedmodel::proto::DataType;

/// A node's place in [`Graph::nodes`].
pub(crate) type NodeId = usize;

/// One output of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    /// The node.
    pub(crate) node: NodeId,
    /// Which of its outputs.
    pub(crate) output: usize,
}

/// What a node does.
pub(crate) enum Op {
    /// Waits to be fed.
    Input {
        /// The type that it accepts.
        dtype: DataType,
        /// The shape to name when nothing was fed, as TensorFlow prints it.
        shape: Option<String>,
    },
    /// Gives a value of the model.
    Constant(Constant),
    /// Runs a kernel of the op table.
    Call {
        /// The op's name.
        op: String,
        /// Its attributes.
        attributes: Attributes,
    },
    /// A convolution or matrix product with its weights packed and its neighbours fused in.
    Convolution(Box<Convolution>),
    /// A convolution of each channel by itself, likewise.
    Depthwise(Box<Depthwise>),
    /// A pooling with the padding in front of it fused in.
    Pooling(Box<Pooling>),
    /// A branch or a loop; its inputs are those of its op without handles of variables.
    Control(Box<Control<Graph>>),
}

/// One node.
pub(crate) struct Node {
    /// The name that messages use.
    pub(crate) name: String,
    /// What it does.
    pub(crate) op: Op,
    /// What it reads.
    pub(crate) inputs: Vec<Port>,
}

impl Node {
    /// The op's name for a node of the op table.
    pub(crate) fn call(&self) -> Option<(&str, &Attributes)> {
        match &self.op {
            Op::Call { op, attributes } => Some((op, attributes)),
            _ => None,
        }
    }
}

/// A graph without functions; every node is needed by a fetch or an assertion.
pub(crate) struct Graph {
    /// The nodes; inputs come before their readers.
    pub(crate) nodes: Vec<Node>,
    /// Tensors that can be fed, by the names that signatures use.
    pub(crate) feeds: HashMap<String, NodeId>,
    /// Tensors that can be fetched, likewise.
    pub(crate) fetches: HashMap<String, Port>,
    /// Assertions that must hold before a fetched tensor may be given, by its name; in a branch or loop under no name.
    pub(crate) checks: HashMap<String, Vec<NodeId>>,
}

impl Graph {
    /// A graph without nodes.
    pub(crate) fn empty() -> Self {
        Self { nodes: Vec::new(), feeds: HashMap::new(), fetches: HashMap::new(), checks: HashMap::new() }
    }

    /// How many readers each port has, fetches included.
    pub(crate) fn readers(&self) -> HashMap<Port, usize> {
        let mut readers = HashMap::new();
        let inputs = self.nodes.iter().flat_map(|node| &node.inputs);
        for &port in inputs.chain(self.fetches.values()) {
            *readers.entry(port).or_default() += 1;
        }
        readers
    }
}

impl Graph {
    /// The same graph with only the nodes that a fetch, feed or assertion needs, each after its inputs; assertions come first.
    pub(crate) fn sorted(self) -> Result<Self, super::status::LoadError> {
        const UNSEEN: usize = usize::MAX;
        const OPEN: usize = usize::MAX - 1;
        let mut order = Vec::new();
        let mut place = vec![UNSEEN; self.nodes.len()];
        let roots = self.feeds.values().copied().chain(self.fetches.values().map(|port| port.node));
        // A stable order of the roots gives the same graph, and so the same message, on every run.
        let mut roots: Vec<NodeId> = roots.collect();
        let mut checks: Vec<NodeId> = self.checks.values().flatten().copied().collect();
        roots.sort_unstable();
        checks.sort_unstable();
        for root in checks.into_iter().chain(roots) {
            let mut stack = vec![(root, 0)];
            while let Some((node, input)) = stack.pop() {
                if input == 0 {
                    if place[node] != UNSEEN {
                        continue;
                    }
                    place[node] = OPEN;
                }
                let Some(port) = self.nodes[node].inputs.get(input) else {
                    place[node] = order.len();
                    order.push(node);
                    continue;
                };
                stack.push((node, input + 1));
                match place[port.node] {
                    UNSEEN => stack.push((port.node, 0)),
                    OPEN => {
                        let text = format!("node `{}` depends on itself", self.nodes[port.node].name);
                        return Err(super::status::LoadError::Graph(RunError::invalid(text)));
                    }
                    _ => {}
                }
            }
        }
        let mut nodes: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let moved = |port: Port| Port { node: place[port.node], output: port.output };
        let nodes = order
            .iter()
            .filter_map(|&node| {
                let mut node = nodes[node].take()?;
                for port in &mut node.inputs {
                    *port = moved(*port);
                }
                Some(node)
            })
            .collect();
        let feeds = self.feeds.into_iter().map(|(name, node)| (name, place[node])).collect();
        let fetches = self.fetches.into_iter().map(|(name, port)| (name, moved(port))).collect();
        let places = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| place[node]).collect();
        let checks = self.checks.into_iter().map(|(name, nodes)| (name, places(nodes))).collect();
        Ok(Self { nodes, feeds, fetches, checks })
    }
}
