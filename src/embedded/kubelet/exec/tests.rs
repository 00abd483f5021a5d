use std::os::unix::fs::symlink;

use serde_json::json;

use super::*;
use crate::embedded::api::{RegistryOptions, ServiceRange};
use crate::embedded::store::Store;
use crate::process::{Mount, Sandbox};

struct Lab {
    home: tempfile::TempDir,
    registry: Registry,
    place: Arc<ContainerPlace>,
}

fn lab() -> Lab {
    let home = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let (models, config) = (folder("models/1"), folder("config"));
    std::fs::write(models.join("saved_model.pb"), "graph").unwrap();
    std::fs::write(home.path().join("secret"), "of the host").unwrap();
    symlink(home.path().join("secret"), models.join("link")).unwrap();
    std::fs::write(config.join("key"), "value\n").unwrap();
    let mount = |path: &str, source: &str| Mount { path: path.into(), source: home.path().join(source) };
    let sandbox = Sandbox {
        bind: [127, 0, 0, 1].into(),
        mounts: vec![mount("/models/resnet50", "models"), mount("/etc/config", "config")],
    };
    let pod = json!({"spec": {"volumes": [{"name": "m", "hostPath": {}}, {"name": "c", "configMap": {}}]}});
    let container = json!({"volumeMounts": [
        {"name": "m", "mountPath": "/models/resnet50"}, {"name": "c", "mountPath": "/etc/config"}
    ]});
    let place = ContainerPlace {
        environment: vec![("MODEL_NAME".to_owned(), "x".to_owned())],
        view: View::new(sandbox, &pod, &container),
        local: vec![[127, 0, 0, 1].into()],
        hostname: "pod".to_owned(),
        namespace: "default".to_owned(),
    };
    let store = Store::open(&home.path().join("store.redb")).unwrap();
    let services = ServiceRange { network: [127, 77, 16, 0].into(), prefix: 20 };
    let registry = Registry::new(store, RegistryOptions { services });
    Lab { registry, place: Arc::new(place), home }
}

impl Lab {
    /// Exit code, standard output, standard error.
    async fn run(&self, words: &str, input: &[u8]) -> (u8, String, String) {
        let (code, out, err) = self.bytes(words, input).await;
        (code, String::from_utf8(out).unwrap(), err)
    }

    async fn bytes(&self, words: &str, input: &[u8]) -> (u8, Vec<u8>, String) {
        let (send, stdin) = mpsc::channel(8);
        for chunk in input.chunks(4096) {
            let (send, chunk) = (send.clone(), Bytes::copy_from_slice(chunk));
            tokio::spawn(async move { send.send(chunk).await });
            tokio::task::yield_now().await;
        }
        drop(send);
        let (output, mut written) = mpsc::channel(8);
        let command = Command {
            registry: self.registry.clone(),
            place: Arc::clone(&self.place),
            stdin,
            console: Console(output),
        };
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let running = tokio::spawn(async move { command.run(&words).await });
        let (mut out, mut err) = (Vec::new(), String::new());
        while let Some(output) = written.recv().await {
            match output {
                Output::Stdout(bytes) => out.extend_from_slice(&bytes),
                Output::Stderr(bytes) => err.push_str(std::str::from_utf8(&bytes).unwrap()),
            }
        }
        (running.await.unwrap(), out, err)
    }
}

fn ok(text: &str) -> (u8, String, String) {
    (0, text.to_owned(), String::new())
}

#[tokio::test]
async fn files_are_seen_through_the_mounts_only() {
    let lab = lab();
    assert_eq!(lab.run("ls /", b"").await, ok("etc\nmodels\n"));
    assert_eq!(lab.run("ls /models/resnet50/1", b"").await, ok("link\nsaved_model.pb\n"));
    let listing = lab.run("sha256sum /etc/config/key /etc/config/gone", b"").await;
    let sum = "1e1f2c881ae0608ec77ebf88a75c66d3099113a7343238f2f7a0ebb91a4ed335";
    assert_eq!(
        listing,
        (1, format!("{sum}  /etc/config/key\n"), "sha256sum: /etc/config/gone: No such file or directory\n".into())
    );
    assert_eq!(lab.run("cat /models/resnet50/1/saved_model.pb /etc/config/key", b"").await, ok("graphvalue\n"));
    for path in ["/etc/passwd", "/models/resnet50/../../../etc/passwd", "/models/resnet50/1/link", "/models/none"] {
        let (code, out, err) = lab.run(&format!("cat {path}"), b"").await;
        assert_eq!((code, out.as_str()), (1, ""), "{path}");
        assert!(err.ends_with("No such file or directory\n"), "{path}: {err}");
    }
    assert_eq!(lab.run("ls /none", b"").await.0, 2);
    assert_eq!(lab.run("test -d /models", b"").await.0, 0);
    assert_eq!(lab.run("test -f /models/resnet50", b"").await.0, 1);
    assert_eq!(lab.run("env", b"").await, ok("MODEL_NAME=x\n"));
    let (code, _, err) = lab.run("bash -c id", b"").await;
    assert_eq!(code, 126);
    assert!(err.contains("exec: \"bash\": executable file not found in $PATH"), "{err}");
    let long = lab.run("ls -l /models/resnet50/1/saved_model.pb", b"").await.1;
    assert!(
        long.starts_with("-rw") && long.contains(" 5 ") && long.ends_with(" /models/resnet50/1/saved_model.pb\n"),
        "{long}"
    );
}

#[tokio::test]
async fn archives_go_out_and_come_in() {
    let lab = lab();
    let (code, archive, err) = lab.bytes("tar cf - /models/resnet50", b"").await;
    assert_eq!((code, err.as_str()), (0, "tar: Removing leading `/' from member names\n"));
    assert_eq!(lab.bytes("tar xf - -C /models/resnet50/copy", &archive).await.0, 2, "a link is not unpacked");
    let copied = lab.home.path().join("models/copy/models/resnet50/1/saved_model.pb");
    assert_eq!(std::fs::read_to_string(copied).unwrap(), "graph");
    let (code, _, err) = lab.bytes("tar xf - -C /etc/config", &archive).await;
    assert_eq!(code, 2);
    assert!(err.contains("Read-only file system"), "{err}");
    assert_eq!(lab.bytes("tar xf - -C /usr", &archive).await.0, 2);
}

#[tokio::test]
async fn curl_reaches_the_lab_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let lab = lab();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1024];
            let _ = stream.read(&mut request).await;
            let _ =
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n").await;
        }
    });
    let answer = lab.run(&format!("curl -s -w %{{http_code}} localhost:{port}/x"), b"").await;
    assert_eq!(answer, ok("no\n404"));
    assert_eq!(lab.run(&format!("curl -f http://127.0.0.1:{port}/x"), b"").await.0, 22);
    assert_eq!(lab.run("curl nowhere.default:80", b"").await.2, "curl: (6) Could not resolve host: nowhere.default\n");
    assert_eq!(lab.run("curl http://192.0.2.1/", b"").await.0, 7);
    assert_eq!(lab.run("curl https://localhost/", b"").await.0, 1);
}
