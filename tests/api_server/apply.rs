//! Server-side apply and the record of who owns what.

use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Server, TOKEN};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

async fn ask(server: &Server, method: Method, path: &str, media: &str, body: &Value) -> (u16, Value) {
    let request = server.client.request(method, format!("https://{}{path}", server.address)).bearer_auth(TOKEN);
    let response = request.header("content-type", media).body(body.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn deployment(container: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"app": "d"}},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container]}},
        },
    })
}

fn owners(object: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .map(|entry| (text(&entry["manager"]), text(&entry["operation"]), text(&entry["subresource"])))
        .collect()
}

fn owner(manager: &str, operation: &str, subresource: &str) -> (String, String, String) {
    (manager.to_owned(), operation.to_owned(), subresource.to_owned())
}

#[tokio::test]
async fn fields_change_hands_as_they_are_written() {
    let server = Server::start().await;
    let one = format!("{DEPLOYMENTS}/d?fieldManager=one");
    let first = deployment(json!({"name": "c", "image": "i:1", "ports": [{"containerPort": 80}], "args": ["a"]}));
    let (code, made) = ask(&server, Method::PATCH, &one, APPLY, &first).await;
    assert_eq!((code, owners(&made)), (201, vec![owner("one", "Apply", "")]));
    assert_eq!(made["spec"]["replicas"], 1, "defaults are filled in, and nobody's");

    // Another client changes the image: it owns it from now on, and the applier learns of it.
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}});
    let strategic = "application/strategic-merge-patch+json";
    let set = format!("{DEPLOYMENTS}/d?fieldManager=kubectl-set");
    let (_, changed) = ask(&server, Method::PATCH, &set, strategic, &image).await;
    assert_eq!(owners(&changed), [owner("one", "Apply", ""), owner("kubectl-set", "Update", "")]);
    let (code, refused) = ask(&server, Method::PATCH, &one, APPLY, &first).await;
    let path = ".spec.template.spec.containers[name=\"c\"].image";
    let message = format!("Apply failed with 1 conflict: conflict with \"kubectl-set\" using apps/v1: {path}");
    assert_eq!((code, &refused["message"], &refused["reason"]), (409, &json!(message), &json!("Conflict")));
    assert_eq!(refused["details"]["causes"][0]["field"], path);
    let (code, forced) = ask(&server, Method::PATCH, &format!("{one}&force=true"), APPLY, &first).await;
    assert_eq!((code, &forced["spec"]["template"]["spec"]["containers"][0]["image"]), (200, &json!("i:1")));
    assert_eq!(owners(&forced), [owner("one", "Apply", "")]);

    // What is applied no more goes; what others set stays.
    let label = json!({"metadata": {"labels": {"by": "hand"}}});
    let labelled = format!("{DEPLOYMENTS}/d?fieldManager=kubectl-label");
    ask(&server, Method::PATCH, &labelled, MERGE, &label).await;
    let (_, less) = ask(&server, Method::PATCH, &one, APPLY, &deployment(json!({"name": "c", "image": "i:1"}))).await;
    let container = &less["spec"]["template"]["spec"]["containers"][0];
    assert!(container.get("ports").is_none() && container.get("args").is_none(), "{container}");
    assert_eq!(less["metadata"]["labels"], json!({"app": "d", "by": "hand"}));
    let (_, again) = ask(&server, Method::PATCH, &one, APPLY, &deployment(json!({"name": "c", "image": "i:1"}))).await;
    assert_eq!(again["metadata"]["resourceVersion"], less["metadata"]["resourceVersion"], "nothing to do");

    // Status is owned by whoever writes it through its subresource, and by nobody else.
    let mut status = deployment(json!({"name": "c"}));
    status["status"] = json!({"observedGeneration": 1});
    let path = format!("{DEPLOYMENTS}/d/status?fieldManager=controller");
    let (code, written) = ask(&server, Method::PATCH, &path, MERGE, &json!({"status": status["status"]})).await;
    assert_eq!(code, 200);
    assert!(owners(&written).contains(&owner("controller", "Update", "status")), "{:?}", owners(&written));
    assert_eq!(written["spec"], less["spec"]);
}

#[tokio::test]
async fn the_record_survives_clients_that_know_nothing_of_it() {
    let server = Server::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "1"}});
    let (_, made) = ask(&server, Method::POST, &format!("{path}?fieldManager=maker"), "application/json", &map).await;
    let recorded = &made["metadata"]["managedFields"][0];
    assert_eq!(recorded["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}}}));
    let put = json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}});
    let (_, put) = ask(&server, Method::PUT, &format!("{path}/m?fieldManager=other"), "application/json", &put).await;
    assert_eq!(owners(&put), [owner("maker", "Update", ""), owner("other", "Update", "")]);
    // An empty record asks for it to be forgotten; the next applier then takes what there is for somebody's.
    let forget = json!({"metadata": {"managedFields": [{}]}});
    let (_, bare) = ask(&server, Method::PATCH, &format!("{path}/m"), MERGE, &forget).await;
    assert_eq!(owners(&bare), []);
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}});
    let (_, applied) = ask(&server, Method::PATCH, &format!("{path}/m?fieldManager=me"), APPLY, &applied).await;
    assert_eq!(owners(&applied), [owner("me", "Apply", ""), owner("before-first-apply", "Update", "")]);
}

#[tokio::test]
async fn what_cannot_be_applied_is_told() {
    let server = Server::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let good = deployment(json!({"name": "c", "image": "i"}));
    let refused = async |path: &str, body: &Value| {
        let (code, status) = ask(&server, Method::PATCH, path, APPLY, body).await;
        (code, status["message"].as_str().unwrap().to_owned())
    };
    let nobody = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
    assert_eq!(refused(&path, &good).await, (422, nobody.to_owned()));
    let me = format!("{path}?fieldManager=me");
    let unknown = deployment(json!({"name": "c", "imagee": "i"}));
    let why = "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"c\"].imagee: field not declared in schema";
    assert_eq!(refused(&me, &unknown).await, (500, why.to_owned()));
    let mut other = good.clone();
    other["apiVersion"] = "apps/v2".into();
    assert_eq!(refused(&me, &other).await, (400, "invalid object type: apps/v2, Kind=Deployment".to_owned()));
    let mut other = good.clone();
    other["metadata"]["name"] = "e".into();
    assert_eq!(refused(&me, &other).await.0, 400);
    assert_eq!(refused(&me, &json!([1])).await.0, 400);
    let (code, _) = ask(&server, Method::PATCH, &format!("{me}&dryRun=All"), APPLY, &good).await;
    assert_eq!(code, 201);
    assert_eq!(ask(&server, Method::GET, &path, MERGE, &json!({})).await.0, 404, "it was a dry run");
    let (code, status) = ask(&server, Method::PATCH, &format!("{path}?force=true"), MERGE, &json!({})).await;
    assert_eq!(code, 422, "{status}");
}
