//! What image files may be: large, turned, transparent, animated, of 16 bits.

use crate::workshop::{Workshop, good, spotted};
use image::{DynamicImage, ImageBuffer, Luma, RgbImage, Rgba, RgbaImage};
use serde_json::Value;
use std::path::Path;

/// A PNG file of so many pixels, all of them black, and few bytes.
fn bomb(path: &Path, (width, height): (u32, u32)) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let row = vec![0; width.div_ceil(8) as usize];
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    (0..height).for_each(|_| std::io::Write::write_all(&mut stream, &row).unwrap());
    stream.finish().unwrap();
}

#[test]
fn a_small_file_that_unpacks_to_too_much_is_refused() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    bomb(&shop.path("huge.png"), (20_000, 20_000));
    let error = "huge.png: the image has 20000x20000 pixels, more than the 100000000 that are read";
    shop.fails("predict --model b huge.png").says(&[error, "--max-pixels 400000000"]);
    for folder in ["cloth/train/good", "cloth/test/spot"] {
        std::fs::copy(shop.path("huge.png"), shop.path(folder).join("huge.png")).unwrap();
    }
    let threshold = |bundle: &str| shop.manifest(bundle)["calibration"]["threshold"].clone();
    let before = threshold("b");
    shop.fit("cloth", "b").says(&["left out: cloth/train/good/huge.png: the image has 20000x20000 pixels"]);
    assert_eq!(threshold("b"), before);
    shop.succeeds("eval --model b --data cloth").says(&["left out: cloth/test/spot/huge.png"]);
    shop.fails("fit --data cloth --size 64x64 --strict --out x").says(&["huge.png"]);

    let small = "predict --model b --max-pixels 1000 cloth/test/good/000.png";
    shop.fails(small).says(&["64x64 pixels, more than the 1000 that are read", "--max-pixels 4096"]);
    shop.succeeds(&small.replace("1000", "4096"));
    shop.refuses(&small.replace("1000", "0")).says(&["expected a number of pixels"]);
}

/// The file of a JPEG image with an orientation tag.
fn jpeg_turned(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut plain = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut plain, 100).encode_image(image).unwrap();
    let exif = [
        &b"Exif\0\0II*\0\x08\0\0\0\x01\0"[..],
        // Orientation, SHORT, one of them.
        &[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0],
        &[0; 4],
    ]
    .concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&plain[..2], &[0xff, 0xe1], &length, &exif, &plain[2..]].concat()
}

fn score(shop: &Workshop, file: &str) -> f64 {
    let line = shop.succeeds(&format!("predict --model b --json {file}")).stdout;
    serde_json::from_str::<Value>(&line).unwrap()["score"].as_f64().unwrap()
}

#[test]
fn images_are_turned_as_their_tag_says() {
    let shop = Workshop::new();
    shop.category("cloth");
    let (image, mask) = spotted(5, (40, 8));
    let turned = image::imageops::rotate270(&image);
    shop.write("upright.jpg", &jpeg_turned(&image, 1));
    shop.write("turned.jpg", &jpeg_turned(&turned, 6));
    for i in 0..3 {
        shop.write(&format!("cloth/train/good/t{i}.jpg"), &jpeg_turned(&good(60 + i), 3));
    }
    shop.fit("cloth", "b")
        .says(&["3 images (the first: cloth/train/good/t0.jpg) with an orientation tag", "videoflip"]);
    // Compressed in another direction, it is not the same to the last bit.
    let (upright, found) = (score(&shop, "upright.jpg"), score(&shop, "turned.jpg"));
    assert!((upright - found).abs() < 0.02 * upright, "{upright} {found}");

    // A mask lies over the image as one looks at it; sizes are those, too.
    let wide = image::imageops::resize(&image, 64, 32, image::imageops::FilterType::Triangle);
    shop.write("cloth/test/spot/wide.jpg", &jpeg_turned(&image::imageops::rotate270(&wide), 6));
    let wide_mask = image::imageops::resize(&mask, 64, 32, image::imageops::FilterType::Nearest);
    wide_mask.save(shop.path("cloth/ground_truth/spot/wide_mask.png")).unwrap();
    let result = shop.succeeds("eval --model b --data cloth --json -");
    result.says(&["1 image (cloth/test/spot/wide.jpg) with an orientation tag"]);
    assert!(result.json()["pixel_auroc"].as_f64().unwrap() > 0.9);
}

