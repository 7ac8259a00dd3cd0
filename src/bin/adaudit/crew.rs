//! Several cascades that inspect the frames of one video, a frame each, with the results in the order of the frames.
//!
//! The threads of one network wait for each other at each of its layers, and the decoder, which needs the cores now and then, holds up
//! all of them by holding up one. Networks with a thread each have nobody to wait for.

use anyhow::{Context, Result};
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::VideoFrame;
use gstanomaly::methods::Anomaly;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// Frames that each member has: the one that it is at, and one that waits so that it never does.
const FRAMES_EACH: usize = 2;

/// The cascades.
#[derive(Debug)]
pub struct Crew {
    members: Vec<Member>,
    /// Frames handed out, and those whose results were taken; the n-th is that of member n modulo their number.
    sent: usize,
    received: usize,
}

/// A thread with a cascade of its own.
#[derive(Debug)]
struct Member {
    frames: SyncSender<VideoFrame>,
    results: Receiver<Inspected>,
}

/// A frame with what was found in it.
#[derive(Debug)]
pub struct Inspected {
    pub frame: VideoFrame,
    pub anomaly: gstanomaly::Result<Anomaly>,
}

impl Crew {
    /// Threads of `scope` that end when the crew is dropped; each works on its kernels with so many `threads`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        cascades: Vec<Cascade>,
        threads: usize,
    ) -> Result<Self> {
        let mut members = Vec::with_capacity(cascades.len());
        for cascade in cascades {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .context("cannot start threads")?;
            let (frames, incoming) = sync_channel(FRAMES_EACH);
            let (outgoing, results) = sync_channel(FRAMES_EACH);
            // In the pool, so that the kernels find its threads and not those of all the others.
            scope.spawn(move || pool.install(move || inspect_all(cascade, incoming, outgoing)));
            members.push(Member { frames, results });
        }
        Ok(Self { members, sent: 0, received: 0 })
    }

    /// Whether a result must be taken before another frame can be handed out.
    pub fn is_full(&self) -> bool {
        self.sent - self.received >= FRAMES_EACH * self.members.len()
    }

    /// Hands out a frame.
    ///
    /// # Errors
    /// If the thread has ended, which a panic alone does to it.
    pub fn send(&mut self, frame: VideoFrame) -> Result<()> {
        let member = &self.members[self.sent % self.members.len()];
        member.frames.send(frame).ok().context("a thread that inspects frames has ended")?;
        self.sent += 1;
        Ok(())
    }

    /// Waits for the result of the oldest frame that was handed out.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn receive(&mut self) -> Result<Inspected> {
        let member = &self.members[self.received % self.members.len()];
        let inspected = member.results.recv().context("a thread that inspects frames has ended")?;
        self.received += 1;
        Ok(inspected)
    }

    /// Drops the results of all frames that are still out.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn discard(&mut self) -> Result<()> {
        while self.received < self.sent {
            self.receive()?;
        }
        Ok(())
    }
}

fn inspect_all(mut cascade: Cascade, frames: Receiver<VideoFrame>, results: SyncSender<Inspected>) {
    for frame in frames {
        let mut inspect = || Ok(cascade.inspect(&frame.info, &frame.frame()?)?.0);
        let anomaly = inspect();
        // Whoever does not want it has stopped.
        if results.send(Inspected { frame, anomaly }).is_err() {
            return;
        }
    }
}
