//! Whether an object of a built-in kind fits Go's types, with the complaint that the API server's JSON decoder has when
//! it does not.
//!
//! Kubernetes 1.24 decodes with a fork of Go's `encoding/json`: numbers where text belongs are refused, unknown fields
//! and nulls are not.

use base64::Engine;
use serde_json::Value;

use super::quantity::{Quantity, QuantityError};
use super::schemas::TypeRef;
use super::{Gvk, names};

/// The first value that does not fit its type, in the words of Go's decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A value of another JSON type.
    #[error("json: cannot unmarshal {found} into Go struct field {structure}.{field} of type {expected}")]
    Type {
        /// What was found: `string`, `number 1.5`, `array` and so on.
        found: String,
        /// The Go structure that holds the field.
        structure: String,
        /// The field's path from the root, without indices.
        field: String,
        /// The Go type.
        expected: String,
    },
    /// A value whose type reads itself, and has no path to name.
    #[error("json: cannot unmarshal {found} into Go value of type {expected}")]
    Bare {
        /// What was found.
        found: String,
        /// The Go type.
        expected: String,
    },
    /// A text that is no amount.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// A text that is no time.
    #[error("parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted} as \"2006\"")]
    Time {
        /// The text, quoted.
        quoted: String,
    },
    /// A text that is no base64.
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
}

/// Checks an object against the types of its kind; kinds that are not built in fit anything.
///
/// # Errors
/// The first mismatch in the object's order.
pub fn check_types(gvk: &Gvk, object: &Value) -> Result<(), DecodeError> {
    let Some(place) = TypeRef::of(gvk) else { return Ok(()) };
    if !object.is_object() {
        return Err(DecodeError::Bare { found: found(object), expected: go_type(place) });
    }
    check(place, object, &Location { structure: gvk.kind.clone(), field: String::new(), property: String::new() })
}

/// Where in the Go types the decoder is.
struct Location {
    structure: String,
    field: String,
    property: String,
}

impl Location {
    fn property(&self, place: TypeRef, key: &str) -> Self {
        let structure = place.name().map_or_else(|| self.structure.clone(), short_name);
        let field = if self.field.is_empty() { key.to_owned() } else { format!("{}.{key}", self.field) };
        Self { structure, field, property: key.to_owned() }
    }
}

fn check(place: TypeRef, value: &Value, location: &Location) -> Result<(), DecodeError> {
    let mismatch = |found: String| DecodeError::Type {
        found,
        structure: location.structure.clone(),
        field: location.field.clone(),
        expected: named_text(&location.structure, &location.property).map_or_else(|| go_type(place), str::to_owned),
    };
    if value.is_null() {
        return Ok(());
    }
    if let Some(checked) = check_own_reader(place, value) {
        return checked;
    }
    match (place.json_type(), value) {
        (Some("object"), Value::Object(map)) => {
            for (key, value) in map {
                if let Some(property) = place.property(key) {
                    check(property, value, &location.property(place, key))?;
                } else if let Some(values) = place.map_values() {
                    check(values, value, location)?;
                }
            }
            Ok(())
        }
        (Some("array"), Value::Array(list)) => {
            let Some(items) = place.items() else { return Ok(()) };
            list.iter().try_for_each(|item| check(items, item, location))
        }
        (Some("string"), Value::String(text)) if place.format() == Some("byte") => match decode_base64(text) {
            Ok(()) => Ok(()),
            Err(at) => Err(DecodeError::Base64(at)),
        },
        (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) | (Some("number"), Value::Number(_)) => {
            Ok(())
        }
        (Some("integer"), Value::Number(number)) => {
            let fits =
                number.as_i64().is_some_and(|number| place.format() != Some("int32") || i32::try_from(number).is_ok());
            if fits { Ok(()) } else { Err(mismatch(format!("number {number}"))) }
        }
        (None, _) => Ok(()),
        _ => Err(mismatch(found(value))),
    }
}

