//! Manifests: one object a file, with one variable.

use serde::Serialize;
use serde_json::Value;

use super::error::{LabError, nearest};
use crate::objects::Gvk;
use crate::objects::schemas::{UnknownField, unknown_fields};
use crate::yaml::{self, YamlError, line_of_key};

/// The one variable of the manifests: the directory that holds the models, as the cluster's node sees it.
pub(super) const MODELS_VARIABLE: &str = "${MODELS}";

/// Which object a manifest describes; two manifests with equal keys describe the same object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ManifestKey {
    /// The API group; empty for the core one.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace, if the manifest names one.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ManifestKey {
    /// Whether the object takes part in routing.
    pub fn is_route(&self) -> bool {
        self.group == "networking.istio.io"
    }

    /// `Deployment tf-serving/x`.
    pub fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// One manifest, as it lies in the lab.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file's name, as in the tutorial.
    pub file: String,
    /// Its text, with the variable.
    text: String,
    /// Which object it describes.
    pub key: ManifestKey,
    /// The version of its group, such as `networking.istio.io/v1alpha3`.
    pub api_version: String,
}

impl Manifest {
    /// Reads a manifest strictly enough to know which object it is.
    pub(super) fn parse(file: &str, shown: &str, text: String) -> Result<Self, LabError> {
        let object = parse_object(shown, &text)?;
        let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let needed = |pointer: &str, name: &str| {
            field(pointer).ok_or_else(|| LabError::invalid(shown, 1, format!("`{name}` is missing")))
        };
        let api_version = needed("/apiVersion", "apiVersion")?;
        let key = ManifestKey {
            group: api_version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default(),
            kind: needed("/kind", "kind")?,
            namespace: field("/metadata/namespace"),
            name: needed("/metadata/name", "metadata.name")?,
        };
        refuse_unknown_keys(shown, &text, &object, &api_version, &key.kind)?;
        Ok(Self { file: file.to_owned(), text, key, api_version })
    }

    /// The text with the models' directory put in. A path that would mean something else to YAML stands in quotes.
    pub fn text(&self, models: &str) -> String {
        let lines = self.text.split_inclusive('\n').map(|line| {
            let Some((before, value)) = line.split_once(": ").filter(|(_, value)| value.starts_with(MODELS_VARIABLE))
            else {
                return line.replace(MODELS_VARIABLE, models);
            };
            let (value, end) = value.trim_end_matches(['\n', '\r']).split_at(value.trim_end().len());
            let value = value.replace(MODELS_VARIABLE, models);
            let is_plain = serde_yaml::from_str::<Value>(&value).is_ok_and(|read| read == value.as_str());
            let value = if is_plain { value } else { Value::String(value).to_string() };
            let rest = if line.ends_with('\n') { "\n" } else { "" };
            format!("{before}: {value}{end}{rest}")
        });
        lines.collect()
    }

    /// The object with the models' directory put in.
    pub fn object(&self, models: &str) -> Result<Value, LabError> {
        parse_object(&self.file, &self.text(models))
    }
}

impl Manifest {
    /// Changes the object; the text is written anew only if something became different.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), LabError> {
        // The variable stands in a text of the object and passes through.
        let before = parse_object(&self.file, &self.text)?;
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            self.text = serde_yaml::to_string(&after)
                .map_err(|error| LabError::invalid(&self.file, 1, format!("cannot be written anew: {error}")))?;
            self.key.namespace = after.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
        }
        Ok(())
    }
}

/// Names the first key that the object's kind does not have. (Custom kinds are judged by the cluster that defines them.)
fn refuse_unknown_keys(shown: &str, text: &str, object: &Value, api_version: &str, kind: &str) -> Result<(), LabError> {
    let gvk = Gvk::from_api_version(api_version, kind);
    let Some(UnknownField { key, known, .. }) = unknown_fields(&gvk, object).into_iter().next() else { return Ok(()) };
    let (file, line) = (shown.to_owned(), line_of_key(text, &key, 1).unwrap_or(1));
    let nearest = nearest(&key, &known).map(str::to_owned);
    Err(YamlError::UnknownKey { file, line, key, nearest, known }.into())
}

fn parse_object(shown: &str, text: &str) -> Result<Value, LabError> {
    let value: Value = yaml::parse(shown, text)?;
    if value.is_object() { Ok(value) } else { Err(LabError::invalid(shown, 1, "a manifest is one mapping".to_owned())) }
}
