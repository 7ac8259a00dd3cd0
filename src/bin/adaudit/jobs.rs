//! Several videos at a time.

use crate::inspect::{self, Outcome, Rules};
use crate::progress::{Board, Report};
use crate::sources::Source;
use gstanomaly::bundle::Bundle;
use gstanomaly::cascade::Cascade;
use gstanomaly::methods::ScoreOptions;
use gstanomaly::network::Device;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What all jobs work with.
#[derive(Debug)]
pub struct Plan {
    pub bundle: Arc<Bundle>,
    pub device: Device,
    /// Of all jobs together; 0: all cores.
    pub threads: usize,
    pub jobs: usize,
    pub rules: Rules,
    pub options: ScoreOptions,
}

impl Plan {
    /// A cascade for one of `jobs`.
    fn cascade(&self, jobs: usize) -> gstanomaly::Result<Cascade> {
        let threads = match (jobs, self.threads) {
            (..=1, threads) => threads,
            (jobs, 0) => (std::thread::available_parallelism().map_or(1, NonZero::get) / jobs).max(1),
            (jobs, threads) => (threads / jobs).max(1),
        };
        // Jobs that shared a network would wait for each other.
        let network = self.bundle.own_network(self.device, threads)?;
        let mut cascade = Cascade::with_network(self.bundle.clone(), network);
        cascade.score_with(self.options.clone());
        Ok(cascade)
    }

    /// Audits all `sources`, whose results lie in folders below `videos`; returns how they fared, in their order.
    ///
    /// # Errors
    /// The first of the jobs that could not go on; the others have then stopped at a checkpoint.
    pub fn run(&self, sources: &[Source], videos: &Path, board: &Board) -> anyhow::Result<Vec<Outcome>> {
        let jobs = self.jobs.min(sources.len());
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::new());
        let work = |job: usize| -> anyhow::Result<()> {
            let mut cascade = self.cascade(jobs)?;
            loop {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let Some(source) = sources.get(at) else { return Ok(()) };
                let folder = videos.join(&source.key);
                let mut report = Report::new(board, job, source);
                let outcome = inspect::audit(source, &folder, self.rules, &mut cascade, &mut report)?;
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
            }
        };
        let failure = std::thread::scope(|scope| {
            let stopping = |job| {
                let done = work(job);
                if done.is_err() {
                    board.stop();
                }
                done
            };
            let running: Vec<_> = (0..jobs).map(|job| scope.spawn(move || stopping(job))).collect();
            let ended = running
                .into_iter()
                .map(|job| job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            // All of them, so that the first failure and not one that it caused is told.
            ended
                .collect::<Vec<_>>()
                .into_iter()
                .filter_map(Result::err)
                .reduce(|first, other| if first.is::<Stopped>() { other } else { first })
        });
        match failure {
            Some(failure) => Err(failure),
            None => {
                let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
                outcomes.sort_by_key(|(at, _)| *at);
                Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
            }
        }
    }
}

/// A job ended because another has failed.
#[derive(Debug, thiserror::Error)]
#[error("stopped, because the audit of another video failed")]
pub struct Stopped;
