//! How much room there is, for those who ask before they begin.

use std::path::Path;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes that can still be written to `folder`, if the system says so.
pub(crate) fn free_disk(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Bytes of memory that we can still have, of the machine's and of those of the container that we may be in, if the system says so.
pub(crate) fn free_memory() -> Option<u64> {
    let ram = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(ram);
    // Without /proc nothing is known.
    if system.total_memory() == 0 {
        return None;
    }
    // Files that a container has read do not count: they go when room is needed.
    let container = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    let machine = system.available_memory();
    Some(container.map_or(machine, |container| container.min(machine)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_some_room() {
        assert!(free_disk(&std::env::temp_dir()).is_some_and(|bytes| bytes > 0));
        assert!(free_disk(Path::new("/no such folder")).is_none());
        assert!(free_memory().is_some_and(|bytes| (1 << 20..1 << 50).contains(&bytes)));
    }
}
