//! Kubernetes: it answers, its version fits, and nothing of an earlier life stands in the way.

use serde_json::Value;

use super::Finding;
use super::subject::{Subject, Target};
use crate::cluster::{Api, ApiError, ObjectRef, Standing};
use crate::doctor::matrix::Fit;
use crate::doctor::{Failure, Reason};
use crate::objects::{Gvk, meta};

pub(super) async fn cluster(subject: &Subject<'_>) -> Finding {
    let Some(provider) = subject.provider else {
        return Finding::Skipped("there is no cluster of this lab yet".to_owned());
    };
    match provider.probe().await {
        Ok(Standing::Runs { api }) => Finding::Fine(format!("the {} cluster answers on {api}", provider.name())),
        Ok(Standing::Down(why)) => Finding::Skipped(format!("the {} cluster does not run: {why}", provider.name())),
        Err(error) => Finding::Failed(
            Failure::new(Reason::ApiUnreachable, "the cluster cannot be asked").observed(error.to_string()),
        ),
    }
}

pub(super) async fn version(subject: &Subject<'_>) -> Finding {
    let (api, matrix) = match (subject.api().await, subject.matrix()) {
        (Ok(api), Some(matrix)) => (api, matrix),
        (Err(why), _) => return Finding::Skipped(why),
        (_, None) => return Finding::Skipped("no matrix".to_owned()),
    };
    let version = match api.server_version().await {
        Ok(version) => version,
        Err(error) => {
            return Finding::Failed(
                Failure::new(Reason::ApiUnreachable, "the API server does not tell its version")
                    .observed(error.to_string()),
            );
        }
    };
    let failure =
        |reason, how: &str| {
            Failure::new(reason, format!("Kubernetes {version} is {how} for Istio {}", subject.istio))
                .observed(format!("Istio {} installs on Kubernetes {}", subject.istio, matrix.range(&subject.istio)))
        };
    match matrix.fit(&version, &subject.istio) {
        Fit::Supported => Finding::Fine(format!("Kubernetes {version} is what Istio {} was made for", subject.istio)),
        Fit::Works => Finding::Fine(format!("Kubernetes {version} works with Istio {}, with warnings", subject.istio)),
        Fit::TooOld => Finding::Failed(failure(Reason::KubernetesTooOld, "too old")),
        // Another Istio that is there already is used as it is; only installing ours would fail.
        Fit::TooNew => Finding::Warning(failure(Reason::KubernetesTooNew, "too new")),
        Fit::Unknown => {
            Finding::Skipped(format!("the matrix has no row for Kubernetes {version} and Istio {}", subject.istio))
        }
    }
}

pub(super) async fn nodes(subject: &Subject<'_>) -> Finding {
    let nodes = match list(subject, "", "v1", "Node", None).await {
        Ok(nodes) => nodes,
        Err(why) => return Finding::Skipped(why),
    };
    let ready = |node: &Value| {
        let conditions = meta::list_at(node, &["status", "conditions"]);
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let down: Vec<&str> = nodes.iter().filter(|node| !ready(node)).map(meta::name).collect();
    if down.is_empty() {
        return Finding::Fine(format!("{} ready", crate::ui::plural(nodes.len() as u64, "node")));
    }
    Finding::Failed(Failure::new(Reason::NodeNotReady, format!("{} not ready", down.join(", "))))
}

pub(super) async fn stuck_namespaces(subject: &Subject<'_>) -> Finding {
    let namespaces = match list(subject, "", "v1", "Namespace", None).await {
        Ok(namespaces) => namespaces,
        Err(why) => return Finding::Skipped(why),
    };
    let stuck: Vec<&Value> = namespaces.iter().filter(|namespace| meta::is_terminating(namespace)).collect();
    let Some(first) = stuck.first() else { return Finding::Fine("no namespace is being deleted".to_owned()) };
    let mut failure = Failure::new(Reason::NamespaceStuck, format!("namespace {} is being deleted", meta::name(first)));
    for namespace in &stuck {
        for condition in
            meta::list_at(namespace, &["status", "conditions"]).iter().filter(|condition| condition["status"] == "True")
        {
            let message = condition["message"].as_str().unwrap_or_default();
            failure = failure.observed(format!("{}: {message}", meta::name(namespace)));
        }
    }
    let ours =
        stuck.iter().any(|namespace| [subject.lab.namespace.as_str(), "istio-system"].contains(&meta::name(namespace)));
    if ours { Finding::Failed(failure) } else { Finding::Warning(failure) }
}

/// Webhooks of an Istio whose service is gone: every object they are asked about is refused.
pub(super) async fn mesh_leftovers(subject: &Subject<'_>) -> Finding {
    let api = match subject.api().await {
        Ok(api) => api,
        Err(why) => return Finding::Skipped(why),
    };
    match orphaned_webhooks(&api).await {
        Ok(orphans) if orphans.is_empty() => Finding::Fine("no webhook of a removed Istio is left".to_owned()),
        Ok(orphans) => {
            let mut failure = Failure::new(
                Reason::MeshLeftovers,
                format!("{} of a removed Istio left", crate::ui::plural(orphans.len() as u64, "webhook")),
            );
            failure.observed =
                orphans.iter().map(|orphan| format!("{}, whose service is gone", orphan.label())).collect();
            Finding::Failed(failure)
        }
        Err(error) => Finding::Skipped(not_allowed(&error)),
    }
}

/// Webhook configurations of Istio's names whose service does not exist.
pub(crate) async fn orphaned_webhooks(api: &Api) -> Result<Vec<ObjectRef>, ApiError> {
    let mut orphans = Vec::new();
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let gvk = Gvk::new("admissionregistration.k8s.io", "v1", kind);
        for configuration in api.list(&gvk, None, "").await? {
            let name = meta::name(&configuration);
            if !(name.starts_with("istio-") || name.starts_with("istiod-")) {
                continue;
            }
            let services = meta::list_at(&configuration, &["webhooks"]).iter().filter_map(|webhook| {
                let service = webhook.pointer("/clientConfig/service")?;
                Some((service["namespace"].as_str()?.to_owned(), service["name"].as_str()?.to_owned()))
            });
            let mut services: Vec<(String, String)> = services.collect();
            services.dedup();
            let mut gone = !services.is_empty();
            for (namespace, service) in services {
                gone &= api.get(&ObjectRef::new("v1", "Service", Some(&namespace), &service)).await?.is_none();
            }
            if gone {
                orphans.push(ObjectRef::new("admissionregistration.k8s.io/v1", kind, None, name));
            }
        }
    }
    Ok(orphans)
}

