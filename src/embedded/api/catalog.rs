use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::objects::schema::StructuralSchema;
use crate::objects::table::CustomColumns;
use crate::objects::{BUILTIN_KINDS, Gvk, Subresource, Verbs, meta};

/// A resource that the server offers, in all its versions.
#[derive(Clone, Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Name in paths.
    pub plural: String,
    /// Kind of its objects.
    pub kind: String,
    /// Kind of a list of them.
    pub list_kind: String,
    /// Lower-case singular; empty for built-ins, as discovery of 1.24 has it.
    pub singular: String,
    /// Abbreviations.
    pub short_names: Vec<String>,
    /// Groups of resources such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Verbs,
    /// The versions, the preferred one first.
    pub versions: Vec<Version>,
    /// The version that is stored: an index into `versions`.
    pub storage: usize,
    /// Whether a CustomResourceDefinition made it.
    pub custom: bool,
}

/// One version of a resource.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name, such as `v1beta1`.
    pub name: String,
    /// Whether requests may use it.
    pub served: bool,
    /// Subresources by name.
    pub subresources: Vec<Subresource>,
    /// What a client of this version is warned of.
    pub deprecation: Option<String>,
    /// What custom objects of this version look like; `None` for built-ins, whose types are known.
    pub schema: Option<Arc<StructuralSchema>>,
    /// What a table of custom objects shows; `None` for built-ins.
    pub columns: Option<Arc<CustomColumns>>,
}

impl Resource {
    /// `plural.group`, or the bare plural of the core group: the name in messages, and in the registry.
    pub fn full_name(&self) -> String {
        full_name(&self.group, &self.plural)
    }

    /// The kind in one of the versions.
    pub fn gvk(&self, version: &str) -> Gvk {
        Gvk::new(&self.group, version, &self.kind)
    }

    /// The kind in the version that is stored.
    pub fn storage_gvk(&self) -> Gvk {
        self.gvk(&self.versions[self.storage].name)
    }

    /// The version of this name, if requests may use it.
    pub fn served(&self, version: &str) -> Option<&Version> {
        self.versions.iter().find(|known| known.served && known.name == version)
    }

    /// Whether `.status` can only be written through the status subresource, in the stored version.
    pub fn has_status(&self) -> bool {
        self.versions[self.storage].subresource("status").is_some()
    }
}

impl Version {
    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|known| known.name == name)
    }
}

/// `plural.group`, or the bare plural of the core group.
pub(super) fn full_name(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// Every resource that is served at the moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    by_name: BTreeMap<String, Arc<Resource>>,
    /// Full names in the order in which discovery lists them.
    order: Vec<String>,
}

impl Catalog {
    /// The built-in resources, and those that these CustomResourceDefinitions define.
    pub fn new<'a>(definitions: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut catalog = Self::default();
        for resource in builtin_resources() {
            catalog.add(resource);
        }
        for definition in definitions {
            if let Some(resource) = custom_resource(definition) {
                catalog.add(resource);
            }
        }
        catalog
    }

    fn add(&mut self, resource: Resource) {
        let name = resource.full_name();
        if !self.by_name.contains_key(&name) {
            self.order.push(name.clone());
            self.by_name.insert(name, Arc::new(resource));
        }
    }

    /// The resource with this full name.
    pub fn get(&self, full_name: &str) -> Option<&Arc<Resource>> {
        self.by_name.get(full_name)
    }

    /// The resource that a path names.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.get(&full_name(group, plural)).filter(|resource| resource.served(version).is_some())
    }

    /// The resource of a kind, in any version.
    pub fn of_kind(&self, group: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.iter().find(|resource| resource.group == group && resource.kind == kind)
    }

    /// All resources in discovery's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.order.iter().filter_map(|name| self.by_name.get(name))
    }
}

fn builtin_resources() -> Vec<Resource> {
    let mut resources: Vec<Resource> = Vec::new();
    for kind in BUILTIN_KINDS {
        let version = Version {
            name: kind.version.to_owned(),
            served: true,
            subresources: kind.subresources.to_vec(),
            deprecation: deprecation(kind.group, kind.version, kind.kind),
            schema: None,
            columns: None,
        };
        if let Some(known) = resources.iter_mut().find(|known| known.group == kind.group && known.plural == kind.plural)
        {
            known.versions.push(version);
            continue;
        }
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        resources.push(Resource {
            group: kind.group.to_owned(),
            plural: kind.plural.to_owned(),
            kind: kind.kind.to_owned(),
            list_kind: format!("{}List", kind.kind),
            singular: String::new(),
            short_names: texts(kind.short_names),
            categories: texts(kind.categories),
            namespaced: kind.namespaced,
            verbs: kind.verbs,
            versions: vec![version],
            storage: 0,
            custom: false,
        });
    }
    resources
}

