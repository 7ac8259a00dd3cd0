//! The result as GStreamer's own analytics metadata: for every element that reads those, and none of this project.

#![cfg(feature = "analytics")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gst_analytics::prelude::*;
use gst_analytics::{
    AnalyticsAnyMtd, AnalyticsClassificationMtd, AnalyticsODMtd, AnalyticsRelationMeta, RelTypes, Tensor,
    TensorDataType, TensorDimOrder, TensorMeta,
};
use gstanomaly::bundle::open_shared;
use gstanomaly::frame::load_picture;
use gstanomaly::meta::{AnomalyMeta, RegionInfo, analytics};
use gstanomaly::methods::{Anomaly, ScoreOptions};
use pipeline::{Line, chain, frame, info_of, init};
use product::{copy, defective, file, good, judge, scratch, square, wide};
use std::path::Path;

/// Type, place and confidence.
type Detection = (String, (i32, i32, i32, i32), f32);

/// What another element sees: detections, class with confidence, and the tensor with its values.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    detections: Vec<Detection>,
    verdict: (String, f32),
    tensor: Option<(Vec<usize>, Vec<f32>)>,
}

fn values(tensor: &Tensor) -> (Vec<usize>, Vec<f32>) {
    assert_eq!(tensor.data_type(), TensorDataType::Float32);
    assert_eq!(tensor.dims_order(), TensorDimOrder::RowMajor);
    let bytes = tensor.data().map_readable().unwrap();
    let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
    assert!(bytes.len().is_multiple_of(4));
    (tensor.dims().to_vec(), values)
}

fn tensors(buffer: &gst::BufferRef) -> Vec<&Tensor> {
    let id = glib::Quark::from_str("anomaly-map");
    buffer
        .iter_meta::<TensorMeta>()
        .flat_map(|meta| {
            let tensors: *const [Tensor] = meta.as_slice();
            // SAFETY: the metadata belongs to the buffer, which outlives the reference that is returned.
            unsafe { &*tensors }
        })
        .filter(|tensor| tensor.id() == id)
        .collect()
}

fn seen(buffer: &gst::BufferRef) -> Seen {
    let relations = buffer.meta::<AnalyticsRelationMeta>().expect("no relation metadata on the frame");
    let classes: Vec<_> = relations.iter::<AnalyticsClassificationMtd>().collect();
    assert_eq!(classes.len(), 1, "one verdict a frame");
    let verdict = &classes[0];
    assert_eq!(verdict.len(), 1, "of one class");
    let detections = relations
        .iter::<AnalyticsODMtd>()
        .map(|detection| {
            let place = detection.location().unwrap();
            for (from, to) in [(detection.id(), verdict.id()), (verdict.id(), detection.id())] {
                assert_eq!(relations.relation(from, to), RelTypes::RELATE_TO);
            }
            let kind = detection.obj_type().unwrap().as_str().to_string();
            (kind, (place.x, place.y, place.w, place.h), place.loc_conf_lvl)
        })
        .collect();
    let tensors = tensors(buffer);
    assert!(tensors.len() <= 1);
    let tensor = tensors.first().map(|tensor| values(tensor));
    Seen { detections, verdict: (verdict.quark(0).as_str().to_string(), verdict.level(0)), tensor }
}

/// What [`seen`] must say of a result of ours.
fn detections(result: &AnomalyMeta) -> Vec<Detection> {
    let detection = |region: &RegionInfo| {
        let [x, y, w, h] = [region.x, region.y, region.width, region.height].map(|side| side as i32);
        ("anomaly".to_string(), (x, y, w, h), region.score as f32)
    };
    result.regions.iter().map(detection).collect()
}

fn core(bundle: &Path, image: &image::RgbImage, name: &str) -> Anomaly {
    let path = file(image, name);
    judge(open_shared(bundle).unwrap(), &load_picture(&path).unwrap(), &ScoreOptions::default()).unwrap()
}

