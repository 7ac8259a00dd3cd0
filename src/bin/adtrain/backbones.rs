//! `adtrain backbones`.

use crate::console;
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use gstanomaly::frame::{Fit, InputSpec};
use gstanomaly::methods::cpr::Params;
use gstanomaly::network::backbone::{Backbone, Card, folders, user_folder};
use gstanomaly::network::graph::GraphBuilder;
use gstanomaly::network::onnx::DataType;
use gstanomaly::network::{Device, Network, OutputSpec};
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// List or import the networks that features come from
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the backbones that --backbone finds by name
    List,
    /// Check an ONNX file with its card and copy both to where --backbone finds them
    Import {
        /// The ONNX file; its card, of the same name with the ending .json, lies beside it
        #[arg(value_name = "FILE.onnx")]
        file: PathBuf,
        /// Replace another backbone of the same name
        #[arg(long)]
        force: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  adtrain backbones
  adtrain backbones import densenet201.onnx

models/README.md says what a card is and how the common networks are exported.";

/// Side of the input that a backbone is tried with.
const SIDE: u32 = 320;

/// Lists or imports.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.verb {
        None | Some(Verb::List) => list(),
        Some(Verb::Import { file, force }) => import(file, *force),
    }
}

fn list() -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    let mut shown = 0;
    for folder in folders() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "onnx"));
        files.sort();
        for file in files {
            // Of two with the same name the first folder's is taken.
            if !seen.insert(file.file_name().map(ToOwned::to_owned)) {
                continue;
            }
            match Backbone::open(&file.to_string_lossy()) {
                Ok(backbone) => console::print(&describe(&backbone.card, &file))?,
                Err(e) => eprintln!("note: cannot be used: {}", gstanomaly::text::shown(&e.to_string())),
            }
            shown += 1;
        }
    }
    if shown == 0 {
        let looked: Vec<_> = folders().iter().map(|folder| folder.display().to_string()).collect();
        bail!("there are no backbones in {}", looked.join(", "));
    }
    Ok(())
}

fn describe(card: &Card, file: &Path) -> String {
    let layer = |layer: &gstanomaly::network::backbone::Layer| {
        let default = if card.default_layers.contains(&layer.name) { "*" } else { "" };
        format!("{}{default} ({} channels, stride {})", layer.name, layer.channels, layer.stride)
    };
    let layers: Vec<_> = card.layers.iter().map(layer).collect();
    format!(
        "{}\n  {}\n  licence {}\n  layers  {}; * are the default ones\n  file    {}",
        card.name,
        card.title,
        card.licence,
        layers.join(", "),
        file.display()
    )
}

fn import(file: &Path, force: bool) -> anyhow::Result<()> {
    let is_onnx = file.extension().is_some_and(|extension| extension == "onnx");
    ensure!(is_onnx, "{}: expected a file that ends in .onnx", file.display());
    let backbone = Backbone::open(&file.to_string_lossy())?;
    check(&backbone).with_context(|| file.display().to_string())?;

    let folder = user_folder().context("no folder of the user's is known: set HOME or XDG_DATA_HOME")?;
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let target = folder.join(format!("{}.onnx", backbone.card.name));
    if let Ok(old) = Backbone::open(&target.to_string_lossy())
        && old.card.sha256 != backbone.card.sha256
        && !force
    {
        bail!("{}: is another backbone of this name; --force replaces it", target.display());
    }
    // A network without its card is an error, a card without its network nothing.
    let card = std::fs::read(file.with_extension("json"))?;
    write(&target.with_extension("json"), &card)?;
    write(&target, &backbone.model)?;
    console::print(&describe(&backbone.card, &target))
}

/// Runs the network once, to see that it is what its card says.
fn check(backbone: &Backbone) -> anyhow::Result<()> {
    let card = &backbone.card;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    ensure!(
        card.name.starts_with(|c: char| c.is_ascii_alphanumeric()) && card.name.chars().all(plain),
        "the card's name '{}' must be letters, digits, - _ and .",
        card.name
    );
    backbone.layers::<2>(&[])?;
    backbone.layers_up_to(&backbone.card.learned_layers, Params::MOST_SCALES)?;
    let input = InputSpec {
        range: None,
        width: SIDE,
        height: SIDE,
        fit: Fit::Stretch,
        mean: card.input.mean,
        std: card.input.std,
    };
    input.check().map_err(anyhow::Error::msg).context("the card")?;

    let mut graph = GraphBuilder::from_backbone(&backbone.model, (SIDE, SIDE))?;
    let mut outputs = Vec::new();
    for layer in &card.layers {
        let divides = layer.stride > 0 && SIDE.is_multiple_of(u32::try_from(layer.stride).unwrap_or(0));
        ensure!(divides, "layer {}: stride {} does not divide {SIDE}", layer.name, layer.stride);
        let side = SIDE as usize / layer.stride;
        let shape = [1, side, side, layer.channels];
        let role = format!("check_{}", layer.name);
        let last = graph.channel_last(&layer.name);
        graph.output(&role, &last, DataType::Float, &shape);
        outputs.push(OutputSpec::floats(role, shape));
    }
    let mut network = Network::load(&graph.finish()?, (SIDE, SIDE), outputs, Device::Cpu, 0)?;
    let maps = network.run(&network.new_input()?)?;
    for (map, layer) in maps.iter().zip(&card.layers) {
        ensure!(
            map.floats().iter().all(|v| v.is_finite()),
            "layer {}: its values are not finite",
            layer.name
        );
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| path.display().to_string())?;
    file.persist(path).with_context(|| path.display().to_string())?;
    Ok(())
}
