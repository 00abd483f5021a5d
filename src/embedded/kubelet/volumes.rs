//! A pod's volumes: made on the host, and as the mount table of each container.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::environment::{self, Sources};
use crate::process::Mount;

/// Why a volume cannot be made; the texts are the kubelet's, shown in an event `FailedMount`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// The host path is not of the wanted type.
    #[error("hostPath type check failed: {} is not {wanted}", path.display())]
    HostPathType {
        /// The host path.
        path: PathBuf,
        /// What it should be, with its article.
        wanted: &'static str,
    },
    /// A ConfigMap is missing.
    #[error("configmap \"{0}\" not found")]
    NoConfigMap(String),
    /// A Secret is missing.
    #[error("secret \"{0}\" not found")]
    NoSecret(String),
    /// A claim is missing.
    #[error("persistentvolumeclaim \"{0}\" not found")]
    NoClaim(String),
    /// A claim has no volume yet.
    #[error("PVC is not bound: persistentvolumeclaim \"{0}\"")]
    UnboundClaim(String),
    /// A ConfigMap or Secret lacks a key.
    #[error("references non-existent config key: {0}")]
    NoKey(String),
    /// A path would lie outside the volume.
    #[error("invalid path in volume: {0}")]
    Outside(String),
    /// A kind of volume that the embedded cluster does not have.
    #[error(
        "the embedded cluster has no volumes of type {0}; it knows hostPath, emptyDir, persistentVolumeClaim, configMap, secret, downwardAPI and projected"
    )]
    Unsupported(String),
    /// Writing failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A volume that could not be made, with its name for the event's text.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{name}\" : {source}")]
pub(crate) struct MountFailure {
    /// The volume's name.
    pub(crate) name: String,
    /// Why.
    pub(crate) source: VolumeError,
}

/// The volumes of one pod on the host.
#[derive(Debug)]
pub(crate) struct PodVolumes {
    sources: Vec<(String, PathBuf)>,
}

impl PodVolumes {
    /// Makes all volumes of a pod below `directory`.
    pub(crate) fn make(directory: &Path, pod: &Value, sources: &dyn Sources) -> Result<Self, MountFailure> {
        let mut made = vec![];
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let name = volume["name"].as_str().unwrap_or_default().to_owned();
            let target = directory.join(&name);
            match make_one(&target, volume, pod, sources) {
                Ok(path) => made.push((name, path)),
                Err(source) => return Err(MountFailure { name, source }),
            }
        }
        Ok(Self { sources: made })
    }

    /// The mount table of one container.
    pub(crate) fn mounts(&self, container: &Value) -> Vec<Mount> {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        mounts
            .filter_map(|mount| {
                let (_, source) = self.sources.iter().find(|(name, _)| mount["name"] == **name)?;
                let source = match mount["subPath"].as_str() {
                    Some(inner) if !inner.is_empty() => source.join(inside(inner).ok()?),
                    _ => source.clone(),
                };
                Some(Mount { path: PathBuf::from(mount["mountPath"].as_str()?), source })
            })
            .collect()
    }
}

fn make_one(target: &Path, volume: &Value, pod: &Value, sources: &dyn Sources) -> Result<PathBuf, VolumeError> {
    if let Some(path) = volume["hostPath"]["path"].as_str() {
        let path = PathBuf::from(path);
        check_host_path(&path, volume["hostPath"]["type"].as_str().unwrap_or_default())?;
        return Ok(path);
    }
    if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
        return claimed(claim, sources);
    }
    create_directory(target)?;
    if volume["emptyDir"].is_object() {
    } else if volume["configMap"].is_object() {
        write_config_map(target, &volume["configMap"], "name", sources)?;
    } else if volume["secret"].is_object() {
        write_secret(target, &volume["secret"], "secretName", sources)?;
    } else if volume["downwardAPI"].is_object() {
        write_downward(target, &volume["downwardAPI"], pod)?;
    } else if volume["projected"].is_object() {
        for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
            if source["configMap"].is_object() {
                write_config_map(target, &source["configMap"], "name", sources)?;
            } else if source["secret"].is_object() {
                write_secret(target, &source["secret"], "name", sources)?;
            } else if source["downwardAPI"].is_object() {
                write_downward(target, &source["downwardAPI"], pod)?;
            }
            // A service account's token is left out: pods here have no identity that the API server would know.
        }
    } else {
        let kind = volume.as_object().into_iter().flatten().map(|(key, _)| key).find(|key| *key != "name");
        return Err(VolumeError::Unsupported(kind.cloned().unwrap_or_default()));
    }
    Ok(target.to_owned())
}

