//! Winograd's minimal filtering for 3x3 windows that move by one pixel: fewer multiplications for the same sums.
//!
//! A tile of 2x2 or 4x4 results is a polynomial product: the 4x4 or 6x6 pixels that it needs and the 3x3 filter are
//! evaluated at a few points ([`Scheme`]), multiplied point by point, and interpolated. Over all channels the point-by-point
//! products are 16 or 36 matrix products, which take 4 or 2.25 multiplications for each result and channel instead of 9.
//!
//! The points of the larger tile are 0, ±5/8, ±3/2 and infinity: their rounding errors are half of those of the textbook's
//! 0, ±1, ±2 and twice those of a plain sum; those of the smaller tile (0, ±1, infinity) are below a plain sum's.
//! Which tile a result falls into depends on its place in the picture alone, so a picture gives the same bits alone and
//! in a batch.

// Only a function that is inlined takes on the instruction set of its caller; transposed writes read best by index.
#![allow(clippy::inline_always, clippy::needless_range_loop)]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::lanes::Lanes;
use super::memory::zeros;
use super::pool::Pool;
use super::product::{Epilogue, PackedMatrix, split};
use super::tile::{Activation, Instructions, SharedOutput, Target, compute};

/// The size of a tile of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// 2x2 results from 4x4 pixels.
    Two,
    /// 4x4 results from 6x6 pixels.
    Four,
}

/// The larger tile's points beside 0 and infinity are this, the next, and both with a minus sign.
const A: f32 = 0.625;
/// See `A`; powers and products of both are exact in single precision.
const B: f32 = 1.5;
/// The most pixels of a tile.
const MAX_POINTS: usize = 36;
/// Floats of the transformed pixels of a block of tiles: what a second-level cache holds beside a panel.
const BLOCK_FLOATS: usize = 192 * 1024;

