//! The result in GStreamer's own analytics metadata, for elements that know nothing of this project.
//!
//! Regions are object detections of type `anomaly`, the verdict is a classification related to each of them, and the map is a
//! tensor. They come in addition to [`AnomalyMeta`], which says more.

use super::AnomalyMeta;
use crate::methods::Anomaly;
use crate::pool::Pooled;
use gst_analytics::prelude::*;
use gst_analytics::{AnalyticsRelationMeta, AnalyticsRelationMetaInitParams, RelTypes};
use gst_analytics::{Tensor, TensorDataType, TensorDimOrder, TensorMeta};

/// Type of the object detections.
const OBJECT: &str = "anomaly";
/// The classes of a frame.
const CLASSES: [&str; 2] = ["normal", "anomalous"];
/// Id of the tensor.
const TENSOR: &str = "anomaly-map";

/// The anomaly map with its raw values, of the part of the frame that was inspected.
#[derive(Clone, Debug)]
pub struct FloatMap {
    /// f32 in the machine's byte order, row by row without padding.
    values: gst::Buffer,
    height: usize,
    width: usize,
}

/// The first values of a map's memory.
struct Values {
    map: Pooled<Vec<f32>>,
    len: usize,
}

impl AsRef<[u8]> for Values {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.map[..self.len])
    }
}

impl FloatMap {
    /// Takes the map out of a result. It stays in its memory, which returns to the scorer with the last reader.
    pub fn new(anomaly: Anomaly) -> Self {
        let (geometry, mut map) = (anomaly.geometry, anomaly.map);
        let target = geometry.target;
        let (height, width) = (target.height as usize, target.width as usize);
        for y in 0..height {
            // The network's input may be padded around what it shows of the frame; rows only move towards the start.
            let start = (target.y as usize + y) * geometry.input.0 as usize + target.x as usize;
            map.copy_within(start..start + width, y * width);
        }
        Self { values: gst::Buffer::from_slice(Values { map, len: height * width }), height, width }
    }

    fn tensor(&self) -> Tensor {
        Tensor::new_simple(
            glib::Quark::from_str(TENSOR),
            TensorDataType::Float32,
            self.values.clone(),
            TensorDimOrder::RowMajor,
            &[self.height, self.width],
        )
    }
}

/// Puts a result on a buffer, besides what other elements may have put there; the map only where there is one.
///
/// # Errors
/// If GStreamer refuses it.
pub fn attach(
    buffer: &mut gst::BufferRef,
    result: &AnomalyMeta,
    map: Option<&FloatMap>,
) -> Result<(), glib::BoolError> {
    if let Some(map) = map {
        attach_tensor(buffer, map.tensor());
    }
    if buffer.meta::<AnalyticsRelationMeta>().is_none() {
        // It grows where that is too small.
        let order = result.regions.len() + 2;
        AnalyticsRelationMeta::add_full(buffer, &AnalyticsRelationMetaInitParams::new(order, order * BYTES));
    }
    let mut relations = buffer
        .meta_mut::<AnalyticsRelationMeta>()
        .ok_or_else(|| glib::bool_error!("no relation metadata where it has just been added"))?;
    let confidence = if result.anomalous { result.normalized } else { 1.0 - result.normalized };
    let class = glib::Quark::from_str(CLASSES[usize::from(result.anomalous)]);
    let verdict = relations.add_one_cls_mtd(confidence as f32, class)?.id();
    for region in &result.regions {
        let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        let object = relations.add_od_mtd(
            glib::Quark::from_str(OBJECT),
            side(region.x),
            side(region.y),
            side(region.width),
            side(region.height),
            region.score as f32,
        )?;
        let object = object.id();
        relations.set_relation(RelTypes::RELATE_TO, object, verdict)?;
        relations.set_relation(RelTypes::RELATE_TO, verdict, object)?;
    }
    #[cfg(feature = "analytics-v1_28")]
    if let Some(map) = map {
        let tensor = related_tensor(&mut relations, map)?;
        relations.set_relation(RelTypes::RELATE_TO, verdict, tensor)?;
        relations.set_relation(RelTypes::RELATE_TO, tensor, verdict)?;
    }
    Ok(())
}

/// A buffer has one tensor metadata: those that are in it already stay.
fn attach_tensor(buffer: &mut gst::BufferRef, tensor: Tensor) {
    let others = buffer.meta::<TensorMeta>().map(|meta| meta.as_slice().to_vec()).unwrap_or_default();
    let tensors: Vec<Tensor> = others.into_iter().chain([tensor]).collect();
    match buffer.meta_mut::<TensorMeta>() {
        Some(mut meta) => meta.set(tensors.into()),
        None => TensorMeta::add(buffer).set(tensors.into()),
    }
}

/// Room for one piece of metadata; those used here take less.
const BYTES: usize = 64;

/// Adds the map's tensor to the relation metadata; returns its id.
#[cfg(feature = "analytics-v1_28")]
fn related_tensor(relations: &mut AnalyticsRelationMeta, map: &FloatMap) -> Result<u32, glib::BoolError> {
    use glib::translate::{IntoGlib, IntoGlibPtr};
    use gst_analytics::ffi;

    let mut dims = [map.height, map.width];
    let mut tensor = std::mem::MaybeUninit::<ffi::GstAnalyticsTensorMtd>::uninit();
    // SAFETY: there is no safe binding. The metadata is writable, the buffer is handed over, the sizes are copied, and the handle
    // is written where the function says that it succeeded.
    unsafe {
        let added = ffi::gst_analytics_relation_meta_add_tensor_mtd_simple(
            relations.as_mut_ptr(),
            glib::Quark::from_str(TENSOR).into_glib(),
            TensorDataType::Float32.into_glib(),
            map.values.clone().into_glib_ptr(),
            TensorDimOrder::RowMajor.into_glib(),
            dims.len(),
            dims.as_mut_ptr(),
            tensor.as_mut_ptr(),
        );
        if added == glib::ffi::GFALSE {
            return Err(glib::bool_error!("GStreamer refuses the map's tensor"));
        }
        Ok(tensor.assume_init().id)
    }
}
