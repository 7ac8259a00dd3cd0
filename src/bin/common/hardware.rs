//! Where the network runs.

use anyhow::Context;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use gstanomaly::network::Device;

/// Threads at most: where they are far more than the processors they only wait for each other.
const MOST_THREADS: u64 = 256;

/// Where the network runs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Hardware {
    /// Where the network runs: auto, cpu, cuda, tensorrt or openvino
    #[arg(long, default_value = "auto")]
    pub device: Device,
    /// Threads to use; 0: all cores
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(..=MOST_THREADS))]
    pub threads: usize,
}

impl Hardware {
    /// Initialises GStreamer and limits the threads of the searches, which the network's setting does not reach.
    pub fn prepare(&self) -> anyhow::Result<()> {
        gst::init().context("GStreamer does not start")?;
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build_global()
            .context("cannot start threads")
    }
}