impl Scheme {
    /// Results of a tile in each direction.
    pub(crate) fn results(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Pixels of a tile in each direction.
    fn pixels(self) -> usize {
        self.results() + 2
    }

    /// Points at which pixels and filters are evaluated: pixels of a tile.
    fn points(self) -> usize {
        self.pixels() * self.pixels()
    }

    /// What a filter of three becomes in one direction, in double precision.
    fn filter(self) -> Vec<[f64; 3]> {
        match self {
            Self::Two => vec![[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
            Self::Four => {
                let (a, b) = (f64::from(A), f64::from(B));
                let row = |x: f64, norm: f64| [1.0 / norm, x / norm, x * x / norm];
                let (of_a, of_b) = (2.0 * a * a * (a * a - b * b), 2.0 * b * b * (b * b - a * a));
                let zero = [1.0 / (a * a * b * b), 0.0, 0.0];
                vec![zero, row(a, of_a), row(-a, of_a), row(b, of_b), row(-b, of_b), [0.0, 0.0, 1.0]]
            }
        }
    }
}

/// The filters of a convolution, transformed: for each panel of columns and each point a matrix of channels by columns.
pub(crate) struct TransformedFilters {
    set: Instructions,
    scheme: Scheme,
    channels: usize,
    columns: usize,
    panels: Vec<f32>,
}

impl TransformedFilters {
    /// Whether filters from that many channels to that many can be transformed for this instruction set.
    pub(crate) fn fit(set: Instructions, channels: usize, columns: usize) -> bool {
        channels > 0 && columns > 0 && channels.is_multiple_of(16) && columns.is_multiple_of(set.panel_width())
    }

    /// Transforms 3x3 filters that are packed as a matrix of `9 * channels` terms.
    ///
    /// # Panics
    ///
    /// When the matrix has another number of terms, or [`TransformedFilters::fit`] says no.
    pub(crate) fn new(pool: &Pool, scheme: Scheme, packed: &PackedMatrix, channels: usize) -> Self {
        let (set, columns) = (packed.set(), packed.columns());
        assert!(packed.depth() == 9 * channels && Self::fit(set, channels, columns), "filters of another shape");
        let (width, points) = (set.panel_width(), scheme.points());
        let mut panels = zeros(columns / width * points * channels * width);
        let rows = scheme.filter();
        // One unit for each panel and a few channels, written to the same channels of each point.
        let parts: Vec<_> = panels.chunks_exact_mut(points * channels * width).map(Mutex::new).collect();
        pool.run(parts.len(), &|panel| {
            let mut part = parts[panel].lock().unwrap_or_else(PoisonError::into_inner);
            let filters = packed.panel(panel, &(0..9 * channels));
            let pixels = rows.len();
            let mut down = vec![[0.0f64; 3]; pixels * width];
            for channel in 0..channels {
                // First along the filter's columns (`down[row of points][lane]`), then along its rows.
                for (row, factors) in rows.iter().enumerate() {
                    for lane in 0..width {
                        let tap =
                            |y: usize, x: usize| f64::from(filters[((y * 3 + x) * channels + channel) * width + lane]);
                        down[row * width + lane] = std::array::from_fn(|x| {
                            factors[0] * tap(0, x) + factors[1] * tap(1, x) + factors[2] * tap(2, x)
                        });
                    }
                }
                for row in 0..pixels {
                    for (column, factors) in rows.iter().enumerate() {
                        let target = &mut part[((row * pixels + column) * channels + channel) * width..][..width];
                        for (value, down) in target.iter_mut().zip(&down[row * width..]) {
                            let sum = factors[0] * down[0] + factors[1] * down[1] + factors[2] * down[2];
                            *value = sum as f32;
                        }
                    }
                }
            }
        });
        drop(parts);
        Self { set, scheme, channels, columns, panels }
    }

    fn panel(&self, panel: usize, point: usize) -> &[f32] {
        let floats = self.channels * self.set.panel_width();
        &self.panels[(panel * self.scheme.points() + point) * floats..][..floats]
    }
}

/// Pictures with channels last, and where on them the windows stand.
#[derive(Clone, Copy)]
pub(crate) struct Pictures<'a> {
    /// `[batch, height, width, channels]`.
    pub(crate) values: &'a [f32],
    /// How many.
    pub(crate) batch: usize,
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// Height and width of the results.
    pub(crate) results: [usize; 2],
    /// Rows above and columns left of the picture that the first window covers.
    pub(crate) before: [usize; 2],
}

/// What a thread needs for a block: transformed pixels, and products of one panel.
#[derive(Default)]
struct Scratch {
    pixels: Vec<f32>,
    products: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// One convolution, cut into blocks of tiles and groups of panels.
struct Job<'a> {
    pictures: Pictures<'a>,
    filters: &'a TransformedFilters,
    epilogue: &'a Epilogue<'a>,
    output: SharedOutput,
    /// Tiles of a picture, down and across.
    grid: [usize; 2],
    /// Floats from one tile's pixels to the next's at the same point.
    stride: usize,
    zeros: Vec<f32>,
}

/// Computes `activation(bias + convolution + residual)` of 3x3 windows that move by one pixel.
///
/// # Panics
///
/// When a slice has another size than the shapes say.
pub(crate) fn filter(
    pool: &Pool,
    pictures: Pictures<'_>,
    filters: &TransformedFilters,
    epilogue: &Epilogue<'_>,
    output: &mut [f32],
) {
    let [height, width] = pictures.results;
    let (channels, columns) = (filters.channels, filters.columns);
    assert_eq!(pictures.values.len(), pictures.batch * pictures.size[0] * pictures.size[1] * channels, "the pictures");
    assert_eq!(output.len(), pictures.batch * height * width * columns, "the output has another size");
    assert_eq!(epilogue.bias.len(), columns, "the bias has another size");
    assert!(epilogue.residual.is_none_or(|residual| residual.len() == output.len()), "the residual has another size");
    if output.is_empty() {
        return;
    }
    let results = filters.scheme.results();
    let grid = [height.div_ceil(results), width.div_ceil(results)];
    let tiles = pictures.batch * grid[0] * grid[1];
    // An odd number of cache lines, as in a plain product.
    let stride = (channels.div_ceil(16) | 1) * 16;
    let (tile_rows, threads) = (filters.set.tile_rows(), pool.threads());
    let cached = (BLOCK_FLOATS / (stride * filters.scheme.points()) / tile_rows).max(1) * tile_rows;
    let fair_share = tiles.div_ceil(threads * 2).next_multiple_of(tile_rows);
    let blocks = tiles.div_ceil(cached.min(fair_share.max(2 * tile_rows)));
    let panels = columns / filters.set.panel_width();
    // Every group of panels transforms the pixels again, so there are no more groups than keep all threads at work.
    let groups = if blocks >= 2 * threads { 1 } else { threads.div_ceil(blocks).min(panels) };
    let job = Job {
        pictures,
        filters,
        epilogue,
        output: SharedOutput::new(output),
        grid,
        stride,
        zeros: vec![0.0; channels.max(columns)],
    };
    pool.run(blocks * groups, &|unit| {
        let block = split(tiles, blocks, unit / groups);
        let group = split(panels, groups, unit % groups);
        SCRATCH.with_borrow_mut(|scratch| {
            // SAFETY: units differ in their tiles or their panels, each is handed out once, and `run` returns after all.
            unsafe { job.unit(block, group, scratch) };
        });
    });
}

/// Where the pixels and results of a tile are.
struct TilePlace {
    picture: usize,
    /// The first row and column of results.
    top: usize,
    left: usize,
}

impl Job<'_> {
    fn place(&self, tile: usize) -> TilePlace {
        let [down, across] = self.grid;
        let results = self.filters.scheme.results();
        let in_picture = tile % (down * across);
        TilePlace {
            picture: tile / (down * across),
            top: in_picture / across * results,
            left: in_picture % across * results,
        }
    }

    /// # Safety
    ///
    /// The slice behind the output is alive, and no other thread touches these tiles of these panels meanwhile.
    unsafe fn unit(&self, block: Range<usize>, group: Range<usize>, scratch: &mut Scratch) {
        let (set, points) = (self.filters.set, self.filters.scheme.points());
        let (width, channels, count) = (set.panel_width(), self.filters.channels, block.len());
        let point_stride = count * self.stride;
        grow(&mut scratch.pixels, points * point_stride);
        grow(&mut scratch.products, points * count * width);
        for (position, tile) in block.clone().enumerate() {
            let into = &mut scratch.pixels[position * self.stride..];
            self.transform_pixels(&self.place(tile), into, point_stride);
        }
        let row_tiles = count.div_ceil(set.tile_rows());
        for panel in group {
            for point in 0..points {
                let pixels = &scratch.pixels[point * point_stride..][..point_stride];
                let products = &mut scratch.products[point * count * width..][..count * width];
                let output = SharedOutput::new(products);
                for tile in 0..row_tiles {
                    let rows = split(count, row_tiles, tile);
                    let target = Target {
                        bias: Some(&self.zeros[..width]),
                        residual: None,
                        activation: Activation::None,
                        output,
                        offset: rows.start * width,
                        stride: width,
                        columns: width,
                    };
                    let values = &pixels[rows.start * self.stride..rows.end * self.stride];
                    let filters = self.filters.panel(panel, point);
                    // SAFETY: `products` is this thread's own.
                    unsafe { compute(set, rows.len(), channels, values, self.stride, filters, &target) };
                }
            }
            for (position, tile) in block.clone().enumerate() {
                // SAFETY: the caller vouches for the output.
                unsafe {
                    self.finish_tile(&self.place(tile), panel, &scratch.products[position * width..], count * width);
                };
            }
        }
    }

    /// Writes one tile's pixels, evaluated at all points, `point_stride` floats apart.
    fn transform_pixels(&self, place: &TilePlace, into: &mut [f32], point_stride: usize) {
        let (scheme, channels) = (self.filters.scheme, self.filters.channels);
        let [height, width] = self.pictures.size;
        let picture = &self.pictures.values[place.picture * height * width * channels..][..height * width * channels];
        let zeros = self.zeros.as_ptr();
        let mut pixels = [zeros; MAX_POINTS];
        for row in 0..scheme.pixels() {
            let y = (place.top + row).wrapping_sub(self.pictures.before[0]);
            if y >= height {
                continue;
            }
            for column in 0..scheme.pixels() {
                let x = (place.left + column).wrapping_sub(self.pictures.before[1]);
                if x < width {
                    pixels[row * scheme.pixels() + column] = picture[(y * width + x) * channels..][..channels].as_ptr();
                }
            }
        }
        assert!(self.zeros.len() >= channels && into.len() >= (scheme.points() - 1) * point_stride + channels);
        let into = into.as_mut_ptr();
        // SAFETY: each pixel has `channels` floats, as the slices above checked; so has each point's place in `into`.
        // `fit` made the channels a multiple of every vector, and the set came from `detect`.
        unsafe {
            match (self.filters.set, scheme) {
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx512, Scheme::Two) => avx512::pixels_two(&pixels, channels, into, point_stride),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx512, Scheme::Four) => avx512::pixels_four(&pixels, channels, into, point_stride),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx2, Scheme::Two) => avx2::pixels_two(&pixels, channels, into, point_stride),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx2, Scheme::Four) => avx2::pixels_four(&pixels, channels, into, point_stride),
                (Instructions::Portable, Scheme::Two) => pixels_two::<[f32; 4]>(&pixels, channels, into, point_stride),
                (Instructions::Portable, Scheme::Four) => {
                    pixels_four::<[f32; 4]>(&pixels, channels, into, point_stride);
                }
            }
        }
    }

    /// Interpolates one tile's results for one panel and writes them.
    ///
    /// # Safety
    ///
    /// The slice behind the output is alive, and no other thread touches this tile of this panel meanwhile.
    unsafe fn finish_tile(&self, place: &TilePlace, panel: usize, products: &[f32], point_stride: usize) {
        let (scheme, columns) = (self.filters.scheme, self.filters.columns);
        let panel_width = self.filters.set.panel_width();
        let [height, width] = self.pictures.results;
        let column = panel * panel_width;
        let first = ((place.picture * height + place.top) * width + place.left) * columns + column;
        let rows = scheme.results().min(height - place.top);
        let across = scheme.results().min(width - place.left);
        let end = first + ((rows - 1) * width + across - 1) * columns + panel_width;
        assert!(end <= self.output.len(), "the output ends before the tile does");
        assert!(self.epilogue.residual.is_none_or(|residual| residual.len() >= end), "the residual ends early");
        assert!(products.len() >= (scheme.points() - 1) * point_stride + panel_width, "products end before the tile");
        let results = Results {
            products: products.as_ptr(),
            point_stride,
            panel_width,
            bias: self.epilogue.bias[column..column + panel_width].as_ptr(),
            // SAFETY: `first` lies before `end`, which was checked.
            residual: self.epilogue.residual.map(|residual| unsafe { residual.as_ptr().add(first) }),
            activation: self.epilogue.activation,
            // SAFETY: as for the residual.
            output: unsafe { self.output.start().add(first) },
            row_stride: width * columns,
            pixel_stride: columns,
            rows,
            across,
        };
        // SAFETY: the extents were checked above, and the set came from `detect`.
        unsafe {
            match (self.filters.set, scheme) {
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx512, Scheme::Two) => avx512::results_two(&results),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx512, Scheme::Four) => avx512::results_four(&results),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx2, Scheme::Two) => avx2::results_two(&results),
                #[cfg(target_arch = "x86_64")]
                (Instructions::Avx2, Scheme::Four) => avx2::results_four(&results),
                (Instructions::Portable, Scheme::Two) => results_two::<[f32; 4]>(&results),
                (Instructions::Portable, Scheme::Four) => results_four::<[f32; 4]>(&results),
            }
        }
    }
}

