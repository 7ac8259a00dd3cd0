//! Every number of the method, with the paper's values as defaults.

use crate::frame::InputSpec;
use crate::kernels::histogram::Blocks;
use crate::kernels::windowed::Shape;
use serde::{Deserialize, Serialize};

/// The parameters of CPR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Number of normal images in the bank.
    pub references: usize,
    /// K, the normal images that a frame is compared with patch by patch.
    pub neighbours: usize,
    /// Global retrieval.
    pub global: GlobalParams,
    /// The scales of local retrieval, finest first.
    pub scales: Vec<Scale>,
    /// Whether distances are weighted with an estimated foreground.
    pub foreground: bool,
    /// Side of the Gaussian kernel that smooths the map, odd.
    pub blur_side: usize,
    /// Its sigma in pixels.
    pub blur_sigma: f64,
    /// Number of the map's largest values whose sum is the image score.
    pub top: usize,
}

/// The parameters of global retrieval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalParams {
    /// Codes of the code book.
    pub codes: usize,
    /// S, blocks of the code map in each direction.
    pub blocks: usize,
    /// The blocks with the smallest divergences that count; the others may hold the defect itself.
    pub kept_blocks: usize,
    /// Added to frequencies before their logarithm.
    pub epsilon: f64,
}

/// A scale of local retrieval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Pixels of the input per patch.
    pub stride: usize,
    /// Values of a local feature.
    pub channels: usize,
    /// Side of the search window in patches, odd.
    pub window: usize,
    /// What its distances count in the map; the paper adds those of two scales as they are.
    #[serde(default = "Scale::whole")]
    pub weight: f64,
}

impl Default for GlobalParams {
    fn default() -> Self {
        // kept_blocks: the code keeps 4/5 of the 25 blocks, the paper's tau = 5.
        Self { codes: 12, blocks: 5, kept_blocks: 20, epsilon: 1e-8 }
    }
}

impl Params {
    /// What the images and the other settings decide.
    #[cfg(feature = "train")]
    pub const DECIDED: [&str; 2] = ["references", "foreground"];
    /// K of the paper.
    pub const NEIGHBOURS: usize = 10;
    /// K for parts, which look much the same in all images or lie turned and shifted on a plain background: what is normal at
    /// a place is told by many images.
    pub const PART_NEIGHBOURS: usize = 60;
    /// Scales at most.
    pub const MOST_SCALES: usize = 4;
    /// Sides of the search windows, finest scale first.
    pub const WINDOWS: [usize; Self::MOST_SCALES] = [3, 1, 1, 1];
    /// The same for objects on a plain background.
    pub const OBJECT_WINDOWS: [usize; Self::MOST_SCALES] = [5, 3, 3, 1];
    /// Values of the map that the image score of a part is taken from: a part's defect may be small, and the rest of the map is calm.
    pub const PART_TOP: usize = 128;
    /// Share of the features' variance that their place in the image explains, from which on images show parts that lie as they did. On
    /// the textures at hand it is 0.01 at most, on such parts 0.3 to 0.75.
    pub const ALIGNED: f64 = 0.2;
    /// The same share, from which on a place looks so much the same in all images that the paper's few neighbours and narrow windows tell as much,
    /// in a fraction of the time: bottle has 0.74, tire 0.39.
    pub const FIXED: f64 = 0.6;
    /// The same share, up to which parts lie anywhere, beyond what windows and neighbours make up for: scattered nuts have 0.00, parts that
    /// are turned by any angle 0.07 to 0.09.
    pub const SCATTERED: f64 = 0.03;
    /// Weights of the scales, finest first. The paper adds two. Those beyond see what is larger, and draw it less sharply.
    pub const WEIGHTS: [f64; Self::MOST_SCALES] = [1.0, 1.0, 0.5, 0.5];

