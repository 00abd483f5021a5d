//! Other programs: which are there, of which version, and whether they go together.

use super::Finding;
use super::subject::{Subject, Target};
use crate::cluster::ClusterError;
use crate::doctor::{Failure, Reason};
use crate::tools::{Tool, ToolError, docker, istioctl, kubectl, minikube};

pub(super) fn curl(subject: &Subject<'_>) -> Finding {
    match subject.tool("curl") {
        Some(tool) => Finding::Fine(format!("curl ({})", tool.program().display())),
        None => Finding::Warning(missing("curl", "typing the tutorial's requests")),
    }
}

fn missing(name: &str, purpose: &str) -> Failure {
    Failure::new(Reason::ToolMissing, format!("{name} is not installed; {purpose} needs it"))
}

/// A program that does not answer, told by how.
fn broken(name: &str, error: &ToolError) -> Failure {
    let reason = if matches!(error, ToolError::Hung { .. }) { Reason::ToolHung } else { Reason::ToolFailed };
    let failure = Failure::new(reason, format!("{name} does not say who it is")).observed(error.to_string());
    match error {
        ToolError::Hung { last, .. } => last.iter().cloned().fold(failure, Failure::observed),
        _ => failure,
    }
}

fn mute(name: &str, ran: &crate::tools::Ran) -> Failure {
    unclear(format!("{name} does not say its version"), ran)
}

fn unclear(what: String, ran: &crate::tools::Ran) -> Failure {
    let failure = Failure::new(Reason::ToolFailed, what).observed(ran.how());
    ran.last_lines(3).into_iter().fold(failure, Failure::observed)
}

pub(super) async fn kubectl(subject: &Subject<'_>) -> Finding {
    let Some(tool) = subject.tool("kubectl") else {
        return Finding::Warning(missing("kubectl", "typing the tutorial's commands"));
    };
    let version = match subject.ask(&tool, &["version", "--client", "-o", "json"]).await {
        Ok(ran) => match kubectl::version(&ran) {
            Some(version) => version,
            None => return Finding::Warning(mute("kubectl", &ran)),
        },
        Err(error) => return Finding::Warning(broken("kubectl", &error)),
    };
    let told = format!("kubectl {}.{} ({})", version.major, version.minor, tool.program().display());
    if subject.matrix().is_none_or(|matrix| matrix.kubectl_fits(&version, &subject.kubernetes)) {
        return Finding::Fine(told);
    }
    Finding::Warning(
        Failure::new(Reason::KubectlSkew, format!("{told} is far from Kubernetes {}", subject.kubernetes))
            .observed(format!("kubectl {version}, server {}", subject.kubernetes)),
    )
}

pub(super) async fn istioctl(subject: &Subject<'_>) -> Finding {
    let Some(tool) = subject.tool("istioctl") else {
        return Finding::Fine("no istioctl on PATH; the lab brings its own where it needs one".to_owned());
    };
    match subject.ask(&tool, &["version", "--remote=false"]).await {
        Ok(ran) => match istioctl::version(&ran) {
            Some(version) if version.to_string() == subject.istio => {
                Finding::Fine(format!("istioctl {version} ({})", tool.program().display()))
            }
            Some(version) => Finding::Warning(
                Failure::new(
                    Reason::IstioctlOther,
                    format!("istioctl on PATH is {version}, the lab's Istio is {}", subject.istio),
                )
                .observed(tool.program().display().to_string()),
            ),
            None => Finding::Warning(mute("istioctl", &ran)),
        },
        Err(error) => Finding::Warning(broken("istioctl", &error)),
    }
}

pub(super) async fn minikube(subject: &Subject<'_>) -> Finding {
    match subject.minikube().await {
        Some((program, Some(version))) => Finding::Fine(format!("minikube {version} ({})", program.display())),
        Some((program, None)) => {
            let tool = Tool::new(&program, subject.environment, subject.trace.clone());
            let failure = match subject.ask(&tool, &["version"]).await {
                Ok(ran) => mute("minikube", &ran),
                Err(error) => broken("minikube", &error),
            };
            Finding::Failed(failure)
        }
        None => Finding::Failed(Failure::new(Reason::MinikubeMissing, "minikube is not installed")),
    }
}

