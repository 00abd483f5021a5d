//! Any Kubernetes that the person's kubeconfig reaches. Nothing of it is the lab's but what the lab makes there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::api::{Api, ApiError, ObjectRef};
use super::claim::Claim;
use super::ingress::WayIn;
use super::kubeconfig;
use super::provider::{ClusterError, Entrance, Gate, MeshStanding, Provider, RouteVersion, Standing};
use super::real::{Real, is_local};
use super::settings::Settings;
use crate::objects::{Gvk, meta};
use crate::traffic::Ingress;
use crate::ui::{Environment, Progress};

/// What the lab does in its own namespace: group, resource, verbs.
const NEEDED: [(&str, &str, &[&str]); 7] = [
    ("", "configmaps", &["get", "create", "patch", "delete"]),
    ("", "services", &["get", "create", "patch", "delete"]),
    ("", "pods", &["list", "watch"]),
    ("apps", "deployments", &["get", "create", "patch", "delete", "watch"]),
    ("networking.istio.io", "gateways", &["get", "create", "patch", "delete"]),
    ("networking.istio.io", "virtualservices", &["get", "create", "patch", "delete"]),
    ("networking.istio.io", "destinationrules", &["get", "create", "patch", "delete"]),
];

/// What it does besides where models lie in claims.
const NEEDED_FOR_CLAIMS: [(&str, &str, &[&str]); 3] = [
    ("", "persistentvolumeclaims", &["get", "create", "delete"]),
    ("", "pods", &["get", "create", "delete"]),
    // Which of the two is asked for depends on the server's version.
    ("", "pods/exec", &["get", "create"]),
];

/// Whether models have to go into claims in the cluster of this context, because its nodes are not this machine or may not
/// be looked at; nothing where the cluster does not answer, which its own stage explains.
pub async fn models_need_claims(name: &str, settings: &Settings, environment: &Environment) -> Option<bool> {
    let kept = settings.kubeconfig.clone();
    let sources = kept.map_or_else(|| kubeconfig::sources(environment), |file| vec![file]);
    let text = kubeconfig::extract(&sources, name).ok()?;
    let folder = tempfile::tempdir().ok()?;
    let file = folder.path().join("kubeconfig");
    kubeconfig::write(&file, &text).ok()?;
    let api = Api::connect(&file).await.ok()?;
    let _ = api.server_version().await.ok()?;
    Some(!node_is_here(&api).await.unwrap_or(false))
}

/// Whether the only node is this machine.
async fn node_is_here(api: &Api) -> Result<bool, ApiError> {
    let nodes = api.list(&Gvk::new("", "v1", "Node"), None, "").await?;
    let local = |node: &Value| {
        let addresses = meta::list_at(node, &["status", "addresses"]);
        addresses
            .iter()
            .any(|address| address["type"] == "InternalIP" && address["address"].as_str().is_some_and(is_local))
    };
    Ok(nodes.len() == 1 && nodes.iter().all(local))
}

/// A cluster behind a context of the kubeconfig.
#[derive(Debug)]
pub struct Context {
    real: Real,
    name: String,
    namespace: String,
}

impl Context {
    pub(super) fn new(real: Real, name: String, namespace: String) -> Self {
        Self { real, name, namespace }
    }

