//! The product of many rows with a packed matrix: blocking for the caches, and the split over threads.

use std::cell::RefCell;
use std::ops::Range;

use super::memory::zeros;
use super::pool::Pool;
use super::tile::{Activation, Instructions, SharedOutput, Target, compute};

/// A matrix in panels: all terms of the first columns, then all terms of the next ones, the last padded with zeros.
pub(crate) struct PackedMatrix {
    set: Instructions,
    depth: usize,
    columns: usize,
    panels: Vec<f32>,
}

impl PackedMatrix {
    /// Packs the matrix whose row `term` (`columns` long) is written into a buffer by `row`.
    pub(crate) fn pack(
        set: Instructions,
        depth: usize,
        columns: usize,
        mut row: impl FnMut(usize, &mut [f32]),
    ) -> Self {
        let width = set.panel_width();
        let count = columns.div_ceil(width);
        let mut panels = zeros(count * depth * width);
        let mut values = vec![0.0; count * width];
        for term in 0..depth {
            row(term, &mut values[..columns]);
            for (panel, values) in values.chunks_exact(width).enumerate() {
                panels[(panel * depth + term) * width..][..width].copy_from_slice(values);
            }
        }
        Self { set, depth, columns, panels }
    }

    /// Columns of the product.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The instruction set that it is packed for.
    pub(crate) fn set(&self) -> Instructions {
        self.set
    }

    /// Terms of each sum.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Some terms of one panel, each as long as the panel is wide.
    pub(super) fn panel(&self, index: usize, terms: &Range<usize>) -> &[f32] {
        let width = self.set.panel_width();
        &self.panels[(index * self.depth + terms.start) * width..][..terms.len() * width]
    }
}

/// The left side of a product, row by row.
pub(crate) trait RowSource: Sync {
    /// Writes the terms `terms` of row `row` into `into`, which has just their number.
    fn fill(&self, row: usize, terms: Range<usize>, into: &mut [f32]);
}

/// What is done to each sum.
pub(crate) struct Epilogue<'a> {
    /// Added to each row: one value a column.
    pub(crate) bias: &'a [f32],
    /// Added element by element: laid out as the output.
    pub(crate) residual: Option<&'a [f32]>,
    /// Applied last.
    pub(crate) activation: Activation,
}

/// The most terms of a row that are copied in one go: a panel of them and a block of rows then share the second-level
/// cache.
const MAX_TERMS: usize = 1152;
/// The most terms that are summed before the sum is added to the others: the rounding errors of a sum grow with its
/// length, and fetching and storing a tile once for so many terms costs a hundredth of their multiplications.
const SUMMED_TERMS: usize = 288;
/// Floats of a block of rows: 320 KiB.
const BLOCK_FLOATS: usize = 80 * 1024;

