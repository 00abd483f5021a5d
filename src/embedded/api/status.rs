use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::catalog::Resource;
use crate::objects::{FieldError, Gvk, invalid_message};

/// A Kubernetes `Status` that says why a request was refused. Texts and shapes are those of kube-apiserver 1.20 to 1.24.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// The machine-readable reason; empty where kube-apiserver gives none.
    pub reason: Cow<'static, str>,
    /// What a person reads; kubectl prints it as it comes.
    pub message: String,
    /// `details`: the object's name, group and kind, and the causes.
    pub details: Option<Box<Value>>,
}

impl Status {
    /// A failure with neither reason nor details, as kube-apiserver makes of errors that it does not know.
    pub fn plain(code: u16, message: impl Into<String>) -> Self {
        Self { code, reason: Cow::Borrowed(""), message: message.into(), details: None }
    }

    /// A failure with a reason and no details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason: Cow::Borrowed(reason), message: message.into(), details: None }
    }

    /// Adds which object, or at least which resource, is meant.
    fn about(mut self, resource: &Resource, name: &str) -> Self {
        let mut details = Map::new();
        if !name.is_empty() {
            details.insert("name".to_owned(), name.into());
        }
        if !resource.group.is_empty() {
            details.insert("group".to_owned(), resource.group.as_str().into());
        }
        details.insert("kind".to_owned(), resource.plural.as_str().into());
        self.details = Some(Box::new(Value::Object(details)));
        self
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.full_name());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// 404: there is no such resource.
    pub fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: Some(Box::new(json!({}))), ..Self::new(404, "NotFound", message) }
    }

    /// 404: a real cluster has this resource, the embedded one does not.
    pub fn not_served(group: &str, plural: &str) -> Self {
        let name = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        let message = format!(
            "{name} is not served by the embedded cluster, which has what the lab needs (see: kubectl api-resources)"
        );
        let mut details = json!({"kind": plural});
        if !group.is_empty() {
            details["group"] = group.into();
        }
        Self { details: Some(Box::new(details)), ..Self::new(404, "NotFound", message) }
    }

    /// 405: the resource does not know the method.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self { details: Some(Box::new(json!({}))), ..Self::new(405, "MethodNotAllowed", message) }
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.full_name());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// 409: the request does not fit the object's present state.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.full_name());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// 409: the object has changed since the client read it.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 403: not allowed, whoever asks.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.full_name());
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 422: the object breaks these rules.
    pub fn invalid(gvk: &Gvk, name: &str, errors: &[FieldError]) -> Self {
        let mut causes: Vec<Value> = Vec::new();
        for error in errors {
            let cause = json!({"reason": error.reason.cause(), "message": error.message, "field": error.field});
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        let mut details = Map::new();
        if !name.is_empty() {
            details.insert("name".to_owned(), name.into());
        }
        if !gvk.group.is_empty() {
            details.insert("group".to_owned(), gvk.group.as_str().into());
        }
        if !gvk.kind.is_empty() {
            details.insert("kind".to_owned(), gvk.kind.as_str().into());
        }
        details.insert("causes".to_owned(), Value::Array(causes));
        Self {
            details: Some(Box::new(Value::Object(details))),
            ..Self::new(422, "Invalid", invalid_message(gvk, name, errors))
        }
    }

    /// Whether the object, or the resource, does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// Whether the object has changed meanwhile, so that a fresh attempt may work.
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// Whether the name is taken.
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// The body of the response.
    pub fn to_value(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        });
        if !self.reason.is_empty() {
            body["reason"] = (*self.reason).into();
        }
        if let Some(details) = &self.details {
            body["details"] = (**details).clone();
        }
        body["code"] = self.code.into();
        body
    }
}
