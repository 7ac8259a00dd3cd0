//! A few test images as every method sees them.

use super::{Arguments, Row};
use crate::console::Console;
use crate::eval::report::Pictures;
use crate::interrupt;
use gstanomaly::dataset::TestImage;
use gstanomaly::evaluate::{Example, ExampleResult};
use gstanomaly::frame::load_picture;
use gstanomaly::methods::fitting::Progress;
use std::collections::{HashMap, HashSet};

/// Images that are shown.
const SHOWN: usize = 8;

/// The images on which the methods differ most, at least one of every kind as far as there is room.
pub fn make(
    arguments: &Arguments,
    tests: &[TestImage],
    rows: &[Row<'_>],
    console: &mut Console,
) -> anyhow::Result<Vec<Example>> {
    let measured: Vec<(usize, HashMap<&str, f64>)> = rows
        .iter()
        .enumerate()
        .filter_map(|(i, row)| {
            let images = &row.outcome.as_ref().ok()?.evaluation.judged.images;
            Some((i, images.iter().map(|image| (image.path.as_str(), image.normalized)).collect()))
        })
        .collect();
    let name = |test: &TestImage| {
        test.path.strip_prefix(&arguments.data).unwrap_or(&test.path).display().to_string()
    };
    let seen: Vec<Seen> = tests
        .iter()
        .filter_map(|test| {
            let path = name(test);
            let scores: Vec<f64> =
                measured.iter().filter_map(|(_, scores)| scores.get(path.as_str()).copied()).collect();
            let (low, high) = scores.iter().fold((f64::MAX, f64::MIN), |(l, h), &s| (l.min(s), h.max(s)));
            // Only images that all could read can be compared.
            (!scores.is_empty() && scores.len() == measured.len()).then_some(Seen {
                test,
                path,
                spread: high - low,
            })
        })
        .collect();
    let chosen: Vec<&Seen> = choose(&seen).into_iter().map(|i| &seen[i]).collect();
    let mut examples: Vec<Example> = chosen
        .iter()
        .map(|seen| Example {
            path: seen.path.clone(),
            label: seen.test.label.clone(),
            is_defective: seen.test.is_defective(),
            results: rows.iter().map(|_| None).collect(),
            ..Default::default()
        })
        .collect();
    console.stage("drawing examples", chosen.len() * measured.len());
    for &(row, _) in &measured {
        // One method at a time: banks can be large.
        let mut cascade = arguments.hardware.cascade(&arguments.out.join(rows[row].entry.bundle_name()))?;
        for (seen, example) in chosen.iter().zip(&mut examples) {
            interrupt::check()?;
            let range = cascade.bundle().manifest().input.range;
            let picture = load_picture(&seen.test.path)?;
            let (anomaly, _) = cascade.inspect_picture(&picture)?;
            let Pictures { input, overlay, mask } =
                Pictures::make(&picture, &anomaly, &seen.test.masks, range)?;
            (example.input, example.mask) = (input, mask);
            example.results[row] = Some(ExampleResult {
                overlay,
                normalized: anomaly.normalized() as f32,
                is_anomalous: anomaly.anomalous,
            });
            console.advance();
        }
    }
    Ok(examples)
}

/// An image that all methods have judged.
struct Seen<'a> {
    test: &'a TestImage,
    path: String,
    /// How much the methods' normalised scores differ.
    spread: f64,
}

/// The images to show: defects by their kind, then good ones.
fn choose(seen: &[Seen<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..seen.len()).collect();
    // Stable: of equal ones the first by name.
    order.sort_by(|&a, &b| seen[b].spread.total_cmp(&seen[a].spread));
    let mut kinds = HashSet::new();
    let (mut first, rest): (Vec<usize>, Vec<usize>) =
        order.into_iter().partition(|&i| kinds.insert(&seen[i].test.label));
    // A good one is always shown.
    first.sort_by_key(|&i| seen[i].test.is_defective());
    let mut chosen: Vec<usize> = first.into_iter().chain(rest).take(SHOWN).collect();
    chosen.sort_by_key(|&i| (!seen[i].test.is_defective(), i));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_every_kind_and_the_most_disputed_are_shown() {
        let kinds = ["crack", "crack", "dent", "good", "good"];
        let tests: Vec<TestImage> = (0..20)
            .map(|i| TestImage {
                path: format!("{i}.png").into(),
                label: kinds[i % 5].into(),
                masks: Vec::new(),
            })
            .collect();
        let spread = |i: usize| if i % 5 < 2 { 0.9 - 0.01 * i as f64 } else { 0.1 + 0.001 * i as f64 };
        let seen: Vec<Seen> = tests
            .iter()
            .enumerate()
            .map(|(i, test)| Seen { test, path: String::new(), spread: spread(i) })
            .collect();
        let chosen = choose(&seen);
        assert_eq!(chosen, [0, 1, 5, 6, 10, 11, 17, 19], "six cracks, the most disputed dent and good one");
        assert!(choose(&[]).is_empty());
    }
}
