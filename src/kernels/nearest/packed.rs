//! The rows of a bank in 8 bits, in panels that are multiplied together.

use super::quantise::{GROUP, OFFSET, Quantiser, ROW_LEVELS};
use super::sketch::{self, Sketch};
use crate::kernels::parallel::{self, Buffer};
use crate::kernels::windowed::Element;

/// Rows that are multiplied together.
pub(super) const PANEL: usize = 32;

/// What a panel's rows are besides their 8-bit values.
#[derive(Clone, Debug)]
pub(super) struct PanelFacts {
    /// A step of the 8-bit values.
    pub scale: [f32; PANEL],
    /// The squared length of the 8-bit form, a little less; infinite where there is no row.
    pub square: [f32; PANEL],
    /// Not less than the length of the difference between the row and its 8-bit form.
    pub residual: [f32; PANEL],
}

/// All rows, centred and turned, in 8 bits.
#[derive(Debug)]
pub(super) struct Packed {
    pub dimension: usize,
    /// Values of a row in 8 bits: the dimension in whole groups.
    pub width: usize,
    pub quantiser: Quantiser,
    /// Panel by panel, group by group, row by row: `[panels, width / GROUP, PANEL, GROUP]`.
    pub panels: Vec<u8>,
    pub facts: Vec<PanelFacts>,
}

impl Packed {
    pub fn new<E: Element>(rows: &[E], dimension: usize) -> Self {
        let count = rows.len() / dimension;
        let width = dimension.next_multiple_of(GROUP);
        let panels = count.div_ceil(PANEL);
        let empty =
            PanelFacts { scale: [0.0; PANEL], square: [f32::INFINITY; PANEL], residual: [0.0; PANEL] };
        let mut packed = Self {
            dimension,
            width,
            quantiser: Quantiser::new(rows, dimension),
            panels: vec![0; panels * PANEL * width],
            facts: vec![empty; panels],
        };
        let mut bytes = std::mem::take(&mut packed.panels);
        let mut facts = std::mem::take(&mut packed.facts);
        let parts = bytes.chunks_exact_mut(PANEL * width).zip(&mut facts);
        parallel::each(parts.zip(rows.chunks(PANEL * dimension)), |((bytes, facts), rows)| {
            packed.pack(rows, bytes, facts);
        });
        Self { panels: bytes, facts, ..packed }
    }

    /// The sketches of `rows`, with what rounding may have moved them by.
    pub fn sketched<E: Element>(rows: &[E], sketch: &Sketch) -> Self {
        let (dimension, length) = (sketch.dimension(), sketch.len());
        let count = rows.len() / dimension;
        let mut sketches = vec![0.0; count * length];
        let mut moved = vec![0.0; count];
        let parts = sketches.chunks_mut(sketch::TOGETHER * length).zip(moved.chunks_mut(sketch::TOGETHER));
        parallel::each(parts.zip(rows.chunks(sketch::TOGETHER * dimension)), |((sketches, moved), rows)| {
            let mut wide = vec![0.0; rows.len()];
            E::widen(rows, &mut wide);
            moved.copy_from_slice(&sketch.run(&wide, sketches)[..moved.len()]);
        });
        let mut packed = Self::new(&sketches, length);
        for (row, moved) in moved.into_iter().enumerate() {
            packed.facts[row / PANEL].residual[row % PANEL] += moved;
        }
        packed
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.panels.len() + size_of_val(&self.facts[..])
    }

    fn pack<E: Element>(&self, rows: &[E], bytes: &mut [u8], facts: &mut PanelFacts) {
        let mut turned = Buffer::new(self.dimension);
        let mut levels = vec![0i8; self.width];
        for (i, row) in rows.chunks_exact(self.dimension).enumerate() {
            E::widen(row, &mut turned);
            let found = self.quantiser.run(&mut turned, ROW_LEVELS, &mut levels);
            facts.scale[i] = found.scale;
            facts.square[i] = found.square;
            facts.residual[i] = found.residual;
            for (group, levels) in levels.chunks_exact(GROUP).enumerate() {
                let at = (group * PANEL + i) * GROUP;
                for (byte, &level) in bytes[at..at + GROUP].iter_mut().zip(levels) {
                    *byte = (i32::from(level) + OFFSET) as u8;
                }
            }
        }
    }
}
