use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::body::{self, Body};
use super::exchange::{Exchange, Format, Shape};
use super::path::ObjectPath;
use super::table::{self, ListView, ObjectView};
use super::{ApiServer, exec, logs, port_forward, protobuf, proxy, reviews, watch};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::registry::{
    Applied, Author, DeleteOptions, Deletion, Ownership, Part, Propagation, Target, WriteOptions, Written, to_version,
};
use crate::embedded::api::status::Status;
use crate::embedded::store::Expired;
use crate::objects::decode::check_types;
use crate::objects::merge::{Patch, PatchType};
use crate::objects::selector::{FieldSelector, LabelSelector};
use crate::objects::{FieldError, Gvk, Verbs, builtin, meta};

/// What a request asks for, below the resource.
pub(super) struct Ask<'a> {
    pub(super) server: &'a Arc<ApiServer>,
    pub(super) exchange: &'a Exchange,
    pub(super) resource: Arc<Resource>,
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

/// Answers a request about objects.
pub(super) async fn answer(
    server: &Arc<ApiServer>,
    request: Request<Incoming>,
    exchange: &Exchange,
    resource: Arc<Resource>,
    path: ObjectPath,
) -> Result<Response<Body>, Status> {
    let ObjectPath { version, namespace, name, subresource, rest, watch, .. } = path;
    let ask = Ask { server, exchange, resource, version, namespace, name };
    let method = request.method().clone();
    let reading = method == Method::GET || method == Method::HEAD;
    if let Some(subresource) = subresource {
        return Box::pin(ask.subresource(request, &subresource, rest.as_deref())).await;
    }
    if ask.resource.verbs == Verbs::CreateOnly {
        return if method == Method::POST { ask.review(request).await } else { Err(Status::method_not_allowed()) };
    }
    match (&ask.name, &method) {
        _ if reading && (watch || exchange.flag("watch")) => watch::answer(&ask),
        (Some(_), _) if reading => ask.get(),
        (None, _) if reading => ask.list(),
        (None, &Method::POST) => ask.create(request).await,
        (Some(_), &Method::PUT) => ask.replace(request, Part::Main).await,
        (Some(_), &Method::PATCH) => ask.patch(request, Part::Main).await,
        (Some(_), &Method::DELETE) => ask.delete(request).await,
        (None, &Method::DELETE) if ask.resource.verbs == Verbs::All => ask.delete_collection(request).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// The selectors of a list or watch.
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.matches_object(object) && self.fields.matches(object)
    }

    fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_empty()
    }
}

