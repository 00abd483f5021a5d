//! What a proxy process is told by the kubelet, through its environment.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::control::SOCKET_VARIABLE;
use crate::process::{SANDBOX_VARIABLE, Sandbox, SandboxError};

/// The environment variable with an [`Application`] as JSON, for sidecars:
/// `{"application":"127.77.192.3","ports":[8501,8500]}`.
pub const SIDECAR_VARIABLE: &str = "CANARY_LAB_SIDECAR";

/// The application behind a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Application {
    /// The hidden address that it binds.
    pub application: IpAddr,
    /// The container ports that the sidecar owns on the pod's address, the same numbers as behind it.
    pub ports: Vec<u16>,
}

/// A proxy's place in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyOptions {
    /// The pod's address: the only one to bind.
    pub bind: IpAddr,
    /// The mesh's unix socket.
    pub mesh_socket: PathBuf,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The application, for a sidecar.
    pub application: Option<Application>,
}

/// Why a proxy cannot start from its environment.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A variable is not there.
    #[error("the environment variable {0} is not set; the embedded cluster's kubelet sets it")]
    Missing(&'static str),
    /// The sandbox cannot be read.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The sidecar's application cannot be read.
    #[error("the environment variable {SIDECAR_VARIABLE} does not hold an application: {0}")]
    Application(serde_json::Error),
}

impl ProxyOptions {
    /// Reads the options through a look-up of environment variables.
    ///
    /// # Errors
    /// A variable that is missing or cannot be read.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, OptionsError> {
        let required = |name: &'static str| variable(name).ok_or(OptionsError::Missing(name));
        let application = match variable(SIDECAR_VARIABLE) {
            None => None,
            Some(text) => Some(serde_json::from_str(&text).map_err(OptionsError::Application)?),
        };
        Ok(Self {
            bind: Sandbox::from_variable(&required(SANDBOX_VARIABLE)?)?.bind,
            mesh_socket: required(SOCKET_VARIABLE)?.into(),
            namespace: required("POD_NAMESPACE")?,
            name: required("POD_NAME")?,
            application,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_variables_are_read() {
        let variable = |name: &str| {
            Some(match name {
                SANDBOX_VARIABLE => r#"{"bind":"127.77.128.3"}"#.to_owned(),
                SOCKET_VARIABLE => "/run/mesh.sock".to_owned(),
                "POD_NAMESPACE" => "tf-serving".to_owned(),
                "POD_NAME" => "p".to_owned(),
                SIDECAR_VARIABLE => r#"{"application":"127.77.192.3","ports":[8501]}"#.to_owned(),
                _ => return None,
            })
        };
        let options = ProxyOptions::from_variables(variable).unwrap();
        assert_eq!(options.application.unwrap().ports, [8501]);
        let missing = ProxyOptions::from_variables(|_| None).unwrap_err();
        assert!(missing.to_string().contains(SANDBOX_VARIABLE));
    }
}
