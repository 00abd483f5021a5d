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
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
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
