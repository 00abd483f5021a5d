//! Checks of this machine, each with what it found.
//!
//! [`machine`] asks all of them. A check that fails stops `up`; a warning only tells. Nothing is started or changed.

mod facts;
mod listeners;

use std::path::Path;

use serde::Serialize;

use super::failure::Failure;
use super::reasons::Reason;
use crate::ui::{Environment, thousands};

pub use listeners::{Listener, wildcard_listeners};

/// Free bytes that a lab needs in its home: two models, their request body and the cluster's storage.
const NEEDED_DISK: u64 = 600 << 20;
/// Free bytes of memory that two model servers and the cluster need.
const NEEDED_MEMORY: u64 = 1 << 30;
/// Open files that the daemon and its proxies need.
const NEEDED_FILES: u64 = 512;
/// Ports that pods of the lab listen on, each on its own address; a listener on all addresses blocks them.
pub const POD_PORTS: [u16; 7] = [8080, 8443, 8500, 8501, 15020, 15021, 15090];

/// Which part of a machine a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// Programs that the learner uses.
    Tools,
    /// The machine itself.
    Machine,
    /// Addresses, ports and proxies.
    Network,
    /// The lab's directory.
    Home,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
#[must_use]
pub enum Finding {
    /// As it should be.
    Fine(String),
    /// Worth knowing; `up` goes on.
    Warning(Failure),
    /// The lab cannot be built.
    Failed(Failure),
    /// Could not or need not be looked at.
    Skipped(String),
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What it is about.
    pub area: Area,
    /// Its stable name.
    pub id: &'static str,
    /// What it found.
    pub finding: Finding,
}

/// Looks at everything that the embedded cluster needs. Ports that the lab's own cluster holds (`own_pids`) are fine.
pub fn machine(home: &Path, environment: &Environment, own_pids: &[u32]) -> Vec<Check> {
    let check = |area, id, finding| Check { area, id, finding };
    let mut checks = vec![
        check(Area::Tools, "kubectl", tool("kubectl", "typing the tutorial's commands", environment)),
        check(Area::Tools, "curl", tool("curl", "typing the tutorial's requests", environment)),
        check(Area::Machine, "platform", platform()),
        check(Area::Machine, "cpu", cpu()),
        check(Area::Machine, "memory", memory()),
        check(Area::Machine, "open-files", open_files()),
        check(Area::Home, "disk", disk(home)),
        check(Area::Network, "loopback", loopback()),
        check(Area::Network, "proxy", proxy(environment)),
    ];
    checks.extend(ports(own_pids));
    checks
}

fn tool(name: &str, purpose: &str, environment: &Environment) -> Finding {
    let found = which::which_in(name, environment.get("PATH"), ".");
    match found {
        Ok(path) => Finding::Fine(format!("{name} ({})", path.display())),
        Err(_) => {
            Finding::Warning(Failure::new(Reason::ToolMissing, format!("{name} is not installed; {purpose} needs it")))
        }
    }
}

fn platform() -> Finding {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    if system == "linux" && matches!(processor, "x86_64" | "aarch64") {
        return Finding::Fine(format!("{system} on {processor}"));
    }
    Finding::Failed(Failure::new(
        Reason::PlatformUnsupported,
        format!("{system} on {processor} does not run the embedded cluster"),
    ))
}

fn cpu() -> Finding {
    if std::env::consts::ARCH != "x86_64" {
        return Finding::Skipped("AVX is a matter of x86_64 only".to_owned());
    }
    if facts::has_avx() {
        return Finding::Fine("CPU has AVX (tensorflow/serving's image needs it)".to_owned());
    }
    Finding::Warning(Failure::new(Reason::CpuWithoutAvx, "the CPU has no AVX"))
}