    /// The paper's values for `references` images and the given scales.
    pub fn new(references: usize, scales: Vec<Scale>, foreground: bool) -> Self {
        Self {
            references,
            neighbours: Self::NEIGHBOURS,
            global: GlobalParams::default(),
            scales,
            foreground,
            blur_side: 33,
            blur_sigma: 4.0,
            top: 512,
        }
    }

    /// The values for parts. On textures more neighbours would find what resembles a defect, too.
    #[must_use]
    pub fn for_parts(self) -> Self {
        Self { neighbours: Self::PART_NEIGHBOURS, top: Self::PART_TOP, ..self }
    }

    /// The values for objects on a plain background: wider windows find a part that is turned or shifted.
    #[must_use]
    pub fn for_objects(self) -> Self {
        let mut params = self.for_parts();
        params.scales.iter_mut().zip(Self::OBJECT_WINDOWS).for_each(|(scale, window)| scale.window = window);
        params
    }

    /// How the code map of the finest scale is cut into blocks.
    pub fn blocks(&self, input: &InputSpec) -> Blocks {
        let finest = self.scales[0].shape(input);
        Blocks { map: (finest.height, finest.width), side: self.global.blocks, codes: self.global.codes }
    }

    /// Checks every range, so that an untrusted bundle can neither crash the kernels nor ask for absurd work.
    ///
    /// # Errors
    /// With the parameter, what is allowed and what was found.
    pub fn check(&self, input: &InputSpec) -> Result<(), String> {
        let within = |name: &str, value: usize, low: usize, high: usize| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} must be {low} to {high}, found {value}")),
        };
        within("references", self.references, 1, 1 << 24)?;
        within("neighbours", self.neighbours, 1, self.references)?;
        within("global.codes", self.global.codes, 2, 255)?;
        within("global.blocks", self.global.blocks, 1, 32)?;
        within("global.kept_blocks", self.global.kept_blocks, 1, self.global.blocks * self.global.blocks)?;
        within("scales", self.scales.len(), 1, Self::MOST_SCALES)?;
        within("blur_side", self.blur_side, 1, 255)?;
        let pixels = input.width as usize * input.height as usize;
        within("top", self.top, 1, pixels)?;
        if !(self.global.epsilon > 0.0 && self.global.epsilon < 1.0) {
            return Err(format!("global.epsilon must be between 0 and 1, found {}", self.global.epsilon));
        }
        if !(self.blur_sigma > 0.0 && self.blur_sigma <= 255.0) {
            return Err(format!("blur_sigma must be above 0 and at most 255, found {}", self.blur_sigma));
        }
        if self.blur_side.is_multiple_of(2) {
            return Err(format!("blur_side must be odd, found {}", self.blur_side));
        }
        for (i, scale) in self.scales.iter().enumerate() {
            within(&format!("scales[{i}].stride"), scale.stride, 1, 32)?;
            within(&format!("scales[{i}].channels"), scale.channels, 1, 1 << 14)?;
            within(&format!("scales[{i}].window"), scale.window, 1, 31)?;
            if scale.window.is_multiple_of(2) {
                return Err(format!("scales[{i}].window must be odd, found {}", scale.window));
            }
            if !(scale.weight > 0.0 && scale.weight <= 1.0) {
                return Err(format!(
                    "scales[{i}].weight must be above 0 and at most 1, found {}",
                    scale.weight
                ));
            }
            if !(input.width as usize).is_multiple_of(scale.stride)
                || !(input.height as usize).is_multiple_of(scale.stride)
            {
                return Err(format!(
                    "scales[{i}].stride {} does not divide the input of {}x{}",
                    scale.stride, input.width, input.height
                ));
            }
        }
        Ok(())
    }
}

impl Scale {
    /// The weight of a scale whose bundle does not name one.
    fn whole() -> f64 {
        1.0
    }

    /// The feature map's shape for an input.
    pub fn shape(&self, input: &InputSpec) -> Shape {
        Shape {
            height: input.height as usize / self.stride,
            width: input.width as usize / self.stride,
            channels: self.channels,
        }
    }
}
