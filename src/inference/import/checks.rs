//! Assertions: nodes without results, which must run because whatever depends on them would not run after they failed.
//!
//! TensorFlow orders them in by control inputs, mostly behind a branch of their own (`If` with an `Assert` on one side). In
//! a function everything with an effect runs, whoever asks; in the graph itself what the fetched tensor depends on.
//! A model without `Assert`, which is nearly every one, is not looked at any further.

use std::collections::HashSet;

use super::{Body, Importer, Place};
use crate::inference::control::Flow;
use crate::inference::graph::NodeId;
use crate::inference::status::LoadError;
use crate::savedmodel::proto::{NodeDef, attr_value::Value};

/// The op that fails when its first input is false.
const ASSERT: &str = "Assert";

/// Which of the bodies assert something, directly or in a function that they name.
pub(super) fn asserting(bodies: &[Body<'_>]) -> Vec<bool> {
    let mut found: Vec<bool> = bodies.iter().map(|body| body.nodes.iter().any(|node| node.op == ASSERT)).collect();
    if !found.contains(&true) {
        return found;
    }
    let mut names: HashSet<&str> =
        bodies.iter().zip(&found).filter(|(_, found)| **found).map(|(body, _)| body.name()).collect();
    loop {
        let before = names.len();
        for (body, found) in bodies.iter().zip(&mut found).filter(|(_, found)| !**found) {
            if body.nodes.iter().any(|node| named(node).any(|name| names.contains(name))) {
                *found = true;
                names.insert(body.name());
            }
        }
        if names.len() == before {
            return found;
        }
    }
}

/// The functions that a node may run.
fn named(node: &NodeDef) -> impl Iterator<Item = &str> {
    let lists = node.attr.values().flat_map(|attribute| match &attribute.value {
        Some(Value::Func(function)) => std::slice::from_ref(&**function),
        Some(Value::List(list)) => &list.func[..],
        _ => &[],
    });
    lists.map(|function| function.name.as_str()).chain(std::iter::once(node.op.as_str()))
}

impl Importer<'_> {
    /// Makes the assertions that a tensor of the graph itself depends on.
    pub(super) fn checks_of_tensor(&mut self, tensor: &str) -> Result<Vec<NodeId>, LoadError> {
        if !self.asserting[0] {
            return Ok(Vec::new());
        }
        let (start, _) = self.tensor(0, tensor)?;
        let (mut open, mut seen) = (vec![start], HashSet::from([start]));
        while let Some(position) = open.pop() {
            for input in &self.definition(0, position).input {
                let name = input.strip_prefix('^').unwrap_or(input).split(':').next().unwrap_or_default();
                open.extend(self.body(0).index.get(name).copied().filter(|&position| seen.insert(position)));
            }
        }
        let mut reached: Vec<usize> = seen.into_iter().collect();
        reached.sort_unstable();
        self.checks_among(0, &reached)
    }

    /// Makes the assertions of a function's body.
    pub(super) fn checks_of_body(&mut self, frame: usize) -> Result<Vec<NodeId>, LoadError> {
        let all: Vec<usize> = (0..self.body(frame).nodes.len()).collect();
        self.checks_among(frame, &all)
    }

    fn checks_among(&mut self, frame: usize, positions: &[usize]) -> Result<Vec<NodeId>, LoadError> {
        let mut checks = Vec::new();
        let mut open = vec![(frame, positions.to_vec())];
        while let Some((frame, positions)) = open.pop() {
            if !self.asserting[self.frames[frame].body] {
                continue;
            }
            for node in positions {
                let definition = self.definition(frame, node);
                let guard = Flow::of(&definition.op).is_some()
                    && named(definition).any(|name| self.functions.get(name).is_some_and(|&body| self.asserting[body]));
                if definition.op == ASSERT || guard {
                    checks.push(self.node_at(Place { frame, node, output: 0 })?);
                } else if let Some(function) = self.callee(definition)? {
                    let inner = self.enter(frame, node, function)?;
                    open.push((inner, (0..self.body(inner).nodes.len()).collect()));
                }
            }
        }
        Ok(checks)
    }
}
