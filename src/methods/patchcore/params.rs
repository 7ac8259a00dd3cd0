//! Every number of the method, with the values of the paper and its authors' code as defaults.

use crate::frame::InputSpec;
use crate::kernels::blur::{Border, Gaussian};
use crate::kernels::nearest::Walk;
use serde::{Deserialize, Serialize};

/// The parameters of PatchCore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Number of normal images that the bank was made from.
    pub references: usize,
    /// Rows of the bank: the coreset's patches.
    pub rows: usize,
    /// Pixels of the input per patch, in each direction.
    pub stride: usize,
    /// How a patch becomes a vector.
    pub embedding: Embedding,
    /// Share of all patches that the bank keeps, above 0 to 1.
    pub coreset: f64,
    /// How they are chosen.
    pub selection: Selection,
    /// b, rows of the bank around the nearest one, itself included, that the image score is re-weighted with.
    pub neighbours: usize,
    /// Whether the image score is re-weighted.
    pub reweighting: bool,
    /// Whether the map is smoothed as squared distances, as in the authors' code, and brought back to distances then.
    pub smooth_squares: bool,
    /// Sigma of the Gaussian that smooths the map, in pixels.
    pub blur_sigma: f64,
    /// Where that Gaussian ends, in sigmas.
    pub blur_truncation: f64,
    /// The largest value of the map as a share of the image score, on normal images: smoothing lowers peaks.
    pub peak: f64,
    /// How the nearest row is searched for.
    #[serde(default)]
    pub index: Index,
}

/// How a patch becomes a vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Side of the neighbourhood around a place of a feature map, odd.
    pub patch: usize,
    /// Values to which each layer's neighbourhood is pooled.
    pub dimension: usize,
    /// Values to which all layers' vectors together are pooled, as many from each layer.
    pub aggregated: usize,
}

/// How the coreset is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// From where the greedy selection starts.
    pub start: Start,
    /// Number of random patches that the approximate start averages over.
    pub starts: usize,
    /// Dimension to which vectors are projected at random before distances are compared; 0: not projected.
    pub projection: usize,
    /// The largest distance of a patch to the coreset, in that projection, when the selection ended. Patches that are added
    /// later are taken in only where they lie further away.
    pub radius: f64,
}

/// The first step of the greedy selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// From the mean distance to some random patches, the authors' default.
    Approximate,
    /// From the patch with the largest distances to all others.
    Exact,
}

/// How the nearest row of the bank is searched for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Whether the nearest row is found always or nearly always.
    pub kind: IndexKind,
    /// M: links of a row when the graph is built; twice as many at most are kept.
    pub links: usize,
    /// ef_construction: nearest rows so far that are kept while links for a row are looked for.
    pub construction: usize,
    /// Rows from which a search starts: the bank's first ones, which the greedy selection has put far apart.
    pub entries: usize,
    /// ef: nearest rows so far that a search keeps. It is doubled until the recall is enough.
    pub breadth: usize,
    /// The recall that is enough.
    pub least_recall: f64,
    /// Patches of good images at most that it is measured with.
    pub queries: usize,
    /// Share of these patches whose nearest row is found, their own image's rows left out where there are others; measured.
    pub recall: f64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            kind: IndexKind::Exact,
            links: 16,
            construction: 200,
            entries: 64,
            breadth: 16,
            least_recall: 0.99,
            queries: 4096,
            recall: 1.0,
        }
    }
}

impl Index {
    /// Links of a row that the bank has room for, if it is searched by a graph.
    pub fn degree(&self) -> Option<usize> {
        (self.kind == IndexKind::Approximate).then_some(2 * self.links)
    }

    /// How far a search follows the graph.
    pub fn walk(&self) -> Walk {
        Walk { entries: self.entries, breadth: self.breadth }
    }
}

