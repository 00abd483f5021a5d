//! minikube: the tutorial's own cluster. A running profile that fits is used; else one of the lab's own is started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

use super::api::Api;
use super::ingress::WayIn;
use super::kubeconfig;
use super::provider::{ClusterError, ClusterPlan, Entrance, Gate, MeshStanding, Provider, RouteVersion, Standing};
use super::real::{Real, differences, hashes};
use super::settings::IngressMode;
use crate::doctor::matrix::{Fit, Matrix};
use crate::tools::minikube::{self, Event, Profile, Refusal};
use crate::tools::{Call, Stream, Tool, ToolError};
use crate::traffic::Ingress;
use crate::ui::Progress;

/// The profile of the lab's own.
const OWN_PROFILE: &str = "canary-lab";
/// Driver none knows one cluster, the machine, and wants this name for it.
const ONLY_PROFILE: &str = "minikube";
/// How long minikube may take: images come over the network.
const START_WITHIN: Duration = Duration::from_mins(20);
/// How long it may take to say something about itself.
const LOOK_WITHIN: Duration = Duration::from_secs(30);
/// How long a stop or delete may take.
const DELETE_WITHIN: Duration = Duration::from_mins(5);
/// How long one file may take to the node.
const COPY_WITHIN: Duration = Duration::from_mins(5);
/// What Services have for addresses.
const SERVICE_RANGE: &str = "10.96.0.0/12";
/// Where models lie on a node that is not this machine.
const ON_NODE: &str = "/var/lib/canary-lab/models";
/// Memory that Istio and two ResNets want, in MiB, and the most that the lab asks for.
const MEMORY: (u64, u64) = (4096, 8192);
/// The most processors that the lab asks for.
const CPUS: u64 = 4;

/// A minikube of this machine.
#[derive(Debug)]
pub struct Minikube {
    real: Real,
    /// minikube with the lab's kubeconfig.
    tool: Tool,
    /// minikube with the person's.
    theirs: Tool,
}

/// What `minikube start` is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StartPlan {
    profile: String,
    driver: Option<String>,
    kubernetes: String,
    cpus: Option<u64>,
    memory: Option<u64>,
    force: bool,
}

impl StartPlan {
    fn args(&self) -> Vec<String> {
        let mut args: Vec<String> =
            ["start", "--profile", &self.profile, "--output", "json", "--interactive=false"].map(str::to_owned).into();
        args.push(format!("--kubernetes-version={}", self.kubernetes));
        args.push("--container-runtime=docker".to_owned());
        args.extend(self.driver.iter().map(|driver| format!("--driver={driver}")));
        args.extend(self.cpus.iter().map(|cpus| format!("--cpus={cpus}")));
        args.extend(self.memory.iter().map(|memory| format!("--memory={memory}mb")));
        if self.force {
            args.push("--force".to_owned());
        }
        args
    }
}

impl Minikube {
    pub(super) fn new(real: Real, program: PathBuf) -> Self {
        // minikube's own way in is its tunnel; a person who left it open means that.
        {
            let mut settings = real.settings();
            if settings.ingress == IngressMode::Auto {
                settings.ingress = IngressMode::LoadBalancer;
            }
        }
        let theirs = Tool::new(program, &real.environment, real.trace.clone());
        let tool = theirs.clone().with("KUBECONFIG", &real.kubeconfig);
        Self { real, tool, theirs }
    }

    async fn run(&self, args: &[&str], within: Duration) -> Result<crate::tools::Ran, ClusterError> {
        Ok(self.tool.run(Call::new(args, within)).await?)
    }

    async fn profiles(&self) -> Result<Vec<Profile>, ClusterError> {
        // minikube calls a profile stopped that its kubeconfig does not name. The lab's names the one that is used; while
        // there is none, other people's profiles are to be seen as they are, and their kubeconfig names them.
        let tool = if self.real.kubeconfig.is_file() { &self.tool } else { &self.theirs };
        let ran = tool.run(Call::new(["profile", "list", "-o", "json"], LOOK_WITHIN)).await?;
        let Some(profiles) = minikube::profiles(&ran) else {
            return Err(ClusterError::Minikube(Box::new(MinikubeError::new(
                minikube::refusal(&ran).unwrap_or_else(|| unclear(&ran)),
                ran.code,
                minikube::last_words(&ran, 5),
            ))));
        };
        for profile in &profiles {
            self.tool.trace().read(&format!(
                "profile {}: {}, driver {}, Kubernetes {}",
                profile.name, profile.standing, profile.driver, profile.kubernetes
            ));
        }
        Ok(profiles)
    }

