//! Where the object is in the training images: a model of the background, learned along the border.
//!
//! Features of a ring along the border are clustered; the clusters that occur in most images are the background. What lies far from all of
//! them, and what it encloses, is the object. It may be thin, turned, somewhere else in each image, or several. The zero padding of the
//! network's convolutions changes the outermost features, so that the ring begins further in and the outermost positions are not looked at.
//!
//! A texture has no such object, and a part that fills the image has no background: [`Evidence`] says whether the model holds.

use self::spread::{Distance, second_moment, variation, whitening};
use super::codebook::{KMeansParams, kmeans, nearest};
use crate::error::Result;
use half::f16;
use rand::SeedableRng;
use rand::seq::index;
use rand_xoshiro::Xoshiro256Plus;
use rayon::prelude::*;

mod spread;

/// The numbers of the estimate. They were chosen on made-up and public products with and without an object, without a look at defects.
#[derive(Clone, Debug)]
pub struct BackgroundParams {
    /// Where the ring along the border begins and ends, as shares of the side.
    pub ring: (f64, f64),
    /// Clusters of the ring's features, and starts of k-means.
    pub clusters: usize,
    /// See [`BackgroundParams::clusters`].
    pub restarts: usize,
    /// A cluster is background if it has this share of all of the ring, ...
    pub share: f64,
    /// ... and at least [`BackgroundParams::present`] of the ring in this share of the images.
    pub images: f64,
    /// See [`BackgroundParams::images`].
    pub present: f64,
    /// Features at most that are clustered and that covariances are estimated from.
    pub features: usize,
    /// Share of the mean variance that is added to each variance of the background.
    pub ridge: f64,
    /// What lies this many times as far from the background as the ring's median is the object.
    pub far: f64,
    /// The object's share of nearly every image, at least.
    pub object: f64,
    /// The background's share of the median image's ring, at least.
    pub border: f64,
    /// How many times as far from the background as the ring's median the object's median is, at least.
    pub separation: f64,
    /// How much the ring varies, at most, as a share of how much all of the images do.
    pub variation: f64,
}

impl Default for BackgroundParams {
    fn default() -> Self {
        Self {
            ring: (0.025, 0.075),
            clusters: 6,
            restarts: 3,
            share: 0.03,
            images: 0.5,
            present: 0.02,
            features: 20_000,
            ridge: 0.05,
            far: 4.0,
            object: 0.02,
            border: 0.5,
            separation: 7.5,
            variation: 0.9,
        }
    }
}

/// The feature maps of one layer of several images, `[images, height, width, channels]`.
#[derive(Clone, Copy, Debug)]
pub struct LayerMaps<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// The features.
    pub values: &'a [f16],
}

impl LayerMaps<'_> {
    fn positions(&self) -> usize {
        self.height * self.width
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.values.len() / (self.positions() * self.channels)
    }

    /// The feature at a position of all images, counted from the first image's first.
    pub fn feature(&self, position: usize) -> impl Iterator<Item = f32> + '_ {
        self.values[position * self.channels..][..self.channels].iter().map(|value| value.to_f32())
    }

    /// Where a position of these maps lies in `other`, maps of the same images in another resolution.
    pub fn position_in(&self, other: &LayerMaps<'_>, position: usize) -> usize {
        let (image, within) = (position / self.positions(), position % self.positions());
        let scaled = |at: usize, from: usize, to: usize| (2 * at + 1) * to / (2 * from);
        let y = scaled(within / self.width, self.height, other.height);
        let x = scaled(within % self.width, self.width, other.width);
        image * other.positions() + y * other.width + x
    }

    fn gather(&self, positions: impl IntoIterator<Item = usize>) -> Vec<f32> {
        positions.into_iter().flat_map(|position| self.feature(position)).collect()
    }
}

/// How well the model holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The background's share of the median image's ring.
    pub border: f64,
    /// The share of the image that the object takes in nearly every image (all but one in twenty).
    pub object: f64,
    /// Median distance of the object from the background, in units of the ring's median distance.
    pub separation: f64,
    /// How much the ring varies, as a share of how much all of the images do: 1 for a texture.
    pub variation: f64,
}

