//! Adding normal images to a bundle without fitting it anew.
//!
//! The bundle's own graph, with its code book, its foreground and what its branch has learned, makes the features of the new
//! images; they join the bank as if they had been there from the start. Only the threshold is set anew, as after a fit.

use super::filling::Filling;
use super::{Cpr, Params, judged};
use crate::bundle::{BANK, Bank, Bundle, Exclusive, Manifest, Staging};
use crate::error::{Error, Result};
use crate::methods::fitting::{ImageSet, Progress, Twins, UpdateOptions};
use crate::methods::registry::BundleParams;
use crate::network::lock;
use std::sync::Arc;

/// Adds `images` to `bundle`, which is replaced in one step; returns the new manifest.
///
/// # Errors
/// If the images cannot be used, or the bundle cannot be written; then the old one stays.
pub fn update(
    alone: &Exclusive,
    bundle: &Bundle,
    images: &mut ImageSet,
    options: &UpdateOptions,
    progress: &mut dyn Progress,
) -> Result<Manifest> {
    let mut staging = Staging::instead_of(alone)?;
    let path = bundle.path();
    let mut manifest = bundle.manifest().clone();
    let mut params: Params = BundleParams::new(&manifest, path).read(Params::check)?;
    let bank = Bank::open(&path.join(BANK))?;
    let old = Cpr::open(params.clone(), &manifest.input, &bank)?;
    let mut filling = Filling::from_bank(&old, &bank, &options.scratch)?;
    let before = old.twins.as_ref().map(|groups| Twins::of_groups(groups));
    let before = before.unwrap_or_else(|| Twins::none(params.references));
    drop(old);
    let network = bundle.network(options.device, options.threads)?;
    filling.add(images, &mut lock(&network), "looking at the new images", progress)?;

    let twins = images.twins().after(&before);
    params.references = filling.images();
    params.check(&manifest.input).map_err(Error::Setting)?;
    staging.write_graph(bundle.graph())?;
    let histograms = filling.write(&mut staging, &twins)?;
    let cpr = Arc::new(Cpr::open(params.clone(), &manifest.input, &Bank::open(&staging.bank())?)?);
    let (calibration, scores) = judged::calibration(&cpr, &histograms, &twins, progress)?;
    manifest.calibration = calibration;
    options.record(&mut manifest, &params, images)?;
    staging.commit(manifest, images.learned().as_ref(), images.scored(&scores, &twins).as_ref())
}
