//! The cures that are safe: they remove nothing of a person's, and each says what it does before it does it.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::checks::{Check, Subject, pinned_minikube};
use super::failure::Failure;
use super::matrix::Matrix;
use super::reasons::Reason;
use crate::cluster::{Api, ObjectRef};
use crate::download::{Checksum, Download, DownloadError, Downloader, Patience};

/// A published checksum is one short line.
const CHECKSUM_LIMIT: usize = 4096;

/// One cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Downloads the pinned minikube into the lab's home.
    Minikube {
        /// Where it comes from.
        url: String,
        /// Where it goes.
        target: PathBuf,
    },
    /// Deletes webhook configurations whose service is gone.
    MeshLeftovers,
    /// Labels the lab's namespace for injection.
    Injection {
        /// The namespace.
        namespace: String,
    },
}

impl Fix {
    /// What it does, to be asked about.
    pub fn question(&self) -> String {
        match self {
            Self::Minikube { url, target } => {
                format!("Download {url} to {} (used by this lab only)?", target.display())
            }
            Self::MeshLeftovers => "Delete the webhook configurations of the removed Istio?".to_owned(),
            Self::Injection { namespace } => format!("Label namespace {namespace} with istio-injection=enabled?"),
        }
    }
}

/// The cures for what the checks found; `named` (ids of checks) limits them, and one that is named is offered even where
/// nothing is wrong with it yet.
pub fn offered(checks: &[Check], named: &[String], subject: &Subject<'_>) -> Result<Vec<Fix>, Failure> {
    let mut fixes = Vec::new();
    for check in checks.iter().filter(|check| check.kind.fixable) {
        let asked = named.iter().any(|id| id == check.kind.id);
        if !(asked || (named.is_empty() && check.failure().is_some())) {
            continue;
        }
        let fix = match check.kind.id {
            "minikube" | "minikube-kubernetes" => pinned(subject)?,
            "mesh-leftovers" if check.failure().is_some() => Fix::MeshLeftovers,
            "injection" if check.failure().is_some() => Fix::Injection { namespace: subject.lab.namespace.clone() },
            _ => continue,
        };
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
    }
    Ok(fixes)
}

fn pinned(subject: &Subject<'_>) -> Result<Fix, Failure> {
    let matrix = Matrix::embedded().map_err(|error| Failure::new(Reason::Internal, error.to_string()))?;
    let system = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    let processor = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let own = subject.environment.text("CANARY_LAB_MINIKUBE_URL");
    let url = own.unwrap_or(&matrix.pinned_minikube.url);
    let url = url
        .replace("{version}", &matrix.pinned_minikube.version.to_string())
        .replace("{os}", system)
        .replace("{arch}", processor);
    Ok(Fix::Minikube { url, target: pinned_minikube(subject.home) })
}

/// Applies a cure and says what was done.
pub async fn apply(fix: &Fix, api: Option<&Api>) -> Result<String, Failure> {
    let needs_api = || Failure::new(Reason::ClusterNotRunning, "there is no cluster to mend");
    match fix {
        Fix::Minikube { url, target } => fetch_program(url, target).await,
        Fix::MeshLeftovers => {
            let api = api.ok_or_else(needs_api)?;
            let failed = |error: crate::cluster::ApiError| {
                Failure::new(Reason::ApplyRefused, "a webhook cannot be deleted").observed(error.to_string())
            };
            let orphans = super::checks::orphaned_webhooks(api).await.map_err(failed)?;
            let mut names = Vec::new();
            for orphan in &orphans {
                api.delete(orphan, None).await.map_err(failed)?;
                names.push(orphan.label());
            }
            Ok(format!("deleted {}", names.join(", ")))
        }
        Fix::Injection { namespace } => {
            let api = api.ok_or_else(needs_api)?;
            let patch = json!({"metadata": {"labels": {"istio-injection": "enabled"}}});
            let reference = ObjectRef::new("v1", "Namespace", None, namespace);
            let patched = api.patch(&reference, "application/merge-patch+json", &patch, "kubectl-label").await;
            patched.map_err(|error| {
                Failure::new(Reason::ApplyRefused, "the namespace cannot be labelled").observed(error.to_string())
            })?;
            Ok(format!("namespace {namespace} is labelled; pods made from now on get a sidecar"))
        }
    }
}

/// Downloads a program whose SHA-256 is published beside it as `URL.sha256`.
async fn fetch_program(url: &str, target: &std::path::Path) -> Result<String, Failure> {
    let downloader = Downloader::new(Patience::ASKED_FOR)
        .map_err(|error| Failure::new(Reason::Internal, "no HTTP client").observed(error.to_string()))?;
    let published = downloader.text(&format!("{url}.sha256"), CHECKSUM_LIMIT).await?;
    let checksum = published.split_whitespace().next().and_then(|word| word.parse::<Checksum>().ok());
    let Some(checksum @ Checksum::Sha256(_)) = checksum else {
        return Err(
            Failure::new(Reason::DownloadDamaged, format!("{url}.sha256 holds no checksum")).observed(published)
        );
    };
    let download = Download { name: "minikube".to_owned(), urls: vec![url.to_owned()], size: None, checksum };
    let _ = downloader.fetch(&download, target, &mut |_| {}).await?;
    make_executable(target).map_err(|source| DownloadError::Io { path: target.to_owned(), source })?;
    Ok(format!("{} is there, {checksum}", target.display()))
}

fn make_executable(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
