//! What others did in the recorded session: the tutorial's objects were there, and controllers and a kubelet wrote.

use canary_lab::objects::apply::{LAST_APPLIED, annotated};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::harness::Server;

const LAB: &str = "tf-serving";

pub(crate) struct Session<'a> {
    server: &'a Server,
    exchanges: &'a [(String, Value)],
}

impl<'a> Session<'a> {
    /// Puts the tutorial's objects in place as the recording shows them.
    pub(crate) async fn new(server: &'a Server, exchanges: &'a [(String, Value)]) -> Self {
        let session = Self { server, exchanges };
        session.create("namespaces", None, json!({"metadata": {"name": LAB}})).await;
        session.root_certificate(LAB).await;
        for exchange in ["143-table-services", "153-table-destinationrules", "159-partial-metadata"] {
            let body = session.body(exchange);
            let rows = body["rows"].as_array().into_iter().flatten().map(|row| &row["object"]);
            for object in rows.chain(body["items"].as_array().into_iter().flatten()) {
                let Some(record) = object["metadata"]["annotations"][LAST_APPLIED].as_str() else { continue };
                let applied: Value = serde_json::from_str(record).unwrap();
                let resource = match applied["kind"].as_str().unwrap() {
                    "Service" => "services",
                    "ConfigMap" => "configmaps",
                    _ => "destinationrules.networking.istio.io",
                };
                session.create(resource, Some(LAB), annotated(&applied)).await;
            }
        }
        let deployment = &session.body("156-table-single-deployment")["rows"][0]["object"];
        session.create("deployments.apps", Some(LAB), deployment.clone()).await;
        session.set_status("deployments.apps", LAB, deployment).await;
        for row in session.body("142-table-replicasets")["rows"].as_array().unwrap() {
            let metadata = row["object"]["metadata"].clone();
            let labels = metadata["labels"].clone();
            let container = json!({"name": row["cells"][5], "image": row["cells"][6]});
            let set = json!({
                "metadata": metadata,
                "spec": {
                    "replicas": row["cells"][1], "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                },
                "status": {"replicas": row["cells"][2], "readyReplicas": row["cells"][3]},
            });
            session.create("replicasets.apps", Some(LAB), set.clone()).await;
            session.set_status("replicasets.apps", LAB, &set).await;
        }
        let pod = json!({
            "metadata": {"name": "image-classifier-resnet50-9bbd8bf5-2l2x5"},
            "spec": {"nodeName": "node", "containers": [{"name": "tf-serving", "image": "tensorflow/serving:2.5.1"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "tf-serving", "ready": true, "restartCount": 0, "image": "", "imageID": "",
                 "state": {"running": {"startedAt": "2026-11-23T08:38:42Z"}}}
            ]},
        });
        session.create("pods", Some(LAB), pod.clone()).await;
        session.set_status("pods", LAB, &pod).await;
        session.backend().await;
        session
    }

    fn body(&self, name: &str) -> &'a Value {
        &self.exchanges.iter().find(|(known, _)| known == name).unwrap().1["response"]["body"]
    }

    async fn create(&self, resource: &str, namespace: Option<&str>, mut object: Value) {
        for field in ["resourceVersion", "uid", "managedFields"] {
            object["metadata"].as_object_mut().unwrap().shift_remove(field);
        }
        self.server.registry.create(resource, namespace, object).await.unwrap();
    }

    async fn set_status(&self, resource: &str, namespace: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let status = object["status"].clone();
        let change = |stored: &mut Value| stored["status"] = status.clone();
        self.server.registry.modify(resource, Some(namespace), name, change).await.unwrap();
    }

    async fn root_certificate(&self, namespace: &str) {
        let map = json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}});
        self.create("configmaps", Some(namespace), map).await;
    }

    /// A server behind the tutorial's Service, which answers every request as the recorded one did.
    async fn backend(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let body = match self.body("190-service-proxy") {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
        });
        let endpoints = json!({
            "metadata": {"name": "image-classifier"},
            "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "tf-serving-http", "port": port}]}],
        });
        self.create("endpoints", Some(LAB), endpoints).await;
    }

    /// What the daemon's other parts had written before this exchange.
    pub(crate) async fn others_write(&self, exchange: &str) {
        let registry = &self.server.registry;
        match exchange {
            "024-create-namespace-again" => self.root_certificate("api").await,
            "109-deployment-scale-patch" => {
                let status = json!({"metadata": {"name": "d"}, "status": {"replicas": 1}});
                self.set_status("deployments.apps", "api", &status).await;
            }
            "197-log-waiting" => {
                let pod = self.body("203-delete-pod-grace");
                let change = |stored: &mut Value| {
                    stored["spec"]["nodeName"] = "NODE".into();
                    stored["status"] = pod["status"].clone();
                };
                registry.modify("pods", Some("api"), "bad", change).await.unwrap();
            }
            "204-delete-deployment-foreground" => {
                let deployment = self.body(exchange);
                let change = |stored: &mut Value| {
                    stored["metadata"]["annotations"] = deployment["metadata"]["annotations"].clone();
                    stored["status"] = deployment["status"].clone();
                };
                registry.modify("deployments.apps", Some("api"), "d", change).await.unwrap();
            }
            "206-delete-deployment-background" => {
                let mut other = self.body("094-create-deployment").clone();
                other["metadata"]["name"] = "bg".into();
                self.create("deployments.apps", Some("api"), other).await;
            }
            _ => {}
        }
    }
}
