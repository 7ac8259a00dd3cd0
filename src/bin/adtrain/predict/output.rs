//! Lines, heatmaps and logs.

use crate::console;
use crate::files;
use crate::overlay;
use anyhow::Context;
use gst_video::{VideoFrameRef, VideoInfo};
use gstanomaly::evaluate::UNFINISHED;
use gstanomaly::frame::ValueRange;
use gstanomaly::methods::Anomaly;
use image::ImageFormat;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::Permissions;
use std::io::{BufWriter, Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is said about one image or frame.
pub struct Result<'a> {
    pub path: &'a Path,
    /// Number and time of a video's frame.
    pub frame: Option<(u64, Option<gst::ClockTime>)>,
    pub anomaly: &'a Anomaly,
    /// The file of its heatmap.
    pub overlay: Option<PathBuf>,
}

impl Result<'_> {
    /// One line, for people or as JSON.
    pub fn line(&self, as_json: bool) -> String {
        if as_json { self.to_json().to_string() } else { self.text() }
    }

    fn text(&self) -> String {
        let place = match self.frame {
            None => String::new(),
            Some((_, Some(time))) => format!("#t={:.3}", seconds(time)),
            Some((number, None)) => format!("#frame={number}"),
        };
        let decision = if self.anomaly.anomalous { "anomalous" } else { "normal" };
        let (score, normalized) = (self.anomaly.score, self.anomaly.normalized());
        let level = self.anomaly.level().name();
        format!("{}{place}\t{score:.4}\t{normalized:.4}\t{decision}\t{level}", console::one_line(self.path))
    }

    fn to_json(&self) -> Value {
        let regions: Vec<Value> = self.anomaly.regions.iter().map(|region| {
            let gstanomaly::frame::Rect { x, y, width, height } = region.rect;
            json!({"x": x, "y": y, "width": width, "height": height, "score": region.score, "area": region.area})
        }).collect();
        let mut line = json!({
            "path": self.path.to_string_lossy(),
            "score": self.anomaly.score,
            "normalized": self.anomaly.normalized(),
            "threshold": self.anomaly.range.threshold,
            "warn": self.anomaly.warn,
            "anomalous": self.anomaly.anomalous,
            "level": self.anomaly.level(),
            "regions": regions,
        });
        if let Some((number, time)) = self.frame {
            line["frame"] = json!(number);
            line["time"] = json!(time.map(seconds));
        }
        if let Some(overlay) = &self.overlay {
            line["overlay"] = json!(overlay.to_string_lossy());
        }
        line
    }
}

fn seconds(time: gst::ClockTime) -> f64 {
    time.nseconds() as f64 * 1e-9
}

/// What could not be written: told once, so that results are not lost among complaints of a full disk.
#[derive(Default)]
pub struct Unwritten {
    count: usize,
    first: Option<String>,
}

impl Unwritten {
    /// What was written, if it was.
    pub fn unless<T>(&mut self, written: anyhow::Result<T>) -> Option<T> {
        written
            .inspect_err(|error| {
                self.count += 1;
                self.first.get_or_insert_with(|| console::describe(error));
            })
            .ok()
    }

    /// What is said of it at the end, if anything.
    pub fn describe(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(match self.count {
            1 => format!("a file could not be written: {first}"),
            count => format!("{count} files could not be written, the first: {first}"),
        })
    }
}

/// The folder of `--out`.
pub struct Folder {
    path: PathBuf,
    taken: HashSet<String>,
    range: Option<ValueRange>,
}

impl Folder {
    /// Makes the folder if need be; `range` is what the bundle takes for black and white in 16 bits.
    pub fn create(path: &Path, range: Option<ValueRange>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_owned(), taken: HashSet::new(), range })
    }

    /// Writes the heatmap of an image.
    pub fn heatmap(
        &mut self,
        name: &str,
        info: &VideoInfo,
        frame: &VideoFrameRef<&gst::BufferRef>,
        anomaly: &Anomaly,
    ) -> anyhow::Result<PathBuf> {
        let name = self.reserve(name);
        let file = self.path.join(format!("{name}.png"));
        save_heatmap(&file, info, frame, anomaly, self.range)?;
        Ok(file)
    }

    /// Starts the log of a video.
    pub fn log(&mut self, name: &str) -> anyhow::Result<Log> {
        let name = self.reserve(name);
        let stem = self.path.join(name);
        let path = PathBuf::from(format!("{}.jsonl", stem.display()));
        // As any new file, it may be read by whoever the umask allows.
        let permissions = Permissions::from_mode(0o666);
        let file =
            tempfile::Builder::new().prefix(UNFINISHED).permissions(permissions).tempfile_in(&self.path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Log { stem, path, file: BufWriter::new(file), range: self.range })
    }

    /// A name that nothing else has: files of the same name lie in different folders. The word at its end keeps results
    /// from falling upon the images themselves.
    fn reserve(&mut self, name: &str) -> String {
        let numbered = |number: usize| match number {
            1 => format!("{name}_anomaly"),
            _ => format!("{name}-{number}_anomaly"),
        };
        let mut free = (1..).map(numbered).filter(|name| !self.taken.contains(name));
        let name = free.next().unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }
}

/// What is kept of one video.
pub struct Log {
    stem: PathBuf,
    path: PathBuf,
    file: BufWriter<tempfile::NamedTempFile>,
    range: Option<ValueRange>,
}

impl Log {
    /// Adds a frame's line.
    pub fn write(&mut self, result: &Result<'_>) -> anyhow::Result<()> {
        writeln!(self.file, "{}", result.to_json()).with_context(|| self.path.display().to_string())
    }

    /// Writes a frame's heatmap.
    pub fn still(
        &self,
        number: u64,
        info: &VideoInfo,
        frame: &VideoFrameRef<&gst::BufferRef>,
        anomaly: &Anomaly,
    ) -> anyhow::Result<PathBuf> {
        let file = PathBuf::from(format!("{}_{number:06}.png", self.stem.display()));
        save_heatmap(&file, info, frame, anomaly, self.range)?;
        Ok(file)
    }

    /// Writes what is still in memory, and gives the log its name.
    pub fn finish(self) -> anyhow::Result<()> {
        let file = self.file.into_inner().map_err(|e| e.into_error());
        file.and_then(|file| Ok(file.persist(&self.path)?))
            .map(drop)
            .with_context(|| self.path.display().to_string())
    }
}

fn save_heatmap(
    file: &Path,
    info: &VideoInfo,
    frame: &VideoFrameRef<&gst::BufferRef>,
    anomaly: &Anomaly,
    range: Option<ValueRange>,
) -> anyhow::Result<()> {
    let mut image = overlay::to_rgb(info, frame, range)?;
    overlay::draw(&mut image, anomaly)?;
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).with_context(|| file.display().to_string())?;
    files::write(file, bytes.get_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let mut folder = Folder { path: PathBuf::new(), taken: HashSet::new(), range: None };
        assert_eq!(
            ["a", "a", "a-2", "b"].map(|name| folder.reserve(name)),
            ["a_anomaly", "a-2_anomaly", "a-2-2_anomaly", "b_anomaly"]
        );
    }
}
