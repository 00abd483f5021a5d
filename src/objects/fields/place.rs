use crate::objects::Gvk;
use crate::objects::schema::{SchemaNode, StructuralSchema};
use crate::objects::schemas::{ListStrategy, TypeRef};

/// How the items of a list are owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation<'a> {
    /// The list is one value.
    Atomic,
    /// Every value by itself.
    Set,
    /// Objects, told apart by these keys.
    Keys(&'a [&'a str]),
    /// As `Keys`, with the names as a custom resource's schema has them.
    OwnKeys(&'a [String]),
}

/// What is known about the value at some path: its type, and how it is owned.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    kind: Kind<'a>,
    relation: Relation<'a>,
    atomic: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    Builtin(TypeRef),
    Custom { node: &'a SchemaNode, root: bool },
    Deduced,
}

/// Objects that are owned as one value (`x-kubernetes-map-type: atomic` of Kubernetes 1.24), by their type's last name.
const ATOMIC_TYPES: [&str; 20] = [
    "ConfigMapKeySelector",
    "EndpointAddress",
    "EndpointPort",
    "FieldsV1",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "OwnerReference",
    "RawExtension",
    "ResourceFieldSelector",
    "RoleRef",
    "ScopeSelector",
    "SecretKeySelector",
    "SecretReference",
    "Subject",
    "TopologySelectorTerm",
    "TypedLocalObjectReference",
];

impl<'a> Place<'a> {
    /// A built-in kind's object.
    pub fn builtin(gvk: &Gvk) -> Self {
        TypeRef::of(gvk).map_or(Self::DEDUCED, |kind| Self::of_type(kind, Relation::Atomic, false))
    }

    /// A custom resource's object.
    pub fn custom(schema: &'a StructuralSchema) -> Self {
        let kind = Kind::Custom { node: schema.root(), root: true };
        Self { kind, relation: Relation::Atomic, atomic: false }
    }

    /// Values of which nothing is known: objects are owned key by key, lists as one value.
    const DEDUCED: Self = Self { kind: Kind::Deduced, relation: Relation::Atomic, atomic: false };

    fn of_type(kind: TypeRef, relation: Relation<'a>, atomic: bool) -> Self {
        let name = kind.name().unwrap_or_default();
        let last = name.rsplit('.').next().unwrap_or_default();
        let by_type = ATOMIC_TYPES.contains(&last) || name == "io.k8s.api.autoscaling.v1.CrossVersionObjectReference";
        Self { kind: Kind::Builtin(kind), relation, atomic: atomic || by_type }
    }

    fn of_node(node: &'a SchemaNode) -> Self {
        let relation = match node.list_type.as_deref() {
            Some("set") => Relation::Set,
            Some("map") => Relation::OwnKeys(&node.list_keys),
            _ => Relation::Atomic,
        };
        Self { kind: Kind::Custom { node, root: false }, relation, atomic: node.atomic_map }
    }

    /// Whether an object here is one value.
    pub(super) fn is_atomic_object(&self) -> bool {
        self.atomic
    }

