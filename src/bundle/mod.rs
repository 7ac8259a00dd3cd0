//! A model on disk: a folder with `bundle.json`, the network's graph and the bank of normal features.
//!
//! A bundle is untrusted input: everything is checked when it is opened, and every complaint names the
//! file, what was expected and what was found.

mod bank;
mod calibration;
#[cfg(feature = "train")]
mod exclusive;
#[cfg(feature = "train")]
mod images;
#[cfg(feature = "train")]
mod listed;
mod manifest;
mod registry;
#[cfg(feature = "train")]
mod save;
#[cfg(feature = "train")]
mod training_scores;
mod version;

pub use bank::{Bank, Floats, Halves, Mapped, Shorts};
pub use calibration::{Calibration, FalseAlarms, Interval, Quantile, ScoreRange};
#[cfg(feature = "train")]
pub use exclusive::{Exclusive, place};
#[cfg(feature = "train")]
pub use images::{IMAGES, LearnedImage, LearnedImages};
pub use manifest::{
    BackboneInfo, BranchTraining, CurvePoint, FORMAT, FileInfo, Manifest, Training, UsedDefect,
};
pub use registry::open_shared;
#[cfg(feature = "train")]
pub use save::{Staging, TensorData, Tensors, save_manifest};
#[cfg(feature = "train")]
pub use training_scores::{TRAINING_SCORES, TrainingScore, TrainingScores};
pub use version::Version;

use crate::error::{Error, Result};
use crate::methods::Method;
use crate::network::{Device, Network, SharedNetwork};
use memmap2::{Mmap, MmapMut};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The manifest's file name.
pub const MANIFEST: &str = "bundle.json";
/// The graph's file name.
pub const GRAPH: &str = "features.onnx";
/// The bank's file name.
pub const BANK: &str = "bank.safetensors";

/// What to do with a bundle of which a file is damaged or missing.
const RESTORE: &str = "copy the bundle again as a whole, or learn it anew with 'adtrain fit'";

/// A manifest larger than this is not one.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// How often a bundle is opened anew that was replaced meanwhile.
const ATTEMPTS: usize = 5;

/// An opened, checked bundle. It is in memory, so that nothing that happens to its files reaches who uses it.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    manifest: Manifest,
    method: Arc<dyn Method>,
    graph: Mmap,
    /// The hashes of graph and bank as they were read.
    found: [(&'static str, String); 2],
    /// The networks in use, one for each device and number of threads.
    networks: Mutex<Networks>,
}

type Networks = HashMap<(Device, usize), Weak<Mutex<Network>>>;

impl Bundle {
    /// Opens and checks the bundle in the folder `path`; [`open_shared`] avoids a second copy in a process.
    ///
    /// # Errors
    /// If anything in it is missing, damaged, of a newer format or inconsistent.
    pub fn open(path: &Path) -> Result<Self> {
        // Whoever replaces a bundle puts another folder in its place. Files of both would not be one bundle, and where the first is put
        // back meanwhile, that alone tells.
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let before = Version::of(path).ok();
            let opened = Self::open_files(path);
            if Version::of(path).ok() != before {
                continue;
            }
            match opened {
                Ok(bundle) if bundle.check_found().is_ok() => return Ok(bundle),
                opened => last = Some(opened),
            }
        }
        last.unwrap_or_else(|| {
            Err(Error::file(path, "is replaced again and again while it is opened; try again later"))
        })
    }

    /// An error if graph or bank, as they were read, are not those that the manifest lists.
    fn check_found(&self) -> Result<()> {
        self.found.iter().try_for_each(|(name, sha256)| check_hash(&self.manifest, &self.path, name, sha256))
    }

    fn open_files(path: &Path) -> Result<Self> {
        let manifest = read_manifest(path)?;
        for name in [GRAPH, BANK] {
            let info = manifest
                .files
                .get(name)
                .ok_or_else(|| Error::file(path.join(MANIFEST), format!("does not list {name}")))?;
            let file = path.join(name);
            let found = regular(&file, file.metadata().map_err(|e| Error::io(&file, e))?)?;
            if found.len() != info.bytes {
                return Err(Error::file(
                    &file,
                    format!("expected {} bytes, found {}; {RESTORE}", info.bytes, found.len()),
                ));
            }
        }
        let graph = read(&path.join(GRAPH))?;
        let bank = Bank::open(&path.join(BANK))?;
        let found = [(GRAPH, sha256(&graph)), (BANK, bank.sha256())];
        let method = crate::methods::open(&manifest, &bank, path)?;
        Ok(Self { path: path.to_owned(), manifest, method, graph, found, networks: Mutex::default() })
    }

    /// The folder that it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The method with its bank.
    pub fn method(&self) -> &Arc<dyn Method> {
        &self.method
    }

    /// The network's graph, an ONNX model.
    #[cfg(feature = "train")]
    pub(crate) fn graph(&self) -> &[u8] {
        &self.graph
    }

    /// The network on `device` with `threads` (0: all cores), which all streams that ask for the same share.
    /// Streams that must not wait for each other ask for [`Bundle::own_network`].
    ///
    /// # Errors
    /// As [`Network::load`].
    pub fn network(&self, device: Device, threads: usize) -> Result<SharedNetwork> {
        // The map's lock is held while loading, so that two streams that start at once load it once.
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (device.resolve()?, threads);
        if let Some(network) = networks.get(&key).and_then(Weak::upgrade) {
            return Ok(network);
        }
        let network = self.own_network(device, threads)?;
        networks.insert(key, Arc::downgrade(&network));
        Ok(network)
    }

    /// A network that nobody else uses, for a stream that has cores of its own.
    ///
    /// # Errors
    /// As [`Network::load`], and if graph or bank are not those that the manifest lists: what was damaged or exchanged can look sound.
    pub fn own_network(&self, device: Device, threads: usize) -> Result<SharedNetwork> {
        // A library that is missing is no fault of the graph.
        crate::network::load_runtime()?;
        let input = &self.manifest.input;
        let outputs = self.method.outputs();
        let network = Network::load(&self.graph, (input.width, input.height), outputs, device, threads)
            .map_err(|e| self.blame_graph(e))?;
        // After what says better what is wrong.
        self.check_found()?;
        Ok(Arc::new(Mutex::new(network)))
    }

    /// Names the graph in what ONNX Runtime says of it.
    pub(crate) fn blame_graph(&self, error: Error) -> Error {
        match error {
            Error::Runtime(problem) => Error::file(self.path.join(GRAPH), problem),
            other => other,
        }
    }

    /// Compares every file with the hash that the manifest lists.
    ///
    /// # Errors
    /// With the first file that differs.
    pub fn verify_hashes(&self) -> Result<()> {
        for name in self.manifest.files.keys() {
            check_hash(&self.manifest, &self.path, name, &hash_file(&self.path.join(name))?)?;
        }
        Ok(())
    }
}

