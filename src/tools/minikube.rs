//! What minikube prints, from 1.26 to today: every assumption about it is here.
//!
//! Facts: recorded output of minikube 1.26.1 and 1.36.0, and minikube's documented JSON events (`--output=json`: one
//! CloudEvent a line, type `io.k8s.sigs.minikube.*`).

use semver::Version;
use serde_json::Value;

use super::run::Ran;
use super::version::first_version;

/// Exit code of commands on a profile that is not there.
pub const NO_PROFILE: i32 = 85;
/// Exit code of commands that need a running control plane.
pub const NOT_RUNNING: i32 = 89;

/// The system's number for a file that does not exist, as Go writes an error of its own into JSON.
const NO_SUCH_FILE: i64 = 2;

/// A profile as `minikube profile list -o json` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name, which is the kubeconfig's context as well.
    pub name: String,
    /// How far it is.
    pub standing: Standing,
    /// `none`, `docker`, `kvm2`, …
    pub driver: String,
    /// `docker`, `containerd`, …
    pub runtime: String,
    /// Such as `v1.24.3`.
    pub kubernetes: String,
    /// The nodes' addresses.
    pub addresses: Vec<String>,
    /// Whether minikube can use it; an invalid one is a folder without a configuration.
    pub valid: bool,
}

/// How far a profile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// `Running`, or `OK` since 1.29.
    Running,
    /// `Stopped`.
    Stopped,
    /// `Paused`.
    Paused,
    /// `InsufficientStorage`: it runs on a disk that has less than one per cent free.
    Full,
    /// Any other word, as it is.
    Other(String),
}

impl Standing {
    fn of(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "running" | "ok" => Self::Running,
            "stopped" => Self::Stopped,
            "paused" => Self::Paused,
            "insufficientstorage" => Self::Full,
            _ => Self::Other(word.to_owned()),
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Stopped => f.write_str("stopped"),
            Self::Paused => f.write_str("paused"),
            Self::Full => f.write_str("out of disk"),
            Self::Other(word) if word.is_empty() => f.write_str("in no state that minikube names"),
            Self::Other(word) => f.write_str(word),
        }
    }
}

/// The version in `minikube version`'s answer, whichever form it was asked in.
pub fn version(ran: &Ran) -> Option<Version> {
    first_version(&ran.out)
}

/// The profiles in `minikube profile list -o json`. No profile at all is exit 14 with a text, or exit 80 with the error of
/// a folder that does not exist where minikube never ran, and an empty list here; none is an answer that is not understood.
pub fn profiles(ran: &Ran) -> Option<Vec<Profile>> {
    if let Some(list) = json_in(&ran.out) {
        if let (None, None) = (list.get("valid"), list.get("invalid")) {
            let no_folder = list.pointer("/error/Err").and_then(Value::as_i64) == Some(NO_SUCH_FILE);
            return (no_folder || mentions(ran, "NO_PROFILE")).then(Vec::new);
        }
        let of = |key: &str, valid: bool| {
            let items = list.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            items.iter().map(|item| profile(item, valid)).collect::<Vec<_>>()
        };
        let mut all = of("valid", true);
        all.extend(of("invalid", false));
        return Some(all);
    }
    (mentions(ran, "NO_PROFILE") || ran.code == Some(NO_PROFILE)).then(Vec::new)
}

fn profile(item: &Value, valid: bool) -> Profile {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let nodes = item.pointer("/Config/Nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let addresses = nodes.iter().filter_map(|node| node["IP"].as_str()).filter(|ip| !ip.is_empty()).map(str::to_owned);
    Profile {
        name: text("/Name"),
        standing: Standing::of(&text("/Status")),
        driver: text("/Config/Driver"),
        runtime: text("/Config/KubernetesConfig/ContainerRuntime"),
        kubernetes: text("/Config/KubernetesConfig/KubernetesVersion"),
        addresses: addresses.collect(),
        valid,
    }
}

/// What `minikube status -o json` says of one profile: an object, or one a node where there are several.
pub fn status(ran: &Ran) -> Option<Standing> {
    if ran.code == Some(NO_PROFILE) {
        return None;
    }
    let answer = json_in(&ran.out)?;
    let node = answer.as_array().and_then(|nodes| nodes.first()).unwrap_or(&answer);
    let word = |key: &str| node[key].as_str().unwrap_or_default();
    Some(match (word("Host"), word("APIServer")) {
        ("Running", "Running") => Standing::Running,
        (_, "Paused") => Standing::Paused,
        ("Running", other) => Standing::Other(format!("API server {}", other.to_lowercase())),
        (host, _) => Standing::of(host),
    })
}

/// One thing that `minikube start --output=json` tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step begins.
    Step {
        /// Its number, from 0.
        number: u32,
        /// How many there are.
        of: u32,
        /// What minikube calls it.
        name: String,
        /// Its words.
        message: String,
    },
    /// A download goes on.
    Download {
        /// What is downloaded.
        artifact: String,
        /// From 0 to 1.
        share: f64,
    },
    /// A remark.
    Info(String),
    /// A warning.
    Warning(String),
    /// It gives up.
    Refused(Refusal),
}

