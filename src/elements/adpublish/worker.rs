//! The thread that delivers.

use super::queue::Queue;
use super::report::Report;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What may still be delivered after the element was told to stop. With [`GRACE`] it stays below the two seconds within which a state
/// change must be over.
const DRAIN: Duration = Duration::from_millis(1000);
/// How long after that the thread may take to end; one that hangs in a system call is left to itself.
const GRACE: Duration = Duration::from_millis(400);

/// First pause after a failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause: delivery is to go on within seconds after a broker has come back.
const LONGEST_PAUSE: Duration = Duration::from_millis(1000);

/// Delivers until the queue says that it is done.
pub(super) type Deliver = Box<dyn FnOnce(&Queue, Report) + Send>;

/// What the settings ask for.
pub(super) struct Job {
    pub(super) deliver: Deliver,
    /// Whether it delivers what the queue announces.
    pub(super) states: bool,
}

/// Pauses that become longer.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Backoff {
    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (2 * pause).min(LONGEST_PAUSE);
        pause
    }

    /// Delivery worked: the next pause is a short one.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Tells the queue when the thread ends, in whatever way.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A running thread.
#[derive(Debug)]
pub(super) struct Worker {
    queue: Arc<Queue>,
    thread: std::thread::JoinHandle<()>,
}

impl Worker {
    /// Starts to deliver what comes into `queue`.
    pub(super) fn start(queue: Arc<Queue>, deliver: Deliver, report: Report) -> io::Result<Self> {
        let ending = Ending(queue.clone());
        let thread = std::thread::Builder::new().name("adpublish".into()).spawn(move || {
            deliver(&ending.0, report);
        })?;
        Ok(Self { queue, thread })
    }

    /// Delivers what can still be delivered, and ends; returns how many messages were given up.
    pub(super) fn stop(self) -> usize {
        let deadline = Instant::now() + DRAIN;
        self.queue.close(deadline);
        if self.queue.wait_for_end(deadline + GRACE) {
            // A panic was its last word; the queue counts what it left.
            let _ = self.thread.join();
        }
        self.queue.abandon()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..6).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next().as_millis(), 100);
    }
}