fn grow(buffer: &mut Vec<f32>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
}

/// One tile and panel on the way out; all extents were checked by `finish_tile`.
struct Results {
    products: *const f32,
    point_stride: usize,
    panel_width: usize,
    bias: *const f32,
    /// Laid out as the output.
    residual: Option<*const f32>,
    activation: Activation,
    output: *mut f32,
    row_stride: usize,
    pixel_stride: usize,
    /// How many rows and columns of results lie in the picture.
    rows: usize,
    across: usize,
}

impl Results {
    /// # Safety
    ///
    /// As [`Lanes`]; the result lies in the picture.
    #[inline(always)]
    unsafe fn write<V: Lanes>(&self, row: usize, column: usize, lane: usize, value: V) {
        // SAFETY: the caller vouches for it.
        unsafe {
            let at = row * self.row_stride + column * self.pixel_stride + lane;
            let mut value = value.add(V::load(self.bias.add(lane)));
            if let Some(residual) = self.residual {
                value = value.add(V::load(residual.add(at)));
            }
            value.activate(self.activation).store(self.output.add(at));
        }
    }
}

type Pixels = [*const f32; MAX_POINTS];

/// # Safety
///
/// The first 16 pixels have `channels` floats, a multiple of [`Lanes::COUNT`]; `into` has as many at each of 16 points.
#[inline(always)]
unsafe fn pixels_two<V: Lanes>(pixels: &Pixels, channels: usize, into: *mut f32, point_stride: usize) {
    // SAFETY: the caller vouches for the extents and the instruction set.
    unsafe {
        for channel in (0..channels).step_by(V::COUNT) {
            let mut down = [[V::splat(0.0); 4]; 4];
            for column in 0..4 {
                let pixel = |row: usize| V::load(pixels[row * 4 + column].add(channel));
                let (p0, p1, p2, p3) = (pixel(0), pixel(1), pixel(2), pixel(3));
                down[0][column] = p0.sub(p2);
                down[1][column] = p1.add(p2);
                down[2][column] = p2.sub(p1);
                down[3][column] = p1.sub(p3);
            }
            for (row, [p0, p1, p2, p3]) in down.into_iter().enumerate() {
                let to = into.add(row * 4 * point_stride + channel);
                p0.sub(p2).store(to);
                p1.add(p2).store(to.add(point_stride));
                p2.sub(p1).store(to.add(2 * point_stride));
                p1.sub(p3).store(to.add(3 * point_stride));
            }
        }
    }
}