/// The map of the core without the padding around what the network saw of the frame.
fn map(anomaly: &Anomaly) -> (Vec<usize>, Vec<f32>) {
    let (target, width) = (anomaly.geometry.target, anomaly.geometry.input.0 as usize);
    let rows = anomaly.map.chunks_exact(width).skip(target.y as usize).take(target.height as usize);
    let values = rows.flat_map(|row| &row[target.x as usize..][..target.width as usize]).copied().collect();
    (vec![target.height as usize, target.width as usize], values)
}

/// A copy of [`square`] that shows the network whole frames with borders around them.
fn padded(folder: &Path) -> std::path::PathBuf {
    let bundle = folder.join("padded");
    copy(square(), &bundle);
    let manifest = bundle.join("bundle.json");
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    text["input"]["fit"] = "pad".into();
    std::fs::write(&manifest, text.to_string()).unwrap();
    bundle
}

#[test]
fn regions_verdict_and_map_are_those_of_our_own_metadata() {
    let folder = scratch();
    let padded = padded(folder.path());
    for (name, bundle) in [("square", square()), ("wide", wide()), ("padded", &padded)] {
        let line = Line::playing(&chain(bundle), &info_of(&good(1)));
        for (number, image, class) in [(0, good(31), "normal"), (1, defective(32), "anomalous")] {
            let sample = line.pass(&image, number);
            let buffer = sample.buffer().unwrap();
            let (found, own) = (seen(buffer), AnomalyMeta::get(buffer).unwrap());
            // The threshold of a bundle that was not fitted with padding says nothing.
            let class = if name == "padded" && own.anomalous { "anomalous" } else { class };
            assert_eq!(own.anomalous, class == "anomalous", "{name}");
            assert_eq!(found.detections.is_empty(), !own.anomalous, "{name}");
            assert_eq!(found.detections, detections(&own), "{name}");
            let confidence = if own.anomalous { own.normalized } else { 1.0 - own.normalized };
            assert_eq!(found.verdict, (class.to_string(), confidence as f32), "{name}");
            let expected = core(bundle, &image, &format!("analytics-{name}-{number}.png"));
            assert!(found.tensor.unwrap() == map(&expected), "{name}: the tensor is not the map");
            if name == "padded" {
                assert!(expected.geometry.target.height < expected.geometry.input.1, "nothing is padded");
            }
        }
    }
}

#[test]
fn they_survive_copies_and_conversion() {
    let image = defective(33);
    // 1.26 leaves tensors behind whenever a frame is copied.
    let tensors_are_copied = gst::version() >= (1, 28, 0, 0);
    let before = seen(Line::playing(&chain(wide()), &info_of(&image)).pass(&image, 0).buffer().unwrap());
    assert!(!before.detections.is_empty() && before.tensor.is_some());
    for elements in [
        "identity",
        "queue",
        "videoconvert ! video/x-raw,format=I420",
        "tee name=t ! queue ! fakesink async=false t. ! queue ! identity drop-allocation=true",
        "videorate ! video/x-raw,framerate=10/1",
    ] {
        let line = Line::playing(&format!("{} ! {elements}", chain(wide())), &info_of(&image));
        line.push(frame(&image, 0));
        let sample = line.drain().remove(0);
        let arrived = seen(sample.buffer().unwrap());
        let copy = sample.buffer().unwrap().copy_deep().unwrap();
        drop(sample);
        drop(line);
        for found in [arrived, seen(&copy)] {
            assert_eq!(
                (&found.detections, &found.verdict),
                (&before.detections, &before.verdict),
                "{elements}"
            );
            let same = found.tensor == before.tensor || (found.tensor.is_none() && !tensors_are_copied);
            assert!(same, "{elements}: another tensor");
        }
    }
}