    /// The profile that is used: the one that was chosen before, or nothing yet.
    fn profile(&self) -> Option<String> {
        self.real.settings().profile.clone()
    }

    /// A running profile that somebody else made and that fits, for a lab that has none yet.
    fn fitting(&self, profiles: &[Profile]) -> Option<Profile> {
        let matrix = Matrix::embedded().ok()?;
        let wanted = self.real.settings().kubernetes.clone();
        let driver = self.real.settings().driver.clone();
        let fits = |profile: &&Profile| {
            profile.valid
                && profile.standing == minikube::Standing::Running
                && matches!(matrix.fit(&profile.kubernetes, &self.real.lab.istio), Fit::Supported | Fit::Works)
                && wanted.as_ref().is_none_or(|wanted| *wanted == profile.kubernetes)
                && driver.as_ref().is_none_or(|driver| *driver == profile.driver)
        };
        profiles.iter().find(fits).cloned()
    }

    /// How the lab's own profile is started, fitted to the machine.
    fn start_plan(&self) -> StartPlan {
        let settings = self.real.settings().clone();
        let driver = settings.driver.or_else(usual_driver);
        let none = driver.as_deref() == Some("none");
        let profile = if none { ONLY_PROFILE } else { OWN_PROFILE };
        let (cpus, memory) = if none { (None, None) } else { machine_share() };
        let kubernetes = settings.kubernetes.unwrap_or_else(|| self.real.lab.kubernetes.clone());
        StartPlan { profile: profile.to_owned(), driver, kubernetes, cpus, memory, force: settings.force }
    }

    async fn start_profile(&self, progress: &Progress) -> Result<(), ClusterError> {
        progress.awaiting("looking at minikube's profiles", None);
        let profiles = self.profiles().await?;
        let chosen = self.profile();
        let mut plan = self.start_plan();
        match chosen {
            None => {
                if let Some(profile) = self.fitting(&profiles) {
                    self.use_profile(&profile)?;
                    return self.take_kubeconfig(&profile.name).await;
                }
                // Somebody else's profile of the name that the lab's would have stays as it is.
                if let Some(other) = profiles.iter().find(|profile| profile.name == plan.profile) {
                    stands_still(other)?;
                    let text = format!(
                        "profile `{}` ({}, driver {}, Kubernetes {}) was there before the lab",
                        other.name, other.standing, other.driver, other.kubernetes
                    );
                    return Err(ClusterError::ProfileUnfit(text));
                }
            }
            Some(name) => {
                let made = self.real.settings().made_profile.as_deref() == Some(name.as_str());
                let known = profiles.iter().find(|profile| profile.name == name);
                match known {
                    Some(profile) if profile.standing == minikube::Standing::Running => {
                        return self.take_kubeconfig(&name).await;
                    }
                    Some(profile) if !made => {
                        stands_still(profile)?;
                        return Err(ClusterError::ProfileUnfit(format!(
                            "profile `{name}` is {}, and it is not the lab's to start",
                            profile.standing
                        )));
                    }
                    Some(profile) => stands_still(profile)?,
                    None => {}
                }
                plan.profile = name;
            }
        }
        // Kept before minikube begins, so that a run that is cut off knows what to delete.
        let on_node = (plan.driver.as_deref() != Some("none")).then(|| PathBuf::from(ON_NODE));
        self.real.keep(|settings| {
            settings.made_profile = Some(plan.profile.clone());
            settings.profile = Some(plan.profile.clone());
            settings.models_on_node = on_node;
        })?;
        progress.awaiting("starting minikube", None);
        let (notes, mut wording) = (progress.clone(), Wording::default());
        let args = plan.args();
        let limit = self.real.settings().start_within.map_or(START_WITHIN, Duration::from_secs);
        let ran = self.tool.follow(Call::new(&args, limit), move |stream, line| {
            if stream == Stream::Out
                && let Some(event) = minikube::event(line)
                && let Some((awaited, seen)) = wording.of(&event)
            {
                notes.awaiting(awaited, seen);
            }
        });
        let ran = match ran.await {
            Err(ToolError::Hung { last, .. }) => {
                return Err(ClusterError::StartHung { profile: plan.profile, limit, last: told(&last) });
            }
            ran => ran?,
        };
        if !ran.succeeded() {
            let refusal = minikube::refusal(&ran).unwrap_or_else(|| unclear(&ran));
            self.tool.trace().read(&format!("refused: {} {}", refusal.id, refusal.message));
            return Err(ClusterError::Minikube(Box::new(MinikubeError::new(
                refusal,
                ran.code,
                minikube::last_words(&ran, 6),
            ))));
        }
        // Which driver minikube chose decides where models have to lie.
        if let Some(profile) = self.profiles().await?.into_iter().find(|profile| profile.name == plan.profile) {
            self.use_profile(&profile)?;
        }
        self.take_kubeconfig(&plan.profile).await
    }

