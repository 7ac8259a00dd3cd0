//! The third of the three steps: distances in, anomaly map, score, decision and regions out.

use super::{Level, Retrieval, Score};
use crate::bundle::{Bundle, Calibration, ScoreRange};
use crate::error::{Error, Result};
use crate::frame::{Fit, Geometry, InputSpec, Mask, Picture, Preprocessor, Rect};
use crate::kernels::components::Components;
use crate::kernels::finite::all_finite;
use crate::pool::Pooled;
use image::DynamicImage;
use std::sync::Arc;

/// A connected part of the map above its threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Bounding box in pixels of the frame.
    pub rect: Rect,
    /// Largest normalised value inside, 0.5 to 1.
    pub score: f64,
    /// Pixels of the frame that it covers.
    pub area: f64,
}

/// What is said about one frame.
#[derive(Debug)]
pub struct Anomaly {
    /// The bundle that said it.
    pub bundle: Arc<Bundle>,
    /// Where the map lies in the frame.
    pub geometry: Geometry,
    /// The anomaly map, raw values, `[input height, input width]`.
    pub map: Pooled<Vec<f32>>,
    /// What the map's values mean.
    pub map_range: ScoreRange,
    /// The image score, raw.
    pub score: f64,
    /// What the score means; its threshold is the one in use.
    pub range: ScoreRange,
    /// The warn level in use, a raw score of at most the threshold; none where neither the bundle nor the user has set one.
    pub warn: Option<f64>,
    /// Whether this frame is over the threshold, by a region large enough.
    pub anomalous: bool,
    /// The anomalous regions, worst first; none in a normal frame.
    pub regions: Vec<Region>,
}

impl Anomaly {
    /// The score on the scale of 0 to 1 with the threshold at 0.5.
    pub fn normalized(&self) -> f64 {
        self.range.normalise(self.score)
    }

    /// What this frame comes to.
    pub fn level(&self) -> Level {
        Level::of(self.anomalous, self.score, self.warn)
    }
}

/// What the user can change while the bundle stays the same.
#[derive(Clone, Debug, Default)]
pub struct ScoreOptions {
    /// Image scores from here on are anomalous; `None`: the bundle's threshold.
    pub threshold: Option<f64>,
    /// Image scores from here on are in warn, up to the threshold, which the level never exceeds; `None`: the bundle's warn level, which
    /// moves in proportion with another threshold.
    pub warn: Option<f64>,
    /// Regions of fewer pixels of the frame do not count.
    pub min_area: f64,
    /// What is not inspected.
    pub ignore: Option<Arc<IgnoreMask>>,
}

impl ScoreOptions {
    /// The scale of the image score and the warn level with these options, for a bundle with this calibration.
    pub fn scale(&self, calibration: &Calibration) -> (ScoreRange, Option<f64>) {
        let own = calibration.score();
        let range = self.threshold.map_or(own, |threshold| ScoreRange::around(threshold, own.min));
        let warn = match self.warn {
            None => calibration.warn_on(&range),
            Some(warn) => Some(warn.min(range.threshold)),
        };
        (range, warn)
    }
}

/// An image that says which parts of the frame are not inspected: black.
#[derive(Debug)]
pub struct IgnoreMask {
    picture: Picture,
}

impl IgnoreMask {
    /// Reads the mask from an image file of any size; it is stretched over the frame.
    ///
    /// # Errors
    /// If the file cannot be read, or it would leave nothing to inspect.
    pub fn load(path: &std::path::Path) -> Result<Self> {
        let mask = Self { picture: crate::frame::load_picture(path)? };
        if mask.shows_something()? {
            return Ok(mask);
        }
        // Of labels such as 0 and 1, or of opacity, nothing can be seen.
        let labels = DynamicImage::from(Mask::read(path)?.to_image()).into_rgb8();
        let mask = Self { picture: Picture::from_rgb(labels.width(), labels.height(), labels.as_raw())? };
        match mask.shows_something()? {
            true => Ok(mask),
            false => Err(Error::file(path, "the mask is all black: nothing would be inspected")),
        }
    }

    fn shows_something(&self) -> Result<bool> {
        let size = (self.picture.info().width(), self.picture.info().height());
        let whole = Geometry::new(size, (64, 64), Fit::Stretch, None)?;
        Ok(self.weights(&whole)?.iter().any(|&weight| weight > 0.0))
    }

