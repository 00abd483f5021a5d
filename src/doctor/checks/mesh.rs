//! Istio: it runs, it is the one that the lab was written for, and pods get what it promises.

use serde_json::Value;

use super::Finding;
use super::cluster::{list, not_allowed};
use super::subject::Subject;
use crate::cluster::{Entrance, ObjectRef};
use crate::doctor::{Failure, Reason};
use crate::objects::meta;
use crate::tools::first_version;
use crate::ui::plural;

const NOT_YET: &str = "no Istio is installed yet";

pub(super) async fn running(subject: &Subject<'_>) -> Finding {
    let deployments = match list(subject, "apps", "v1", "Deployment", Some("istio-system")).await {
        Ok(deployments) => deployments,
        Err(why) => return Finding::Skipped(why),
    };
    let wanted: Vec<&Value> =
        deployments.iter().filter(|deployment| meta::name(deployment).starts_with("istio")).collect();
    if wanted.is_empty() {
        return Finding::Skipped(NOT_YET.to_owned());
    }
    let told = |deployment: &Value| {
        let number = |path: &[&str]| meta::integer_at(deployment, path).unwrap_or(0);
        (meta::name(deployment).to_owned(), number(&["status", "readyReplicas"]), number(&["spec", "replicas"]))
    };
    let standing: Vec<(String, i64, i64)> = wanted.into_iter().map(told).collect();
    let words: Vec<String> = standing.iter().map(|(name, ready, wanted)| format!("{name} {ready}/{wanted}")).collect();
    if standing.iter().all(|(_, ready, wanted)| ready >= wanted) {
        return Finding::Fine(words.join(", "));
    }
    Finding::Failed(Failure::new(Reason::MeshNotReady, "the mesh is not ready").observed(words.join(", ")))
}

/// The version of the control plane, from its image or its label.
pub(super) async fn version(subject: &Subject<'_>) -> Finding {
    let istiod = match subject.api().await {
        Ok(api) => api.get(&ObjectRef::new("apps/v1", "Deployment", Some("istio-system"), "istiod")).await,
        Err(why) => return Finding::Skipped(why),
    };
    let istiod = match istiod {
        Ok(Some(istiod)) => istiod,
        Ok(None) => return Finding::Skipped(NOT_YET.to_owned()),
        Err(error) => return Finding::Skipped(not_allowed(&error)),
    };
    match installed_version(&istiod) {
        None => Finding::Skipped("istiod does not tell its version".to_owned()),
        Some(found) if found == subject.istio => Finding::Fine(format!("Istio {found}")),
        Some(found) => Finding::Warning(
            Failure::new(Reason::MeshOtherVersion, format!("the cluster's Istio is {found}"))
                .observed(format!("the lab was written for {}", subject.istio)),
        ),
    }
}

/// `operator.istio.io/version`, else the image's tag.
pub(crate) fn installed_version(istiod: &Value) -> Option<String> {
    let label = meta::label(istiod, "operator.istio.io/version").and_then(first_version);
    let image = || {
        let containers = meta::list_at(istiod, &["spec", "template", "spec", "containers"]);
        first_version(containers.first()?["image"].as_str()?.rsplit(':').next()?)
    };
    label.or_else(image).map(|version| version.to_string())
}

pub(super) async fn ingress(subject: &Subject<'_>) -> Finding {
    let (api, provider) = match (subject.api().await, subject.provider) {
        (Ok(api), Some(provider)) => (api, provider),
        (Err(why), _) => return Finding::Skipped(why),
        (_, None) => return Finding::Skipped(NOT_YET.to_owned()),
    };
    let (namespace, name) = &subject.lab.ingress;
    let service = match api.get(&ObjectRef::new("v1", "Service", Some(namespace), name)).await {
        Ok(Some(service)) => service,
        Ok(None) => return Finding::Skipped(NOT_YET.to_owned()),
        Err(error) => return Finding::Skipped(not_allowed(&error)),
    };
    let address = meta::list_at(&service, &["status", "loadBalancer", "ingress"]).first().cloned().unwrap_or_default();
    let address = address["ip"].as_str().or_else(|| address["hostname"].as_str());
    let tunnel = matches!(provider.probe_tunnel().await, Ok(Entrance::Open));
    match (address, tunnel) {
        (Some(address), true) => {
            Finding::Fine(format!("EXTERNAL-IP of {namespace}/{name} is {address}, and the way in is open"))
        }
        (Some(address), false) => Finding::Warning(
            Failure::new(Reason::TunnelNotRunning, format!("EXTERNAL-IP is {address}, and nothing answers there"))
                .observed("the address is a leftover of a tunnel that ended"),
        ),
        (None, true) => Finding::Fine("EXTERNAL-IP is <pending>; the lab enters another way".to_owned()),
        (None, false) => Finding::Warning(
            Failure::new(Reason::TunnelNotRunning, "EXTERNAL-IP is <pending> and no tunnel runs").observed(format!(
                "Service {namespace}/{name} is of type {}",
                service.pointer("/spec/type").and_then(Value::as_str).unwrap_or("?")
            )),
        ),
    }
}