/// Definitions without the control plane that gives them a meaning.
pub(super) async fn definitions(subject: &Subject<'_>) -> Finding {
    let definitions = match list(subject, "apiextensions.k8s.io", "v1", "CustomResourceDefinition", None).await {
        Ok(definitions) => definitions,
        Err(why) => return Finding::Skipped(why),
    };
    let istios = definitions.iter().filter(|definition| meta::name(definition).ends_with(".istio.io")).count();
    let istiod = match subject.api().await {
        Ok(api) => api.get(&ObjectRef::new("apps/v1", "Deployment", Some("istio-system"), "istiod")).await,
        Err(why) => return Finding::Skipped(why),
    };
    match istiod {
        Ok(None) if istios > 0 => Finding::Warning(
            Failure::new(
                Reason::MeshDefinitionsLeft,
                format!("{istios} definitions of Istio are there, and no istiod"),
            )
            .observed("CustomResourceDefinitions of istio.io exist; Deployment istio-system/istiod does not"),
        ),
        Ok(None) => Finding::Fine("no Istio is installed yet, and none left anything".to_owned()),
        Ok(Some(_)) => Finding::Fine(format!("istiod is there with {istios} definitions")),
        Err(error) => Finding::Skipped(not_allowed(&error)),
    }
}

/// The objects of a kind, or why they cannot be seen.
pub(super) async fn list(
    subject: &Subject<'_>,
    group: &str,
    version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Result<Vec<Value>, String> {
    let api = subject.api().await?;
    match api.list(&Gvk::new(group, version, kind), namespace, "").await {
        Ok(objects) => Ok(objects),
        Err(ApiError::UnknownKind { .. }) => Ok(Vec::new()),
        Err(error) => Err(not_allowed(&error)),
    }
}

/// Why a look was not possible, in a few words.
pub(super) fn not_allowed(error: &ApiError) -> String {
    match error {
        ApiError::Refused { code: 403, .. } => format!("the kubeconfig's user may not look: {error}"),
        other => other.to_string(),
    }
}

/// Whether this user may do what the lab is going to do; asked of the cluster itself.
pub(super) async fn permissions(subject: &Subject<'_>) -> Finding {
    if subject.target != Target::Context {
        return Finding::Skipped("the lab owns this cluster".to_owned());
    }
    let (api, provider) = match (subject.api().await, subject.provider) {
        (Ok(api), Some(provider)) => (api, provider),
        (Err(why), _) => return Finding::Skipped(why),
        (_, None) => return Finding::Skipped("there is no cluster of this lab yet".to_owned()),
    };
    match provider.missing_permissions(&api).await {
        Ok(missing) if missing.is_empty() => {
            Finding::Fine("the kubeconfig's user may do all that the lab needs".to_owned())
        }
        Ok(missing) => {
            let mut failure = Failure::new(
                Reason::PermissionMissing,
                format!("the kubeconfig's user lacks {}", crate::ui::plural(missing.len() as u64, "permission")),
            );
            failure.observed = missing;
            Finding::Failed(failure)
        }
        Err(error) => Finding::Skipped(error.to_string()),
    }
}
