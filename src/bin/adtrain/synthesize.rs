//! `adtrain synthesize`.

use crate::arguments::{self, FitArgument, Hardware};
use crate::console::{self, Console};
use anyhow::bail;
use clap::ValueEnum;
use gstanomaly::dataset::synthetic::{ProductKind, SynthesizeOptions, SyntheticParams, synthesize};
use gstanomaly::methods::fitting::InputSize;
use std::path::PathBuf;

/// Write samples of the synthetic defects that the learned branch trains with, to look at
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Arguments {
    /// Folder of good images, or a data set with train/good in it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The folder to be made: test/good, test/synthetic, ground_truth/synthetic and sheet.png
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of texture images [default: built-in procedural textures]
    #[arg(long, value_name = "DIR")]
    textures: Option<PathBuf>,
    /// Real defects to use, too: as --defects of 'adtrain fit'
    #[arg(long, value_name = "DIR")]
    defects: Option<PathBuf>,
    /// Number of samples
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// What is inspected: a texture looks the same everywhere
    #[arg(long, value_enum, default_value = "object")]
    kind: KindArgument,
    /// Size of the samples in multiples of 32
    #[arg(long, default_value = "320x320", value_parser = arguments::input_size, value_name = "WxH")]
    size: InputSize,
    /// What to do with images of another shape
    #[arg(long, value_enum, default_value = "stretch")]
    fit: FitArgument,
    /// Start of the random numbers: the same seed gives the same samples
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What is inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindArgument {
    /// A thing with a place for each of its parts
    Object,
    /// A surface that looks the same everywhere
    Texture,
}

const EXAMPLES: &str = "\
Examples:
  adtrain synthesize --data bottle --out samples
  adtrain synthesize --data bottle --textures dtd/images --count 100 --out samples";

/// Training images at most that built-in textures take pieces from.
const TEXTURE_IMAGES: usize = 32;

/// Writes samples.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    Hardware::default().prepare()?;
    let InputSize::Fixed(width, height) = arguments.size else {
        bail!("--size: samples have one size, such as 320x320")
    };
    let options = SynthesizeOptions {
        data: arguments.data.clone(),
        out: arguments.out.clone(),
        count: arguments.count as usize,
        size: (width, height),
        fit: arguments.fit.into(),
        kind: match arguments.kind {
            KindArgument::Object => ProductKind::Object,
            KindArgument::Texture => ProductKind::Texture,
        },
        textures: arguments.textures.clone(),
        defects: arguments.defects.clone(),
        params: SyntheticParams::default(),
        pool: TEXTURE_IMAGES,
        seed: arguments.seed,
    };
    let written = synthesize(&options, console)?;
    console.finish();
    if arguments.json {
        let result = serde_json::json!({
            "out": arguments.out, "samples": written.samples, "defective": written.defective,
            "sheet": written.sheet, "textures": written.textures,
        });
        return console::print(&format!("{result:#}"));
    }
    console::print(&format!(
        "{}: {} samples, {} with a defect; {}\nlook at {}",
        arguments.out.display(),
        written.samples,
        written.defective,
        written.textures,
        written.sheet.display()
    ))
}
