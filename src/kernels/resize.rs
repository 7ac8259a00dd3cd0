//! Bilinear resizing without antialiasing.
//!
//! With half-pixel centres (`align_corners=False`), the source position is `max(0, (i + 0.5) * n_in / n_out - 0.5)`, with corners on
//! corners (`align_corners=True`) `i * (n_in - 1) / (n_out - 1)`; the neighbour is clamped to the last row or column.

use super::parallel::{self, Buffer};
use super::simd::wide;

/// One axis: for every output place the two source places and the weight of the second.
#[derive(Clone, Debug)]
struct Axis {
    first: Vec<u32>,
    second: Vec<u32>,
    weight: Vec<f32>,
}

impl Axis {
    fn half_pixel(from: usize, to: usize) -> Self {
        Self::at(from, to, |i| ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0))
    }

    fn corners(from: usize, to: usize) -> Self {
        Self::at(from, to, |i| i as f64 * (from - 1) as f64 / (to - 1).max(1) as f64)
    }

    fn at(from: usize, to: usize, position: impl Fn(usize) -> f64) -> Self {
        let first = |i: usize| (position(i) as usize).min(from - 1);
        Self {
            first: (0..to).map(|i| first(i) as u32).collect(),
            second: (0..to).map(|i| (first(i) + 1).min(from - 1) as u32).collect(),
            weight: (0..to).map(|i| (position(i) - first(i) as f64) as f32).collect(),
        }
    }
}

/// The columns where the target is a whole number of times as wide: column `factor * i + phase` lies between two neighbours of column
/// `i`, at the same place between them for every `i`.
#[derive(Clone, Copy, Debug)]
struct Phase {
    /// 0: between the one before and `i`; 1: between `i` and the one after.
    side: usize,
    /// The weight of the second of the two.
    weight: f32,
}

impl Phase {
    fn all(from: usize, to: usize) -> Option<Vec<Self>> {
        if !to.is_multiple_of(from) {
            return None;
        }
        let factor = to / from;
        let phase = |i: usize| {
            // From the middle of the place before.
            let position = (i as f64 + 0.5) / factor as f64 + 0.5;
            let side = usize::from(position >= 1.0);
            Self { side, weight: (position - side as f64) as f32 }
        };
        Some((0..factor).map(phase).collect())
    }
}

/// Resizes maps of one size to another.
#[derive(Clone, Debug)]
pub struct Bilinear {
    from: (usize, usize),
    to: (usize, usize),
    rows: Axis,
    columns: Axis,
    phases: Option<Vec<Phase>>,
}

