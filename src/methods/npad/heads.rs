//! The part of N-pad that lives inside the network's graph: the chosen channels of all layers at the finest layer's size.

use super::{Params, features_role};
use crate::error::Result;
use crate::kernels::windowed::Shape;
use crate::methods::fitting::FitOptions;
use crate::network::backbone::Layer;
use crate::network::graph::GraphBuilder;
use crate::network::onnx::DataType;

/// Role of all channels, for counting.
pub(super) const ALL: &str = "all";

/// The graph that makes all channels of all `layers`, `[1, channels, height, width]`.
pub(super) fn all_channels(
    options: &FitOptions,
    input: (u32, u32),
    layers: &[Layer],
    places: (usize, usize),
) -> Result<Vec<u8>> {
    let mut graph = GraphBuilder::from_backbone(&options.backbone.model, input)?;
    let maps: Vec<String> =
        layers.iter().map(|layer| graph.resize(&layer.name, layer.channels, places)).collect();
    let all = graph.concat_channels(&maps);
    let count = layers.iter().map(|layer| layer.channels).sum();
    graph.output(ALL, &all, DataType::Float, &[1, count, places.0, places.1]);
    graph.finish()
}

/// The graph that makes the features of the frame and of its shifts; `chosen` are channels of all `layers` one after the other, ascending.
pub(super) fn features(
    options: &FitOptions,
    input: (u32, u32),
    layers: &[Layer],
    chosen: &[usize],
    params: &Params,
    shape: Shape,
) -> Result<Vec<u8>> {
    let mut graph = GraphBuilder::from_backbone(&options.backbone.model, input)?;
    let shifted = graph.shifted_copies(params.shifts)?;
    for (shift, prefix) in shifted.iter().enumerate() {
        let mut maps = Vec::new();
        let mut first = 0;
        for layer in layers {
            let own = chosen.iter().filter(|&&c| (first..first + layer.channels).contains(&c));
            let own: Vec<i64> = own.map(|&channel| (channel - first) as i64).collect();
            first += layer.channels;
            if !own.is_empty() {
                let some = graph.gather_channels(&format!("{prefix}{}", layer.name), &own);
                maps.push(graph.resize(&some, own.len(), (shape.height, shape.width)));
            }
        }
        let all = graph.concat_channels(&maps);
        // As the distributions are estimated from: of images that are all alike the rounding would be the only difference.
        let all = graph.rounded_to_halves(&all);
        let last = graph.channel_last(&all);
        let dims = [1, shape.height, shape.width, shape.channels];
        graph.output(&features_role(shift), &last, DataType::Float, &dims);
    }
    graph.finish()
}
