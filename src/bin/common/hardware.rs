//! Where the network runs.

use anyhow::Context;
use clap::Args;
use gstanomaly::network::Device;

/// Where the network runs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Hardware {
    /// Where the network runs: auto, cpu, cuda, tensorrt or openvino
    #[arg(long, default_value = "auto")]
    pub device: Device,
    /// Threads to use; 0: all cores
    #[arg(long, default_value_t = 0, value_name = "N")]
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
