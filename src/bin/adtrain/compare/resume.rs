//! Which bundles of an earlier comparison can be taken as they are.

use super::Arguments;
use super::entry::Entry;
use crate::arguments::ForegroundArgument;
use crate::console::Console;
use gstanomaly::bundle::{MANIFEST, Manifest, read_manifest};
use gstanomaly::dataset::training_images;
use gstanomaly::methods::fitting::{FitOptions, InputSize, Progress};
use serde_json::Value;
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
    let problem =
        match found.and_then(|manifest| same(arguments, entry, options, &manifest).map(|()| manifest)) {
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
fn same(
    arguments: &Arguments,
    entry: &Entry,
    options: &FitOptions,
    manifest: &Manifest,
) -> Result<(), String> {
    let Manifest { method, preset, backbone, input, training, params, .. } = manifest;
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
    if !options.layers.is_empty() && backbone.layers != options.layers {
        return differs("choice of layers");
    }
    if input.fit != options.fit
        || matches!(options.size, InputSize::Fixed(width, height) if (width, height) != (input.width, input.height))
    {
        return differs("size or fit");
    }
    let foreground = match arguments.foreground {
        ForegroundArgument::Auto => None,
        ForegroundArgument::On => Some(true),
        ForegroundArgument::Off => Some(false),
    };
    if params
        .get("foreground")
        .and_then(Value::as_bool)
        .zip(foreground)
        .is_some_and(|(is, should)| is != should)
    {
        return differs("foreground");
    }
    for (name, text) in &options.set {
        let value: Option<Value> = serde_json::from_str(text).ok();
        if params.pointer(&format!("/{}", name.replace('.', "/"))) != value.as_ref() {
            return differs(name);
        }
    }
    if training.seed != options.seed {
        return differs("seed");
    }
    if training.version != env!("CARGO_PKG_VERSION") {
        return differs("version");
    }
    let images = training_images(&options.data).map_err(|e| e.to_string())?.len();
    if training.dataset != options.dataset || training.images + training.skipped != images {
        return differs("set of images");
    }
    Ok(())
}