thread_local! {
    /// The copied rows of a block; kept, as a thread needs it for every unit.
    static BLOCK: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// How a product is cut.
struct Plan {
    rows: usize,
    blocks: usize,
    panels: usize,
    groups: usize,
    terms: usize,
    row_stride: usize,
}

impl Plan {
    fn new(threads: usize, rows: usize, weights: &PackedMatrix) -> Self {
        let chunks = weights.depth.div_ceil(MAX_TERMS).max(1);
        let terms = weights.depth.div_ceil(chunks).max(1);
        // An odd number of cache lines from row to row, so that rows do not compete for the same places in the cache.
        let row_stride = (terms.div_ceil(16) | 1) * 16;
        let tile_rows = weights.set.tile_rows();
        let fair_share = rows.div_ceil(threads * 4).next_multiple_of(tile_rows);
        let cached = (BLOCK_FLOATS / row_stride / tile_rows).max(1) * tile_rows;
        let block_rows = cached.min(fair_share.max(4 * tile_rows)).min(rows.max(1));
        let blocks = rows.div_ceil(block_rows);
        let panels = weights.columns.div_ceil(weights.set.panel_width());
        // Few rows: the panels are split as well, which costs copying the rows once for each group.
        let groups = if threads == 1 { 1 } else { (threads * 4).div_ceil(blocks.max(1)).clamp(1, panels.max(1)) };
        Self { rows, blocks, panels, groups, terms, row_stride }
    }

    fn block(&self, index: usize) -> Range<usize> {
        split(self.rows, self.blocks, index)
    }
}

/// Part `index` of `total` things cut into `parts` nearly equal ranges.
pub(super) fn split(total: usize, parts: usize, index: usize) -> Range<usize> {
    total * index / parts..total * (index + 1) / parts
}

/// Computes `output[r][c] = activation(bias[c] + sum over t of source[r][t] * weights[t][c] + residual[r][c])`.
///
/// # Panics
///
/// When `output`, the bias or the residual has another size than the product.
pub(crate) fn multiply(
    pool: &Pool,
    rows: usize,
    source: &dyn RowSource,
    weights: &PackedMatrix,
    epilogue: &Epilogue<'_>,
    output: &mut [f32],
) {
    let columns = weights.columns;
    assert_eq!(output.len(), rows * columns, "the output has another size than the product");
    assert_eq!(epilogue.bias.len(), columns, "the bias has another size than the product");
    assert!(epilogue.residual.is_none_or(|residual| residual.len() == output.len()), "the residual has another size");
    if rows == 0 || columns == 0 {
        return;
    }
    let width = weights.set.panel_width();
    let mut bias = epilogue.bias.to_vec();
    bias.resize(columns.next_multiple_of(width), 0.0);
    let plan = Plan::new(pool.threads(), rows, weights);
    let shared = SharedOutput::new(output);
    pool.run(plan.blocks * plan.groups, &|unit| {
        let block = plan.block(unit / plan.groups);
        let group = split(plan.panels, plan.groups, unit % plan.groups);
        BLOCK.with_borrow_mut(|copies| {
            // SAFETY: units differ in their rows or their panels, each is handed out once, and `run` returns after all.
            unsafe { multiply_unit(&plan, source, weights, epilogue, &bias, shared, block, group, copies) };
        });
    });
}

/// # Safety
///
/// The slice behind `output` is alive, and no other thread touches these rows of these panels meanwhile.
#[allow(clippy::too_many_arguments)] // One private call; a struct would only rename the list.
unsafe fn multiply_unit(
    plan: &Plan,
    source: &dyn RowSource,
    weights: &PackedMatrix,
    epilogue: &Epilogue<'_>,
    bias: &[f32],
    output: SharedOutput,
    block: Range<usize>,
    group: Range<usize>,
    copies: &mut Vec<f32>,
) {
    let width = weights.set.panel_width();
    let stride = plan.row_stride;
    if copies.len() < block.len() * stride {
        copies.resize(block.len() * stride, 0.0);
    }
    let tiles = block.len().div_ceil(weights.set.tile_rows());
    let mut first = 0;
    while first < weights.depth.max(1) {
        let terms = first..(first + plan.terms).min(weights.depth);
        for (copy, row) in copies.chunks_exact_mut(stride).zip(block.clone()) {
            source.fill(row, terms.clone(), &mut copy[..terms.len()]);
        }
        let sums = terms.len().div_ceil(SUMMED_TERMS).max(1);
        for panel in group.clone() {
            let column = panel * width;
            for tile in 0..tiles {
                let rows = split(block.len(), tiles, tile);
                for sum in 0..sums {
                    let part = split(terms.len(), sums, sum);
                    let begins = first + part.start == 0;
                    let ends = first + part.end == weights.depth;
                    let target = Target {
                        bias: begins.then(|| &bias[column..column + width]),
                        residual: epilogue.residual.filter(|_| begins),
                        activation: if ends { epilogue.activation } else { Activation::None },
                        output,
                        offset: (block.start + rows.start) * weights.columns + column,
                        stride: weights.columns,
                        columns: (weights.columns - column).min(width),
                    };
                    let values = &copies[rows.start * stride + part.start..rows.end * stride];
                    let panel = weights.panel(panel, &(first + part.start..first + part.end));
                    // SAFETY: the caller vouches for the output.
                    unsafe { compute(weights.set, rows.len(), part.len(), values, stride, panel, &target) };
                }
            }
        }
        first = terms.end.max(first + 1);
    }
}

#[cfg(test)]
pub(super) mod testing {
    /// Numbers between -1 and 1.
    pub(in crate::inference::kernel) fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::noise;
    use super::*;

    struct Matrix<'a>(&'a [f32], usize);

    impl RowSource for Matrix<'_> {
        fn fill(&self, row: usize, terms: Range<usize>, into: &mut [f32]) {
            into.copy_from_slice(&self.0[row * self.1..][..self.1][terms]);
        }
    }

    fn packed(set: Instructions, depth: usize, columns: usize, values: &[f32]) -> PackedMatrix {
        PackedMatrix::pack(set, depth, columns, |term, row| row.copy_from_slice(&values[term * columns..][..columns]))
    }

    #[test]
    fn agrees_with_the_definition_for_every_instruction_set_and_odd_sizes() {
        let pool = Pool::of_threads(2);
        for set in Instructions::available() {
            for (rows, depth, columns) in
                [(1, 1, 1), (3, 7, 33), (14, 64, 32), (49, 130, 100), (15, 2500, 40), (200, 27, 8), (5, 0, 3)]
            {
                let (left, right) = (noise(rows * depth, 1), noise(depth * columns, 2));
                let (bias, residual) = (noise(columns, 3), noise(rows * columns, 4));
                let mut output = vec![f32::NAN; rows * columns];
                let epilogue = Epilogue { bias: &bias, residual: Some(&residual), activation: Activation::Relu };
                let weights = packed(set, depth, columns, &right);
                multiply(&pool, rows, &Matrix(&left, depth), &weights, &epilogue, &mut output);
                for row in 0..rows {
                    for column in 0..columns {
                        let sum: f64 = (0..depth)
                            .map(|term| f64::from(left[row * depth + term]) * f64::from(right[term * columns + column]))
                            .sum();
                        let at = row * columns + column;
                        let expected = (sum + f64::from(bias[column]) + f64::from(residual[at])).max(0.0);
                        let difference = (f64::from(output[at]) - expected).abs();
                        assert!(difference < 1e-4, "{set:?} {rows}x{depth}x{columns} at {at}: {difference}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_gives_the_same_bits_alone_and_among_others_and_on_any_number_of_threads() {
        let (depth, columns, rows) = (1300, 70, 37);
        let (left, right, bias) = (noise(rows * depth, 5), noise(depth * columns, 6), noise(columns, 7));
        let epilogue = Epilogue { bias: &bias, residual: None, activation: Activation::None };
        for set in Instructions::available() {
            let weights = packed(set, depth, columns, &right);
            let mut all = vec![0.0; rows * columns];
            multiply(&Pool::of_threads(3), rows, &Matrix(&left, depth), &weights, &epilogue, &mut all);
            for row in 0..rows {
                let mut alone = vec![0.0; columns];
                let source = Matrix(&left[row * depth..][..depth], depth);
                multiply(&Pool::of_threads(1), 1, &source, &weights, &epilogue, &mut alone);
                assert_eq!(alone, all[row * columns..][..columns]);
            }
        }
    }

    #[test]
    fn relu6_clips_on_both_sides_and_keeps_nan() {
        for set in Instructions::available() {
            let weights = packed(set, 1, 3, &[1.0, 1.0, 1.0]);
            let epilogue = Epilogue { bias: &[-9.0, 9.0, 2.0], residual: None, activation: Activation::Relu6 };
            let mut output = vec![0.0; 6];
            multiply(&Pool::of_threads(1), 2, &Matrix(&[1.0, f32::NAN], 1), &weights, &epilogue, &mut output);
            assert_eq!(output[..3], [0.0, 6.0, 3.0], "{set:?}");
            assert!(output[3..].iter().all(|value| value.is_nan()), "{set:?}");
        }
    }
}
