//! Backbones: frozen networks as ONNX files, each with a card beside it.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The card of a backbone, `NAME.json` beside `NAME.onnx`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Card {
    /// Name that `--backbone` takes.
    pub name: String,
    /// Name for people.
    #[serde(default)]
    pub title: String,
    /// Where the weights come from.
    #[serde(default)]
    pub source: String,
    /// SPDX identifier of the weights' licence.
    pub licence: String,
    /// SHA-256 of the ONNX file, in hexadecimal.
    pub sha256: String,
    /// What the network wants to see.
    pub input: CardInput,
    /// The outputs of the graph, finest first.
    pub layers: Vec<Layer>,
    /// The two layers that are used unless the user says otherwise.
    pub default_layers: Vec<String>,
    /// Those that are used under a learned branch, up to four; none: the default ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned_layers: Vec<String>,
}

/// The input of a backbone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CardInput {
    /// Name of the graph's input.
    pub name: String,
    /// Subtracted from pixel values 0..255, per channel (R, G, B).
    pub mean: [f32; 3],
    /// Divided by, per channel.
    pub std: [f32; 3],
}

/// An output of a backbone, `[1, channels, height / stride, width / stride]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the graph's output.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Pixels of the input per position.
    pub stride: usize,
}

/// A backbone that was found and checked.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// Its card.
    pub card: Card,
    /// Its graph, an ONNX model.
    pub model: Vec<u8>,
}

impl Backbone {
    /// Opens a backbone by name (searched in [`folders`]) or by the path of its ONNX file.
    ///
    /// # Errors
    /// If there is none of that name, its card is missing or wrong, or the file is not the one that the card describes.
    pub fn open(name_or_file: &str) -> Result<Self> {
        let file = locate(name_or_file)?;
        let card_file = file.with_extension("json");
        let text = std::fs::read_to_string(&card_file).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                Error::file(&card_file, "a backbone needs a card beside its ONNX file; see models/README.md")
            } else {
                Error::io(&card_file, e)
            }
        })?;
        let card: Card = serde_json::from_str(&text)
            .map_err(|e| Error::file(&card_file, format!("not a backbone's card: {e}")))?;
        let model = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
        let found = crate::bundle::hex(&Sha256::digest(&model));
        if found != card.sha256 {
            return Err(Error::file(&file, format!("sha256 is {found}, its card says {}", card.sha256)));
        }
        Ok(Self { card, model })
    }

    /// The same backbone, which sees images with `factor` times the contrast around its mean.
    pub fn with_contrast(mut self, factor: f32) -> Self {
        self.card.input.std = self.card.input.std.map(|std| std / factor);
        self
    }

    /// The `N` layers called `names` (the card's default ones if there are none), finest first.
    ///
    /// # Errors
    /// If a name is unknown or given twice, or not exactly `N` layers are named.
    pub fn layers<const N: usize>(&self, names: &[String]) -> Result<[Layer; N]> {
        let names = if names.is_empty() { &self.card.default_layers } else { names };
        let layers = self.named(names)?;
        layers.try_into().map_err(|layers: Vec<_>| {
            Error::Setting(format!("expected {N} layers of {}, found {}", self.known(), layers.len()))
        })
    }

    /// The layers called `names` (if there are none, all of the card, the finest `most` of them), finest first.
    ///
    /// # Errors
    /// If a name is unknown or given twice, or more than `most` layers are named.
    pub fn layers_up_to(&self, names: &[String], most: usize) -> Result<Vec<Layer>> {
        if names.is_empty() {
            let mut layers = self.card.layers.clone();
            layers.sort_by_key(|layer| layer.stride);
            layers.truncate(most);
            return Ok(layers);
        }
        match names.len() <= most {
            true => self.named(names),
            false => Err(Error::Setting(format!(
                "expected at most {most} layers of {}, found {}",
                self.known(),
                names.len()
            ))),
        }
    }

    fn named(&self, names: &[String]) -> Result<Vec<Layer>> {
        if let Some(name) = (1..names.len()).find(|&i| names[..i].contains(&names[i])).map(|i| &names[i]) {
            return Err(Error::Setting(format!("layer '{name}' is named twice")));
        }
        let mut layers = names
            .iter()
            .map(|name| {
                self.card.layers.iter().find(|layer| layer.name == *name).cloned().ok_or_else(|| {
                    Error::Setting(format!(
                        "backbone {} has no layer '{name}', only {}",
                        self.card.name,
                        self.known()
                    ))
                })
            })
            .collect::<Result<Vec<_>>>()?;
        layers.sort_by_key(|layer| layer.stride);
        Ok(layers)
    }

    fn known(&self) -> String {
        self.card.layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The folders in which backbones are looked for: `GST_ANOMALY_MODELS`, the user's own, the installed ones, the checkout's.
pub fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("GST_ANOMALY_MODELS").into_iter().map(PathBuf::from).collect();
    folders.extend(user_folder());
    if let Some(bin) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        folders.push(bin.join("../share/gst-plugin-anomaly/models"));
    }
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
    folders
}

/// Where `adtrain backbones import` puts a backbone.
pub fn user_folder() -> Option<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")))?;
    Some(data.join("gst-plugin-anomaly/models"))
}

fn locate(name_or_file: &str) -> Result<PathBuf> {
    let path = Path::new(name_or_file);
    if path.extension().is_some_and(|extension| extension == "onnx") {
        return match path.metadata() {
            Ok(_) => Ok(path.to_owned()),
            Err(e) => Err(Error::io(path, e)),
        };
    }
    let folders = folders();
    folders.iter().map(|folder| folder.join(format!("{name_or_file}.onnx"))).find(|file| file.exists()).ok_or_else(|| {
        let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Error::Setting(format!(
            "no backbone '{name_or_file}' in {}; 'adtrain backbones' lists what there is, or give the path of an ONNX file with a card",
            looked.join(", ")
        ))
    })
}