#[test]
fn frames_that_carry_a_result_carry_all_of_it() {
    let line =
        Line::playing(&chain(square()).replace("adfeatures", "adfeatures interval=3"), &info_of(&good(1)));
    let first = seen(line.pass(&defective(34), 0).buffer().unwrap());
    for number in 1..3 {
        assert!(seen(line.pass(&good(34), number).buffer().unwrap()) == first, "frame {number}");
    }
    assert_eq!(seen(line.pass(&good(34), 3).buffer().unwrap()).verdict.0, "normal");
}

#[test]
fn the_map_can_be_left_out_and_maps_do_not_mix() {
    let line = Line::playing(&chain(square()), &info_of(&good(1)));
    // Held by somebody downstream while others are made in memory that is used again.
    let held: Vec<_> = (0..4).map(|number| line.pass(&defective(35 + number), number)).collect();
    for (number, sample) in held.iter().enumerate() {
        let expected =
            core(square(), &defective(35 + number as u64), &format!("analytics-held-{number}.png"));
        assert!(
            seen(sample.buffer().unwrap()).tensor.unwrap() == map(&expected),
            "frame {number}: another map"
        );
    }
    line.element("score").set_property("attach-map", false);
    let without = seen(line.pass(&defective(35), 4).buffer().unwrap());
    assert!(without.tensor.is_none() && !without.detections.is_empty());
}

#[test]
fn hundreds_of_regions_are_all_there() {
    init();
    let regions =
        (0..300).map(|n| RegionInfo { x: n, y: 2 * n, width: 3, height: 4, score: 0.75, area: 9.0 });
    let result = AnomalyMeta {
        normalized: 0.9,
        anomalous: true,
        regions: regions.collect(),
        ..AnomalyMeta::default()
    };
    let mut buffer = gst::Buffer::new();
    analytics::attach(buffer.make_mut(), &result, None).unwrap();
    let found = seen(&buffer);
    assert_eq!(found.detections, detections(&result));
    assert_eq!(found.verdict, ("anomalous".to_string(), 0.9));
}

#[test]
fn what_others_have_found_stays() {
    let image = defective(36);
    let mut buffer = frame(&image, 0);
    let writable = buffer.get_mut().unwrap();
    let other = glib::Quark::from_str("bottle");
    AnalyticsRelationMeta::add(writable).add_od_mtd(other, 1, 2, 3, 4, 0.5).unwrap();
    let data = gst::Buffer::from_slice([7u8, 8]);
    let tensor = Tensor::new_simple(other, TensorDataType::Uint8, data, TensorDimOrder::RowMajor, &[2]);
    TensorMeta::add(writable).set([tensor].into());

    let line = Line::playing(&chain(square()), &info_of(&image));
    line.push(buffer);
    let sample = line.pull();
    let buffer = sample.buffer().unwrap();
    let own = AnomalyMeta::get(buffer).unwrap();
    let relations = buffer.meta::<AnalyticsRelationMeta>().unwrap();
    let kinds: Vec<_> = relations.iter::<AnalyticsODMtd>().map(|found| found.obj_type().unwrap()).collect();
    assert_eq!(kinds[0], other);
    assert_eq!(kinds.len(), 1 + own.regions.len());
    assert_eq!(buffer.iter_meta::<AnalyticsRelationMeta>().count(), 1);
    let tensors: Vec<_> =
        buffer.iter_meta::<TensorMeta>().flat_map(|meta| meta.as_slice().to_vec()).collect();
    let ids: Vec<_> = tensors.iter().map(|tensor| tensor.id()).collect();
    assert_eq!(ids, [other, glib::Quark::from_str("anomaly-map")]);
    assert_eq!(tensors[0].data().map_readable().unwrap().as_slice(), [7, 8]);
}