    fn use_profile(&self, profile: &Profile) -> Result<(), ClusterError> {
        let on_node = (profile.driver != "none").then(|| PathBuf::from(ON_NODE));
        self.real.keep(|settings| {
            settings.profile = Some(profile.name.clone());
            settings.models_on_node = on_node;
        })
    }

    /// Makes the lab's own kubeconfig name this profile's cluster; the person's is only read.
    async fn take_kubeconfig(&self, profile: &str) -> Result<(), ClusterError> {
        let mut sources = vec![self.real.kubeconfig.clone()];
        sources.extend(kubeconfig::sources(&self.real.environment));
        let text = if let Ok(text) = kubeconfig::extract(&sources, profile) {
            text
        } else {
            // A profile whose context was taken out of every kubeconfig: minikube writes it into the lab's.
            let _ = self.run(&["update-context", "--profile", profile], LOOK_WITHIN).await?;
            kubeconfig::extract(&sources, profile)?
        };
        Ok(kubeconfig::write(&self.real.kubeconfig, &text)?)
    }

    /// Runs a command on the node.
    async fn on_node(&self, profile: &str, command: &str, within: Duration) -> Result<crate::tools::Ran, ClusterError> {
        self.run(&["ssh", "--profile", profile, "--", command], within).await
    }

    async fn differences(&self, name: &str, folder: &Path) -> Result<Vec<String>, ClusterError> {
        let Some(on_node) = self.real.settings().models_on_node.clone() else { return Ok(Vec::new()) };
        let profile = self.profile().unwrap_or_default();
        let there = format!("{}/{name}", on_node.display());
        let own = folder.to_owned();
        let wanted = tokio::task::spawn_blocking(move || hashes(&own)).await;
        let wanted = wanted
            .map_err(|error| ClusterError::NotKept(error.to_string()))?
            .map_err(|error| ClusterError::NotKept(error.to_string()))?;
        let listing =
            self.on_node(&profile, &format!("sudo find {there} -type f -exec sha256sum {{}} +"), COPY_WITHIN).await?;
        Ok(differences(&wanted, &listing.out, &there))
    }

    async fn copy(&self, name: &str, folder: &Path, progress: &Progress) -> Result<(), ClusterError> {
        let Some(on_node) = self.real.settings().models_on_node.clone() else { return Ok(()) };
        let profile = self.profile().unwrap_or_default();
        let not_placed =
            |ran: &crate::tools::Ran| ClusterError::NotPlaced { model: name.to_owned(), said: ran.last_lines(3) };
        let files = hashes(folder).map_err(|error| ClusterError::NotKept(error.to_string()))?;
        let there = format!("{}/{name}", on_node.display());
        let mut folders: Vec<String> = files
            .keys()
            .filter_map(|file| Path::new(file).parent().map(|parent| format!("{there}/{}", parent.display())))
            .collect();
        folders.sort();
        folders.dedup();
        let made = self
            .on_node(&profile, &format!("sudo rm -rf {there} && sudo mkdir -p {}", folders.join(" ")), LOOK_WITHIN)
            .await?;
        if !made.succeeded() {
            return Err(not_placed(&made));
        }
        for file in files.keys() {
            progress.awaiting(format!("copying model {name} to the node"), Some(file.clone()));
            let (from, to) = (folder.join(file).display().to_string(), format!("{there}/{file}"));
            let ran = self.run(&["cp", "--profile", &profile, &from, &to], COPY_WITHIN).await?;
            if !ran.succeeded() {
                return Err(not_placed(&ran));
            }
        }
        let opened = self.on_node(&profile, &format!("sudo chmod -R a+rX {there}"), LOOK_WITHIN).await?;
        if opened.succeeded() { Ok(()) } else { Err(not_placed(&opened)) }
    }

