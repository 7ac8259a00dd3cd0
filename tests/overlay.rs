//! `adoverlay` from outside: what is drawn, what is left alone, how it is handed on.

#[path = "overlay/levels.rs"]
mod levels;

use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo, VideoOverlayCompositionMeta};
use gstanomaly::elements::adoverlay::AdOverlay;
use gstanomaly::meta::{AnomalyMeta, MapPlace, RegionInfo};
use std::sync::Once;

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstanomaly::meta::register();
        gst::Element::register(None, "adoverlay", gst::Rank::NONE, AdOverlay::static_type()).unwrap();
    });
}

fn overlay(properties: &str) -> Harness {
    init();
    Harness::new_parse(&format!("adoverlay {properties}"))
}

fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    init();
    VideoInfo::builder(format, width, height).fps(gst::Fraction::new(30, 1)).build().unwrap()
}

/// A frame of one grey, with padding and everything.
fn frame(info: &VideoInfo) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::ZERO);
    writable.map_writable().unwrap().fill(128);
    buffer
}

/// A map of `width` x `height` with `value` between 0 and 1 at each place, also between 0 and 1.
fn map(width: u32, height: u32, value: impl Fn(f64, f64) -> f64) -> gst::Sample {
    let info = info(VideoFormat::Gray16Le, width, height);
    let stride = info.stride()[0] as usize;
    let mut bytes = vec![0u8; info.size()];
    for y in 0..height {
        for x in 0..width {
            let place = |index: u32, length: u32| (f64::from(index) + 0.5) / f64::from(length);
            let normalized = value(place(x, width), place(y, height)).clamp(0.0, 1.0);
            let at = y as usize * stride + 2 * x as usize;
            bytes[at..at + 2].copy_from_slice(&((normalized * 65535.0) as u16).to_le_bytes());
        }
    }
    let buffer = gst::Buffer::from_slice(bytes);
    gst::Sample::builder().caps(&info.to_caps().unwrap()).buffer(&buffer).build()
}

fn blob(x: f64, y: f64, (centre_x, centre_y, radius, peak): (f64, f64, f64, f64)) -> f64 {
    let distance = (x - centre_x).powi(2) + (y - centre_y).powi(2);
    peak * (-distance / (2.0 * radius * radius)).exp()
}

/// An anomaly in the middle of a frame whose map covers all of it.
fn anomaly(width: u32, height: u32) -> AnomalyMeta {
    AnomalyMeta {
        score: 3.2,
        normalized: 0.83,
        threshold: 2.0,
        warn: Some(1.5),
        anomalous: true,
        fresh: true,
        model: "bottle".into(),
        method: "cpr".into(),
        regions: vec![RegionInfo {
            x: width * 2 / 5,
            y: height * 2 / 5,
            width: width / 5,
            height: height / 5,
            score: 0.87,
            area: 10.0,
        }],
        map: Some(map(32, 32, |x, y| blob(x, y, (0.5, 0.5, 0.1, 0.95)))),
        map_min: 0.0,
        map_max: 4.0,
        map_place: MapPlace { x: 0, y: 0, width, height },
    }
}

/// A good part: every value of the map is 0.1.
fn good(width: u32, height: u32) -> AnomalyMeta {
    AnomalyMeta {
        score: 0.8,
        normalized: 0.2,
        anomalous: false,
        regions: Vec::new(),
        map: Some(map(16, 16, |_, _| 0.1)),
        ..anomaly(width, height)
    }
}

/// A part that is less usual than good ones are as a rule.
fn unusual(width: u32, height: u32) -> AnomalyMeta {
    AnomalyMeta { score: 1.6, normalized: 0.4, ..good(width, height) }
}

fn with(meta: &AnomalyMeta, mut buffer: gst::Buffer) -> gst::Buffer {
    meta.attach(buffer.get_mut().unwrap()).unwrap();
    buffer
}

/// Pushes a frame of one grey with a metadata through the overlay.
fn draw(harness: &mut Harness, info: &VideoInfo, meta: &AnomalyMeta) -> gst::Buffer {
    harness.push_and_pull(with(meta, frame(info))).unwrap()
}

