//! One step after the other: pass, loss, gradients, AdamW.

use super::branch::{Pass, floats, vector};
use super::loss::{LossParams, Losses, Pairs, Selection};
use super::weights::{JOINED, Values, Weights, is_learned};
use super::{RawMaps, ScaleShape};
use crate::error::{Error, Result};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The numbers of AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserParams {
    /// Length of a step.
    pub learning_rate: f64,
    /// Share of the steps at the end over which the length falls to nothing. Not in the paper, whose 40,000 steps average out
    /// what the last ones did; a few hundred do not.
    pub cooldown: f64,
    /// Share of the weights that a step takes off, times the length of the step.
    pub weight_decay: f32,
    /// Memory of the gradients' means and squares.
    pub betas: [f32; 2],
    /// Added to the root of the squares.
    pub epsilon: f32,
}

impl Default for OptimiserParams {
    fn default() -> Self {
        Self { learning_rate: 1e-3, cooldown: 0.3, weight_decay: 1e-2, betas: [0.9, 0.999], epsilon: 1e-8 }
    }
}

impl OptimiserParams {
    /// The length of step number `step` of `steps`, the first is 0.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        let falling = self.cooldown * steps as f64;
        let left = steps.saturating_sub(step) as f64;
        // The last step still has a length: nothing is reached only behind it.
        if left < falling { self.learning_rate * left / falling } else { self.learning_rate }
    }

    /// Checks what can be set by name.
    ///
    /// # Errors
    /// With the number, what is allowed and what was found.
    pub fn check(&self) -> Result<()> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let moment = |value: f32| (0.0..1.0).contains(&value);
        for (name, holds, allowed, found) in [
            ("learning_rate", self.learning_rate > 0.0, "above 0", self.learning_rate.to_string()),
            ("cooldown", share(self.cooldown), "0 to 1", self.cooldown.to_string()),
            ("weight_decay", share(self.weight_decay.into()), "0 to 1", self.weight_decay.to_string()),
            ("betas", self.betas.into_iter().all(moment), "from 0 to below 1", format!("{:?}", self.betas)),
            ("epsilon", self.epsilon > 0.0, "above 0", self.epsilon.to_string()),
        ] {
            if !holds {
                return Err(Error::Setting(format!(
                    "learning.optimiser.{name} must be {allowed}, not {found}"
                )));
            }
        }
        Ok(())
    }
}

/// What AdamW remembers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
}

/// Gradients of the total loss by name.
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// A branch that learns.
pub struct Learner {
    scales: Vec<ScaleShape>,
    weights: Weights,
    moments: BTreeMap<String, AdamWState<1>>,
    steps: usize,
    loss: LossParams,
    learning_rate: f64,
    optimiser: AdamW,
    device: Device,
}

impl Learner {
    /// Starts from `weights`, which are for `scales`.
    pub fn new(
        scales: Vec<ScaleShape>,
        weights: Weights,
        loss: LossParams,
        optimiser: &OptimiserParams,
    ) -> Self {
        let config = AdamWConfig::new()
            .with_beta_1(optimiser.betas[0])
            .with_beta_2(optimiser.betas[1])
            .with_epsilon(optimiser.epsilon)
            .with_weight_decay(optimiser.weight_decay);
        Self {
            scales,
            weights,
            moments: BTreeMap::new(),
            steps: 0,
            loss,
            learning_rate: optimiser.learning_rate,
            optimiser: config.build(),
            device: Device::flex(),
        }
    }

    /// Sets the length of the steps that follow.
    pub fn set_rate(&mut self, rate: f64) {
        self.learning_rate = rate;
    }

    /// The scales.
    pub fn scales(&self) -> &[ScaleShape] {
        &self.scales
    }

    /// The weights so far.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Steps done.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// One step on a batch: `maps` of each scale (the queries, then a reference for each), and the pairs of each query.
    ///
    /// # Panics
    /// If the maps are not those of the scales, or not twice as many as there are queries.
    pub fn step(&mut self, maps: &[RawMaps], pairs: &[Pairs]) -> Losses {
        let (losses, gradients) = self.gradients(maps, pairs);
        self.descend(gradients);
        losses
    }

