//! The page as a whole, written with made-up inspections.

use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::evaluate::metrics::{MetricParams, image_metrics};
use crate::evaluate::pixels::PixelSamples;

fn render(report: &Report, params: &ReportParams) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    report.write(&path, params).unwrap();
    std::fs::read_to_string(path).unwrap()
}

fn entry(path: &str, label: &str, normalized: f32) -> ReportImage {
    ReportImage {
        path: path.into(),
        label: label.into(),
        is_defective: label != "good",
        score: 10.0 * normalized,
        normalized,
        level: Level::of(normalized >= 0.5, normalized.into(), Some(0.4)),
        input: encode(RgbImage::new(2, 2)),
        overlay: encode(RgbImage::new(2, 2)),
        mask: None,
    }
}

fn small_report() -> Report {
    Report {
        title: "Bolts & nuts".into(),
        images: vec![
            entry("test/good/0.png", "good", 0.1),
            entry("test/good/1.png", "good", 0.8),
            entry("test/crack/2.png", "crack", 0.9),
            entry("test/crack/3.png", "crack", 0.2),
            entry("test/crack/4.png", "crack", 0.51),
        ],
        ..Default::default()
    }
}

fn encode(picture: RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// Every element that is opened is closed, in the right order.
fn assert_well_formed(page: &str) {
    const VOID: [&str; 6] = ["meta", "img", "input", "!doctype", "br", "link"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let (tag, after) = rest[start + 1..].split_once('>').expect("a tag ends");
        rest = after;
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in <{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') && !VOID.contains(&name.to_lowercase().as_str()) {
            open.push(name);
            if let "script" | "style" = name {
                rest = &rest[rest.find(&format!("</{name}")).expect("the raw text ends")..];
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_else() {
    for page in
        [render(&sample(), &ReportParams::default()), render(&small_report(), &ReportParams::default())]
    {
        assert_well_formed(&page);
        for attribute in ["src=\"", "href=\"", "srcset=\"", "action=\"", "data=\""] {
            for (place, _) in page.match_indices(attribute) {
                let value = &page[place + attribute.len()..];
                assert!(value.starts_with("data:image/"), "{attribute}{}", &value[..40]);
            }
        }
        assert!(!page.contains("url(") && !page.contains("@import") && !page.contains("<link"));
        let addresses = page.match_indices("http").map(|(place, _)| &page[place..place + 30]);
        for address in addresses.filter(|address| address.contains("://")) {
            assert!(address.starts_with("http://www.w3.org/2000/svg"), "{address}");
        }
    }
}

#[test]
fn names_are_text_and_never_markup() {
    let hostile = "<script>alert(1)</script>\" onerror='x' &.png";
    let mut report = small_report();
    report.title = hostile.into();
    report.dataset = hostile.into();
    report.model.name = hostile.into();
    report.model.others.push((hostile.into(), hostile.into()));
    report.images.push(entry(hostile, hostile, 0.3));
    let page = render(&report, &ReportParams::default());
    assert_well_formed(&page);
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains("\" onerror"));
    assert!(page.contains("alert(1)"));
}

#[test]
fn misses_come_first() {
    let page = render(&small_report(), &ReportParams::default());
    let gallery = &page[page.find("id=\"cards\"").unwrap()..];
    let places =
        ["crack/3", "good/1", "crack/4", "crack/2", "good/0"].map(|name| gallery.find(name).unwrap());
    assert!(places.is_sorted(), "{places:?}");
    assert!(gallery.find("Missed").unwrap() < gallery.find("False alarm").unwrap());
}

#[test]
fn the_page_says_what_it_leaves_out() {
    let params = ReportParams { worst: 2, sampled: 1, ..Default::default() };
    let page = render(&small_report(), &params);
    assert!(page.contains("3 of 5 images are shown"));
    assert_eq!(page.matches("<figure class=\"card").count(), 3);
    assert_eq!(page.matches("<td class=\"path\">").count(), 5);
    let all = render(&small_report(), &ReportParams::default());
    assert!(all.contains("All 5 images are shown"));
}

#[test]
fn rates_are_those_of_the_decisions() {
    let report = small_report();
    assert_eq!(report.confusion(), Confusion { found: 2, missed: 1, false_alarms: 1, passed: 1 });
    let page = render(&report, &ReportParams::default());
    assert!(page.contains("66.7<small> %"), "found");
    assert!(page.contains("50.0<small> %"), "false alarms");
}

#[test]
fn levels_are_counted_where_there_is_a_warn_level() {
    let mut report = small_report();
    report.images.push(entry("test/good/9.png", "good", 0.45));
    report.images.push(entry("test/scratch/9.png", "scratch", 0.42));
    let plain = render(&report, &ReportParams::default());
    assert!(
        plain.contains("called defective</th>") && !plain.contains("in warn"),
        "no warn level, no word of it"
    );
    report.model.warn = Some(WarnLevel { score: 4.0, normalized: 0.4 });
    assert_eq!(report.levels(false), LevelCounts { normal: 1, warn: 1, reject: 1 });
    let defective = report.levels(true);
    assert_eq!((defective.reject, defective.warn + defective.normal), (2, 2));
    assert!(defective.warn >= 1);
    let page = render(&report, &ReportParams::default());
    assert_well_formed(&page);
    assert!(page.contains("<dt>Warn level</dt><dd>4.000</dd>"), "its score is among the facts");
    assert!(
        page.contains(">warn</th>") && page.contains(&format!("<b>{}</b> of them in warn", defective.warn))
    );
    assert!(page.contains("<td class=\"warn\">1</td>"));
}

#[test]
fn a_report_without_images_or_of_one_class_is_still_a_page() {
    assert_well_formed(&render(&Report::default(), &ReportParams::default()));
    let mut report = small_report();
    report.images.retain(|image| !image.is_defective);
    assert_well_formed(&render(&report, &ReportParams::default()));
}

#[test]
fn what_cannot_be_shown_is_an_error_and_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    std::fs::write(&path, "old").unwrap();
    let mut report = small_report();
    report.images[0].input = b"<svg onload=alert(1)>".to_vec();
    let error = report.write(&path, &ReportParams::default()).unwrap_err();
    assert!(matches!(error, ReportError::Picture { .. }), "{error}");
    let mut report = small_report();
    report.images[0].score = f32::NAN;
    let error = report.write(&path, &ReportParams::default()).unwrap_err();
    assert!(matches!(error, ReportError::NotFinite { .. }), "{error}");
    let error = report.write(folder.path().join("absent/report.html"), &ReportParams::default());
    assert!(error.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
}

/// Writes a report to look at: `cargo test --lib writes_a_sample -- --ignored --nocapture`.
#[test]
#[ignore = "writes a file to look at"]
fn writes_a_sample() {
    let path = std::env::temp_dir().join("anomaly-report.html");
    sample().write(&path, &ReportParams::default()).unwrap();
    println!("{}: {} bytes", path.display(), std::fs::metadata(&path).unwrap().len());
}

#[test]
fn the_learning_curve_is_there_if_something_was_learned() {
    let page = |learning| render(&Report { learning, ..small_report() }, &ReportParams::default());
    let point = |step, apart| LearningPoint { step, alike: 0.25, apart };
    let learned = page(vec![point(10, 1.0), point(20, 0.5)]);
    assert!(learned.contains("<h2>Learning</h2>") && learned.contains("pairs that should differ"));
    assert!(!page(Vec::new()).contains("<h2>Learning</h2>"));
    assert!(page(vec![point(1, 0.0)]).contains("<h2>Learning</h2>"), "a single point is a curve, too");
}

/// A made-up inspection of turned washers.
fn sample() -> Report {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
    let mut pixels = PixelSamples::default();
    let mut images = Vec::new();
    for (label, count, centre) in
        [("good", 40, 0.27), ("scratch", 24, 0.72), ("dent", 18, 0.78), ("stain", 16, 0.62)]
    {
        for number in 0..count {
            let spread: f32 = (0..4).map(|_| random.gen_range(-0.12..0.12)).sum();
            let normalized = (centre + spread).clamp(0.0, 1.0);
            let (input, defect) = washer(label, &mut random);
            let map = response(&defect, normalized, &mut random);
            pixels.push(map.view(), Some(defect.view())).unwrap();
            let overlay = heat(&input, &map);
            let mask = (label != "good").then(|| mask_picture(&defect));
            images.push(ReportImage {
                path: format!("test/{label}/{number:03}.png"),
                label: label.into(),
                is_defective: label != "good",
                score: 31.4 * normalized + 2.0,
                normalized,
                level: Level::of(normalized >= 0.5, normalized.into(), Some(0.4)),
                input: encode(input),
                overlay: encode(overlay),
                mask,
            });
        }
    }
    let labels: Vec<bool> = images.iter().map(|image| image.is_defective).collect();
    let scores: Vec<f32> = images.iter().map(|image| image.score).collect();
    let params = MetricParams::default();
    Report {
        title: "Washer M8, line 3".into(),
        dataset: "washers/test".into(),
        date: "2026-03-14 09:26".into(),
        model: ModelFacts {
            name: "washer-m8".into(),
            method: "cpr, preset fast".into(),
            backbone: "efficientnet-lite0".into(),
            size: (320, 320),
            training_images: 209,
            date: "2026-03-13".into(),
            device: "cpu, 8 threads".into(),
            threshold: 17.7,
            warn: Some(WarnLevel { score: 14.56, normalized: 0.4 }),
            others: vec![("Seed".into(), "0".into())],
        },
        image_metrics: Some(image_metrics(&labels, &scores, &params).unwrap()),
        pixel_metrics: Some(pixels.finish(&params).unwrap()),
        timing: Some(Timing { features: 9.4, retrieve: 4.1, score: 0.9, total: 14.6 }),
        learning: (1..=50)
            .map(|i| LearningPoint { step: 4 * i, alike: 0.2 / i as f64, apart: 0.6 / (i as f64).sqrt() })
            .collect(),
        images,
    }
}

const SIDE: u32 = 192;

/// A picture of a washer and where its defect is.
fn washer(label: &str, random: &mut Xoshiro256PlusPlus) -> (RgbImage, Array2<bool>) {
    let turn = random.gen_range(-3.1_f32..3.1);
    let (x0, y0) = (62.0 * turn.cos(), 62.0 * turn.sin());
    let slope = random.gen_range(-1.5_f32..1.5);
    let mut defect = Array2::from_elem((SIDE as usize, SIDE as usize), false);
    let picture = RgbImage::from_fn(SIDE, SIDE, |column, row| {
        let (x, y) = (column as f32 - 96.0, row as f32 - 96.0);
        let radius = x.hypot(y);
        let noise = random.gen_range(-5.0..5.0);
        if !(38.0..=86.0).contains(&radius) {
            return Rgb([38, 42, 46].map(|value: u8| (f32::from(value) + noise) as u8));
        }
        let (dx, dy) = (x - x0, y - y0);
        let away = dx.hypot(dy);
        let (inside, change) = match label {
            "scratch" => ((dy - slope * dx).abs() / slope.hypot(1.0) < 1.6 && away < 22.0, 70.0),
            "dent" => (away < 11.0, 9.0 * (dx + dy) / 2.0),
            "stain" => (away + 4.0 * (3.0 * dy.atan2(dx)).sin() < 15.0, -38.0),
            _ => (false, 0.0),
        };
        defect[[row as usize, column as usize]] = inside;
        let shine = 30.0 * (2.0 * y.atan2(x) + 0.7).cos() + 6.0 * (radius * 1.9).sin();
        let grey = 148.0 + shine + noise + if inside { change } else { 0.0 };
        Rgb([grey, grey + 3.0, grey + 8.0].map(|value| value.clamp(0.0, 255.0) as u8))
    });
    (picture, defect)
}

/// A blurred map that lights up at the defect as far as the score lets it.
fn response(defect: &Array2<bool>, normalized: f32, random: &mut Xoshiro256PlusPlus) -> Array2<f32> {
    let places: Vec<(f32, f32)> = defect
        .indexed_iter()
        .filter(|(_, inside)| **inside)
        .map(|((y, x), _)| (y as f32, x as f32))
        .step_by(9)
        .collect();
    let ghost = (random.gen_range(40.0..150.0_f32), random.gen_range(40.0..150.0_f32));
    let places = if places.is_empty() { vec![ghost] } else { places };
    Array2::from_shape_fn(defect.raw_dim(), |(y, x)| {
        let nearest = places.iter().map(|place| (place.0 - y as f32).powi(2) + (place.1 - x as f32).powi(2));
        let nearest = nearest.fold(f32::INFINITY, f32::min);
        normalized * (-nearest / 160.0).exp() + random.gen_range(0.0..0.06)
    })
}

fn heat(input: &RgbImage, map: &Array2<f32>) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let value = map[[y as usize, x as usize]].clamp(0.0, 1.0);
        let colour = [3.0 * value - 0.4, 1.6 - (3.0 * value - 1.4).abs(), 1.2 - 3.0 * value];
        let opacity = (1.6 * value).min(0.7);
        let under = input.get_pixel(x, y).0;
        Rgb([0, 1, 2].map(|channel| {
            let over = 255.0 * colour[channel].clamp(0.0, 1.0);
            ((1.0 - opacity) * f32::from(under[channel]) + opacity * over) as u8
        }))
    })
}

fn mask_picture(defect: &Array2<bool>) -> Vec<u8> {
    let picture =
        GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([u8::from(defect[[y as usize, x as usize]]) * 255]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}
