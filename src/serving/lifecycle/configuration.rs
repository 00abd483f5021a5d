//! Configuration files: the models to serve, and monitoring.

use std::collections::BTreeSet;
use std::path::Path;

use crate::savedmodel::text_format::{self, Field, FieldValue};
use crate::serving::proto::servable_version_policy::{All, Latest, PolicyChoice, Specific};
use crate::serving::proto::{
    ModelConfig, ModelConfigList, ModelServerConfig, ServableVersionPolicy, model_server_config,
};
use crate::serving::status::{Code, Status};

/// The platform name of TensorFlow models.
const TENSORFLOW: &str = "tensorflow";

/// Why a configuration file gives no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// It cannot be read.
    #[error("{path}; {reason}")]
    Unreadable {
        /// The file as the command line names it.
        path: String,
        /// The system's reason.
        reason: &'static str,
    },
    /// It is not text format, or has fields or values that do not belong there.
    #[error("Invalid protobuf file: '{path}'")]
    Invalid {
        /// The file as the command line names it.
        path: String,
    },
}

impl From<ConfigurationError> for Status {
    fn from(error: ConfigurationError) -> Self {
        let code = match error {
            ConfigurationError::Unreadable { .. } => Code::NotFound,
            ConfigurationError::Invalid { .. } => Code::InvalidArgument,
        };
        Self::new(code, error.to_string())
    }
}

/// What `--monitoring_config_file` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MonitoringConfig {
    /// The path of the Prometheus page; `None` while it is off.
    pub prometheus_path: Option<String>,
}

/// The configuration of a server with one model.
pub fn single_model(name: &str, base_path: &str) -> ModelServerConfig {
    let config = ModelConfig {
        name: name.into(),
        base_path: base_path.into(),
        model_platform: TENSORFLOW.into(),
        ..ModelConfig::default()
    };
    from_models(vec![config])
}

fn from_models(config: Vec<ModelConfig>) -> ModelServerConfig {
    ModelServerConfig { config: Some(model_server_config::Config::ModelConfigList(ModelConfigList { config })) }
}

/// Checks what TensorFlow Serving checks before it takes a configuration on.
pub fn validate_models(models: &[ModelConfig]) -> Result<(), Status> {
    let mut names = BTreeSet::new();
    for model in models {
        if !names.insert(&model.name) {
            return Err(Status::invalid(format!("Illegal to list model {} multiple times in config list", model.name)));
        }
    }
    for model in models {
        if !model.base_path.starts_with('/') && !model.base_path.contains("://") {
            return Err(Status::invalid(format!(
                "Expected model {} to have an absolute path or URI; got base_path()={}",
                model.name, model.base_path
            )));
        }
    }
    for model in models {
        let platform = match (model.model_type, model.model_platform.as_str()) {
            (1, "") => TENSORFLOW,
            (_, "") => {
                return Err(Status::invalid(
                    "Illegal setting neither ModelServerConfig::model_type (deprecated) nor \
                     ModelServerConfig::model_platform.",
                ));
            }
            (_, platform) => platform,
        };
        if platform != TENSORFLOW {
            return Err(Status::invalid(format!("Model {} requests unsupported platform {platform}", model.name)));
        }
    }
    Ok(())
}

/// Reads a `ModelServerConfig`. `shown` is the path that messages name, `path` where it lies.
pub fn read_model_server_config(path: &Path, shown: &str) -> Result<ModelServerConfig, ConfigurationError> {
    let invalid = || ConfigurationError::Invalid { path: shown.to_owned() };
    let fields = read(path, shown)?;
    let mut models: Option<Vec<ModelConfig>> = None;
    for field in &fields {
        let list = message(field, "model_config_list").ok_or_else(invalid)?;
        let models = models.get_or_insert_default();
        for entry in list {
            let model = message(entry, "config").and_then(model).ok_or_else(invalid)?;
            models.push(model);
        }
    }
    Ok(models.map_or_else(ModelServerConfig::default, from_models))
}

/// Reads a `MonitoringConfig`. `shown` is the path that messages name, `path` where it lies.
pub fn read_monitoring_config(path: &Path, shown: &str) -> Result<MonitoringConfig, ConfigurationError> {
    let invalid = || ConfigurationError::Invalid { path: shown.to_owned() };
    let mut enabled = false;
    let mut page = String::new();
    for field in &read(path, shown)? {
        for entry in message(field, "prometheus_config").ok_or_else(invalid)? {
            match entry.name.as_str() {
                "enable" => enabled = boolean(entry).ok_or_else(invalid)?,
                "path" => text(entry).ok_or_else(invalid)?.clone_into(&mut page),
                _ => return Err(invalid()),
            }
        }
    }
    if page.is_empty() {
        "/monitoring/prometheus/metrics".clone_into(&mut page);
    }
    Ok(MonitoringConfig { prometheus_path: enabled.then_some(page) })
}

fn read(path: &Path, shown: &str) -> Result<Vec<Field>, ConfigurationError> {
    let content = std::fs::read_to_string(path).map_err(|error| ConfigurationError::Unreadable {
        path: shown.to_owned(),
        reason: match error.kind() {
            std::io::ErrorKind::NotFound => "No such file or directory",
            std::io::ErrorKind::PermissionDenied => "Permission denied",
            std::io::ErrorKind::IsADirectory => "Is a directory",
            _ => "Input/output error",
        },
    })?;
    text_format::parse(&content).ok_or_else(|| ConfigurationError::Invalid { path: shown.to_owned() })
}

