//! Facts of the machine, read from the system.

use std::path::Path;

/// Whether the processor has AVX; false on other processors than x86_64.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx() -> bool {
    std::arch::is_x86_feature_detected!("avx")
}

/// Whether the processor has AVX; false on other processors than x86_64.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn has_avx() -> bool {
    false
}

/// Bytes that new processes can use without swapping, as the kernel estimates them.
pub(super) fn available_memory() -> Option<u64> {
    meminfo("MemAvailable:")
}

fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes << 10)
}

/// The limit that a process may raise its number of open files to; none is unlimited.
pub(super) fn open_files_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum
}

/// Bytes free for this user in the file system of the nearest directory above `path` that exists.
pub(super) fn available_disk(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|ancestor| ancestor.is_dir())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    Some(system.f_bavail * system.f_frsize)
}

/// A number in a file of /proc/sys.
pub(super) fn kernel_number(path: &str) -> Option<u64> {
    std::fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?.trim().parse().ok()
}

/// The version of control groups: 2 where the unified hierarchy is mounted, else 1.
pub(super) fn cgroup_version() -> Option<u8> {
    let folder = Path::new("/sys/fs/cgroup");
    if folder.join("cgroup.controllers").is_file() {
        return Some(2);
    }
    folder.is_dir().then_some(1)
}

/// Whether this process runs as root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
