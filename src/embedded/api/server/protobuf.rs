//! Objects in Kubernetes' protocol buffers, as the typed clients of newer kubectls send them.
//!
//! Only what those commands send to the kinds that are served is understood (`create namespace`, `create configmap`,
//! `create deployment`, `auth can-i`, deletions and the like); everything else is refused, so that nothing is lost
//! silently. Field numbers are those of the `generated.proto` files of `k8s.io/api` and `k8s.io/apimachinery`. Answers
//! are JSON, which these clients accept as well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf;
use jiff::Timestamp;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde_json::{Map, Value};

use crate::objects::meta;

/// What every message begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A message's fields: number, JSON name, what is in it.
type Fields = &'static [(u32, &'static str, Field)];

#[derive(Clone, Copy)]
enum Field {
    Text,
    Bytes,
    Integer,
    Bool,
    /// A number that Go leaves out of JSON when it is zero.
    Count,
    /// A truth that Go leaves out of JSON when it is none.
    Flag,
    Texts,
    Message(Fields),
    Messages(Fields),
    TextMap,
    BytesMap,
    Time,
    IntOrString,
    Quantity,
    /// Left out: what a client sends and the server decides itself.
    Ignored,
}

use Field::{
    Bool, Bytes, BytesMap, Count, Flag, Ignored, IntOrString, Integer, Message, Messages, Quantity, Text, TextMap,
    Texts, Time,
};

/// Why a body was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtobufError {
    /// The bytes are no message.
    #[error("provided data does not appear to be a protobuf message")]
    Malformed,
    /// The message is one of those that are not understood.
    #[error("{0} is not understood as a protobuf message; send JSON or YAML")]
    Unknown(String),
}

/// What the object itself is wrapped in.
const ENVELOPE: Fields = &[
    (1, "type", Message(&[(1, "apiVersion", Text), (2, "kind", Text)])),
    (2, "raw", Bytes),
    (3, "contentEncoding", Text),
    (4, "contentType", Text),
];

/// Decodes an object of whatever kind the message says.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Malformed)?;
    let envelope = message(body, ENVELOPE, "the envelope")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&envelope["type"]["apiVersion"]), text(&envelope["type"]["kind"]));
    let raw = STANDARD.decode(text(&envelope["raw"])).map_err(|_| ProtobufError::Malformed)?;
    let name = format!("{api_version} {kind}");
    let fields = match (api_version.as_str(), kind.as_str()) {
        (_, "DeleteOptions") => DELETE_OPTIONS,
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Secret") => SECRET,
        ("v1", "ServiceAccount") => SERVICE_ACCOUNT,
        ("v1", "Service") => SERVICE,
        ("apps/v1", "Deployment") => DEPLOYMENT,
        ("autoscaling/v1", "Scale") => SCALE,
        ("autoscaling/v1", "HorizontalPodAutoscaler") => AUTOSCALER_V1,
        ("autoscaling/v2", "HorizontalPodAutoscaler") => AUTOSCALER_V2,
        ("policy/v1", "PodDisruptionBudget") => DISRUPTION_BUDGET,
        ("rbac.authorization.k8s.io/v1", "Role" | "ClusterRole") => ROLE,
        ("rbac.authorization.k8s.io/v1", "RoleBinding" | "ClusterRoleBinding") => ROLE_BINDING,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => ACCESS_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => RULES_REVIEW,
        _ => return Err(ProtobufError::Unknown(name)),
    };
    let mut object = message(&raw, fields, &name)?;
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    Ok(object)
}