/// The map's tensor is among the relation metadata, related to the verdict, where GStreamer knows of such.
#[test]
fn the_relations_hold_what_this_version_of_gstreamer_knows() {
    let image = defective(37);
    let sample = Line::playing(&chain(square()), &info_of(&image)).pass(&image, 0);
    let buffer = sample.buffer().unwrap();
    let own = AnomalyMeta::get(buffer).unwrap();
    let relations = buffer.meta::<AnalyticsRelationMeta>().unwrap();
    let tensors = usize::from(cfg!(feature = "analytics-v1_28"));
    assert_eq!(relations.iter::<AnalyticsAnyMtd>().count(), 1 + own.regions.len() + tensors);
    #[cfg(feature = "analytics-v1_28")]
    {
        use glib::translate::from_glib_none;
        use gst_analytics::ffi;
        let verdict = relations.iter::<AnalyticsClassificationMtd>().next().unwrap().id();
        // SAFETY: there is no safe binding; the handle is filled by the first call, and the tensor lives as long as the buffer.
        let (id, tensor): (u32, Tensor) = unsafe {
            let kind = ffi::gst_analytics_tensor_mtd_get_mtd_type();
            let mut handle = std::mem::zeroed::<ffi::GstAnalyticsMtd>();
            let mut state = std::ptr::null_mut();
            let meta = relations.as_mut_ptr();
            assert_ne!(ffi::gst_analytics_relation_meta_iterate(meta, &mut state, kind, &mut handle), 0);
            let handle = ffi::GstAnalyticsTensorMtd { id: handle.id, meta: handle.meta };
            (handle.id, from_glib_none(ffi::gst_analytics_tensor_mtd_get_tensor(&handle)))
        };
        assert!(values(&tensor) == seen(buffer).tensor.unwrap(), "another tensor");
        assert_eq!(relations.relation(verdict, id), RelTypes::RELATE_TO);
        assert_eq!(relations.relation(id, verdict), RelTypes::RELATE_TO);
    }
}

/// Places at which two RGB frames differ.
fn changes(found: &gst::BufferRef, image: &image::RgbImage) -> Vec<(u32, u32)> {
    let info = info_of(image);
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(found, &info).unwrap();
    let (data, stride) = (frame.plane_data(0).unwrap(), info.stride()[0] as usize);
    let place = |x: u32, y: u32| y as usize * stride + 3 * x as usize;
    image
        .enumerate_pixels()
        .filter(|(x, y, pixel)| data[place(*x, *y)..][..3] != pixel.0)
        .map(|(x, y, _)| (x, y))
        .collect()
}

#[test]
fn the_stock_overlay_draws_a_box_around_each_region() {
    let image = defective(38);
    let overlay =
        "objectdetectionoverlay name=overlay draw-labels=false object-detection-outline-color=0xff00ff00";
    let line = Line::playing(&format!("{} ! {overlay}", chain(wide())), &info_of(&image));
    let sample = line.pass(&image, 0);
    let buffer = sample.buffer().unwrap();
    let regions = AnomalyMeta::get(buffer).unwrap().regions;
    assert!(!regions.is_empty());
    let drawn = changes(buffer, &image);
    // Lines have a width of two, and are smoothed.
    let near = |at: u32, edge: u32| at.abs_diff(edge) <= 3;
    let on_edge = |region: &RegionInfo, (x, y): (u32, u32)| {
        let (right, bottom) = (region.x + region.width, region.y + region.height);
        let across = (region.x.saturating_sub(3)..=right + 3).contains(&x);
        let down = (region.y.saturating_sub(3)..=bottom + 3).contains(&y);
        ((near(x, region.x) || near(x, right)) && down) || ((near(y, region.y) || near(y, bottom)) && across)
    };
    for &place in &drawn {
        assert!(
            regions.iter().any(|region| on_edge(region, place)),
            "{place:?} is on no edge of {regions:?}"
        );
    }
    for region in &regions {
        let seen = drawn.iter().filter(|place| on_edge(region, **place)).count() as u32;
        assert!(seen >= region.width + region.height, "{seen} pixels for {region:?}");
    }
    assert!(changes(line.pass(&good(38), 1).buffer().unwrap(), &good(38)).is_empty(), "a good part");
}
