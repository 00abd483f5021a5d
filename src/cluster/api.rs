//! A Kubernetes API through a kubeconfig, with objects as JSON values.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt};
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::WatchEvent;
use kube::core::gvk::GroupVersionKind;
use kube::discovery::{ApiResource, Scope};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::cause::innermost;
use crate::objects::Gvk;

/// How long a request other than a watch may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a request failed.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The kubeconfig is missing or not usable.
    #[error("kubeconfig {path}: {message}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Nothing answers.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// The HTTP code.
        code: u16,
        /// Kubernetes' reason, such as `NotFound`; may be empty.
        reason: String,
        /// The server's words.
        message: String,
    },
    /// The API has no such kind.
    #[error("the API server knows no {kind} in {api_version}")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Group and version.
        api_version: String,
    },
    /// The answer is not what the API promises.
    #[error("unexpected answer of the API server: {0}")]
    Unexpected(String),
}

impl ApiError {
    /// Whether the object, or its namespace, is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether an object of that name is there already.
    pub fn is_already_there(&self) -> bool {
        matches!(self, Self::Refused { code: 409, reason, .. } if reason == "AlreadyExists")
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                Self::Refused { code: status.code, reason: status.reason.clone(), message: status.message.clone() }
            }
            kube::Error::Service(error) => Self::Unreachable(innermost(error.as_ref())),
            kube::Error::HyperError(error) => Self::Unreachable(innermost(&error)),
            kube::Error::ReadEvents(error) => Self::Unreachable(innermost(&error)),
            other => Self::Unexpected(innermost(&other)),
        }
    }
}

/// Names one object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// Its type.
    pub gvk: Gvk,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// Names an object by apiVersion, kind, namespace and name.
    pub fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self {
            gvk: Gvk::from_api_version(api_version, kind),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The object that a value describes.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Some(Self { gvk: Gvk::of(object)?, namespace: text("/metadata/namespace"), name: text("/metadata/name")? })
    }

    /// `Deployment tf-serving/x`.
    pub fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.gvk.kind, self.name),
            None => format!("{} {}", self.gvk.kind, self.name),
        }
    }
}

/// A change that a watch reports.
#[derive(Debug, Clone)]
pub enum Watched {
    /// The object as it is now.
    Is(Value),
    /// The object as it was last.
    Gone(Value),
}

/// A client of one cluster.
pub struct Api {
    client: kube::Client,
    resources: Mutex<HashMap<Gvk, Resource>>,
}

/// Where a kind is served.
#[derive(Clone)]
pub(super) struct Resource {
    pub(super) path: ApiResource,
    pub(super) namespaced: bool,
}