pub(super) async fn injection(subject: &Subject<'_>) -> Finding {
    let api = match subject.api().await {
        Ok(api) => api,
        Err(why) => return Finding::Skipped(why),
    };
    let name = &subject.lab.namespace;
    match api.get(&ObjectRef::new("v1", "Namespace", None, name)).await {
        Ok(Some(namespace)) => {
            let injects = meta::label(&namespace, "istio-injection") == Some("enabled")
                || meta::label(&namespace, "istio.io/rev").is_some();
            if injects {
                return Finding::Fine(format!("namespace {name} is labelled for injection"));
            }
            let found = meta::label(&namespace, "istio-injection")
                .map_or("no such label".to_owned(), |value| format!("`{value}`"));
            let failure = Failure::new(Reason::InjectionOff, format!("namespace {name} is not labelled for injection"))
                .observed(format!("label istio-injection: {found}"))
                .then(
                    format!("kubectl label ns {name} istio-injection=enabled --overwrite"),
                    "asks for sidecars from now on",
                );
            Finding::Failed(failure)
        }
        Ok(None) => Finding::Skipped(format!("namespace {name} does not exist yet")),
        Err(error) => Finding::Skipped(not_allowed(&error)),
    }
}

async fn pods(subject: &Subject<'_>) -> Result<Vec<Value>, String> {
    let pods = list(subject, "", "v1", "Pod", Some(&subject.lab.namespace)).await?;
    let live: Vec<Value> = pods.into_iter().filter(|pod| !meta::is_terminating(pod)).collect();
    if live.is_empty() { Err(format!("no pod in {} yet", subject.lab.namespace)) } else { Ok(live) }
}

pub(super) async fn sidecars(subject: &Subject<'_>) -> Finding {
    let pods = match pods(subject).await {
        Ok(pods) => pods,
        Err(why) => return Finding::Skipped(why),
    };
    let has_sidecar = |pod: &&Value| {
        meta::list_at(pod, &["spec", "containers"]).iter().any(|container| container["name"] == "istio-proxy")
    };
    let opted_out = |pod: &&Value| meta::label(pod, "sidecar.istio.io/inject") == Some("false");
    let without: Vec<&str> = pods.iter().filter(|pod| !has_sidecar(pod) && !opted_out(pod)).map(meta::name).collect();
    if without.is_empty() {
        return Finding::Fine(format!("{} with sidecar", plural(pods.len() as u64, "pod")));
    }
    let mut failure =
        Failure::new(Reason::SidecarMissing, format!("{} without sidecar", plural(without.len() as u64, "pod")));
    failure.observed = without.into_iter().map(str::to_owned).collect();
    Finding::Warning(failure)
}

pub(super) async fn images(subject: &Subject<'_>) -> Finding {
    let pods = match pods(subject).await {
        Ok(pods) => pods,
        Err(why) => return Finding::Skipped(why),
    };
    let mut failure = Failure::new(Reason::ImageNotPulled, "an image cannot be pulled");
    for pod in &pods {
        for status in meta::list_at(pod, &["status", "containerStatuses"]) {
            let waiting = &status["state"]["waiting"];
            if matches!(
                waiting["reason"].as_str(),
                Some("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull")
            ) {
                let (image, message) =
                    (status["image"].as_str().unwrap_or("?"), waiting["message"].as_str().unwrap_or_default());
                failure = failure.observed(format!("{}: {image}: {message}", meta::name(pod)));
            }
        }
    }
    if failure.observed.is_empty() {
        return Finding::Fine("every image is on its node, or on the way".to_owned());
    }
    Finding::Failed(failure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_version_is_in_label_or_image() {
        let with = |labels: Value, image: &str| json!({"metadata": {"labels": labels}, "spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        let labelled = with(json!({"operator.istio.io/version": "1.12.7"}), "x");
        assert_eq!(installed_version(&labelled).as_deref(), Some("1.12.7"));
        assert_eq!(installed_version(&with(json!({}), "registry:5000/istio/pilot:1.16.2")).as_deref(), Some("1.16.2"));
        assert_eq!(installed_version(&with(json!({}), "pilot:latest")), None);
    }
}
