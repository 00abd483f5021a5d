//! Addresses, ports, proxies and names.

use std::time::Duration;

use super::Finding;
use super::listeners::{Listener, listeners};
use super::subject::{Subject, Target};
use crate::doctor::{Failure, Reason};

/// Ports that pods of the embedded cluster listen on, each on its own address; a listener on all addresses blocks them.
pub const POD_PORTS: [u16; 7] = [8080, 8443, 8500, 8501, 15020, 15021, 15090];
/// Ports that the ingress would like to have on its own address; it takes others where it must.
const WISHED_PORTS: [u16; 2] = [80, 443];
/// How many listeners are named that are in nobody's way.
const NAMED: usize = 3;
/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where Istio's release and the pinned minikube are downloaded from.
const RELEASES: &str = "github.com";
/// What minikube's Services have for addresses; requests to them must not go through a proxy.
const SERVICE_RANGE: &str = "10.96.0.0/12";

/// The whole of 127.0.0.0/8 is local on Linux; elsewhere, and in odd containers, only 127.0.0.1 is.
pub(super) fn loopback(_subject: &Subject<'_>) -> Finding {
    match std::net::TcpListener::bind("127.99.77.33:0") {
        Ok(_) => Finding::Fine("addresses of 127.0.0.0/8 can be bound".to_owned()),
        Err(error) => {
            let failure = Failure::new(Reason::AddressesTaken, "addresses of 127.0.0.0/8 cannot be bound")
                .observed(error.to_string());
            let macos = std::env::consts::OS == "macos";
            let failure = if macos {
                failure.then("sudo ifconfig lo0 alias 127.77.0.1", "adds an address; each that is missing needs one")
            } else {
                failure
            };
            Finding::Failed(failure)
        }
    }
}

/// Ports that pods need on addresses of their own.
pub(super) fn pod_ports(subject: &Subject<'_>) -> Finding {
    judge_pod_ports(&listeners(), &subject.own_pids)
}

fn judge_pod_ports(listeners: &[Listener], own: &[u32]) -> Finding {
    let held: Vec<&Listener> = listeners
        .iter()
        .filter(|listener| listener.is_wildcard() && POD_PORTS.contains(&listener.port) && !listener.is_of(own))
        .collect();
    let Some(first) = held.first() else {
        return Finding::Fine(format!("ports {} are free on all addresses", words(&POD_PORTS)));
    };
    let mut failure = Failure::new(Reason::PortHeldByWildcard, format!("port {} is held on all addresses", first.port));
    failure.observed = held.iter().map(|listener| told(listener)).collect();
    Finding::Failed(failure)
}

/// Ports that the ingress, and the tutorial's own commands, would like.
pub(super) fn wished_ports(subject: &Subject<'_>) -> Finding {
    judge_wished_ports(&listeners(), &subject.own_pids)
}

fn judge_wished_ports(listeners: &[Listener], own: &[u32]) -> Finding {
    let foreign = || listeners.iter().filter(|listener| !listener.is_of(own));
    let blocked: Vec<&Listener> =
        foreign().filter(|listener| listener.is_wildcard() && WISHED_PORTS.contains(&listener.port)).collect();
    if let Some(first) = blocked.first() {
        let mut failure = Failure::new(
            Reason::PortHeld,
            format!("port {} is held on all addresses; the ingress takes another", first.port),
        );
        failure.observed = blocked.iter().map(|listener| told(listener)).collect();
        return Finding::Warning(failure);
    }
    // A listener on one address of its own is in nobody's way, but worth naming when somebody wonders who answers. Other
    // labs have addresses of their own by design.
    let beside: Vec<String> = foreign()
        .filter(|listener| {
            let ours = listener.program.as_deref() == Some("canary-lab");
            let wished = WISHED_PORTS.contains(&listener.port) || POD_PORTS.contains(&listener.port);
            !listener.is_wildcard() && wished && !ours
        })
        .map(told)
        .collect();
    let free = format!("ports {} are free on all addresses", words(&WISHED_PORTS));
    Finding::Fine(match beside.len() {
        0 => free,
        1..=NAMED => format!("{free} ({})", beside.join(", ")),
        more => format!("{free} ({}, and {} more)", beside[..NAMED].join(", "), more - NAMED),
    })
}

fn told(listener: &Listener) -> String {
    format!("{listener} listens on {}:{}", listener.address, listener.port)
}

fn words(ports: &[u16]) -> String {
    let mut words: Vec<String> = ports.iter().map(u16::to_string).collect();
    let last = words.pop().unwrap_or_default();
    format!("{} and {last}", words.join(", "))
}

