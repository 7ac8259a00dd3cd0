//! What becomes of the memory that a step frees.

/// Has the C library keep freed memory for the next allocation, in this process from now on.
///
/// A step allocates and frees the same maps of tens of megabytes over and over. By default glibc returns blocks of that size to the
/// system at once and gets them back page by page, each cleared anew: a quarter to a third of a step. The process' size stays at the largest that
/// a step needs. Nothing happens with other C libraries.
pub fn keep_freed_memory() {
    // SAFETY: mallopt takes two numbers and touches nothing of ours; it is safe to call at any time.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
