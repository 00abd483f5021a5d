//! Tiles with AVX-512, 32 registers: 28 sums, two of weights, one of the row.

use std::arch::x86_64::{
    _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

use super::tile::{Activation, RawTile, TileFunction};

/// Tile functions for 1 to 14 rows by 32 columns.
pub(super) static TILES: [TileFunction; 14] = [
    rows_1, rows_2, rows_3, rows_4, rows_5, rows_6, rows_7, rows_8, rows_9, rows_10, rows_11, rows_12, rows_13, rows_14,
];

/// A function for one number of rows; each row's two registers are named, so that no level of optimisation keeps
/// them in memory.
macro_rules! tile {
    ($name:ident: $($row:ident = $index:literal),+) => {
        /// # Safety
        ///
        /// The processor has AVX-512, and the extents are as [`RawTile`] says.
        #[target_feature(enable = "avx512f")]
        unsafe fn $name(tile: &RawTile) {
            // SAFETY: every access lies within the extents that the caller vouches for.
            unsafe {
                let stride = tile.output_stride;
                $( let mut $row; )+
                let bias = (_mm512_loadu_ps(tile.bias), _mm512_loadu_ps(tile.bias.add(16)));
                $( $row = bias; )+
                let mut panel = tile.panel;
                let mut term = tile.rows;
                let row_stride = tile.row_stride;
                for _ in 0..tile.depth {
                    let weights = (_mm512_loadu_ps(panel), _mm512_loadu_ps(panel.add(16)));
                    $(
                        let value = _mm512_set1_ps(*term.add($index * row_stride));
                        $row.0 = _mm512_fmadd_ps(value, weights.0, $row.0);
                        $row.1 = _mm512_fmadd_ps(value, weights.1, $row.1);
                    )+
                    panel = panel.add(32);
                    term = term.add(1);
                }
                if !tile.residual.is_null() {
                    $(
                        $row.0 = _mm512_add_ps($row.0, _mm512_loadu_ps(tile.residual.add($index * stride)));
                        $row.1 = _mm512_add_ps($row.1, _mm512_loadu_ps(tile.residual.add($index * stride + 16)));
                    )+
                }
                if tile.activation != Activation::None {
                    // The value comes second, so that a NaN is kept.
                    let zero = _mm512_setzero_ps();
                    $( $row = (_mm512_max_ps(zero, $row.0), _mm512_max_ps(zero, $row.1)); )+
                }
                if tile.activation == Activation::Relu6 {
                    let six = _mm512_set1_ps(6.0);
                    $( $row = (_mm512_min_ps(six, $row.0), _mm512_min_ps(six, $row.1)); )+
                }
                $(
                    _mm512_storeu_ps(tile.output.add($index * stride), $row.0);
                    _mm512_storeu_ps(tile.output.add($index * stride + 16), $row.1);
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
tile!(rows_7: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6);
tile!(rows_8: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7);
tile!(rows_9: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8);
tile!(rows_10: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9);
tile!(rows_11: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9, r10 = 10);
tile!(rows_12: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9, r10 = 10, r11 = 11);
tile!(rows_13: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9, r10 = 10, r11 = 11, r12 = 12);
tile!(rows_14: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9, r10 = 10, r11 = 11, r12 = 12, r13 = 13);