/// The directory of the volume that a claim is bound to.
fn claimed(claim: &str, sources: &dyn Sources) -> Result<PathBuf, VolumeError> {
    let unbound = || VolumeError::UnboundClaim(claim.to_owned());
    let object = sources.claim(claim).ok_or_else(|| VolumeError::NoClaim(claim.to_owned()))?;
    if object["status"]["phase"] != "Bound" {
        return Err(unbound());
    }
    let volume = object["spec"]["volumeName"].as_str().and_then(|name| sources.volume(name)).ok_or_else(unbound)?;
    let path = volume["spec"]["hostPath"]["path"].as_str().ok_or_else(unbound)?;
    check_host_path(Path::new(path), "Directory")?;
    Ok(path.into())
}

/// Checks, or makes, what a hostPath wants to find. Without a type nothing is checked and nothing is made.
fn check_host_path(path: &Path, kind: &str) -> Result<(), VolumeError> {
    let found = std::fs::metadata(path).map(|metadata| metadata.file_type());
    let is = |test: fn(&std::fs::FileType) -> bool| found.as_ref().is_ok_and(test);
    let wrong = |wanted| Err(VolumeError::HostPathType { path: path.to_owned(), wanted });
    match kind {
        "DirectoryOrCreate" if found.is_err() => create_directory(path),
        "FileOrCreate" if found.is_err() => write_file(path, b""),
        "Directory" | "DirectoryOrCreate" if !is(std::fs::FileType::is_dir) => wrong("a directory"),
        "File" | "FileOrCreate" if !is(std::fs::FileType::is_file) => wrong("a file"),
        "Socket" if !is(FileTypeExt::is_socket) => wrong("a socket file"),
        "CharDevice" if !is(FileTypeExt::is_char_device) => wrong("a character device"),
        "BlockDevice" if !is(FileTypeExt::is_block_device) => wrong("a block device"),
        _ => Ok(()),
    }
}

fn write_config_map(target: &Path, source: &Value, field: &str, sources: &dyn Sources) -> Result<(), VolumeError> {
    let name = source[field].as_str().unwrap_or_default();
    let Some(map) = sources.config_map(name) else {
        return if source["optional"] == true { Ok(()) } else { Err(VolumeError::NoConfigMap(name.to_owned())) };
    };
    let texts = map["data"].as_object().into_iter().flatten();
    let bytes = map["binaryData"].as_object().into_iter().flatten();
    let entries = texts
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().as_bytes().to_vec()))
        .chain(bytes.map(|(key, value)| (key.clone(), environment::secret_bytes(value))));
    write_entries(target, source, entries.collect())
}

fn write_secret(target: &Path, source: &Value, field: &str, sources: &dyn Sources) -> Result<(), VolumeError> {
    let name = source[field].as_str().unwrap_or_default();
    let Some(secret) = sources.secret(name) else {
        return if source["optional"] == true { Ok(()) } else { Err(VolumeError::NoSecret(name.to_owned())) };
    };
    let entries = secret["data"].as_object().into_iter().flatten();
    write_entries(target, source, entries.map(|(key, value)| (key.clone(), environment::secret_bytes(value))).collect())
}

/// Writes all entries under their keys, or only the `items` under their paths.
fn write_entries(target: &Path, source: &Value, entries: Vec<(String, Vec<u8>)>) -> Result<(), VolumeError> {
    let Some(items) = source["items"].as_array() else {
        for (key, bytes) in entries {
            write_file(&target.join(inside(&key)?), &bytes)?;
        }
        return Ok(());
    };
    for item in items {
        let key = item["key"].as_str().unwrap_or_default();
        match entries.iter().find(|(one, _)| one == key) {
            Some((_, bytes)) => write_file(&target.join(inside(item["path"].as_str().unwrap_or(key))?), bytes)?,
            None if source["optional"] == true => {}
            None => return Err(VolumeError::NoKey(key.to_owned())),
        }
    }
    Ok(())
}

fn write_downward(target: &Path, source: &Value, pod: &Value) -> Result<(), VolumeError> {
    for item in source["items"].as_array().into_iter().flatten() {
        let path = target.join(inside(item["path"].as_str().unwrap_or_default())?);
        let field = item["fieldRef"]["fieldPath"].as_str();
        let text = if let Some(field) = field {
            environment::pod_field(pod, field).map_err(|error| VolumeError::Unsupported(error.to_string()))?
        } else {
            let reference = &item["resourceFieldRef"];
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let container = containers.into_iter().find(|one| one["name"] == reference["containerName"]);
            container.and_then(|one| environment::resource_field(one, reference)).unwrap_or_default()
        };
        write_file(&path, text.as_bytes())?;
    }
    Ok(())
}

/// A relative path that stays where it is joined to.
fn inside(path: &str) -> Result<&Path, VolumeError> {
    let relative = Path::new(path);
    let stays = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if stays && !path.is_empty() { Ok(relative) } else { Err(VolumeError::Outside(path.to_owned())) }
}

