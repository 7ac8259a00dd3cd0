//! `adtrain`: learns bundles from images of good parts, measures them and tries them on images.

mod arguments;
mod backbones;
mod calibrate;
mod choice;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod console;
mod date;
mod eval;
mod files;
mod fit;
mod foreground;
mod info;
mod learning;
mod levels;
mod predict;
mod synthesize;
mod training;
mod update;

use clap::{Parser, Subcommand};
use common::failure::{self, INTERRUPTED};
use common::{interrupt, overlay};
use console::Console;
use gstanomaly::frame::MAX_PIXELS;
use std::process::ExitCode;

/// Find defects from images of good parts alone: learn a bundle, measure it, try it.
#[derive(Debug, Parser)]
#[command(name = "adtrain", version, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, display_order = 900)]
    quiet: bool,
    /// Pixels that an image file may have; larger ones are refused, because a small file can unpack to more than fits in memory
    #[arg(long, global = true, display_order = 901, default_value_t = MAX_PIXELS, value_parser = arguments::pixels, value_name = "N")]
    max_pixels: u64,
}

const EXAMPLES: &str = "\
Examples:
  adtrain fit --data bottle --method cpr --out bottle.bundle
  adtrain eval --model bottle.bundle --data bottle --report bottle.html
  adtrain predict --model bottle.bundle --out heatmaps photos

Exit code: 0 done, 1 failed, 2 wrong command line, 130 stopped with Ctrl-C.";

#[derive(Debug, Subcommand)]
enum Verb {
    Fit(Box<fit::Arguments>),
    Eval(eval::Arguments),
    Predict(predict::Arguments),
    Calibrate(calibrate::Arguments),
    Update(update::Arguments),
    Compare(Box<compare::Arguments>),
    Info(info::Arguments),
    Backbones(backbones::Arguments),
    Synthesize(synthesize::Arguments),
}

fn main() -> ExitCode {
    let CommandLine { verb, quiet, max_pixels } = CommandLine::parse();
    gstanomaly::frame::set_max_pixels(max_pixels);
    let mut console = Console::new(quiet);
    let done = interrupt::install().and_then(|()| run(verb, &mut console));
    console.finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the results has seen enough.
        Err(error) if console::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("adtrain: {}", failure::describe(&error));
            if interrupt::is_cause(&error) { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

fn run(verb: Verb, console: &mut Console) -> anyhow::Result<()> {
    match verb {
        Verb::Fit(arguments) => fit::run(&arguments, console),
        Verb::Eval(arguments) => eval::run(&arguments, console),
        Verb::Predict(arguments) => predict::run(&arguments, console),
        Verb::Calibrate(arguments) => calibrate::run(&arguments, console),
        Verb::Update(arguments) => update::run(&arguments, console),
        Verb::Compare(arguments) => compare::run(&arguments, console),
        Verb::Info(arguments) => info::run(&arguments),
        Verb::Backbones(arguments) => backbones::run(&arguments),
        Verb::Synthesize(arguments) => synthesize::run(&arguments, console),
    }
}