/// Whether the nearest row is found always or nearly always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// All rows are compared.
    Exact,
    /// A graph leads to the row (HNSW).
    Approximate,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            references: 1,
            rows: 1,
            stride: 8,
            embedding: Embedding { patch: 3, dimension: 1024, aggregated: 1024 },
            coreset: 0.1,
            selection: Selection { start: Start::Approximate, starts: 10, projection: 128, radius: 0.0 },
            neighbours: 9,
            reweighting: true,
            smooth_squares: false,
            blur_sigma: 4.0,
            blur_truncation: 4.0,
            peak: 1.0,
            index: Index::default(),
        }
    }
}

impl Params {
    /// What the images, the network and the fit decide.
    #[cfg(feature = "train")]
    pub const DECIDED: [&str; 6] =
        ["references", "rows", "stride", "selection.radius", "peak", "index.recall"];

    /// Rows and columns of the map of patches.
    pub fn map(&self, input: &InputSpec) -> (usize, usize) {
        (input.height as usize / self.stride, input.width as usize / self.stride)
    }

    /// Rows of the bank that a row's neighbourhood has: fewer than asked for where the bank is small.
    pub fn neighbourhood(&self) -> usize {
        self.neighbours.min(self.rows)
    }

    /// The Gaussian that smooths the map, with the border of the authors' code.
    pub fn blur(&self) -> Gaussian {
        Gaussian::with_border(self.blur_side(), self.blur_sigma, Border::Symmetric)
    }

    fn blur_side(&self) -> usize {
        2 * (self.blur_truncation * self.blur_sigma + 0.5) as usize + 1
    }

    /// Checks every range, so that an untrusted bundle can neither crash the kernels nor ask for absurd work.
    ///
    /// # Errors
    /// With the parameter, what is allowed and what was found.
    pub fn check(&self, input: &InputSpec) -> Result<(), String> {
        let within = |name: &str, value: usize, low: usize, high: usize| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} must be {low} to {high}, found {value}")),
        };
        let number = |name: &str, value: f64, low: f64, high: f64| match value >= low && value <= high {
            true => Ok(()),
            false => Err(format!("{name} must be {low} to {high}, found {value}")),
        };
        within("references", self.references, 1, 1 << 24)?;
        within("rows", self.rows, 1, 1 << 28)?;
        within("stride", self.stride, 1, 32)?;
        within("embedding.patch", self.embedding.patch, 1, 15)?;
        within("embedding.dimension", self.embedding.dimension, 1, 1 << 14)?;
        within("embedding.aggregated", self.embedding.aggregated, 1, 1 << 14)?;
        within("selection.starts", self.selection.starts, 1, 1 << 16)?;
        within("selection.projection", self.selection.projection, 0, 1 << 14)?;
        within("neighbours", self.neighbours, 1, 1 << 10)?;
        if !(self.coreset > 0.0 && self.coreset <= 1.0) {
            return Err(format!("coreset must be more than 0 and at most 1, found {}", self.coreset));
        }
        number("selection.radius", self.selection.radius, 0.0, f64::from(f32::MAX))?;
        number("blur_sigma", self.blur_sigma, 1e-3, 64.0)?;
        number("blur_truncation", self.blur_truncation, 0.0, 16.0)?;
        number("peak", self.peak, 1e-6, 1e6)?;
        // The library that builds the graph takes 256 links at most.
        within("index.links", self.index.links, 2, 128)?;
        within("index.construction", self.index.construction, 1, 1 << 14)?;
        within("index.entries", self.index.entries, 1, 1 << 16)?;
        within("index.breadth", self.index.breadth, 1, 1 << 24)?;
        within("index.queries", self.index.queries, 1, 1 << 24)?;
        number("index.least_recall", self.index.least_recall, 0.0, 1.0)?;
        number("index.recall", self.index.recall, 0.0, 1.0)?;
        within("blur_truncation * blur_sigma", self.blur_side() / 2, 0, 512)?;
        if self.embedding.patch.is_multiple_of(2) {
            return Err(format!("embedding.patch must be odd, found {}", self.embedding.patch));
        }
        let (width, height) = (input.width as usize, input.height as usize);
        if !width.is_multiple_of(self.stride) || !height.is_multiple_of(self.stride) {
            return Err(format!("stride {} does not divide the input of {width}x{height}", self.stride));
        }
        Ok(())
    }
}
