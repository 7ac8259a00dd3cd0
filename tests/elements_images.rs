//! An image has one score, whether it is a file or a frame, however many bits it has and whichever way it is turned.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gst_video::prelude::*;
use gstanomaly::frame::Fit;
use gstanomaly::methods::cpr;
use image::{DynamicImage, ImageBuffer, Luma, Rgb};
use pipeline::{Line, chain, info, result, stamp};
use product::{FOLDER, FitOptions, Notes, defective, good, judge_file, options, scratch};
use std::path::Path;

type Grey16 = ImageBuffer<Luma<u16>, Vec<u16>>;

/// The part in grey of 16 bits, the values of `bits` bits.
fn deep(image: &image::RgbImage, bits: u32) -> Grey16 {
    let grey = DynamicImage::from(image.clone()).into_rgb16();
    ImageBuffer::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, _] = grey.get_pixel(x, y).0;
        // Not a byte that is repeated.
        Luma([(red / 2 + green / 3) >> (16 - bits)])
    })
}

/// A bundle fitted to grey images of 16 bits, of which `bits` are in use.
fn fitted(name: &str, bits: u32, fit: Fit) -> std::path::PathBuf {
    let folder = scratch();
    for seed in 0..6 {
        deep(&good(seed), bits).save(folder.path().join(format!("{seed}.png"))).unwrap();
    }
    let out = FOLDER.join(name);
    let options = FitOptions { data: folder.path().into(), fit, ..options(name, (64, 64)) };
    cpr::fit(&options, &out, &mut Notes::default()).unwrap();
    out
}

/// The score of a frame of 16-bit values, row by row.
fn live(bundle: &Path, (width, height): (u32, u32), rows: &[u16], format: gst_video::VideoFormat) -> f64 {
    let info = info(format, width, height);
    let buffer = gst::Buffer::with_size(info.size()).unwrap();
    let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, &info).unwrap();
    let stride = frame.plane_stride()[0] as usize;
    let plane = frame.plane_data_mut(0).unwrap();
    for (to, from) in plane.chunks_mut(stride).zip(rows.chunks_exact(rows.len() / height as usize)) {
        for (to, value) in to.chunks_exact_mut(2).zip(from) {
            to.copy_from_slice(&match format {
                gst_video::VideoFormat::Gray16Be => value.to_be_bytes(),
                _ => value.to_le_bytes(),
            });
        }
    }
    let mut buffer = frame.into_buffer();
    stamp(&mut buffer, 0);
    let line = Line::playing(&chain(bundle), &info);
    line.push(buffer);
    pipeline::score(&line.pull())
}