#[test]
fn transparent_and_animated_images_are_told_of_once() {
    let shop = Workshop::new();
    shop.good("parts", 6, 1);
    for i in 0..2 {
        let opaque = good(70 + i);
        let image = RgbaImage::from_fn(64, 64, |x, y| {
            let [r, g, b] = opaque.get_pixel(x, y).0;
            Rgba([r, g, b, if x < 8 { 0 } else { 255 }])
        });
        DynamicImage::from(image).save(shop.path(&format!("parts/alpha{i}.png"))).unwrap();
    }
    // Opaque all over, as many programs write it: nothing to tell.
    DynamicImage::from(good(80)).into_rgba8().save(shop.path("parts/opaque.png")).unwrap();
    let frame = good(81);
    let mut encoder =
        png::Encoder::new(std::fs::File::create(shop.path("parts/moving.png")).unwrap(), 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(frame.as_raw()).unwrap();
    writer.write_image_data(good(82).as_raw()).unwrap();
    writer.finish().unwrap();
    let fitted = shop.fit("parts", "b");
    fitted.says(&[
        "2 images (the first: parts/alpha0.png) with transparent pixels",
        "1 image (parts/moving.png) with more pictures than one",
    ]);
    assert_eq!(fitted.stderr.matches("transparent pixels").count(), 1);
    shop.succeeds("predict --model b parts").says(&["transparent pixels", "more pictures than one"]);
}

/// Grey cloth of 12 bits, moved up by `shift` bits.
fn twelve_bits(image: &RgbImage, shift: u32) -> ImageBuffer<Luma<u16>, Vec<u16>> {
    ImageBuffer::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, _] = image.get_pixel(x, y).0;
        Luma([((u16::from(red) << 4) | u16::from(green & 15)) << shift])
    })
}

#[test]
fn twelve_of_sixteen_bits_are_noticed_and_kept() {
    let shop = Workshop::new();
    for (folder, shift) in [("low", 0), ("high", 4)] {
        std::fs::create_dir_all(shop.path(folder)).unwrap();
        for i in 0..8 {
            let ending = if i % 2 == 0 { "png" } else { "tif" };
            twelve_bits(&good(100 + i), shift).save(shop.path(&format!("{folder}/{i}.{ending}"))).unwrap();
        }
        twelve_bits(&spotted(120, (20, 20)).0, shift).save(shop.path(&format!("{folder}.png"))).unwrap();
    }
    shop.fit("low", "b").says(&["lower 12 are in use", "0-4095", "--range"]);
    assert_eq!(shop.manifest("b")["input"]["range"], serde_json::json!([0, 4095]));
    let low = score(&shop, "low.png");
    let shown = shop.succeeds("predict --model b --out maps low.png");
    assert!(shown.stdout.contains("anomalous"), "{}", shown.stdout);
    let heatmap = image::open(shop.path("maps/low_anomaly.png")).unwrap().into_rgb8();
    assert!(
        heatmap.pixels().filter(|pixel| pixel.0.iter().max() > Some(&60)).count() > 3000,
        "as bright as the network sees it"
    );
    // The same camera with another setting.
    let seen = ["the largest value", "takes 0-4095 for black to white", "brighter than white"];
    shop.succeeds("calibrate --model b --normal high").says(&seen);
    shop.succeeds("update --model b --add high").says(&seen);
    shop.fit("high", "b").says(&["upper 12 are in use"]);
    assert!(shop.manifest("b")["input"]["range"].is_null());
    let high = score(&shop, "high.png");
    // Two banks, grouped anew, of values that differ by up to 15 of 65535.
    assert!((low - high).abs() < 0.05 * high, "{low} {high}");

    shop.succeeds("fit --data low --size 64x64 --range full --out b");
    let dark = score(&shop, "low.png");
    // Found all the same, but on other terms.
    assert!((dark - low).abs() > 0.01 * low, "nearly black: {dark} {low}");
    assert!(shop.manifest("b")["input"]["range"].is_null());
    shop.succeeds("fit --data low --size 64x64 --range 100-3000 --out b");
    assert_eq!(shop.manifest("b")["input"]["range"], serde_json::json!([100, 3000]));
    assert!(shop.succeeds("info b").stdout.contains("100-3000"));
    shop.refuses("fit --data low --range 9-9 --out b").says(&["white must be above black"]);
    shop.refuses("fit --data low --range dark --out b").says(&["expected BLACK-WHITE"]);
    let mut manifest = shop.manifest("b");
    manifest["input"]["range"] = serde_json::json!([9, 9]);
    shop.write("b/bundle.json", manifest.to_string().as_bytes());
    shop.fails("info b").says(&["bundle.json", "white must be above black"]);
}

#[test]
fn floating_point_pixels_are_refused() {
    let shop = Workshop::new();
    shop.good("parts", 3, 1);
    let depth: ImageBuffer<image::Rgb<f32>, Vec<f32>> = ImageBuffer::from_pixel(64, 64, image::Rgb([3.5; 3]));
    DynamicImage::ImageRgb32F(depth).save(shop.path("parts/depth.tiff")).unwrap();
    shop.fit("parts", "b").says(&["left out: parts/depth.tiff: its pixels are floating-point numbers"]);
}
