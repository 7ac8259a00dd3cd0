//! Writing a bundle so that a crash leaves the old one or the new one, never half of one.

use super::{
    BANK, Bundle, Exclusive, FileInfo, GRAPH, IMAGES, LearnedImages, MANIFEST, Manifest, TRAINING_SCORES,
    TrainingScores, hash_file, place,
};
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, unlinkat};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A tensor to be stored: its type, its shape and its bytes in row-major, little-endian order.
#[derive(Debug)]
pub struct TensorData<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Bytes.
    pub bytes: &'a [u8],
}

/// The tensors of a bank by name.
pub type Tensors<'a> = BTreeMap<String, TensorData<'a>>;

/// A bundle being written: a temporary folder beside its target, which takes the target's place in one step. If it is
/// dropped before, nothing is left behind and an old bundle stays as it was.
#[derive(Debug)]
pub struct Staging<'a> {
    folder: tempfile::TempDir,
    target: PathBuf,
    /// The bundle that it is made of, if it is.
    made_of: Option<&'a Exclusive>,
}

impl<'a> Staging<'a> {
    /// Starts a bundle that will be `target`.
    ///
    /// # Errors
    /// If `target` is something else than a bundle or an empty folder, or the folder around it cannot be written.
    pub fn new(target: &Path) -> Result<Self> {
        let target = place(target)?;
        refuse_foreign(&target)?;
        let parent = parent(&target);
        std::fs::create_dir_all(&parent).map_err(|e| Error::io(&parent, e))?;
        let folder = tempfile::Builder::new()
            .prefix(".bundle-")
            .tempdir_in(&parent)
            .map_err(|e| Error::io(&parent, e))?;
        Ok(Self { folder, target, made_of: None })
    }

    /// Starts a bundle that is made of another one and takes its place, if nobody replaces that one meanwhile.
    ///
    /// # Errors
    /// As [`Staging::new`].
    pub fn instead_of(bundle: &'a Exclusive) -> Result<Self> {
        Ok(Self { made_of: Some(bundle), ..Self::new(bundle.place())? })
    }

    /// Where the bank is until the bundle is complete.
    pub fn bank(&self) -> PathBuf {
        self.folder.path().join(BANK)
    }

