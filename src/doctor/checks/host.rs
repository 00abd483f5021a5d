//! The machine: processor, memory, disk, limits, clock, user.

use std::time::{Duration, SystemTime};

use super::subject::{Subject, Target};
use super::{Finding, facts};
use crate::doctor::{Failure, Reason};
use crate::ui::thousands;

/// Free bytes that a lab needs in its home: two models, their request body and the embedded cluster's storage.
const NEEDED_DISK: u64 = 600 << 20;
/// Free bytes that minikube's images and node need beside it.
const NEEDED_DISK_MINIKUBE: u64 = 8 << 30;
/// Free bytes of memory that two model servers and the embedded cluster need.
const NEEDED_MEMORY: u64 = 1 << 30;
/// Free bytes of memory that Istio and two ResNets need on minikube.
const NEEDED_MEMORY_MINIKUBE: u64 = 4 << 30;
/// Open files that the daemon and its proxies need.
const NEEDED_FILES: u64 = 512;
/// Watch instances and watches that kubelet, istiod and the proxies need; the kernel's own default of instances is 128.
const NEEDED_INOTIFY: [(&str, u64); 2] =
    [("fs/inotify/max_user_instances", 128), ("fs/inotify/max_user_watches", 65_536)];
/// 2026-01-01, in hours since 1970: no machine of today is earlier.
const EARLIEST: Duration = Duration::from_hours(490_896);

pub(super) fn platform(subject: &Subject<'_>) -> Finding {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let known = matches!(processor, "x86_64" | "aarch64");
    if subject.target == Target::Embedded && !(system == "linux" && known) {
        let failure = Failure::new(
            Reason::PlatformUnsupported,
            format!("{system} on {processor} does not run the embedded cluster"),
        );
        return Finding::Failed(failure);
    }
    Finding::Fine(format!("{system} on {processor}"))
}

pub(super) fn architecture(_subject: &Subject<'_>) -> Finding {
    let processor = std::env::consts::ARCH;
    if processor == "x86_64" {
        return Finding::Fine("images for amd64 run on this processor".to_owned());
    }
    Finding::Failed(
        Failure::new(Reason::ArchitectureUnfit, format!("this processor is {processor}"))
            .observed("tensorflow/serving:2.5.1 is published for amd64 only"),
    )
}

pub(super) fn avx(subject: &Subject<'_>) -> Finding {
    if std::env::consts::ARCH != "x86_64" {
        return Finding::Skipped("AVX is a matter of x86_64 only".to_owned());
    }
    if facts::has_avx() {
        return Finding::Fine("CPU has AVX (tensorflow/serving's image needs it)".to_owned());
    }
    let failure = Failure::new(Reason::CpuWithoutAvx, "the CPU has no AVX")
        .observed("tensorflow/serving would end with `Illegal instruction`");
    // A cluster elsewhere has processors of its own.
    if subject.target == Target::Minikube { Finding::Failed(failure) } else { Finding::Warning(failure) }
}

pub(super) fn memory(subject: &Subject<'_>) -> Finding {
    let starts = subject.target == Target::Minikube && subject.stands.is_none();
    let needed = if starts { NEEDED_MEMORY_MINIKUBE } else { NEEDED_MEMORY };
    match facts::available_memory() {
        Some(bytes) if bytes < needed => Finding::Warning(
            Failure::new(Reason::MemoryLow, format!("{} MiB of memory are available", thousands(bytes >> 20)))
                .observed(format!("the lab needs about {} MiB on {}", thousands(needed >> 20), subject.target.name())),
        ),
        Some(bytes) => Finding::Fine(format!("{} MiB of memory available", thousands(bytes >> 20))),
        None => Finding::Skipped("the system does not tell its free memory".to_owned()),
    }
}

pub(super) fn disk(subject: &Subject<'_>) -> Finding {
    let Some(bytes) = facts::available_disk(subject.home) else {
        return Finding::Skipped("the file system does not tell its free space".to_owned());
    };
    let starts = subject.target == Target::Minikube && subject.stands.is_none();
    let needed = if starts { NEEDED_DISK_MINIKUBE } else { NEEDED_DISK };
    if bytes < needed {
        return Finding::Warning(
            Failure::new(
                Reason::DiskLow,
                format!("{} MiB are free for {}", thousands(bytes >> 20), subject.home.display()),
            )
            .observed(format!(
                "a lab needs about {} MiB on {}",
                thousands(needed >> 20),
                subject.target.name()
            )),
        );
    }
    Finding::Fine(format!("{} MiB free in the home's file system", thousands(bytes >> 20)))
}

pub(super) fn open_files(_subject: &Subject<'_>) -> Finding {
    match facts::open_files_limit() {
        Some(limit) if limit < NEEDED_FILES => Finding::Warning(
            Failure::new(Reason::OpenFilesLow, format!("a process may open {limit} files"))
                .observed(format!("the lab needs {NEEDED_FILES}")),
        ),
        Some(limit) => Finding::Fine(format!("{} open files a process", thousands(limit))),
        None => Finding::Fine("no limit on open files".to_owned()),
    }
}