/// # Safety
///
/// As [`pixels_two`], for 36 pixels and points.
#[inline(always)]
unsafe fn pixels_four<V: Lanes>(pixels: &Pixels, channels: usize, into: *mut f32, point_stride: usize) {
    // SAFETY: the caller vouches for the extents and the instruction set.
    unsafe {
        for channel in (0..channels).step_by(V::COUNT) {
            let mut down = [[V::splat(0.0); 6]; 6];
            for column in 0..6 {
                let pixel = |row: usize| V::load(pixels[row * 6 + column].add(channel));
                let points = evaluate::<V>([pixel(0), pixel(1), pixel(2), pixel(3), pixel(4), pixel(5)]);
                for row in 0..6 {
                    down[row][column] = points[row];
                }
            }
            for (row, pixels) in down.into_iter().enumerate() {
                let points = evaluate::<V>(pixels);
                for (column, point) in points.into_iter().enumerate() {
                    point.store(into.add((row * 6 + column) * point_stride + channel));
                }
            }
        }
    }
}

/// Six pixels at the points 0, a, -a, b, -b and infinity.
///
/// # Safety
///
/// As [`Lanes`].
#[inline(always)]
unsafe fn evaluate<V: Lanes>(p: [V; 6]) -> [V; 6] {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let (a, b) = (V::splat(A), V::splat(B));
        let (minus_aa, minus_bb) = (V::splat(-A * A), V::splat(-B * B));
        let (product, minus_sum) = (V::splat(A * A * B * B), V::splat(-(A * A + B * B)));
        let (even_a, odd_a) = (p[2].mul_add(minus_bb, p[4]), p[1].mul_add(minus_bb, p[3]).mul(a));
        let (even_b, odd_b) = (p[2].mul_add(minus_aa, p[4]), p[1].mul_add(minus_aa, p[3]).mul(b));
        [
            p[0].mul_add(product, p[2].mul_add(minus_sum, p[4])),
            even_a.add(odd_a),
            even_a.sub(odd_a),
            even_b.add(odd_b),
            even_b.sub(odd_b),
            p[1].mul_add(product, p[3].mul_add(minus_sum, p[5])),
        ]
    }
}

