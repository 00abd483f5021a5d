use std::sync::Arc;

use http::Response;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::ApiServer;
use super::body::Body;
use super::exchange::Exchange;
use crate::embedded::api::catalog::{Catalog, Resource, Version};
use crate::embedded::api::openapi::{self, Kind};
use crate::embedded::api::status::Status;

/// Answers what is neither an object nor open to everybody: what there is, and how it looks.
pub(super) fn answer(server: &Arc<ApiServer>, exchange: &Exchange, path: &str) -> Result<Response<Body>, Status> {
    let catalog = server.registry.catalog();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let document = match segments.as_slice() {
        [] => Some(json!({"paths": paths(&catalog)})),
        ["api"] => Some(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server.address.to_string()}],
        })),
        ["api", "v1"] => resource_list(&catalog, "", "v1"),
        ["api", _] => return Err(Status::no_such_resource()),
        ["apis"] => {
            let groups: Vec<Value> = group_names(&catalog).iter().map(|name| group(&catalog, name)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] if group_names(&catalog).contains(name) => {
            let Value::Object(found) = group(&catalog, name) else { return Ok(exchange.not_found_page()) };
            let mut document = Map::new();
            document.insert("kind".to_owned(), "APIGroup".into());
            document.insert("apiVersion".to_owned(), "v1".into());
            document.extend(found);
            Some(Value::Object(document))
        }
        ["openapi", ..] => return Ok(openapi(server, exchange, &catalog, &segments)),
        ["apis", group, version] => resource_list(&catalog, group, version),
        _ => None,
    };
    match document {
        Some(document) => Ok(exchange.json(200, &document)),
        None => Ok(exchange.not_found_page()),
    }
}

fn openapi(server: &ApiServer, exchange: &Exchange, catalog: &Arc<Catalog>, segments: &[&str]) -> Response<Body> {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let group_version = match segments {
        [_, "v2"] => None,
        [_, "v3"] => return exchange.json(200, &openapi::index(catalog)),
        [_, "v3", "api", version] => Some(("", *version)),
        [_, "v3", "apis", group, version] => Some((*group, *version)),
        _ => return exchange.not_found_page(),
    };
    let (kind, media_type) = match group_version {
        None if exchange.accepts(PROTOBUF) => (Kind::V2Protobuf, "application/octet-stream"),
        None => (Kind::V2Json, "application/json"),
        Some((group, version)) => {
            if !versions(catalog, group).iter().any(|known| known == version) {
                return exchange.not_found_page();
            }
            (Kind::V3(group.to_owned(), version.to_owned()), "application/json")
        }
    };
    let (definitions, _) = server.registry.store().list("customresourcedefinitions.apiextensions.k8s.io", None);
    exchange.packed(media_type, server.documents.get(catalog, &definitions, &kind))
}

/// Names of the groups, the core group's aside, in discovery's order.
fn group_names(catalog: &Catalog) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for resource in catalog.iter() {
        if !resource.group.is_empty() && !names.contains(&resource.group.as_str()) {
            names.push(&resource.group);
        }
    }
    names
}

/// The served versions of a group, the preferred one first.
pub(super) fn versions(catalog: &Catalog, group: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for resource in catalog.iter().filter(|resource| resource.group == group) {
        for version in resource.versions.iter().filter(|version| version.served) {
            if !versions.contains(&version.name) {
                versions.push(version.name.clone());
            }
        }
    }
    if catalog.iter().any(|resource| resource.group == group && resource.custom) {
        versions.sort_by_key(|name| std::cmp::Reverse(crate::embedded::api::catalog::version_rank(name)));
    }
    versions
}

fn group(catalog: &Catalog, name: &str) -> Value {
    let versions: Vec<Value> = versions(catalog, name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn resource_list(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for resource in catalog.iter().filter(|resource| resource.group == group) {
        let Some(version) = resource.served(version) else { continue };
        resources.push(entry(resource));
        for subresource in &version.subresources {
            resources.push(subresource_entry(resource, version, subresource.name));
        }
    }
    if resources.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut list = json!({"kind": "APIResourceList"});
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    list["groupVersion"] = group_version.into();
    list["resources"] = Value::Array(resources);
    Some(list)
}

fn entry(resource: &Resource) -> Value {
    // Definitions list the same verbs in an order of their own.
    const CUSTOM_VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    let verbs: Vec<&str> = if resource.custom { CUSTOM_VERBS.to_vec() } else { resource.verbs.names().to_vec() };
    let stored = verbs.len() > 1;
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    if stored {
        entry["storageVersionHash"] = storage_version_hash(resource).into();
    }
    entry
}

fn subresource_entry(resource: &Resource, version: &Version, name: &str) -> Value {
    let Some(subresource) = version.subresource(name) else { return Value::Null };
    let kind = if subresource.kind.is_empty() { &resource.kind } else { subresource.kind };
    let mut entry = json!({
        "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
    });
    if let Some((group, version)) = subresource.api_version.and_then(|api_version| api_version.split_once('/')) {
        entry["group"] = group.into();
        entry["version"] = version.into();
    }
    entry["kind"] = kind.into();
    entry["verbs"] = json!(subresource.verbs);
    entry
}

/// Eight bytes that change when objects come to be stored in another version.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine;
    let gvk = resource.storage_gvk();
    let hash = Sha256::digest(format!("{}/{}/{}", gvk.group, gvk.version, gvk.kind));
    base64::engine::general_purpose::STANDARD.encode(&hash[..8])
}

/// Every path that `/` lists.
fn paths(catalog: &Catalog) -> Vec<String> {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis", "/apis/"].iter().map(|path| (*path).to_owned()).collect();
    for group in group_names(catalog) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions(catalog, group).into_iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths[3..].sort();
    let rest = [
        "/healthz",
        "/healthz/etcd",
        "/healthz/log",
        "/healthz/ping",
        "/livez",
        "/livez/etcd",
        "/livez/log",
        "/livez/ping",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/readyz",
        "/readyz/etcd",
        "/readyz/log",
        "/readyz/ping",
        "/version",
    ];
    paths.extend(rest.iter().map(|path| (*path).to_owned()));
    paths
}
