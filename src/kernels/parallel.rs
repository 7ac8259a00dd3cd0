//! Sharing work out between the calling thread and rayon's.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Hands every one of `items` to `work`, on the calling thread and, if there is more than one core, on others.
///
/// A kernel takes less than a millisecond, and a sleeping thread some tenths of one to wake up. Rayon's own iterators wake one thread
/// that wakes the next, while the caller waits; here the caller begins at once, and the others take what is left when they come.
pub fn each<I>(items: I, work: impl Fn(I::Item) + Sync)
where
    I: ExactSizeIterator + Send,
    I::Item: Send,
{
    let helpers = rayon::current_num_threads().min(items.len()).saturating_sub(1);
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take_turns = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| take_turns());
        }
        take_turns();
    });
}

thread_local! {
    /// The largest last; as many as were ever in use at once.
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of f32 values that stays with the thread: memory fresh from the system would cost more than many a kernel.
#[derive(Debug)]
pub struct Buffer {
    values: Vec<f32>,
    length: usize,
}

impl Buffer {
    /// A buffer of `length` values, whatever they are.
    pub fn new(length: usize) -> Self {
        // Whoever asks for a second one while this one is in use gets another, which stays, too.
        let mut values = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        if values.len() < length {
            values.resize(length, 0.0);
        }
        Self { values, length }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        SPARE.with_borrow_mut(|spare| {
            let place = spare.partition_point(|other| other.len() <= values.len());
            spare.insert(place, values);
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_item_is_worked_on_once() {
        for count in [0, 1, 2, 1000] {
            let mut values = vec![0; count];
            let calls = AtomicUsize::new(0);
            each(values.iter_mut().enumerate(), |(i, value)| {
                *value += i + 1;
                calls.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(calls.into_inner(), count);
            assert!(values.into_iter().eq(1..=count));
        }
    }

    #[test]
    fn several_threads_at_once_and_calls_within_calls() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let total = AtomicUsize::new(0);
                    each(0..8usize, |i| {
                        each(0..8usize, |j| {
                            total.fetch_add(i * j, Ordering::Relaxed);
                        });
                    });
                    assert_eq!(total.into_inner(), 28 * 28);
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let found = std::panic::catch_unwind(|| each(0..100usize, |i| assert_ne!(i, 50)));
        assert!(found.is_err());
        each(0..4usize, |_| {});
    }

    #[test]
    fn buffers_are_kept_and_never_shared() {
        let mut outer = Buffer::new(4);
        outer.fill(1.0);
        Buffer::new(8).fill(2.0);
        assert_eq!(*outer, [1.0; 4]);
        drop(outer);
        assert_eq!(*Buffer::new(2), [2.0; 2], "the larger one was kept");
    }
}