/// The warning that 1.24 gives for an old version of a built-in kind.
fn deprecation(group: &str, version: &str, kind: &str) -> Option<String> {
    let (since, gone, instead) = match (group, version) {
        ("policy", "v1beta1") => ("1.21", "1.25", "policy/v1"),
        ("autoscaling", "v2beta1") => ("1.22", "1.25", "autoscaling/v2"),
        ("autoscaling", "v2beta2") => ("1.23", "1.26", "autoscaling/v2"),
        _ => return None,
    };
    Some(format!("{group}/{version} {kind} is deprecated in v{since}+, unavailable in v{gone}+; use {instead} {kind}"))
}

/// The subresources that a definition can switch on.
const STATUS: Subresource =
    Subresource { name: "status", kind: "", api_version: None, verbs: &["get", "patch", "update"] };
const SCALE: Subresource = Subresource {
    name: "scale",
    kind: "Scale",
    api_version: Some("autoscaling/v1"),
    verbs: &["get", "patch", "update"],
};

fn custom_resource(definition: &Value) -> Option<Resource> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let (group, kind) = (text(&spec["group"])?, text(&names["kind"])?);
    let mut versions: Vec<(bool, Version)> = Vec::new();
    for version in spec["versions"].as_array()? {
        let name = text(&version["name"])?;
        let mut subresources = Vec::new();
        if !version["subresources"]["status"].is_null() {
            subresources.push(STATUS);
        }
        if !version["subresources"]["scale"].is_null() {
            subresources.push(SCALE);
        }
        let deprecation = version["deprecated"].as_bool().unwrap_or(false).then(|| {
            text(&version["deprecationWarning"]).unwrap_or_else(|| format!("{group}/{name} {kind} is deprecated"))
        });
        let served = version["served"].as_bool().unwrap_or(false);
        let storage = version["storage"].as_bool().unwrap_or(false);
        let schema = Some(Arc::new(StructuralSchema::parse(&version["schema"]["openAPIV3Schema"])));
        let columns = CustomColumns::parse(meta::list_at(version, &["additionalPrinterColumns"]));
        let columns = Some(Arc::new(columns));
        versions.push((storage, Version { name, served, subresources, deprecation, schema, columns }));
    }
    // Discovery prefers v1beta1 over v1alpha3, as Kubernetes orders version names.
    versions.sort_by_key(|(_, version)| std::cmp::Reverse((version.served, version_rank(&version.name))));
    let storage = versions.iter().position(|(storage, _)| *storage)?;
    Some(Resource {
        plural: text(&names["plural"])?,
        list_kind: text(&names["listKind"]).unwrap_or_else(|| format!("{kind}List")),
        singular: text(&names["singular"]).unwrap_or_else(|| kind.to_lowercase()),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        verbs: Verbs::All,
        versions: versions.into_iter().map(|(_, version)| version).collect(),
        storage,
        custom: true,
        group,
        kind,
    })
}

/// Orders version names as Kubernetes does: general availability, then beta, then alpha, each by number; others last.
pub(super) fn version_rank(name: &str) -> (u8, u32, u32) {
    let Some(rest) = name.strip_prefix('v') else { return (0, 0, 0) };
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let Ok(major) = rest[..digits].parse() else { return (0, 0, 0) };
    let suffix = &rest[digits..];
    let minor = |text: &str| text.parse().unwrap_or(0);
    match suffix {
        "" => (3, major, 0),
        _ => match (suffix.strip_prefix("beta"), suffix.strip_prefix("alpha")) {
            (Some(number), _) => (2, major, minor(number)),
            (_, Some(number)) => (1, major, minor(number)),
            _ => (0, 0, 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_ordered_as_kubernetes_does() {
        let mut names = vec!["v1alpha1", "v2", "v1beta2", "v1", "v1beta1", "v10", "foo"];
        names.sort_by_key(|name| std::cmp::Reverse(version_rank(name)));
        assert_eq!(names, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }

    #[test]
    fn a_definition_makes_a_resource() {
        let definition = json!({"spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo", "shortNames": ["f"]},
            "versions": [
                {"name": "v1alpha1", "served": true, "storage": true, "schema": {}},
                {"name": "v1beta1", "served": true, "storage": false, "subresources": {"status": {}}},
                {"name": "v0", "served": false, "storage": false},
            ],
        }});
        let catalog = Catalog::new([&definition]);
        let resource = catalog.find("example.com", "v1beta1", "foos").expect("served");
        assert_eq!(resource.versions[0].name, "v1beta1");
        assert_eq!(resource.storage_gvk().api_version(), "example.com/v1alpha1");
        assert_eq!(resource.list_kind, "FooList");
        assert!(!resource.has_status());
        assert!(catalog.find("example.com", "v0", "foos").is_none());
        assert!(catalog.find("apps", "v1", "deployments").is_some());
    }
}