impl Ask<'_> {
    pub(super) fn gvk(&self) -> Gvk {
        self.resource.gvk(&self.version)
    }

    fn target(&self) -> Target<'_> {
        Target {
            resource: &self.resource,
            namespace: self.namespace.as_deref(),
            name: self.name.as_deref().unwrap_or_default(),
        }
    }

    /// The warning that every answer in an old version carries.
    pub(super) fn deprecation(&self) -> Vec<String> {
        self.resource.served(&self.version).and_then(|version| version.deprecation.clone()).into_iter().collect()
    }

    pub(super) fn selection(&self) -> Result<Selection, Status> {
        let labels = self.exchange.parameter("labelSelector").unwrap_or_default();
        let labels = LabelSelector::parse(labels)
            .map_err(|error| Status::bad_request(format!("unable to parse requirement: {error}")))?;
        let fields = self.exchange.parameter("fieldSelector").unwrap_or_default();
        let bad = |error: crate::objects::selector::FieldSelectorError| Status::bad_request(error.to_string());
        let fields = FieldSelector::parse(fields).map_err(bad)?;
        fields.check(&self.gvk()).map_err(bad)?;
        Ok(Selection { labels, fields })
    }

    fn get(&self) -> Result<Response<Body>, Status> {
        let target = self.target();
        let object = self.server.registry.get(&self.resource.full_name(), target.namespace, target.name)?;
        self.respond(200, &object, &[])
    }

    /// One object in the form asked for.
    fn respond(&self, code: u16, object: &Value, warnings: &[String]) -> Result<Response<Body>, Status> {
        let (shape, format) = self.exchange.form(Some(&self.resource))?;
        let mut all = self.deprecation();
        all.extend_from_slice(warnings);
        let object = to_version(&self.resource, &self.version, object);
        Ok(match shape {
            Shape::Object => self.exchange.respond(code, format, &ObjectView::whole(&object), &all),
            Shape::Table(version) => {
                let table = table::of(self, version, std::iter::once(&*object), true)?;
                let table =
                    table::with_metadata(table, &json!({"resourceVersion": object["metadata"]["resourceVersion"]}));
                self.exchange.respond(code, format, &table, &all)
            }
            Shape::Metadata(version) => {
                self.exchange.respond(code, format, &table::metadata_only(&object, version), &all)
            }
        })
    }

    fn list(&self) -> Result<Response<Body>, Status> {
        let (shape, format) = self.exchange.form(Some(&self.resource))?;
        let selection = self.selection()?;
        let page = self.page(&selection)?;
        let converted: Vec<_> =
            page.objects.iter().map(|object| to_version(&self.resource, &self.version, object)).collect();
        let warnings = self.deprecation();
        Ok(match shape {
            Shape::Object => {
                let gvk = self.gvk();
                let list = ListView {
                    kind: self.resource.list_kind.clone(),
                    api_version: gvk.api_version(),
                    metadata: page.metadata,
                    items: converted
                        .iter()
                        .map(|object| ObjectView { object, with_kind: self.resource.custom })
                        .collect(),
                };
                self.exchange.respond(200, format, &list, &warnings)
            }
            Shape::Table(version) => {
                let table = table::of(self, version, converted.iter().map(|object| &**object), true)?;
                self.exchange.respond(200, format, &table::with_metadata(table, &page.metadata), &warnings)
            }
            Shape::Metadata(version) => {
                let items: Vec<Value> = converted.iter().map(|object| table::metadata_only(object, version)).collect();
                let list = json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": page.metadata, "items": items,
                });
                self.exchange.respond(200, format, &list, &warnings)
            }
        })
    }

    /// The objects that a list asks for: at which revision, from where on, and how many.
    fn page(&self, selection: &Selection) -> Result<Page, Status> {
        let store = self.server.registry.store();
        let full_name = self.resource.full_name();
        let namespace = self.namespace.as_deref();
        let asked = parse_revision(self.exchange.parameter("resourceVersion").unwrap_or_default())?;
        let token = match self.exchange.parameter("continue").filter(|token| !token.is_empty()) {
            Some(token) => Some(ContinueToken::parse(token)?),
            None => None,
        };
        let exact = self.exchange.parameter("resourceVersionMatch") == Some("Exact");
        let (mut objects, revision) = match (&token, asked) {
            (Some(token), _) => {
                (store.list_at(&full_name, namespace, token.revision).map_err(expired_page)?, token.revision)
            }
            (None, Some(revision)) if exact && revision > 0 => {
                (store.list_at(&full_name, namespace, revision).map_err(|expired| gone(&expired))?, revision)
            }
            (None, asked) => {
                let (objects, revision) = store.list(&full_name, namespace);
                if let Some(asked) = asked.filter(|asked| *asked > revision) {
                    return Err(too_large(asked, revision));
                }
                (objects, revision)
            }
        };
        objects.retain(|object| selection.matches(object));
        if let Some(token) = &token {
            objects.retain(|object| token.is_before(object));
        }
        let limit = self.exchange.parameter("limit").and_then(|limit| limit.parse::<usize>().ok()).unwrap_or(0);
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
        if limit > 0 && objects.len() > limit {
            let remaining = objects.len() - limit;
            objects.truncate(limit);
            if let Some(last) = objects.last() {
                let token = ContinueToken::after(last, revision, namespace.is_none());
                metadata.insert("continue".to_owned(), token.to_text().into());
            }
            if selection.is_everything() {
                metadata.insert("remainingItemCount".to_owned(), remaining.into());
            }
        }
        Ok(Page { objects, metadata: Value::Object(metadata) })
    }

    fn write_options(&self, kind: &str, subresource: &str) -> Result<WriteOptions, Status> {
        let dry_run = self.dry_run(kind)?;
        let given = self.exchange.parameter("fieldManager").unwrap_or_default();
        check_manager(given, kind)?;
        if self.exchange.parameter("force").is_some_and(|force| !force.is_empty()) {
            let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
            return Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", kind), "", &[error]));
        }
        let author = self.author(self.exchange.field_manager(), subresource);
        Ok(WriteOptions { dry_run, ownership: Ownership::By(author) })
    }

    fn dry_run(&self, kind: &str) -> Result<bool, Status> {
        let values: Vec<&str> = self.exchange.parameters("dryRun").filter(|value| !value.is_empty()).collect();
        check_dry_run(&values, kind)?;
        Ok(!values.is_empty())
    }

    fn author(&self, manager: String, subresource: &str) -> Author {
        let api_version = self.gvk().api_version();
        Author { manager, api_version, subresource: subresource.to_owned() }
    }

    /// Reads the request's object and checks that it is what the path is about.
    async fn body(&self, request: Request<Incoming>) -> Result<Value, Status> {
        let content_type = body::content_type(request.headers());
        let bytes = body::read(request).await?;
        let mut object = body::object(&self.resource, &content_type, &bytes)?;
        check_kind(&self.resource, &self.version, &mut object)?;
        check_types(&self.resource.gvk(&self.version), &object).map_err(|error| {
            let kind = &self.resource.kind;
            let version = &self.version;
            Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
        })?;
        Ok(object)
    }

    async fn create(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let options = self.write_options("CreateOptions", "")?;
        let object = self.body(request).await?;
        let written =
            self.server.registry.create_with(&self.resource, self.namespace.as_deref(), object, &options).await?;
        self.respond(201, &written.object, &written.warnings)
    }

    async fn replace(&self, request: Request<Incoming>, part: Part) -> Result<Response<Body>, Status> {
        let options = self.write_options("UpdateOptions", subresource_of(part))?;
        let object = self.body(request).await?;
        let written = self.server.registry.replace(self.target(), part, object, &options).await?;
        self.respond(200, &written.object, &written.warnings)
    }

    async fn read_patch(&self, request: Request<Incoming>) -> Result<Patch, Status> {
        let content_type = body::content_type(request.headers());
        let patch_type = match PatchType::from_media_type(&content_type) {
            Some(PatchType::Strategic) | None if self.resource.custom => {
                return Err(body::unsupported(&[PatchType::Json.media_type(), PatchType::Merge.media_type(), APPLY]));
            }
            Some(patch_type) => patch_type,
            None => {
                let mut status = Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
                status.details = Some(Box::new(json!({})));
                return Err(status);
            }
        };
        let bytes = body::read(request).await?;
        let body = serde_json::from_slice(&bytes).map_err(|error| match patch_type {
            PatchType::Merge => Status::plain(500, "Invalid JSON Patch"),
            _ => Status::bad_request(format!("error decoding patch: {}", body::go_syntax(&bytes, &error))),
        })?;
        Ok(Patch { content_type: patch_type, body })
    }

    async fn patch(&self, request: Request<Incoming>, part: Part) -> Result<Response<Body>, Status> {
        if body::content_type(request.headers()) == APPLY {
            return self.apply(request, part).await;
        }
        let options = self.write_options("PatchOptions", subresource_of(part))?;
        let patch = self.read_patch(request).await?;
        let written = self.server.registry.patch_with(self.target(), &self.version, part, &patch, &options).await?;
        self.respond(200, &written.object, &written.warnings)
    }

    /// Server-side apply.
    async fn apply(&self, request: Request<Incoming>, part: Part) -> Result<Response<Body>, Status> {
        let dry_run = self.dry_run("PatchOptions")?;
        let manager = self.exchange.parameter("fieldManager").unwrap_or_default();
        if manager.is_empty() {
            let error = FieldError::required("fieldManager", "is required for apply patch");
            return Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", "PatchOptions"), "", &[error]));
        }
        check_manager(manager, "PatchOptions")?;
        let author = self.author(manager.to_owned(), subresource_of(part));
        let force = self.exchange.flag("force");
        let bytes = body::read(request).await?;
        let bad = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
        let object = body::yaml(&bytes).map_err(bad)?;
        if !object.is_object() {
            let found = if object.is_array() { "array" } else { "string" };
            return Err(bad(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
        let applied = Applied { object, author, force };
        let registry = &self.server.registry;
        let (written, created) = registry.apply_with(self.target(), &self.version, part, &applied, dry_run).await?;
        self.respond(if created { 201 } else { 200 }, &written.object, &written.warnings)
    }

    async fn delete_options(&self, request: Request<Incoming>) -> Result<DeleteOptions, Status> {
        let bytes = body::read(request).await?;
        let given: Value = if bytes.is_empty() {
            json!({})
        } else {
            protobuf::decode(&bytes)
                .ok()
                .or_else(|| serde_json::from_slice(&bytes).ok())
                .or_else(|| body::yaml(&bytes).ok())
                .filter(Value::is_object)
                .ok_or_else(|| Status::bad_request("the request's body is no DeleteOptions"))?
        };
        let parameter = |name: &str| self.exchange.parameter(name).filter(|value| !value.is_empty());
        let mut dry_run: Vec<&str> = self.exchange.parameters("dryRun").filter(|value| !value.is_empty()).collect();
        dry_run.extend(meta::list_at(&given, &["dryRun"]).iter().filter_map(Value::as_str));
        check_dry_run(&dry_run, "DeleteOptions")?;
        let propagation = given["propagationPolicy"].as_str().or_else(|| parameter("propagationPolicy"));
        let orphan = given["orphanDependents"]
            .as_bool()
            .or_else(|| parameter("orphanDependents").map(|_| self.exchange.flag("orphanDependents")));
        let propagation = match (propagation, orphan) {
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (None, None) => None,
            (Some(other), _) => {
                let error = FieldError::not_supported(
                    "propagationPolicy",
                    &format!("{other:?}"),
                    &["Foreground", "Background", "Orphan", "nil"],
                );
                return Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", "DeleteOptions"), "", &[error]));
            }
        };
        let grace = given["gracePeriodSeconds"]
            .as_i64()
            .or_else(|| parameter("gracePeriodSeconds").and_then(|seconds| seconds.parse().ok()));
        let text = |key: &str| given["preconditions"][key].as_str().map(str::to_owned);
        Ok(DeleteOptions {
            grace_period_seconds: grace,
            propagation,
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            dry_run: !dry_run.is_empty(),
        })
    }

    async fn delete(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let options = self.delete_options(request).await?;
        let deletion = self.server.registry.delete_in(self.target(), &options).await?;
        match deletion {
            // A pod and a namespace are shown even when they are gone.
            Deletion::Pending(object) => self.respond(200, &object, &[]),
            Deletion::Gone(object) if self.resource.full_name() == "pods" => self.respond(200, &object, &[]),
            Deletion::Gone(object) => {
                let mut details = json!({"name": meta::name(&object)});
                if !self.resource.group.is_empty() {
                    details["group"] = self.resource.group.as_str().into();
                }
                details["kind"] = self.resource.plural.as_str().into();
                details["uid"] = meta::uid(&object).into();
                let success = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                });
                Ok(self.exchange.respond(200, Format::Json, &success, &self.deprecation()))
            }
        }
    }

    async fn delete_collection(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let selection = self.selection()?;
        let options = self.delete_options(request).await?;
        let page = self.page(&selection)?;
        for object in &page.objects {
            let target =
                Target { resource: &self.resource, namespace: meta::namespace(object), name: meta::name(object) };
            match self.server.registry.delete_in(target, &options).await {
                Ok(_) => {}
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        let converted: Vec<_> =
            page.objects.iter().map(|object| to_version(&self.resource, &self.version, object)).collect();
        let list = ListView {
            kind: self.resource.list_kind.clone(),
            api_version: self.gvk().api_version(),
            metadata: page.metadata,
            items: converted.iter().map(|object| ObjectView { object, with_kind: self.resource.custom }).collect(),
        };
        Ok(self.exchange.respond(200, Format::Json, &list, &self.deprecation()))
    }

    async fn review(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let review = self.body(request).await?;
        let answer = reviews::answer(&self.resource.kind, review);
        Ok(self.exchange.json(201, &answer))
    }

    async fn subresource(
        &self,
        request: Request<Incoming>,
        subresource: &str,
        rest: Option<&str>,
    ) -> Result<Response<Body>, Status> {
        let full_name = self.resource.full_name();
        let method = request.method().clone();
        let reading = method == Method::GET || method == Method::HEAD;
        let declared =
            self.resource.served(&self.version).is_some_and(|version| version.subresource(subresource).is_some());
        match (full_name.as_str(), subresource) {
            ("pods", "log") if reading => {
                let target = self.target();
                logs::answer(self.server, self.exchange, target.namespace, target.name).await
            }
            ("pods", "exec") if reading || method == Method::POST => {
                let target = self.target();
                exec::answer(self.server, self.exchange, request, target.namespace, target.name)
            }
            ("pods", "portforward") if reading || method == Method::POST => {
                let target = self.target();
                port_forward::answer(self.server, self.exchange, request, target.namespace, target.name)
            }
            ("pods" | "services", "proxy") => {
                let target = self.target();
                proxy::answer(self.server, request, &self.resource, target.namespace, target.name, rest).await
            }
            ("pods", "attach") | ("nodes", "proxy") => Err(unsupported_here(&self.resource, subresource)),
            ("pods", "eviction" | "binding" | "ephemeralcontainers") | ("serviceaccounts", "token") => {
                Err(unsupported_here(&self.resource, subresource))
            }
            (_, "scale") if declared => self.scale(request).await,
            ("namespaces", "finalize") if method == Method::PUT => {
                let object = self.body(request).await?;
                let finalizers = object["spec"]["finalizers"].clone();
                let name = self.target().name;
                let finalized = self.server.registry.modify("namespaces", None, name, |namespace| {
                    namespace["spec"] =
                        if finalizers.is_null() { json!({}) } else { json!({"finalizers": finalizers}) };
                });
                let finalized = finalized.await?;
                self.respond(200, &finalized, &[])
            }
            (_, "status") if declared => match method {
                _ if reading => self.get(),
                Method::PUT => self.replace(request, Part::Status).await,
                Method::PATCH => self.patch(request, Part::Status).await,
                _ => Err(Status::method_not_allowed()),
            },
            _ => Err(Status::no_such_resource()),
        }
    }

    /// `autoscaling/v1` Scale of a Deployment, ReplicaSet or custom resource.
    async fn scale(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let target = self.target();
        let method = request.method().clone();
        let full_name = self.resource.full_name();
        if method == Method::GET || method == Method::HEAD {
            let object = self.server.registry.get(&full_name, target.namespace, target.name)?;
            return Ok(self.exchange.json(200, &scale_of(&object)));
        }
        let written: Written = match method {
            Method::PUT => {
                let options = self.write_options("UpdateOptions", "scale")?;
                let bytes = body::read(request).await?;
                let scale: Value = protobuf::decode(&bytes)
                    .or_else(|_| serde_json::from_slice(&bytes))
                    .map_err(|error| Status::bad_request(body::go_syntax(&bytes, &error)))?;
                let change = |old: &Value| rescaled(target, old, &scale);
                self.server.registry.change(target, Part::Main, &options, change).await?
            }
            Method::PATCH => {
                let options = self.write_options("PatchOptions", "scale")?;
                let patch = self.read_patch(request).await?;
                let change = |old: &Value| {
                    let mut scale = scale_of(old);
                    match patch.content_type {
                        PatchType::Json => {
                            crate::objects::merge::json_patch(&mut scale, &patch.body)
                                .map_err(|error| Status::bad_request(error.to_string()))?;
                        }
                        PatchType::Merge | PatchType::Strategic => {
                            crate::objects::merge::json_merge_patch(&mut scale, &patch.body);
                        }
                    }
                    rescaled(target, old, &scale)
                };
                self.server.registry.change(target, Part::Main, &options, change).await?
            }
            _ => return Err(Status::method_not_allowed()),
        };
        Ok(self.exchange.json(200, &scale_of(&written.object)))
    }
}

/// Server-side apply's media type.
const APPLY: &str = "application/apply-patch+yaml";

/// The subresource that a part of an object is written through.
fn subresource_of(part: Part) -> &'static str {
    if part == Part::Status { "status" } else { "" }
}

/// A manager's name is short and printable.
fn check_manager(manager: &str, kind: &str) -> Result<(), Status> {
    const LONGEST: usize = 128;
    let error = if manager.len() > LONGEST {
        FieldError::too_long("fieldManager", LONGEST)
    } else if let Some((at, letter)) = manager.char_indices().find(|(_, letter)| letter.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(letter));
        FieldError::invalid_text("fieldManager", manager, &why)
    } else {
        return Ok(());
    };
    Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", kind), "", &[error]))
}