fn message(mut bytes: &[u8], fields: Fields, name: &str) -> Result<Value, ProtobufError> {
    let mut found = Map::new();
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(|_| ProtobufError::Malformed)?;
        let Some((_, key, field)) = fields.iter().find(|(known, ..)| *known == number) else {
            skip_empty(number, wire, &mut bytes, name)?;
            continue;
        };
        if wire == WireType::Varint {
            let raw = decode_varint(&mut bytes).map_err(|_| ProtobufError::Malformed)?;
            let value = match field {
                Count | Flag if raw == 0 => continue,
                Bool | Flag => Value::Bool(raw != 0),
                Integer | Count => Value::from(raw.cast_signed()),
                _ => return Err(ProtobufError::Malformed),
            };
            found.insert((*key).to_owned(), value);
            continue;
        }
        if wire != WireType::LengthDelimited {
            return Err(ProtobufError::Malformed);
        }
        let inner = take(&mut bytes)?;
        let name = format!("{name}.{key}");
        let slot = |found: &mut Map<String, Value>, empty: Value| -> Value { found.remove(*key).unwrap_or(empty) };
        let value = match field {
            Text => text(inner)?,
            Bytes => STANDARD.encode(inner).into(),
            Message(fields) => message(inner, fields, &name)?,
            Texts | Messages(_) => {
                let mut list = slot(&mut found, Value::Array(Vec::new()));
                if let Value::Array(items) = &mut list {
                    items.push(if let Messages(fields) = field {
                        message(inner, fields, &name)?
                    } else {
                        text(inner)?
                    });
                }
                list
            }
            TextMap | BytesMap => {
                let fields: Fields = if matches!(field, TextMap) {
                    &[(1, "key", Text), (2, "value", Text)]
                } else {
                    &[(1, "key", Text), (2, "value", Bytes)]
                };
                let entry = message(inner, fields, &name)?;
                let mut map = slot(&mut found, Value::Object(Map::new()));
                if let Value::Object(entries) = &mut map {
                    let key = entry["key"].as_str().unwrap_or_default().to_owned();
                    entries.insert(key, entry.get("value").cloned().unwrap_or_else(|| "".into()));
                }
                map
            }
            Time => {
                let time = message(inner, &[(1, "seconds", Integer), (2, "nanos", Integer)], &name)?;
                match time["seconds"].as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
                    Some(time) => meta::time_text(time).into(),
                    None => Value::Null,
                }
            }
            IntOrString => {
                const FIELDS: Fields = &[(1, "type", Integer), (2, "number", Integer), (3, "text", Text)];
                let either = message(inner, FIELDS, &name)?;
                if either["type"] == 1 { either["text"].clone() } else { either["number"].as_i64().unwrap_or(0).into() }
            }
            Quantity => message(inner, &[(1, "text", Text)], &name)?["text"].take(),
            Ignored => continue,
            Integer | Bool | Count | Flag => return Err(ProtobufError::Malformed),
        };
        // Go's zero values: an empty text is no text, and a time or message that is not set stays away.
        if value != "" && !value.is_null() {
            found.insert((*key).to_owned(), value);
        }
    }
    Ok(Value::Object(found))
}

fn take<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], ProtobufError> {
    let length = decode_varint(bytes).map_err(|_| ProtobufError::Malformed)?;
    let length = usize::try_from(length).map_err(|_| ProtobufError::Malformed)?;
    let (inner, rest) = bytes.split_at_checked(length).ok_or(ProtobufError::Malformed)?;
    *bytes = rest;
    Ok(inner)
}

fn text(bytes: &[u8]) -> Result<Value, ProtobufError> {
    std::str::from_utf8(bytes).map(Value::from).map_err(|_| ProtobufError::Malformed)
}

/// Passes over a field that has no name here, which is fine as long as it says nothing: Go writes empty messages, empty
/// texts and zeros out.
fn skip_empty(number: u32, wire: WireType, bytes: &mut &[u8], name: &str) -> Result<(), ProtobufError> {
    let empty = match wire {
        WireType::Varint => decode_varint(bytes).map_err(|_| ProtobufError::Malformed)? == 0,
        WireType::LengthDelimited => take(bytes)?.is_empty(),
        _ => {
            skip_field(wire, number, bytes, DecodeContext::default()).map_err(|_| ProtobufError::Malformed)?;
            false
        }
    };
    if empty { Ok(()) } else { Err(ProtobufError::Unknown(format!("field {number} of {name}"))) }
}

const META: Field = Message(&[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (4, "selfLink", Ignored),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Count),
    (8, "creationTimestamp", Time),
    (9, "deletionTimestamp", Time),
    (10, "deletionGracePeriodSeconds", Integer),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (14, "finalizers", Texts),
    (17, "managedFields", Ignored),
]);
const NAMESPACE: Fields =
    &[(1, "metadata", META), (2, "spec", Message(&[(1, "finalizers", Texts)])), (3, "status", Ignored)];