/// The result of an image file that a pipeline decodes.
fn inspected(bundle: &Path, file: &Path, decoder: &str) -> gst::Structure {
    pipeline::init();
    let text = format!(
        "filesrc location={} ! {decoder} ! {} ! appsink name=out sync=false",
        file.display(),
        chain(bundle)
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink: gst_app::AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = sink.try_pull_sample(pipeline::PATIENCE);
    pipeline.set_state(gst::State::Null).unwrap();
    result(sample.expect("a frame comes").buffer().unwrap()).unwrap()
}

/// The score of an image file that a pipeline decodes.
fn decoded(bundle: &Path, file: &Path, decoder: &str) -> f64 {
    inspected(bundle, file, decoder).get("score").unwrap()
}

/// Where the strongest region of a result begins.
fn strongest(result: &gst::Structure) -> (u32, u32) {
    let regions = result.get::<gst::ArrayRef>("regions").unwrap();
    let region = regions.first().expect("a region").get::<gst::Structure>().unwrap();
    (region.get("x").unwrap(), region.get("y").unwrap())
}

#[test]
fn sixteen_bits_have_one_score_in_files_and_frames() {
    for (bits, fit) in [(16, Fit::Stretch), (12, Fit::Stretch), (12, Fit::Pad)] {
        let bundle = fitted(&format!("deep-{bits}-{fit:?}"), bits, fit);
        let folder = scratch();
        for (name, part) in [("good", good(90)), ("defective", defective(91))] {
            let image = deep(&part, bits);
            let file = folder.path().join(format!("{name}.png"));
            image.save(&file).unwrap();
            let expected = judge_file(&bundle, &file).score;
            let tiff = file.with_extension("tif");
            image.save(&tiff).unwrap();
            assert_eq!(judge_file(&bundle, &tiff).score, expected, "{bits} bits, {name}");
            assert_eq!(decoded(&bundle, &file, "pngdec"), expected, "{bits} bits, {name}");
            for format in [gst_video::VideoFormat::Gray16Le, gst_video::VideoFormat::Gray16Be] {
                assert_eq!(
                    live(&bundle, image.dimensions(), image.as_raw(), format),
                    expected,
                    "{bits} bits, {name}, {format}"
                );
            }
            let anomalous = judge_file(&bundle, &file).anomalous;
            assert_eq!(anomalous, name == "defective", "{bits} bits, {name}: {expected}");
        }
    }
}

#[test]
fn colours_of_sixteen_bits_are_kept() {
    let folder = scratch();
    let colours = |part: &image::RgbImage, noise: u16| {
        let part = DynamicImage::from(part.clone()).into_rgb16();
        ImageBuffer::from_fn(part.width(), part.height(), |x, y| {
            Rgb(part
                .get_pixel(x, y)
                .0
                .map(|value| (value & 0xff00) | ((x as u16 * 37 + y as u16 * 11 + noise) & 0xff)))
        })
    };
    let file = folder.path().join("part.png");
    let image: ImageBuffer<Rgb<u16>, Vec<u16>> = colours(&good(95), 0);
    image.save(&file).unwrap();
    let score = judge_file(product::square(), &file).score;
    // pngdec of GStreamer 1.22 shifts such pixels: frames as a camera makes them.
    let argb: Vec<u16> = image.pixels().flat_map(|&Rgb([r, g, b])| [u16::MAX, r, g, b]).collect();
    let format = gst_video::VideoFormat::Argb64Le;
    assert_eq!(live(product::square(), image.dimensions(), &argb, format), score);
    // With 8 bits it would be the same image.
    colours(&good(95), 128).save(&file).unwrap();
    assert_ne!(judge_file(product::square(), &file).score, score);
}

#[test]
fn eight_bits_are_what_they_were() {
    // A range is for 16 bits alone.
    let bundle = FOLDER.join("ranged");
    product::copy(product::square(), &bundle);
    product::change_manifest(&bundle, |manifest| manifest["input"]["range"] = serde_json::json!([0, 4095]));
    let file = product::file(&defective(96), "ranged.png");
    let expected = judge_file(product::square(), &file).score;
    assert_eq!(judge_file(&bundle, &file).score, expected);
    assert_eq!(decoded(&bundle, &file, "pngdec"), expected);
}

#[test]
fn a_turned_file_is_the_same_where_the_pipeline_turns_it() {
    let folder = scratch();
    let save = |name: &str, image: &image::RgbImage, orientation: u8| {
        let mut jpeg = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100).encode_image(image).unwrap();
        // An EXIF segment with the orientation alone.
        let exif = [
            b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec(),
            vec![orientation, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let file = folder.path().join(name);
        std::fs::write(&file, [&jpeg[..2], &exif, &jpeg[2..]].concat()).unwrap();
        file
    };
    let upright = save("upright.jpg", &defective(98), 1);
    let turned = save("turned.jpg", &image::imageops::rotate270(&defective(98)), 6);
    let bundle = product::wide();
    let plain = inspected(bundle, &upright, "jpegparse ! jpegdec");
    let flipped = inspected(bundle, &turned, "jpegparse ! jpegdec ! videoflip video-direction=auto");
    let as_it_comes = inspected(bundle, &turned, "jpegparse ! jpegdec");
    let score = |result: &gst::Structure| result.get::<f64>("score").unwrap();
    let scores = [
        [judge_file(bundle, &upright).score, judge_file(bundle, &turned).score],
        [score(&plain), score(&flipped)],
    ];
    // Rounding of the coder in other directions.
    for [upright, turned] in scores {
        assert!((upright - turned).abs() < 0.02 * upright, "{scores:?}");
    }
    // Not a figure of the score: a defect that lies on its side is about as anomalous.
    let apart = |a: &gst::Structure, b: &gst::Structure| {
        let ((ax, ay), (bx, by)) = (strongest(a), strongest(b));
        ax.abs_diff(bx).max(ay.abs_diff(by))
    };
    assert!(apart(&plain, &flipped) <= 4, "{plain:?} {flipped:?}");
    assert!(apart(&plain, &as_it_comes) > 16, "{plain:?} {as_it_comes:?}");
}

#[test]
fn a_stream_that_is_to_be_turned_says_so() {
    let line = Line::playing(&chain(product::square()), &pipeline::info_of(&good(97)));
    let tagged = |value: &str| {
        let mut tags = gst::TagList::new();
        tags.make_mut().add::<gst::tags::ImageOrientation>(&value, gst::TagMergeMode::Replace);
        assert!(line.src.send_event(gst::event::Tag::new(tags)));
    };
    tagged("rotate-0");
    line.pass(&good(97), 0);
    assert!(line.messages(&[gst::MessageType::Warning]).is_empty());
    tagged("rotate-90");
    line.pass(&good(97), 1);
    let warning = line.expect_warning();
    assert!(warning.contains("rotate-90") && warning.contains("videoflip"), "{warning}");
}
