//! A container's environment: where its variables come from and how `$(NAME)` is expanded.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value;

use crate::objects::quantity::Quantity;

/// Where ConfigMaps and Secrets of the pod's namespace are looked up.
pub(crate) trait Sources {
    /// The ConfigMap with this name.
    fn config_map(&self, name: &str) -> Option<Arc<Value>>;
    /// The Secret with this name.
    fn secret(&self, name: &str) -> Option<Arc<Value>>;
    /// The PersistentVolumeClaim with this name.
    fn claim(&self, name: &str) -> Option<Arc<Value>>;
    /// The PersistentVolume with this name.
    fn volume(&self, name: &str) -> Option<Arc<Value>>;
}

/// Why an environment cannot be made; the texts are the kubelet's, shown as `CreateContainerConfigError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// A ConfigMap is missing.
    #[error("configmap \"{0}\" not found")]
    MissingConfigMap(String),
    /// A Secret is missing.
    #[error("secret \"{0}\" not found")]
    MissingSecret(String),
    /// A ConfigMap or Secret lacks a key.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    MissingKey {
        /// The key.
        key: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The pod's namespace.
        namespace: String,
        /// The object's name.
        name: String,
    },
    /// A `fieldRef` that pods do not have.
    #[error("unsupported fieldPath: {0}")]
    UnknownField(String),
}

/// The variables of a container, sorted by name; later sources replace earlier ones: the image, `envFrom`, `env`.
pub(crate) fn environment(
    image: &[(&str, &str)],
    pod: &Value,
    container: &Value,
    sources: &dyn Sources,
) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let mut variables: BTreeMap<String, String> =
        image.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        for (name, value) in bulk(source, sources)? {
            let name = format!("{prefix}{name}");
            if is_variable_name(&name) {
                variables.insert(name, value);
            }
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let Some(name) = variable["name"].as_str() else { continue };
        let value = match variable.get("valueFrom") {
            Some(from) if from.is_object() => value_from(from, pod, container, sources)?,
            _ => Some(expand(variable["value"].as_str().unwrap_or_default(), &variables)),
        };
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    }
    Ok(variables)
}

/// Replaces `$(NAME)` by the variable's value; `$$` stands for a dollar sign, and what is not defined stays as it is.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            expanded.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            if let Some(value) = variables.get(name) {
                expanded.push_str(value);
            } else {
                expanded.push_str("$(");
                expanded.push_str(name);
                expanded.push(')');
            }
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

/// A field of the pod, as environment variables and downward API files name it.
pub(crate) fn pod_field(pod: &Value, path: &str) -> Result<String, EnvironmentError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let map = |value: &Value| {
        let entries = value.as_object().into_iter().flatten();
        let mut lines: Vec<String> = entries.map(|(name, value)| format!("{name}={}", quoted(&text(value)))).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let metadata = &pod["metadata"];
    let subscript = |field: &str| path.strip_prefix(field)?.strip_prefix("['")?.strip_suffix("']");
    Ok(match path {
        "metadata.name" => text(&metadata["name"]),
        "metadata.namespace" => text(&metadata["namespace"]),
        "metadata.uid" => text(&metadata["uid"]),
        "metadata.labels" => map(&metadata["labels"]),
        "metadata.annotations" => map(&metadata["annotations"]),
        "spec.nodeName" => text(&pod["spec"]["nodeName"]),
        "spec.serviceAccountName" => pod["spec"]["serviceAccountName"].as_str().unwrap_or("default").to_owned(),
        "status.hostIP" => text(&pod["status"]["hostIP"]),
        "status.podIP" | "status.podIPs" => text(&pod["status"]["podIP"]),
        _ => {
            if let Some(label) = subscript("metadata.labels") {
                text(&metadata["labels"][label])
            } else if let Some(annotation) = subscript("metadata.annotations") {
                text(&metadata["annotations"][annotation])
            } else {
                return Err(EnvironmentError::UnknownField(path.to_owned()));
            }
        }
    })
}

/// The value of a resource request or limit in units of the divisor, rounded up.
pub(crate) fn resource_field(container: &Value, reference: &Value) -> Option<String> {
    let resource = reference["resource"].as_str()?;
    let (list, name) = resource.split_once('.')?;
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<Quantity>().ok());
    let amount = parse(&container["resources"][list][name]).unwrap_or(Quantity::whole(0));
    let divisor = parse(&reference["divisor"]).filter(|one| one.milli_value() > 0).unwrap_or(Quantity::whole(1));
    // In thousandths the memory of any machine still fits.
    Some(
        (i128::from(amount.milli_value()) + i128::from(divisor.milli_value()) - 1)
            .div_euclid(divisor.milli_value().into())
            .to_string(),
    )
}

fn bulk(source: &Value, sources: &dyn Sources) -> Result<Vec<(String, String)>, EnvironmentError> {
    let mut entries = vec![];
    if let Some(name) = source["configMapRef"]["name"].as_str() {
        match sources.config_map(name) {
            Some(map) => entries.extend(config_map_texts(&map)),
            None if source["configMapRef"]["optional"] == true => {}
            None => return Err(EnvironmentError::MissingConfigMap(name.to_owned())),
        }
    }
    if let Some(name) = source["secretRef"]["name"].as_str() {
        match sources.secret(name) {
            Some(secret) => entries.extend(secret_texts(&secret)),
            None if source["secretRef"]["optional"] == true => {}
            None => return Err(EnvironmentError::MissingSecret(name.to_owned())),
        }
    }
    Ok(entries)
}