const CONFIG_MAP: Fields =
    &[(1, "metadata", META), (2, "data", TextMap), (3, "binaryData", BytesMap), (4, "immutable", Bool)];
const SECRET: Fields = &[
    (1, "metadata", META),
    (2, "data", BytesMap),
    (3, "type", Text),
    (4, "stringData", TextMap),
    (5, "immutable", Bool),
];
const SERVICE_ACCOUNT: Fields = &[
    (1, "metadata", META),
    (2, "secrets", Messages(&[(1, "kind", Text), (2, "namespace", Text), (3, "name", Text)])),
    (3, "imagePullSecrets", Messages(&[(1, "name", Text)])),
    (4, "automountServiceAccountToken", Bool),
];
const SERVICE: Fields = &[
    (1, "metadata", META),
    (
        2,
        "spec",
        Message(&[
            (
                1,
                "ports",
                Messages(&[
                    (1, "name", Text),
                    (2, "protocol", Text),
                    (3, "port", Integer),
                    (4, "targetPort", IntOrString),
                    (5, "nodePort", Count),
                    (6, "appProtocol", Text),
                ]),
            ),
            (2, "selector", TextMap),
            (3, "clusterIP", Text),
            (4, "type", Text),
            (5, "externalIPs", Texts),
            (7, "sessionAffinity", Text),
            (8, "loadBalancerIP", Text),
            (10, "externalName", Text),
        ]),
    ),
    (3, "status", Ignored),
];
const SELECTOR_FIELDS: Fields = &[
    (1, "matchLabels", TextMap),
    (2, "matchExpressions", Messages(&[(1, "key", Text), (2, "operator", Text), (3, "values", Texts)])),
];
const SELECTOR: Field = Message(SELECTOR_FIELDS);
const CONTAINER: Fields = &[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", Texts),
    (4, "args", Texts),
    (5, "workingDir", Text),
    (
        6,
        "ports",
        Messages(&[(1, "name", Text), (2, "hostPort", Count), (3, "containerPort", Integer), (4, "protocol", Text)]),
    ),
    (7, "env", Messages(&[(1, "name", Text), (2, "value", Text)])),
    (14, "imagePullPolicy", Text),
];
const POD_TEMPLATE: Field =
    Message(&[(1, "metadata", META), (2, "spec", Message(&[(2, "containers", Messages(CONTAINER))]))]);
const DEPLOYMENT: Fields = &[
    (1, "metadata", META),
    (
        2,
        "spec",
        Message(&[
            (1, "replicas", Integer),
            (2, "selector", SELECTOR),
            (3, "template", POD_TEMPLATE),
            (4, "strategy", Message(&[(1, "type", Text)])),
            (5, "minReadySeconds", Count),
            (6, "revisionHistoryLimit", Integer),
            (7, "paused", Flag),
            (9, "progressDeadlineSeconds", Integer),
        ]),
    ),
    (3, "status", Ignored),
];
const SCALE: Fields =
    &[(1, "metadata", META), (2, "spec", Message(&[(1, "replicas", Integer)])), (3, "status", Ignored)];
