//! Buffers that travel downstream with a frame and come back when the frame is gone.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// A stack of spare values of one kind; cloning it gives another handle on the same stack.
#[derive(Debug)]
pub struct Pool<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Pool<T> {
    /// A spare value, or a new one.
    pub fn take(&self, make: impl FnOnce() -> T) -> Pooled<T> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Pooled { value: Some(spare.unwrap_or_else(make)), pool: Some(self.clone()) }
    }
}

/// A value that returns to its pool when it is dropped.
#[derive(Debug)]
pub struct Pooled<T> {
    value: Option<T>,
    pool: Option<Pool<T>>,
}

impl<T> From<T> for Pooled<T> {
    /// A value that belongs to no pool and is freed when it is dropped.
    fn from(value: T) -> Self {
        Self { value: Some(value), pool: None }
    }
}

impl<T> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value is there until it is dropped")
    }
}

impl<T> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("the value is there until it is dropped")
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        if let (Some(value), Some(pool)) = (self.value.take(), &self.pool) {
            pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_value_is_used_again() {
        let pool = Pool::default();
        let mut first = pool.take(|| vec![0u8; 4]);
        first[0] = 7;
        drop(first);
        assert_eq!(pool.take(|| vec![0u8; 4])[0], 7);
        assert_eq!(pool.take(Vec::new).len(), 4);
        let _held = pool.take(Vec::new);
        assert!(pool.take(Vec::new).is_empty(), "a value in use is not handed out twice");
    }
}
