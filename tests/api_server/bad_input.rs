//! What a client can do wrong, and that the server stays well.

use serde_json::{Value, json};

use super::harness::{Server, TOKEN};

async fn post(server: &Server, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let url = format!("https://{}/api/v1/namespaces/default/configmaps", server.address);
    let request = server.client.post(url).bearer_auth(TOKEN).header("content-type", "application/json").body(body);
    let response = request.send().await.unwrap();
    let code = response.status().as_u16();
    (code, response.json().await.unwrap())
}

#[tokio::test]
async fn bodies_that_are_malformed_deep_or_huge_get_a_status() {
    let server = Server::start().await;
    let (code, status) = post(&server, "x".repeat(4 << 20)).await;
    assert_eq!((code, status["message"].as_str()), (413, Some("Request entity too large: limit is 3145728")));
    let deep = format!("{{\"data\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let (code, status) = post(&server, deep).await;
    assert_eq!((code, status["reason"].as_str()), (400, Some("BadRequest")));
    // Not too deep to be read, but too deep to be kept.
    let custom = format!("{{\"metadata\":{}1{}}}", "{\"a\":".repeat(110), "}".repeat(110));
    let (code, _) = post(&server, custom).await;
    assert_eq!(code, 400);
    for body in ["{", "[]", "null", "\"text\"", "{\"metadata\": 1}", "\u{0}\u{1}", ""] {
        let (code, status) = post(&server, body).await;
        assert!((400..500).contains(&code), "{body:?}: {code} {status}");
        assert_eq!(status["kind"], "Status", "{body:?}");
    }
    let (code, _) = post(&server, json!({"metadata": {"name": "fine"}}).to_string()).await;
    assert_eq!(code, 201, "the server is well");
}

#[tokio::test]
async fn strangers_are_kept_out_but_may_ask_for_its_health() {
    let server = Server::start().await;
    let get = |path: &str| server.client.get(format!("https://{}{path}", server.address));
    assert_eq!(get("/api/v1/pods").send().await.unwrap().status(), 403);
    assert_eq!(get("/api/v1/pods").bearer_auth("wrong").send().await.unwrap().status(), 401);
    assert_eq!(get("/apis").send().await.unwrap().status(), 403);
    for path in ["/healthz", "/livez", "/readyz?verbose", "/version"] {
        assert_eq!(get(path).send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_supported_says_so() {
    let server = Server::start().await;
    let request = |method: reqwest::Method, path: &str| {
        server.client.request(method, format!("https://{}{path}", server.address)).bearer_auth(TOKEN)
    };
    let path = "/api/v1/namespaces/default/configmaps/a";
    let token = request(reqwest::Method::POST, "/api/v1/namespaces/default/serviceaccounts/default/token").body("{}");
    assert_eq!(token.send().await.unwrap().status(), 501);
    assert_eq!(request(reqwest::Method::POST, path).body("{}").send().await.unwrap().status(), 405);
    for (path, name) in [
        ("/apis/batch/v1/namespaces/default/jobs", "jobs.batch"),
        ("/apis/apps/v1/daemonsets", "daemonsets.apps"),
        ("/api/v1/namespaces/default/resourcequotas/q", "resourcequotas"),
    ] {
        let answer = request(reqwest::Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let status: Value = answer.json().await.unwrap();
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{name} is not served by the embedded cluster")), "{message}");
        assert_eq!(status["reason"], "NotFound");
    }
    // What no cluster has stays what it is.
    let unknown = request(reqwest::Method::GET, "/apis/nope.example.com/v1/foos").send().await.unwrap();
    assert_eq!(unknown.text().await.unwrap(), "404 page not found\n");
}

#[tokio::test]
async fn documents_say_of_every_custom_field_what_it_is() {
    fn bare(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if inner.as_object().is_none_or(serde_json::Map::is_empty) {
                found.push(path.clone());
            }
            bare(&path, inner, found);
        }
        for keyword in ["items", "additionalProperties"] {
            if schema[keyword].is_object() {
                bare(path, &schema[keyword], found);
            }
        }
    }
    let server = Server::start_with_istio().await;
    let url = format!("https://{}/openapi/v3/apis/networking.istio.io/v1beta1", server.address);
    let document: Value = server.client.get(url).bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut found = Vec::new();
    for (name, schema) in schemas.iter().filter(|(name, _)| name.starts_with("io.istio.")) {
        bare(name, schema, &mut found);
    }
    assert_eq!(found, Vec::<String>::new(), "fields without a schema");
    let rule = &schemas["io.istio.networking.v1beta1.VirtualService"]["properties"]["spec"]["properties"]["http"];
    let cors = &rule["items"]["properties"]["corsPolicy"]["properties"]["allowCredentials"];
    assert_eq!((&cors["type"], &cors["nullable"]), (&json!("boolean"), &json!(true)));
}