/// The classic: a current minikube starts no Kubernetes that the tutorial's Istio runs on.
pub(super) async fn minikube_kubernetes(subject: &Subject<'_>) -> Finding {
    let (Some((_, Some(version))), Some(matrix)) = (subject.minikube().await, subject.matrix()) else {
        return Finding::Skipped("minikube does not tell its version".to_owned());
    };
    if let Some(runs) = subject.runs_already() {
        return Finding::Fine(runs);
    }
    let wanted = &subject.kubernetes;
    if subject.force && !matrix.minikube_starts(&version, wanted) {
        return Finding::Fine(format!("minikube {version} is told to start Kubernetes {wanted} all the same"));
    }
    if matrix.minikube_starts(&version, wanted) {
        return Finding::Fine(format!("minikube {version} starts Kubernetes {wanted}"));
    }
    let oldest = matrix.oldest_kubernetes(&version);
    let headline = format!(
        "minikube {version} starts no Kubernetes older than {oldest}, and Istio {} needs {}",
        subject.istio,
        matrix.range(&subject.istio)
    );
    let fits_istio = matches!(
        matrix.fit(&oldest.to_string(), &subject.istio),
        super::super::matrix::Fit::Works | super::super::matrix::Fit::Supported
    );
    let reason = if fits_istio { Reason::MinikubeVersionUnfit } else { Reason::MinikubeTooNew };
    Finding::Failed(
        Failure::new(reason, headline)
            .observed(format!("wanted: Kubernetes {wanted}; minikube would say K8S_OLD_UNSUPPORTED"))
            .observed("a newer Kubernetes would start, and then `istioctl install` would fail on PodDisruptionBudget and HorizontalPodAutoscaler"),
    )
}

/// Docker is one of minikube's drivers: only when it was asked for is its absence an error.
pub(super) async fn docker(subject: &Subject<'_>) -> Finding {
    if let Some(runs) = subject.runs_already() {
        return Finding::Fine(runs);
    }
    match (look_at_docker(subject).await, subject.driver.as_deref()) {
        (Finding::Failed(failure), None) => Finding::Warning(failure),
        (finding, _) => finding,
    }
}

async fn look_at_docker(subject: &Subject<'_>) -> Finding {
    if subject.driver.as_deref().is_some_and(|driver| driver != "docker") {
        return Finding::Skipped(format!("driver {} was asked for", subject.driver.as_deref().unwrap_or_default()));
    }
    let Some(tool) = subject.tool("docker") else {
        return Finding::Failed(missing("docker", "minikube's docker driver"));
    };
    if docker::is_from_snap(tool.program()) {
        return Finding::Failed(
            Failure::new(Reason::DockerFromSnap, "docker comes from snap")
                .observed(tool.program().display().to_string()),
        );
    }
    match subject.ask(&tool, &["info"]).await {
        Ok(ran) => match docker::standing(&ran) {
            docker::Standing::Answers => Finding::Fine(format!("docker answers ({})", tool.program().display())),
            docker::Standing::Forbidden(line) => {
                Finding::Failed(Failure::new(Reason::DockerForbidden, "this user may not use docker").observed(line))
            }
            docker::Standing::Down(line) => {
                Finding::Failed(Failure::new(Reason::DockerDown, "the docker engine does not run").observed(line))
            }
            docker::Standing::Unclear(line) => {
                Finding::Warning(Failure::new(Reason::ToolFailed, "docker does not say how it is").observed(line))
            }
        },
        Err(error) => Finding::Failed(broken("docker", &error)),
    }
}

/// From Kubernetes 1.24 on, driver none needs what used to be in the kubelet.
pub(super) fn driver_none(subject: &Subject<'_>) -> Finding {
    let Some(matrix) = subject.matrix() else { return Finding::Skipped("no matrix".to_owned()) };
    if subject.driver.as_deref() != Some("none") {
        return Finding::Skipped("driver none was not asked for".to_owned());
    }
    if let Some(runs) = subject.runs_already() {
        return Finding::Fine(runs);
    }
    if !matrix.driver_none_needs_more(&subject.kubernetes) {
        return Finding::Fine(format!("Kubernetes {} runs with driver none as it is", subject.kubernetes));
    }
    let programs = &matrix.driver_none.programs;
    let absent: Vec<&str> = programs.iter().map(String::as_str).filter(|name| subject.tool(name).is_none()).collect();
    if absent.is_empty() {
        return Finding::Fine(format!("{} are there for driver none", programs.join(", ")));
    }
    Finding::Failed(
        Failure::new(
            Reason::MinikubeRuntime,
            format!("driver none needs {} for Kubernetes {}", absent.join(", "), subject.kubernetes),
        )
        .observed(format!("not on PATH: {}", absent.join(", "))),
    )
}

