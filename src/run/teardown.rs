//! Taking a lab down: what is ours goes, what is not is named and left.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::engine::{drive, screen_gone};
use super::foreign;
use super::interrupt::Interrupt;
use crate::cluster::{Api, Comparison, ObjectRef, Provider, Removal, Standing};
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, Manifest, StepSpec};
use crate::objects::meta;
use crate::state::{Creator, Home, HomeError, Item, State, StateFile, entries, write_atomically};
use crate::steps::{GONE_WITHIN, unchanged_work_files};
use crate::ui::{Progress, Screen, plural};

/// How long a look for other people's objects may take before the cluster goes.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// A lab that is to go.
pub struct Teardown<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its home.
    pub home: &'a Home,
    /// Its cluster.
    pub provider: &'a dyn Provider,
    /// What it remembers.
    pub state: &'a mut State,
    /// Models, caches and runs go as well.
    pub purge: bool,
    /// Only the lab's objects go; the cluster runs on.
    pub keep_cluster: bool,
    /// What others have made or changed goes as well.
    pub force: bool,
    /// The bundle that was made of this lab's failure: it stays, whatever else goes.
    pub bundle: Option<PathBuf>,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

/// Why an object of the lab's shape stays that the inventory does not list.
const UNREMEMBERED: &str = "the lab's records do not know who made it; `--force` removes it";

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
        let goes = self.provider.stop_removes_everything();
        if self.keep_cluster || runs && !goes {
            let api = Api::connect(self.provider.kubeconfig()).await?;
            for item in self.own_items() {
                match self.why_it_stays(&api, &item).await? {
                    Some(why) => report.kept.push(format!("{} ({why})", item.label())),
                    None => report.removed.push(item.label()),
                }
            }
            for item in self.unremembered(&api).await? {
                if self.force || item.creator == Creator::Lab {
                    report.removed.push(item.label());
                } else {
                    report.kept.push(format!("{} ({UNREMEMBERED})", item.label()));
                }
            }
        }
        if self.keep_cluster {
            return Ok(report);
        }
        if self.provider.made_mesh() && !goes {
            report.removed.push("the Istio that the lab installed".to_owned());
        }
        if runs && goes {
            report.removed.push(self.cluster_in_words());
            for (label, why) in self.objects_of_others().await {
                let what = if self.force { "goes with the cluster" } else { "goes with the cluster; a copy is kept" };
                report.removed.push(format!("{label} ({why}; {what})"));
            }
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

    /// Removes what is ours, telling what it waits for. Begun and cut off anywhere, it can be begun again.
    pub async fn carry_out(&mut self, screen: &mut Screen<'_>, interrupt: &mut Interrupt) -> Result<Report, Failure> {
        let (progress, mut notes) = Progress::channel();
        screen.begin("taking the lab down", None).map_err(screen_gone)?;
        let done = drive(self.remove(&progress), screen, &mut notes, interrupt).await;
        screen.clear().map_err(screen_gone)?;
        done?
    }

    async fn remove(&mut self, progress: &Progress) -> Result<Report, Failure> {
        let mut report = Report::default();
        if self.keep_cluster {
            self.remove_objects(&mut report, progress).await?;
            return Ok(report);
        }
        // A cluster of its own has told of its end by its processes; minikube's has none here.
        let goes = self.provider.stop_removes_everything() && !self.provider.is_the_labs();
        if !self.provider.stop_removes_everything() {
            // The cluster stays: what is the lab's goes object by object, and the mesh if the lab installed it.
            if matches!(self.provider.probe().await?, Standing::Runs { .. }) {
                let api = Api::connect(self.provider.kubeconfig()).await?;
                report.removed.extend(self.provider.sweep(&api).await?);
                self.remove_objects(&mut report, progress).await?;
                report.removed.extend(self.provider.remove_mesh(&api, progress).await?);
            }
        } else if !self.force {
            self.keep_copies().await?;
        }
        let running = self.provider.processes().await?.len();
        progress.awaiting(format!("stopping what runs of the {} cluster", self.provider.name()), None);
        report.leftovers.extend(self.provider.stop().await?);
        if running > 0 {
            let what = if running == 1 { "process" } else { "processes" };
            report.removed.push(format!("{running} {what} of the {} cluster", self.provider.name()));
        }
        if goes {
            report.removed.push(self.cluster_in_words());
        }
        for path in self.ours() {
            match self.home.discard(&path) {
                Ok(()) => report.removed.push(path.display().to_string()),
                Err(error) => report.leftovers.push(format!("{}: {error}", path.display())),
            }
        }
        report.kept.extend(self.others());
        self.audit(&mut report).await?;
        // The directories go only when nothing else is in them.
        let _ = std::fs::remove_dir(self.home.work());
        let _ = std::fs::remove_dir(self.home.root());
        Ok(report)
    }

    fn cluster_in_words(&self) -> String {
        let count = plural(self.state.inventory.len() as u64, "object");
        format!("the {} cluster with {count} of the lab", self.provider.name())
    }

    /// Looks once more for what should be gone: processes of the lab, whoever started them, and files.
    async fn audit(&self, report: &mut Report) -> Result<(), Failure> {
        for pid in self.provider.processes().await? {
            report.leftovers.push(format!("process {pid}"));
        }
        for path in self.ours() {
            let text = path.display().to_string();
            if !report.leftovers.iter().any(|line| line.starts_with(&text)) {
                report.leftovers.push(format!("{text}: it is there again"));
            }
        }
        Ok(())
    }

    /// Files and directories of the lab that go; the state goes last but one, the lock last.
    fn ours(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.home.cluster(), self.home.kubeconfig(), self.home.picture()];
        let models = self.provider.models_on_node();
        paths.extend(unchanged_work_files(self.home, &self.state.work_files, self.lab, &models));
        if self.purge {
            paths.extend([self.home.models(), self.home.cache(), self.home.runs()]);
            let earlier = entries(&self.home.diagnostics()).into_iter();
            match &self.bundle {
                Some(bundle) => paths.extend(earlier.filter(|path| path != bundle)),
                None => paths.push(self.home.diagnostics()),
            }
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
            } else if path == self.copies() {
                let files = entries(&path).into_iter();
                kept.extend(
                    files.map(|path| format!("{} (copies of objects that were not the lab's)", path.display())),
                );
            } else if path == self.home.diagnostics() {
                let files = entries(&path).into_iter();
                let why = "what explains a failure; `canary-lab down --purge` removes it when the lab is gone";
                kept.extend(
                    files.filter(|path| !ours.contains(path)).map(|path| format!("{} ({why})", path.display())),
                );
            } else {
                kept.push(format!("{} (not the lab's, or kept aside)", path.display()));
            }
        }
        kept
    }

    fn copies(&self) -> PathBuf {
        self.home.root().join("yours")
    }

    /// The inventory's objects that belong to the lab itself, not to the cluster or the mesh that it stands on; last made
    /// first.
    fn own_items(&self) -> Vec<Item> {
        let below = &self.lab.stage_ids()[..self.lab.first_with_objects()];
        self.state.inventory.iter().rev().filter(|item| !below.contains(&item.stage.as_str())).cloned().collect()
    }

    /// Objects that a stage of the lab would make and that are there without the inventory's knowledge, because the records
    /// were lost or somebody made them ahead of the lab, or because a run of the lab's own was cut off as it made them; the
    /// last stage's first.
    async fn unremembered(&self, api: &Api) -> Result<Vec<Item>, Failure> {
        let models = self.provider.models_on_node().display().to_string();
        let mut found: Vec<Item> = Vec::new();
        for stage in self.lab.spec.stages.iter().rev() {
            for step in stage.steps.iter().rev() {
                let reference = match step {
                    StepSpec::Apply(apply) => match self.lab.manifests.get(&apply.manifest) {
                        Some(manifest) => ObjectRef::of(&manifest.object(&models)?),
                        None => None,
                    },
                    StepSpec::Namespace(spec) => Some(ObjectRef::new("v1", "Namespace", None, &spec.name)),
                    StepSpec::Model(spec) => self.provider.model_object(&spec.name),
                    _ => None,
                };
                let Some(reference) = reference else { continue };
                // A kind that the cluster does not serve has no objects.
                let Ok(Some(live)) = api.get(&reference).await else { continue };
                // A run that was cut off between making an object and remembering it has said before that it would.
                let intended = self.state.intended.contains(&reference.label());
                let item = Item {
                    api_version: reference.gvk.api_version(),
                    kind: reference.gvk.kind.clone(),
                    namespace: reference.namespace.clone(),
                    name: reference.name.clone(),
                    uid: meta::uid(&live).to_owned(),
                    creator: if intended { Creator::Lab } else { Creator::Before },
                    stage: stage.id.clone(),
                    generation: None,
                };
                if !self.state.inventory.iter().chain(&found).any(|known| known.same_place(&item)) {
                    found.push(item);
                }
            }
        }
        Ok(found)
    }

    /// Why the object of the lab's inventory is not the lab's to remove, if it is not.
    async fn why_it_stays(&self, api: &Api, item: &Item) -> Result<Option<String>, Failure> {
        if self.force {
            return Ok(None);
        }
        if item.creator == Creator::Before {
            return Ok(Some("it was there before the lab".to_owned()));
        }
        let Some(live) = api.get(&reference_of(item)).await? else { return Ok(None) };
        if live.pointer("/metadata/uid").and_then(Value::as_str) != Some(item.uid.as_str()) {
            return Ok(Some("somebody has made it anew since".to_owned()));
        }
        if item.kind == "Namespace" {
            let kinds = api.kinds().await?;
            let objects = api.everything(&kinds, Some(&item.name)).await?;
            let known = foreign::of_the_lab(self.lab, self.state);
            let others = foreign::of_others(&objects, &known, &self.lab.spec.ingress.namespace);
            let labels: Vec<String> =
                others.into_iter().filter_map(ObjectRef::of).map(|reference| reference.label()).collect();
            let stays = self.changed_in(api, &item.name).await?;
            let held: Vec<String> = labels.into_iter().chain(stays).collect();
            return Ok((!held.is_empty()).then(|| format!("it holds {}", held.join(", "))));
        }
        Ok(self.changes(api, item).await?.map(|fields| format!("changed since in {fields}")))
    }

    /// Objects of the lab in a namespace that somebody has changed.
    async fn changed_in(&self, api: &Api, namespace: &str) -> Result<Vec<String>, Failure> {
        let mut changed = Vec::new();
        for item in self.own_items().iter().filter(|item| item.namespace.as_deref() == Some(namespace)) {
            let there = api.get(&reference_of(item)).await?;
            let anew =
                there.is_some_and(|live| live.pointer("/metadata/uid").and_then(Value::as_str) != Some(&item.uid));
            if item.creator == Creator::Before || anew || self.changes(api, item).await?.is_some() {
                changed.push(item.label());
            }
        }
        Ok(changed)
    }

    /// The fields in which the object differs from every shape that the lab gives it; none when it has one of these.
    async fn changes(&self, api: &Api, item: &Item) -> Result<Option<String>, Failure> {
        let models = self.provider.models_on_node().display().to_string();
        let mut differences = None;
        for manifest in self.shapes_of(item) {
            match api.compare(&manifest.object(&models)?).await? {
                Comparison::Same(_) | Comparison::Missing => return Ok(None),
                Comparison::Different { fields, .. } => differences = differences.or(Some(fields.join(", "))),
            }
        }
        Ok(differences)
    }

    /// The manifests of the object, the last stage's first.
    fn shapes_of(&self, item: &Item) -> Vec<&Manifest> {
        let steps = self.lab.spec.stages.iter().rev().flat_map(|stage| stage.steps.iter().rev());
        let manifests = steps.filter_map(|step| match step {
            StepSpec::Apply(apply) => self.lab.manifests.get(&apply.manifest),
            _ => None,
        });
        manifests.filter(|manifest| manifest.key.label() == item.label()).collect()
    }

    /// Removes the lab's objects, last made first, each only if it still is the one that the lab knows.
    async fn remove_objects(&mut self, report: &mut Report, progress: &Progress) -> Result<(), Failure> {
        let api = Api::connect(self.provider.kubeconfig()).await?;
        let (own, unremembered): (Vec<Item>, Vec<Item>) =
            self.unremembered(&api).await?.into_iter().partition(|item| item.creator == Creator::Lab);
        for item in own {
            self.state.remember(item);
        }
        let (forced, left) = if self.force { (unremembered, Vec::new()) } else { (Vec::new(), unremembered) };
        report.kept.extend(left.iter().map(|item| format!("{} ({UNREMEMBERED})", item.label())));
        let mut items = self.own_items();
        items.extend(forced);
        // Namespaces go last, after what is known to be in them.
        let (namespaces, inside): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.kind == "Namespace");
        for batch in [inside, namespaces] {
            let mut going = Vec::new();
            for item in batch {
                match self.why_it_stays(&api, &item).await? {
                    Some(why) => report.kept.push(format!("{} ({why})", item.label())),
                    None => going.push(item),
                }
            }
            if let Some(first) = going.first() {
                let count = plural(going.len() as u64, "object");
                progress.awaiting(format!("waiting for {count} to go"), Some(format!("{}, …", first.label())));
            }
            // All at once: pods that use up their time to end do so side by side.
            let removals = going.iter().map(|item| {
                let (api, reference) = (&api, reference_of(item));
                let uid = (!self.force).then_some(item.uid.as_str());
                async move { api.remove(&reference, uid, GONE_WITHIN).await }
            });
            let outcomes = futures::future::join_all(removals).await;
            for (item, outcome) in going.into_iter().zip(outcomes) {
                let label = item.label();
                match outcome {
                    Ok(Removal::Gone | Removal::Absent) => report.removed.push(label),
                    Ok(Removal::AnotherOne) => report.kept.push(format!("{label} (somebody has made it anew since)")),
                    Ok(Removal::Lingers) => {
                        report.leftovers.push(format!("{label} is still being deleted"));
                        continue;
                    }
                    Err(error) => {
                        report.leftovers.push(format!("{label}: {error}"));
                        continue;
                    }
                }
                self.state.inventory.retain(|known| !known.same_place(&item));
            }
            StateFile::of(self.home).save(self.state)?;
        }
        let later: Vec<&str> = self.lab.stage_ids().split_off(self.lab.first_with_objects());
        self.state.forget_stages(later);
        self.state.intended.clear();
        Ok(StateFile::of(self.home).save(self.state)?)
    }

    /// Objects that are not the lab's, or that somebody has changed, with the reason. A cluster that does not answer has
    /// told of none.
    async fn objects_of_others(&self) -> Vec<(String, &'static str)> {
        let found = tokio::time::timeout(LOOK_WITHIN, self.look_for_objects_of_others()).await;
        let found = found.ok().and_then(Result::ok).unwrap_or_default();
        found.into_iter().filter_map(|(object, why)| Some((ObjectRef::of(&object)?.label(), why))).collect()
    }

    async fn look_for_objects_of_others(&self) -> Result<Vec<(Value, &'static str)>, Failure> {
        let api = Api::connect(self.provider.kubeconfig()).await?;
        let kinds = api.kinds().await?;
        let objects = api.everything(&kinds, None).await?;
        let known = foreign::of_the_lab(self.lab, self.state);
        let others = foreign::of_others(&objects, &known, &self.lab.spec.ingress.namespace);
        let mut found: Vec<(Value, &'static str)> =
            others.into_iter().map(|object| (object.clone(), "not the lab's")).collect();
        for item in self.own_items() {
            if self.changes(&api, &item).await?.is_some()
                && let Some(live) = api.get(&reference_of(&item)).await?
            {
                found.push((live, "changed since the lab applied it"));
            }
        }
        Ok(found)
    }

    /// Writes down what others have in the cluster before it goes, as it could be applied again.
    async fn keep_copies(&self) -> Result<(), Failure> {
        if !matches!(self.provider.probe().await?, Standing::Runs { .. }) {
            return Ok(());
        }
        let found = tokio::time::timeout(LOOK_WITHIN, self.look_for_objects_of_others()).await;
        // A cluster that does not answer any more keeps nothing for anybody.
        let Ok(Ok(found)) = found else { return Ok(()) };
        if found.is_empty() {
            return Ok(());
        }
        let documents = found.into_iter().map(|(object, why)| {
            let text = serde_yaml::to_string(&plain(object)).unwrap_or_default();
            format!("---\n# {why}\n{text}")
        });
        let text: String = documents.collect();
        let folder = self.copies();
        let path = folder.join(format!("objects-{}.yaml", (self.clock)().strftime("%Y%m%dT%H%M%SZ")));
        std::fs::create_dir_all(&folder)
            .and_then(|()| write_atomically(&path, text.as_bytes()))
            .map_err(|source| Failure::from(HomeError::NotWritable { path, source }))
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

fn reference_of(item: &Item) -> ObjectRef {
    ObjectRef::new(&item.api_version, &item.kind, item.namespace.as_deref(), &item.name)
}

/// The object without what the server wrote into it.
fn plain(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.shift_remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"] {
            metadata.shift_remove(field);
        }
    }
    object
}