/// 501: the path exists on a real cluster, and not here.
fn unsupported_here(resource: &Resource, subresource: &str) -> Status {
    let message = format!("the embedded cluster does not support `{}/{subresource}`", resource.full_name());
    Status::new(501, "NotImplemented", message)
}

fn scale_of(object: &Value) -> Value {
    let selector = LabelSelector::from_object(&object["spec"]["selector"]).map(|selector| selector.to_string());
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": object["spec"]["replicas"].as_i64().unwrap_or(1)},
        "status": {
            "replicas": object["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": selector.unwrap_or_default(),
        },
    })
}

/// The object with the replicas that the scale wants.
fn rescaled(target: Target<'_>, old: &Value, scale: &Value) -> Result<Value, Status> {
    let Target { resource, name, .. } = target;
    if meta::resource_version(scale).is_some_and(|version| Some(version) != meta::resource_version(old)) {
        return Err(Status::modified(resource, name));
    }
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let error = FieldError::invalid("spec.replicas", &replicas.to_string(), "must be greater than or equal to 0");
        return Err(Status::invalid(&Gvk::new("autoscaling", "v1", "Scale"), name, &[error]));
    }
    let mut new = old.clone();
    new["spec"]["replicas"] = replicas.into();
    Ok(new)
}

struct Page {
    objects: Vec<Arc<Value>>,
    metadata: Value,
}

