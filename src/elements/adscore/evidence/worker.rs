//! A thread behind a bounded queue: whoever hands it work never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

/// Does work of kind `T` in the order in which it comes.
#[derive(Debug)]
pub(super) struct Worker<T> {
    queue: SyncSender<T>,
    /// Closed by the thread when it ends.
    ended: Receiver<()>,
    abandoned: Arc<AtomicBool>,
}

/// What the thread does.
pub(super) trait Work<T>: Send + 'static {
    /// Does one piece of work.
    fn work(&mut self, item: T);

    /// Leaves one undone, because there is no time any more.
    fn abandon(&mut self, item: T);
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread called `name` with a queue of `capacity`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(name: &str, capacity: usize, mut work: impl Work<T>) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel::<T>(capacity);
        let (end, ended) = channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let flag = abandoned.clone();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            // Dropped with the thread, also where that ends in a panic. The work before it, so that all is released by then.
            let _end = end;
            let work = &mut work;
            for item in waiting {
                if flag.load(Ordering::Relaxed) { work.abandon(item) } else { work.work(item) }
            }
        })?;
        Ok(Self { queue, ended, abandoned })
    }

    /// Hands over an item; gives it back where the queue is full or the thread has died.
    pub(super) fn offer(&self, item: T) -> Result<(), T> {
        self.queue.try_send(item).map_err(|e| match e {
            TrySendError::Full(item) | TrySendError::Disconnected(item) => item,
        })
    }

    /// Lets the thread finish what is in its queue, for `patience` at most. False if it was not ready then: it ends by itself
    /// after what it is doing, and abandons the rest.
    pub(super) fn finish(self, patience: Duration) -> bool {
        let Self { queue, ended, abandoned } = self;
        drop(queue);
        let ready = ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected);
        abandoned.store(true, Ordering::Relaxed);
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Instant;

    /// Does each item when it is let, and notes what it did.
    struct Slow {
        leave: Receiver<()>,
        log: Arc<Mutex<Vec<(u32, bool)>>>,
    }

    impl Work<u32> for Slow {
        fn work(&mut self, item: u32) {
            let _ = self.leave.recv();
            self.log.lock().unwrap().push((item, true));
        }

        fn abandon(&mut self, item: u32) {
            self.log.lock().unwrap().push((item, false));
        }
    }

    type Log = Arc<Mutex<Vec<(u32, bool)>>>;

    fn slow(capacity: usize) -> (Worker<u32>, std::sync::mpsc::Sender<()>, Log) {
        let (leave, waits) = channel();
        let log = Log::default();
        let worker = Worker::start("slow", capacity, Slow { leave: waits, log: log.clone() }).unwrap();
        (worker, leave, log)
    }

    #[test]
    fn a_full_queue_gives_back_and_never_waits() {
        let (worker, leave, log) = slow(2);
        let start = Instant::now();
        let refused: Vec<u32> = (0..10).filter_map(|item| worker.offer(item).err()).collect();
        assert!(start.elapsed() < Duration::from_secs(1));
        // One may be in work already.
        assert!((7..=8).contains(&refused.len()), "{refused:?}");
        for _ in 0..10 {
            leave.send(()).unwrap();
        }
        assert!(worker.finish(Duration::from_secs(10)));
        let done = log.lock().unwrap();
        assert_eq!(done.len() + refused.len(), 10);
        assert!(done.iter().all(|(item, done)| *done && !refused.contains(item)));
    }

    #[test]
    fn a_thread_that_hangs_does_not_hold_up_the_end() {
        let (worker, leave, log) = slow(4);
        for item in 0..3 {
            worker.offer(item).unwrap();
        }
        let start = Instant::now();
        assert!(!worker.finish(Duration::from_millis(100)));
        assert!(start.elapsed() < Duration::from_secs(1));
        leave.send(()).unwrap();
        while log.lock().unwrap().len() < 3 {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(*log.lock().unwrap(), [(0, true), (1, false), (2, false)]);
    }
}
