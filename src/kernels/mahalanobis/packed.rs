//! A lower triangle in 16 bits.

use half::bf16;

/// Rows of a factor whose values lie side by side.
pub(super) const ROWS: usize = 8;
/// Columns whose values have a common step in each row.
pub(super) const COLUMNS: usize = 4;
/// Values of a tile: its columns, `[4, 8]`, in whole steps, and the size of a step in each of the eight rows.
pub(super) const TILE: usize = (COLUMNS + 1) * ROWS;
/// The largest number of steps.
const LEVELS: f64 = 32_767.0;

/// Number of values of a packed factor of `channels` rows.
pub fn packed_len(channels: usize) -> usize {
    let blocks = channels.div_ceil(ROWS);
    blocks * (blocks + 1) / 2 * tiles(0) * TILE
}

/// Tiles of a block of rows: those up to the diagonal.
pub(super) fn tiles(block: usize) -> usize {
    (block + 1) * ROWS / COLUMNS
}

/// A lower triangle in 16 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// The triangle without its diagonal: eight rows at a time, in tiles of four columns up to the diagonal, so that block b has 2 (b + 1)
    /// tiles. Levels and steps are 0 on the diagonal, above it and where there is no row. The size of a step is the upper half of an f32.
    pub packed: Vec<i16>,
    /// The diagonal.
    pub diagonal: Vec<f32>,
}

/// Packs a lower triangle, `[channels, channels]`.
pub fn pack(lower: &[f64], channels: usize) -> Factor {
    let mut packed = vec![0; packed_len(channels)];
    let mut all = packed.chunks_exact_mut(TILE);
    for block in 0..channels.div_ceil(ROWS) {
        for (number, tile) in (0..tiles(block)).zip(&mut all) {
            for row in block * ROWS..channels.min((block + 1) * ROWS) {
                let below = &lower[row * channels..][..row];
                let columns = (number * COLUMNS).min(row)..((number + 1) * COLUMNS).min(row);
                pack_row(&below[columns], row % ROWS, tile);
            }
        }
    }
    let diagonal = (0..channels).map(|row| lower[row * channels + row] as f32).collect();
    Factor { packed, diagonal }
}

/// Packs the values of a tile's columns in a row into its `lane`.
fn pack_row(values: &[f64], lane: usize, tile: &mut [i16]) {
    let step = round_up(values.iter().fold(0.0, |most: f64, value| most.max(value.abs())) / LEVELS);
    if step == bf16::ZERO {
        return;
    }
    for (column, value) in values.iter().enumerate() {
        let level = (value / step.to_f64()).round();
        tile[column * ROWS + lane] = level.clamp(-LEVELS, LEVELS) as i16;
    }
    tile[COLUMNS * ROWS + lane] = step.to_bits() as i16;
}

/// The smallest bf16 that is not less.
fn round_up(value: f64) -> bf16 {
    let near = bf16::from_f64(value);
    if near.to_f64() < value { bf16::from_bits(near.to_bits() + 1) } else { near }
}

/// The size of a step.
#[inline(always)]
pub(super) fn step(bits: i16) -> f32 {
    f32::from_bits(u32::from(bits as u16) << 16)
}

/// Whether packed factors can hold finite values alone, whatever their levels are.
pub fn is_finite(packed: &[i16]) -> bool {
    let finite = |&bits: &i16| (step(bits) * f32::from(i16::MIN)).is_finite();
    packed.chunks_exact(TILE).all(|tile| tile[COLUMNS * ROWS..].iter().all(finite))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_small_as_they_can_be_and_never_too_small() {
        for value in [1e-30, 3.1e-5, 1.0, 1.001, 2.0, 77.7] {
            let step = round_up(value).to_f64();
            assert!(step >= value && step <= value * (1.0 + 1.0 / 128.0), "{step} for {value}");
        }
        let (zero, mut spoilt) = (pack(&[2.0, 0.0, 0.0, 2.0], 2), vec![0; TILE]);
        assert!(zero.packed.iter().all(|&level| level == 0) && zero.diagonal == [2.0, 2.0]);
        assert!(is_finite(&zero.packed));
        for step in [bf16::INFINITY, bf16::NAN, bf16::MAX] {
            spoilt[COLUMNS * ROWS] = step.to_bits() as i16;
            assert!(!is_finite(&spoilt), "{step}");
        }
    }
}