impl Bilinear {
    /// From `(height, width)` to `(height, width)`, all at least 1, with half-pixel centres.
    pub fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        let (rows, columns) = (Axis::half_pixel(from.0, to.0), Axis::half_pixel(from.1, to.1));
        Self { from, to, rows, columns, phases: Phase::all(from.1, to.1) }
    }

    /// The same with the first and last values of source and target on each other.
    pub fn corners(from: (usize, usize), to: (usize, usize)) -> Self {
        let (rows, columns) = (Axis::corners(from.0, to.0), Axis::corners(from.1, to.1));
        Self { from, to, rows, columns, phases: None }
    }

    /// Resizes `source`, `[from]`, into `target`, `[to]`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn run(&self, source: &[f32], target: &mut [f32]) {
        self.run_max(&[source], target);
    }

    /// Resizes every one of `sources` and keeps the largest value at each place.
    ///
    /// # Panics
    /// If there is no source or a length does not fit.
    pub fn run_max(&self, sources: &[&[f32]], target: &mut [f32]) {
        parallel::each(self.parts(sources, target), Part::run);
    }

    /// The parts of [`Bilinear::run_max`], to be shared out together with other work.
    ///
    /// # Panics
    /// If the length of `target` does not fit.
    pub fn parts<'a>(
        &'a self,
        sources: &'a [&'a [f32]],
        target: &'a mut [f32],
    ) -> impl ExactSizeIterator<Item = Part<'a>> + Send {
        assert_eq!(target.len(), self.to.0 * self.to.1, "target of {:?}", self.to);
        let bands = target.chunks_mut(ROWS * self.to.1).enumerate();
        bands.map(move |(band, target)| Part { resize: self, sources, first: band * ROWS, target })
    }

    /// Fills `target` with the rows of the result from `first` on, as many as it holds.
    ///
    /// # Panics
    /// If there is no source, a length does not fit or there are fewer rows.
    pub fn fill_rows(&self, sources: &[&[f32]], first: usize, target: &mut [f32]) {
        let to_width = self.to.1;
        let fits = sources.iter().all(|source| source.len() == self.from.0 * self.from.1);
        assert!(fits && !sources.is_empty(), "sources of {:?}", self.from);
        let count = target.len() / to_width;
        assert!(target.len().is_multiple_of(to_width) && first + count <= self.to.0, "rows of {:?}", self.to);
        if count == 0 {
            return;
        }
        match &self.phases {
            Some(phases) => self.fill_by_phase(phases, sources, first, target),
            None => self.fill_by_place(sources, first, target),
        }
    }

    /// A row of the sources' height at a time, brought to the target's width phase by phase: vectors of neighbouring places need no
    /// gathering then.
    fn fill_by_phase(&self, phases: &[Phase], sources: &[&[f32]], first: usize, target: &mut [f32]) {
        let (width, to_width) = (self.from.1, self.to.1);
        let mut buffer = Buffer::new(width + 2 + to_width);
        let (row, by_phase) = buffer.split_at_mut(width + 2);
        for (y, out) in (first..).zip(target.chunks_exact_mut(to_width)) {
            let (above, below) = (self.rows.first[y] as usize * width, self.rows.second[y] as usize * width);
            by_phase.fill(f32::NEG_INFINITY);
            for source in sources {
                let rows = (&source[above..above + width], &source[below..below + width]);
                raise_phases(rows, self.rows.weight[y], phases, row, by_phase);
            }
            match phases.len() {
                2 => interleave::<2>(by_phase, out),
                4 => interleave::<4>(by_phase, out),
                8 => interleave::<8>(by_phase, out),
                factor => interleave_by(factor, by_phase, out),
            }
        }
    }

    fn fill_by_place(&self, sources: &[&[f32]], first: usize, target: &mut [f32]) {
        let (from_width, to_width) = (self.from.1, self.to.1);
        let count = target.len() / to_width;
        // The source rows in use, brought to the target's width.
        let (top, bottom) = (self.rows.first[first] as usize, self.rows.second[first + count - 1] as usize);
        let height = bottom + 1 - top;
        let mut widened = Buffer::new(sources.len() * height * to_width);
        for (source, widened) in sources.iter().zip(widened.chunks_exact_mut(height * to_width)) {
            let rows = source[top * from_width..(bottom + 1) * from_width].chunks_exact(from_width);
            for (row, wide) in rows.zip(widened.chunks_exact_mut(to_width)) {
                widen(row, &self.columns.first, &self.columns.second, &self.columns.weight, wide);
            }
        }
        for (y, out) in (first..).zip(target.chunks_exact_mut(to_width)) {
            let (above, below) = (self.rows.first[y] as usize - top, self.rows.second[y] as usize - top);
            let weight = self.rows.weight[y];
            for (k, map) in widened.chunks_exact(height * to_width).enumerate() {
                let (above, below) =
                    (&map[above * to_width..][..to_width], &map[below * to_width..][..to_width]);
                if k == 0 {
                    mix(above, below, weight, out);
                } else {
                    mix_max(above, below, weight, out);
                }
            }
        }
    }
}

/// Rows of a part: few enough to share out evenly, so many that widened source rows are used often.
const ROWS: usize = 32;

/// Some rows of a resized map.
#[derive(Debug)]
pub struct Part<'a> {
    resize: &'a Bilinear,
    sources: &'a [&'a [f32]],
    first: usize,
    target: &'a mut [f32],
}

impl Part<'_> {
    /// Fills its rows of the target.
    pub fn run(self) {
        self.resize.fill_rows(self.sources, self.first, self.target);
    }
}

wide! {
    fn widen(source: &[f32], first: &[u32], second: &[u32], weight: &[f32], out: &mut [f32]) {
        for (((out, &first), &second), &weight) in out.iter_mut().zip(first).zip(second).zip(weight) {
            let (left, right) = (source[first as usize], source[second as usize]);
            *out = left + (right - left) * weight;
        }
    }
}

wide! {
    fn mix(above: &[f32], below: &[f32], weight: f32, out: &mut [f32]) {
        for ((out, &above), &below) in out.iter_mut().zip(above).zip(below) {
            *out = above + (below - above) * weight;
        }
    }
}

