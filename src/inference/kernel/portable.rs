//! Tiles in plain Rust, for processors without the vector instructions that the other files use.

use super::tile::{RawTile, TileFunction};

/// Columns of a panel: two vectors of the 128 bits that every 64-bit target has.
pub(super) const WIDTH: usize = 8;

/// Tile functions for 1 to 4 rows by [`WIDTH`] columns.
pub(super) static TILES: [TileFunction; 4] = [tile::<1>, tile::<2>, tile::<3>, tile::<4>];

/// # Safety
///
/// The extents are as [`RawTile`] says, for `ROWS` rows.
unsafe fn tile<const ROWS: usize>(tile: &RawTile) {
    let mut sums = [[0.0f32; WIDTH]; ROWS];
    // SAFETY: every access lies within the extents that the caller vouches for.
    unsafe {
        for sums in &mut sums {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = *tile.bias.add(column);
            }
        }
        for term in 0..tile.depth {
            let weights = &*tile.panel.add(term * WIDTH).cast::<[f32; WIDTH]>();
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = *tile.rows.add(row * tile.row_stride + term);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (column, &sum) in sums.iter().enumerate() {
                let at = row * tile.output_stride + column;
                let added = if tile.residual.is_null() { sum } else { sum + *tile.residual.add(at) };
                *tile.output.add(at) = tile.activation.apply(added);
            }
        }
    }
}
