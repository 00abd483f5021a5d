//! One container of a pod: started, probed, started again, with everything that `kubectl describe` tells about it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::{BackOff, wait_text};
use super::environment::{environment, expand};
use super::exec::{ContainerPlace, View};
use super::images;
use super::logs::LogName;
use super::probes::{self, Probe, ProbeKind, ProbeReport, Target};
use super::run::{self, RunSpec, Running};
use super::status::{ContainerRecord, ContainerState, Ended};
use super::volumes::PodVolumes;
use super::worker::{COMPONENT, NamespaceSources, Shared, process_environment};
use crate::objects::meta;
use crate::process::{Exit, Sandbox, own_program};

/// How long a container that ended shows its end before it shows that it waits, so that watchers see both.
const SHOW_END: Duration = Duration::from_secs(1);
/// How often a wait is told again, about as often as a kubelet looks at every pod.
const REMIND: Duration = Duration::from_secs(12);

/// Which container of a pod is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Whether it stands among the init containers.
    pub(super) is_init: bool,
    /// Its place in the list.
    pub(super) index: usize,
}

/// Something that happened to a run of a container.
#[derive(Debug)]
pub(super) enum Note {
    /// It ended.
    Ended { slot: Slot, run: u64, exit: Exit },
    /// A probe has something to say.
    Probed { slot: Slot, run: u64, kind: ProbeKind, report: ProbeReport },
}

impl Note {
    /// Which container it is about.
    pub(super) fn slot(&self) -> Slot {
        match self {
            Self::Ended { slot, .. } | Self::Probed { slot, .. } => *slot,
        }
    }
}

/// One container and its present run.
pub(super) struct Container {
    slot: Slot,
    spec: Value,
    notes: mpsc::UnboundedSender<Note>,
    /// What the pod's status says of it.
    pub(super) record: ContainerRecord,
    running: Option<Running>,
    /// The number of the present or last run, so that late notes of earlier ones are told apart.
    run: u64,
    started_at: Timestamp,
    back_off: BackOff,
    pull: BackOff,
    probes: JoinSet<()>,
    probe_target: Option<Target>,
    /// Not before this moment is the next attempt made, or the next reminder sent.
    retry_at: Option<Instant>,
    shown_until: Option<Instant>,
    /// When a run that failed a probe and was asked to end is killed.
    kill_at: Option<Instant>,
}

impl Container {
    /// A container as an earlier daemon left it, or a fresh one.
    pub(super) fn new(slot: Slot, spec: &Value, known: Option<&Value>, notes: mpsc::UnboundedSender<Note>) -> Self {
        let text = |field: &str| spec[field].as_str().unwrap_or_default();
        let mut record = known.map_or_else(
            || ContainerRecord::waiting(text("name"), text("image"), "ContainerCreating"),
            ContainerRecord::from_value,
        );
        if let ContainerState::Running { since } = record.state {
            // Its process ended with the daemon that had started it.
            record.state = ContainerState::Terminated(Ended {
                code: 255,
                reason: "Unknown".to_owned(),
                message: String::new(),
                started: since,
                finished: Timestamp::now(),
                container_id: record.container_id.clone(),
            });
        }
        record.ready = slot.is_init && record.has_completed();
        Self {
            slot,
            spec: spec.clone(),
            notes,
            record,
            running: None,
            run: 0,
            started_at: Timestamp::now(),
            back_off: BackOff::default(),
            pull: BackOff::default(),
            probes: JoinSet::new(),
            probe_target: None,
            retry_at: None,
            shown_until: None,
            kill_at: None,
        }
    }

    /// Whether a run goes on.
    pub(super) fn is_alive(&self) -> bool {
        self.running.is_some()
    }

    /// Asks the run to end.
    pub(super) fn terminate(&self) {
        if let Some(running) = &self.running {
            running.terminate();
        }
    }

    /// Ends the run at once.
    pub(super) fn kill(&self) {
        if let Some(running) = &self.running {
            running.kill();
        }
    }

    /// Stops all probes of the present run.
    pub(super) fn stop_probes(&mut self) {
        self.probes.abort_all();
    }

    /// What was missing may be there now.
    pub(super) fn sources_changed(&mut self) {
        let waits_for_sources = matches!(
            &self.record.state,
            ContainerState::Waiting { reason, .. } if reason == "CreateContainerConfigError"
        );
        if waits_for_sources {
            self.retry_at = None;
        }
    }

