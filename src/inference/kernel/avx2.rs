//! Tiles with AVX2 and FMA, 16 registers: 12 sums, two of weights, one of the row.

use std::arch::x86_64::{
    _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps,
};

use super::tile::{Activation, RawTile, TileFunction};

/// Tile functions for 1 to 6 rows by 16 columns.
pub(super) static TILES: [TileFunction; 6] = [rows_1, rows_2, rows_3, rows_4, rows_5, rows_6];

/// A function for one number of rows; each row's two registers are named, so that no level of optimisation keeps
/// them in memory.
macro_rules! tile {
    ($name:ident: $($row:ident = $index:literal),+) => {
        /// # Safety
        ///
        /// The processor has AVX2 and FMA, and the extents are as [`RawTile`] says.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(tile: &RawTile) {
            // SAFETY: every access lies within the extents that the caller vouches for.
            unsafe {
                let stride = tile.output_stride;
                $( let mut $row; )+
                let bias = (_mm256_loadu_ps(tile.bias), _mm256_loadu_ps(tile.bias.add(8)));
                $( $row = bias; )+
                let mut panel = tile.panel;
                let mut term = tile.rows;
                let row_stride = tile.row_stride;
                for _ in 0..tile.depth {
                    let weights = (_mm256_loadu_ps(panel), _mm256_loadu_ps(panel.add(8)));
                    $(
                        let value = _mm256_set1_ps(*term.add($index * row_stride));
                        $row.0 = _mm256_fmadd_ps(value, weights.0, $row.0);
                        $row.1 = _mm256_fmadd_ps(value, weights.1, $row.1);
                    )+
                    panel = panel.add(16);
                    term = term.add(1);
                }
                if !tile.residual.is_null() {
                    $(
                        $row.0 = _mm256_add_ps($row.0, _mm256_loadu_ps(tile.residual.add($index * stride)));
                        $row.1 = _mm256_add_ps($row.1, _mm256_loadu_ps(tile.residual.add($index * stride + 8)));
                    )+
                }
                if tile.activation != Activation::None {
                    // The value comes second, so that a NaN is kept.
                    let zero = _mm256_setzero_ps();
                    $( $row = (_mm256_max_ps(zero, $row.0), _mm256_max_ps(zero, $row.1)); )+
                }
                if tile.activation == Activation::Relu6 {
                    let six = _mm256_set1_ps(6.0);
                    $( $row = (_mm256_min_ps(six, $row.0), _mm256_min_ps(six, $row.1)); )+
                }
                $(
                    _mm256_storeu_ps(tile.output.add($index * stride), $row.0);
                    _mm256_storeu_ps(tile.output.add($index * stride + 8), $row.1);
                )+
            }
        }
    };
}

tile!(rows_1: r0 = 0);
tile!(rows_2: r0 = 0, r1 = 1);
tile!(rows_3: r0 = 0, r1 = 1, r2 = 2);
tile!(rows_4: r0 = 0, r1 = 1, r2 = 2, r3 = 3);
tile!(rows_5: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4);
tile!(rows_6: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5);
