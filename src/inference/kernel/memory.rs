//! Memory for what is read from end to end in every run: in large pages, where the system has them.

/// Floats below which ordinary pages do.
const LARGE: usize = 1 << 20;
/// The size of a large page on the processors that have one, in bytes.
#[cfg(target_os = "linux")]
const PAGE: usize = 2 << 20;

/// As many zeros.
///
/// A network reads its weights once for each picture, in which time every ordinary page of 4 KiB costs a look into the page
/// tables and a fresh start of the prefetcher. Large pages are asked for and not needed: where the system does not give
/// them, ordinary ones serve.
pub(crate) fn zeros(count: usize) -> Vec<f32> {
    // Zeros come from the system as untouched pages, so the advice is in time.
    let memory = vec![0.0f32; count];
    if count >= LARGE {
        advise(&memory);
    }
    memory
}

#[cfg(target_os = "linux")]
fn advise(memory: &[f32]) {
    let start = memory.as_ptr() as usize;
    let (first, end) = (start.next_multiple_of(PAGE), (start + size_of_val(memory)) / PAGE * PAGE);
    if first >= end {
        return;
    }
    // SAFETY: the range lies inside `memory`, and this advice changes neither contents nor validity of pages.
    let outcome = unsafe {
        rustix::mm::madvise(
            memory.as_ptr().cast_mut().byte_add(first - start).cast(),
            end - first,
            rustix::mm::Advice::LinuxHugepage,
        )
    };
    // A kernel without large pages says no; the memory is as good as before.
    let _ = outcome;
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &[f32]) {}

/// Lets the C library's allocator give every freed block of a mebibyte or more back to the system, for the whole process.
///
/// By itself it raises that bound with each such block that is freed, up to 32 MiB, and takes the next ones out of a heap
/// for each thread; a server that reads bodies of several megabytes on many threads then holds most of them twice.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back_large_blocks() {
    // SAFETY: the call takes two integers and no pointer, is safe on any thread, and a value it does not take changes nothing.
    let outcome = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20) };
    // Zero says that the setting was refused; the server then needs more memory and works as well.
    let _ = outcome;
}

/// Other C libraries give large blocks back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_blocks() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_any_length_are_zeros() {
        for count in [0, 1, LARGE - 1, LARGE, 3 * LARGE + 5] {
            let mut memory = zeros(count);
            assert_eq!((memory.len(), memory.iter().copied().find(|&value| value != 0.0)), (count, None));
            memory.fill(1.0);
            assert_eq!(memory.iter().position(|&value| value < 1.0), None);
        }
    }
}
