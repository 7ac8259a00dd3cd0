//! The branch's numbers by name, free of any framework: what a checkpoint holds and the exported graph is made from.

use super::ScaleShape;
use crate::dataset::synthetic::Random;
use crate::error::{Error, Result};
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// Channels after the first convolution.
pub const STEM: usize = 192;
/// Channels of each of the four branches.
pub const WIDTH: usize = 64;
/// Channels between the two convolutions of the second branch.
pub const SQUEEZED: usize = 48;
/// Channels of the four branches together.
pub const JOINED: usize = 4 * WIDTH;

/// A tensor: shape and values, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

/// All tensors of a branch by the names of the authors' code, such as `conv.0.3.branch1.0.bn.weight`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(BTreeMap<String, Values>);

/// The names of a convolution and of the batch norm behind it.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Name of the convolution.
    pub conv: String,
    /// Name of the batch norm.
    pub norm: String,
    /// Whether the convolution has a bias.
    pub biased: bool,
    /// Added to the batch norm's variance.
    pub epsilon: f64,
}

impl Unit {
    /// The first convolution of a scale, which alone of all units has a bias.
    pub fn stem(scale: usize) -> Self {
        Self { conv: format!("conv.{scale}.0"), norm: format!("conv.{scale}.1"), biased: true, epsilon: 1e-5 }
    }

    /// A unit of the four branches, such as `branch1.0`.
    pub fn inner(scale: usize, name: &str) -> Self {
        let prefix = format!("conv.{scale}.3.{name}");
        Self { conv: format!("{prefix}.conv"), norm: format!("{prefix}.bn"), biased: false, epsilon: 1e-3 }
    }
}

/// Name of the last convolution of a scale.
pub fn last(scale: usize) -> String {
    format!("conv.{scale}.4")
}

/// Every tensor of a branch: its name, its shape and what it starts from.
fn layout(scales: &[ScaleShape]) -> Vec<(String, Vec<usize>, Start)> {
    let mut tensors = Vec::new();
    for (s, scale) in scales.iter().enumerate() {
        let mut unit = |unit: Unit, shape: Vec<usize>| {
            let (outputs, reach) = (shape[0], shape[1..].iter().product());
            tensors.push((format!("{}.weight", unit.conv), shape, Start::Uniform(reach)));
            if unit.biased {
                tensors.push((format!("{}.bias", unit.conv), vec![outputs], Start::Uniform(reach)));
            }
            for (part, start) in [
                ("weight", Start::Ones),
                ("bias", Start::Zeros),
                ("running_mean", Start::Zeros),
                ("running_var", Start::Ones),
            ] {
                tensors.push((format!("{}.{part}", unit.norm), vec![outputs], start));
            }
        };
        unit(Unit::stem(s), vec![STEM, scale.inputs, 1, 1]);
        unit(Unit::inner(s, "branch0"), vec![WIDTH, STEM, 1, 1]);
        unit(Unit::inner(s, "branch1.0"), vec![SQUEEZED, STEM, 1, 1]);
        unit(Unit::inner(s, "branch1.1"), vec![WIDTH, SQUEEZED, 3, 3]);
        unit(Unit::inner(s, "branch2.0"), vec![WIDTH, STEM, 1, 1]);
        unit(Unit::inner(s, "branch3.1"), vec![WIDTH, STEM, 1, 1]);
        let last = last(s);
        tensors.push((format!("{last}.weight"), vec![scale.outputs, JOINED, 1, 1], Start::Uniform(JOINED)));
        tensors.push((format!("{last}.bias"), vec![scale.outputs], Start::Uniform(JOINED)));
    }
    tensors
}

/// What a tensor starts from.
#[derive(Clone, Copy, Debug)]
enum Start {
    Zeros,
    Ones,
    /// Uniform within one over the root of so many inputs, as the authors' framework does it for convolutions.
    Uniform(usize),
}

impl Weights {
    /// The weights that a training starts from.
    pub fn initial(scales: &[ScaleShape], seed: u64) -> Self {
        let mut random = Random::seed_from_u64(seed);
        let mut value = |start| match start {
            Start::Zeros => 0.0,
            Start::Ones => 1.0,
            Start::Uniform(inputs) => {
                let bound = 1.0 / (inputs as f32).sqrt();
                random.gen_range(-bound..bound)
            }
        };
        let tensors = layout(scales).into_iter().map(|(name, shape, start)| {
            let values = (0..shape.iter().product()).map(|_| value(start)).collect();
            (name, Values { shape, values })
        });
        Self(tensors.collect())
    }

    /// Weights from elsewhere, `read` by name.
    ///
    /// # Errors
    /// If `read` fails, or a tensor has another size than the branch of these scales needs, or a value that is not finite.
    pub fn read(scales: &[ScaleShape], mut read: impl FnMut(&str) -> Result<Vec<f32>>) -> Result<Self> {
        let tensors = layout(scales).into_iter().map(|(name, shape, _)| {
            let values = read(&name)?;
            let expected: usize = shape.iter().product();
            if values.len() != expected {
                return Err(Error::Fit(format!(
                    "weights: '{name}' should have {expected} values, found {}",
                    values.len()
                )));
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(Error::Fit(format!("weights: '{name}' has values that are not finite")));
            }
            Ok((name, Values { shape, values }))
        });
        Ok(Self(tensors.collect::<Result<_>>()?))
    }

    /// All tensors by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.0.iter().map(|(name, values)| (name.as_str(), values))
    }

    /// The values of a tensor that [`Weights::initial`] or [`Weights::read`] made.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn get(&self, name: &str) -> &[f32] {
        &self.0.get(name).unwrap_or_else(|| panic!("the branch has no tensor '{name}'")).values
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Values> {
        self.0.get_mut(name)
    }
}

/// Whether a tensor is learned by descent: running statistics are counted, and the bias before a batch norm has no effect.
pub fn is_learned(name: &str) -> bool {
    let stem_bias = name
        .strip_prefix("conv.")
        .is_some_and(|rest| rest.ends_with(".0.bias") && rest.matches('.').count() == 2);
    !name.contains("running_") && !stem_bias
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_start() {
        let scales = [ScaleShape { inputs: 5, outputs: 3 }];
        assert_eq!(Weights::initial(&scales, 7), Weights::initial(&scales, 7));
        assert_ne!(Weights::initial(&scales, 7), Weights::initial(&scales, 8));
        assert_eq!(Weights::initial(&scales, 7).iter().count(), 33);
    }

    #[test]
    fn statistics_and_the_first_bias_are_not_learned() {
        for name in ["conv.0.0.bias", "conv.1.3.branch0.bn.running_mean"] {
            assert!(!is_learned(name), "{name}");
        }
        for name in ["conv.0.0.weight", "conv.0.4.bias", "conv.0.1.bias", "conv.0.3.branch1.0.bn.bias"] {
            assert!(is_learned(name), "{name}");
        }
    }

    #[test]
    fn foreign_weights_must_fit() {
        let scales = [ScaleShape { inputs: 5, outputs: 3 }];
        let wrong = Weights::read(&scales, |_| Ok(vec![0.0; 5])).unwrap_err().to_string();
        assert!(wrong.contains("'conv.0.0.weight' should have 960 values, found 5"), "{wrong}");
        let own = Weights::initial(&scales, 7);
        assert_eq!(Weights::read(&scales, |name| Ok(own.get(name).to_vec())).unwrap(), own);
        assert!(Weights::read(&scales, |name| Ok(vec![f32::NAN; own.get(name).len()])).is_err());
    }
}