fn config_map_texts(map: &Value) -> Vec<(String, String)> {
    let entries = map["data"].as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn secret_texts(secret: &Value) -> Vec<(String, String)> {
    let entries = secret["data"].as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), String::from_utf8_lossy(&secret_bytes(value)).into_owned())).collect()
}

/// The bytes of one value of a Secret.
pub(crate) fn secret_bytes(value: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}

/// A single value; `None` when an optional source is missing.
fn value_from(
    from: &Value,
    pod: &Value,
    container: &Value,
    sources: &dyn Sources,
) -> Result<Option<String>, EnvironmentError> {
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return pod_field(pod, path).map(Some);
    }
    if from["resourceFieldRef"].is_object() {
        return Ok(resource_field(container, &from["resourceFieldRef"]));
    }
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    for (field, kind) in [("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")] {
        let reference = &from[field];
        let Some(name) = reference["name"].as_str() else { continue };
        let key = reference["key"].as_str().unwrap_or_default();
        let optional = reference["optional"] == true;
        let (object, missing) = if kind == "ConfigMap" {
            (sources.config_map(name), EnvironmentError::MissingConfigMap(name.to_owned()))
        } else {
            (sources.secret(name), EnvironmentError::MissingSecret(name.to_owned()))
        };
        let Some(object) = object else {
            return if optional { Ok(None) } else { Err(missing) };
        };
        let texts = if kind == "ConfigMap" { config_map_texts(&object) } else { secret_texts(&object) };
        return match texts.into_iter().find(|(one, _)| one == key) {
            Some((_, value)) => Ok(Some(value)),
            None if optional => Ok(None),
            None => Err(EnvironmentError::MissingKey {
                key: key.to_owned(),
                kind,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
        };
    }
    Ok(None)
}

/// Kubernetes takes more than shells do: dots and hyphens are fine, a digit at the start is not.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.'))
}

/// A text in double quotes as Go prints it, which is the form of the downward API's files.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Fixed;

    impl Sources for Fixed {
        fn claim(&self, _: &str) -> Option<Arc<Value>> {
            None
        }

        fn volume(&self, _: &str) -> Option<Arc<Value>> {
            None
        }

        fn config_map(&self, name: &str) -> Option<Arc<Value>> {
            (name == "resnet50-configs").then(|| {
                Arc::new(
                    json!({"data": {"MODEL_NAME": "image_classifier", "MODEL_PATH": "/models/resnet50", "1x": "-"}}),
                )
            })
        }

        fn secret(&self, name: &str) -> Option<Arc<Value>> {
            (name == "key").then(|| Arc::new(json!({"data": {"token": "aGVsbG8="}})))
        }
    }

    fn made(container: &Value) -> Result<BTreeMap<String, String>, EnvironmentError> {
        let pod = json!({"metadata": {"name": "p", "namespace": "tf-serving", "labels": {"app": "x"}},
            "status": {"podIP": "127.77.128.2"}});
        environment(&[("MODEL_NAME", "model")], &pod, container, &Fixed)
    }

    #[test]
    fn later_sources_replace_earlier_ones() {
        let variables = made(&json!({
            "envFrom": [{"configMapRef": {"name": "resnet50-configs"}}, {"prefix": "S_", "secretRef": {"name": "key"}}],
            "env": [
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "URL", "value": "http://$(IP):8501/$(MODEL_NAME)$(LATER)$$(IP)"},
                {"name": "LATER", "value": "x"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}},
                {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "nope", "key": "a", "optional": true}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "resources": {"limits": {"cpu": "1500m"}},
        }))
        .unwrap();
        let shown: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            shown,
            [
                "APP=x",
                "CPU=2",
                "IP=127.77.128.2",
                "LATER=x",
                "MODEL_NAME=image_classifier",
                "MODEL_PATH=/models/resnet50",
                "S_token=hello",
                "TOKEN=hello",
                "URL=http://127.77.128.2:8501/image_classifier$(LATER)$(IP)",
            ]
        );
    }

    #[test]
    fn missing_sources_are_named_in_the_kubelets_words() {
        let cases = [
            (json!({"envFrom": [{"configMapRef": {"name": "gone"}}]}), "configmap \"gone\" not found"),
            (json!({"envFrom": [{"secretRef": {"name": "gone"}}]}), "secret \"gone\" not found"),
            (
                json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "resnet50-configs", "key": "b"}}}]}),
                "couldn't find key b in ConfigMap tf-serving/resnet50-configs",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.color"}}}]}),
                "unsupported fieldPath: spec.color",
            ),
        ];
        for (container, text) in cases {
            assert_eq!(made(&container).unwrap_err().to_string(), text);
        }
        assert!(made(&json!({"envFrom": [{"configMapRef": {"name": "gone", "optional": true}}]})).is_ok());
    }

    #[test]
    fn expansion_leaves_alone_what_it_does_not_know() {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let cases = [
            ("--x=$(A)", "--x=1"),
            ("$(B)$(A", "$(B)$(A"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A ${A} $", "$A ${A} $"),
            ("", ""),
        ];
        for (text, expanded) in cases {
            assert_eq!(expand(text, &variables), expanded);
        }
    }
}
