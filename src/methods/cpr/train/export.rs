//! The learned branch as a part of the bundle's graph, every batch norm folded into the convolution before it.

use super::weights::{JOINED, Unit, WIDTH, Weights, last};
use crate::network::graph::GraphBuilder;

/// A convolution with its batch norm: weights and biases.
struct Folded {
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Folded {
    /// Batch norm is `gamma * (x - mean) / sqrt(variance + epsilon) + beta`: another scale and another bias.
    fn new(weights: &Weights, unit: &Unit) -> Self {
        let norm = |part: &str| weights.get(&format!("{}.{part}", unit.norm));
        let scales: Vec<f64> = norm("weight")
            .iter()
            .zip(norm("running_var"))
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + unit.epsilon).sqrt())
            .collect();
        let own = |i: usize| match unit.biased {
            true => f64::from(weights.get(&format!("{}.bias", unit.conv))[i]),
            false => 0.0,
        };
        let biases = norm("bias").iter().zip(norm("running_mean")).zip(&scales).enumerate();
        let biases = biases
            .map(|(i, ((&beta, &mean), scale))| (f64::from(beta) + (own(i) - f64::from(mean)) * scale) as f32)
            .collect();
        let conv = weights.get(&format!("{}.weight", unit.conv));
        let kernel = conv.len() / scales.len();
        let weights = conv.chunks_exact(kernel).zip(&scales);
        let weights = weights
            .flat_map(|(kernel, scale)| kernel.iter().map(move |&w| (f64::from(w) * scale) as f32))
            .collect();
        Self { weights, biases }
    }

    /// Two convolutions of the same value as one.
    fn beside(mut self, other: Self) -> Self {
        self.weights.extend(other.weights);
        self.biases.extend(other.biases);
        self
    }
}

/// Adds the branch of a scale behind `layer`, `[1, C, H, W]`; returns its value, `[1, D, H, W]`, and D.
pub fn export(graph: &mut GraphBuilder, weights: &Weights, scale: usize, layer: &str) -> (String, usize) {
    let folded = |name: &str| Folded::new(weights, &Unit::inner(scale, name));
    let stem = Folded::new(weights, &Unit::stem(scale));
    let stem = graph.conv1x1(layer, &stem.weights, &stem.biases);
    let stem = graph.relu(&stem);
    // The first and the third branch are alike: one convolution for both is faster than two.
    let outer = folded("branch0").beside(folded("branch2.0"));
    let outer = graph.conv1x1(&stem, &outer.weights, &outer.biases);
    let outer = graph.relu(&outer);
    let squeezed = folded("branch1.0");
    let squeezed = graph.conv1x1(&stem, &squeezed.weights, &squeezed.biases);
    let squeezed = graph.relu(&squeezed);
    let second = folded("branch1.1");
    let second = graph.conv3x3(&squeezed, &second.weights, &second.biases);
    let second = graph.relu(&second);
    // A mean of neighbours keeps a bias as it is, so that it can follow the convolution, which leaves fewer channels.
    let fourth = folded("branch3.1");
    let fourth = graph.conv1x1(&stem, &fourth.weights, &fourth.biases);
    let fourth = graph.average3x3(&fourth);
    let fourth = graph.relu(&fourth);
    let joined = graph.join_channels(&[&outer, &second, &fourth]);
    let biases = weights.get(&format!("{}.bias", last(scale)));
    let projection = reordered(weights.get(&format!("{}.weight", last(scale))));
    (graph.conv1x1(&joined, &projection, biases), biases.len())
}

/// The last convolution's weights for branches in the order first, third, second, fourth.
fn reordered(weights: &[f32]) -> Vec<f32> {
    let branch = |row: &[f32], i: usize| row[i * WIDTH..(i + 1) * WIDTH].to_vec();
    weights.chunks_exact(JOINED).flat_map(|row| [0, 2, 1, 3].map(|i| branch(row, i))).flatten().collect()
}