/// Where a list goes on: after which object, at which revision.
struct ContinueToken {
    revision: u64,
    namespace: Option<String>,
    name: String,
}

impl ContinueToken {
    fn after(object: &Value, revision: u64, all_namespaces: bool) -> Self {
        let namespace = meta::namespace(object).filter(|_| all_namespaces).map(str::to_owned);
        Self { revision, namespace, name: meta::name(object).to_owned() }
    }

    fn to_text(&self) -> String {
        let start = match &self.namespace {
            Some(namespace) => format!("{namespace}/{}\0", self.name),
            None => format!("{}\0", self.name),
        };
        URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": start}).to_string())
    }

    fn parse(text: &str) -> Result<Self, Status> {
        let bad = |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .or_else(|_| STANDARD.decode(text))
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .or_else(|_| lenient(text).ok_or(()))
            .map_err(|()| bad("illegal base64 data"))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| bad(&body::go_syntax(&bytes, &error)))?;
        let (Some(revision), Some(start)) = (value["rv"].as_u64(), value["start"].as_str()) else {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        };
        let start = start.trim_end_matches('\0');
        let (namespace, name) = match start.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, start),
        };
        Ok(Self { revision, namespace, name: name.to_owned() })
    }

    /// Whether the object comes after the one that the last page ended with.
    fn is_before(&self, object: &Value) -> bool {
        match &self.namespace {
            Some(namespace) => {
                let place = (meta::namespace(object).unwrap_or_default(), meta::name(object));
                place > (namespace.as_str(), self.name.as_str())
            }
            None => meta::name(object) > self.name.as_str(),
        }
    }
}