/// Why minikube gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Minikube's reason id, such as `K8S_OLD_UNSUPPORTED`; may be empty.
    pub id: String,
    /// Its words.
    pub message: String,
    /// What it suggests, if anything.
    pub advice: String,
}

/// Reads one line of `minikube start --output=json`. Lines of other form (klog's, or the plain text that some errors
/// still come in) are remarks, or refusals where they say so.
pub fn event(line: &str) -> Option<Event> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let Some(event) = line.starts_with('{').then(|| serde_json::from_str::<Value>(line).ok()).flatten() else {
        return Some(refusal_in_text(line).map_or_else(|| Event::Info(bare(line)), Event::Refused));
    };
    let kind = event["type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
    let data = &event["data"];
    // Numbers come as text.
    let text = |key: &str| data[key].as_str().map(str::trim).unwrap_or_default().to_owned();
    let number = |key: &str| text(key).parse().unwrap_or(0);
    Some(match kind {
        "step" => Event::Step {
            number: number("currentstep"),
            of: number("totalsteps"),
            name: text("name"),
            message: text("message"),
        },
        "progress" => Event::Download { artifact: text("artifact"), share: text("progress").parse().unwrap_or(0.0) },
        "error" => {
            let named = text("name");
            let found = refusal_in_text(&text("message"));
            let id = if named.is_empty() { found.map(|found| found.id).unwrap_or_default() } else { named };
            Event::Refused(Refusal { id, message: text("message"), advice: text("advice") })
        }
        "warning" => Event::Warning(text("message")),
        _ => Event::Info(text("message")),
    })
}

/// The refusal in all that a command printed, in either form: the last one wins, for earlier ones are retried.
pub fn refusal(ran: &Ran) -> Option<Refusal> {
    let lines = ran.out.lines().chain(ran.err.lines());
    let mut refusals = lines.filter_map(|line| match event(line) {
        Some(Event::Refused(refusal)) => Some(refusal),
        _ => None,
    });
    refusals.next_back()
}

/// The last of what a command said, in words: events as what they tell, other lines as they are.
pub fn last_words(ran: &Ran, count: usize) -> Vec<String> {
    let mut words: Vec<String> = ran
        .last_lines(usize::MAX)
        .into_iter()
        .filter_map(|line| {
            if !line.trim_start().starts_with('{') {
                return Some(line);
            }
            match event(&line)? {
                Event::Step { message, .. } | Event::Info(message) | Event::Warning(message) => Some(message),
                Event::Refused(refusal) => Some(refusal.message),
                Event::Download { .. } => None,
            }
        })
        .filter(|words| !words.trim().is_empty())
        .collect();
    words.split_off(words.len().saturating_sub(count))
}

/// What `minikube delete` complains of. It ends with 0 all the same, and the profile stays:
/// `X error deleting profile "minikube": failed to delete cluster: …`.
pub fn complaint(ran: &Ran) -> Option<String> {
    let lines = ran.out.lines().chain(ran.err.lines());
    lines.map(bare).find(|line| line.starts_with("error deleting profile"))
}

/// `X Exiting due to K8S_OLD_UNSUPPORTED: Kubernetes 1.19.0 is not supported …`, the mark before it in any font.
fn refusal_in_text(line: &str) -> Option<Refusal> {
    let (_, rest) = line.split_once("Exiting due to ")?;
    let (id, message) = rest.split_once(':').unwrap_or((rest, ""));
    let is_id =
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let id = if is_id { id.to_owned() } else { String::new() };
    let message = if is_id { message.trim() } else { rest.trim() };
    Some(Refusal { id, message: message.to_owned(), advice: String::new() })
}

