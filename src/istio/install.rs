//! What istioctl installs, and what is taken away again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;

use crate::tools::istioctl::{Event, events, lacks_api_versions, lacks_cluster};
use crate::tools::{Call, Tool, ToolError};
use crate::ui::Progress;

/// istioctl waits 300 s for each of two components, after images were pulled.
const INSTALL_WITHIN: Duration = Duration::from_mins(15);
/// An uninstall takes seconds; namespaces take longer and are not istioctl's matter.
const UNINSTALL_WITHIN: Duration = Duration::from_mins(3);

/// Cluster-wide objects that the uninstall of some releases leaves behind, by kind and name.
pub const SURVIVORS: [(&str, &str); 4] = [
    ("ValidatingWebhookConfiguration", "istiod-default-validator"),
    ("ValidatingWebhookConfiguration", "istio-validator-istio-system"),
    ("MutatingWebhookConfiguration", "istio-revision-tag-default"),
    ("MutatingWebhookConfiguration", "istio-sidecar-injector"),
];

/// What `--set` may begin with to be istioctl's: the fields of IstioOperator's spec.
const OPTIONS: [&str; 12] = [
    "profile",
    "hub",
    "tag",
    "revision",
    "meshConfig",
    "components",
    "addonComponents",
    "values",
    "unvalidatedValues",
    "installPackagePath",
    "namespace",
    "compatibilityVersion",
];

/// Whether a `--set KEY=VALUE` is one of istioctl's.
pub fn is_installer_option(assignment: &str) -> bool {
    let key = assignment.split('=').next().unwrap_or_default();
    let first = key.split(['.', '[']).next().unwrap_or_default();
    OPTIONS.contains(&first)
}

/// Why an install or uninstall failed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// istioctl could not be run, or did not end.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The cluster no longer has API versions that this Istio writes.
    #[error("the cluster does not know the API versions that this Istio writes")]
    ClusterTooNew {
        /// istioctl's words.
        said: Vec<String>,
    },
    /// istioctl found no cluster.
    #[error("istioctl reaches no cluster")]
    NoCluster {
        /// istioctl's words.
        said: Vec<String>,
    },
    /// A value of the user's is unknown to istioctl.
    #[error("istioctl does not accept a `--set`")]
    OptionRefused {
        /// istioctl's words.
        said: Vec<String>,
    },
    /// It gave up for another reason.
    #[error("istioctl gave up{}", component.as_ref().map(|name| format!(" at {name}")).unwrap_or_default())]
    GaveUp {
        /// The component that failed.
        component: Option<String>,
        /// istioctl's words.
        said: Vec<String>,
    },
}

/// istioctl of a release, with a cluster.
#[derive(Debug, Clone)]
pub struct Installer {
    tool: Tool,
    manifests: PathBuf,
}

/// What was seen while it ran.
#[derive(Default)]
struct Seen {
    failed: Option<(String, String)>,
    gives_up: Option<String>,
    warnings: Vec<String>,
}

impl Installer {
    /// For the cluster of a kubeconfig. `tool` is the release's istioctl, `folder` the unpacked release.
    pub fn new(tool: Tool, folder: &Path, kubeconfig: &Path) -> Self {
        Self { tool: tool.with("KUBECONFIG", kubeconfig), manifests: folder.join("manifests") }
    }

    /// `istioctl install -y` with the release's own charts. Returns the API server's warnings.
    pub async fn install(&self, set: &[String], progress: &Progress) -> Result<Vec<String>, InstallError> {
        let mut args = vec!["install".to_owned(), "-y".to_owned()];
        if self.manifests.is_dir() {
            args.extend(["--manifests".to_owned(), self.manifests.display().to_string()]);
        }
        for assignment in set {
            args.extend(["--set".to_owned(), assignment.clone()]);
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (notes, kept) = (progress.clone(), Arc::clone(&seen));
        let ran = self.tool.follow(Call::new(&args, INSTALL_WITHIN), move |_, line| {
            for event in events(line) {
                note(&event, &notes, &mut kept.lock().unwrap_or_else(PoisonError::into_inner));
            }
        });
        let ran = ran.await?;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        if ran.succeeded() {
            self.tool.trace().read(&format!("installed, {} warnings", seen.warnings.len()));
            return Ok(seen.warnings);
        }
        let mut said: Vec<String> =
            seen.failed.iter().map(|(component, message)| format!("{component}: {message}")).collect();
        said.extend(seen.gives_up.clone());
        if said.is_empty() {
            said = ran.last_lines(5);
        }
        let refused = seen.gives_up.as_deref().is_some_and(|text| text.starts_with("generate config:"));
        Err(if lacks_api_versions(&ran) {
            InstallError::ClusterTooNew { said }
        } else if lacks_cluster(&ran) {
            InstallError::NoCluster { said }
        } else if refused {
            InstallError::OptionRefused { said }
        } else {
            InstallError::GaveUp { component: seen.failed.map(|(component, _)| component), said }
        })
    }

    /// Istio's own uninstall. Namespaces, and the objects in [`SURVIVORS`] that some releases leave, are the caller's.
    pub async fn uninstall(&self) -> Result<(), InstallError> {
        let ran = self.tool.run(Call::new(["x", "uninstall", "--purge", "-y"], UNINSTALL_WITHIN)).await?;
        if ran.succeeded() {
            return Ok(());
        }
        Err(InstallError::GaveUp { component: None, said: ran.last_lines(5) })
    }
}

fn note(event: &Event, progress: &Progress, seen: &mut Seen) {
    match event {
        Event::Working { component, waits_for } => {
            progress.awaiting(
                format!("installing {component}"),
                waits_for.as_ref().map(|what| format!("waiting for {what}")),
            );
        }
        Event::Installed(component) => progress.awaiting("installing Istio", Some(format!("{component} installed"))),
        Event::Failed { component, message } => seen.failed = Some((component.clone(), message.clone())),
        Event::GivesUp(message) => seen.gives_up = Some(message.clone()),
        Event::Warning(text) => seen.warnings.push(text.clone()),
        Event::Other(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_istios_own_options_are_passed_on() {
        for (assignment, is_istios) in [
            ("values.telemetry.enabled=false", true),
            ("components.egressGateways[0].enabled=true", true),
            ("profile=demo", true),
            ("resnet50.replicas=20", false),
            ("valeus.x=1", false),
        ] {
            assert_eq!(is_installer_option(assignment), is_istios, "{assignment}");
        }
    }
}