/// Decodes text whose last symbol carries bits that belong to no byte, as Go does.
fn lenient(text: &str) -> Option<Vec<u8>> {
    let config = base64::engine::GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    base64::engine::GeneralPurpose::new(&base64::alphabet::URL_SAFE, config).decode(text).ok()
}

/// A revision in a query; empty is none.
pub(super) fn parse_revision(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        Status::plain(500, format!("resourceVersion: Invalid value: {text:?}: {why}"))
    })
}

pub(super) fn gone(expired: &Expired) -> Status {
    Status::new(410, "Expired", expired.to_string())
}

fn expired_page(_: Expired) -> Status {
    Status::new(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
    )
}

fn too_large(asked: u64, revision: u64) -> Status {
    let mut status =
        Status::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {revision}"));
    status.details = Some(Box::new(json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    })));
    status
}

fn check_dry_run(values: &[&str], kind: &str) -> Result<(), Status> {
    if values.iter().all(|value| *value == "All") {
        return Ok(());
    }
    let given: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    let error = FieldError::not_supported("dryRun", &format!("[]string{{{}}}", given.join(", ")), &["All"]);
    Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", kind), "", &[error]))
}

/// Checks the kind that the object says it has; one that says nothing is taken for what the path names.
fn check_kind(resource: &Resource, version: &str, object: &mut Value) -> Result<(), Status> {
    const SCHEME: &str = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30";
    let expected = resource.gvk(version);
    let text = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let mut api_version = text(object, "apiVersion");
    let mut kind = text(object, "kind");
    if api_version.is_empty() {
        api_version = expected.api_version();
        object["apiVersion"] = api_version.as_str().into();
    }
    if kind.is_empty() {
        kind.clone_from(&expected.kind);
        object["kind"] = kind.as_str().into();
    }
    let given = Gvk::from_api_version(&api_version, &kind);
    if given == expected {
        return Ok(());
    }
    let unhandled = |why: String| {
        Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}: {why}",
            given.version, expected.kind
        ))
    };
    if !resource.custom && builtin(&given).is_none() {
        return Err(unhandled(format!(
            "no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"{SCHEME}\""
        )));
    }
    if api_version != expected.api_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version()
        )));
    }
    let package = if expected.group.is_empty() { "core" } else { &expected.group };
    Err(unhandled(format!(
        "converting ({}.{kind}) to ({package}.{}): unknown conversion",
        given.version, expected.kind
    )))
}
