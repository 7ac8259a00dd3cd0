//! PatchCore: a bank of patches of normal images, thinned out so that none is far from it; a patch is as anomalous as the bank is far.
//!
//! The formulas and where each is computed: `README.md` in this folder.

mod params;
mod retrieve;
mod score;
mod search;

#[cfg(feature = "train")]
pub mod coreset;
#[cfg(feature = "train")]
mod fit;
#[cfg(feature = "train")]
mod folds;
#[cfg(feature = "train")]
pub mod heads;
#[cfg(feature = "train")]
pub mod index;
#[cfg(feature = "train")]
mod judged;
#[cfg(feature = "train")]
mod patches;
#[cfg(feature = "train")]
mod rows;
#[cfg(feature = "train")]
mod update;

#[cfg(feature = "train")]
pub use fit::{check, fit};
pub use params::{Embedding, Index, IndexKind, Params, Selection, Start};
pub use retrieve::weight;
#[cfg(feature = "train")]
pub use update::update;

use crate::bundle::{Bank, Halves};
use crate::error::{Error, Result};
use crate::frame::InputSpec;
use crate::methods::{Descriptor, Method, Retrieve, Score};
#[cfg(feature = "train")]
use crate::methods::{Flag, Training};
use crate::network::OutputSpec;
use search::Search;
use std::sync::Arc;

/// The method's name in a bundle and on the command line.
pub const NAME: &str = "patchcore";

/// The method's entry in the registry.
pub(super) static METHOD: Descriptor = Descriptor {
    name: NAME,
    title: "PatchCore",
    summary: "A coreset of normal patches",
    open: |params, bank| Ok(Arc::new(PatchCore::open(params.read(Params::check)?, params.input(), bank)?)),
    #[cfg(feature = "train")]
    training: Training {
        check,
        fit,
        update: Some(update),
        foreground: false,
        learned_head: false,
        layers: "two [default: those that the backbone's card names]",
        candidate: Some(&[("coreset", "0.01")]),
        flags: &[
            Flag {
                name: "coreset",
                setting: "coreset",
                value_name: "SHARE",
                help: "share of all patches that the bank keeps [default: 0.1]",
                read: |text| {
                    let share = text.parse::<f64>().map_err(|_| "expected a share, such as 0.01")?;
                    Ok(share.to_string())
                },
            },
            Flag {
                name: "index",
                setting: "index.kind",
                value_name: "exact|approximate",
                help: "how the nearest patch of the bank is searched for: by comparing with all (exact), or, for banks of ten thousand to a \
                    hundred thousand rows, by an index that finds it in 99 % of cases (approximate) [default: exact]",
                read: |text| match text {
                    "exact" | "approximate" => Ok(format!("\"{text}\"")),
                    _ => Err("expected exact or approximate".into()),
                },
            },
        ],
        defaults: |_| Ok(serde_json::json!(Params::default())),
        decided: &Params::DECIDED,
        note: "",
    },
};

/// The method with its bank.
#[derive(Debug)]
pub struct PatchCore {
    params: Params,
    /// Rows and columns of the input.
    input: (usize, usize),
    /// Rows and columns of the map of patches.
    map: (usize, usize),
    /// `[rows, aggregated]`.
    patches: Halves,
    /// The image that each row comes from, `[rows]`.
    images: Vec<u32>,
    /// N_b of each row: the rows nearest to it, itself first; `[rows, neighbourhood]`.
    neighbourhoods: Vec<u32>,
    search: Search,
}

impl PatchCore {
    /// Takes the bank of a bundle whose parameters were checked.
    ///
    /// # Errors
    /// If a tensor is missing, or has another type or shape than the parameters say, values that are not finite, or numbers of
    /// rows or images that there are not. An index's links are checked alike: none can lead out of the bank.
    pub fn open(params: Params, input: &InputSpec, bank: &Bank) -> Result<Self> {
        let (rows, dimension) = (params.rows, params.embedding.aggregated);
        let patches = bank.halves(PATCHES, &[rows, dimension])?;
        let images = bank.numbers(IMAGES, &[rows], params.references)?;
        let neighbourhoods = bank.numbers(NEIGHBOURHOODS, &[rows, params.neighbourhood()], rows)?;
        let links = match params.index.degree() {
            Some(degree) => Some(bank.numbers(LINKS, &[rows, degree], rows)?),
            None => None,
        };
        let search = Search::new(patches.values(), dimension, links, params.index.walk());
        let map = params.map(input);
        let input = (input.height as usize, input.width as usize);
        Ok(Self { input, map, patches, images, neighbourhoods, search, params })
    }

    /// N_b of a row, nearest first, itself included.
    fn neighbourhood(&self, row: usize) -> &[u32] {
        let size = self.params.neighbourhood();
        &self.neighbourhoods[row * size..][..size]
    }
}

impl Method for PatchCore {
    fn outputs(&self) -> Vec<OutputSpec> {
        vec![OutputSpec::floats(PATCHES, [1, self.map.0, self.map.1, self.params.embedding.aggregated])]
    }

    fn references(&self) -> usize {
        self.params.references
    }

    fn map_level(&self, score: f64) -> f64 {
        score * self.params.peak
    }

    fn neighbours(&self) -> usize {
        self.params.neighbourhood()
    }

    fn most_neighbours(&self) -> usize {
        self.params.neighbourhood()
    }

    fn retrieve(self: Arc<Self>) -> Box<dyn Retrieve> {
        Box::new(retrieve::PatchCoreRetrieve::new(self))
    }

    fn score(self: Arc<Self>) -> Box<dyn Score> {
        Box::new(score::PatchCoreScore::new(&self))
    }
}

/// The maps are of another bundle, or of another method.
fn foreign(what: &str) -> Error {
    Error::Features(format!("{what} are not those of this PatchCore bundle"))
}

/// Role of the embedded patches, in the graph and in the bank.
const PATCHES: &str = "patches";
/// Role of the rows' images.
const IMAGES: &str = "images";
/// Role of the rows' neighbourhoods.
const NEIGHBOURHOODS: &str = "neighbourhoods";
/// Role of the rows that each row leads to, where the bank has an index.
const LINKS: &str = "links";
/// Role of what normal images were scored in calibration: image score, mean and largest value of the map.
#[cfg(feature = "train")]
const SCORES: &str = "scores";