    /// The model's claim, where models lie in claims.
    fn claim<'a>(&'a self, api: &'a Api, model: &'a str) -> Option<Claim<'a>> {
        let claims = self.real.settings().models_claim;
        claims.then(|| Claim { api, namespace: &self.namespace, model, serving: &self.real.lab.serving })
    }

    /// The context as the person's kubeconfig has it now.
    fn current_text(&self) -> Result<String, ClusterError> {
        let kept = self.real.settings().kubeconfig.clone();
        let sources = kept.map_or_else(|| kubeconfig::sources(&self.real.environment), |file| vec![file]);
        Ok(kubeconfig::extract(&sources, &self.name)?)
    }

    async fn take_over(&self, progress: &Progress) -> Result<(), ClusterError> {
        progress.awaiting(format!("asking context {}", self.name), None);
        // The file is remembered, so that later commands find the context from any terminal.
        if self.real.settings().kubeconfig.is_none() {
            let sources = kubeconfig::sources(&self.real.environment);
            let has_it = |file: &&PathBuf| kubeconfig::extract(std::slice::from_ref(*file), &self.name).is_ok();
            let file = sources.iter().find(has_it).cloned();
            self.real.keep(|settings| settings.kubeconfig = file)?;
        }
        let text = self.current_text()?;
        kubeconfig::write(&self.real.kubeconfig, &text)?;
        let api = Api::connect(&self.real.kubeconfig).await?;
        let _ = api.server_version().await?;
        let missing = self.missing(&api).await?;
        if !missing.is_empty() {
            return Err(ClusterError::PermissionMissing(missing));
        }
        self.find_node(&api).await
    }

    /// Where the models are for a pod: in this machine's own folder if the only node is this machine.
    async fn find_node(&self, api: &Api) -> Result<(), ClusterError> {
        let (known, claims) = {
            let settings = self.real.settings();
            (settings.models_on_node.is_some(), settings.models_claim)
        };
        if known || claims {
            return Ok(());
        }
        if node_is_here(api).await.unwrap_or(false) {
            let models = self.real.home.models();
            return self.real.keep(|settings| settings.models_on_node = Some(models));
        }
        Err(ClusterError::NodeUnknown("its nodes are other machines, or may not be looked at".to_owned()))
    }

    /// What the user may not do, asked of the cluster itself.
    async fn missing(&self, api: &Api) -> Result<Vec<String>, ClusterError> {
        let mut missing = Vec::new();
        let for_claims = if self.real.settings().models_claim { &NEEDED_FOR_CLAIMS[..] } else { &[] };
        for &(group, resource, verbs) in NEEDED.iter().chain(for_claims) {
            for verb in verbs {
                if !self.allowed(api, group, resource, verb, Some(&self.namespace)).await? {
                    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
                    missing.push(format!("{verb} {resource}{group} in {}", self.namespace));
                }
            }
        }
        let reference = ObjectRef::new("v1", "Namespace", None, &self.namespace);
        // Who is given a namespace of their own need not be allowed to make one.
        let there = matches!(api.get(&reference).await, Ok(Some(_)));
        if !there && !self.allowed(api, "", "namespaces", "create", None).await? {
            missing.push(format!("create namespaces, and {} does not exist", self.namespace));
        }
        let (ingress_namespace, _, _) = &self.real.lab.ingress;
        if !self.allowed(api, "", "services", "get", Some(ingress_namespace)).await? {
            missing.push(format!("get services in {ingress_namespace}"));
        }
        Ok(missing)
    }

    async fn allowed(
        &self,
        api: &Api,
        group: &str,
        resource: &str,
        verb: &str,
        namespace: Option<&str>,
    ) -> Result<bool, ClusterError> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
            "spec": {"resourceAttributes": {
                "group": group, "resource": resource, "subresource": subresource, "verb": verb,
                "namespace": namespace.unwrap_or_default(),
            }},
        });
        let answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
    }
}

