//! Which bundles of an earlier comparison can be taken as they are.

use super::Arguments;
use super::entry::Entry;
use crate::common::interrupt;
use crate::console::{Console, describe};
use gstanomaly::bundle::{LearnedImages, MANIFEST, Manifest, hash_file, read_manifest};
use gstanomaly::dataset::training_images;
use gstanomaly::evaluate::calibration::GIVEN;
use gstanomaly::methods::fitting::{FitOptions, Progress};
use std::collections::HashSet;
use std::path::Path;

/// Whether the bundle is there, the user wants it as it is, and a fit with these options would give it; says what it does. An error only
/// if the user interrupts.
pub fn finished(
    arguments: &Arguments,
    entry: &Entry,
    options: &FitOptions,
    bundle: &Path,
    console: &mut Console,
) -> anyhow::Result<bool> {
    if !bundle.join(MANIFEST).exists() {
        return Ok(false);
    }
    if !arguments.resume {
        console.note(&format!("{} is replaced", bundle.display()));
        return Ok(false);
    }
    let found = read_manifest(bundle).map_err(|e| e.to_string());
    let found = found.and_then(|manifest| same(entry, options, &manifest).map(|()| manifest));
    let problem = match found {
        Err(problem) => problem,
        Ok(manifest) => match same_images(options, bundle, &manifest, console) {
            Ok(true) => {
                console.note(&format!(
                    "{} of {} is taken as it is",
                    bundle.display(),
                    manifest.training.date
                ));
                return Ok(true);
            }
            Ok(false) => other("set of images"),
            Err(e) if interrupt::is_cause(&e) => return Err(e),
            Err(e) => describe(&e),
        },
    };
    console.note(&format!("{} is replaced: {problem}", bundle.display()));
    Ok(false)
}

fn other(what: &str) -> String {
    format!("it was fitted with another {what}")
}

/// With what differs, if anything does.
fn same(entry: &Entry, options: &FitOptions, manifest: &Manifest) -> Result<(), String> {
    let Manifest { method, preset, backbone, training, calibration, .. } = manifest;
    let differs = |what: &str| Err(other(what));
    let expected_preset = options.learning.as_ref().map(|learning| learning.preset.name());
    if *method != entry.method.name {
        return differs("method");
    }
    if expected_preset.is_some_and(|expected| preset != expected)
        || expected_preset.is_none() && training.branch.is_some()
    {
        return differs("preset");
    }
    if backbone.sha256 != options.backbone.card.sha256 {
        return differs("backbone");
    }
    let Some(found) = &training.settings else {
        return Err("it does not say how it was set".into());
    };
    let expected = options.settings();
    if let Some(name) =
        found.keys().chain(expected.keys()).find(|&name| found.get(name) != expected.get(name))
    {
        return differs(name);
    }
    if training.seed != options.seed {
        return differs("seed");
    }
    if training.version != env!("CARGO_PKG_VERSION") {
        return differs("version");
    }
    if training.dataset != options.dataset {
        return differs("set of images");
    }
    // A threshold from other images, perhaps those to be judged, cannot stand beside the fits' own.
    if calibration.obtained.starts_with(GIVEN) {
        return Err("its threshold was set by 'adtrain calibrate' since".into());
    }
    Ok(())
}

/// Whether the images are those that the bundle has learned from, but for the unreadable ones that it left out.
fn same_images(
    options: &FitOptions,
    bundle: &Path,
    Manifest { training, files, .. }: &Manifest,
    console: &mut Console,
) -> anyhow::Result<bool> {
    let Some(learned) = LearnedImages::read(bundle, files)? else { return Ok(false) };
    let files = training_images(&options.data)?.images;
    if files.len() != learned.images().len() + training.skipped {
        return Ok(false);
    }
    // What cannot be read was left out then, too.
    let mut there = HashSet::new();
    console.stage("looking whether the images are the same", files.len());
    for file in &files {
        interrupt::check()?;
        there.extend(hash_file(file).ok());
        console.advance();
    }
    Ok(learned.images().iter().all(|image| there.contains(&image.sha256)))
}
