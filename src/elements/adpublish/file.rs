//! `method=file`: to a file or to standard output.

use super::log_file::{Framing, Limits, LogFile};
use super::queue::Queue;
use super::report::Report;
use super::settings::{STDOUT, Settings};
use super::worker::{Backoff, Job};
use crate::{Error, Result};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How long a message may have been written without being on the disk; until then it doesn't count as published.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// What the settings ask for.
///
/// # Errors
/// If the file can't be written.
pub(super) fn prepare(settings: &Settings) -> Result<Job> {
    let Some(path) = settings.file_path.as_deref().filter(|path| !path.as_os_str().is_empty()) else {
        return Err(Error::Setting(format!("file-path is empty; give a file, or '{STDOUT}'")));
    };
    let limits = Limits {
        size: Some(settings.max_file_size).filter(|&size| size > 0),
        age: Some(settings.max_file_time).filter(|&age| age > 0).map(|age| Duration::from_secs(age.into())),
    };
    if path.as_os_str() == STDOUT {
        if limits.size.is_some() || limits.age.is_some() {
            return Err(Error::Setting(format!(
                "max-file-size and max-file-time need a file, and file-path is '{STDOUT}'"
            )));
        }
        let framing = Framing::new(settings.file_format);
        return Ok(job(Terminal { framing }));
    }
    let file = LogFile::open(path, settings.file_format, limits)?;
    Ok(job(file))
}

/// States are not for files: a program that is gone takes them with it.
fn job(target: impl Target + Send + 'static) -> Job {
    Job { deliver: Box::new(move |queue, report| deliver(queue, report, target)), states: false }
}

/// What takes messages one after the other.
trait Target {
    /// For messages to the user.
    fn name(&self) -> String;
    /// Before a run of messages.
    fn ready(&mut self) -> io::Result<()>;
    /// Adds a message; on failure nothing of it remains.
    fn append(&mut self, json: &[u8]) -> io::Result<()>;
    /// Makes what was added last.
    fn sync(&mut self) -> io::Result<()>;
    /// When it wants to be made ready although nothing comes.
    fn expiry(&self) -> Option<Instant>;
    /// After the last message.
    fn finish(&mut self) -> io::Result<()>;
}

impl Target for LogFile {
    fn name(&self) -> String {
        self.path().display().to_string()
    }

    fn ready(&mut self) -> io::Result<()> {
        self.follow()?;
        if self.expired() {
            self.rotate()?;
        }
        Ok(())
    }

    fn append(&mut self, json: &[u8]) -> io::Result<()> {
        Self::append(self, json)
    }

    fn sync(&mut self) -> io::Result<()> {
        Self::sync(self)
    }

    fn expiry(&self) -> Option<Instant> {
        Self::expiry(self)
    }

    fn finish(&mut self) -> io::Result<()> {
        Self::finish(self)
    }
}

/// Standard output.
struct Terminal {
    framing: Framing,
}

impl Target for Terminal {
    fn name(&self) -> String {
        "standard output".into()
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn append(&mut self, json: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.framing.frame(json))?;
        out.flush()?;
        self.framing.advance();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn expiry(&self) -> Option<Instant> {
        None
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.framing.end())?;
        out.flush()
    }
}

/// Writes until the queue is done. What can't be written waits, and is tried again.
fn deliver(queue: &Queue, mut report: Report, mut target: impl Target) {
    let mut backoff = Backoff::default();
    let mut unsynced = 0;
    let mut sync_due = Instant::now();
    while !queue.done() {
        let due = [target.expiry(), (unsynced > 0).then_some(sync_due)];
        queue.wait_for_work(due.into_iter().flatten().min());
        let before = unsynced;
        let written = write(queue, &mut target, &mut unsynced);
        if before == 0 {
            sync_due = Instant::now() + SYNC_INTERVAL;
        }
        if unsynced > 0 && (queue.hurried() || Instant::now() >= sync_due) {
            if !settle(queue, &mut report, &mut target, &mut unsynced) {
                queue.pause(backoff.next());
                continue;
            }
            // Not before: what was written may still fail to reach the disk.
            backoff.reset();
            report.well(|| format!("writing to {}", target.name()));
        }
        if let Err(e) = written {
            report.fail(format!("{}: {e}; messages wait, and the oldest are dropped", target.name()));
            queue.pause(backoff.next());
        }
    }
    settle(queue, &mut report, &mut target, &mut unsynced);
    if let Err(e) = target.finish() {
        report.fail(format!("{}: {e}; the end of the file is missing", target.name()));
    }
}

/// Writes what waits.
fn write(queue: &Queue, target: &mut impl Target, unsynced: &mut usize) -> io::Result<()> {
    target.ready()?;
    while let Some(message) = queue.take() {
        if let Err(e) = target.append(&message.json) {
            queue.put_back(std::iter::once(message));
            return Err(e);
        }
        *unsynced += 1;
        if queue.done() {
            break;
        }
    }
    Ok(())
}

/// Makes what was written last, and counts it; false if that fails.
fn settle(queue: &Queue, report: &mut Report, target: &mut impl Target, unsynced: &mut usize) -> bool {
    let count = std::mem::take(unsynced);
    match target.sync() {
        Ok(()) => {
            queue.publish(count);
            true
        }
        Err(e) => {
            // What the system could not put on the disk it may have thrown away; it can't be asked a second time.
            queue.give_up(count);
            report.fail(format!("{}: {e}; {count} messages may be missing", target.name()));
            false
        }
    }
}