/// `minikube tunnel` calls sudo for the route; a person wants to know that before it asks.
pub(super) async fn password(subject: &Subject<'_>) -> Finding {
    if subject.target != Target::Minikube || !subject.tunnel {
        return Finding::Skipped("no tunnel is going to be started".to_owned());
    }
    if super::facts::is_root() {
        return Finding::Fine("the tunnel asks for no password: this is root".to_owned());
    }
    let Some(tool) = subject.tool("sudo") else {
        return Finding::Warning(
            Failure::new(Reason::ToolMissing, "sudo is not installed; `minikube tunnel` needs it")
                .then("canary-lab up --cluster minikube --ingress node-port", "goes without a tunnel"),
        );
    };
    match subject.ask(&tool, &["-n", "true"]).await {
        Ok(ran) if ran.succeeded() => Finding::Fine("the tunnel asks for no password: sudo works without".to_owned()),
        Ok(ran) => {
            let failure = Failure::new(Reason::PasswordNeeded, "`minikube tunnel` is going to ask for your password");
            Finding::Warning(ran.last_lines(1).into_iter().fold(failure, Failure::observed))
        }
        Err(error) => Finding::Warning(broken("sudo", &error)),
    }
}

/// Profiles that are there, and whether the lab could use one.
pub(super) async fn profiles(subject: &Subject<'_>) -> Finding {
    let Some((program, _)) = subject.minikube().await else {
        return Finding::Skipped("minikube is not there".to_owned());
    };
    let mut tool = Tool::new(program, subject.environment, subject.trace.clone());
    // Of a profile that its kubeconfig does not name, minikube waits 15 s for an answer, and calls it stopped.
    if let Some(provider) = subject.provider.filter(|provider| provider.name() == "minikube")
        && provider.kubeconfig().is_file()
    {
        tool = tool.with("KUBECONFIG", provider.kubeconfig());
    }
    let ran = match subject.ask(&tool, &["profile", "list", "-o", "json"]).await {
        Ok(ran) => ran,
        Err(error) => return Finding::Warning(broken("minikube", &error)),
    };
    let Some(profiles) = minikube::profiles(&ran) else {
        return Finding::Warning(unclear("minikube does not say its profiles".to_owned(), &ran));
    };
    subject.trace.read(&format!("{} profiles", profiles.len()));
    let Some(matrix) = subject.matrix() else { return Finding::Skipped("no matrix".to_owned()) };
    let mut told = Vec::new();
    for profile in &profiles {
        if !profile.valid {
            let failure = Failure::new(Reason::MinikubeProfileUnfit, format!("profile `{}` is damaged", profile.name));
            return Finding::Warning(
                failure.then(format!("minikube delete -p {}", profile.name), "removes what is left of it"),
            );
        }
        if profile.standing == minikube::Standing::Paused {
            let failure = Failure::new(Reason::MinikubeProfilePaused, format!("profile `{}` is paused", profile.name));
            return Finding::Warning(failure.then(format!("minikube unpause -p {}", profile.name), "lets it go on"));
        }
        if profile.standing == minikube::Standing::Full {
            return Finding::Warning(ClusterError::ProfileFull(profile.name.clone()).into());
        }
        let fit = matches!(
            matrix.fit(&profile.kubernetes, &subject.istio),
            super::super::matrix::Fit::Works | super::super::matrix::Fit::Supported
        );
        let fit = if fit { "fits" } else { "does not fit" };
        told.push(format!(
            "{} ({}, {}, {}, {fit})",
            profile.name, profile.driver, profile.kubernetes, profile.standing
        ));
    }
    // Driver none knows one cluster only: the machine.
    let alone = subject.driver.as_deref() == Some("none");
    if let Some(other) = profiles.iter().find(|profile| alone && profile.driver != "none" && profile.name == "minikube")
    {
        return Finding::Warning(
            Failure::new(
                Reason::MinikubeProfileUnfit,
                format!("profile `{}` was made with driver {}", other.name, other.driver),
            )
            .observed("driver none wants the name `minikube` for itself"),
        );
    }
    Finding::Fine(if told.is_empty() {
        "no minikube profile yet".to_owned()
    } else {
        format!("profiles: {}", told.join(", "))
    })
}