fn start(properties: &str, info: &VideoInfo) -> Harness {
    let mut harness = overlay(properties);
    harness.set_src_caps(info.to_caps().unwrap());
    harness
}

fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// Pixels of a packed format that differ from the grey of [`frame`].
fn touched(buffer: &gst::BufferRef, info: &VideoInfo) -> Vec<(u32, u32)> {
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    let (stride, pixel) = (info.stride()[0] as usize, info.comp_pstride(0) as usize);
    let data = frame.plane_data(0).unwrap();
    let places = (0..info.height()).flat_map(|y| (0..info.width()).map(move |x| (x, y)));
    let changed = |(x, y): &(u32, u32)| {
        let start = *y as usize * stride + *x as usize * pixel;
        data[start..start + pixel.min(3)].iter().any(|byte| *byte != 128)
    };
    places.filter(changed).collect()
}

#[test]
fn frames_without_metadata_pass_untouched() {
    let info = info(VideoFormat::I420, 160, 120);
    let mut harness = start("", &info);
    let buffer = frame(&info);
    let address = buffer.as_ptr();
    let found = harness.push_and_pull(buffer).unwrap();
    assert_eq!(found.as_ptr(), address);
    assert!(bytes(&found).iter().all(|byte| *byte == 128));
}

#[test]
fn the_heat_map_stays_in_its_place() {
    let info = info(VideoFormat::Rgb, 161, 121);
    let mut harness = start("show=heatmap", &info);
    let mut meta = anomaly(161, 121);
    meta.map = Some(map(7, 9, |_, _| 0.9));
    meta.map_place = MapPlace { x: 30, y: 20, width: 50, height: 41 };
    let touched = touched(&draw(&mut harness, &info, &meta), &info);
    assert_eq!(touched.len(), 50 * 41);
    assert!(touched.iter().all(|(x, y)| (30..80).contains(x) && (20..61).contains(y)));
}

#[test]
fn a_good_part_stays_the_plain_picture_with_a_badge() {
    let info = info(VideoFormat::Bgrx, 320, 240);
    for shown in ["heatmap", "contour", "regions", "heatmap+contour+regions"] {
        let found = draw(&mut start(&format!("show={shown}"), &info), &info, &good(320, 240));
        assert_eq!(touched(&found, &info), [], "{shown}");
    }
    let found = touched(&draw(&mut start("", &info), &info, &good(320, 240)), &info);
    assert!(!found.is_empty());
    assert!(found.iter().all(|(x, y)| *x < 140 && *y < 60), "only the badge");
}

#[test]
fn each_layer_draws_alone() {
    let info = info(VideoFormat::Bgrx, 320, 240);
    let mut seen = Vec::new();
    for shown in ["heatmap", "contour", "regions", "score"] {
        let found =
            touched(&draw(&mut start(&format!("show={shown}"), &info), &info, &anomaly(320, 240)), &info);
        assert!(!found.is_empty(), "{shown}");
        assert!(!seen.contains(&found), "{shown}");
        seen.push(found);
    }
    let found = draw(&mut start("show=0", &info), &info, &anomaly(320, 240));
    assert_eq!(touched(&found, &info), []);
}

#[test]
fn only_anomalous_leaves_good_frames_alone() {
    let info = info(VideoFormat::Rgb, 320, 240);
    let mut harness = start("only-anomalous=true", &info);
    let found = draw(&mut harness, &info, &good(320, 240));
    assert_eq!(touched(&found, &info), []);
    let found = draw(&mut harness, &info, &anomaly(320, 240));
    assert_ne!(touched(&found, &info), []);
}

#[test]
fn auto_range_shows_where_a_good_part_is_least_usual() {
    let info = info(VideoFormat::Rgb, 320, 240);
    let mut meta = good(320, 240);
    meta.map = Some(map(32, 32, |x, y| 0.05 + blob(x, y, (0.5, 0.5, 0.1, 0.1))));
    let found = draw(&mut start("show=heatmap range=auto", &info), &info, &meta);
    assert!(touched(&found, &info).contains(&(160, 120)));
    let found = draw(&mut start("show=heatmap range=fixed", &info), &info, &meta);
    assert_eq!(touched(&found, &info), []);
}