impl Evidence {
    /// Why these images are not taken for objects on a plain background; none if they are.
    pub fn doubt(&self, params: &BackgroundParams) -> Option<String> {
        let percent = |share: f64| 100.0 * share;
        if self.object < params.object {
            Some(format!(
                "what differs from the border takes {:.1} % of an image, an object at least {:.0} %",
                percent(self.object),
                percent(params.object)
            ))
        } else if self.border < params.border {
            Some(format!(
                "{:.0} % of the border belongs to what is in the middle, too",
                percent(1.0 - self.border)
            ))
        } else if self.variation > params.variation {
            Some(format!(
                "the border varies {:.2} times as much as the whole image, a plain background at most {:.1} times",
                self.variation, params.variation
            ))
        } else if self.separation < params.separation {
            Some(format!(
                "what might be an object differs from the border {:.1} times as much as that varies, an object at least {:.1} times",
                self.separation, params.separation
            ))
        } else {
            None
        }
    }

    /// What was found, in one sentence.
    pub fn describe(&self) -> String {
        format!(
            "the background covers {:.0} % of the border, the object {:.0} % of an image or more, and differs from the background \
             {:.0} times as much as that varies",
            100.0 * self.border,
            100.0 * self.object,
            self.separation
        )
    }
}

/// The estimate.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Whether a position of an image belongs to the object, `[images, height, width]`.
    pub object: Vec<bool>,
    /// Positions of the ring that belong to the background, of all images.
    pub background: Vec<usize>,
    /// Positions of the object that padding does not reach, of all images.
    pub foreground: Vec<usize>,
    /// How well the model holds.
    pub evidence: Evidence,
}

/// Distance of a position from the nearest edge of the map.
fn depth(position: usize, height: usize, width: usize) -> usize {
    let (y, x) = (position / width, position % width);
    y.min(height - 1 - y).min(x.min(width - 1 - x))
}

/// Estimates where the object is. `after_start` is called after every start of k-means, and may put an end to it.
///
/// # Errors
/// If there are no features, they do not vary, or `after_start` says so.
pub fn estimate(
    maps: LayerMaps<'_>,
    params: &BackgroundParams,
    seed: u64,
    after_start: impl FnMut() -> Result<()>,
) -> Result<Estimate> {
    let LayerMaps { height, width, channels, .. } = maps;
    let (positions, images) = (maps.positions(), maps.images());
    let side = height.min(width);
    // Padding changes at least the outermost positions; a map of a few positions still has a ring.
    let at = |share: f64| (share * side as f64).round() as usize;
    let begin = at(params.ring.0).max(1).min((side - 1) / 2);
    let end = at(params.ring.1).max(begin + 1);
    let depths: Vec<usize> = (0..positions).map(|position| depth(position, height, width)).collect();
    let of_one = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..positions).filter(|&position| wanted(depths[position])).collect()
    };
    let ring = of_one(&|depth| (begin..end).contains(&depth));
    let inner = of_one(&|depth| depth >= begin);
    let all_of = |one: &[usize]| -> Vec<usize> {
        (0..images).flat_map(|image| one.iter().map(move |position| image * positions + position)).collect()
    };
    let (rings, inners) = (all_of(&ring), all_of(&inner));

    let mut random = Xoshiro256Plus::seed_from_u64(seed);
    let mut some = |from: &[usize]| -> Vec<f32> {
        let chosen = index::sample(&mut random, from.len(), params.features.min(from.len()));
        maps.gather(chosen.into_iter().map(|i| from[i]))
    };
    let (ring_sample, sample) = (some(&rings), some(&inners));
    let starts = KMeansParams { restarts: params.restarts, ..KMeansParams::default() };
    let centres = kmeans(&ring_sample, channels, params.clusters, seed, &starts, after_start)?;
    let labels: Vec<usize> = rings
        .iter()
        .map(|&position| nearest(&centres, &maps.feature(position).collect::<Vec<_>>()))
        .collect();
    let clusters = background_clusters(&labels, ring.len(), params);
    let kept: Vec<f32> =
        clusters.iter().flat_map(|&cluster| &centres[cluster * channels..][..channels]).copied().collect();
    let residuals: Vec<f64> = ring_sample
        .chunks_exact(channels)
        .map(|feature| (feature, nearest(&centres, feature)))
        .filter(|(_, cluster)| clusters.contains(cluster))
        .flat_map(|(feature, cluster)| {
            feature
                .iter()
                .zip(&centres[cluster * channels..][..channels])
                .map(|(value, centre)| f64::from(value - centre))
        })
        .collect();
    let whitening = whitening(second_moment(&residuals, channels), channels, params.ridge)?;

    let distance = Distance::new(&whitening, &kept, channels);
    let distances: Vec<f32> =
        (0..images * positions).into_par_iter().map(|position| distance.of(maps.feature(position))).collect();
    let mut along: Vec<f32> = rings.iter().map(|&position| distances[position]).collect();
    let unit = f64::from(median(&mut along)).max(f64::from(f32::MIN_POSITIVE));
    let far = (params.far * unit) as f32;
    let mut object: Vec<bool> = distances.iter().map(|&distance| distance > far).collect();
    for image in object.chunks_exact_mut(positions) {
        complete(image, height, width, begin);
    }

    let count = |one: &[usize], image: usize| {
        one.iter().filter(|&&position| object[image * positions + position]).count() as f64
            / one.len().max(1) as f64
    };
    let mut in_ring: Vec<f32> = (0..images).map(|image| count(&ring, image) as f32).collect();
    let mut inside: Vec<f32> = (0..images).map(|image| count(&inner, image) as f32).collect();
    inside.sort_by(f32::total_cmp);
    let mut beyond: Vec<f32> =
        inners.iter().map(|&position| distances[position]).filter(|&distance| distance > far).collect();
    let evidence = Evidence {
        border: 1.0 - f64::from(median(&mut in_ring)),
        object: f64::from(inside[inside.len() / 20]),
        separation: if beyond.is_empty() { 0.0 } else { f64::from(median(&mut beyond)) / unit },
        variation: variation(&ring_sample, &sample, channels)?,
    };
    let background = rings.into_iter().filter(|&position| !object[position]).collect();
    let foreground = inners.into_iter().filter(|&position| object[position]).collect();
    Ok(Estimate { object, background, foreground, evidence })
}

