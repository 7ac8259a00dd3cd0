//! Every number of the method, with the paper's values as defaults.

use crate::frame::InputSpec;
use crate::kernels::mahalanobis::packed_len;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The parameters of N-pad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Number of normal images that the distributions were estimated from.
    pub references: usize,
    /// Pixels of the input per position, those of the finest layer.
    pub stride: usize,
    /// d, channels of all layers together that are kept.
    pub channels: usize,
    /// Keeps the channels with the fewest non-zero values, as the paper says, instead of those with the most, which its reason asks for. Without effect where no layer ends in zeros, as of the
    /// shipped network.
    pub fewest_nonzero: bool,
    /// p, side of the neighbourhood that distributions are estimated from and features averaged over, odd.
    pub neighbourhood: usize,
    /// Side of the neighbourhood whose distributions a feature is compared with; an even one reaches further to the right and down.
    pub window: usize,
    /// The larger, the more the neighbours count.
    pub lambda: f64,
    /// Added to the diagonal of every covariance. A fit raises it where `epsilon_share` asks for more.
    pub epsilon: f64,
    /// Share of the features' mean variance that epsilon is at least: features of another network have other units. 0 leaves it as it is.
    #[serde(default)]
    pub epsilon_share: f64,
    /// Centroids as a share of the images' averaged features, one at least.
    pub centroids: f64,
    /// Centroids at most.
    pub most_centroids: usize,
    /// k, the positions whose distances make up the image score, as a share of all, one at least.
    pub top: f64,
    /// Frames are compared once more for every one of so many pixels by which they are shifted, and the results averaged.
    pub shifts: usize,
    /// Side of the Gaussian kernel that smooths the map, odd.
    pub blur_side: usize,
    /// Its sigma in pixels.
    pub blur_sigma: f64,
    /// What the root of an image score is multiplied by for the map's value that means the same; learned.
    pub map_scale: f64,
}

impl Params {
    /// What the images and the network decide.
    #[cfg(feature = "train")]
    pub const DECIDED: [&str; 3] = ["references", "stride", "map_scale"];

    /// The paper's values for `references` images and the finest layer's stride, but for `channels`, `epsilon_share`, `centroids`, `top` and
    /// `shifts`: README.md.
    pub fn new(references: usize, stride: usize) -> Self {
        Self {
            references,
            stride,
            channels: 150,
            fewest_nonzero: false,
            neighbourhood: 3,
            window: 2,
            lambda: 0.25,
            epsilon: 0.01,
            epsilon_share: 0.03,
            centroids: 0.005,
            most_centroids: 20_000,
            top: 0.01,
            shifts: 0,
            blur_side: 33,
            blur_sigma: 4.0,
            map_scale: 1.0,
        }
    }

    /// Rows and columns of the positions for an input.
    pub fn places(&self, input: &InputSpec) -> (usize, usize) {
        (input.height as usize / self.stride, input.width as usize / self.stride)
    }

    /// k of so many positions, at least 1.
    pub fn top_places(&self, places: usize) -> usize {
        ((self.top * places as f64).round() as usize).max(1)
    }

    /// Centroids of the features of all images, at least 1.
    pub fn centroid_count(&self, input: &InputSpec) -> usize {
        let (height, width) = self.places(input);
        let features = self.references as f64 * (height * width) as f64;
        ((self.centroids * features).round() as usize).clamp(1, self.most_centroids)
    }

    /// Rows and columns between a position and the distributions that it is compared with.
    pub fn offsets(&self) -> RangeInclusive<isize> {
        let side = self.window as isize;
        -((side - 1) / 2)..=side / 2
    }

    /// Bytes of the distributions in memory and on disk.
    pub fn bytes(&self, input: &InputSpec) -> u64 {
        let (height, width) = self.places(input);
        let one = packed_len(self.channels) * size_of::<i16>() + 2 * self.channels * size_of::<f32>();
        (height * width * 2 * one) as u64
    }

    /// Checks every range, so that an untrusted bundle can neither crash the kernels nor ask for absurd work.
    ///
    /// # Errors
    /// With the parameter, what is allowed and what was found.
    pub fn check(&self, input: &InputSpec) -> Result<(), String> {
        within("references", self.references, 1, 1 << 24)?;
        within("stride", self.stride, 1, 32)?;
        within("channels", self.channels, 1, 1 << 12)?;
        within("neighbourhood", self.neighbourhood, 1, 15)?;
        within("window", self.window, 1, 15)?;
        within("most_centroids", self.most_centroids, 1, 1 << 16)?;
        within("shifts", self.shifts, 0, 8)?;
        within("blur_side", self.blur_side, 1, 255)?;
        for (name, side) in [("neighbourhood", self.neighbourhood), ("blur_side", self.blur_side)] {
            if side.is_multiple_of(2) {
                return Err(format!("{name} must be odd, found {side}"));
            }
        }
        let positive = [("lambda", self.lambda, 1e6), ("epsilon", self.epsilon, 1e6)];
        let positive = positive.into_iter().chain([("blur_sigma", self.blur_sigma, 255.0)]);
        for (name, value, most) in positive.chain([("map_scale", self.map_scale, 1e12)]) {
            if !(value >= 1e-12 && value <= most) {
                return Err(format!("{name} must be 1e-12 to {most}, found {value}"));
            }
        }
        let divides = |side: u32| (side as usize).is_multiple_of(self.stride);
        if !(divides(input.width) && divides(input.height)) {
            return Err(format!(
                "stride {} does not divide the input of {}x{}",
                self.stride, input.width, input.height
            ));
        }
        if !(0.0..=1.0).contains(&self.epsilon_share) {
            return Err(format!("epsilon_share must be 0 to 1, found {}", self.epsilon_share));
        }
        for (name, share) in [("centroids", self.centroids), ("top", self.top)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(format!("{name} must be more than 0 and at most 1, found {share}"));
            }
        }
        Ok(())
    }
}

fn within(name: &str, value: usize, low: usize, high: usize) -> Result<(), String> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} must be {low} to {high}, found {value}")),
    }
}
