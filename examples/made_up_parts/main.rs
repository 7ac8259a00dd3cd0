//! Draws a data set of made-up products, to try the tools with nothing to download:
//!
//! ```text
//! cargo run --release --example made_up_parts -- parts
//! adtrain fit --data parts --out parts.bundle
//! adtrain eval --model parts.bundle --data parts --report parts.html
//! ```
//!
//! These are machined rings; `--kind` names others, on which other settings are the right ones. Folders and files are laid out as in MVTec AD.
//! `parts/film` has the test images once more, good and defective ones in turn, as frames of a film.
//!
//! The same command always draws the same parts.

pub(crate) mod dark;
pub(crate) mod data_set;
mod drawing;
pub(crate) mod leather;
pub(crate) mod loose;
pub(crate) mod nonwoven;
pub(crate) mod rings;
pub(crate) mod rods;
pub(crate) mod strips;
pub(crate) mod weave;

use clap::Parser;
use data_set::Plan;
use image::{GrayImage, RgbImage};
use std::path::PathBuf;

pub(crate) type Error = Box<dyn std::error::Error>;
pub(crate) type Random = rand_xoshiro::Xoshiro256Plus;

/// An image, and where its defect is: white on black.
pub(crate) type Sample = (RgbImage, Option<GrayImage>);

/// A product that can be drawn.
pub(crate) trait Product {
    /// What can be wrong with it.
    type Defect: Copy + 'static;
    /// The defects by the names of their folders.
    const DEFECTS: &'static [(&'static str, Self::Defect)];

    /// Draws another piece of the product.
    fn sample(defect: Option<Self::Defect>, random: &mut Random) -> Sample;
}

/// The products.
#[derive(Clone, Copy, PartialEq, Debug, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Machined rings that nearly fill the image, always at the same place.
    Rings,
    /// Screws on a light ground, turned by any angle, with small defects.
    Rods,
    /// Dark tyres on a dark, mottled ground.
    Dark,
    /// Several nuts, scattered.
    Loose,
    /// Printed strips, two and a half times as long as high, with hairline cracks.
    Strips,
    /// Woven cloth that fills the image.
    Weave,
    /// Grained leather that fills the image.
    Leather,
    /// Nonwoven of random fibres that fills the image.
    Nonwoven,
}

/// Draws a data set of made-up products in the folders of MVTec AD.
#[derive(Parser)]
#[command(name = "made_up_parts")]
struct Arguments {
    /// Where to draw it; images that are there already are replaced.
    folder: PathBuf,
    /// The product.
    #[arg(long, value_enum, default_value = "rings")]
    kind: Kind,
    /// How many good images to learn from: 60 by default, 240 of rods, 120 of loose nuts.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    train: Option<u32>,
    /// Another number draws other pieces of the same product.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let mut plan = Plan::of(arguments.kind);
    plan.train = arguments.train.unwrap_or(plan.train);
    plan.seed = arguments.seed;
    plan.draw(&arguments.folder)
}
