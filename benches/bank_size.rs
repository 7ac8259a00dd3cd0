//! What a growing bank costs PatchCore: time of a frame's search and memory, for exact and approximate search, as a table and a chart.
//!
//!     BENCH_KEEP=DIR cargo bench --bench bank_size
//!
//! Patches are embedded as `adtrain fit --method patchcore --size 224x224` does it: 784 vectors of 1,024 values an image. Banks are patches
//! drawn at random from all images, in one order, so that a small one is the beginning of a large one; frames are images that are in
//! none. For each bank the breadth of the approximate search is doubled from its default until it finds the nearest row of 99 % of the
//! frames' patches. Printed are medians. Building the indices of all banks takes most of the time, three quarters of an hour for a million rows:
//! `BENCH_KEEP` names a folder that keeps them for the next run.
//!
//! `BENCH_IMAGES` names folders of images, with colons between them; without it they are drawn. `BENCH_BACKBONE` names another network
//! than the one that ships, `BENCH_ROWS` another size of the largest bank than a million, `BENCH_GRAPH_ROWS` that of the largest one that an
//! index is built for (larger ones are searched exactly alone), `BENCH_CHART` another file than docs/cost.svg.

#[path = "common/drawn.rs"]
mod drawn;

use gstanomaly::bundle::Bundle;
use gstanomaly::dataset::list_images;
use gstanomaly::frame::{Fit, Picture, load_picture};
use gstanomaly::kernels::nearest::{Found, Graph, Nearest, Space, Walkers};
use gstanomaly::methods::fitting::{FitOptions, Foreground, InputSize};
use gstanomaly::methods::patchcore::{self, Index, coreset, index};
use gstanomaly::network::backbone::Backbone;
use gstanomaly::network::{Device, FeatureExtractor, Precision};
use half::f16;
use half::slice::HalfFloatSliceExt;
use plotters::prelude::*;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const SIDE: u32 = 224;
const DIMENSION: usize = 1024;
const PATCHES: usize = 784;
/// Images that stand for frames.
const FRAMES: usize = 8;
/// The least banks and the largest one.
const ROWS: [usize; 7] = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
const RECALL: f64 = 0.99;

