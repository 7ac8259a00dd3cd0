//! Delivery to a broker: connect, send, and after a failure begin anew, until the element stops.

use super::queue::Queue;
use super::report::Report;
use super::worker::Backoff;
use std::future::Future;
use std::time::Duration;

/// How long a broker may take to accept a connection.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long it may take to acknowledge a message.
pub(super) const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(5);

/// The client of one kind of broker.
pub(super) trait Client {
    /// Connects and sends what comes into the queue. Returns when the queue is done; on failure what was not acknowledged is back in
    /// the queue.
    async fn session(&mut self, queue: &Queue, report: &mut Report) -> Result<(), String>;
}

/// Delivers until the queue is done.
pub(super) fn deliver(queue: &Queue, mut report: Report, mut client: impl Client) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return report.fail(format!("the network can't be used: {e}")),
    };
    runtime.block_on(async {
        tokio::select! {
            () = keep_connected(queue, &mut report, &mut client) => (),
            // What is under way then is counted by those who stop us.
            () = past_deadline(queue) => (),
        }
    });
    // A look-up of a name may hang in a thread of its own.
    runtime.shutdown_background();
}

async fn keep_connected(queue: &Queue, report: &mut Report, client: &mut impl Client) {
    let mut backoff = Backoff::default();
    while !queue.done() {
        let before = queue.counts().0;
        match client.session(queue, report).await {
            Ok(()) => return,
            Err(trouble) => report.warn(format!(
                "{trouble}; trying again, and when too many messages wait the oldest are dropped"
            )),
        }
        if queue.counts().0 > before {
            backoff.reset();
        }
        let _ = until_done(queue, tokio::time::sleep(backoff.next())).await;
    }
}

/// What `future` gives, or `None` if the queue is done before.
pub(super) async fn until_done<T>(queue: &Queue, future: impl Future<Output = T>) -> Option<T> {
    let done = async {
        loop {
            let listener = queue.listen();
            if queue.done() {
                return;
            }
            listener.await;
        }
    };
    tokio::select! {
        value = future => Some(value),
        () = done => None,
    }
}

async fn past_deadline(queue: &Queue) {
    let deadline = loop {
        let listener = queue.listen();
        if let Some(deadline) = queue.deadline() {
            break deadline;
        }
        listener.await;
    };
    tokio::time::sleep_until(deadline.into()).await;
}