fn create_directory(path: &Path) -> Result<(), VolumeError> {
    std::fs::create_dir_all(path).map_err(|source| VolumeError::Io { path: path.to_owned(), source })
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), VolumeError> {
    if let Some(parent) = path.parent() {
        create_directory(parent)?;
    }
    // Secrets lie here, so nobody else may read.
    let written = std::fs::write(path, bytes)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)));
    written.map_err(|source| VolumeError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    struct Fixed;

    impl Sources for Fixed {
        fn config_map(&self, name: &str) -> Option<Arc<Value>> {
            (name == "m").then(|| Arc::new(json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="}})))
        }

        fn secret(&self, name: &str) -> Option<Arc<Value>> {
            (name == "s").then(|| Arc::new(json!({"data": {"key": "aGVsbG8="}})))
        }

        fn claim(&self, name: &str) -> Option<Arc<Value>> {
            let bound = json!({"spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
            match name {
                "bound" => Some(Arc::new(bound)),
                "waiting" => Some(Arc::new(json!({"spec": {}, "status": {"phase": "Pending"}}))),
                _ => None,
            }
        }

        fn volume(&self, name: &str) -> Option<Arc<Value>> {
            (name == "v").then(|| Arc::new(json!({"spec": {"hostPath": {"path": "/"}}})))
        }
    }

    fn pod(volumes: Value) -> Value {
        json!({"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": {"volumes": volumes}})
    }

    #[test]
    fn volumes_are_written_and_mounted() {
        let home = tempfile::tempdir().unwrap();
        let pod = pod(json!([
            {"name": "model", "hostPath": {"path": "/srv/models"}},
            {"name": "map", "configMap": {"name": "m", "items": [{"key": "b", "path": "deep/b.txt"}]}},
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "m"}}, {"secret": {"name": "s"}},
                {"serviceAccountToken": {"path": "token"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}},
            {"name": "scratch", "emptyDir": {}},
        ]));
        let volumes = PodVolumes::make(home.path(), &pod, &Fixed).unwrap();
        let read = |path: &str| std::fs::read(home.path().join(path)).unwrap();
        assert_eq!(read("map/deep/b.txt"), b"2");
        assert!(!home.path().join("map/a").exists());
        assert_eq!(read("all/c"), [0, 1]);
        assert_eq!(read("all/key"), b"hello");
        assert_eq!(read("all/labels"), b"app=\"x\"");
        let mode = std::fs::metadata(home.path().join("all/key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let container = json!({"volumeMounts": [
            {"name": "model", "mountPath": "/models/resnet50"},
            {"name": "map", "mountPath": "/etc/b", "subPath": "deep"},
            {"name": "scratch", "mountPath": "/tmp"},
        ]});
        let mounts: Vec<_> = volumes.mounts(&container).into_iter().map(|mount| (mount.path, mount.source)).collect();
        assert_eq!(
            mounts,
            [
                ("/models/resnet50".into(), PathBuf::from("/srv/models")),
                ("/etc/b".into(), home.path().join("map/deep")),
                ("/tmp".into(), home.path().join("scratch")),
            ]
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let file = file.to_str().unwrap();
        let failure = |volume: Value| {
            PodVolumes::make(&home.path().join("pod"), &pod(json!([volume])), &Fixed).unwrap_err().to_string()
        };
        let prefix = "MountVolume.SetUp failed for volume \"v\" : ";
        let cases = [
            (
                json!({"name": "v", "hostPath": {"path": file, "type": "Directory"}}),
                format!("hostPath type check failed: {file} is not a directory"),
            ),
            (
                json!({"name": "v", "hostPath": {"path": "/nowhere/x", "type": "File"}}),
                "hostPath type check failed: /nowhere/x is not a file".to_owned(),
            ),
            (json!({"name": "v", "configMap": {"name": "gone"}}), "configmap \"gone\" not found".to_owned()),
            (json!({"name": "v", "secret": {"secretName": "gone"}}), "secret \"gone\" not found".to_owned()),
            (
                json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}}),
                "references non-existent config key: z".to_owned(),
            ),
            (
                json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "a", "path": "../../a"}]}}),
                "invalid path in volume: ../../a".to_owned(),
            ),
        ];
        for (volume, text) in cases {
            assert_eq!(failure(volume), format!("{prefix}{text}"));
        }
        assert!(failure(json!({"name": "v", "nfs": {}})).contains("no volumes of type nfs"));
        let created = home.path().join("made/here");
        let claim = |name: &str| json!({"name": "v", "persistentVolumeClaim": {"claimName": name}});
        assert!(failure(claim("gone")).ends_with("persistentvolumeclaim \"gone\" not found"));
        assert!(failure(claim("waiting")).contains("not bound"));
        assert!(PodVolumes::make(home.path(), &pod(json!([claim("bound")])), &Fixed).is_ok());
        let volume = json!({"name": "v", "hostPath": {"path": created, "type": "DirectoryOrCreate"}});
        PodVolumes::make(home.path(), &pod(json!([volume])), &Fixed).unwrap();
        assert!(created.is_dir());
    }
}