/// An error if the file `name` of the bundle in `path` is not what the manifest lists.
fn check_hash(manifest: &Manifest, path: &Path, name: &str, found: &str) -> Result<()> {
    match manifest.files.get(name) {
        Some(info) if info.sha256 != found => Err(Error::file(
            path.join(name),
            format!(
                "expected sha256 {}, found {found}: it was damaged or replaced by itself; copy the whole bundle once more, or fit it anew",
                info.sha256
            ),
        )),
        _ => Ok(()),
    }
}

/// Reads and checks `bundle.json` alone.
///
/// # Errors
/// If the folder or the file is missing or not a manifest of a known format.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let file = path.join(MANIFEST);
    let missing = |e: std::io::Error| match path.metadata() {
        Ok(found) if !found.is_dir() => {
            Error::file(path, "is not a bundle: expected a folder that 'adtrain fit' made")
        }
        Ok(_) if e.kind() == std::io::ErrorKind::NotFound => {
            Error::file(path, format!("is not a bundle: it has no {MANIFEST}; 'adtrain fit' makes one"))
        }
        Ok(_) => Error::io(&file, e),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Error::file(path, "no such folder; expected a bundle that 'adtrain fit' made")
        }
        // It may be there and not be ours to see.
        Err(e) => Error::io(path, e),
    };
    let found = file.metadata().map_err(missing)?;
    let size = regular(&file, found)?.len();
    if size > MAX_MANIFEST_BYTES {
        return Err(Error::file(&file, format!("expected at most {MAX_MANIFEST_BYTES} bytes, found {size}")));
    }
    let text = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
    Manifest::parse(&text).map_err(|problem| Error::file(&file, problem))
}

/// Refuses what is not a file: a pipe may never answer, a device may never end.
fn regular(path: &Path, found: std::fs::Metadata) -> Result<std::fs::Metadata> {
    if !found.is_file() {
        return Err(Error::file(path, "expected a file, found something else"));
    }
    Ok(found)
}

/// A file's content in pages of this process alone. Mapped, it would change under whoever uses it where somebody writes to the file
/// (`cp`, `rsync --inplace`), and end the process where it is cut short.
fn read(path: &Path) -> Result<Mmap> {
    let io = |e| Error::io(path, e);
    let mut file = std::fs::File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    if bytes == 0 {
        return Err(Error::file(path, "is empty; expected what 'adtrain fit' has written"));
    }
    let bytes =
        usize::try_from(bytes).map_err(|_| Error::file(path, "is larger than this machine's memory"))?;
    let mut pages = MmapMut::map_anon(bytes).map_err(io)?;
    std::io::Read::read_exact(&mut file, &mut pages).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::file(path, format!("expected {bytes} bytes, and it ends before: it is being changed"))
        }
        _ => io(e),
    })?;
    pages.make_read_only().map_err(io)
}

/// SHA-256 of bytes, in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// If it cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    regular(path, path.metadata().map_err(|e| Error::io(path, e))?)?;
    let mut file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut chunk).map_err(|e| Error::io(path, e))? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&chunk[..read]),
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