    /// How a list here is owned.
    pub(super) fn relation(&self) -> Relation<'a> {
        self.relation
    }

    /// The place of a key's value, and whether the schema names the key.
    pub(super) fn field(&self, key: &str) -> (Self, bool) {
        match self.kind {
            Kind::Deduced => (Self::DEDUCED, false),
            Kind::Builtin(kind) => match (kind.property(key), kind.map_values()) {
                (Some(inner), _) => (Self::builtin_field(kind, key, inner), true),
                (None, Some(inner)) => (Self::of_type(inner, Relation::Atomic, false), false),
                (None, None) => (Self::DEDUCED, false),
            },
            Kind::Custom { root: true, .. } if matches!(key, "apiVersion" | "kind") => (Self::DEDUCED, true),
            Kind::Custom { root: true, .. } if key == "metadata" => {
                let meta = TypeRef::named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
                (meta.map_or(Self::DEDUCED, |meta| Self::of_type(meta, Relation::Atomic, false)), true)
            }
            Kind::Custom { node, .. } => match node.property(key) {
                Some(inner) => (Self::of_node(inner), true),
                None => (node.value_of(key).map_or(Self::DEDUCED, Self::of_node), false),
            },
        }
    }

    /// Whether an object here may have this key at all.
    pub(super) fn allows(&self, key: &str) -> bool {
        match self.kind {
            Kind::Builtin(kind) => {
                !kind.has_properties() || kind.property(key).is_some() || kind.map_values().is_some()
            }
            // A custom resource's unknown fields are pruned later.
            Kind::Custom { .. } | Kind::Deduced => true,
        }
    }

    /// The JSON type that a built-in type wants here, if it is a plain value.
    pub(super) fn wants(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Builtin(kind) if kind.format() == Some("int-or-string") => None,
            Kind::Builtin(kind) if kind.name().is_some_and(|name| name.ends_with(".Quantity")) => None,
            Kind::Builtin(kind) => kind.json_type(),
            _ => None,
        }
    }

    fn builtin_field(parent: TypeRef, key: &str, inner: TypeRef) -> Self {
        let owner = parent.name().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
        let (relation, atomic) = match (owner, key) {
            ("Container" | "EphemeralContainer", "ports") => (Relation::Keys(&["containerPort", "protocol"]), false),
            ("ServiceSpec", "ports") => (Relation::Keys(&["port", "protocol"]), false),
            ("PodSpec", "topologySpreadConstraints") => (Relation::Keys(&["topologyKey", "whenUnsatisfiable"]), false),
            // Merged by patches, and yet owned as one (or the other way round).
            ("ServiceAccount", "imagePullSecrets") => (Relation::Atomic, false),
            ("Endpoint", "addresses") => (Relation::Set, false),
            ("CustomResourceDefinitionStatus", "conditions") => (Relation::Keys(&["type"]), false),
            ("JSONSchemaProps", "x-kubernetes-validations") => (Relation::Keys(&["rule"]), false),
            ("ServiceSpec", "selector") | ("PodSpec", "nodeSelector") => (Relation::Atomic, true),
            _ => match parent.patch_strategy(key).list {
                ListStrategy::MergeSet => (Relation::Set, false),
                ListStrategy::MergeBy("name") => (Relation::Keys(&["name"]), false),
                ListStrategy::MergeBy("type") => (Relation::Keys(&["type"]), false),
                ListStrategy::MergeBy("ip") => (Relation::Keys(&["ip"]), false),
                ListStrategy::MergeBy("uid") => (Relation::Keys(&["uid"]), false),
                ListStrategy::MergeBy("mountPath") => (Relation::Keys(&["mountPath"]), false),
                ListStrategy::MergeBy("devicePath") => (Relation::Keys(&["devicePath"]), false),
                ListStrategy::Replace | ListStrategy::MergeBy(_) => (Relation::Atomic, false),
            },
        };
        Self::of_type(inner, relation, atomic)
    }

    /// The place of a list's items.
    pub(super) fn item(&self) -> Self {
        match self.kind {
            Kind::Builtin(kind) => kind
                .items()
                .or_else(|| kind.map_values())
                .map_or(Self::DEDUCED, |item| Self::of_type(item, Relation::Atomic, false)),
            Kind::Custom { node, .. } => node.items.as_deref().map_or(Self::DEDUCED, Self::of_node),
            Kind::Deduced => Self::DEDUCED,
        }
    }

    /// What an item's key is when the item does not say.
    pub(super) fn key_default(&self, key: &str) -> Option<serde_json::Value> {
        match self.kind {
            Kind::Builtin(kind) => {
                let item = kind.items()?.name()?;
                let known = item.ends_with(".ContainerPort") || item.ends_with(".ServicePort");
                (known && key == "protocol").then(|| "TCP".into())
            }
            Kind::Custom { node, .. } => node.items.as_deref()?.property(key)?.default.clone(),
            Kind::Deduced => None,
        }
    }
}
