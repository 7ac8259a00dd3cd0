//! One error type for the core: every message names the thing, what was expected and what to do.

use crate::text::{shown, shown_name};
use std::path::{Path, PathBuf};

/// Result of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a frame and its score.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", name(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of a bundle, a backbone or a data set is not what it should be.
    #[error("{}: {}", name(path), shown(problem))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// A file has sound or other streams and no video.
    #[error("{}: has no video", .0.display())]
    NoVideo(PathBuf),
    /// ONNX Runtime is missing, too old, or refused a graph.
    #[error("ONNX Runtime: {}", shown(.0))]
    Runtime(String),
    /// The device that was asked for cannot be had.
    #[error("device '{}' is not available: {reason}", shown(device))]
    Device {
        /// The device as the user named it.
        device: String,
        /// Why, and what to use instead.
        reason: String,
    },
    /// A frame cannot be inspected.
    #[error("frame: {}", shown(.0))]
    Frame(String),
    /// The tensors of a frame do not fit the bundle.
    #[error("features: {}", shown(.0))]
    Features(String),
    /// A number that the user gave is out of range.
    #[error("{}", shown(.0))]
    Setting(String),
    /// The training images do not allow a fit.
    #[error("fit: {}", shown(.0))]
    Fit(String),
    /// The user asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// The user asked to stop a training, which can go on later.
    #[error(
        "interrupted after {steps} steps, kept in {}; the same command with --resume goes on",
        name(checkpoint)
    )]
    Paused {
        /// Where it is kept.
        checkpoint: PathBuf,
        /// Steps done.
        steps: usize,
    },
}

/// A file's name as messages have it.
fn name(path: &Path) -> String {
    shown_name(&path.to_string_lossy()).into_owned()
}

impl Error {
    /// An input or output error at `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }

    /// A file whose content is wrong.
    pub fn file(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        // What a file says of itself may be in it; GStreamer's messages cannot hold a zero character.
        let problem = problem.into().replace('\0', "\\0");
        Self::File { path: path.as_ref().to_owned(), problem }
    }
}

impl<T> From<ort::Error<T>> for Error {
    fn from(error: ort::Error<T>) -> Self {
        Self::Runtime(error.to_string())
    }
}
