//! Several videos at a time.

use crate::crew::Crew;
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

/// Cascades of one job; each has a network of its own in memory.
const MOST_CASCADES: usize = 4;

impl Plan {
    /// How many cascades each of `jobs` has, and with how many threads each.
    fn shares(&self, jobs: usize) -> (usize, usize) {
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            threads => threads,
        };
        let threads = (threads / jobs.max(1)).max(1);
        let cascades = match self.device {
            Device::Cpu | Device::Auto => threads.min(MOST_CASCADES),
            // A card is shared by nature.
            _ => 1,
        };
        (cascades, threads / cascades)
    }

    fn cascade(&self, threads: usize) -> gstanomaly::Result<Cascade> {
        // Cascades that shared a network would wait for each other.
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
        let (cascades, threads) = self.shares(jobs);
        let work = |job: usize| -> anyhow::Result<()> {
            let cascades = (0..cascades).map(|_| self.cascade(threads)).collect::<Result<_, _>>()?;
            std::thread::scope(|scope| {
                let mut crew = Crew::start(scope, cascades, threads)?;
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let Some(source) = sources.get(at) else { return Ok(()) };
                    let folder = videos.join(&source.key);
                    let mut report = Report::new(board, job, source);
                    let outcome = inspect::audit(source, &folder, self.rules, &mut crew, &mut report)?;
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
                }
            })
        };
        let failure = std::thread::scope(|scope| {
            let stopping = |job| {
                // The others end, too, where this one has failed or panicked.
                let stop = StopOnDrop(board);
                let done = work(job);
                if done.is_ok() {
                    std::mem::forget(stop);
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

struct StopOnDrop<'a>(&'a Board);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A job ended because another has failed.
#[derive(Debug, thiserror::Error)]
#[error("stopped, because the audit of another video failed")]
pub struct Stopped;
