//! The bounded queue between the video and the thread that delivers: putting something in never waits, and every
//! message ends in exactly one of two counts.

use super::super::lock;
use event_listener::{Event, EventListener, Listener};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// One JSON object, without a line end.
    pub(super) json: Vec<u8>,
    /// When it was made, in microseconds since 1970.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "Kafka alone stamps messages"))]
    pub(super) time: i64,
}

/// What the deliverer is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// To go on.
    #[default]
    Open,
    /// To deliver what is there until then, and to end.
    Closing(Instant),
    /// Nothing: what was not delivered has been counted as dropped.
    Over,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    /// Taken out, and neither confirmed nor given up yet.
    outstanding: usize,
    published: u64,
    dropped: u64,
    phase: Phase,
    /// Those who wait for everything to be delivered.
    flushing: usize,
    interrupted: bool,
    /// The deliverer has returned.
    ended: bool,
    /// The newest state of the camera, and how many there were before it.
    announced: Option<Vec<u8>>,
    announcements: u64,
}

impl State {
    fn idle(&self) -> bool {
        self.waiting.is_empty() && self.outstanding == 0
    }
}

/// The queue with its counts.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<State>,
    changed: Event,
}

impl Queue {
    /// A queue in which `capacity` messages can wait.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), changed: Event::new() }
    }

    /// Adds a message; the oldest of those that wait goes if there are too many.
    pub(super) fn push(&self, message: Message) {
        let mut state = lock(&self.state);
        state.waiting.push_back(message);
        self.shorten(&mut state);
        drop(state);
        self.changed.notify(usize::MAX);
    }

    fn shorten(&self, state: &mut State) {
        let surplus = state.waiting.len().saturating_sub(self.capacity);
        state.waiting.drain(..surplus);
        state.dropped += surplus as u64;
    }

    /// Takes the oldest message; it must be settled by [`Self::publish`], [`Self::give_up`] or [`Self::put_back`].
    pub(super) fn take(&self) -> Option<Message> {
        let mut state = lock(&self.state);
        let message = state.waiting.pop_front()?;
        state.outstanding += 1;
        Some(message)
    }

    /// The state of the camera, which is no message among the others: only the newest counts, and it never waits behind them.
    pub(super) fn announce(&self, state: Vec<u8>) {
        let mut inner = lock(&self.state);
        inner.announced = Some(state);
        inner.announcements += 1;
        drop(inner);
        self.changed.notify(usize::MAX);
    }

    /// The newest state if it is another than the one that `seen` counts; 0 has seen none.
    #[cfg(feature = "broker")]
    pub(super) fn announced(&self, seen: &mut u64) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        if *seen == state.announcements {
            return None;
        }
        *seen = state.announcements;
        state.announced.clone()
    }

    /// So many taken messages were delivered.
    pub(super) fn publish(&self, count: usize) {
        self.settle(count, |state| state.published += count as u64);
    }

    /// So many taken messages can't be delivered.
    pub(super) fn give_up(&self, count: usize) {
        self.settle(count, |state| state.dropped += count as u64);
    }

    /// Taken messages wait again, before the others; the oldest go if there are too many now.
    pub(super) fn put_back(&self, messages: impl ExactSizeIterator<Item = Message> + DoubleEndedIterator) {
        self.settle(messages.len(), |state| {
            messages.rev().for_each(|message| state.waiting.push_front(message));
            self.shorten(state);
        });
    }

    fn settle(&self, count: usize, how: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        if state.phase != Phase::Over {
            state.outstanding -= count;
            how(&mut state);
        }
        drop(state);
        self.changed.notify(usize::MAX);
    }

    /// Delivered and dropped messages.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.published, state.dropped)
    }

    /// Resolves at the next change; to be made before one looks.
    pub(super) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    /// Waits until `done`, at most until `deadline`; false if that passed.
    fn wait(&self, deadline: Option<Instant>, done: impl Fn(&State) -> bool) -> bool {
        loop {
            let listener = self.listen();
            if done(&lock(&self.state)) {
                return true;
            }
            match deadline {
                None => listener.wait(),
                Some(deadline) => {
                    if listener.wait_deadline(deadline).is_none() {
                        return done(&lock(&self.state));
                    }
                }
            }
        }
    }

    /// For the deliverer: waits for a message, for a wish to flush or end, or for `deadline`.
    pub(super) fn wait_for_work(&self, deadline: Option<Instant>) {
        self.wait(deadline, |state| {
            !state.waiting.is_empty()
                || state.phase != Phase::Open
                || (state.flushing > 0 && state.outstanding > 0)
        });
    }

    /// For the deliverer after a failure: waits for `pause`, or until it is asked to end.
    pub(super) fn pause(&self, pause: Duration) {
        let before = lock(&self.state).phase;
        self.wait(Some(Instant::now() + pause), |state| state.phase != before);
    }

    /// Whether the deliverer should end: it was asked to, and nothing waits or the time is over.
    pub(super) fn done(&self) -> bool {
        let state = lock(&self.state);
        match state.phase {
            Phase::Open => false,
            Phase::Closing(deadline) => state.waiting.is_empty() || Instant::now() >= deadline,
            Phase::Over => true,
        }
    }

    /// Whether somebody waits for what was taken to be settled.
    pub(super) fn hurried(&self) -> bool {
        let state = lock(&self.state);
        state.flushing > 0 || state.phase != Phase::Open
    }

    /// Until when the deliverer may go on; `None` while it was not asked to end.
    #[cfg(feature = "broker")]
    pub(super) fn deadline(&self) -> Option<Instant> {
        match lock(&self.state).phase {
            Phase::Open => None,
            Phase::Closing(deadline) => Some(deadline),
            Phase::Over => Some(Instant::now()),
        }
    }

    /// Waits until everything was delivered, for `limit` at most; returns how many messages were not.
    pub(super) fn flush(&self, limit: Duration) -> usize {
        lock(&self.state).flushing += 1;
        self.changed.notify(usize::MAX);
        self.wait(Some(Instant::now() + limit), |state| state.idle() || state.interrupted || state.ended);
        let mut state = lock(&self.state);
        state.flushing -= 1;
        state.waiting.len() + state.outstanding
    }

    /// Ends every [`Self::flush`], now (and later ones, until `interrupted` is false again).
    pub(super) fn interrupt(&self, interrupted: bool) {
        lock(&self.state).interrupted = interrupted;
        self.changed.notify(usize::MAX);
    }

    /// Asks the deliverer to end, at `deadline` at the latest.
    pub(super) fn close(&self, deadline: Instant) {
        lock(&self.state).phase = Phase::Closing(deadline);
        self.changed.notify(usize::MAX);
    }

    /// The deliverer says that it has returned.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify(usize::MAX);
    }

    /// Waits for [`Self::end`]; false if it does not come until `deadline`.
    pub(super) fn wait_for_end(&self, deadline: Instant) -> bool {
        self.wait(Some(deadline), |state| state.ended)
    }

    /// Counts what was not delivered as dropped, whatever happens to it after this; returns how many.
    pub(super) fn abandon(&self) -> usize {
        let mut state = lock(&self.state);
        let lost = state.waiting.len() + state.outstanding;
        state.waiting.clear();
        state.outstanding = 0;
        state.dropped += lost as u64;
        state.phase = Phase::Over;
        drop(state);
        self.changed.notify(usize::MAX);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8) -> Message {
        Message { json: vec![number], time: 0 }
    }

    fn filled(capacity: usize, messages: u8) -> Queue {
        let queue = Queue::new(capacity);
        (0..messages).for_each(|number| queue.push(message(number)));
        queue
    }

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let queue = filled(3, 5);
        assert_eq!(queue.counts(), (0, 2));
        assert_eq!(queue.take().unwrap().json, [2]);
        queue.publish(1);
        assert_eq!(queue.counts(), (1, 2));
    }

    #[test]
    fn what_is_put_back_comes_first_and_is_the_oldest() {
        let queue = filled(3, 3);
        let taken = [queue.take().unwrap(), queue.take().unwrap()];
        queue.push(message(3));
        queue.put_back(taken.into_iter());
        assert_eq!(queue.counts(), (0, 1));
        let left: Vec<u8> = std::iter::from_fn(|| queue.take()).map(|m| m.json[0]).collect();
        assert_eq!(left, [1, 2, 3]);
    }

    #[test]
    fn nothing_changes_the_counts_after_the_end() {
        let queue = filled(5, 4);
        let taken = queue.take().unwrap();
        queue.take().unwrap();
        queue.publish(1);
        assert_eq!(queue.abandon(), 3);
        queue.put_back(std::iter::once(taken));
        queue.publish(0);
        assert_eq!(queue.counts(), (1, 3));
        assert!(queue.take().is_none());
    }

    #[cfg(feature = "broker")]
    #[test]
    fn only_the_newest_state_is_announced_and_none_twice() {
        let queue = filled(1, 1);
        let (mut seen, mut other) = (0, 0);
        assert_eq!(queue.announced(&mut seen), None);
        queue.announce(vec![1]);
        queue.announce(vec![2]);
        assert_eq!(queue.announced(&mut seen), Some(vec![2]));
        assert_eq!(queue.announced(&mut seen), None);
        assert_eq!(queue.announced(&mut other), Some(vec![2]), "another connection");
        assert_eq!((queue.counts(), queue.take().unwrap().json), ((0, 0), vec![0]));
    }

    #[test]
    fn a_flush_ends_when_everything_is_settled_or_at_its_limit_or_when_interrupted() {
        let queue = filled(5, 1);
        assert_eq!(queue.flush(Duration::from_millis(1)), 1);
        std::thread::scope(|scope| {
            let flush = scope.spawn(|| queue.flush(Duration::from_secs(60)));
            queue.take().unwrap();
            queue.publish(1);
            assert_eq!(flush.join().unwrap(), 0);
            queue.push(message(1));
            let flush = scope.spawn(|| queue.flush(Duration::from_secs(60)));
            queue.interrupt(true);
            assert_eq!(flush.join().unwrap(), 1);
        });
    }

    #[test]
    fn the_deliverer_is_done_when_nothing_waits_or_the_time_is_over() {
        let queue = filled(5, 1);
        assert!(!queue.done());
        queue.close(Instant::now() + Duration::from_secs(60));
        assert!(!queue.done());
        queue.take().unwrap();
        assert!(queue.done());
        let queue = filled(5, 1);
        queue.close(Instant::now());
        assert!(queue.done());
    }
}
