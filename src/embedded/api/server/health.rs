use http::{Method, Response};
use serde_json::json;

use super::ApiServer;
use super::body::Body;
use super::exchange::Exchange;

/// Answers what everybody may ask: whether the server is alive and which version it is.
pub(super) fn answer(server: &ApiServer, exchange: &Exchange, method: &Method, path: &str) -> Option<Response<Body>> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    match path {
        "/version" | "/version/" => Some(exchange.json(200, &version())),
        "/healthz" | "/livez" | "/readyz" => Some(health(server, exchange, &path[1..])),
        _ => {
            let (check, part) = path.strip_prefix('/')?.split_once('/')?;
            let known = matches!(check, "healthz" | "livez" | "readyz") && matches!(part, "ping" | "log" | "etcd");
            if !known {
                return None;
            }
            let trouble = server.registry.trouble().filter(|_| part == "etcd");
            Some(match trouble {
                None => exchange.text(200, "ok"),
                Some(_) => exchange.text(500, format!("internal server error: {part} failed: reason withheld\n")),
            })
        }
    }
}

/// The version whose features the server has.
pub(super) fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": "24", "gitVersion": "v1.24.3",
        "gitCommit": "aef86a93758dc3cb2c658dd9657ab4ad4afc21cb", "gitTreeState": "clean",
        "buildDate": "2022-07-13T14:23:26Z", "goVersion": "go1.18.3", "compiler": "gc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

fn health(server: &ApiServer, exchange: &Exchange, check: &str) -> Response<Body> {
    // Storage that refuses writes still answers reads, so the server is alive but not ready.
    let trouble = if check == "livez" { None } else { server.registry.trouble() };
    if trouble.is_none() && !exchange.flag("verbose") {
        return exchange.text(200, "ok");
    }
    let mut lines = String::new();
    for name in ["ping", "log", "etcd"] {
        if name == "etcd" && trouble.is_some() {
            lines.push_str("[-]etcd failed: reason withheld\n");
        } else {
            lines.push_str(&format!("[+]{name} ok\n"));
        }
    }
    if check == "readyz" {
        lines.push_str("[+]informer-sync ok\n");
    }
    lines.push_str("[+]poststarthook/crd-informer-synced ok\n");
    if check == "readyz" {
        lines.push_str("[+]shutdown ok\n");
    }
    let (code, verdict) = if trouble.is_some() { (500, "failed") } else { (200, "passed") };
    exchange.text(code, format!("{lines}{check} check {verdict}\n"))
}
