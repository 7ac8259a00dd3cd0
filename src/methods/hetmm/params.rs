//! Every number of the method, with the paper's values as defaults.

use crate::frame::InputSpec;
use crate::kernels::windowed::Shape;
use serde::{Deserialize, Serialize};

/// The parameters of HETMM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Templates of each place in the bank: the sheets, or all normal images, and what was added since.
    pub templates: usize,
    /// K, templates of each place that pixel-level template selection reduces the normal images to; none: all of them are templates.
    pub sheets: Option<usize>,
    /// The layers, finest first.
    pub layers: Vec<Layer>,
    /// Side of each layer's window in patches, odd, where a patch of the frame is looked for among the templates.
    pub forward_windows: Vec<usize>,
    /// The same where a patch of a template is looked for in the frame.
    pub backward_windows: Vec<usize>,
    /// Weight of each layer's map in the sum.
    pub weights: Vec<f64>,
    /// Share of the forward distance in a layer's map; the rest is the backward distance.
    pub alpha: f64,
    /// Side of the Gaussian kernel that smooths the map before its largest value is taken, odd.
    pub blur_side: usize,
    /// Its sigma in pixels.
    pub blur_sigma: f64,
    /// Pixel-level template selection, for which `sheets` asks.
    pub clustering: Clustering,
}

/// A layer of the backbone in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Pixels of the input per patch.
    pub stride: usize,
    /// Values of a feature.
    pub channels: usize,
}

/// How dense regions are found by OPTICS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clustering {
    /// Images in a dense region at least; none: as many as there are to a sheet, N / K.
    pub min_samples: Option<usize>,
    /// How much reachability falls or rises from one image to the next, as a share, where a region begins or ends.
    pub xi: f64,
}

impl Default for Clustering {
    fn default() -> Self {
        // xi: scikit-learn's default, which the authors' code takes.
        Self { min_samples: None, xi: 0.05 }
    }
}

impl Clustering {
    /// Images in a dense region at least, of `images` reduced to `sheets`. OPTICS needs two to speak of density.
    pub fn min_samples(&self, images: usize, sheets: usize) -> usize {
        self.min_samples.unwrap_or(images / sheets.max(1)).max(2)
    }
}

impl Params {
    /// What the images and the network decide.
    #[cfg(feature = "train")]
    pub const DECIDED: [&str; 2] = ["templates", "layers"];
    /// K of the paper.
    pub const SHEETS: usize = 60;
    /// Windows of the layers, finest first.
    pub const WINDOWS: [usize; 3] = [9, 7, 5];
    /// Most layers that the paper combines.
    pub const MOST_LAYERS: usize = 3;

    /// The paper's values for `templates` templates and the given layers, [`Params::MOST_LAYERS`] at most.
    pub fn new(templates: usize, layers: Vec<Layer>) -> Self {
        let windows: Vec<usize> = Self::WINDOWS.iter().copied().take(layers.len()).collect();
        Self {
            templates,
            sheets: Some(Self::SHEETS),
            forward_windows: windows.clone(),
            backward_windows: windows,
            weights: vec![1.0; layers.len()],
            layers,
            alpha: 0.8,
            blur_side: 33,
            blur_sigma: 4.0,
            clustering: Clustering::default(),
        }
    }

    /// Checks every range, so that an untrusted bundle can neither crash the kernels nor ask for absurd work.
    ///
    /// # Errors
    /// With the parameter, what is allowed and what was found.
    pub fn check(&self, input: &InputSpec) -> Result<(), String> {
        within("templates", self.templates, 1, 1 << 20)?;
        if let Some(sheets) = self.sheets {
            // Each image calibrates against the templates that are not its own, of which there must be one at every place.
            within("sheets", sheets, 2, 1 << 20)?;
        }
        within("layers", self.layers.len(), 1, Self::MOST_LAYERS)?;
        let lists =
            [("forward_windows", &self.forward_windows), ("backward_windows", &self.backward_windows)];
        for (name, windows) in lists {
            as_many(name, windows.len(), self.layers.len())?;
            for &window in windows {
                odd(name, window, 31)?;
            }
        }
        as_many("weights", self.weights.len(), self.layers.len())?;
        if !self.weights.iter().all(|weight| (0.0..=1e6).contains(weight)) {
            return Err(format!("weights must be 0 to 1e6, found {:?}", self.weights));
        }
        if self.weights.iter().all(|&weight| weight == 0.0) {
            return Err(format!("one of the weights must be more than 0, found {:?}", self.weights));
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(format!("alpha must be 0 to 1, found {}", self.alpha));
        }
        odd("blur_side", self.blur_side, 255)?;
        if !(self.blur_sigma > 0.0 && self.blur_sigma <= 255.0) {
            return Err(format!("blur_sigma must be above 0 and at most 255, found {}", self.blur_sigma));
        }
        if let Some(least) = self.clustering.min_samples {
            within("clustering.min_samples", least, 2, 1 << 20)?;
        }
        if !(self.clustering.xi > 0.0 && self.clustering.xi < 1.0) {
            return Err(format!("clustering.xi must be between 0 and 1, found {}", self.clustering.xi));
        }
        self.layers.iter().enumerate().try_for_each(|(i, layer)| layer.check(i, input))
    }
}

impl Layer {
    /// The feature map's shape for an input.
    pub fn shape(&self, input: &InputSpec) -> Shape {
        Shape {
            height: input.height as usize / self.stride,
            width: input.width as usize / self.stride,
            channels: self.channels,
        }
    }

    fn check(&self, number: usize, input: &InputSpec) -> Result<(), String> {
        within(&format!("layers[{number}].stride"), self.stride, 1, 32)?;
        within(&format!("layers[{number}].channels"), self.channels, 1, 1 << 14)?;
        let divides = |side: u32| (side as usize).is_multiple_of(self.stride);
        match divides(input.width) && divides(input.height) {
            true => Ok(()),
            false => Err(format!(
                "layers[{number}].stride {} does not divide the input of {}x{}",
                self.stride, input.width, input.height
            )),
        }
    }
}

fn within(name: &str, value: usize, low: usize, high: usize) -> Result<(), String> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} must be {low} to {high}, found {value}")),
    }
}

fn odd(name: &str, value: usize, high: usize) -> Result<(), String> {
    within(name, value, 1, high)?;
    match value.is_multiple_of(2) {
        true => Err(format!("{name} must be odd, found {value}")),
        false => Ok(()),
    }
}

fn as_many(name: &str, found: usize, layers: usize) -> Result<(), String> {
    match found == layers {
        true => Ok(()),
        false => Err(format!("{name} must have one value for each of {layers} layers, found {found}")),
    }
}