fn message<'a>(field: &'a Field, name: &str) -> Option<&'a [Field]> {
    match &field.value {
        FieldValue::Message(fields) if field.name == name => Some(fields),
        _ => None,
    }
}

fn text(field: &Field) -> Option<&str> {
    match &field.value {
        FieldValue::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

fn integer(field: &Field) -> Option<i64> {
    match &field.value {
        FieldValue::Word(word) => word.parse().ok(),
        _ => None,
    }
}

fn boolean(field: &Field) -> Option<bool> {
    match &field.value {
        FieldValue::Word(word) => match word.as_str() {
            "true" | "True" | "t" | "1" => Some(true),
            "false" | "False" | "f" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn model(fields: &[Field]) -> Option<ModelConfig> {
    let mut model = ModelConfig::default();
    for field in fields {
        match field.name.as_str() {
            "name" => text(field)?.clone_into(&mut model.name),
            "base_path" => text(field)?.clone_into(&mut model.base_path),
            "model_platform" => text(field)?.clone_into(&mut model.model_platform),
            "model_type" => {
                model.model_type = match &field.value {
                    FieldValue::Word(word) => match word.as_str() {
                        "MODEL_TYPE_UNSPECIFIED" | "0" => 0,
                        "TENSORFLOW" | "1" => 1,
                        "OTHER" | "2" => 2,
                        _ => return None,
                    },
                    _ => return None,
                }
            }
            "model_version_policy" => {
                model.model_version_policy = Some(policy(message(field, "model_version_policy")?)?);
            }
            "version_labels" => {
                let (mut key, mut value) = (String::new(), 0);
                for part in message(field, "version_labels")? {
                    match part.name.as_str() {
                        "key" => text(part)?.clone_into(&mut key),
                        "value" => value = integer(part)?,
                        _ => return None,
                    }
                }
                model.version_labels.insert(key, value);
            }
            // Requests are not logged here; the field is accepted like any other of the schema.
            "logging_config" => {
                message(field, "logging_config")?;
            }
            _ => return None,
        }
    }
    Some(model)
}

fn policy(fields: &[Field]) -> Option<ServableVersionPolicy> {
    let mut choice = None;
    for field in fields {
        let FieldValue::Message(inner) = &field.value else { return None };
        choice = Some(match field.name.as_str() {
            "latest" => {
                let mut latest = Latest::default();
                for part in inner {
                    (part.name == "num_versions").then_some(())?;
                    latest.num_versions = u32::try_from(integer(part)?).ok()?;
                }
                PolicyChoice::Latest(latest)
            }
            "all" if inner.is_empty() => PolicyChoice::All(All {}),
            "specific" => {
                let mut specific = Specific::default();
                for part in inner {
                    (part.name == "versions").then_some(())?;
                    specific.versions.push(integer(part)?);
                }
                PolicyChoice::Specific(specific)
            }
            _ => return None,
        });
    }
    Some(ServableVersionPolicy { policy_choice: choice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<ModelServerConfig, ConfigurationError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_model_server_config(file.path(), "/models/models.config")
    }

    #[test]
    fn several_models_with_policies_and_labels_are_read() {
        let config = read_text(
            "model_config_list {\n  config { name: 'a' base_path: '/a' model_platform: 'tensorflow'\n    \
             model_version_policy { specific { versions: 1 versions: 2 } }\n    version_labels { key: 'canary' value: 2 } }\n\
             config: { name: 'b', base_path: '/b', model_platform: 'tensorflow', model_version_policy: { all: {} } } }",
        )
        .unwrap();
        let Some(model_server_config::Config::ModelConfigList(list)) = config.config else { panic!() };
        assert_eq!(list.config.len(), 2);
        assert_eq!(list.config[0].version_labels["canary"], 2);
        let specific = PolicyChoice::Specific(Specific { versions: vec![1, 2] });
        assert_eq!(list.config[0].model_version_policy.as_ref().unwrap().policy_choice, Some(specific));
        assert!(validate_models(&list.config).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        let error = read_text("model_config_list { config { nam: 'a' } }").unwrap_err();
        assert_eq!(error.to_string(), "Invalid protobuf file: '/models/models.config'");
        let model = |name: &str, path: &str, platform: &str| ModelConfig {
            name: name.into(),
            base_path: path.into(),
            model_platform: platform.into(),
            ..ModelConfig::default()
        };
        let twice = [model("a", "/a", "tensorflow"), model("a", "/b", "tensorflow")];
        assert_eq!(
            validate_models(&twice).unwrap_err().text(),
            "Illegal to list model a multiple times in config list"
        );
        let relative = validate_models(&[model("a", "a", "tensorflow")]).unwrap_err();
        assert_eq!(relative.text(), "Expected model a to have an absolute path or URI; got base_path()=a");
        assert!(validate_models(&[model("a", "/a", "torch")]).is_err());
        assert!(validate_models(&[model("a", "/a", "")]).is_err());
    }
}
