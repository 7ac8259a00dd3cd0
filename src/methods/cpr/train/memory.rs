//! What becomes of the memory that a step frees.

/// While it lives, the C library keeps freed memory for the next allocation of this process.
///
/// A step allocates and frees the same maps of tens of megabytes over and over. By default glibc returns blocks of that size to the
/// system at once and gets them back page by page, each cleared anew: a quarter to a third of a step. The process stays as large as the
/// largest step made it until this is dropped, which gives back what is free. With other C libraries nothing changes.
#[derive(Debug)]
pub struct KeptMemory(());

impl KeptMemory {
    /// From now on.
    pub fn begin() -> Self {
        // -1 stands for never.
        set(0, -1);
        Self(())
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        // What glibc begins with.
        set(65_536, 128 * 1024);
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: it takes a number, and any thread may call it at any time.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// How many blocks may be mappings of their own, and from which size on free memory at the end of the heap is given back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(most_mappings: libc::c_int, trim_from: libc::c_int) {
    // SAFETY: two numbers are changed, under the lock of the allocator. Threads that allocate meanwhile read the old or the new ones, and either
    // is right.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, most_mappings);
        libc::mallopt(libc::M_TRIM_THRESHOLD, trim_from);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_: i32, _: i32) {}