#[test]
fn frames_of_every_size_are_survived() {
    for (width, height) in [(1, 1), (3, 7), (7, 3), (16, 16), (64, 48), (128, 96), (16384, 1), (1, 16384)] {
        for format in [VideoFormat::Rgb, VideoFormat::I420] {
            let info = info(format, width, height);
            let mut harness = start("", &info);
            for meta in [anomaly(width, height), good(width, height)] {
                draw(&mut harness, &info, &meta);
            }
        }
    }
}

#[test]
fn the_badge_is_readable_from_128_pixels_on() {
    let width_of = |width, height| {
        let info = info(VideoFormat::Bgrx, width, height);
        let found = touched(&draw(&mut start("show=score", &info), &info, &anomaly(width, height)), &info);
        found.iter().map(|(x, _)| *x + 1).max().unwrap_or(0)
    };
    assert!((80..=128).contains(&width_of(128, 96)), "complete");
    assert!((12..=40).contains(&width_of(40, 40)), "its icon alone");
    assert_eq!(width_of(12, 12), 0, "no room");
}

#[test]
fn every_format_is_drawn_on() {
    init();
    for format in gst_video::VIDEO_FORMATS_ALL.iter().copied() {
        let info = info(format, 64, 48);
        let mut harness = start("show=heatmap opacity=1", &info);
        let mut meta = anomaly(64, 48);
        meta.map_place = MapPlace { x: 16, y: 16, width: 32, height: 16 };
        let plain = bytes(&frame(&info));
        let found = draw(&mut harness, &info, &meta);
        assert_ne!(bytes(&found), plain, "{format}");
        assert_eq!(found.size(), plain.len(), "{format}");
    }
}

#[test]
fn planar_formats_change_in_the_place_alone() {
    for format in
        [VideoFormat::I420, VideoFormat::Nv12, VideoFormat::Gray8, VideoFormat::Yuy2, VideoFormat::Gray16Le]
    {
        let info = info(format, 64, 48);
        let mut harness = start("show=heatmap", &info);
        let mut meta = anomaly(64, 48);
        meta.map = Some(map(4, 4, |_, _| 0.9));
        meta.map_place = MapPlace { x: 16, y: 16, width: 32, height: 16 };
        let found = draw(&mut harness, &info, &meta);
        let frame = VideoFrameRef::from_buffer_ref_readable(&found, &info).unwrap();
        let (stride, pixel) = (info.stride()[0] as usize, info.comp_pstride(0) as usize);
        let data = frame.plane_data(0).unwrap();
        for (y, line) in data.chunks(stride).enumerate() {
            for (x, luma) in line.chunks(pixel).take(64).enumerate() {
                let inside = (16..48).contains(&x) && (16..32).contains(&y);
                assert_eq!(luma[0] != 128, inside, "{format} at {x},{y}");
            }
        }
    }
}

#[test]
fn compositions_are_attached_where_downstream_takes_them() {
    let info = info(VideoFormat::Nv12, 640, 480);
    let mut harness = overlay("");
    harness
        .set_sink_caps_str("video/x-raw(memory:SystemMemory, meta:GstVideoOverlayComposition), format=NV12");
    harness.add_propose_allocation_meta(VideoOverlayCompositionMeta::meta_api(), None);
    harness.set_src_caps(info.to_caps().unwrap());
    let found = draw(&mut harness, &info, &anomaly(640, 480));
    assert!(bytes(&found).iter().all(|byte| *byte == 128), "the picture itself is untouched");
    let meta = found.meta::<VideoOverlayCompositionMeta>().expect("composition");
    assert_eq!(meta.overlay().n_rectangles(), 2, "the scene and the badge");
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    assert!(caps.features(0).unwrap().contains("meta:GstVideoOverlayComposition"));
    let found = harness.push_and_pull(frame(&info)).unwrap();
    assert!(found.meta::<VideoOverlayCompositionMeta>().is_none());
}