pub(super) fn inotify(_subject: &Subject<'_>) -> Finding {
    let read = NEEDED_INOTIFY.map(|(path, needed)| (path, needed, facts::kernel_number(path)));
    judge_inotify(&read)
}

fn judge_inotify(limits: &[(&str, u64, Option<u64>)]) -> Finding {
    let name = |path: &str| path.replace('/', ".");
    let low: Vec<String> = limits
        .iter()
        .filter_map(|(path, needed, found)| Some((path, needed, (*found)?)))
        .filter(|(_, needed, found)| found < *needed)
        .map(|(path, needed, found)| format!("{} is {}, wanted {}", name(path), thousands(found), thousands(*needed)))
        .collect();
    if limits.iter().all(|(_, _, found)| found.is_none()) {
        return Finding::Skipped("the system has no inotify limits to read".to_owned());
    }
    if low.is_empty() {
        let told: Vec<String> = limits
            .iter()
            .filter_map(|(path, _, found)| Some(format!("{} {}", thousands((*found)?), path.rsplit('_').next()?)))
            .collect();
        return Finding::Fine(format!("inotify allows {}", told.join(" and ")));
    }
    let mut failure = Failure::new(Reason::InotifyLow, "the inotify limits are low for a cluster of containers");
    failure.observed = low;
    Finding::Warning(failure)
}

pub(super) fn cgroup(subject: &Subject<'_>) -> Finding {
    let known =
        subject.stands.is_some() || subject.matrix().is_some_and(|matrix| matrix.knows_cgroup_v2(&subject.kubernetes));
    match facts::cgroup_version() {
        None => Finding::Skipped("the system has no control groups to look at".to_owned()),
        Some(2) if !known => Finding::Failed(
            Failure::new(
                Reason::CgroupUnfit,
                format!("Kubernetes {} does not know this kernel's control groups", subject.kubernetes),
            )
            .observed("/sys/fs/cgroup is version 2"),
        ),
        Some(version) => Finding::Fine(format!("control groups version {version}")),
    }
}

pub(super) fn clock(_subject: &Subject<'_>) -> Finding {
    judge_clock(SystemTime::now())
}

fn judge_clock(now: SystemTime) -> Finding {
    if now < SystemTime::UNIX_EPOCH + EARLIEST {
        let shown = jiff::Timestamp::try_from(now)
            .map_or_else(|_| "before 1970".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string());
        return Finding::Failed(
            Failure::new(Reason::ClockWrong, format!("the clock says {shown}"))
                .observed("this program is younger than that"),
        );
    }
    Finding::Fine("the clock is past this program's making".to_owned())
}

pub(super) fn user(subject: &Subject<'_>) -> Finding {
    judge_user(facts::is_root(), subject.driver.as_deref(), subject.target)
}

fn judge_user(root: bool, driver: Option<&str>, target: Target) -> Finding {
    let who = if root { "root" } else { "an ordinary user" };
    match (driver, root) {
        (Some("docker" | "podman"), true) if target == Target::Minikube => Finding::Warning(
            Failure::new(Reason::UserUnfit, "minikube's docker driver does not want to run as root")
                .observed("minikube would say DRV_AS_ROOT")
                .then("canary-lab up --cluster minikube --driver none", "takes this machine itself as the node")
                .then("canary-lab up --cluster minikube --minikube-force", "runs it as root all the same"),
        ),
        (Some("none"), false) if target == Target::Minikube => Finding::Failed(
            Failure::new(Reason::UserUnfit, "minikube's driver none needs root").observed("this is an ordinary user"),
        ),
        _ => Finding::Fine(format!("running as {who}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_limits_are_named() {
        let low =
            [("fs/inotify/max_user_instances", 128, Some(64)), ("fs/inotify/max_user_watches", 65_536, Some(524_288))];
        let Finding::Warning(failure) = judge_inotify(&low) else { panic!() };
        assert_eq!(failure.observed, ["fs.inotify.max_user_instances is 64, wanted 128"]);
        let fine = [("a_b", 1, Some(2)), ("a_c", 1, None)];
        assert!(matches!(judge_inotify(&fine), Finding::Fine(text) if text == "inotify allows 2 b"));
        assert!(matches!(judge_inotify(&[("a", 1, None)]), Finding::Skipped(_)));
    }

    #[test]
    fn a_clock_that_stands_in_the_past_is_wrong() {
        let Finding::Failed(failure) = judge_clock(SystemTime::UNIX_EPOCH) else { panic!() };
        assert_eq!(failure.headline, "the clock says 1970-01-01 00:00 UTC");
        assert!(matches!(judge_clock(SystemTime::now()), Finding::Fine(_)));
    }

    #[test]
    fn drivers_want_their_users() {
        assert!(matches!(judge_user(true, Some("docker"), Target::Minikube), Finding::Warning(_)));
        assert!(matches!(judge_user(false, Some("none"), Target::Minikube), Finding::Failed(_)));
        assert!(matches!(judge_user(true, Some("none"), Target::Minikube), Finding::Fine(_)));
        assert!(matches!(judge_user(false, None, Target::Embedded), Finding::Fine(_)));
    }
}
