//! `GstAnomalyMeta`, the public result on every buffer: a registered custom metadata with a structure, readable from any
//! language without headers of ours.
//!
//! It survives copies, and scaling by `videoscale` and the like adapts its rectangles. Where a frame of another shape comes out, borders may
//! have been added or not, which nobody tells: regions and map are dropped then, and the decision stays. Elements that turn or crop frames drop it all.

use crate::methods::Level;
use glib::translate::{IntoGlib, from_glib_borrow, mut_override};
use gst::meta::CustomMeta;
use std::ffi::CStr;

const NAME: &str = "GstAnomalyMeta";
const C_NAME: &CStr = c"GstAnomalyMeta";
/// Name of a region's structure, and the type of the region-of-interest metadata.
const REGION: &str = "region";
/// The field that says that there are no regions and no map any more.
const PLACES_LOST: &str = "places-lost";
/// The field that counts frames that were left out.
const SKIPPED: &str = "skipped";

/// Everything that is said about a frame.
#[derive(Clone, Debug, Default)]
pub struct AnomalyMeta {
    /// Image score, raw.
    pub score: f64,
    /// Image score on the scale of 0 to 1, 0.5 = threshold.
    pub normalized: f64,
    /// The threshold that decided, raw.
    pub threshold: f64,
    /// The warn level in use, raw, at most the threshold; none where there is none.
    pub warn: Option<f64>,
    /// The decision, held for as many frames as adscore was told.
    pub anomalous: bool,
    /// Whether it was computed on this frame; false where it was carried over.
    pub fresh: bool,
    /// Name of the bundle.
    pub model: String,
    /// Method of the bundle.
    pub method: String,
    /// The anomalous regions, worst first.
    pub regions: Vec<RegionInfo>,
    /// The anomaly map, GRAY16_LE, normalised values times 65535.
    pub map: Option<gst::Sample>,
    /// The raw value of 0 in the map.
    pub map_min: f64,
    /// The raw value of 65535 in the map.
    pub map_max: f64,
    /// The part of the frame that the map covers.
    pub map_place: MapPlace,
}

/// A rectangle in frame pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapPlace {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// An anomalous region.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct RegionInfo {
    /// Left edge in frame pixels.
    pub x: u32,
    /// Upper edge in frame pixels.
    pub y: u32,
    /// Width in frame pixels.
    pub width: u32,
    /// Height in frame pixels.
    pub height: u32,
    /// Largest normalised value of the map inside.
    pub score: f64,
    /// Frame pixels that it covers.
    pub area: f64,
}

impl RegionInfo {
    /// As a structure, the form in which metadata and messages carry it.
    pub fn to_structure(self) -> gst::Structure {
        gst::Structure::builder(REGION)
            .field("x", self.x)
            .field("y", self.y)
            .field("width", self.width)
            .field("height", self.height)
            .field("score", self.score)
            .field("area", self.area)
            .build()
    }

    fn from_structure(structure: &gst::StructureRef) -> Option<Self> {
        Some(Self {
            x: structure.get("x").ok()?,
            y: structure.get("y").ok()?,
            width: structure.get("width").ok()?,
            height: structure.get("height").ok()?,
            score: structure.get("score").ok()?,
            area: structure.get("area").ok()?,
        })
    }
}

/// Regions as the value of a structure's field.
pub(crate) fn region_list(regions: &[RegionInfo]) -> gst::Array {
    gst::Array::new(regions.iter().map(|region| region.to_structure()))
}

/// Reads [`region_list`] back.
pub(crate) fn regions_of(structure: &gst::StructureRef) -> Option<Vec<RegionInfo>> {
    let list = structure.get::<gst::ArrayRef>("regions").ok()?;
    list.iter()
        .map(|value| RegionInfo::from_structure(value.get::<gst::Structure>().ok()?.as_ref()))
        .collect()
}

impl AnomalyMeta {
    /// What the frame comes to, by the decision that held and, where that is good, by its score.
    pub fn level(&self) -> Level {
        Level::of(self.anomalous, self.score, self.warn)
    }

