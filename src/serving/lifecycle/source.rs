//! Looking for versions: what lies under the base paths, and which of it is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::log::Log;
use super::state_machine::Aspire;
use crate::process::Sandbox;
use crate::serving::proto::ModelConfig;
use crate::serving::proto::servable_version_policy::PolicyChoice;
use crate::serving::service::ServableId;
use crate::serving::status::{Code, Status};

const PLACE: &str = "sources/storage_path/file_system_storage_path_source.cc";

/// A version and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPath {
    /// Which version.
    pub id: ServableId,
    /// The directory as logs and errors name it.
    pub shown: String,
    /// The directory as the system knows it; `None` where a sandbox has nothing mounted.
    pub host: Option<PathBuf>,
}

/// A model to look for.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitored {
    name: String,
    base_path: String,
    policy: Option<PolicyChoice>,
}

impl From<&ModelConfig> for Monitored {
    fn from(model: &ModelConfig) -> Self {
        Self {
            name: model.name.clone(),
            base_path: model.base_path.clone(),
            policy: model.model_version_policy.clone().and_then(|policy| policy.policy_choice),
        }
    }
}

/// Polls the base paths on its own thread until it is dropped.
#[derive(Debug)]
pub struct Source {
    wake: Sender<()>,
    monitored: Arc<Mutex<Vec<Monitored>>>,
    aspire: Aspire,
}

impl Source {
    /// Starts polling at once, then every `period` (`None`: once). Found versions are handed to `aspire`.
    pub fn start(
        monitored: Vec<Monitored>,
        period: Option<Duration>,
        sandbox: Option<Arc<Sandbox>>,
        aspire: Aspire,
        log: Log,
    ) -> std::io::Result<Self> {
        let (wake, waiting) = channel();
        let monitored = Arc::new(Mutex::new(monitored));
        let poller = Poller { monitored: Arc::clone(&monitored), sandbox, aspire: aspire.clone(), log };
        std::thread::Builder::new().name("fs-poll".into()).spawn(move || poller.run(period, &waiting))?;
        Ok(Self { wake, monitored, aspire })
    }

    /// Looks for other models from now on. Versions of models that are no longer listed are no longer wanted.
    pub fn replace(&self, monitored: Vec<Monitored>) {
        let kept: BTreeSet<&String> = monitored.iter().map(|model| &model.name).collect();
        let mut current = self.monitored.lock().unwrap_or_else(PoisonError::into_inner);
        for model in current.iter().filter(|model| !kept.contains(&model.name)) {
            self.aspire.versions(model.name.clone(), Vec::new());
        }
        *current = monitored;
        drop(current);
        // The poller may have ended after its only look; then nobody listens.
        let _ = self.wake.send(());
    }
}

struct Poller {
    monitored: Arc<Mutex<Vec<Monitored>>>,
    sandbox: Option<Arc<Sandbox>>,
    aspire: Aspire,
    log: Log,
}

