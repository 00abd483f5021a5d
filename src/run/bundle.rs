//! What explains a failure, packed into one archive before anything is removed: logs, events, objects, records, versions.
//!
//! Nothing secret goes in: the values of Secrets, the kubeconfig and keys stay out, and the API's token is struck out
//! wherever it is written. The archive is bounded: of each log the end is taken, and when the whole is large enough the
//! rest is named in the index instead.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::{Api, Kind, Provider, Standing};
use crate::doctor::checks::{Subject, Target, preflight};
use crate::doctor::{Failure, Reason};
use crate::objects::apply::LAST_APPLIED;
use crate::objects::meta;
use crate::state::{Home, HomeError, entries};
use crate::ui::Environment;

/// Bytes that are taken of one file, from its end.
const OF_ONE_FILE: u64 = 1 << 20;
/// Bytes of the whole before it is compressed.
const OF_ALL: usize = 32 << 20;
/// Runs whose events and evidence are taken, the last ones.
const RUNS: usize = 5;
/// How long a tool may take to tell its version, and the API to tell everything.
const TOOL_WITHIN: Duration = Duration::from_secs(5);
const API_WITHIN: Duration = Duration::from_secs(30);
/// Tools whose versions matter, with the arguments that ask for them.
const TOOLS: [(&str, &[&str]); 6] = [
    ("kubectl", &["version", "--client"]),
    ("minikube", &["version"]),
    ("docker", &["--version"]),
    ("istioctl", &["version", "--remote=false"]),
    ("curl", &["--version"]),
    ("uname", &["-a"]),
];

/// What a bundle is made from.
pub struct Bundle<'a> {
    /// The lab's home.
    pub home: &'a Home,
    /// Its cluster.
    pub provider: &'a dyn Provider,
    /// The environment variables.
    pub environment: &'a Environment,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

/// A bundle that was written.
#[derive(Debug, Clone, Serialize)]
pub struct Packed {
    /// The archive.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Files in it.
    pub files: usize,
    /// What could not be had, or was left out.
    pub missing: Vec<String>,
}

/// Files of the archive, by name.
#[derive(Default)]
struct Contents {
    files: BTreeMap<String, Vec<u8>>,
    size: usize,
    missing: Vec<String>,
    /// Texts that must not be in any file.
    secrets: Vec<String>,
}

impl Bundle<'_> {
    /// The name of a bundle that is made now.
    pub fn name(now: Timestamp) -> String {
        format!("canary-lab-diagnostics-{}.tar.gz", now.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// Collects everything and writes it to `path`, readable by its owner only. What cannot be had is named inside.
    pub async fn write(&self, path: &Path) -> Result<Packed, Failure> {
        let mut contents = Contents { secrets: tokens_of(self.provider.kubeconfig()), ..Contents::default() };
        self.records(&mut contents);
        self.machine(&mut contents).await;
        self.cluster(&mut contents).await;
        contents.tree("logs", &self.provider.logs());
        let index = json!({
            "version": 1, "program": concat!("canary-lab ", env!("CARGO_PKG_VERSION")), "at": (self.clock)(),
            "home": self.home.root(), "provider": self.provider.name(),
            "platform": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            "files": contents.files.keys().collect::<Vec<_>>(), "missing": contents.missing,
        });
        contents.size = 0;
        contents.json("index.json", &index);
        let (path, now) = (path.to_path_buf(), (self.clock)());
        let written = tokio::task::spawn_blocking(move || {
            let bytes = pack(&path, &contents.files, now)
                .map_err(|source| Failure::from(HomeError::NotWritable { path: path.clone(), source }))?;
            Ok(Packed { path, bytes, files: contents.files.len(), missing: contents.missing })
        });
        written
            .await
            .map_err(|error| Failure::new(Reason::Internal, "the archive was not made").observed(error.to_string()))?
    }

    /// What the lab wrote down.
    fn records(&self, contents: &mut Contents) {
        contents.file("state.json", &self.home.state_file());
        contents.file("lock", &self.home.lock_file());
        let mut runs: Vec<PathBuf> = entries(&self.home.runs());
        let first = runs.len().saturating_sub(RUNS);
        for run in runs.split_off(first) {
            let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
            contents.tree(&format!("runs/{name}"), &run);
        }
        for path in entries(&self.home.work()) {
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yours") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                contents.file(&format!("work/{name}"), &path);
            }
        }
        let mut listing = String::new();
        list(self.home.root(), self.home.root(), &mut listing);
        contents.add("home.txt", listing.into_bytes());
    }

    /// This machine and its tools.
    async fn machine(&self, contents: &mut Contents) {
        let own = self.provider.processes().await.unwrap_or_default();
        let target = Target::of_provider(self.provider.name());
        let mut subject = Subject::new(self.home.root(), self.environment, target);
        subject.own_pids.clone_from(&own);
        subject.expect(&self.provider.plan().await);
        let checks = preflight(&subject).await;
        contents.json("checks.json", &json!({"checks": checks, "processes": own}));
        let asked = TOOLS.map(|(tool, arguments)| version_of(tool, arguments));
        let answers = futures::future::join_all(asked).await;
        contents.add("versions.txt", answers.concat().into_bytes());
    }

    /// What the cluster tells of itself.
    async fn cluster(&self, contents: &mut Contents) {
        contents.json("cluster/facts.json", &self.provider.facts().await);
        match self.provider.probe().await {
            Ok(Standing::Runs { .. }) => {}
            Ok(Standing::Down(why)) => return contents.missing.push(format!("cluster/objects: {why}")),
            Err(error) => return contents.missing.push(format!("cluster/objects: {error}")),
        }
        match tokio::time::timeout(API_WITHIN, self.objects(contents)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                contents.missing.push(format!("cluster/objects: {failure}: {}", failure.observed.join("; ")));
            }
            Err(_) => contents.missing.push(format!("cluster/objects: not told within {} s", API_WITHIN.as_secs())),
        }
    }

    async fn objects(&self, contents: &mut Contents) -> Result<(), Failure> {
        let api = Api::connect(self.provider.kubeconfig()).await?;
        contents.json("cluster/version.json", &json!({"server": api.server_version().await?}));
        let mut events = Vec::new();
        for kind in api.kinds().await? {
            let mut objects = api.everything(std::slice::from_ref(&kind), None).await?;
            objects.iter_mut().for_each(redact);
            if kind.gvk.is("", "Event") {
                events.clone_from(&objects);
            }
            if !objects.is_empty() {
                contents.json(&format!("cluster/objects/{}.json", Kind::full_name(&kind)), &Value::Array(objects));
            }
        }
        contents.add("cluster/events.txt", event_table(&mut events).into_bytes());
        Ok(())
    }
}