    /// The losses of a batch, by scale added up, and the gradients of their sum; the running statistics take note of the batch.
    pub fn gradients(&mut self, maps: &[RawMaps], pairs: &[Pairs]) -> (Losses, Gradients) {
        // Before or after the last convolution, the places of the pairs are read where there are fewer channels.
        self.gradients_reading(maps, pairs, |scale| scale.outputs >= JOINED)
    }

    /// See [`Learner::gradients`]; `early` says of a scale whether the places of the pairs are read before the last convolution.
    fn gradients_reading(
        &mut self,
        maps: &[RawMaps],
        pairs: &[Pairs],
        early: impl Fn(ScaleShape) -> bool,
    ) -> (Losses, Gradients) {
        assert_eq!(maps.len(), self.scales.len(), "a batch has maps of every scale");
        let device = self.device.clone().autodiff();
        let learned = self.weights.iter().filter(|(name, _)| is_learned(name));
        let leaves: BTreeMap<&str, Tensor<1>> =
            learned.map(|(name, values)| (name, vector(&values.values, &device).require_grad())).collect();
        let mut pass = Pass::training(&self.weights, &self.scales, leaves.clone(), device.clone());
        let mut parts: Vec<[Tensor<1>; 2]> = Vec::with_capacity(maps.len());
        for (scale, maps) in maps.iter().enumerate() {
            assert_eq!(maps.shape.images, 2 * pairs.len(), "every query has a reference");
            let raw = maps.tensor(self.scales[scale].inputs, &device);
            let selection = Selection::new(maps, pairs, &self.loss);
            parts.push(if early(self.scales[scale]) {
                let joined = pass.joined(scale, raw, maps.shape);
                let last = |read, shares| pass.between(scale, read, shares);
                selection.loss(joined, last, &self.loss, &device)
            } else {
                let features = pass.forward(scale, raw, maps.shape);
                selection.loss(features, |read, _| read, &self.loss, &device)
            });
        }
        let observed = pass.into_observed();
        let sum = |part: usize| {
            let tensors = parts.iter().map(|parts| parts[part].clone());
            tensors.reduce(|sum, next| sum + next).expect("there is a scale")
        };
        let (positive, negative) = (sum(0), sum(1));
        let value = |tensor: &Tensor<1>| f64::from(floats(tensor.clone().inner())[0]);
        let losses = Losses { positive: value(&positive), negative: value(&negative) };
        let mut gradients = (positive + negative).backward();
        let by_name = leaves
            .iter()
            .filter_map(|(name, leaf)| Some(((*name).to_owned(), floats(leaf.grad_remove(&mut gradients)?))));
        let by_name = by_name.collect();
        observed.iter().for_each(|observed| observed.update(&mut self.weights));
        (losses, by_name)
    }

    /// A step of AdamW.
    pub fn descend(&mut self, gradients: Gradients) {
        for (name, gradient) in gradients {
            let Some(values) = self.weights.get_mut(&name) else { continue };
            let (value, state) = self.optimiser.step(
                self.learning_rate,
                vector(&values.values, &self.device),
                vector(&gradient, &self.device),
                self.moments.remove(&name),
            );
            values.values = floats(value);
            self.moments.extend(state.map(|state| (name, state)));
        }
        self.steps += 1;
    }

    /// What AdamW remembers, by name.
    pub fn moments(&self) -> BTreeMap<String, Moments> {
        let plain = |state: &AdamWState<1>| Moments {
            first: floats(state.momentum.moment_1.clone()),
            second: floats(state.momentum.moment_2.clone()),
        };
        self.moments.iter().map(|(name, state)| (name.clone(), plain(state))).collect()
    }