impl Poller {
    fn run(self, period: Option<Duration>, wake: &Receiver<()>) {
        loop {
            if let Err(error) = self.poll() {
                let text = error.text();
                self.log.error(
                    &format!("{PLACE}:381"),
                    &format!("FileSystemStoragePathSource encountered a filesystem access error: {text}"),
                );
            }
            let woken = match period {
                Some(period) => wake.recv_timeout(period),
                None => wake.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if woken == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Looks once. The first base path that cannot be read ends the look, and nothing changes for any model.
    fn poll(&self) -> Result<(), Status> {
        // Held while versions are handed on, so that a look at an old configuration cannot follow a new one.
        let monitored = self.monitored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for model in monitored.iter() {
            found.push((model.name.clone(), self.look(model)?));
        }
        for (name, versions) in found {
            self.aspire.versions(name, versions);
        }
        Ok(())
    }

    fn look(&self, model: &Monitored) -> Result<Vec<VersionPath>, Status> {
        let host = host_path(&model.base_path, self.sandbox.as_deref());
        let Some(host) = host.filter(|host| host.exists()) else {
            return Err(Status::invalid(format!(
                "Could not find base path {base} for servable {} with error Not found: {base} not found",
                model.name,
                base = model.base_path
            )));
        };
        let children = children(&host, &model.base_path)?;
        let (wanted, complaints) = choose(model, &children);
        for complaint in complaints {
            self.log.warning(&format!("{PLACE}:{}", complaint.line), &complaint.text);
        }
        let versions = wanted
            .into_iter()
            .map(|(version, child)| VersionPath {
                id: ServableId { name: model.name.clone(), version },
                shown: format!("{}/{child}", model.base_path.trim_end_matches('/')),
                host: Some(host.join(&child)),
            })
            .collect();
        Ok(versions)
    }
}

/// Where a path of the command line lies.
pub(crate) fn host_path(shown: &str, sandbox: Option<&Sandbox>) -> Option<PathBuf> {
    match sandbox {
        Some(sandbox) => sandbox.resolve(Path::new(shown)),
        None => Some(PathBuf::from(shown)),
    }
}

fn children(host: &Path, shown: &str) -> Result<BTreeSet<String>, Status> {
    let unreadable = |error: &std::io::Error| {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Code::PermissionDenied,
            std::io::ErrorKind::NotADirectory => Code::FailedPrecondition,
            std::io::ErrorKind::NotFound => Code::NotFound,
            _ => Code::Unknown,
        };
        let reason = match code {
            Code::PermissionDenied => "Permission denied",
            Code::FailedPrecondition => "Not a directory",
            Code::NotFound => "No such file or directory",
            _ => "Input/output error",
        };
        Status::new(code, format!("{shown}; {reason}"))
    };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(host).map_err(|error| unreadable(&error))? {
        let name = entry.map_err(|error| unreadable(&error))?.file_name();
        // A name that is not UTF-8 is not a number either.
        names.extend(name.into_string());
    }
    Ok(names)
}

struct Complaint {
    line: u32,
    text: String,
}

/// Which of the children are versions that the policy wants.
fn choose(model: &Monitored, children: &BTreeSet<String>) -> (Vec<(i64, String)>, Vec<Complaint>) {
    let mut complaints = Vec::new();
    let mut numbered: BTreeMap<i64, &String> = BTreeMap::new();
    for child in children {
        let Some(version) = version_number(child) else { continue };
        if let Some(ignored) = numbered.insert(version, child) {
            complaints.push(Complaint {
                line: 116,
                text: format!(
                    "Duplicate version directories detected. Version {version} will be loaded from {child}, \
                     {ignored} will be ignored."
                ),
            });
        }
    }
    let all = || numbered.iter().map(|(version, child)| (*version, (*child).clone()));
    let wanted: Vec<(i64, String)> = match &model.policy {
        Some(PolicyChoice::All(_)) => all().collect(),
        Some(PolicyChoice::Specific(specific)) => {
            for version in specific.versions.iter().filter(|version| !numbered.contains_key(version)) {
                complaints.push(Complaint {
                    line: 191,
                    text: format!(
                        "Version {version} of servable {}, which was requested to be served as a 'specific' version \
                         in the servable's version policy, was not found in the file system",
                        model.name
                    ),
                });
            }
            all().filter(|(version, _)| specific.versions.contains(version)).collect()
        }
        Some(PolicyChoice::Latest(latest)) => all().rev().take((latest.num_versions as usize).max(1)).collect(),
        None => all().next_back().into_iter().collect(),
    };
    if wanted.is_empty() {
        complaints.push(Complaint {
            line: 268,
            text: format!(
                "No versions of servable {} found under base path {}. Did you forget to name your leaf directory as a \
                 number (eg. '/1/')?",
                model.name, model.base_path
            ),
        });
    }
    (wanted, complaints)
}

/// A name that is a number, whole: blanks around it and a minus sign are allowed, a plus sign is not.
fn version_number(name: &str) -> Option<i64> {
    let trimmed = name.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    if trimmed.starts_with('+') { None } else { trimmed.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::proto::servable_version_policy::{All, Latest, Specific};

    fn versions(policy: Option<PolicyChoice>, names: &[&str]) -> (Vec<(i64, String)>, Vec<String>) {
        let model = Monitored { name: "m".into(), base_path: "/models/m".into(), policy };
        let (wanted, complaints) = choose(&model, &names.iter().map(ToString::to_string).collect());
        (wanted, complaints.into_iter().map(|complaint| complaint.text).collect())
    }

    #[test]
    fn the_largest_number_is_wanted_by_default_and_other_names_are_not_versions() {
        let (wanted, complaints) = versions(None, &["1", "00000123", "9x", "tmp.4", "+7", "99999999999999999999"]);
        assert_eq!(wanted, [(123, "00000123".to_owned())]);
        assert!(complaints.is_empty());
    }

    #[test]
    fn policies_choose_among_the_numbers() {
        let names = ["1", "2", "3"];
        let numbers =
            |policy| versions(Some(policy), &names).0.into_iter().map(|(version, _)| version).collect::<Vec<_>>();
        assert_eq!(numbers(PolicyChoice::All(All {})), [1, 2, 3]);
        assert_eq!(numbers(PolicyChoice::Latest(Latest { num_versions: 2 })), [3, 2]);
        assert_eq!(numbers(PolicyChoice::Specific(Specific { versions: vec![2, 5] })), [2]);
    }

    #[test]
    fn duplicates_and_missing_versions_are_named() {
        let (wanted, complaints) = versions(None, &["1", "01"]);
        assert_eq!(wanted, [(1, "1".to_owned())]);
        let duplicate = "Duplicate version directories detected. Version 1 will be loaded from 1, 01 will be ignored.";
        assert_eq!(complaints, [duplicate]);
        let (_, complaints) = versions(None, &["one"]);
        let none = "No versions of servable m found under base path /models/m. Did you forget to name your leaf \
                    directory as a number (eg. '/1/')?";
        assert_eq!(complaints, [none]);
    }
}