wide! {
    fn mix_max(above: &[f32], below: &[f32], weight: f32, out: &mut [f32]) {
        for ((out, &above), &below) in out.iter_mut().zip(above).zip(below) {
            let value = above + (below - above) * weight;
            *out = if value > *out { value } else { *out };
        }
    }
}

wide! {
    /// Raises `by_phase`, `[phases, width]`, to what lies at `weight` between two rows. `row` has room for a row and its borders.
    fn raise_phases(
        rows: (&[f32], &[f32]), weight: f32, phases: &[Phase], row: &mut [f32], by_phase: &mut [f32],
    ) {
        let (above, below) = rows;
        let width = above.len();
        for ((out, &above), &below) in row[1..=width].iter_mut().zip(above).zip(below) {
            *out = above + (below - above) * weight;
        }
        // Beyond the border lies what lies at the border.
        (row[0], row[width + 1]) = (row[1], row[width]);
        for (phase, places) in phases.iter().zip(by_phase.chunks_exact_mut(width)) {
            let (left, right) = (&row[phase.side..][..width], &row[phase.side + 1..][..width]);
            for ((out, &left), &right) in places.iter_mut().zip(left).zip(right) {
                let value = left + (right - left) * phase.weight;
                *out = if value > *out { value } else { *out };
            }
        }
    }
}

/// `[N, width]` to `[width, N]`.
fn interleave<const N: usize>(by_phase: &[f32], out: &mut [f32]) {
    let (out, _) = out.as_chunks_mut::<N>();
    let phases: [&[f32]; N] = std::array::from_fn(|phase| &by_phase[phase * out.len()..][..out.len()]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = phases.map(|phase| phase[i]);
    }
}

fn interleave_by(factor: usize, by_phase: &[f32], out: &mut [f32]) {
    let width = out.len() / factor;
    for (i, out) in out.chunks_exact_mut(factor).enumerate() {
        out.iter_mut().zip(by_phase[i..].iter().step_by(width)).for_each(|(out, &value)| *out = value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        let mut out = [0.0; 4];
        Bilinear::new((1, 2), (1, 4)).run(&[0.0, 1.0], &mut out);
        assert_eq!(out, [0.0, 0.25, 0.75, 1.0]);
        let mut one = [0.0; 1];
        Bilinear::new((2, 2), (1, 1)).run(&[0.0, 1.0, 2.0, 3.0], &mut one);
        assert_eq!(one, [1.5]);
        let mut ends = [0.0; 5];
        Bilinear::corners((1, 2), (1, 5)).run(&[0.0, 1.0], &mut ends);
        assert_eq!(ends, [0.0, 0.25, 0.5, 0.75, 1.0]);
        Bilinear::corners((2, 2), (1, 1)).run(&[4.0, 1.0, 2.0, 3.0], &mut one);
        assert_eq!(one, [4.0]);
    }

    proptest! {
        #[test]
        fn phases_agree_with_places(
            values in proptest::collection::vec(-1f32..1.0, 2 * 35), h in 1usize..40, factor in 1usize..10,
        ) {
            let resize = Bilinear::new((5, 7), (h, 7 * factor));
            let plain = Bilinear { phases: None, ..resize.clone() };
            let (mut found, mut expected) = (vec![0.0; h * 7 * factor], vec![0.0; h * 7 * factor]);
            resize.run_max(&[&values[..35], &values[35..]], &mut found);
            plain.run_max(&[&values[..35], &values[35..]], &mut expected);
            prop_assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));
        }

        #[test]
        fn stays_within_the_values_and_keeps_constants(
            values in proptest::collection::vec(0f32..1.0, 12), h in 1usize..40, w in 1usize..40,
        ) {
            let mut out = vec![0.0; h * w];
            let resize = Bilinear::new((3, 4), (h, w));
            resize.run(&values, &mut out);
            let (low, high) = values.iter().fold((1f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
            prop_assert!(out.iter().all(|&v| v >= low - 1e-6 && v <= high + 1e-6));
            let constant = vec![0.5; 12];
            let mut largest = vec![0.0; h * w];
            resize.run_max(&[&values, &constant], &mut largest);
            prop_assert!(largest.iter().zip(&out).all(|(&m, &v)| (m - v.max(0.5)).abs() < 1e-6));
        }
    }
}