/// # Safety
///
/// The extents are as [`Results`] says.
#[inline(always)]
unsafe fn results_two<V: Lanes>(results: &Results) {
    // SAFETY: the caller vouches for the extents and the instruction set.
    unsafe {
        for lane in (0..results.panel_width).step_by(V::COUNT) {
            let point = |index: usize| V::load(results.products.add(index * results.point_stride + lane));
            let mut rows = [[V::splat(0.0); 4]; 2];
            for column in 0..4 {
                let (m0, m1, m2, m3) = (point(column), point(4 + column), point(8 + column), point(12 + column));
                rows[0][column] = m0.add(m1).add(m2);
                rows[1][column] = m1.sub(m2).sub(m3);
            }
            for (row, [m0, m1, m2, m3]) in rows.into_iter().enumerate().take(results.rows) {
                results.write(row, 0, lane, m0.add(m1).add(m2));
                if results.across > 1 {
                    results.write(row, 1, lane, m1.sub(m2).sub(m3));
                }
            }
        }
    }
}

/// # Safety
///
/// The extents are as [`Results`] says.
#[inline(always)]
unsafe fn results_four<V: Lanes>(results: &Results) {
    // SAFETY: the caller vouches for the extents and the instruction set.
    unsafe {
        for lane in (0..results.panel_width).step_by(V::COUNT) {
            let point = |index: usize| V::load(results.products.add(index * results.point_stride + lane));
            let mut rows = [[V::splat(0.0); 6]; 4];
            for column in 0..6 {
                let sums = interpolate::<V>([
                    point(column),
                    point(6 + column),
                    point(12 + column),
                    point(18 + column),
                    point(24 + column),
                    point(30 + column),
                ]);
                for row in 0..4 {
                    rows[row][column] = sums[row];
                }
            }
            for (row, points) in rows.into_iter().enumerate().take(results.rows) {
                let sums = interpolate::<V>(points);
                for (column, sum) in sums.into_iter().enumerate().take(results.across) {
                    results.write(row, column, lane, sum);
                }
            }
        }
    }
}