    /// Goes on after `steps` steps that left these weights and moments.
    pub fn restore(&mut self, steps: usize, weights: Weights, moments: &BTreeMap<String, Moments>) {
        self.weights = weights;
        self.steps = steps;
        let state = |moments: &Moments| {
            let (first, second) =
                (vector(&moments.first, &self.device), vector(&moments.second, &self.device));
            AdamWState::new(AdaptiveMomentumState::new(steps, first, second))
        };
        self.moments = moments.iter().map(|(name, moments)| (name.clone(), state(moments))).collect();
    }
}

impl RawMaps {
    fn tensor(&self, channels: usize, device: &Device) -> Tensor<2> {
        let data = burn::tensor::TensorData::new(self.values.clone(), [channels, self.shape.places()]);
        Tensor::from_data(data, device)
    }
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learner")
            .field("scales", &self.scales)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// The features that a training pass gives for a batch, by scale, `[outputs, images, height, width]`; for comparison.
pub fn training_features(learner: &Learner, maps: &[RawMaps]) -> Vec<Vec<f32>> {
    let device = learner.device.clone();
    let learned = learner.weights.iter().filter(|(name, _)| is_learned(name));
    let learned =
        learned.map(|(name, values): (&str, &Values)| (name, vector(&values.values, &device))).collect();
    let mut pass = Pass::training(&learner.weights, &learner.scales, learned, device.clone());
    let forward = |(scale, maps): (usize, &RawMaps)| {
        let raw = maps.tensor(learner.scales[scale].inputs, &device);
        floats(pass.forward(scale, raw, maps.shape))
    };
    maps.iter().enumerate().map(forward).collect()
}

#[cfg(test)]
mod tests {
    use super::super::MapShape;
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256Plus;

    const SCALE: ScaleShape = ScaleShape { inputs: 5, outputs: JOINED + 3 };

    fn learner() -> Learner {
        let weights = Weights::initial(&[SCALE], 3);
        Learner::new(vec![SCALE], weights, LossParams::default(), &OptimiserParams::default())
    }

    fn batch() -> RawMaps {
        let shape = MapShape { images: 4, height: 6, width: 7 };
        let mut random = Xoshiro256Plus::seed_from_u64(1);
        RawMaps { values: (0..5 * shape.places()).map(|_| random.gen_range(-1.0..1.0)).collect(), shape }
    }

    #[test]
    fn places_may_be_read_before_or_after_the_last_convolution() {
        // Some lie half a patch beyond the middles of the outermost ones, where less than a whole patch is read.
        let pairs = Pairs {
            positive: vec![[-1.0, -1.0], [0.2, 0.4], [1.0, -0.3]],
            remote: vec![[[-0.7, 0.1], [1.0, 1.0]], [[0.0, -1.0], [0.5, 0.5]]],
            anomalous: vec![[0.9, -0.9]],
        };
        let pairs = [pairs.clone(), Pairs { remote: Vec::new(), ..pairs }];
        let [before, after] =
            [true, false].map(|early| learner().gradients_reading(&[batch()], &pairs, |_| early));
        assert!((before.0.total() - after.0.total()).abs() < 1e-6, "{:?} {:?}", before.0, after.0);
        assert!(before.1.keys().eq(after.1.keys()));
        for (name, before) in &before.1 {
            let after = &after.1[name];
            let most = after.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            for (before, after) in before.iter().zip(after) {
                assert!(
                    (before - after).abs() <= 1e-4 * most + 1e-7,
                    "{name}: {before} {after}, most {most}"
                );
            }
        }
    }

    #[test]
    fn without_pairs_every_gradient_is_zero() {
        for early in [true, false] {
            let none = [Pairs::default(), Pairs::default()];
            let (losses, gradients) = learner().gradients_reading(&[batch()], &none, |_| early);
            assert_eq!(losses, Losses::default());
            let learned = learner().weights().iter().filter(|(name, _)| is_learned(name)).count();
            assert_eq!(gradients.len(), learned, "early: {early}");
            assert!(gradients.values().flatten().all(|&value| value == 0.0));
        }
    }
}