pub(super) fn proxy(subject: &Subject<'_>) -> Finding {
    let environment = subject.environment;
    let named: Vec<&str> = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .into_iter()
        .filter(|name| environment.get(name).is_some())
        .collect();
    if named.is_empty() {
        return Finding::Fine("no proxy is set".to_owned());
    }
    let exceptions = environment.text("NO_PROXY").or_else(|| environment.text("no_proxy")).unwrap_or_default();
    let excepted = match subject.target {
        Target::Minikube => exceptions.split(',').any(|entry| entry.trim() == SERVICE_RANGE || entry.trim() == "*"),
        Target::Embedded | Target::Context => exceptions.split(',').any(|entry| entry.trim() == "*"),
    };
    if excepted {
        return Finding::Fine(format!("{} is set, and NO_PROXY excepts the cluster", named.join(", ")));
    }
    let failure = Failure::new(
        Reason::ProxyWithoutException,
        format!("{} is set; the lab goes around it, curl and Python need NO_PROXY", named.join(", ")),
    );
    Finding::Warning(if exceptions.is_empty() {
        failure.observed("NO_PROXY is not set")
    } else {
        failure.observed(format!("NO_PROXY is {exceptions}"))
    })
}

/// `localhost` for every lab; the releases' host only where something is going to be downloaded.
pub(super) async fn names(subject: &Subject<'_>) -> Finding {
    let failed = |name: &str, why: String| {
        Failure::new(Reason::NameNotResolved, format!("`{name}` has no address")).observed(why)
    };
    if let Err(why) = resolve("localhost").await {
        return Finding::Warning(failed("localhost", why));
    }
    if subject.target != Target::Minikube {
        return Finding::Fine("localhost resolves".to_owned());
    }
    match resolve(RELEASES).await {
        Ok(()) => Finding::Fine(format!("localhost and {RELEASES} resolve")),
        Err(why) => {
            Finding::Warning(failed(RELEASES, why).because("without network; what is in the lab's cache needs none"))
        }
    }
}

async fn resolve(name: &str) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 80))).await {
        Ok(Ok(mut addresses)) => addresses.next().map(|_| ()).ok_or_else(|| "the answer is empty".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ui::Environment;

    fn listener(address: &str, port: u16, pid: u32) -> Listener {
        Listener { address: address.into(), port, pid: Some(pid), program: Some("nginx".into()) }
    }

    #[test]
    fn a_wildcard_listener_is_found_and_named() {
        let held = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wildcard = super::super::wildcard_listeners();
        let found = wildcard.iter().find(|listener| listener.port == port).unwrap();
        assert!(found.is_of(&[std::process::id()]), "{found:?}");
        assert!(found.to_string().contains(&std::process::id().to_string()), "{found}");
        let own = own.local_addr().unwrap().port();
        assert!(!wildcard.iter().any(|listener| listener.port == own), "an address of its own blocks nobody");
        assert!(listeners().iter().any(|listener| listener.port == own && listener.address == "127.0.0.1"));
    }

    #[test]
    fn ports_are_blocked_by_others_on_all_addresses_only() {
        let Finding::Failed(failure) = judge_pod_ports(&[listener("[::]", 8501, 7)], &[]) else { panic!() };
        assert_eq!(failure.observed, ["nginx (process 7) listens on [::]:8501"]);
        for (address, own) in [("0.0.0.0", vec![7]), ("127.0.0.1", vec![])] {
            assert!(matches!(judge_pod_ports(&[listener(address, 8501, 7)], &own), Finding::Fine(_)));
        }
        assert!(matches!(judge_wished_ports(&[listener("0.0.0.0", 80, 7)], &[]), Finding::Warning(_)));
        let Finding::Fine(text) = judge_wished_ports(&[listener("127.0.0.1", 8501, 7)], &[]) else { panic!() };
        assert!(text.contains("nginx (process 7) listens on 127.0.0.1:8501"), "{text}");
    }

    #[test]
    fn a_proxy_is_a_warning_until_the_cluster_is_excepted() {
        let mut environment = Environment([("http_proxy".into(), "http://10.0.0.1:3128".into())].into());
        let home = Path::new("/");
        let Finding::Warning(failure) = proxy(&Subject::new(home, &environment, Target::Minikube)) else { panic!() };
        assert_eq!(failure.reason, Reason::ProxyWithoutException);
        assert!(matches!(proxy(&Subject::new(home, &Environment::default(), Target::Embedded)), Finding::Fine(_)));
        environment.0.insert("NO_PROXY".into(), "localhost,10.96.0.0/12".into());
        assert!(matches!(proxy(&Subject::new(home, &environment, Target::Minikube)), Finding::Fine(_)));
    }

    #[tokio::test]
    async fn localhost_has_an_address_and_nonsense_has_none() {
        assert!(resolve("localhost").await.is_ok());
        assert!(resolve("no such name").await.is_err());
    }
}