#[test]
fn compositions_from_upstream_are_kept() {
    let info = info(VideoFormat::Rgb, 320, 240);
    let mut harness = overlay("show=score");
    harness.set_sink_caps_str("video/x-raw(memory:SystemMemory, meta:GstVideoOverlayComposition)");
    harness.add_propose_allocation_meta(VideoOverlayCompositionMeta::meta_api(), None);
    harness.set_src_caps(info.to_caps().unwrap());
    let first = draw(&mut harness, &info, &anomaly(320, 240));
    let second = draw(&mut harness, &info, &anomaly(320, 240));
    let upstream = first.meta::<VideoOverlayCompositionMeta>().unwrap().overlay_owned();
    assert_eq!(second.meta::<VideoOverlayCompositionMeta>().unwrap().overlay().n_rectangles(), 1);
    let mut buffer = with(&anomaly(320, 240), frame(&info));
    VideoOverlayCompositionMeta::add(buffer.get_mut().unwrap(), &upstream);
    let found = harness.push_and_pull(buffer).unwrap();
    assert_eq!(found.iter_meta::<VideoOverlayCompositionMeta>().count(), 1);
    assert_eq!(found.meta::<VideoOverlayCompositionMeta>().unwrap().overlay().n_rectangles(), 2);
}

/// Takes any caps but says nothing about compositions, like fakesink.
#[test]
fn a_sink_that_takes_any_caps_gets_blended_frames() {
    let info = info(VideoFormat::Rgb, 320, 240);
    let mut harness = start("", &info);
    let found = draw(&mut harness, &info, &anomaly(320, 240));
    assert!(found.meta::<VideoOverlayCompositionMeta>().is_none());
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    assert!(!caps.features(0).unwrap().contains("meta:GstVideoOverlayComposition"));
}

#[test]
fn settings_and_caps_change_while_playing() {
    let small = info(VideoFormat::Rgb, 160, 120);
    let large = info(VideoFormat::I420, 640, 480);
    let mut harness = start("show=heatmap", &small);
    let element = harness.find_element("adoverlay").unwrap_or_else(|| harness.element().unwrap());
    let turbo = bytes(&draw(&mut harness, &small, &anomaly(160, 120)));
    element.set_property_from_str("colormap", "viridis");
    let viridis = bytes(&draw(&mut harness, &small, &anomaly(160, 120)));
    assert_ne!(turbo, viridis);
    element.set_property("opacity", 0.0);
    assert_eq!(touched(&draw(&mut harness, &small, &anomaly(160, 120)), &small), []);
    element.set_property("opacity", 0.5);
    element.set_property_from_str("colormap", "turbo");
    harness.set_src_caps(large.to_caps().unwrap());
    assert_ne!(bytes(&draw(&mut harness, &large, &anomaly(640, 480))), bytes(&frame(&large)));
    harness.set_src_caps(small.to_caps().unwrap());
    assert_eq!(bytes(&draw(&mut harness, &small, &anomaly(160, 120))), turbo);
}

#[test]
fn a_shared_frame_is_copied_before_it_is_drawn_on() {
    let info = info(VideoFormat::Rgb, 160, 120);
    let mut harness = start("", &info);
    let kept = with(&anomaly(160, 120), frame(&info));
    let found = harness.push_and_pull(kept.clone()).unwrap();
    assert!(bytes(&kept).iter().all(|byte| *byte == 128));
    assert_ne!(touched(&found, &info), []);
}

#[test]
fn carried_results_are_drawn_dimmed_and_from_the_cache() {
    let info = info(VideoFormat::Rgb, 320, 240);
    let mut harness = start("", &info);
    let fresh = anomaly(320, 240);
    let carried = AnomalyMeta { fresh: false, ..fresh.clone() };
    let first = bytes(&draw(&mut harness, &info, &fresh));
    let dimmed = bytes(&draw(&mut harness, &info, &carried));
    assert_ne!(first, dimmed);
    assert_eq!(dimmed, bytes(&draw(&mut harness, &info, &carried)));
    assert_eq!(first, bytes(&draw(&mut harness, &info, &fresh)));
}

