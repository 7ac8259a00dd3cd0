//! Which bundles of an earlier comparison can be taken as they are.

use super::Arguments;
use super::entry::Entry;
use crate::console::Console;
use gstanomaly::bundle::{LearnedImages, MANIFEST, Manifest, Training, hash_file, read_manifest};
use gstanomaly::dataset::training_images;
use gstanomaly::methods::fitting::{FitOptions, Progress};
use std::collections::HashSet;
use std::path::Path;

/// Whether the bundle is there, the user wants it as it is, and a fit with these options would give it; says what it does.
pub fn finished(
    arguments: &Arguments,
    entry: &Entry,
    options: &FitOptions,
    bundle: &Path,
    console: &mut Console,
) -> bool {
    if !bundle.join(MANIFEST).exists() {
        return false;
    }
    if !arguments.resume {
        console.note(&format!("{} is replaced", bundle.display()));
        return false;
    }
    let found = read_manifest(bundle).map_err(|e| e.to_string());
    let problem = match found.and_then(|manifest| same(entry, options, bundle, &manifest).map(|()| manifest))
    {
        Ok(manifest) => {
            let date = manifest.training.date;
            console.note(&format!("{} of {date} is taken as it is", bundle.display()));
            return true;
        }
        Err(problem) => problem,
    };
    console.note(&format!("{} is replaced: {problem}", bundle.display()));
    false
}

/// With what differs, if anything does.
fn same(entry: &Entry, options: &FitOptions, bundle: &Path, manifest: &Manifest) -> Result<(), String> {
    let Manifest { method, preset, backbone, training, .. } = manifest;
    let differs = |what: &str| Err(format!("it was fitted with another {what}"));
    let expected_preset = options.learning.as_ref().map(|learning| learning.preset.name());
    if *method != entry.method.name() {
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
    if training.dataset != options.dataset
        || !same_images(options, bundle, training).map_err(|e| e.to_string())?
    {
        return differs("set of images");
    }
    Ok(())
}

/// Whether the images are those that the bundle has learned from, but for the unreadable ones that it left out.
fn same_images(options: &FitOptions, bundle: &Path, training: &Training) -> gstanomaly::Result<bool> {
    let Some(learned) = LearnedImages::read(bundle)? else { return Ok(false) };
    let files = training_images(&options.data)?;
    if files.len() != learned.images().len() + training.skipped {
        return Ok(false);
    }
    // What cannot be read was left out then, too.
    let there: HashSet<String> = files.iter().filter_map(|file| hash_file(file).ok()).collect();
    Ok(learned.images().iter().all(|image| there.contains(&image.sha256)))
}
