//! Looks from time to time whether another bundle has taken the place of the one that runs.

use super::super::lock;
use super::imp::AdFeatures;
use crate::bundle::Version;
use gst::subclass::prelude::*;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// Between two looks. What is found must be there twice: somebody may be copying the files one by one.
const PERIOD: Duration = Duration::from_secs(1);

/// A thread that looks until this is dropped.
pub(super) struct Follower {
    /// Its end is told by what it is dropped with.
    _stop: Sender<()>,
}

impl Follower {
    fn start(element: &AdFeatures) -> Self {
        let (stop, stopped) = mpsc::channel();
        let element = element.obj().downgrade();
        std::thread::spawn(move || {
            let mut found = Found::default();
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let Some(element) = element.upgrade() else { return };
                look(element.imp(), &mut found);
            }
        });
        Self { _stop: stop }
    }
}

/// Begins or ends to look, as the property says.
pub(super) fn begin_or_end(element: &AdFeatures) {
    let follow = lock(&element.settings).follow;
    let mut follower = lock(&element.follower);
    match follow {
        true if follower.is_none() => *follower = Some(Follower::start(element)),
        true => {}
        false => *follower = None,
    }
}

fn look(element: &AdFeatures, found: &mut Found) {
    let settings = lock(&element.settings).clone();
    let Some(model) = &settings.model else { return };
    let runs = {
        let pending = lock(&element.pending);
        // Another folder that was set is on its way already.
        pending.version.filter(|_| pending.running.as_ref() == Some(model))
    };
    let (Some(runs), Ok(there)) = (runs, Version::of(model)) else { return };
    if found.is_new(there, runs) {
        element.load_beside(settings);
    }
}

/// What was found in the folder.
#[derive(Default)]
struct Found {
    last: Option<Version>,
    /// What was loaded, whether or not it could be used.
    tried: Option<Version>,
}

impl Found {
    /// Whether `there` is not what `runs`, stays, and has not been tried.
    fn is_new(&mut self, there: Version, runs: Version) -> bool {
        let stays = self.last.replace(there) == Some(there);
        there != runs && stays && self.tried.replace(there) != Some(there)
    }
}