/// A line without the mark before it (`* `, `! `, `X `, or an emoji).
fn bare(line: &str) -> String {
    let line = line.trim_start();
    line.strip_prefix("X ")
        .unwrap_or(line)
        .trim_start_matches(|letter: char| {
            !letter.is_alphanumeric() && letter != '\'' && letter != '"' && letter != '/'
        })
        .to_owned()
}

/// What lies behind a reason id or, where there is none, an exit code: minikube numbers its failures by tens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// The command line (10–19 without a better name).
    Usage,
    /// CPUs, memory or disk (20–29).
    Resources,
    /// This machine, its files and permissions (30–39).
    Host,
    /// The network (40–49).
    Network,
    /// The driver (50–69).
    Driver,
    /// The node (70–89).
    Guest,
    /// The container runtime (90–99, and missing parts of it).
    Runtime,
    /// Kubernetes itself, or its version (100–109).
    Kubernetes,
    /// A version of Kubernetes that this minikube does not take.
    KubernetesVersion,
    /// A profile that was begun with a newer Kubernetes than is asked for now.
    NewerProfile,
    /// Anything else.
    Unknown,
}

/// Where the cause lies.
pub fn area(id: &str, code: Option<i32>) -> Area {
    match id {
        "K8S_OLD_UNSUPPORTED" | "K8S_NEW_UNSUPPORTED" => return Area::KubernetesVersion,
        "K8S_DOWNGRADE_UNSUPPORTED" => return Area::NewerProfile,
        "GUEST_MISSING_CONNTRACK" | "GUEST_MISSING_CRICTL" => return Area::Runtime,
        "GUEST_DRIVER_MISMATCH" => return Area::Driver,
        _ => {}
    }
    let by_prefix = [
        ("NOT_FOUND_", Area::Runtime),
        ("RUNTIME_", Area::Runtime),
        ("RSRC_", Area::Resources),
        ("HOST_", Area::Host),
        ("INET_", Area::Network),
        ("DRV_", Area::Driver),
        ("PROVIDER_", Area::Driver),
        ("PR_", Area::Driver),
        ("GUEST_", Area::Guest),
        ("IF_", Area::Guest),
        ("K8S_", Area::Kubernetes),
        ("SVC_", Area::Kubernetes),
        ("MK_", Area::Usage),
    ];
    if let Some((_, area)) = by_prefix.iter().find(|(prefix, _)| id.starts_with(prefix)) {
        return *area;
    }
    match code {
        Some(10..=19) => Area::Usage,
        Some(20..=29) => Area::Resources,
        Some(30..=39) => Area::Host,
        Some(40..=49) => Area::Network,
        Some(50..=69) => Area::Driver,
        Some(70..=89) => Area::Guest,
        Some(90..=99) => Area::Runtime,
        Some(100..=119) => Area::Kubernetes,
        _ => Area::Unknown,
    }
}

/// Whether a tunnel's status, which it prints every few seconds, shows this service without an error.
pub fn tunnel_serves(block: &str, service: &str) -> bool {
    let field = |name: &str| block.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let serves = field("services:")
        .is_some_and(|list| list.trim_matches(['[', ']']).split([' ', ',']).any(|name| name == service));
    serves
        && ["minikube:", "router:", "loadbalancer emulator:"].iter().all(|name| {
            // `minikube:` stands twice: first its state, then its errors.
            block
                .lines()
                .map(str::trim)
                .filter_map(|line| line.strip_prefix(name))
                .map(str::trim)
                .all(|word| word == "no errors" || word == "Running")
        })
}

/// The route that a tunnel's status names, such as `10.96.0.0/12`.
pub fn tunnel_route(block: &str) -> Option<String> {
    let line = block.lines().find_map(|line| line.trim().strip_prefix("route:"))?;
    Some(line.split("->").next()?.trim().to_owned()).filter(|route| !route.is_empty())
}

/// The first JSON value in an output that may have other lines around it.
fn json_in(text: &str) -> Option<Value> {
    let whole = serde_json::from_str(text.trim()).ok();
    whole.or_else(|| {
        text.lines()
            .map(str::trim)
            .filter(|line| line.starts_with(['{', '[']))
            .find_map(|line| serde_json::from_str(line).ok())
    })
}