impl Contents {
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let bytes = self.without_secrets(bytes);
        if self.size + bytes.len() > OF_ALL {
            self.missing.push(format!("{name}: left out, the archive is large enough"));
            return;
        }
        self.size += bytes.len();
        self.files.insert(name.to_owned(), bytes);
    }

    fn json(&mut self, name: &str, value: &Value) {
        self.add(name, serde_json::to_vec_pretty(value).unwrap_or_default());
    }

    /// The end of a file; one that is not there is nothing to speak of.
    fn file(&mut self, name: &str, path: &Path) {
        match tail(path) {
            Ok(bytes) => self.add(name, bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.missing.push(format!("{name}: {error}")),
        }
    }

    /// The files below a directory; links are not followed.
    fn tree(&mut self, name: &str, directory: &Path) {
        for path in entries(directory) {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{name}/{file}");
            match path.symlink_metadata() {
                Ok(found) if found.is_dir() => self.tree(&name, &path),
                Ok(found) if found.is_file() => self.file(&name, &path),
                _ => {}
            }
        }
    }

    fn without_secrets(&self, bytes: Vec<u8>) -> Vec<u8> {
        if !self.secrets.iter().any(|secret| contains(&bytes, secret.as_bytes())) {
            return bytes;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.secrets.iter().fold(text, |text, secret| text.replace(secret, "(struck out)")).into_bytes()
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The tokens that a kubeconfig holds.
fn tokens_of(kubeconfig: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(kubeconfig).unwrap_or_default();
    let config: Value = serde_yaml::from_str(&text).unwrap_or_default();
    let users = meta::list_at(&config, &["users"]).iter();
    let tokens = users.filter_map(|user| user.pointer("/user/token").and_then(Value::as_str));
    tokens.filter(|token| token.len() >= 8).map(str::to_owned).collect()
}

/// Strikes out what a Secret holds.
fn redact(object: &mut Value) {
    if object["kind"] != "Secret" {
        return;
    }
    for field in ["data", "stringData"] {
        for value in object.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut()) {
            let length = value.as_str().map_or(0, str::len);
            *value = format!("(struck out, {length} characters)").into();
        }
    }
    if meta::annotation(object, LAST_APPLIED).is_some() {
        meta::set_annotation(object, LAST_APPLIED, "(struck out)");
    }
}

/// Events as `kubectl get events` tells them, by time.
fn event_table(events: &mut [Value]) -> String {
    let text = |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    let time = |event: &Value| match text(event, "/lastTimestamp") {
        none if none == "-" => text(event, "/eventTime"),
        time => time,
    };
    events.sort_by_key(time);
    events.iter().fold(String::new(), |table, event| {
        let object = format!("{}/{}", text(event, "/involvedObject/kind"), text(event, "/involvedObject/name"));
        let line = [
            time(event),
            text(event, "/type"),
            text(event, "/reason"),
            text(event, "/involvedObject/namespace"),
            object,
            event["count"].as_u64().unwrap_or(1).to_string(),
            text(event, "/message").replace('\n', " "),
        ];
        table + &line.join("\t") + "\n"
    })
}

/// What a tool says of its version; one that is not installed says so.
async fn version_of(tool: &str, arguments: &[&str]) -> String {
    let heading = format!("$ {tool} {}\n", arguments.join(" "));
    let Ok(program) = which::which(tool) else { return format!("{heading}(not installed)\n\n") };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(TOOL_WITHIN, command.output()).await {
        Ok(Ok(output)) => {
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            format!("{heading}{out}{err}\n")
        }
        Ok(Err(error)) => format!("{heading}({error})\n\n"),
        Err(_) => format!("{heading}(no answer within {} s)\n\n", TOOL_WITHIN.as_secs()),
    }
}

/// The last bytes of a file, with a word about what came before.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length > OF_ONE_FILE {
        file.seek(SeekFrom::Start(length - OF_ONE_FILE))?;
        bytes.extend(format!("({} bytes before this are left out)\n", length - OF_ONE_FILE).bytes());
    }
    file.take(OF_ONE_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Every file of the home: size, seconds since 1970 when it was last changed, and path.
fn list(root: &Path, directory: &Path, listing: &mut String) {
    for path in entries(directory) {
        let Ok(found) = path.symlink_metadata() else { continue };
        let changed = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(0, |time| time.as_secs());
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let mark = if found.is_dir() { "/" } else { "" };
        listing.push_str(&format!("{:>12} {changed:>11} {shown}{mark}\n", found.len()));
        if found.is_dir() {
            list(root, &path, listing);
        }
    }
}

/// Writes the archive beside its place and moves it there; returns its size.
fn pack(path: &Path, files: &BTreeMap<String, Vec<u8>>, now: Timestamp) -> io::Result<u64> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A temporary file is for its owner only, and stays so under its new name.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    let mut archive = tar::Builder::new(GzEncoder::new(&mut file, Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.as_second()).unwrap_or_default());
        archive.append_data(&mut header, format!("canary-lab-diagnostics/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()?;
    let bytes = file.as_file().metadata()?.len();
    file.persist(path).map_err(|error| error.error)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_struck_out_and_other_objects_are_not() {
        let mut secret = json!({"kind": "Secret", "metadata": {"annotations": {LAST_APPLIED: "{\"data\":{}}"}},
            "data": {"key": "c2VjcmV0"}, "stringData": {"other": "x"}});
        redact(&mut secret);
        let text = secret.to_string();
        assert!(!text.contains("c2VjcmV0") && text.contains("struck out, 8 characters"), "{text}");
        assert_eq!(secret["metadata"]["annotations"][LAST_APPLIED], "(struck out)");
        let mut map = json!({"kind": "ConfigMap", "data": {"key": "value"}});
        redact(&mut map);
        assert_eq!(map["data"]["key"], "value");
    }

    #[test]
    fn a_token_is_in_no_file_and_the_whole_is_bounded() {
        let mut contents = Contents { secrets: vec!["abcdefgh".to_owned()], ..Contents::default() };
        contents.add("log", b"Authorization: Bearer abcdefgh\n".to_vec());
        assert_eq!(contents.files["log"], b"Authorization: Bearer (struck out)\n");
        contents.add("huge", vec![b'x'; OF_ALL]);
        assert!(!contents.files.contains_key("huge") && contents.missing[0].starts_with("huge: left out"));
        contents.add("small", b"y".to_vec());
        assert!(contents.files.contains_key("small"), "what still fits goes in");
    }

    #[test]
    fn of_a_long_file_the_end_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut text = vec![b'a'; OF_ONE_FILE as usize];
        text.extend(b"the end");
        std::fs::write(&path, text).unwrap();
        let tail = tail(&path).unwrap();
        assert!(tail.starts_with(b"(7 bytes before this are left out)\na") && tail.ends_with(b"the end"));
    }

    #[test]
    fn an_archive_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("b.tar.gz");
        let files =
            BTreeMap::from([("a/b.txt".to_owned(), b"text".to_vec()), ("index.json".to_owned(), b"{}".to_vec())]);
        let bytes = pack(&path, &files, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(bytes, std::fs::metadata(&path).unwrap().len());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        let names: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["canary-lab-diagnostics/a/b.txt", "canary-lab-diagnostics/index.json"]);
    }
}