#[test]
fn metadata_that_lies_is_survived() {
    let info = info(VideoFormat::Rgb, 64, 48);
    let caps = |text: &str| text.parse::<gst::Caps>().unwrap();
    let mut harness = start("", &info);
    let sample = |text: &str, bytes: usize| {
        let buffer = gst::Buffer::from_slice(vec![255u8; bytes]);
        Some(gst::Sample::builder().caps(&caps(text)).buffer(&buffer).build())
    };
    let all = u32::MAX;
    let place = |x, y, width, height| MapPlace { x, y, width, height };
    let honest = "video/x-raw,format=GRAY16_LE,width=4,height=4,framerate=0/1";
    let maps = [
        sample("video/x-raw,format=GRAY16_LE,width=400,height=400,framerate=0/1", 64),
        sample("video/x-raw,format=GRAY16_LE,width=2000000,height=2000000,framerate=0/1", 64),
        sample("video/x-raw,format=GRAY8,width=4,height=4,framerate=0/1", 64),
        sample("audio/x-raw", 64),
        sample(honest, 0),
        Some(gst::Sample::builder().build()),
    ];
    for map in maps {
        let meta = AnomalyMeta { map, regions: Vec::new(), ..anomaly(64, 48) };
        draw(&mut harness, &info, &meta);
    }
    for map_place in
        [place(0, 0, 0, 0), place(all, all, all, all), place(0, 0, all, all), place(63, 47, 1, 1)]
    {
        let meta = AnomalyMeta { map: sample(honest, 32), map_place, ..anomaly(64, 48) };
        draw(&mut harness, &info, &meta);
    }
    for normalized in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 7.0] {
        let region =
            RegionInfo { x: all, y: 0, width: all, height: all, score: normalized, area: normalized };
        let near = RegionInfo { x: 1, y: 1, ..region };
        let meta = AnomalyMeta { normalized, regions: vec![region, near], ..anomaly(64, 48) };
        draw(&mut harness, &info, &meta);
    }
}

#[test]
fn late_frames_are_left_out() {
    let info = info(VideoFormat::Rgb, 64, 48);
    let mut harness = start("", &info);
    let at = |seconds: u64| {
        let mut buffer = with(&anomaly(64, 48), frame(&info));
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_seconds(seconds));
        buffer
    };
    harness.push(at(0)).unwrap();
    let late = gst::ClockTime::SECOND.nseconds() as i64;
    harness.push_upstream_event(gst::event::Qos::new(
        gst::QOSType::Underflow,
        2.0,
        late,
        gst::ClockTime::ZERO,
    ));
    harness.push(at(1)).unwrap();
    harness.push(at(2)).unwrap();
    let _first = harness.pull().unwrap();
    let next = harness.pull().unwrap();
    assert_eq!(next.pts(), Some(gst::ClockTime::from_seconds(2)));
    assert!(next.flags().contains(gst::BufferFlags::DISCONT));
}