    /// Puts the result on a buffer, in the place of one that may be there.
    ///
    /// # Errors
    /// If GStreamer refuses the metadata.
    pub fn attach(&self, buffer: &mut gst::BufferRef) -> Result<(), glib::BoolError> {
        if let Ok(old) = CustomMeta::from_mut_buffer(buffer, NAME) {
            // Metadata of this kind is never locked, the only reason for a refusal.
            let _ = old.remove();
        }
        let mut meta = CustomMeta::add(buffer, NAME)?;
        let structure = meta.mut_structure();
        structure.set("score", self.score);
        structure.set("normalized", self.normalized);
        structure.set("threshold", self.threshold);
        if let Some(warn) = self.warn {
            structure.set("warn", warn);
        }
        structure.set("anomalous", self.anomalous);
        structure.set("level", self.level().name());
        structure.set("fresh", self.fresh);
        structure.set("model", &self.model);
        structure.set("method", &self.method);
        structure.set("regions", region_list(&self.regions));
        if let Some(map) = &self.map {
            structure.set("map", map);
            structure.set("map-min", self.map_min);
            structure.set("map-max", self.map_max);
            structure.set("map-x", self.map_place.x);
            structure.set("map-y", self.map_place.y);
            structure.set("map-width", self.map_place.width);
            structure.set("map-height", self.map_place.height);
        }
        Ok(())
    }

    /// Whether the result on a buffer has lost its regions and its map, since nobody knows where in the frame they lie.
    pub fn has_lost_places(buffer: &gst::BufferRef) -> bool {
        let meta = CustomMeta::from_buffer(buffer, NAME).ok();
        meta.is_some_and(|meta| meta.structure().get(PLACES_LOST).unwrap_or_default())
    }

    /// Frames before this one, since the last that has a result, that came too late and were left out.
    pub fn skipped(buffer: &gst::BufferRef) -> u64 {
        let meta = CustomMeta::from_buffer(buffer, NAME).ok();
        meta.and_then(|meta| meta.structure().get(SKIPPED).ok()).unwrap_or_default()
    }

    /// Notes on a buffer that has a result how many frames before it were left out.
    pub fn set_skipped(buffer: &mut gst::BufferRef, count: u64) {
        if let Ok(mut meta) = CustomMeta::from_mut_buffer(buffer, NAME) {
            meta.mut_structure().set(SKIPPED, count);
        }
    }

    /// The result on a buffer. One that somebody has attached whose score, threshold or place between them is no finite number is none:
    /// nothing follows from it, least of all that a part is good.
    pub fn get(buffer: &gst::BufferRef) -> Option<Self> {
        let meta = CustomMeta::from_buffer(buffer, NAME).ok()?;
        let structure = meta.structure();
        let map = structure.get::<gst::Sample>("map").ok();
        let place = |field: &str| structure.get::<u32>(field).unwrap_or_default();
        let finite = |field: &str| structure.get::<f64>(field).ok().filter(|value| value.is_finite());
        Some(Self {
            score: finite("score")?,
            normalized: finite("normalized")?,
            threshold: finite("threshold")?,
            warn: structure.get("warn").ok(),
            anomalous: structure.get("anomalous").ok()?,
            fresh: structure.get("fresh").ok()?,
            model: text(structure, "model")?,
            method: text(structure, "method")?,
            regions: regions_of(structure)?,
            map,
            map_min: structure.get("map-min").unwrap_or_default(),
            map_max: structure.get("map-max").unwrap_or_default(),
            map_place: MapPlace {
                x: place("map-x"),
                y: place("map-y"),
                width: place("map-width"),
                height: place("map-height"),
            },
        })
    }
}

/// A field that is text; others may write metadata, too, and what is not UTF-8 in it is replaced.
pub(crate) fn text(structure: &gst::StructureRef, field: &str) -> Option<String> {
    let bytes = structure.get::<std::path::PathBuf>(field).ok()?;
    Some(bytes.to_string_lossy().into_owned())
}

/// Registers the metadata with GStreamer, once.
pub(super) fn register() {
    if CustomMeta::is_registered(NAME) {
        return;
    }
    let tags = [c"video".as_ptr(), c"size".as_ptr(), std::ptr::null()];
    // SAFETY: the strings are static, the array is read during the call only, and the function matches its type.
    unsafe {
        gst::ffi::gst_meta_register_custom(
            C_NAME.as_ptr(),
            mut_override(tags.as_ptr()),
            Some(transform),
            std::ptr::null_mut(),
            None,
        );
    }
}

