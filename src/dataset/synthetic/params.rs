//! Every number of the generator, with the paper's values as defaults.

use super::augment::LightParams;
use super::photometric::PhotometricParams;
use super::real::RealParams;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The parameters of synthetic defects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticParams {
    /// Probability that a sample has a defect.
    pub probability: f64,
    /// Where it lies.
    pub mask: MaskParams,
    /// What it looks like.
    pub fill: FillParams,
    /// Opacity of the fill.
    pub opacity: [f64; 2],
    /// Mean difference, in grey levels, below which a part of the defect is called invisible and given back to the
    /// good pixels. Not in the paper: there, white shuffled onto white is labelled a defect. 0 turns it off.
    pub visible: f64,
    /// Defects on grey images are grey. Not in the paper; on a grey camera any colour would give the defect away.
    pub keep_grey: bool,
    /// Masks and fills tried until one leaves a visible defect; then a plain disk is used.
    pub attempts: usize,
    /// Light augmentation of training pairs.
    pub light: LightParams,
    /// The part of real defects in supervised training.
    pub real: RealParams,
}

/// The parameters of a defect's mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskParams {
    /// Smallest and largest power of two of the lattice's cells, drawn for each axis.
    pub scales: [u32; 2],
    /// Largest rotation in degrees, either way.
    pub rotation: f64,
    /// Noise above this is defective.
    pub threshold: f64,
    /// Smallest connected part, as a share of the image.
    pub smallest_area: f64,
    /// A part needs a pixel with more foreground than this.
    pub foreground: f32,
    /// Area of the disk that is used when nothing else works, as a share of the image.
    pub fallback_area: f64,
}

/// The parameters of a defect's fill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FillParams {
    /// Probability of a texture for objects; texture products always get one.
    pub texture_probability: f64,
    /// Side in pixels of the pieces that a structure fill is cut into.
    pub grid: u32,
    /// Changes that a structure fill undergoes before it is cut.
    pub changes: usize,
    /// Largest rotation of a structure fill in degrees, either way.
    pub rotation: f64,
    /// Ranges of the photometric changes.
    pub photometric: PhotometricParams,
}

impl Default for SyntheticParams {
    fn default() -> Self {
        Self {
            probability: 0.9,
            mask: MaskParams::default(),
            fill: FillParams::default(),
            opacity: [0.5, 1.0],
            visible: 5.0,
            keep_grey: true,
            attempts: 50,
            light: LightParams::default(),
            real: RealParams::default(),
        }
    }
}

impl Default for MaskParams {
    fn default() -> Self {
        Self {
            scales: [0, 5],
            rotation: 90.0,
            threshold: 0.5,
            smallest_area: 0.001,
            foreground: 0.5,
            fallback_area: 0.004,
        }
    }
}

impl Default for FillParams {
    fn default() -> Self {
        Self {
            texture_probability: 0.5,
            // The authors' code cuts an image of 640 into 16x16 pieces, which are 20 pixels at 320.
            grid: 16,
            changes: 3,
            rotation: 45.0,
            photometric: PhotometricParams::default(),
        }
    }
}

impl SyntheticParams {
    /// Checks every range.
    ///
    /// # Errors
    /// With the parameter, what is allowed and what was found.
    pub fn check(&self) -> Result<()> {
        let real = &self.real;
        let photometric = &self.fill.photometric;
        for (name, value) in [
            ("probability", self.probability),
            ("fill.texture_probability", self.fill.texture_probability),
            ("fill.photometric.solarize_probability", photometric.solarize_probability),
            ("light.probability", self.light.probability),
            ("light.salt_and_pepper", self.light.salt_and_pepper),
            ("light.lightness", self.light.lightness),
            ("mask.smallest_area", self.mask.smallest_area),
            ("mask.fallback_area", self.mask.fallback_area),
            ("real.probability", real.probability),
            ("real.extended_probability", real.extended_probability),
            ("real.recolour_probability", real.recolour_probability),
            ("real.move_probability", real.move_probability),
        ] {
            within(name, value, 0.0, 1.0)?;
        }
        for (name, range, low, high) in [
            ("opacity", self.opacity, 0.0, 1.0),
            ("real.opacity", real.opacity, 0.0, 1.0),
            ("real.scale", real.scale, 0.01, 100.0),
            ("fill.photometric.gamma", photometric.gamma, 0.01, 100.0),
            ("fill.photometric.brightness_factor", photometric.brightness_factor, 0.0, 100.0),
            ("fill.photometric.brightness_offset", photometric.brightness_offset, -255.0, 255.0),
            ("fill.photometric.sharpness", photometric.sharpness, 0.0, 100.0),
            ("fill.photometric.solarize_threshold", photometric.solarize_threshold, 0.0, 256.0),
            ("fill.photometric.contrast_cutoff", photometric.contrast_cutoff, 0.0, 50.0),
            ("fill.photometric.posterize_bits", photometric.posterize_bits.map(f64::from), 1.0, 8.0),
            ("mask.scales", self.mask.scales.map(f64::from), 0.0, 10.0),
            ("real.count", real.count.map(|count| count as f64), 1.0, 1000.0),
        ] {
            within(name, range[0], low, high)?;
            within(name, range[1], low, high)?;
            if range[0] > range[1] {
                return Err(Error::Setting(format!(
                    "{name}: the first value must not be above the second, found {range:?}"
                )));
            }
        }
        within("mask.rotation", self.mask.rotation, 0.0, 180.0)?;
        within("mask.threshold", self.mask.threshold, 0.0, 1.0)?;
        within("mask.foreground", f64::from(self.mask.foreground), 0.0, 1.0)?;
        within("fill.rotation", self.fill.rotation, 0.0, 180.0)?;
        within("fill.grid", f64::from(self.fill.grid), 1.0, 65_536.0)?;
        within("fill.photometric.hue_saturation", photometric.hue_saturation, 0.0, 255.0)?;
        within("visible", self.visible, 0.0, 100.0)?;
        within("attempts", self.attempts as f64, 1.0, 10_000.0)
    }
}

fn within(name: &str, value: f64, low: f64, high: f64) -> Result<()> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(Error::Setting(format!("{name} must be {low} to {high}, found {value}"))),
    }
}