fn main() {
    gst::init().unwrap();
    // Without this flag it is a test run of the bench: only that it works.
    let bench = std::env::args().any(|word| word == "--bench");
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let most = if bench { number("BENCH_ROWS", ROWS[ROWS.len() - 1]) } else { 2 * ROWS[0] };
    let chart = match std::env::var_os("BENCH_CHART") {
        Some(file) => PathBuf::from(file),
        None if bench => Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cost.svg"),
        None => scratch.path().join("cost.svg"),
    };
    let kept = std::env::var_os("BENCH_KEEP").map_or(scratch.path().to_owned(), PathBuf::from);

    let most_of_graphs = number("BENCH_GRAPH_ROWS", usize::MAX);
    let (rows, frames) = embed(most.div_ceil(PATCHES) + FRAMES, scratch.path());
    let sizes: Vec<usize> =
        ROWS.into_iter().filter(|&size| size <= most.min(rows.len() / DIMENSION)).collect();
    println!("{} threads, {PATCHES} patches a frame, {DIMENSION} values", rayon::current_num_threads());
    println!(
        "| rows | exact ms | exact MB | approximate ms | approximate MB | breadth | recall |\n|---|---|---|---|---|---|---|"
    );
    let costs: Vec<Cost> = sizes
        .into_iter()
        .map(|size| {
            let cost = Cost::measure(&rows[..size * DIMENSION], &frames, &kept, size <= most_of_graphs);
            println!("{}", cost.line());
            cost
        })
        .collect();
    draw(&chart, &costs).unwrap();
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The patches of all images but some, in random order, and those of each of some.
fn embed(images: usize, scratch: &Path) -> (Vec<f16>, Vec<Vec<f32>>) {
    let files: Option<Vec<PathBuf>> = std::env::var("BENCH_IMAGES").ok().map(|folders| {
        folders.split(':').flat_map(|folder| list_images(Path::new(folder)).unwrap()).collect()
    });
    let images = files.as_ref().map_or(images, |files| images.min(files.len()));
    assert!(images > FRAMES, "at least {} images", FRAMES + 1);
    // Frames are taken from everywhere.
    let is_frame = |i: usize| i % images.div_ceil(FRAMES) == images.div_ceil(FRAMES) / 2;
    let picture = |i: usize| match &files {
        Some(files) => load_picture(&files[i]).unwrap(),
        None => Picture::from_rgb(drawn::SIDE, drawn::SIDE, drawn::image(i as u64).as_raw()).unwrap(),
    };
    let bundle = Arc::new(Bundle::open(&fit(scratch)).unwrap());
    let network = bundle.network(Device::Cpu, 0).unwrap();
    let in_bank = (0..images).filter(|&i| !is_frame(i)).count();
    let mut places = coreset::draw(in_bank * PATCHES, in_bank * PATCHES, 0).into_iter();
    let (mut rows, mut frames) = (vec![f16::ZERO; in_bank * PATCHES * DIMENSION], Vec::new());
    for i in 0..images {
        let picture = picture(i);
        let mut extractor =
            FeatureExtractor::new(bundle.clone(), network.clone(), picture.info(), None).unwrap();
        let features = extractor.extract(&picture.frame().unwrap()).unwrap();
        let patches = features.maps[0].floats();
        if is_frame(i) {
            frames.push(patches.to_vec());
            continue;
        }
        for (patch, place) in patches.chunks_exact(DIMENSION).zip(&mut places) {
            rows[place * DIMENSION..][..DIMENSION].convert_from_f32_slice(patch);
        }
    }
    (rows, frames)
}

/// A bundle whose network makes patches; its bank does not matter.
fn fit(scratch: &Path) -> PathBuf {
    let (images, out) = (scratch.join("images"), scratch.join("bundle"));
    std::fs::create_dir(&images).unwrap();
    (0..2).for_each(|i| drawn::image(i).save(images.join(format!("{i}.ppm"))).unwrap());
    let backbone = std::env::var("BENCH_BACKBONE").unwrap_or("efficientnet-lite0".into());
    let options = FitOptions {
        name: "bench".into(),
        data: images,
        dataset: "generated".into(),
        exclude: Vec::new(),
        backbone: Backbone::open(&backbone).unwrap(),
        precision: Precision::F32,
        layers: vec![],
        size: InputSize::Fixed(SIDE, SIDE),
        fit: Fit::Stretch,
        range: Default::default(),
        foreground: Foreground::Off,
        set: vec![("coreset".into(), "0.001".into())],
        seed: 0,
        strict: true,
        device: Device::Cpu,
        threads: 0,
        scratch: scratch.into(),
        learning: None,
        date: "2000-01-01".into(),
    };
    patchcore::fit(&options, &out, &mut ()).unwrap();
    out
}

/// What a bank of some rows costs.
struct Cost {
    rows: usize,
    exact: Search,
    approximate: Option<Approximate>,
}

/// A search by a graph.
struct Approximate {
    search: Search,
    breadth: usize,
    recall: f64,
}

/// Milliseconds of a frame, and megabytes of the bank with what the search keeps of it.
#[derive(Clone, Copy)]
struct Search {
    milliseconds: f64,
    megabytes: f64,
}

impl Cost {
    fn measure(rows: &[f16], frames: &[Vec<f32>], kept: &Path, with_graph: bool) -> Self {
        let count = rows.len() / DIMENSION;
        let stored = size_of_val(rows);
        let search = |milliseconds, bytes| Search { milliseconds, megabytes: (stored + bytes) as f64 * 1e-6 };
        let mut found = vec![Found::default(); PATCHES];
        // Large banks take long enough to be measured with fewer frames.
        let rounds = (300_000 / count).clamp(1, 20);

        let nearest = Nearest::new(rows, DIMENSION);
        let mut space = Space::default();
        let mut expected = Vec::new();
        let exact = milliseconds(frames, rounds, |frame| {
            nearest.find(rows, frame, None, &mut space, &mut found).unwrap();
            expected.push(found.clone());
        });
        let exact = search(exact, nearest.bytes());
        drop(nearest);
        if !with_graph {
            return Self { rows: count, exact, approximate: None };
        }

        let mut settings = Index::default();
        let links = kept_links(kept, rows, &settings);
        let graph = Graph::new(rows, DIMENSION, links);
        let walkers = Walkers::default();
        loop {
            let (mut hits, mut searches) = (0, expected.iter());
            let time = milliseconds(frames, rounds, |frame| {
                graph.find(rows, frame, settings.walk(), None, &walkers, &mut found).unwrap();
                let nearest = found.iter().zip(searches.next().unwrap());
                hits += nearest.filter(|(found, nearest)| found.distance == nearest.distance).count();
            });
            let recall = hits as f64 / (expected.len() * PATCHES) as f64;
            if recall >= RECALL || settings.breadth >= count {
                let approximate =
                    Approximate { search: search(time, graph.bytes()), breadth: settings.breadth, recall };
                return Self { rows: count, exact, approximate: Some(approximate) };
            }
            settings.breadth *= 2;
        }
    }

    fn line(&self) -> String {
        let Self { rows, exact, approximate } = self;
        let approximate = approximate.as_ref().map_or("– | – | – | –".into(), |approximate| {
            let Approximate { search, breadth, recall } = approximate;
            format!("{:.2} | {:.0} | {breadth} | {recall:.4}", search.milliseconds, search.megabytes)
        });
        format!("| {rows} | {:.2} | {:.0} | {approximate} |", exact.milliseconds, exact.megabytes)
    }
}

/// The median time of `work` on each of `frames`, several rounds, the first frame once more before.
fn milliseconds(frames: &[Vec<f32>], rounds: usize, mut work: impl FnMut(&[f32])) -> f64 {
    let mut times = Vec::new();
    for frame in (0..rounds).flat_map(|_| frames) {
        let start = Instant::now();
        work(frame);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The index of `rows`, from a run before if there is one.
fn kept_links(folder: &Path, rows: &[f16], settings: &Index) -> Vec<u32> {
    // By the rows themselves: another BENCH_ROWS draws others.
    let mut hasher = DefaultHasher::new();
    bytemuck::cast_slice::<_, u8>(rows).hash(&mut hasher);
    let file = folder.join(format!("links-{}-{:016x}.bin", rows.len() / DIMENSION, hasher.finish()));
    if let Ok(bytes) = std::fs::read(&file) {
        return bytes.as_chunks::<4>().0.iter().map(|&link| u32::from_le_bytes(link)).collect();
    }
    let links = index::links(rows, DIMENSION, settings, &mut ()).unwrap();
    std::fs::write(&file, bytemuck::cast_slice(&links)).unwrap();
    links
}

const INK: RGBColor = RGBColor(0x5b, 0x67, 0x70);
const GRID: RGBColor = RGBColor(0xe9, 0xec, 0xee);
const AXIS: RGBColor = RGBColor(0xc3, 0xca, 0xcf);
const EXACT: RGBColor = RGBColor(0xd9, 0x5d, 0x39);
const APPROXIMATE: RGBColor = RGBColor(0x2f, 0x7f, 0x86);
/// What is drawn: name, colour, and which search of a bank.
const SERIES: [(&str, RGBColor, OfCost); 2] = [
    ("exact", EXACT, |cost| Some(&cost.exact)),
    ("approximate, recall at least 0.99", APPROXIMATE, |cost| Some(&cost.approximate.as_ref()?.search)),
];
type OfCost = fn(&Cost) -> Option<&Search>;
/// Width and height of a panel in pixels.
const PANEL: (u32, u32) = (520, 380);

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(file: &Path, costs: &[Cost]) -> Drawn {
    let root = SVGBackend::new(file, (2 * PANEL.0, PANEL.1)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(PANEL.0);
    panel(&left, costs, "search of a frame (ms)", |search| search.milliseconds)?;
    panel(&right, costs, "bank in memory (MB)", |search| search.megabytes)?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    costs: &[Cost],
    title: &str,
    value: fn(&Search) -> f64,
) -> Drawn {
    let values = || SERIES.iter().flat_map(|(.., of)| costs.iter().filter_map(of)).map(value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let decades = 10f64.powf(low.log10().floor())..10f64.powf(high.log10().ceil());
    let rows = costs[0].rows as f64..costs[costs.len() - 1].rows as f64;
    let text = ("sans-serif", 15).into_font().color(&INK);
    let mut plot = ChartBuilder::on(area)
        .margin(12)
        .margin_right(44)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(rows.log_scale(), decades.log_scale())?;
    plot.configure_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .x_desc("rows of the bank")
        .y_desc(title)
        .x_label_formatter(&|rows| with_separators(*rows))
        .y_label_formatter(&|value| with_separators(*value))
        .draw()?;
    for (name, colour, of) in SERIES {
        let points: Vec<(f64, f64)> =
            costs.iter().filter_map(|cost| Some((cost.rows as f64, value(of(cost)?)))).collect();
        plot.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        plot.draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    plot.configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(text)
        .draw()?;
    Ok(())
}

/// A number with a separator between thousands; as many places as it needs.
fn with_separators(value: f64) -> String {
    if value < 1.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}