    /// Writes the graph, an ONNX model.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_graph(&mut self, graph: &[u8]) -> Result<()> {
        write(&self.folder.path().join(GRAPH), graph)
    }

    /// Writes the bank.
    ///
    /// # Errors
    /// If it cannot be written or a tensor's shape does not fit its bytes.
    pub fn write_bank(&mut self, tensors: &Tensors<'_>) -> Result<()> {
        let path = self.bank();
        let views = tensors
            .iter()
            .map(|(name, tensor)| {
                Ok((name, TensorView::new(tensor.dtype, tensor.shape.clone(), tensor.bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| Error::file(&path, e.to_string()))?;
        safetensors::serialize_to_file(views, None, &path).map_err(|e| match e {
            safetensors::SafeTensorError::IoError(e) => Error::io(&path, e),
            other => Error::file(&path, other.to_string()),
        })?;
        // It is written for its owner alone, and a bundle is for everybody.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, mode).map_err(|e| Error::io(&path, e))?;
        sync(&path)
    }

    /// Completes the manifest with the files' sizes and hashes, writes it, the list of the images that the bundle has learned from and
    /// what each of them scored against the others, if these are known, and puts the bundle in its place if it can be opened.
    ///
    /// # Errors
    /// If anything cannot be read or written, or what was made is no bundle. If it is one and cannot take its place it is kept, where
    /// the error says.
    pub fn commit(
        self,
        mut manifest: Manifest,
        images: Option<&LearnedImages>,
        scores: Option<&TrainingScores>,
    ) -> Result<Manifest> {
        if let Some(images) = images {
            write(&self.folder.path().join(IMAGES), &images.content())?;
        }
        if let Some(scores) = scores {
            write(&self.folder.path().join(TRAINING_SCORES), &scores.text()?)?;
        }
        manifest.files.clear();
        let lists = images.map(|_| IMAGES).into_iter().chain(scores.map(|_| TRAINING_SCORES));
        for name in [GRAPH, BANK].into_iter().chain(lists) {
            let file = self.folder.path().join(name);
            let bytes = file.metadata().map_err(|e| Error::io(&file, e))?.len();
            manifest.files.insert(name.into(), FileInfo { sha256: hash_file(&file)?, bytes });
        }
        write(&self.folder.path().join(MANIFEST), &text(&manifest)?)?;
        // Better no bundle than one that nobody can open.
        Bundle::open(self.folder.path())
            .map_err(|e| Error::Fit(format!("what was made cannot be opened as a bundle: {e}")))?;
        set_permissions(self.folder.path())?;
        sync(self.folder.path())?;
        self.made_of.map_or(Ok(()), Exclusive::check_unchanged)?;
        let (folder, target) = (self.folder, &self.target);
        match refuse_foreign(target).and_then(|()| replace(folder.path(), target)) {
            // What is there now, if anything, is the old bundle.
            Ok(()) => drop(folder),
            // It may have taken hours.
            Err(e) => {
                let problem = format!(
                    "the new bundle is complete here, but could not take its place: {e}; move it there"
                );
                return Err(Error::file(folder.keep(), problem));
            }
        }
        sync(&parent(target))?;
        Ok(manifest)
    }
}

/// Replaces only the manifest of a bundle, in one step; for a new calibration. If another bundle takes its place meanwhile, that one is
/// not touched.
///
/// # Errors
/// If the bundle has been replaced before, or the manifest cannot be written; the old one stays.
pub fn save_manifest(bundle: &Exclusive, manifest: &Manifest) -> Result<()> {
    bundle.check_unchanged()?;
    let file = bundle.place().join(MANIFEST);
    let (folder, text) = (bundle.folder(), text(manifest)?);
    let unfinished = format!(".manifest-{}", std::process::id());
    let replaced = || -> std::io::Result<()> {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut new = File::from(openat(folder, &unfinished, flags, Mode::from_raw_mode(0o600))?);
        new.write_all(&text)?;
        // As the other files of a bundle.
        new.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        new.sync_all()?;
        renameat(folder, &unfinished, folder, MANIFEST)?;
        folder.sync_all()
    };
    replaced().map_err(|e| {
        let _ = unlinkat(folder, &unfinished, AtFlags::empty());
        Error::io(file, e)
    })
}

fn text(manifest: &Manifest) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(manifest).map_err(|e| Error::file(MANIFEST, e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// An existing folder is only replaced if it is a bundle or empty.
fn refuse_foreign(path: &Path) -> Result<()> {
    let mut entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_) if path.is_file() => {
            return Err(Error::file(path, "is a file, where a bundle is a folder; name a new one"));
        }
        Err(e) => return Err(Error::io(path, e)),
    };
    if entries.next().is_none() || path.join(MANIFEST).exists() {
        return Ok(());
    }
    Err(Error::file(path, "exists and is not a bundle; name a new folder or remove it"))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let written =
        File::create(path).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    written.map_err(|e| Error::io(path, e))
}

/// Temporary folders are private; a bundle is for everybody who may see the folder around it.
fn set_permissions(path: &Path) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(|e| Error::io(path, e))
}

/// Puts the folder `new` in the place of `target`; what was there may be where `new` was.
fn replace(new: &Path, target: &Path) -> Result<()> {
    let replaced = if target.exists() {
        match renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => replace_in_two_steps(new, target),
            exchanged => exchanged.map_err(Into::into),
        }
    } else {
        std::fs::rename(new, target)
    };
    replaced.map_err(|e| Error::io(target, e))
}

/// For file systems that cannot exchange two names.
fn replace_in_two_steps(new: &Path, target: &Path) -> std::io::Result<()> {
    let old = tempfile::Builder::new().prefix(".old-bundle-").tempdir_in(parent(target))?;
    std::fs::rename(target, old.path())?;
    let Err(problem) = std::fs::rename(new, target) else { return Ok(()) };
    match std::fs::rename(old.path(), target) {
        Ok(()) => Err(problem),
        // The only one that there is.
        Err(_) => {
            let kept = old.keep();
            Err(std::io::Error::other(format!("{problem}; the old bundle is in {}", kept.display())))
        }
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| Error::io(path, e))
}
