//! What goes to stderr while the work goes on (a bar on a terminal, now and then a line elsewhere), and results to stdout.

pub use crate::common::failure::describe;

use crate::interrupt;
use gstanomaly::methods::fitting::Progress;
use gstanomaly::text::{is_command, shown};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two lines of a stage.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress on stderr.
#[derive(Debug)]
pub struct Console {
    quiet: bool,
    /// What the stages and notes are about, where there are several such things.
    subject: String,
    stage: Option<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    steps: usize,
    done: usize,
    started: Instant,
    line: Instant,
    /// How it is going.
    detail: String,
    /// On a terminal.
    bar: Option<ProgressBar>,
}

impl Console {
    /// A console that says nothing if `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, subject: String::new(), stage: None }
    }

    /// From now on stages and notes are about `subject`; an empty one: about the only thing that there is.
    pub fn about(&mut self, subject: &str) {
        self.finish();
        self.subject = match subject {
            "" => String::new(),
            subject => format!("{subject}: "),
        };
    }

    /// Ends the current stage.
    pub fn finish(&mut self) {
        let Some(stage) = self.stage.take() else { return };
        let took = stage.started.elapsed().as_secs_f64();
        if let Some(bar) = &stage.bar {
            bar.finish_and_clear();
        }
        if stage.done == stage.steps {
            let detail = if stage.detail.is_empty() { String::new() } else { format!(", {}", stage.detail) };
            eprintln!("{}: {} in {took:.1} s{detail}", stage.name, stage.steps);
        }
    }

    /// Says that the result may not be what was meant, also where notes are not wanted.
    pub fn warn(&mut self, message: &str) {
        self.line("warning", message);
    }

    fn line(&self, kind: &str, message: &str) {
        let line = || eprintln!("{kind}: {}", shown(&format!("{}{message}", self.subject)));
        match self.stage.as_ref().and_then(|stage| stage.bar.as_ref()) {
            Some(bar) => bar.suspend(line),
            None => line(),
        }
    }
}

impl Progress for Console {
    fn stage(&mut self, name: &str, steps: usize) {
        self.finish();
        if self.quiet {
            return;
        }
        let name = shown(&format!("{}{name}", self.subject)).into_owned();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps as u64).with_message(name.clone());
            if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left") {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        self.stage =
            Some(Stage { name, steps, done: 0, started: now, line: now, detail: String::new(), bar });
    }

    fn advance(&mut self) {
        let Some(stage) = &mut self.stage else { return };
        stage.done += 1;
        if let Some(bar) = &stage.bar {
            bar.inc(1);
        } else if stage.line.elapsed() >= LINE_INTERVAL && stage.done < stage.steps {
            stage.line = Instant::now();
            let detail = if stage.detail.is_empty() { String::new() } else { format!(", {}", stage.detail) };
            eprintln!("{}: {} of {}{detail}", stage.name, stage.done, stage.steps);
        }
    }

    fn detail(&mut self, text: &str) {
        let Some(stage) = &mut self.stage else { return };
        stage.detail = shown(text).into_owned();
        if let Some(bar) = &stage.bar {
            bar.set_message(format!("{}, {}", stage.name, stage.detail));
        }
    }

    fn note(&mut self, message: &str) {
        if self.quiet {
            return;
        }
        self.line("note", message);
    }

    fn interrupted(&self) -> bool {
        interrupt::requested()
    }
}

/// So many images, for people.
pub fn images(count: usize) -> String {
    match count {
        1 => "1 image".into(),
        _ => format!("{count} images"),
    }
}

/// Results cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("the result cannot be written to standard output: {0}")]
struct Untold(std::io::Error);

/// Prints lines of the result to standard output, without anything that a terminal would take for a command.
pub fn print(lines: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{}", shown(lines)).map_err(Untold)?)
}

/// Whether it was standard output that failed, so that there is no use in going on.
pub fn is_output(error: &anyhow::Error) -> bool {
    error.is::<Untold>()
}

/// Whether nobody reads standard output any longer.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Untold>().is_some_and(|Untold(error)| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A path as one word of one line: what would be taken for the end of a column, of a line or for a command to a terminal is escaped as in
/// C, and so are backslashes and bytes that are no text.
pub fn one_line(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str(r"\\"),
                '\t' => text.push_str(r"\t"),
                '\n' => text.push_str(r"\n"),
                '\r' => text.push_str(r"\r"),
                other if is_command(other) => text.extend(other.escape_unicode()),
                other => text.push(other),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!(r"\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_path_is_one_word_of_one_line() {
        let escaped = |path: &[u8]| one_line(Path::new(OsStr::from_bytes(path)));
        assert_eq!(escaped("März/a b.png".as_bytes()), "März/a b.png");
        assert_eq!(escaped(b"a\tb\nc\rd\\e.png"), r"a\tb\nc\rd\\e.png");
        assert_eq!(escaped(b"\x1b[31m\xff.png"), r"\u{1b}[31m\xff.png");
    }
}