/// Carries the metadata over to a copy, or to a scaled frame with its rectangles scaled.
///
/// The safe binding hands no sizes to its closure, hence the C signature.
unsafe extern "C" fn transform(
    target: *mut gst::ffi::GstBuffer,
    meta: *mut gst::ffi::GstCustomMeta,
    _source: *mut gst::ffi::GstBuffer,
    kind: glib::ffi::GQuark,
    data: glib::ffi::gpointer,
    _user: glib::ffi::gpointer,
) -> glib::ffi::gboolean {
    // SAFETY: GStreamer hands over a writable buffer and a live metadata; for a scaling, `data` are the two video infos.
    let done = unsafe {
        let structure: glib::translate::Borrowed<gst::Structure> =
            from_glib_borrow(gst::ffi::gst_custom_meta_get_structure(meta));
        let mut structure = (*structure).clone();
        let scaled = kind == gst_video::ffi::gst_video_meta_transform_scale_get_quark();
        if scaled {
            let infos = &*data.cast::<gst_video::ffi::GstVideoMetaTransform>();
            let (from, to) = (&*infos.in_info, &*infos.out_info);
            let ratio = |from: i32, to: i32| f64::from(to.max(1)) / f64::from(from.max(1));
            match may_have_borders(from, to) {
                false => scale(&mut structure, ratio(from.width, to.width), ratio(from.height, to.height)),
                true => lose_places(&mut structure),
            }
        } else if kind != glib::Quark::from_str("gst-copy").into_glib() {
            return false.into_glib();
        }
        copy_to(gst::BufferRef::from_mut_ptr(target), &structure)
    };
    done.into_glib()
}

fn copy_to(buffer: &mut gst::BufferRef, structure: &gst::StructureRef) -> bool {
    let Ok(mut meta) = CustomMeta::add(buffer, NAME) else { return false };
    let fields = meta.mut_structure();
    for (name, value) in structure.iter() {
        fields.set_value(name, value.clone());
    }
    true
}

/// Whether a scaled frame has another shape: what scaled it may have added borders, or stretched the picture.
fn may_have_borders(from: &gst_video::ffi::GstVideoInfo, to: &gst_video::ffi::GstVideoInfo) -> bool {
    let side = |length: i32, par: i32| f64::from(length.max(1)) * f64::from(par.max(1));
    // The width over the height as it is shown, both of the same picture.
    let shape =
        |info: &gst_video::ffi::GstVideoInfo| side(info.width, info.par_n) / side(info.height, info.par_d);
    let (width, height) = (f64::from(to.width.max(1)), f64::from(to.height.max(1)));
    let stretch = shape(to) / shape(from);
    // As many pixels of the picture's sides as borders would take; up to one is rounding.
    let border = if stretch > 1.0 { width - width / stretch } else { height - height * stretch };
    border > 1.0
}

/// Takes out what says where something lies.
fn lose_places(structure: &mut gst::StructureRef) {
    gst::warning!(
        gst::CAT_RUST,
        "a frame was scaled to another shape after adscore: regions and map of its result are dropped"
    );
    structure.set("regions", region_list(&[]));
    structure.remove_fields(["map", "map-min", "map-max", "map-x", "map-y", "map-width", "map-height"]);
    structure.set(PLACES_LOST, true);
}

fn scale(structure: &mut gst::StructureRef, across: f64, down: f64) {
    let scaled = |start: u32, length: u32, ratio: f64| {
        let first = (f64::from(start) * ratio).floor();
        let last = ((f64::from(start) + f64::from(length)) * ratio).ceil();
        (first as u32, (last - first).max(1.0) as u32)
    };
    if let Some(mut regions) = regions_of(structure) {
        for region in &mut regions {
            (region.x, region.width) = scaled(region.x, region.width, across);
            (region.y, region.height) = scaled(region.y, region.height, down);
            region.area *= across * down;
        }
        structure.set("regions", region_list(&regions));
    }
    for (start, length, ratio) in [("map-x", "map-width", across), ("map-y", "map-height", down)] {
        if let (Ok(first), Ok(size)) = (structure.get::<u32>(start), structure.get::<u32>(length)) {
            let (first, size) = scaled(first, size, ratio);
            structure.set(start, first);
            structure.set(length, size);
        }
    }
}