const SCALED: Field = Message(&[(1, "kind", Text), (2, "name", Text), (3, "apiVersion", Text)]);
const AUTOSCALER_V1: Fields = &[
    (1, "metadata", META),
    (
        2,
        "spec",
        Message(&[
            (1, "scaleTargetRef", SCALED),
            (2, "minReplicas", Integer),
            (3, "maxReplicas", Integer),
            (4, "targetCPUUtilizationPercentage", Integer),
        ]),
    ),
    (3, "status", Ignored),
];
const METRIC_TARGET: Field = Message(&[
    (1, "type", Text),
    (2, "value", Quantity),
    (3, "averageValue", Quantity),
    (4, "averageUtilization", Integer),
]);
const AUTOSCALER_V2: Fields = &[
    (1, "metadata", META),
    (
        2,
        "spec",
        Message(&[
            (1, "scaleTargetRef", SCALED),
            (2, "minReplicas", Integer),
            (3, "maxReplicas", Integer),
            (
                4,
                "metrics",
                Messages(&[
                    (1, "type", Text),
                    (4, "resource", Message(&[(1, "name", Text), (2, "target", METRIC_TARGET)])),
                ]),
            ),
        ]),
    ),
    (3, "status", Ignored),
];
const DISRUPTION_BUDGET: Fields = &[
    (1, "metadata", META),
    (
        2,
        "spec",
        Message(&[(1, "minAvailable", IntOrString), (2, "selector", SELECTOR), (3, "maxUnavailable", IntOrString)]),
    ),
    (3, "status", Ignored),
];
const ROLE: Fields = &[
    (1, "metadata", META),
    (
        2,
        "rules",
        Messages(&[
            (1, "verbs", Texts),
            (2, "apiGroups", Texts),
            (3, "resources", Texts),
            (4, "resourceNames", Texts),
            (5, "nonResourceURLs", Texts),
        ]),
    ),
    (3, "aggregationRule", Message(&[(1, "clusterRoleSelectors", Messages(SELECTOR_FIELDS))])),
];
const ROLE_BINDING: Fields = &[
    (1, "metadata", META),
    (2, "subjects", Messages(&[(1, "kind", Text), (2, "apiGroup", Text), (3, "name", Text), (4, "namespace", Text)])),
    (3, "roleRef", Message(&[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)])),
];
const ACCESS_REVIEW: Fields = &[
    (1, "metadata", META),
    (
        2,
        "spec",
        Message(&[
            (
                1,
                "resourceAttributes",
                Message(&[
                    (1, "namespace", Text),
                    (2, "verb", Text),
                    (3, "group", Text),
                    (4, "version", Text),
                    (5, "resource", Text),
                    (6, "subresource", Text),
                    (7, "name", Text),
                ]),
            ),
            (2, "nonResourceAttributes", Message(&[(1, "path", Text), (2, "verb", Text)])),
        ]),
    ),
    (3, "status", Ignored),
];
const RULES_REVIEW: Fields =
    &[(1, "metadata", META), (2, "spec", Message(&[(1, "namespace", Text)])), (3, "status", Ignored)];
const DELETE_OPTIONS: Fields = &[
    (1, "gracePeriodSeconds", Integer),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (3, "orphanDependents", Bool),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).expect("short")];
        bytes.extend_from_slice(content);
        bytes
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let names = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &names), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let meta = [field(1, b"x"), field(2, b""), field(8, b"")].concat();
        let entry = [field(1, b"a"), field(2, b"b")].concat();
        let raw = [field(1, &meta), field(2, &entry)].concat();
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}});
        assert_eq!(decode(&envelope("v1", "ConfigMap", &raw)), Ok(expected));
    }

    #[test]
    fn go_writes_zeros_that_json_leaves_out_and_others_that_it_keeps() {
        let spec = [vec![1 << 3, 0], vec![5 << 3, 0], vec![7 << 3, 0]].concat();
        let meta = [field(1, b"x"), vec![7 << 3, 0]].concat();
        let raw = [field(1, &meta), field(2, &spec)].concat();
        let expected = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"},
            "spec": {"replicas": 0}});
        assert_eq!(decode(&envelope("apps/v1", "Deployment", &raw)), Ok(expected));
    }

    #[test]
    fn what_is_not_known_is_refused_rather_than_lost() {
        let unknown = field(9, b"something");
        let error = decode(&envelope("v1", "ConfigMap", &unknown)).expect_err("refused");
        assert_eq!(error, ProtobufError::Unknown("field 9 of v1 ConfigMap".to_owned()));
        assert!(decode(&envelope("v1", "ConfigMap", &field(9, b""))).is_ok());
        assert_eq!(decode(b"k8s\0\x0a\xff"), Err(ProtobufError::Malformed));
        assert_eq!(decode(b"{}"), Err(ProtobufError::Malformed));
        let kind = decode(&envelope("v1", "Pod", b"")).expect_err("refused");
        assert_eq!(kind, ProtobufError::Unknown("v1 Pod".to_owned()));
    }
}