    /// Weight 1 or 0 of every pixel of the input that `geometry` describes.
    fn weights(&self, geometry: &Geometry) -> Result<Vec<f32>> {
        let spec = InputSpec {
            width: geometry.input.0,
            height: geometry.input.1,
            fit: Fit::Stretch,
            mean: [0.0; 3],
            std: [255.0; 3],
            range: None,
        };
        // The mask covers the frame at its own resolution: the inspected part is found in it by proportion.
        let scale =
            |at: u32, mask: u32, frame: u32| (u64::from(at) * u64::from(mask) / u64::from(frame)) as u32;
        let (mask_width, mask_height) = (self.picture.info().width(), self.picture.info().height());
        let Geometry { source, target, frame, .. } = *geometry;
        let seen = Rect {
            x: scale(source.x, mask_width, frame.0).min(mask_width - 1),
            y: scale(source.y, mask_height, frame.1).min(mask_height - 1),
            width: scale(source.width, mask_width, frame.0).max(1),
            height: scale(source.height, mask_height, frame.1).max(1),
        };
        let mut preprocessor = Preprocessor::placed(self.picture.info(), &spec, seen, target)?;
        let mut values = vec![0.0; spec.len()];
        preprocessor.run(&self.picture.frame()?, &mut values)?;
        let plane = values.len() / 3;
        Ok((0..plane)
            .map(|i| if values[i] + values[plane + i] + values[2 * plane + i] > 0.75 { 1.0 } else { 0.0 })
            .collect())
    }
}

/// Scores the frames of one stream.
#[derive(Debug)]
pub struct Scorer {
    bundle: Arc<Bundle>,
    state: Box<dyn Score>,
    components: Components,
    /// The weights of the mask last used, and what they were made for.
    ignored: Option<(Arc<IgnoreMask>, Geometry, Vec<f32>)>,
}

impl Scorer {
    /// Starts a stream on `bundle`.
    pub fn new(bundle: Arc<Bundle>) -> Self {
        let state = bundle.method().clone().score();
        Self { bundle, state, components: Components::default(), ignored: None }
    }

    /// The bundle in use.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// Turns the distances of a frame into a map, a score and a decision.
    ///
    /// # Errors
    /// If the distances are not those of the bundle's method or lead to no finite score, or the ignore mask cannot be converted.
    pub fn score(&mut self, retrieval: &Retrieval, options: &ScoreOptions) -> Result<Anomaly> {
        let geometry = retrieval.geometry;
        self.prepare_mask(options, &geometry)?;
        let weight = self.ignored.as_ref().map(|(_, _, weights)| weights.as_slice());
        let (map, score) = self.state.score(&retrieval.found, weight)?;
        // What is no number is not over any threshold, and would pass for good.
        if !score.is_finite() || !all_finite(&map) {
            return Err(Error::Features(format!(
                "the score of the frame, {score}, or its anomaly map is not finite; the bundle {} is damaged, fit it anew",
                self.bundle.path().display()
            )));
        }
        let calibration = &self.bundle.manifest().calibration;
        let (range, warn) = options.scale(calibration);
        let map_range = match options.threshold {
            None => calibration.map,
            Some(threshold) => calibration.map.moved(&calibration.score(), threshold),
        };
        let mut anomalous = score >= range.threshold;
        let mut regions = Vec::new();
        if anomalous {
            regions = self.regions(&map, &geometry, &map_range, options.min_area);
            anomalous = options.min_area <= 0.0 || !regions.is_empty();
        }
        Ok(Anomaly {
            bundle: self.bundle.clone(),
            geometry,
            map,
            map_range,
            score,
            range,
            warn,
            anomalous,
            regions,
        })
    }

    fn prepare_mask(&mut self, options: &ScoreOptions, geometry: &Geometry) -> Result<()> {
        let Some(mask) = &options.ignore else {
            self.ignored = None;
            return Ok(());
        };
        let ready = |(known, place, _): &(Arc<IgnoreMask>, Geometry, _)| {
            Arc::ptr_eq(known, mask) && place == geometry
        };
        if !self.ignored.as_ref().is_some_and(ready) {
            let weights = mask.weights(geometry)?;
            if !weights.iter().any(|&weight| weight > 0.0) {
                return Err(Error::Setting(format!(
                    "ignore-mask: it is black all over {}, the part of the frame that is looked at, so that nothing would be inspected; give \
                     another mask or another roi",
                    geometry.source
                )));
            }
            self.ignored = Some((mask.clone(), *geometry, weights));
        }
        Ok(())
    }

    fn regions(
        &mut self,
        map: &[f32],
        geometry: &Geometry,
        range: &ScoreRange,
        min_area: f64,
    ) -> Vec<Region> {
        let scale = f64::from(geometry.source.width) / f64::from(geometry.target.width)
            * f64::from(geometry.source.height)
            / f64::from(geometry.target.height);
        let threshold = range.threshold as f32;
        let found = self.components.find(map, geometry.input.0 as usize, threshold);
        let mut regions: Vec<Region> = found
            .iter()
            .map(|component| Region {
                rect: geometry.to_frame(component.rect),
                score: range.normalise(f64::from(component.largest)),
                area: component.area as f64 * scale,
            })
            .filter(|region| region.area >= min_area)
            .collect();
        regions.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.area.total_cmp(&a.area)));
        regions
    }
}
