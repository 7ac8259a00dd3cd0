//! The thread that notices the time: heartbeats, and frames that do not come.

use super::status::Status;
use event_listener::Listener;
use std::io;
use std::sync::Arc;

/// A running thread.
#[derive(Debug)]
pub(super) struct Watch {
    status: Arc<Status>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(status: Arc<Status>) -> io::Result<Self> {
        let watched = status.clone();
        let thread = std::thread::Builder::new().name("adpublish-watch".into()).spawn(move || {
            loop {
                let listener = watched.listen();
                let Some(next) = watched.look() else { return };
                listener.wait_deadline(next);
            }
        })?;
        Ok(Self { status, thread })
    }

    /// Says the last state, and ends.
    pub(super) fn stop(self) {
        self.status.stop();
        // A panic was its last word.
        let _ = self.thread.join();
    }
}
