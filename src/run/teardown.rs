//! Taking a lab down: what is ours goes, what is not is named and left.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use serde::Serialize;

use crate::cluster::{Api, ObjectRef, Provider, Standing, Watched};
use crate::doctor::{Failure, Reason};
use crate::objects::Gvk;
use crate::state::{Creator, Home, Item, State, StateFile};
use crate::ui::plural;

/// How long a namespace may take to empty itself.
const PATIENCE: Duration = Duration::from_secs(45);
/// Stages that stand without the lab's objects.
const WITHOUT_OBJECTS: [&str; 5] = ["preflight", "cluster", "istio", "tunnel", "models"];

/// A lab that is to go.
pub struct Teardown<'a> {
    /// Its home.
    pub home: &'a Home,
    /// Its cluster.
    pub provider: &'a dyn Provider,
    /// What it remembers.
    pub state: &'a mut State,
    /// The files that the lab puts into the work folder, by name.
    pub work_files: BTreeMap<String, Vec<u8>>,
    /// Models, caches and runs go as well.
    pub purge: bool,
    /// Only the lab's objects go; the cluster runs on.
    pub keep_cluster: bool,
}

/// What a teardown did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What is gone.
    pub removed: Vec<String>,
    /// What was left on purpose, with the reason.
    pub kept: Vec<String>,
    /// What should be gone and is not.
    pub leftovers: Vec<String>,
}

impl Teardown<'_> {
    /// What would be removed and kept, without touching it.
    pub async fn plan(&self) -> Result<Report, Failure> {
        let mut report = Report::default();
        let runs = matches!(self.provider.probe().await?, Standing::Runs { .. });
        if self.keep_cluster {
            for item in self.state.inventory.iter().rev().filter(|item| is_the_labs(item)) {
                match item.creator {
                    Creator::Before => report.kept.push(format!("{} (it was there before the lab)", item.label())),
                    Creator::Lab | Creator::Learner => report.removed.push(item.label()),
                }
            }
            return Ok(report);
        }
        if runs {
            let count = self.state.inventory.len() as u64;
            report.removed.push(format!(
                "the {} cluster with {} of the lab",
                self.provider.name(),
                plural(count, "object")
            ));
        }
        for pid in self.provider.processes().await? {
            report.removed.push(format!("process {pid}"));
        }
        for path in self.ours() {
            report.removed.push(path.display().to_string());
        }
        report.kept.extend(self.others());
        Ok(report)
    }

    /// Removes what is ours. Begun and cut off anywhere, it can be begun again.
    pub async fn carry_out(&mut self) -> Result<Report, Failure> {
        let mut report = Report::default();
        if self.keep_cluster {
            self.remove_objects(&mut report).await?;
            return Ok(report);
        }
        let running = self.provider.processes().await?.len();
        report.leftovers.extend(self.provider.stop().await?);
        if running > 0 {
            let what = if running == 1 { "process" } else { "processes" };
            report.removed.push(format!("{running} {what} of the {} cluster", self.provider.name()));
        }
        for path in self.ours() {
            match remove(&path) {
                Ok(()) => report.removed.push(path.display().to_string()),
                Err(error) => report.leftovers.push(format!("{}: {error}", path.display())),
            }
        }
        report.kept.extend(self.others());
        for pid in self.provider.processes().await? {
            report.leftovers.push(format!("process {pid}"));
        }
        // The directories go only when nothing else is in them.
        let _ = std::fs::remove_dir(self.home.work());
        let _ = std::fs::remove_dir(self.home.root());
        Ok(report)
    }

    /// Files and directories of the lab that go, children before parents; the state goes last but one, the lock last.
    fn ours(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.home.cluster(), self.home.kubeconfig()];
        for (name, bytes) in &self.work_files {
            let path = self.home.work().join(name);
            if std::fs::read(&path).is_ok_and(|found| found == *bytes) {
                paths.push(path);
            }
        }
        if self.purge {
            paths.extend([self.home.models(), self.home.cache(), self.home.runs()]);
        }
        paths.extend([self.home.state_file(), self.home.lock_file()]);
        paths.retain(|path| path.symlink_metadata().is_ok());
        paths
    }

    /// What lies in the home and stays, with the reason.
    fn others(&self) -> Vec<String> {
        let ours = self.ours();
        let kept_by_default = [self.home.models(), self.home.cache(), self.home.runs()];
        let mut kept = Vec::new();
        for path in entries(self.home.root()).into_iter().filter(|path| !ours.contains(path)) {
            if path == self.home.work() {
                let yours = entries(&path).into_iter().filter(|path| !ours.contains(path));
                kept.extend(yours.map(|path| format!("{} (yours)", path.display())));
            } else if kept_by_default.contains(&path) {
                kept.push(format!("{} (`--purge` removes it)", path.display()));
            } else {
                kept.push(format!("{} (not the lab's, or kept aside)", path.display()));
            }
        }
        kept
    }

    /// Removes the inventory's objects, last made first, each only if it still is the one that the lab knows.
    async fn remove_objects(&mut self, report: &mut Report) -> Result<(), Failure> {
        let api = Api::connect(self.provider.kubeconfig()).await?;
        let items: Vec<Item> = self.state.inventory.iter().rev().filter(|item| is_the_labs(item)).cloned().collect();
        for item in items {
            let label = item.label();
            if item.creator == Creator::Before {
                report.kept.push(format!("{label} (it was there before the lab)"));
                continue;
            }
            let reference = ObjectRef::new(&item.api_version, &item.kind, item.namespace.as_deref(), &item.name);
            match api.delete(&reference, Some(&item.uid)).await {
                Ok(_) => report.removed.push(label),
                Err(error) => {
                    report.leftovers.push(format!("{label}: {error}"));
                    continue;
                }
            }
            if item.kind == "Namespace" {
                let gone = tokio::time::timeout(PATIENCE, namespace_is_gone(&api, &item.name)).await;
                match gone {
                    Ok(done) => done?,
                    Err(_) => report.leftovers.push(format!("Namespace {} is still being deleted", item.name)),
                }
            }
            self.state.inventory.retain(|known| !known.same_place(&item));
            StateFile::of(self.home).save(self.state)?;
        }
        self.state.stages.retain(|id, _| WITHOUT_OBJECTS.contains(&id.as_str()));
        self.state.intended.clear();
        Ok(StateFile::of(self.home).save(self.state)?)
    }
}

impl Report {
    /// The failure that leftovers are.
    pub fn failure(&self) -> Option<Failure> {
        if self.leftovers.is_empty() {
            return None;
        }
        let mut failure = Failure::new(Reason::Leftovers, "something of the lab is left");
        failure.observed.clone_from(&self.leftovers);
        Some(failure)
    }
}

/// Whether the object belongs to the lab itself, not to the cluster or the mesh that it stands on.
fn is_the_labs(item: &Item) -> bool {
    !WITHOUT_OBJECTS.contains(&item.stage.as_str())
}

async fn namespace_is_gone(api: &Api, name: &str) -> Result<(), Failure> {
    let reference = ObjectRef::new("v1", "Namespace", None, name);
    loop {
        let selector = format!("metadata.name={name}");
        let events = api.watch(&Gvk::new("", "v1", "Namespace"), None, ("fieldSelector", &selector)).await?;
        let mut events = std::pin::pin!(events);
        // The watch is open before the look, so that no deletion falls between them.
        if api.get(&reference).await?.is_none() {
            return Ok(());
        }
        while let Some(event) = events.next().await {
            if matches!(event?, Watched::Gone(_)) {
                return Ok(());
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}
