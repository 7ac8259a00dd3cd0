//! Templates of a place that are compared together.

use super::{Element, Matching};

/// The templates of a place from `first` on, as many as a few vectors hold: 64 at most.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub place: usize,
    pub first: usize,
}

impl Group {
    /// A bit for each of `most` lanes that holds a template which is not left out.
    pub fn lanes<E: Element>(self, matching: &Matching<'_, E>, most: usize) -> u64 {
        let present = (matching.count - self.first).min(most);
        let lanes = u64::MAX >> (u64::BITS as usize - present);
        let skipped = matching.skipped_at(self.place).filter_map(|skipped| skipped.checked_sub(self.first));
        skipped.filter(|&lane| lane < present).fold(lanes, |lanes, lane| lanes & !(1 << lane))
    }
}
