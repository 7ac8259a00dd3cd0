//! The loop: which samples a step sees, and when it ends.

use super::Losses;
use super::optimiser::Learner;
use super::pairs;
use super::plan::Plan;
use super::samples::Pool;
use crate::dataset::synthetic::{ProductKind, random_for};
use crate::error::{Error, Result};
use crate::methods::fitting::Progress;
use rand::Rng;
use rand::seq::SliceRandom;
use std::time::{Duration, Instant};

/// Purposes of random numbers beside those of the samples themselves.
const ORDER: u64 = 16;
const STEP: u64 = 17;
/// Steps whose mean loss is shown.
const SHOWN: usize = 10;

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With its last step, or when its time was up.
    Done,
    /// The user wants to stop.
    Interrupted,
}

/// Goes on with `learner` to the last step of `plan`. Which samples a step sees depends on `seed` and its number alone, so that a
/// training that was interrupted ends as one that was not.
///
/// # Errors
/// If the loss is no number any more.
pub(super) fn learn(
    learner: &mut Learner,
    losses: &mut Vec<Losses>,
    pool: &Pool,
    (plan, kind, seed): (&Plan, ProductKind, u64),
    progress: &mut dyn Progress,
) -> Result<Ending> {
    progress.stage("learning", plan.steps - losses.len().min(plan.steps));
    let limit = plan.minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes));
    let start = Instant::now();
    let mut order = Order { seed, epoch: usize::MAX, queries: (0..pool.queries.len()).collect() };
    while losses.len() < plan.steps {
        if progress.interrupted() {
            return Ok(Ending::Interrupted);
        }
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            progress.note(&format!("time is up after {} of {} steps", losses.len(), plan.steps));
            break;
        }
        let step = losses.len();
        let random = &mut random_for(seed, step as u64, STEP);
        let queries: Vec<usize> = (0..plan.batch).map(|i| order.at(step * plan.batch + i)).collect();
        let mut samples = queries.clone();
        let mut chosen = Vec::with_capacity(queries.len());
        for &query in &queries {
            let (base, mask) = &pool.queries[query];
            let base = &pool.bases[*base];
            let neighbour = base.neighbours[random.gen_range(0..base.neighbours.len())];
            let references = &pool.bases[neighbour].references;
            samples.push(references[random.gen_range(0..references.len())]);
            chosen.push(pairs::draw(&plan.pairs, mask, &base.ground, kind == ProductKind::Object, random));
        }
        learner.set_rate(plan.optimiser.rate(step, plan.steps));
        let loss = learner.step(&pool.batch(&samples), &chosen);
        if !loss.total().is_finite() {
            return Err(Error::Fit(format!(
                "the learned branch diverged at step {}; use a smaller --lr than {}",
                step + 1,
                plan.optimiser.learning_rate
            )));
        }
        losses.push(loss);
        progress.detail(&shown(losses));
        progress.advance();
    }
    Ok(Ending::Done)
}

/// The latest losses, for people.
fn shown(losses: &[Losses]) -> String {
    let latest = &losses[losses.len().saturating_sub(SHOWN)..];
    let mean = |part: fn(&Losses) -> f64| latest.iter().map(part).sum::<f64>() / latest.len() as f64;
    format!(
        "loss {:.4} ({:.4} alike, {:.4} apart)",
        mean(Losses::total),
        mean(|loss| loss.positive),
        mean(|loss| loss.negative)
    )
}

/// The queries in an order that is new each time all have been seen.
struct Order {
    seed: u64,
    epoch: usize,
    queries: Vec<usize>,
}

impl Order {
    fn at(&mut self, position: usize) -> usize {
        let epoch = position / self.queries.len();
        if epoch != self.epoch {
            self.queries.sort_unstable();
            self.queries.shuffle(&mut random_for(self.seed, epoch as u64, ORDER));
            self.epoch = epoch;
        }
        self.queries[position % self.queries.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_is_seen_once_an_epoch_whoever_asks_when() {
        let mut order = Order { seed: 5, epoch: usize::MAX, queries: (0..7).collect() };
        let first: Vec<usize> = (0..14).map(|position| order.at(position)).collect();
        for epoch in first.chunks(7) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            assert_eq!(epoch, (0..7).collect::<Vec<_>>());
        }
        let mut later = Order { seed: 5, epoch: usize::MAX, queries: (0..7).collect() };
        assert_eq!((9..14).map(|position| later.at(position)).collect::<Vec<_>>(), first[9..]);
    }
}
