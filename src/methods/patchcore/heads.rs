//! The part of PatchCore that lives inside the network's graph: patches of every layer, pooled to the embedding.
//!
//! A patch vector has `C * p * p` values in the order (channel, row, column). Adaptive average pooling to the layer's dimension,
//! then of all layers' vectors to the embedding, is a fixed linear map of the patch: a convolution. Its weights repeat
//! from channel to channel, so that it is one of few channels a group.

use super::{Embedding, PATCHES};
use crate::error::Result;
use crate::kernels::windowed::Shape;
use crate::network::graph::GraphBuilder;
use crate::network::onnx::DataType;
use std::ops::Range;

/// Adds the embedding to a graph that has the values `layers`, `[1, C, H, W]` each, finest first.
///
/// Patches are taken from every layer at its own resolution; the coarser layers' are enlarged to the finest afterwards, which
/// may be done behind the convolution, since both are linear and enlarging treats all channels alike.
///
/// # Errors
/// If the graph makes no such values.
pub fn finish(mut graph: GraphBuilder, layers: &[(&str, Shape)], embedding: &Embedding) -> Result<Vec<u8>> {
    let finest = layers[0].1;
    let outputs = embedding.aggregated / layers.len();
    let mut parts = Vec::new();
    for (layer, shape) in layers {
        let pooling = Pooling::new(shape.channels, embedding, outputs);
        let mut part = graph.conv_same(layer, &pooling.weights(), outputs, pooling.groups, embedding.patch);
        let factor = (finest.height / shape.height, finest.width / shape.width);
        if factor != (1, 1) {
            part = graph.enlarge(&part, factor);
        }
        parts.push(part);
    }
    let whole = graph.concat_channels(&parts);
    let last = graph.channel_last(&whole);
    let shape = [1, finest.height, finest.width, embedding.aggregated];
    graph.output(PATCHES, &last, DataType::Float, &shape);
    graph.finish()
}

/// What a place of an adaptive average pooling from `from` to `to` values takes the mean of.
fn pooled(place: usize, from: usize, to: usize) -> Range<usize> {
    place * from / to..((place + 1) * from).div_ceil(to)
}

/// One layer's share of the embedding as a grouped convolution.
struct Pooling {
    channels: usize,
    /// Positions of a patch.
    places: usize,
    /// The layer's own dimension, between the two poolings.
    dimension: usize,
    /// The layer's values in the embedding.
    outputs: usize,
    groups: usize,
}

impl Pooling {
    fn new(channels: usize, embedding: &Embedding, outputs: usize) -> Self {
        let groups = gcd(channels, gcd(embedding.dimension, outputs));
        let places = embedding.patch * embedding.patch;
        Self { channels, places, dimension: embedding.dimension, outputs, groups }
    }

    /// `[outputs, channels / groups, patch, patch]`.
    fn weights(&self) -> Vec<f32> {
        let length = self.channels / self.groups * self.places;
        let mut weights = vec![0.0; self.outputs * length];
        for (output, weights) in weights.chunks_exact_mut(length).enumerate() {
            // Where a group ends, so do both poolings: its outputs see nothing of other groups.
            let first = output / (self.outputs / self.groups) * length;
            let second_pooling = pooled(output, self.dimension, self.outputs);
            for middle in second_pooling.clone() {
                let first_pooling = pooled(middle, self.channels * self.places, self.dimension);
                let share = 1.0 / (second_pooling.len() * first_pooling.len()) as f64;
                for value in first_pooling {
                    weights[value - first] += share as f32;
                }
            }
        }
        weights
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