impl Api {
    /// A client for the cluster that the kubeconfig's current context names. Nothing is asked yet. A proxy is used only
    /// if the kubeconfig itself names one: the environment's would swallow requests to loopback addresses.
    pub async fn connect(kubeconfig: &Path) -> Result<Self, ApiError> {
        // Another room may have installed the provider already; either way ring is in place.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |message: String| ApiError::Kubeconfig { path: kubeconfig.to_path_buf(), message };
        let contents = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(error.to_string()))?;
        let named_proxy = contents
            .clusters
            .iter()
            .any(|named| named.cluster.as_ref().is_some_and(|cluster| cluster.proxy_url.is_some()));
        let mut config = kube::Config::from_custom_kubeconfig(contents, &KubeConfigOptions::default())
            .await
            .map_err(|error| unusable(error.to_string()))?;
        if !named_proxy {
            config.proxy_url = None;
        }
        let client = kube::Client::try_from(config).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { client, resources: Mutex::default() })
    }

    /// The server's version, such as `v1.24.3`.
    pub async fn server_version(&self) -> Result<String, ApiError> {
        let info = patiently(self.client.apiserver_version()).await?;
        Ok(info.git_version)
    }

    /// The object, or none.
    pub async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, ApiError> {
        let path = match self.path(object).await {
            Ok(path) => path,
            // A kind that is not served yet, such as a custom one before its definition, has no objects.
            Err(ApiError::UnknownKind { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.send("GET", &path, None, None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates the object in the name of `manager`.
    pub async fn create(&self, object: &Value, manager: &str) -> Result<Value, ApiError> {
        let reference =
            ObjectRef::of(object).ok_or_else(|| ApiError::Unexpected("an object without a name".to_owned()))?;
        let path = self.collection(&reference.gvk, reference.namespace.as_deref()).await?;
        self.send("POST", &format!("{path}?fieldManager={manager}"), Some("application/json"), Some(object)).await
    }

    /// Posts to a path that makes no object, such as a review of permissions.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send("POST", path, Some("application/json"), Some(body)).await
    }

    /// Patches the object in the name of `manager`; `content_type` says how the patch is read.
    pub async fn patch(
        &self,
        object: &ObjectRef,
        content_type: &str,
        patch: &Value,
        manager: &str,
    ) -> Result<Value, ApiError> {
        let path = self.path(object).await?;
        self.send("PATCH", &format!("{path}?fieldManager={manager}"), Some(content_type), Some(patch)).await
    }

    /// Deletes the object if it still has this uid, what depends on it first; false when it is not there. The object
    /// stays to be seen until all of them are gone.
    pub async fn delete(&self, object: &ObjectRef, uid: Option<&str>) -> Result<bool, ApiError> {
        let path = match self.path(object).await {
            Ok(path) => path,
            Err(ApiError::UnknownKind { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut options =
            serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"});
        if let Some(uid) = uid {
            options["preconditions"] = serde_json::json!({"uid": uid});
        }
        match self.send("DELETE", &path, Some("application/json"), Some(&options)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The objects of a kind in a namespace (or of all), filtered by a label selector.
    pub async fn list(&self, gvk: &Gvk, namespace: Option<&str>, labels: &str) -> Result<Vec<Value>, ApiError> {
        let path = self.collection(gvk, namespace).await?;
        let selector = escaped(labels);
        let mut list = self.send("GET", &format!("{path}?labelSelector={selector}"), None, None).await?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            other => Err(ApiError::Unexpected(format!("a list whose items are {other}"))),
        }
    }

    /// What the objects of a kind in a namespace are and become. `selector` is a query such as `fieldSelector=…`. The
    /// stream starts with the objects as they are and ends when the server closes it.
    pub async fn watch(
        &self,
        gvk: &Gvk,
        namespace: Option<&str>,
        selector: (&str, &str),
    ) -> Result<impl Stream<Item = Result<Watched, ApiError>> + use<>, ApiError> {
        let path = self.collection(gvk, namespace).await?;
        let (name, value) = selector;
        let uri = format!("{path}?watch=true&timeoutSeconds=240&{name}={}", escaped(value));
        let request = request("GET", &uri, None, None)?;
        let events = patiently(self.client.request_events::<Value>(request)).await?;
        Ok(events.filter_map(async |event| match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => Some(Ok(Watched::Is(object))),
            Ok(WatchEvent::Deleted(object)) => Some(Ok(Watched::Gone(object))),
            Ok(WatchEvent::Bookmark(_)) => None,
            Ok(WatchEvent::Error(status)) => Some(Err(ApiError::from(kube::Error::Api(status)))),
            Err(error) => Some(Err(ApiError::from(error))),
        }))
    }

    /// A client for what this one does not do.
    pub(super) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Keeps where a kind is served.
    pub(super) async fn remember_resource(&self, gvk: &Gvk, resource: Resource) {
        self.resources.lock().await.insert(gvk.clone(), resource);
    }

    /// The last `lines` lines that a container wrote; of its life before this one if `previous`.
    pub async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
        lines: u32,
    ) -> Result<String, ApiError> {
        let uri = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&previous={previous}&tailLines={lines}"
        );
        patiently(self.client.request_text(request("GET", &uri, None, None)?)).await
    }

    async fn resource(&self, gvk: &Gvk) -> Result<Resource, ApiError> {
        let mut resources = self.resources.lock().await;
        if let Some(resource) = resources.get(gvk) {
            return Ok(resource.clone());
        }
        let name = GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind);
        let unknown = || ApiError::UnknownKind { kind: gvk.kind.clone(), api_version: gvk.api_version() };
        let (path, capabilities) = match patiently(kube::discovery::pinned_kind(&self.client, &name)).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Err(unknown()),
            // The group is there, and the kind is not among its resources.
            Err(ApiError::Unexpected(_)) => return Err(unknown()),
            Err(error) => return Err(error),
        };
        let resource = Resource { path, namespaced: capabilities.scope == Scope::Namespaced };
        resources.insert(gvk.clone(), resource.clone());
        Ok(resource)
    }

    async fn collection(&self, gvk: &Gvk, namespace: Option<&str>) -> Result<String, ApiError> {
        let resource = self.resource(gvk).await?;
        let base = if gvk.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", gvk.group) };
        let inside = match namespace {
            Some(namespace) if resource.namespaced => format!("/namespaces/{namespace}"),
            _ => String::new(),
        };
        Ok(format!("{base}/{}{inside}/{}", gvk.version, resource.path.plural))
    }

    pub(super) async fn path(&self, object: &ObjectRef) -> Result<String, ApiError> {
        let collection = self.collection(&object.gvk, object.namespace.as_deref()).await?;
        Ok(format!("{collection}/{}", object.name))
    }

    pub(super) async fn send(
        &self,
        method: &str,
        uri: &str,
        content_type: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let request = request(method, uri, content_type, body)?;
        patiently(self.client.request::<Value>(request)).await
    }
}

fn request(
    method: &str,
    uri: &str,
    content_type: Option<&str>,
    body: Option<&Value>,
) -> Result<Request<Vec<u8>>, ApiError> {
    let mut builder = Request::builder().method(method).uri(uri).header("accept", "application/json");
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
    builder.body(bytes).map_err(|error| ApiError::Unexpected(error.to_string()))
}

pub(super) async fn patiently<T>(work: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result.map_err(ApiError::from),
        Err(_) => Err(ApiError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
