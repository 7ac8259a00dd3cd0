//! The part of CPR that lives inside the network's graph: normalised local features, codes and foreground.

use super::train::{self, Weights};
use super::{CODES, FOREGROUND, local_role};
use crate::error::Result;
use crate::kernels::windowed::Shape;
use crate::network::graph::GraphBuilder;
use crate::network::onnx::DataType;

/// Added to the length of a feature before dividing by it, as the authors' code does.
const NORM_EPSILON: f32 = 1e-8;

/// A 1x1 convolution with one output: the foreground weight before it is clamped to 0..1.
#[derive(Clone, Debug, PartialEq)]
pub struct ForegroundHead {
    /// One weight a channel of the finest scale.
    pub weight: Vec<f32>,
    /// Bias.
    pub bias: f32,
}

/// Adds the heads of CPR to a graph that has the values `layers`, `[1, C, H, W]` each, finest first. The local features are those
/// of the learned `branch`, or the raw ones without it; codes and foreground are of the raw ones in any case.
///
/// # Errors
/// If the graph makes no such values.
pub fn finish(
    mut graph: GraphBuilder,
    layers: &[(&str, Shape)],
    centres: &[f32],
    codes: usize,
    foreground: Option<&ForegroundHead>,
    branch: Option<&Weights>,
) -> Result<Vec<u8>> {
    for (i, (layer, shape)) in layers.iter().enumerate() {
        let (local, channels) = match branch {
            Some(weights) => train::export(&mut graph, weights, i, layer),
            None => ((*layer).to_owned(), shape.channels),
        };
        let last = graph.channel_last(&local);
        let unit = graph.l2_normalise_last(&last, NORM_EPSILON);
        graph.output(&local_role(i), &unit, DataType::Float, &[1, shape.height, shape.width, channels]);
    }
    codes_and_foreground(&mut graph, layers[0], centres, codes, foreground);
    graph.finish()
}

/// Role of the raw features of a scale in [`raw`].
pub(super) fn raw_role(scale: usize) -> String {
    format!("raw_{scale}")
}

/// The graph that training samples are run through: raw features, `[1, C, H, W]`, codes and foreground.
///
/// # Errors
/// If the graph makes no such values.
pub(super) fn raw(
    mut graph: GraphBuilder,
    layers: &[(&str, Shape)],
    centres: &[f32],
    codes: usize,
    foreground: Option<&ForegroundHead>,
) -> Result<Vec<u8>> {
    for (i, (layer, shape)) in layers.iter().enumerate() {
        let dims = [1, shape.channels, shape.height, shape.width];
        graph.output(&raw_role(i), layer, DataType::Float, &dims);
    }
    codes_and_foreground(&mut graph, layers[0], centres, codes, foreground);
    graph.finish()
}

fn codes_and_foreground(
    graph: &mut GraphBuilder,
    (finest, shape): (&str, Shape),
    centres: &[f32],
    codes: usize,
    foreground: Option<&ForegroundHead>,
) {
    let nearest = graph.nearest_centre(finest, centres, codes);
    graph.output(CODES, &nearest, DataType::Uint8, &[1, shape.height, shape.width]);
    if let Some(head) = foreground {
        let raw = graph.conv1x1(finest, &head.weight, &[head.bias]);
        let weight = graph.clamp_unit(&raw);
        graph.output(FOREGROUND, &weight, DataType::Float, &[1, 1, shape.height, shape.width]);
    }
}
