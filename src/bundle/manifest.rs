//! `bundle.json`.

use super::{Calibration, RESTORE};
use crate::frame::InputSpec;
use crate::network::Precision;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The bundle format that this version writes and the newest that it reads.
pub const FORMAT: u32 = 2;

/// Everything that a bundle says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// What is inspected, for people.
    pub name: String,
    /// The method: `cpr`, ...
    pub method: String,
    /// The preset that its parameters started from.
    pub preset: String,
    /// The network that the features come from.
    pub backbone: BackboneInfo,
    /// What the network wants to see.
    pub input: InputSpec,
    /// Every number of the method.
    pub params: serde_json::Value,
    /// What a score means.
    pub calibration: Calibration,
    /// How it was made.
    pub training: Training,
    /// The other files of the bundle.
    pub files: BTreeMap<String, FileInfo>,
}

/// The backbone of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackboneInfo {
    /// Its name.
    pub name: String,
    /// SHA-256 of its ONNX file.
    pub sha256: String,
    /// SPDX identifier of its licence.
    pub licence: String,
    /// The layers in use, finest first.
    pub layers: Vec<String>,
    /// What it computes with.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

impl BackboneInfo {
    /// Its name, and what it computes with if that is not what its weights are, for people.
    pub fn title(&self) -> String {
        let bytes = if self.precision.is_f32() { "" } else { " in bytes" };
        format!("{}{bytes}", self.name)
    }
}

/// How a bundle was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Training {
    /// Number of good images.
    pub images: usize,
    /// Images that could not be read and were left out.
    pub skipped: usize,
    /// Images that were left out because others are the same byte for byte.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: usize,
    /// Images that are near-twins of others, as re-encoded copies and frames of a burst are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub twins: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Training steps of the learned branch; 0: none.
    pub steps: usize,
    /// The training folder.
    pub dataset: String,
    /// Day, ISO 8601.
    pub date: String,
    /// Version of this software.
    pub version: String,
    /// What the user asked for, by the name of the setting; none where an older version made the bundle, which did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, serde_json::Value>>,
    /// How the learned branch was made, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchTraining>,
}

/// How a learned branch was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BranchTraining {
    /// Channels of the learned features, D.
    pub channels: usize,
    /// Queries of a step, each with a reference.
    pub batch: usize,
    /// Length of a step.
    pub learning_rate: f64,
    /// What it was trained as: `object` or `texture`.
    pub kind: String,
    /// What the synthetic defects were made of, for people.
    pub textures: String,
    /// The user's folder of textures; none: built-in ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texture_folder: Option<String>,
    /// Every number of the training.
    pub params: serde_json::Value,
    /// Real defective images that were learned from; they are no test images any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<UsedDefect>,
    /// The losses on the way.
    pub curve: Vec<CurvePoint>,
}

/// A real defective image that was learned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedDefect {
    /// Its path in its folder.
    pub name: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The mean losses of the steps up to one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The last of the steps, from 1.
    pub step: usize,
    /// Loss of the pairs that should be alike.
    pub positive: f64,
    /// Loss of the pairs that should be told apart.
    pub negative: f64,
}

/// Size and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// SHA-256, in hexadecimal.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
}

/// What is wrong with a manifest that cannot be read, and what to do.
fn damaged(text: &[u8], error: &serde_json::Error) -> String {
    let found = match (text.is_empty(), error.classify()) {
        (true, _) => "the file is empty".into(),
        (_, serde_json::error::Category::Eof) => format!("it ends too early, as if it were cut off: {error}"),
        _ => error.to_string(),
    };
    format!("not a bundle's manifest: {found}; {RESTORE}")
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl BranchTraining {
    /// Losses and steps beyond are none, and no figure can show them.
    const LARGEST: f64 = 1e12;

    fn check(&self) -> Result<(), String> {
        let sound = |value: f64| (0.0..=Self::LARGEST).contains(&value);
        let point = |p: &CurvePoint| sound(p.step as f64) && sound(p.positive) && sound(p.negative);
        match self.curve.iter().find(|p| !point(p)) {
            None => Ok(()),
            Some(p) => Err(format!(
                "training.branch.curve: expected steps and losses of 0 to {:e}, found {p:?}",
                Self::LARGEST
            )),
        }
    }
}

impl Manifest {
    /// The method with what its parameters started from, for people; of PatchCore and N-pad, which have one beginning, the method alone.
    pub fn title(&self) -> String {
        match self.preset.as_str() {
            "standard" if self.training.branch.is_none() => self.method.clone(),
            preset => format!("{}, {preset}", self.method),
        }
    }

    /// Reads a manifest and checks what does not depend on the method.
    ///
    /// # Errors
    /// With what was expected and what was found.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        /// Read first: a newer format may lack or rename anything else.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(text).map_err(|e| damaged(text, &e))?;
        if format != FORMAT {
            return Err(format!(
                "format {format} is not known to this version, which reads format {FORMAT}; {}",
                if format > FORMAT { "use a newer gst-plugin-anomaly" } else { "fit the bundle again" }
            ));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|e| damaged(text, &e))?;
        manifest.input.check()?;
        manifest.calibration.check()?;
        if let Some(branch) = &manifest.training.branch {
            branch.check()?;
        }
        if manifest.files.keys().any(|name| name.contains(['/', '\\']) || name.starts_with('.')) {
            return Err("files: names must be plain file names".into());
        }
        Ok(manifest)
    }
}
