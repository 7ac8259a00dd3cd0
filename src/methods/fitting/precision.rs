//! Networks that compute with what the options say.

use super::{FitOptions, ImageSet, Progress};
use crate::error::Result;
use crate::network::quantise::{LEAST, MOST, Quantiser, Range};
use crate::network::{FeatureMap, Network, OutputSpec};
use std::borrow::Cow;

/// Images at most that ranges are measured on.
const MEASURED: usize = 32;

/// `options` with a backbone whose `layers` are computed as they say.
///
/// # Errors
/// If it cannot, none of the `images` can be read, or the user interrupts.
pub(crate) fn with_precision<'a>(
    options: &'a FitOptions,
    layers: &[String],
    images: &mut ImageSet,
    progress: &mut dyn Progress,
) -> Result<Cow<'a, FitOptions>> {
    if options.precision.is_f32() {
        return Ok(Cow::Borrowed(options));
    }
    let mut options = options.clone();
    let model = std::mem::take(&mut options.backbone.model);
    options.backbone.model = in_bytes(&model, layers, &options, images, progress)?;
    Ok(Cow::Owned(options))
}

/// `model` with bytes wherever they lead to one of its `outputs`, their ranges measured on some of the `images`.
///
/// # Errors
/// As [`with_precision`].
pub(crate) fn in_bytes(
    model: &[u8],
    outputs: &[String],
    options: &FitOptions,
    images: &mut ImageSet,
    progress: &mut dyn Progress,
) -> Result<Vec<u8>> {
    let input = images.input();
    let size = (input.width, input.height);
    let quantiser = Quantiser::new(model, size, outputs)?;
    let told = [LEAST, MOST].map(|role| OutputSpec::floats(role, [quantiser.values()])).to_vec();
    let mut network = Network::load(&quantiser.probe()?, size, told, options.device, options.threads)?;
    let ranges_of = |maps: &[FeatureMap]| -> Vec<Range> {
        let (least, most) = (maps[0].floats(), maps[1].floats());
        least.iter().zip(most).map(|(&least, &most)| Range::new(least, most)).collect()
    };
    // What comes before all rounding has its range from the darkest and the brightest image that there can be, not from good parts.
    let mut widest: Option<Vec<Range>> = None;
    let mut pixels = network.new_input()?;
    for value in [0.0, 255.0] {
        let plane = (size.0 * size.1) as usize;
        let planes = pixels.extract_tensor_mut().1.chunks_exact_mut(plane);
        let colours = input.mean.iter().zip(&input.std);
        planes.zip(colours).for_each(|(plane, (mean, std))| plane.fill((value - mean) / std));
        join(&mut widest, ranges_of(&network.run(&pixels)?));
    }
    let mut seen: Option<Vec<Range>> = None;
    images.some(MEASURED, &mut network, "measuring the network's values", progress, |maps| {
        join(&mut seen, ranges_of(maps));
    })?;
    let ranges = seen.unwrap_or_default().into_iter().zip(widest.unwrap_or_default()).enumerate();
    let ranges: Vec<Range> = ranges
        .map(|(i, (seen, widest))| match quantiser.is_exact(i) && widest.is_finite() {
            true => seen.and(widest),
            // What divides by how much an image varies says nothing of a flat one.
            false => seen,
        })
        .collect();
    quantiser.apply(&ranges)
}

fn join(all: &mut Option<Vec<Range>>, more: Vec<Range>) {
    *all = Some(match all.take() {
        Some(all) => all.into_iter().zip(more).map(|(a, b)| a.and(b)).collect(),
        None => more,
    });
}