    /// Starts the container if it may start; returns when to look again.
    pub(super) async fn advance(
        &mut self,
        shared: &Shared,
        pod: &Value,
        volumes: &PodVolumes,
        bind: Ipv4Addr,
        address: Ipv4Addr,
        again: bool,
    ) -> Option<Instant> {
        let now = Instant::now();
        if self.running.is_some() {
            if let Some(at) = self.kill_at.filter(|at| *at <= now) {
                self.kill_at = None;
                tracing::debug!("container {} is killed, {:?} late", self.record.name, now - at);
                self.kill();
            }
            return self.kill_at;
        }
        let previous = match &self.record.state {
            ContainerState::Terminated(ended) => Some(ended.clone()),
            ContainerState::Waiting { .. } => self.record.last.clone(),
            ContainerState::Running { .. } => None,
        };
        if let Some(ended) = &previous {
            if !again {
                return None;
            }
            if let Some(left) = self.back_off.left(ended.finished, Timestamp::now()) {
                return Some(self.wait_in_back_off(shared, pod, ended, left).await);
            }
        }
        if let Some(at) = self.retry_at.filter(|at| *at > now) {
            return Some(at);
        }
        self.try_start(shared, pod, volumes, bind, address, previous).await
    }

    /// Shows the end for a moment, then that the container waits; reminds of it now and then.
    async fn wait_in_back_off(&mut self, shared: &Shared, pod: &Value, ended: &Ended, left: Duration) -> Instant {
        let now = Instant::now();
        let over = now + left;
        if let Some(until) = self.shown_until.filter(|until| *until > now) {
            return until.min(over);
        }
        if self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = Some(now + REMIND);
            let text = "Back-off restarting failed container";
            self.event(shared, pod, "Warning", "BackOff", text).await;
        }
        let message = format!(
            "back-off {} restarting failed container={} pod={}_{}({})",
            wait_text(self.back_off.wait()),
            self.record.name,
            meta::name(pod),
            meta::namespace(pod).unwrap_or_default(),
            meta::uid(pod),
        );
        self.record.last = Some(ended.clone());
        self.record.state = ContainerState::Waiting { reason: "CrashLoopBackOff".to_owned(), message };
        over.min(self.retry_at.unwrap_or(over))
    }

    async fn try_start(
        &mut self,
        shared: &Shared,
        pod: &Value,
        volumes: &PodVolumes,
        bind: Ipv4Addr,
        address: Ipv4Addr,
        previous: Option<Ended>,
    ) -> Option<Instant> {
        let image = match images::find(&self.record.image) {
            Ok(image) => image,
            Err(_) if self.spec["imagePullPolicy"] == "Never" => return Some(self.never_pull(shared, pod).await),
            Err(unknown) => return Some(self.fail_pull(shared, pod, &unknown.to_string()).await),
        };
        self.record.image_id = images::image_id(&self.record.image);
        let text = if self.spec["imagePullPolicy"] == "Always" {
            let text = format!("Pulling image \"{}\"", self.record.image);
            self.event(shared, pod, "Normal", "Pulling", &text).await;
            format!("Successfully pulled image \"{}\" in 0s", self.record.image)
        } else {
            format!("Container image \"{}\" already present on machine", self.record.image)
        };
        self.event(shared, pod, "Normal", "Pulled", &text).await;

        let namespace = meta::namespace(pod).unwrap_or_default();
        let sources = NamespaceSources { registry: &shared.registry, namespace };
        let variables = match environment(images::image_environment(image), pod, &self.spec, &sources) {
            Ok(variables) => variables,
            Err(error) => {
                let message = error.to_string();
                self.event(shared, pod, "Warning", "Failed", &format!("Error: {message}")).await;
                self.wait(previous, "CreateContainerConfigError", message);
                self.retry_at = Some(Instant::now() + REMIND);
                return self.retry_at;
            }
        };
        let words = |field: &str| -> Vec<String> {
            let words = self.spec[field].as_array().into_iter().flatten();
            words.filter_map(|word| word.as_str().map(|word| expand(word, &variables))).collect()
        };
        let (command, args) = (words("command"), words("args"));
        let program = match images::program(image, &command, &args, &variables) {
            Ok(program) => program,
            Err(error) => return Some(self.fail_start(shared, pod, previous, &error.to_string()).await),
        };
        self.event(shared, pod, "Normal", "Created", &format!("Created container {}", self.record.name)).await;
        self.run += 1;
        let attempt = self.record.restarts + u64::from(previous.is_some());
        let sandbox = Sandbox { bind: bind.into(), mounts: volumes.mounts(&self.spec) };
        let place = self.place(pod, &sandbox, address, &variables);
        let spec = RunSpec {
            program,
            binary: shared.binary.clone().unwrap_or_else(own_program),
            environment: process_environment(shared, pod, &self.record.name, address, variables),
            sandbox: sandbox.clone(),
            address,
            logs: shared.logs.clone(),
            log: LogName { pod: meta::uid(pod).to_owned(), container: self.record.name.clone(), attempt },
            control_plane: shared.control_plane.clone(),
        };
        let (slot, run, notes) = (self.slot, self.run, self.notes.clone());
        let ended = move |exit| drop(notes.send(Note::Ended { slot, run, exit }));
        let running = match run::start(spec, ended) {
            Ok(running) => running,
            Err(error) => return Some(self.fail_start(shared, pod, previous, &error.to_string()).await),
        };
        shared.processes.started(pod, &self.record.name, running.pid, place);
        self.running = Some(running);
        self.started_at = Timestamp::now();
        self.retry_at = None;
        self.kill_at = None;
        self.record.restarts = attempt;
        if let Some(ended) = &previous {
            self.back_off.restarted(ended.finished, self.started_at);
        }
        self.record.last = previous;
        self.record.container_id = random_id();
        self.record.state = ContainerState::Running { since: self.started_at };
        let has = |field: &str| self.spec[field].is_object();
        self.record.started = !has("startupProbe");
        self.record.ready = !self.slot.is_init && self.record.started && !has("readinessProbe");
        self.probe_target = Some(Target { address, sandbox });
        self.start_probes();
        self.event(shared, pod, "Normal", "Started", &format!("Started container {}", self.record.name)).await;
        None
    }

    /// What commands in the container see.
    fn place(
        &self,
        pod: &Value,
        sandbox: &Sandbox,
        address: Ipv4Addr,
        variables: &BTreeMap<String, String>,
    ) -> ContainerPlace {
        const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut environment = vec![pair("PATH", PATH), pair("HOSTNAME", meta::name(pod))];
        environment.extend(variables.iter().map(|(name, value)| pair(name, value)));
        environment.push(pair("HOME", "/root"));
        let mut local = vec![sandbox.bind, address.into()];
        local.dedup();
        ContainerPlace {
            environment,
            view: View::new(sandbox.clone(), pod, &self.spec),
            local,
            hostname: meta::name(pod).to_owned(),
            namespace: meta::namespace(pod).unwrap_or_default().to_owned(),
        }
    }

    fn wait(&mut self, previous: Option<Ended>, reason: &str, message: String) {
        self.record.last = previous;
        self.record.ready = false;
        self.record.state = ContainerState::Waiting { reason: reason.to_owned(), message };
    }

    /// The image is unknown, and nobody may look for it.
    async fn never_pull(&mut self, shared: &Shared, pod: &Value) -> Instant {
        let image = &self.record.image;
        let text = format!("Container image \"{image}\" is not present with pull policy of Never");
        self.event(shared, pod, "Warning", "ErrImageNeverPull", &text).await;
        self.event(shared, pod, "Warning", "Failed", "Error: ErrImageNeverPull").await;
        self.wait(self.record.last.clone(), "ErrImageNeverPull", text);
        let next = Instant::now() + REMIND;
        self.retry_at = Some(next);
        next
    }

    /// The image is unknown: says so, then that further attempts wait.
    async fn fail_pull(&mut self, shared: &Shared, pod: &Value, message: &str) -> Instant {
        let now = Instant::now();
        let image = self.record.image.clone();
        let shows_failure =
            matches!(&self.record.state, ContainerState::Waiting { reason, .. } if reason == "ErrImagePull");
        if shows_failure {
            let text = format!("Back-off pulling image \"{image}\"");
            self.event(shared, pod, "Normal", "BackOff", &text).await;
            self.event(shared, pod, "Warning", "Failed", "Error: ImagePullBackOff").await;
            self.wait(self.record.last.clone(), "ImagePullBackOff", text);
            let wait = self.pull.wait();
            let at = Timestamp::now();
            self.pull.restarted(at, at);
            let next = now + wait;
            self.retry_at = Some(next);
            return next;
        }
        self.event(shared, pod, "Normal", "Pulling", &format!("Pulling image \"{image}\"")).await;
        let text = format!("Failed to pull image \"{image}\": {message}");
        self.event(shared, pod, "Warning", "Failed", &text).await;
        self.event(shared, pod, "Warning", "Failed", "Error: ErrImagePull").await;
        self.wait(self.record.last.clone(), "ErrImagePull", message.to_owned());
        if self.pull == BackOff::default() {
            let at = Timestamp::now();
            self.pull.restarted(at, at);
        }
        let next = now + SHOW_END * 2;
        self.retry_at = Some(next);
        next
    }

    /// The program could not be started: counts as a run that failed at once.
    async fn fail_start(&mut self, shared: &Shared, pod: &Value, previous: Option<Ended>, message: &str) -> Instant {
        let message = format!("failed to start container \"{}\": {message}", self.record.name);
        self.event(shared, pod, "Warning", "Failed", &format!("Error: {message}")).await;
        let now = Timestamp::now();
        if let Some(ended) = &previous {
            self.record.restarts += 1;
            self.back_off.restarted(ended.finished, now);
        } else {
            self.back_off.restarted(now, now);
        }
        let ended = Ended {
            code: 127,
            reason: "ContainerCannotRun".to_owned(),
            message: message.clone(),
            started: now,
            finished: now,
            container_id: random_id(),
        };
        self.wait(Some(ended), "RunContainerError", message);
        self.shown_until = Some(Instant::now() + SHOW_END);
        Instant::now() + SHOW_END
    }

    /// Takes note of the end of the present run, without telling anybody.
    pub(super) fn note_end(&mut self, note: &Note) -> Option<Exit> {
        match note {
            Note::Ended { run, exit, .. } if *run == self.run => {
                self.running = None;
                Some(*exit)
            }
            _ => None,
        }
    }

    /// Reacts to an end or a probe. `terminating` says that the pod is being deleted.
    pub(super) async fn take_note(&mut self, shared: &Shared, pod: &Value, note: Note, terminating: bool) {
        if let Some(exit) = self.note_end(&note) {
            shared.processes.ended(pod, &self.record.name);
            self.probes.abort_all();
            let reason = if exit == Exit::Code(0) { "Completed" } else { "Error" };
            self.record.state = ContainerState::Terminated(Ended {
                code: exit.code(),
                reason: reason.to_owned(),
                message: String::new(),
                started: self.started_at,
                finished: Timestamp::now(),
                container_id: self.record.container_id.clone(),
            });
            self.record.ready = self.slot.is_init && exit == Exit::Code(0);
            self.record.started = false;
            self.kill_at = None;
            self.shown_until = Some(Instant::now() + SHOW_END);
            return;
        }
        let Note::Probed { run, kind, report, .. } = note else { return };
        if run != self.run || self.running.is_none() || terminating {
            return;
        }
        match (report, kind) {
            (ProbeReport::Failed(text), _) => self.event(shared, pod, "Warning", "Unhealthy", &text).await,
            (ProbeReport::Verdict(passed), ProbeKind::Readiness) => self.record.ready = passed && self.record.started,
            (ProbeReport::Verdict(true), ProbeKind::Startup) => {
                self.record.started = true;
                self.record.ready = !self.spec["readinessProbe"].is_object();
                self.probes.abort_all();
                self.start_probes();
            }
            (ProbeReport::Verdict(true), ProbeKind::Liveness) => {}
            (ProbeReport::Verdict(false), ProbeKind::Startup | ProbeKind::Liveness) => {
                let word = kind.word().to_lowercase();
                let text = format!("Container {} failed {word} probe, will be restarted", self.record.name);
                self.event(shared, pod, "Normal", "Killing", &text).await;
                let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
                self.kill_at = Some(Instant::now() + Duration::from_secs(grace));
                self.probes.abort_all();
                self.terminate();
            }
        }
    }

    /// Starts the startup probe, or the other two once that has passed.
    fn start_probes(&mut self) {
        let Some(target) = self.probe_target.clone() else { return };
        let (slot, run) = (self.slot, self.run);
        for (kind, field) in ProbeKind::ALL {
            let due = if self.record.started { kind != ProbeKind::Startup } else { kind == ProbeKind::Startup };
            let Some(probe) = Probe::parse(&self.spec, kind, field).filter(|_| due && !slot.is_init) else { continue };
            let (report, mut reports) = mpsc::channel(4);
            let notes = self.notes.clone();
            self.probes.spawn(probes::run(probe, target.clone(), report));
            self.probes.spawn(async move {
                while let Some((kind, report)) = reports.recv().await {
                    if notes.send(Note::Probed { slot, run, kind, report }).is_err() {
                        return;
                    }
                }
            });
        }
    }

    async fn event(&self, shared: &Shared, pod: &Value, kind: &str, reason: &str, message: &str) {
        shared.registry.container_event(pod, &self.record.name, kind, reason, message, COMPONENT).await;
    }
}

/// The id of a run, in the form of the container runtimes'.
fn random_id() -> String {
    let mut random = rand::rng();
    let digits: String = (0..64).map(|_| char::from_digit(random.random_range(0..16), 16).unwrap_or('0')).collect();
    format!("canary-lab://{digits}")
}