/// Types with a reader of their own: amounts, times, numbers-or-texts.
fn check_own_reader(place: TypeRef, value: &Value) -> Option<Result<(), DecodeError>> {
    let text_expected = || Some(Err(DecodeError::Bare { found: found(value), expected: "string".to_owned() }));
    match short_name(place.name()?).as_str() {
        "Quantity" => match value {
            Value::String(text) => Some(text.parse::<Quantity>().map(drop).map_err(DecodeError::from)),
            Value::Number(_) => Some(Ok(())),
            _ => Some(Err(QuantityError::Format.into())),
        },
        "IntOrString" => match value {
            Value::String(_) => Some(Ok(())),
            Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => {
                Some(Ok(()))
            }
            Value::Number(number) => {
                Some(Err(DecodeError::Bare { found: format!("number {number}"), expected: "int32".to_owned() }))
            }
            _ => Some(Err(DecodeError::Bare { found: found(value), expected: "int32".to_owned() })),
        },
        "Time" | "MicroTime" => match value {
            Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => Some(Ok(())),
            Value::String(text) => Some(Err(DecodeError::Time { quoted: names::quote(text) })),
            _ => text_expected(),
        },
        "FieldsV1" | "RawExtension" | "JSON" => Some(Ok(())),
        _ => None,
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
    .to_owned()
}

fn short_name(definition: &str) -> String {
    definition.rsplit('.').next().unwrap_or(definition).to_owned()
}

/// A schema's type as Go names it: `v1.PodSpec`, `[]v1.Container`, `map[string]string`, `int32`.
fn go_type(place: TypeRef) -> String {
    if let Some(name) = place.name() {
        let mut parts = name.rsplit('.');
        let kind = parts.next().unwrap_or_default();
        return format!("{}.{kind}", parts.next().unwrap_or_default());
    }
    match place.json_type() {
        Some("array") => format!("[]{}", place.items().map_or_else(|| "interface {}".to_owned(), go_type)),
        Some("object") => match place.map_values() {
            Some(values) => format!("map[string]{}", go_type(values)),
            None => "map[string]interface {}".to_owned(),
        },
        Some("integer") if place.format() == Some("int32") => "int32".to_owned(),
        Some("integer") => "int64".to_owned(),
        Some("number") => "float64".to_owned(),
        Some("boolean") => "bool".to_owned(),
        Some("string") if place.format() == Some("byte") => "[]uint8".to_owned(),
        _ => "string".to_owned(),
    }
}

/// Texts that have a Go type of their own.
fn named_text(structure: &str, property: &str) -> Option<&'static str> {
    Some(match (structure, property) {
        ("ContainerPort" | "ServicePort" | "EndpointPort", "protocol") => "v1.Protocol",
        ("Container" | "EphemeralContainer", "imagePullPolicy") => "v1.PullPolicy",
        ("Container" | "EphemeralContainer", "terminationMessagePolicy") => "v1.TerminationMessagePolicy",
        ("PodSpec", "restartPolicy") => "v1.RestartPolicy",
        ("PodSpec", "dnsPolicy") => "v1.DNSPolicy",
        ("ServiceSpec", "type") => "v1.ServiceType",
        ("ServiceSpec", "sessionAffinity") => "v1.ServiceAffinity",
        ("DeploymentStrategy", "type") => "v1.DeploymentStrategyType",
        ("HostPathVolumeSource", "type") => "v1.HostPathType",
        ("HTTPGetAction", "scheme") => "v1.URIScheme",
        ("ObjectMeta" | "OwnerReference", "uid") => "types.UID",
        ("Secret", "type") => "v1.SecretType",
        _ => return None,
    })
}

/// Reads standard base64; line breaks inside are fine. Fails with the place of the first wrong byte.
fn decode_base64(text: &str) -> Result<(), usize> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match base64::engine::general_purpose::STANDARD.decode(&plain) {
        Ok(_) => Ok(()),
        Err(base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _)) => Err(at),
        Err(base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding) => Err(plain.len()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(api_version: &str, kind: &str, object: Value) -> String {
        let gvk = Gvk::from_api_version(api_version, kind);
        check_types(&gvk, &object).map_or_else(|error| error.to_string(), |()| "fits".to_owned())
    }

    fn container(container: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    }

    #[test]
    fn complaints_are_gos() {
        for (object, expected) in [
            (
                json!({"spec": {"replicas": "one"}}),
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"spec": {"replicas": 1.5}}),
                "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                json!({"spec": []}),
                "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
            ),
            (
                container(json!({"ports": {"a": 1}})),
                "json: cannot unmarshal object into Go struct field Container.spec.template.spec.containers.ports of type []v1.ContainerPort",
            ),
            (
                container(json!({"imagePullPolicy": true})),
                "json: cannot unmarshal bool into Go struct field Container.spec.template.spec.containers.imagePullPolicy of type v1.PullPolicy",
            ),
            (
                container(json!({"env": [{"name": "a", "value": 1}]})),
                "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
            ),
            (
                container(json!({"resources": {"limits": {"cpu": "much"}}})),
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (container(json!({"resources": {"limits": {"cpu": 1}}, "unknown": 1, "image": null})), "fits"),
            (
                json!({"metadata": {"creationTimestamp": "now"}}),
                "parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\" as \"2006\"",
            ),
        ] {
            assert_eq!(checked("apps/v1", "Deployment", object.clone()), expected, "{object}");
        }
    }

    #[test]
    fn other_kinds() {
        assert_eq!(
            checked("v1", "ConfigMap", json!({"data": {"k": 1}})),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
        );
        assert_eq!(checked("v1", "Secret", json!({"data": {"k": "a-b"}})), "illegal base64 data at input byte 1");
        assert_eq!(
            checked("v1", "Service", json!({"spec": {"ports": [{"targetPort": "http"}, {"targetPort": 1}]}})),
            "fits"
        );
        assert_eq!(
            checked("v1", "Service", json!({"spec": {"ports": [{"targetPort": true}]}})),
            "json: cannot unmarshal bool into Go value of type int32"
        );
        assert_eq!(checked("x.io/v1", "Thing", json!([])), "fits");
    }
}
