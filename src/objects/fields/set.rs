use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::Element;
use super::place::Place;

/// A set of paths. A path may be in the set while paths that go on from it are, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    members: BTreeSet<Element>,
    children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    /// The set of these paths of field names.
    pub fn of_names(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::Field((*name).to_owned())).collect();
            set.insert(&path);
        }
        set
    }

    /// Reads `fieldsV1`; `None` when it is malformed.
    pub fn from_fields_v1(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (key, inner) in fields.as_object()? {
            if key == "." {
                continue;
            }
            let element = Element::parse(key)?;
            let inner_map = inner.as_object()?;
            if inner_map.is_empty() || inner_map.contains_key(".") {
                set.members.insert(element.clone());
            }
            let inner = Self::from_fields_v1(inner)?;
            if !inner.is_empty() {
                set.children.insert(element, inner);
            }
        }
        Some(set)
    }

    /// The set as `fieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        Value::Object(self.fields(false))
    }

    fn fields(&self, with_self: bool) -> Map<String, Value> {
        let mut fields = Map::new();
        if with_self && !self.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        let all: BTreeSet<&Element> = self.members.iter().chain(self.children.keys()).collect();
        for element in all {
            let inner = self.children.get(element).map(|inner| inner.fields(self.members.contains(element)));
            fields.insert(element.to_key(), Value::Object(inner.unwrap_or_default()));
        }
        fields
    }

    /// Whether no path is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// Adds a path. The empty path is the whole object, which is never owned as such.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether exactly this path is in it.
    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|inner| inner.contains(rest)),
        }
    }

    /// Whether the step itself is in it.
    pub(super) fn has_member(&self, element: &Element) -> bool {
        self.members.contains(element)
    }

    /// The paths that go on from this step.
    pub(super) fn below(&self, element: &Element) -> Option<&Self> {
        self.children.get(element).filter(|inner| !inner.is_empty())
    }

    /// What is in one or the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.members.extend(other.members.iter().cloned());
        for (element, inner) in &other.children {
            let merged = union.children.get(element).map_or_else(|| inner.clone(), |own| own.union(inner));
            union.children.insert(element.clone(), merged);
        }
        union
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self.children.iter().map(|(element, inner)| {
            (element.clone(), other.children.get(element).map_or_else(|| inner.clone(), |gone| inner.difference(gone)))
        });
        Self { members, children: children.filter(|(_, inner)| !inner.is_empty()).collect() }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .filter_map(|(element, inner)| Some((element.clone(), inner.intersection(other.children.get(element)?))));
        Self { members, children: children.filter(|(_, inner)| !inner.is_empty()).collect() }
    }

    /// The set with the named fields on the way to its paths, which are owned only by what is in them.
    #[must_use]
    pub(super) fn with_named_fields(&self, place: Place<'_>) -> Self {
        let mut members = self.members.clone();
        let mut children = BTreeMap::new();
        for (element, inner) in &self.children {
            let next = match element {
                Element::Field(name) => {
                    let (next, declared) = place.field(name);
                    if declared {
                        members.insert(element.clone());
                    }
                    next
                }
                _ => place.item(),
            };
            children.insert(element.clone(), inner.with_named_fields(next));
        }
        Self { members, children }
    }

    /// All paths: first those that end here, then those that go on, each in order.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths: Vec<Vec<Element>> = self.members.iter().map(|element| vec![element.clone()]).collect();
        for (element, inner) in &self.children {
            for mut path in inner.paths() {
                path.insert(0, element.clone());
                paths.push(path);
            }
        }
        paths
    }
}
