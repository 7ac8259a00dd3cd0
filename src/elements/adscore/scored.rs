//! The result of a frame in the forms in which it is attached.

use super::map::MapSamples;
use crate::meta::{AnomalyMeta, RegionInfo};
use crate::methods::Anomaly;

#[cfg(feature = "analytics")]
use crate::meta::analytics::{self, FloatMap};

/// Type of the region-of-interest metadata.
const ROI_TYPE: &str = "anomaly";

/// What is said about a frame, ready to be attached to it and to others that carry it.
pub(super) struct Scored {
    pub(super) meta: AnomalyMeta,
    #[cfg(feature = "analytics")]
    map: Option<FloatMap>,
}

impl Scored {
    /// With the map where it is to be attached; `anomalous` is the frame's own decision.
    pub(super) fn new(anomaly: Anomaly, samples: &mut MapSamples, attach_map: bool) -> crate::Result<Self> {
        let manifest = anomaly.bundle.manifest();
        let mut meta = AnomalyMeta {
            score: anomaly.score,
            normalized: anomaly.normalized(),
            threshold: anomaly.range.threshold,
            warn: anomaly.warn,
            anomalous: anomaly.anomalous,
            fresh: true,
            model: manifest.name.clone(),
            method: manifest.method.clone(),
            regions: anomaly
                .regions
                .iter()
                .map(|region| RegionInfo {
                    x: region.rect.x,
                    y: region.rect.y,
                    width: region.rect.width,
                    height: region.rect.height,
                    score: region.score,
                    area: region.area,
                })
                .collect(),
            map_min: anomaly.map_range.min,
            map_max: anomaly.map_range.max,
            ..AnomalyMeta::default()
        };
        if attach_map {
            let (sample, place) = samples.make(&anomaly).map_err(|e| crate::Error::Frame(e.to_string()))?;
            meta.map = Some(sample);
            meta.map_place = place;
        }
        Ok(Self {
            meta,
            #[cfg(feature = "analytics")]
            map: attach_map.then(|| FloatMap::new(anomaly)),
        })
    }

    /// Puts the result on a frame; `regions`: as regions of interest, too.
    pub(super) fn attach(&self, buffer: &mut gst::BufferRef, regions: bool) -> Result<(), glib::BoolError> {
        self.meta.attach(buffer)?;
        if regions {
            for region in &self.meta.regions {
                let rect = (region.x, region.y, region.width, region.height);
                let mut roi = gst_video::VideoRegionOfInterestMeta::add(buffer, ROI_TYPE, rect);
                roi.add_param(region.to_structure());
            }
        }
        #[cfg(feature = "analytics")]
        analytics::attach(buffer, &self.meta, self.map.as_ref())?;
        Ok(())
    }
}
