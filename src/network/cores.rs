//! The cores that this process may use.

use std::collections::HashSet;
use std::num::NonZero;

/// How many threads of a computation are of use: the cores in the process's affinity, of hyper-threads of one core one, and no more than
/// what the cgroup's quota pays for.
///
/// ONNX Runtime by itself counts the machine's cores, and binds a thread to each of them whether or not it may run there.
pub fn cores() -> usize {
    let available = std::thread::available_parallelism().map_or(1, NonZero::get);
    allowed().and_then(|allowed| physical(&allowed)).map_or(available, |cores| cores.min(available)).max(1)
}

/// The numbers of the processors in the affinity of this thread, which others inherit.
fn allowed() -> Option<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None).ok()?;
    Some((0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// How many cores these processors are; none where the system does not say.
fn physical(processors: &[usize]) -> Option<usize> {
    let core = |cpu: &usize| {
        let siblings = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(siblings).ok()
    };
    let cores: HashSet<String> = processors.iter().map(core).collect::<Option<_>>()?;
    Some(cores.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_may_use_one_processor_counts_one_core() {
        let everywhere = cores();
        assert!(everywhere <= std::thread::available_parallelism().unwrap().get());
        // In a thread of its own: affinity is a thread's.
        let alone = std::thread::spawn(|| {
            let mut one = rustix::thread::CpuSet::new();
            one.set(allowed().unwrap()[0]);
            rustix::thread::sched_setaffinity(None, &one).unwrap();
            cores()
        });
        assert_eq!(alone.join().unwrap(), 1);
        assert_eq!(cores(), everywhere);
    }

    #[test]
    fn hyper_threads_of_a_core_are_one() {
        assert_eq!(physical(&[]), Some(0));
        assert_eq!(physical(&[usize::MAX]), None, "there is no such processor");
        let all = allowed().unwrap();
        if let Some(cores) = physical(&all) {
            assert!((1..=all.len()).contains(&cores));
            let twice: Vec<usize> = all.iter().chain(&all).copied().collect();
            assert_eq!(physical(&twice), Some(cores));
        }
    }
}
