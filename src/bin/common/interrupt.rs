//! Ctrl-C: the first asks the work to stop, the second does not wait for it.

use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Listens for Ctrl-C, and for the signals that ask a program to end.
pub fn install() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(super::failure::INTERRUPTED));
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether somebody wants to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Somebody wanted to stop; what was written so far stays.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

/// An error if somebody wants to stop.
pub fn check() -> anyhow::Result<()> {
    if requested() { Err(Interrupted.into()) } else { Ok(()) }
}

/// Whether the work ended because somebody wanted it to.
pub fn is_cause(error: &anyhow::Error) -> bool {
    error.is::<Interrupted>()
        || matches!(
            error.downcast_ref(),
            Some(gstanomaly::Error::Interrupted | gstanomaly::Error::Paused { .. })
        )
}