fn mentions(ran: &Ran, word: &str) -> bool {
    ran.out.contains(word) || ran.err.contains(word)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::recorded_runs;

    fn ran(code: i32, out: &str, err: &str) -> Ran {
        Ran { code: Some(code), out: out.into(), err: err.into(), took: Duration::ZERO }
    }

    #[test]
    fn recorded_profiles_are_read() {
        let Some(runs) = recorded_runs("golden/minikube/01-running.txt") else { return };
        let profiles = profiles(&runs["minikube profile list -o json"]).unwrap();
        assert_eq!(profiles.len(), 2);
        let first = &profiles[0];
        assert_eq!(
            (first.name.as_str(), first.driver.as_str(), first.kubernetes.as_str()),
            ("minikube", "none", "v1.20.2")
        );
        assert_eq!((&first.standing, first.valid), (&Standing::Running, true));
        assert_eq!(first.addresses, ["192.0.2.2"]);
        assert!(!profiles[1].valid);
        assert_eq!(status(&runs["minikube status -o json"]), Some(Standing::Running));
        let stopped = recorded_runs("golden/minikube/02-stop.txt").unwrap();
        assert_eq!(status(&stopped["minikube status -o json"]), Some(Standing::Stopped));
        let deleted = recorded_runs("golden/minikube/04-delete.txt").unwrap();
        assert_eq!(super::profiles(&deleted["minikube profile list"]), Some(Vec::new()));
        assert_eq!(status(&deleted["minikube status"]), None);
        assert_eq!(super::profiles(&ran(1, "panic: what", "")), None, "an answer that is not understood is none");
    }

    #[test]
    fn where_minikube_never_ran_there_is_no_profile() {
        let first = r#"{"error":{"Op":"open","Path":"/home/me/.minikube/profiles","Err":2}}"#;
        assert_eq!(profiles(&ran(80, first, "")), Some(Vec::new()));
        let locked = first.replace("\"Err\":2", "\"Err\":13");
        assert_eq!(profiles(&ran(80, &locked, "")), None, "a folder that may not be read is not an empty one");
    }

    #[test]
    fn recorded_refusals_are_named_and_placed() {
        for (file, command, id, wanted) in [
            (
                "golden/minikube-1.36/00-refusals.txt",
                "minikube start --driver=none --kubernetes-version=v1.19.0",
                "K8S_OLD_UNSUPPORTED",
                Area::KubernetesVersion,
            ),
            (
                "golden/minikube-1.36/00-refusals.txt",
                "minikube start --driver=none --kubernetes-version=v1.24.3",
                "GUEST_MISSING_CONNTRACK",
                Area::Runtime,
            ),
            (
                "golden/minikube-1.36/00-refusals.txt",
                "minikube start --driver=banana",
                "DRV_UNSUPPORTED_OS",
                Area::Driver,
            ),
            (
                "golden/minikube-1.36/00-refusals.txt",
                "minikube start --driver=none --kubernetes-version=banana",
                "MK_USAGE",
                Area::Usage,
            ),
            (
                "golden/minikube/05-start-refusals.txt",
                "minikube start --driver=none --kubernetes-version=v1.24.3",
                "NOT_FOUND_CRI_DOCKERD",
                Area::Runtime,
            ),
            (
                "golden/minikube/05-start-refusals.txt",
                "minikube start --driver=none --cpus=64 --kubernetes-version=v1.20.2 --dry-run",
                "RSRC_INSUFFICIENT_CORES",
                Area::Resources,
            ),
            (
                "golden/mistakes/12-minikube-misc.txt",
                "minikube start --driver=banana",
                "GUEST_DRIVER_MISMATCH",
                Area::Driver,
            ),
        ] {
            let Some(runs) = recorded_runs(file) else { return };
            let run = &runs[command];
            let refusal = refusal(run).unwrap_or_else(|| panic!("{command}"));
            assert_eq!((refusal.id.as_str(), area(&refusal.id, run.code)), (id, wanted), "{command}");
        }
        let Some(runs) = recorded_runs("golden/minikube/03-start-again.txt") else { return };
        assert_eq!(refusal(&runs["minikube start"]), None);
    }

    #[test]
    fn events_are_read_and_other_lines_are_remarks() {
        let step = r#"{"specversion":"1.0","type":"io.k8s.sigs.minikube.step","data":{"currentstep":"11","message":"Preparing Kubernetes v1.24.3 on Docker 20.10.17 ...","name":"Preparing Kubernetes","totalsteps":"19"}}"#;
        let message = "Preparing Kubernetes v1.24.3 on Docker 20.10.17 ...".to_owned();
        assert_eq!(event(step), Some(Event::Step { number: 11, of: 19, name: "Preparing Kubernetes".into(), message }));
        let error = r#"{"type":"io.k8s.sigs.minikube.error","data":{"advice":"","exitcode":"106","message":"Kubernetes 1.24.3 is not supported by this release of minikube","name":"K8S_OLD_UNSUPPORTED"}}"#;
        let Some(Event::Refused(refusal)) = event(error) else { panic!() };
        assert_eq!(refusal.id, "K8S_OLD_UNSUPPORTED");
        let progress = r#"{"type":"io.k8s.sigs.minikube.download.progress","data":{"artifact":"preload.tar.lz4","progress":"0.25"}}"#;
        assert_eq!(event(progress), Some(Event::Download { artifact: "preload.tar.lz4".into(), share: 0.25 }));
        assert_eq!(event("😄  minikube v1.26.1 on Debian"), Some(Event::Info("minikube v1.26.1 on Debian".into())));
        assert_eq!(event("{ torn"), Some(Event::Info("torn".into())));
        assert_eq!(event("  "), None);
    }

    #[test]
    fn a_refusal_in_events_is_told_in_words() {
        // As minikube 1.26.1 gave up, without a message of its own.
        let out = concat!(
            r#"{"type":"io.k8s.sigs.minikube.step","data":{"currentstep":"6","message":"Running on localhost (CPUs=2) ...","name":"Running on Localhost","totalsteps":"19"}}"#,
            "\n",
            r#"{"type":"io.k8s.sigs.minikube.download.progress","data":{"artifact":"preload.tar.lz4","progress":"0.25"}}"#,
            "\n",
            r#"{"type":"io.k8s.sigs.minikube.error","data":{"advice":"The none driver requires cri-dockerd.\n\t\t\n\t\tPlease install it","exitcode":"15","issues":"","message":"","name":"NOT_FOUND_CRI_DOCKERD","url":""}}"#,
            "\n",
        );
        let gave_up = ran(15, out, "E1128 what");
        assert_eq!(last_words(&gave_up, 6), ["Running on localhost (CPUs=2) ...", "E1128 what"]);
        assert_eq!(last_words(&gave_up, 1), ["E1128 what"]);
        let refusal = refusal(&gave_up).unwrap();
        assert_eq!((refusal.id.as_str(), refusal.message.as_str()), ("NOT_FOUND_CRI_DOCKERD", ""));
        assert_eq!(area("K8S_DOWNGRADE_UNSUPPORTED", Some(106)), Area::NewerProfile);
    }

    #[test]
    fn a_delete_that_does_not_delete_says_so_and_ends_with_0() {
        let stays = "X error deleting profile \"minikube\": failed to delete cluster: kubeadm reset: exit status 127\nstdout:\n";
        let wanted = "error deleting profile \"minikube\": failed to delete cluster: kubeadm reset: exit status 127";
        assert_eq!(complaint(&ran(0, "* Uninstalling Kubernetes ...\n", stays)).as_deref(), Some(wanted));
        assert_eq!(complaint(&ran(0, "* Removed all traces of the \"minikube\" cluster.\n", "")), None);
    }

    #[test]
    fn exit_codes_tell_the_area_where_no_id_does() {
        for (code, wanted) in
            [(29, Area::Resources), (56, Area::Driver), (86, Area::Guest), (106, Area::Kubernetes), (1, Area::Unknown)]
        {
            assert_eq!(area("", Some(code)), wanted, "{code}");
        }
    }

    #[test]
    fn a_recorded_tunnel_serves_the_ingress() {
        let Some(path) = crate::testing::shared("golden/tutorial/05-minikube-tunnel.txt") else { return };
        let text = std::fs::read_to_string(path).unwrap();
        let block = format!("Status:{}", text.split("Status:").nth(1).unwrap());
        assert!(tunnel_serves(&block, "istio-ingressgateway"), "{block}");
        assert!(!tunnel_serves(&block, "ingressgateway"));
        assert!(!tunnel_serves(
            &block.replace("router: no errors", "router: conflicting route"),
            "istio-ingressgateway"
        ));
        assert_eq!(tunnel_route(&block).as_deref(), Some("10.96.0.0/12"));
    }
}