fn memory() -> Finding {
    match facts::available_memory() {
        Some(bytes) if bytes < NEEDED_MEMORY => Finding::Warning(
            Failure::new(Reason::MemoryLow, format!("{} MiB of memory are available", thousands(bytes >> 20)))
                .observed(format!("the lab needs about {} MiB", thousands(NEEDED_MEMORY >> 20))),
        ),
        Some(bytes) => Finding::Fine(format!("{} MiB of memory available", thousands(bytes >> 20))),
        None => Finding::Skipped("the system does not tell its free memory".to_owned()),
    }
}

fn open_files() -> Finding {
    match facts::open_files_limit() {
        Some(limit) if limit < NEEDED_FILES => Finding::Warning(
            Failure::new(Reason::OpenFilesLow, format!("a process may open {limit} files"))
                .observed(format!("the lab needs {NEEDED_FILES}")),
        ),
        Some(limit) => Finding::Fine(format!("{} open files a process", thousands(limit))),
        None => Finding::Fine("no limit on open files".to_owned()),
    }
}

fn disk(home: &Path) -> Finding {
    let Some(bytes) = facts::available_disk(home) else {
        return Finding::Skipped("the file system does not tell its free space".to_owned());
    };
    if bytes < NEEDED_DISK {
        return Finding::Warning(
            Failure::new(Reason::DiskLow, format!("{} MiB are free for {}", thousands(bytes >> 20), home.display()))
                .observed(format!("a lab needs about {} MiB", thousands(NEEDED_DISK >> 20))),
        );
    }
    Finding::Fine(format!("{} MiB free in the home's file system", thousands(bytes >> 20)))
}

/// The whole of 127.0.0.0/8 is local on Linux; elsewhere, and in odd containers, only 127.0.0.1 is.
fn loopback() -> Finding {
    match std::net::TcpListener::bind("127.99.77.33:0") {
        Ok(_) => Finding::Fine("addresses of 127.0.0.0/8 can be bound".to_owned()),
        Err(error) => Finding::Failed(
            Failure::new(Reason::AddressesTaken, "addresses of 127.0.0.0/8 cannot be bound")
                .observed(error.to_string()),
        ),
    }
}

fn proxy(environment: &Environment) -> Finding {
    let named: Vec<&str> = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .into_iter()
        .filter(|name| environment.get(name).is_some())
        .collect();
    if named.is_empty() {
        return Finding::Fine("no proxy is set".to_owned());
    }
    Finding::Warning(Failure::new(
        Reason::ProxyWithoutException,
        format!("{} is set; the lab goes around it, curl and Python need NO_PROXY", named.join(", ")),
    ))
}

fn ports(own_pids: &[u32]) -> Vec<Check> {
    let held = wildcard_listeners();
    POD_PORTS
        .iter()
        .map(|port| {
            let holder = held.iter().find(|listener| listener.port == *port && !listener.is_of(own_pids));
            let finding = match holder {
                None => Finding::Fine(format!("port {port} is free on all addresses")),
                Some(listener) => Finding::Failed(
                    Failure::new(Reason::PortHeldByWildcard, format!("port {port} is held on all addresses"))
                        .observed(format!("{listener} listens on {}:{port}", listener.address)),
                ),
            };
            Check { area: Area::Network, id: "port", finding }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_listener_is_found_and_named() {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners = wildcard_listeners();
        let found = listeners.iter().find(|listener| listener.port == port).unwrap();
        assert!(found.is_of(&[std::process::id()]), "{found:?}");
        assert!(found.to_string().contains(&std::process::id().to_string()), "{found}");
        let own = own.local_addr().unwrap().port();
        assert!(!listeners.iter().any(|listener| listener.port == own), "an address of its own blocks nobody");
    }

    #[test]
    fn a_proxy_is_a_warning() {
        let environment = Environment([("http_proxy".into(), "http://10.0.0.1:3128".into())].into());
        let Finding::Warning(failure) = proxy(&environment) else { panic!() };
        assert_eq!(failure.reason, Reason::ProxyWithoutException);
        assert!(matches!(proxy(&Environment::default()), Finding::Fine(_)));
    }
}