/// The clusters that are background; at least the largest. `labels` are those of the rings, of `ring` positions each.
fn background_clusters(labels: &[usize], ring: usize, params: &BackgroundParams) -> Vec<usize> {
    let share = |labels: &[usize], cluster: usize| {
        labels.iter().filter(|&&label| label == cluster).count() as f64 / labels.len().max(1) as f64
    };
    let images = labels.len() / ring;
    let shares: Vec<f64> = (0..params.clusters).map(|cluster| share(labels, cluster)).collect();
    let common = |cluster: usize| {
        let present =
            labels.chunks_exact(ring).filter(|labels| share(labels, cluster) >= params.present).count();
        present as f64 >= params.images * images as f64
    };
    let found: Vec<usize> =
        (0..params.clusters).filter(|&cluster| shares[cluster] >= params.share && common(cluster)).collect();
    let largest = (0..params.clusters).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap_or(0);
    if found.is_empty() { vec![largest] } else { found }
}

/// Completes the object of one image: what it encloses belongs to it, and the outermost `margin` positions are as those further in.
fn complete(object: &mut [bool], height: usize, width: usize, margin: usize) {
    let inner = |y: usize, x: usize| {
        y.clamp(margin, height - 1 - margin) * width + x.clamp(margin, width - 1 - margin)
    };
    // What can be reached from the border without crossing the object is outside of it.
    let mut outside = vec![false; object.len()];
    let mut open: Vec<usize> = Vec::new();
    for y in margin..height - margin {
        for x in margin..width - margin {
            let border = y == margin || x == margin || y == height - 1 - margin || x == width - 1 - margin;
            let position = y * width + x;
            if border && !object[position] {
                outside[position] = true;
                open.push(position);
            }
        }
    }
    while let Some(position) = open.pop() {
        let (y, x) = (position / width, position % width);
        let beside = [
            (y > margin).then(|| position - width),
            (y + 1 < height - margin).then(|| position + width),
            (x > margin).then(|| position - 1),
            (x + 1 < width - margin).then(|| position + 1),
        ];
        for next in beside.into_iter().flatten() {
            if !object[next] && !outside[next] {
                outside[next] = true;
                open.push(next);
            }
        }
    }
    for y in 0..height {
        for x in 0..width {
            object[y * width + x] = !outside[inner(y, x)];
        }
    }
}

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests;