#[test]
fn a_live_pipeline_runs_to_its_end() {
    init();
    let line = "videotestsrc is-live=true num-buffers=8 ! video/x-raw,width=320,height=240,framerate=60/1 \
                ! identity name=writer ! adoverlay name=overlay ! videoconvert ! fakesink sync=true";
    let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let pad = pipeline.by_name("writer").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        let buffer = info.buffer_mut().unwrap();
        anomaly(320, 240).attach(buffer.make_mut()).unwrap();
        gst::PadProbeReturn::Ok
    });
    let overlay = pipeline.by_name("overlay").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    overlay.set_property_from_str("show", "heatmap+score");
    let bus = pipeline.bus().unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &wanted).expect("an end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Renders frames to look at: `OVERLAY_PICTURE` names a picture, `OVERLAY_OUT` the beginning of the files' names.
#[test]
#[ignore = "writes pictures for people"]
fn pictures_to_look_at() {
    let picture = image::open(std::env::var("OVERLAY_PICTURE").unwrap()).unwrap();
    let out = std::env::var("OVERLAY_OUT").unwrap();
    for (width, height) in [(160, 120), (400, 400), (1280, 720), (3840, 2160)] {
        let info = info(VideoFormat::Rgb, width, height);
        let scaled = picture.resize_to_fill(width, height, image::imageops::FilterType::Triangle).to_rgb8();
        let cases = [
            ("bad", scratched(width, height)),
            ("warn", unusual(width, height)),
            ("good", good(width, height)),
        ];
        for (name, meta) in cases {
            let mut buffer = frame(&info);
            {
                let stride = info.stride()[0] as usize;
                let mut data = buffer.get_mut().unwrap().map_writable().unwrap();
                for (line, row) in data.chunks_mut(stride).zip(scaled.as_raw().chunks(3 * width as usize)) {
                    line[..row.len()].copy_from_slice(row);
                }
            }
            let colours = std::env::var("OVERLAY_SETTINGS").unwrap_or_default();
            let found = start(&colours, &info).push_and_pull(with(&meta, buffer)).unwrap();
            let data = bytes(&found);
            let rows = data.chunks(info.stride()[0] as usize).flat_map(|line| &line[..3 * width as usize]);
            let result = image::RgbImage::from_raw(width, height, rows.copied().collect()).unwrap();
            result.save(format!("{out}-{name}-{width}x{height}.png")).unwrap();
        }
    }
}

/// Three defects of different strength, one at the edge.
fn scratched(width: u32, height: u32) -> AnomalyMeta {
    let defects = [
        (0.36, 0.3, 0.055, 0.98),
        (0.66, 0.62, 0.08, 0.72),
        (0.99, 0.9, 0.05, 0.85),
        (0.45, 0.75, 0.05, 0.42),
    ];
    let value = |x: f64, y: f64| {
        let ripple = 0.06 * ((31.0 * x).sin() * (27.0 * y).cos() + 1.0);
        defects.iter().map(|defect| blob(x, y, *defect)).sum::<f64>()
            + blob(x, y, (0.42, 0.36, 0.04, 0.7))
            + ripple
    };
    let region = |(x, y, radius, score): (f64, f64, f64, f64)| {
        let reach = radius * (2.0 * (score / 0.45).ln()).sqrt();
        let place = |at: f64, length: u32| (at.clamp(0.0, 1.0) * f64::from(length)) as u32;
        let (left, top) = (place(x - reach, width), place(y - reach, height));
        RegionInfo {
            x: left,
            y: top,
            width: place(x + reach, width) - left,
            height: place(y + reach, height) - top,
            score,
            area: 100.0,
        }
    };
    let regions = vec![region((0.385, 0.325, 0.075, 0.98)), region(defects[1]), region(defects[2])];
    AnomalyMeta { normalized: 0.98, regions, map: Some(map(256, 256, value)), ..anomaly(width, height) }
}

/// Milliseconds for a frame, drawn anew and blended.
#[test]
#[ignore = "a measurement"]
fn time_of_a_frame() {
    for (width, height) in [(640, 480), (1920, 1080), (3840, 2160)] {
        for format in [VideoFormat::Bgrx, VideoFormat::I420] {
            let info = info(format, width, height);
            for (name, meta) in [("anomalous", scratched(width, height)), ("good", good(width, height))] {
                let mut harness = start("", &info);
                let mut times: Vec<f64> = (0..30)
                    .map(|index| {
                        // Another score and another map every time, so that nothing comes from the cache.
                        let mut meta = meta.clone();
                        meta.normalized -= 0.001 * f64::from(index);
                        let buffer = with(&meta, frame(&info));
                        let start = std::time::Instant::now();
                        harness.push_and_pull(buffer).unwrap();
                        start.elapsed().as_secs_f64() * 1000.0
                    })
                    .collect();
                times.sort_by(f64::total_cmp);
                println!(
                    "{width}x{height} {format} {name}: best {:.2} ms, median {:.2} ms",
                    times[0], times[15]
                );
            }
        }
    }
}