    /// Whether sudo would ask for a password.
    async fn needs_password(&self) -> bool {
        if rustix::process::geteuid().is_root() {
            return false;
        }
        match self.real.tool("sudo") {
            Some(sudo) => !sudo.run(Call::new(["-n", "true"], LOOK_WITHIN)).await.is_ok_and(|ran| ran.succeeded()),
            None => false,
        }
    }

    /// Takes away the route that a tunnel leaves when it had no time to clean up.
    async fn clean_route(&self) -> Vec<String> {
        let words = self.real.keeper().last_words(200).join("\n");
        let Some(route) = minikube::tunnel_route(&words) else { return Vec::new() };
        let Some(ip) = self.real.tool("ip") else { return Vec::new() };
        let there = |ran: &crate::tools::Ran| ran.succeeded() && !ran.out.trim().is_empty();
        match ip.run(Call::new(["route", "show", &route], LOOK_WITHIN)).await {
            Ok(ran) if there(&ran) => {}
            _ => return Vec::new(),
        }
        let removed = if rustix::process::geteuid().is_root() {
            ip.run(Call::new(["route", "del", &route], LOOK_WITHIN)).await
        } else if let Some(sudo) = self.real.tool("sudo") {
            sudo.run(Call::new(["-n", "ip", "route", "del", &route], LOOK_WITHIN)).await
        } else {
            return vec![format!("route {route}")];
        };
        if removed.is_ok_and(|ran| ran.succeeded()) { Vec::new() } else { vec![format!("route {route}")] }
    }
}

/// The driver where none is asked for. Docker's refuses root, and root needs no VM: then the machine is the node, as in the
/// tutorial. Everybody else leaves it to minikube.
pub fn usual_driver() -> Option<String> {
    let root = rustix::process::geteuid().is_root();
    (root && std::env::consts::OS == "linux").then(|| "none".to_owned())
}

/// What a start does not mend.
fn stands_still(profile: &Profile) -> Result<(), ClusterError> {
    match profile.standing {
        minikube::Standing::Paused => Err(ClusterError::ProfilePaused(profile.name.clone())),
        minikube::Standing::Full => Err(ClusterError::ProfileFull(profile.name.clone())),
        _ => Ok(()),
    }
}

/// Lines of minikube as a person reads them: its events are JSON.
fn told(lines: &[String]) -> Vec<String> {
    let mut wording = Wording::default();
    lines
        .iter()
        .filter_map(|line| match minikube::event(line) {
            Some(event) => wording.of(&event).map(|(step, seen)| match seen {
                Some(seen) => format!("{step}: {seen}"),
                None => step,
            }),
            None => Some(line.clone()),
        })
        .collect()
}

/// A failure without a reason id.
fn unclear(ran: &crate::tools::Ran) -> Refusal {
    Refusal { id: String::new(), message: ran.last_lines(1).pop().unwrap_or_else(|| ran.how()), advice: String::new() }
}

/// Processors and memory (in MiB) that a node may have of this machine.
fn machine_share() -> (Option<u64>, Option<u64>) {
    let cpus = std::thread::available_parallelism().ok().map(|count| (count.get() as u64).clamp(2, CPUS));
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    // Two thirds of what is free, so that the machine itself lives on.
    let memory = free.map(|kibibytes| (kibibytes / 1024 * 2 / 3).clamp(MEMORY.0, MEMORY.1));
    (cpus, memory)
}

/// minikube's events as the live line tells them.
#[derive(Default)]
struct Wording {
    step: String,
}

impl Wording {
    fn of(&mut self, event: &Event) -> Option<(String, Option<String>)> {
        match event {
            Event::Step { number, of, name, message } => {
                self.step = format!("minikube: {} ({number}/{of})", if name.is_empty() { message } else { name });
                Some((self.step.clone(), Some(message.clone()).filter(|message| message != name)))
            }
            Event::Download { artifact, share } => {
                Some((self.step(), Some(format!("{artifact} {:.0} %", share * 100.0))))
            }
            Event::Info(text) | Event::Warning(text) => Some((self.step(), Some(text.clone()))),
            Event::Refused(_) => None,
        }
    }

    fn step(&self) -> String {
        if self.step.is_empty() { "starting minikube".to_owned() } else { self.step.clone() }
    }
}

/// minikube gave up.
#[derive(Debug, thiserror::Error)]
#[error("minikube: {}", if refusal.message.is_empty() { refusal.id.as_str() } else { refusal.message.as_str() })]
pub struct MinikubeError {
    /// Its reason and words.
    pub refusal: Refusal,
    /// Its exit code.
    pub code: Option<i32>,
    /// The last of what it said.
    pub said: Vec<String>,
}