/// Four results from the products at the points 0, a, -a, b, -b and infinity.
///
/// # Safety
///
/// As [`Lanes`].
#[inline(always)]
unsafe fn interpolate<V: Lanes>(m: [V; 6]) -> [V; 4] {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let (even_a, odd_a) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (even_b, odd_b) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(even_a).add(even_b),
            odd_b.mul_add(V::splat(B), odd_a.mul(V::splat(A))),
            even_b.mul_add(V::splat(B * B), even_a.mul(V::splat(A * A))),
            odd_b.mul_add(V::splat(B * B * B), odd_a.mul_add(V::splat(A * A * A), m[5])),
        ]
    }
}

macro_rules! compiled_for {
    ($module:ident, $features:literal, $vector:ident) => {
        #[cfg(target_arch = "x86_64")]
        mod $module {
            //! The functions of the file above, compiled for one instruction set; their safety is the same.

            use std::arch::x86_64::$vector;

            use super::{Pixels, Results};

            #[target_feature(enable = $features)]
            pub(super) unsafe fn pixels_two(pixels: &Pixels, channels: usize, into: *mut f32, point_stride: usize) {
                // SAFETY: as the function that is called.
                unsafe { super::pixels_two::<$vector>(pixels, channels, into, point_stride) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn pixels_four(pixels: &Pixels, channels: usize, into: *mut f32, point_stride: usize) {
                // SAFETY: as the function that is called.
                unsafe { super::pixels_four::<$vector>(pixels, channels, into, point_stride) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn results_two(results: &Results) {
                // SAFETY: as the function that is called.
                unsafe { super::results_two::<$vector>(results) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn results_four(results: &Results) {
                // SAFETY: as the function that is called.
                unsafe { super::results_four::<$vector>(results) }
            }
        }
    };
}

compiled_for!(avx512, "avx512f", __m512);
compiled_for!(avx2, "avx2,fma", __m256);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::kernel::product::testing::noise;

    fn packed(set: Instructions, channels: usize, columns: usize, values: &[f32]) -> PackedMatrix {
        PackedMatrix::pack(set, 9 * channels, columns, |term, row| {
            row.copy_from_slice(&values[term * columns..][..columns]);
        })
    }

    #[test]
    fn agrees_with_the_definition_for_every_instruction_set_scheme_and_border() {
        let pool = Pool::of_threads(2);
        let (batch, channels, columns) = (2, 32, 64);
        let filters = noise(9 * channels * columns, 2);
        let bias = noise(columns, 3);
        for set in Instructions::available() {
            for scheme in [Scheme::Two, Scheme::Four] {
                let weights = packed(set, channels, columns, &filters);
                let weights = TransformedFilters::new(&pool, scheme, &weights, channels);
                for (size, results, before) in [
                    ([7, 9], [7, 9], [1, 1]),
                    ([4, 3], [4, 3], [1, 1]),
                    ([8, 11], [6, 9], [0, 0]),
                    ([1, 1], [3, 2], [2, 1]),
                ] {
                    let values = noise(batch * size[0] * size[1] * channels, 1);
                    let residual = noise(batch * results[0] * results[1] * columns, 4);
                    let epilogue = Epilogue { bias: &bias, residual: Some(&residual), activation: Activation::Relu };
                    let pictures = Pictures { values: &values, batch, size, results, before };
                    let mut output = vec![f32::NAN; residual.len()];
                    filter(&pool, pictures, &weights, &epilogue, &mut output);
                    for (at, &output) in output.iter().enumerate() {
                        let (column, x) = (at % columns, at / columns % results[1]);
                        let (y, picture) =
                            (at / columns / results[1] % results[0], at / columns / results[1] / results[0]);
                        let mut sum = f64::from(bias[column]) + f64::from(residual[at]);
                        for tap in 0..9 {
                            let row = (y + tap / 3).wrapping_sub(before[0]);
                            let left = (x + tap % 3).wrapping_sub(before[1]);
                            if row >= size[0] || left >= size[1] {
                                continue;
                            }
                            let from = ((picture * size[0] + row) * size[1] + left) * channels;
                            for channel in 0..channels {
                                let filter = filters[(tap * channels + channel) * columns + column];
                                sum += f64::from(values[from + channel]) * f64::from(filter);
                            }
                        }
                        let difference = (f64::from(output) - sum.max(0.0)).abs();
                        assert!(difference < 1e-4, "{set:?} {scheme:?} {size:?} at {at}: {difference}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_picture_gives_the_same_bits_alone_and_in_a_batch_and_on_any_number_of_threads() {
        let (channels, columns, batch, size) = (48, 96, 5, [13, 10]);
        let filters = noise(9 * channels * columns, 5);
        let values = noise(batch * size[0] * size[1] * channels, 6);
        let bias = noise(columns, 7);
        let epilogue = Epilogue { bias: &bias, residual: None, activation: Activation::Relu6 };
        for set in Instructions::available() {
            for scheme in [Scheme::Two, Scheme::Four] {
                let weights = packed(set, channels, columns, &filters);
                let weights = TransformedFilters::new(&Pool::of_threads(1), scheme, &weights, channels);
                let mut all = vec![0.0; batch * size[0] * size[1] * columns];
                let pictures = Pictures { values: &values, batch, size, results: size, before: [1, 1] };
                filter(&Pool::of_threads(3), pictures, &weights, &epilogue, &mut all);
                for (values, expected) in
                    values.chunks_exact(size[0] * size[1] * channels).zip(all.chunks_exact(size[0] * size[1] * columns))
                {
                    let mut alone = vec![0.0; expected.len()];
                    let pictures = Pictures { values, batch: 1, ..pictures };
                    filter(&Pool::of_threads(1), pictures, &weights, &epilogue, &mut alone);
                    assert_eq!(alone, expected);
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let weights = packed(Instructions::detect(), 16, 32, &vec![0.5; 9 * 16 * 32]);
        let pool = Pool::of_threads(1);
        let weights = TransformedFilters::new(&pool, Scheme::Four, &weights, 16);
        let mut values = vec![1.0; 16];
        values[3] = f32::NAN;
        let pictures = Pictures { values: &values, batch: 1, size: [1, 1], results: [1, 1], before: [1, 1] };
        let epilogue = Epilogue { bias: &[0.0; 32], residual: None, activation: Activation::Relu };
        let mut output = vec![0.0; 32];
        filter(&pool, pictures, &weights, &epilogue, &mut output);
        assert!(output.iter().all(|value| value.is_nan()));
    }
}