impl Provider for Context {
    fn name(&self) -> &'static str {
        "context"
    }

    fn is_the_labs(&self) -> bool {
        false
    }

    fn kubeconfig(&self) -> &Path {
        &self.real.kubeconfig
    }

    fn logs(&self) -> PathBuf {
        self.real.home.cluster()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Standing, ClusterError>> {
        Box::pin(async {
            let own = std::fs::read_to_string(&self.real.kubeconfig).ok();
            let Some(own) = own else {
                return Ok(Standing::Down(format!("context {} was not taken over yet", self.name)));
            };
            let placed = {
                let settings = self.real.settings();
                settings.models_claim || settings.models_on_node.is_some()
            };
            if !placed {
                return Ok(Standing::Down("its nodes were not looked at yet".to_owned()));
            }
            // Keys that were renewed are taken over anew; a source that is gone leaves the lab's copy.
            if self.current_text().is_ok_and(|now| now != own) {
                return Ok(Standing::Down(format!("context {} has changed", self.name)));
            }
            self.real.answers(format!("context {}", self.name)).await
        })
    }

    fn start<'a>(&'a self, progress: &'a Progress) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(self.take_over(progress))
    }

    fn stop(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        Box::pin(self.real.close())
    }

    fn mesh_name(&self, release: &str) -> String {
        self.real.mesh_name(release)
    }

    fn probe_mesh<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<MeshStanding, ClusterError>> {
        Box::pin(self.real.mesh_standing(api))
    }

    fn install_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<Value>, ClusterError>> {
        Box::pin(self.real.install_mesh(api, progress))
    }

    fn made_mesh(&self) -> bool {
        self.real.settings().made_mesh
    }

    fn stop_removes_everything(&self) -> bool {
        false
    }

    fn remove_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(self.real.remove_mesh(api, progress))
    }

    fn probe_tunnel(&self) -> BoxFuture<'_, Result<Entrance, ClusterError>> {
        Box::pin(self.real.entrance())
    }

    fn set_tunnel(&self, running: bool) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async move {
            if running {
                let api = Api::connect(&self.real.kubeconfig).await?;
                return self.real.open(&api).await;
            }
            let _ = self.real.close().await?;
            Ok(())
        })
    }

    fn tunnel_words(&self) -> Vec<String> {
        self.real.keeper().last_words(4)
    }

    fn models_on_node(&self) -> PathBuf {
        self.real.models_on_node()
    }

    fn ingress<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Option<Ingress>, ClusterError>> {
        Box::pin(self.real.ingress(api))
    }

    fn routes_live<'a>(
        &'a self,
        _routes: &'a [RouteVersion],
        patience: Duration,
    ) -> BoxFuture<'a, Result<Gate, ClusterError>> {
        Box::pin(self.real.gate(patience))
    }

    fn facts(&self) -> BoxFuture<'_, Value> {
        Box::pin(std::future::ready(self.real.facts()))
    }

    fn processes(&self) -> BoxFuture<'_, Result<Vec<u32>, ClusterError>> {
        Box::pin(std::future::ready(Ok(self.real.keeper().processes())))
    }

    fn direct_addresses(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        Box::pin(async {
            let api = Api::connect(&self.real.kubeconfig).await?;
            let way = self.real.way_in(&api).await?;
            Ok(if let WayIn::Open(ingress) = way { vec![ingress.host] } else { Vec::new() })
        })
    }

    fn probe_model<'a>(
        &'a self,
        api: &'a Api,
        name: &'a str,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(async move {
            match self.claim(api, name) {
                Some(claim) => claim.differences(folder).await,
                None => Ok(Vec::new()),
            }
        })
    }

    fn place_model<'a>(
        &'a self,
        api: &'a Api,
        name: &'a str,
        folder: &'a Path,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<Value>, ClusterError>> {
        Box::pin(async move {
            match self.claim(api, name) {
                Some(claim) => claim.fill(folder, progress).await,
                None => Ok(Vec::new()),
            }
        })
    }

    fn model_object(&self, name: &str) -> Option<ObjectRef> {
        let claims = self.real.settings().models_claim;
        claims.then(|| Claim::reference_in(&self.namespace, name))
    }

    fn sweep<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(async move {
            let mut removed = Vec::new();
            for name in &self.real.lab.models {
                if let Some(claim) = self.claim(api, name)
                    && claim.remove_loader().await?
                {
                    removed.push(format!("the pod that loaded model {name}"));
                }
            }
            Ok(removed)
        })
    }

    fn missing_permissions<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(self.missing(api))
    }
}
