//! The methods by name. Everything that lists methods is derived from [`METHODS`]: the command line, the documentation and the tests.

#[cfg(feature = "train")]
pub use training::{Flag, Training};

use super::{Method, cpr, hetmm, npad, patchcore};
use crate::bundle::{Bank, MANIFEST, Manifest};
use crate::error::{Error, Result};
use crate::frame::InputSpec;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;

/// All methods; the first is the default.
pub static METHODS: &[&Descriptor] = &[&cpr::METHOD, &patchcore::METHOD, &hetmm::METHOD, &npad::METHOD];

/// A method as the rest of the library and the programs know it.
#[derive(Debug)]
pub struct Descriptor {
    /// The name in a bundle and on the command line.
    pub name: &'static str,
    /// The name in headings.
    pub title: &'static str,
    /// What it compares with, in a few words.
    pub summary: &'static str,
    /// Opens the bank of a bundle.
    pub(super) open: Open,
    /// How it is fitted.
    #[cfg(feature = "train")]
    pub training: Training,
}

/// Opens a method with the bank of the bundle that a manifest describes.
pub(super) type Open = fn(&BundleParams<'_>, &Bank) -> Result<Arc<dyn Method>>;

/// The method called `name`.
pub fn find(name: &str) -> Option<&'static Descriptor> {
    METHODS.iter().copied().find(|method| method.name == name)
}

/// Opens the method that `manifest` names, with the bank of the bundle in `path`.
///
/// # Errors
/// If the method is unknown, a parameter is out of range or the bank does not fit the parameters.
pub(crate) fn open(manifest: &Manifest, bank: &Bank, path: &Path) -> Result<Arc<dyn Method>> {
    let params = BundleParams::new(manifest, path);
    let Some(method) = find(&manifest.method) else {
        let mut known: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        known.sort_unstable();
        let known = known.join(", ");
        return Err(params.error(format!("unknown method '{}'; this version knows {known}", manifest.method)));
    };
    (method.open)(&params, bank)
}

/// The parameters of the method in a bundle's manifest.
pub(super) struct BundleParams<'a> {
    manifest: &'a Manifest,
    path: &'a Path,
}

impl<'a> BundleParams<'a> {
    /// Those of the bundle in `path`.
    pub(super) fn new(manifest: &'a Manifest, path: &'a Path) -> Self {
        Self { manifest, path }
    }

    /// The network's input.
    pub(super) fn input(&self) -> &InputSpec {
        &self.manifest.input
    }

    /// The parameters, if `check` has no objection.
    pub(super) fn read<P: DeserializeOwned>(
        &self,
        check: fn(&P, &InputSpec) -> std::result::Result<(), String>,
    ) -> Result<P> {
        let params: P = serde_json::from_value(self.manifest.params.clone())
            .map_err(|e| self.error(format!("params: {e}")))?;
        check(&params, self.input()).map_err(|problem| self.error(format!("params: {problem}")))?;
        Ok(params)
    }

    fn error(&self, problem: String) -> Error {
        Error::file(self.path.join(MANIFEST), problem)
    }
}

#[cfg(feature = "train")]
mod training {
    use crate::bundle::{Bundle, Exclusive, Manifest};
    use crate::error::Result;
    use crate::methods::fitting::{FitOptions, ImageSet, Progress, UpdateOptions};
    use crate::network::backbone::Backbone;
    use serde_json::Value;
    use std::path::Path;

    /// How a method is fitted, and what can be set.
    #[derive(Debug)]
    pub struct Training {
        /// Returns an error if the options cannot be used with their images; nothing is computed yet.
        pub check: fn(&FitOptions) -> Result<()>,
        /// Fits a bundle to the good images of the options, writes it and returns its manifest.
        pub fit: fn(&FitOptions, &Path, &mut dyn Progress) -> Result<Manifest>,
        /// Adds images to a bundle; none where the method needs all images at once.
        pub(crate) update: Option<Update>,
        /// Whether it estimates a foreground.
        pub foreground: bool,
        /// Whether it can train features of its own.
        pub learned_head: bool,
        /// How many layers it uses, for the help.
        pub layers: &'static str,
        /// The settings with which `--method auto` tries it; none where it does not.
        pub candidate: Option<&'static [(&'static str, &'static str)]>,
        /// Settings that have a flag of their own.
        pub flags: &'static [Flag],
        /// The default parameters with the layers of a backbone.
        pub defaults: fn(&Backbone) -> Result<Value>,
        /// Parameters that cannot be set: the images, the network or the fit decide them.
        pub decided: &'static [&'static str],
        /// What the table of settings says of the method beyond its title.
        pub note: &'static str,
    }

    /// Adds images to an opened bundle that is locked, and returns the new manifest.
    pub(crate) type Update =
        fn(&Exclusive, &Bundle, &mut ImageSet, &UpdateOptions, &mut dyn Progress) -> Result<Manifest>;

    /// A setting of a method that `adtrain fit` and `adtrain compare` know by a short name.
    #[derive(Debug)]
    pub struct Flag {
        /// The name of the flag.
        pub name: &'static str,
        /// The name of the setting.
        pub setting: &'static str,
        /// What stands for the value in the help.
        pub value_name: &'static str,
        /// What it means.
        pub help: &'static str,
        /// The value of the setting for what the user gives.
        pub read: fn(&str) -> std::result::Result<String, String>,
    }
}