impl MinikubeError {
    fn new(refusal: Refusal, code: Option<i32>, said: Vec<String>) -> Self {
        Self { refusal, code, said }
    }
}

impl Provider for Minikube {
    fn name(&self) -> &'static str {
        "minikube"
    }

    fn plan(&self) -> BoxFuture<'_, ClusterPlan> {
        Box::pin(async {
            let (start, ingress) = (self.start_plan(), self.real.settings().ingress);
            let mut plan = ClusterPlan {
                kubernetes: Some(start.kubernetes),
                driver: start.driver,
                tunnel: ingress == IngressMode::LoadBalancer,
                force: start.force,
                stands: None,
            };
            // A minikube that does not tell its profiles has none that could be used; why is a check of its own.
            let profiles = self.profiles().await.unwrap_or_default();
            let running = |profile: &&Profile| profile.standing == minikube::Standing::Running;
            let used = match self.profile() {
                Some(name) => profiles.iter().filter(running).find(|profile| profile.name == name).cloned(),
                None => self.fitting(&profiles),
            };
            if let Some(profile) = used {
                plan.stands = Some(format!("profile `{}`", profile.name));
                plan.kubernetes = Some(profile.kubernetes);
                plan.driver = Some(profile.driver);
            }
            plan
        })
    }

    fn is_the_labs(&self) -> bool {
        false
    }

    fn kubeconfig(&self) -> &Path {
        &self.real.kubeconfig
    }

    fn logs(&self) -> PathBuf {
        self.real.home.cluster()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Standing, ClusterError>> {
        Box::pin(async {
            let Some(profile) = self.profile() else {
                return Ok(Standing::Down("no profile was chosen yet".to_owned()));
            };
            if !self.real.kubeconfig.is_file() {
                return Ok(Standing::Down("the lab has no kubeconfig of it yet".to_owned()));
            }
            let ran = self.run(&["status", "--profile", &profile, "-o", "json"], LOOK_WITHIN).await?;
            let standing = minikube::status(&ran);
            self.tool.trace().read(&standing.as_ref().map_or("no such profile".to_owned(), ToString::to_string));
            match standing {
                Some(minikube::Standing::Running) => {}
                Some(other) => return Ok(Standing::Down(format!("profile `{profile}` is {other}"))),
                None => return Ok(Standing::Down(format!("profile `{profile}` is not there"))),
            }
            self.real.answers(format!("profile `{profile}`")).await
        })
    }

    fn start<'a>(&'a self, progress: &'a Progress) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(self.start_profile(progress))
    }

    fn stop(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        Box::pin(async {
            let mut left = self.real.close().await?;
            left.extend(self.clean_route().await);
            let Some(made) = self.real.settings().made_profile.clone() else { return Ok(left) };
            let ran = self.run(&["delete", "--profile", &made], DELETE_WITHIN).await?;
            // It ends with 0 also where it could not delete; what is still listed was not. The home stays, for another try.
            if !ran.succeeded() || self.profiles().await?.iter().any(|profile| profile.valid && profile.name == made) {
                let mut refusal = minikube::refusal(&ran).unwrap_or_else(|| unclear(&ran));
                refusal.message = minikube::complaint(&ran).unwrap_or(refusal.message);
                let said = minikube::last_words(&ran, 3);
                return Err(ClusterError::Minikube(Box::new(MinikubeError::new(refusal, ran.code, said))));
            }
            self.real.keep(|settings| {
                settings.made_profile = None;
                settings.profile = None;
                // What was installed into the cluster went with it.
                settings.made_mesh = false;
            })?;
            Ok(left)
        })
    }

    fn mesh_name(&self, release: &str) -> String {
        self.real.mesh_name(release)
    }

    fn probe_mesh<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<MeshStanding, ClusterError>> {
        Box::pin(self.real.mesh_standing(api))
    }

    fn install_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<Value>, ClusterError>> {
        Box::pin(self.real.install_mesh(api, progress))
    }

    fn made_mesh(&self) -> bool {
        self.real.settings().made_mesh
    }

    fn stop_removes_everything(&self) -> bool {
        self.real.settings().made_profile.is_some()
    }

    fn remove_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(self.real.remove_mesh(api, progress))
    }

    fn probe_tunnel(&self) -> BoxFuture<'_, Result<Entrance, ClusterError>> {
        Box::pin(self.real.entrance())
    }

    fn holds_address(&self) -> bool {
        self.real.settings().ingress == IngressMode::LoadBalancer && self.real.keeper().running().is_some()
    }

    fn set_tunnel(&self, running: bool) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async move {
            if !running {
                self.real.close().await?;
                self.clean_route().await;
                return Ok(());
            }
            let api = Api::connect(&self.real.kubeconfig).await?;
            let mode = self.real.settings().ingress;
            if mode != IngressMode::LoadBalancer {
                return self.real.open(&api).await;
            }
            if self.needs_password().await {
                return Err(ClusterError::PasswordNeeded);
            }
            // The tunnel of a lab runs, and its address leads nowhere any more: the route is gone, or the node is another.
            if matches!(self.real.way_in(&api).await?, WayIn::Open(_)) {
                self.real.close().await?;
                self.clean_route().await;
            }
            let profile = self.profile().unwrap_or_default();
            let command =
                [self.tool.program().display().to_string(), "tunnel".to_owned(), "--profile".to_owned(), profile];
            self.real.start_keeper(&command).await
        })
    }

    fn tunnel_on_terminal(&self) -> Option<(Tool, Call)> {
        let profile = self.profile()?;
        Some((self.tool.clone(), Call::new(["tunnel", "--profile", &profile], Duration::MAX)))
    }

    fn tunnel_words(&self) -> Vec<String> {
        self.real.keeper().last_words(4)
    }

    fn models_on_node(&self) -> PathBuf {
        self.real.models_on_node()
    }

    fn ingress<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Option<Ingress>, ClusterError>> {
        Box::pin(self.real.ingress(api))
    }

    fn routes_live<'a>(
        &'a self,
        _routes: &'a [RouteVersion],
        patience: Duration,
    ) -> BoxFuture<'a, Result<Gate, ClusterError>> {
        Box::pin(self.real.gate(patience))
    }

    fn facts(&self) -> BoxFuture<'_, Value> {
        Box::pin(std::future::ready(self.real.facts()))
    }

    fn processes(&self) -> BoxFuture<'_, Result<Vec<u32>, ClusterError>> {
        Box::pin(std::future::ready(Ok(self.real.keeper().processes())))
    }

    fn direct_addresses(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        Box::pin(async {
            let mut addresses = vec![SERVICE_RANGE.to_owned()];
            if let Some(profile) = self.profile() {
                let profiles = self.profiles().await.unwrap_or_default();
                addresses.extend(
                    profiles.into_iter().filter(|found| found.name == profile).flat_map(|found| found.addresses),
                );
            }
            Ok(addresses)
        })
    }

    fn probe_model<'a>(
        &'a self,
        _api: &'a Api,
        name: &'a str,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(self.differences(name, folder))
    }

    fn place_model<'a>(
        &'a self,
        _api: &'a Api,
        name: &'a str,
        folder: &'a Path,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<Value>, ClusterError>> {
        Box::pin(async move {
            self.copy(name, folder, progress).await?;
            Ok(Vec::new())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_says_everything_that_minikube_could_ask_for() {
        let plan = StartPlan {
            profile: "canary-lab".into(),
            driver: Some("docker".into()),
            kubernetes: "v1.24.3".into(),
            cpus: Some(2),
            memory: Some(4096),
            force: true,
        };
        assert_eq!(
            plan.args().join(" "),
            "start --profile canary-lab --output json --interactive=false --kubernetes-version=v1.24.3 --container-runtime=docker \
             --driver=docker --cpus=2 --memory=4096mb --force"
        );
        let (cpus, memory) = machine_share();
        assert!(
            cpus.is_none_or(|cpus| (2..=CPUS).contains(&cpus))
                && memory.is_none_or(|memory| (MEMORY.0..=MEMORY.1).contains(&memory))
        );
    }

    #[test]
    fn events_become_one_line() {
        let mut wording = Wording::default();
        let step = Event::Step {
            number: 3,
            of: 19,
            name: "Preparing Kubernetes".into(),
            message: "Preparing Kubernetes v1.24.3 …".into(),
        };
        assert_eq!(
            wording.of(&step),
            Some(("minikube: Preparing Kubernetes (3/19)".into(), Some("Preparing Kubernetes v1.24.3 …".into())))
        );
        let download = Event::Download { artifact: "preload".into(), share: 0.5 };
        assert_eq!(
            wording.of(&download),
            Some(("minikube: Preparing Kubernetes (3/19)".into(), Some("preload 50 %".into())))
        );
    }
}
