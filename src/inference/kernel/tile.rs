//! One tile of a product: a few rows by one panel, in registers, with the instructions that the processor has.

use std::sync::OnceLock;

/// What happens to a sum before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// The larger of it and zero.
    Relu,
    /// As `Relu`, and not more than six.
    Relu6,
}

impl Activation {
    /// Applies it to one value; NaN stays NaN.
    pub(crate) fn apply(self, value: f32) -> f32 {
        match self {
            Self::Relu | Self::Relu6 if value < 0.0 => 0.0,
            Self::Relu6 if value > 6.0 => 6.0,
            Self::None | Self::Relu | Self::Relu6 => value,
        }
    }
}

/// An instruction set that tiles are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// 512-bit vectors, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 256-bit vectors with fused multiply-add, 16 registers.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the compiler makes of plain loops for the target's baseline.
    Portable,
}

impl Instructions {
    /// The best set of this processor; asked once.
    pub(crate) fn detect() -> Self {
        static BEST: OnceLock<Instructions> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().first().copied().unwrap_or(Self::Portable))
    }

    /// All sets of this processor, best first.
    pub(crate) fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                sets.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Self::Avx2);
            }
        }
        sets.push(Self::Portable);
        sets
    }

    /// Columns of a panel.
    pub(crate) fn panel_width(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 32,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 16,
            Self::Portable => super::portable::WIDTH,
        }
    }

    /// The most rows of a tile.
    pub(crate) fn tile_rows(self) -> usize {
        self.functions().len()
    }

    fn functions(self) -> &'static [TileFunction] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => &super::avx512::TILES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => &super::avx2::TILES,
            Self::Portable => &super::portable::TILES,
        }
    }
}

/// The widest panel of any instruction set.
pub(super) const MAX_WIDTH: usize = 32;
/// Where sums begin that are added to what the output holds.
static ZEROS: [f32; MAX_WIDTH] = [0.0; MAX_WIDTH];
/// The tallest tile of any instruction set.
pub(super) const MAX_ROWS: usize = 14;

/// What a tile function gets; all extents were checked by [`compute`].
pub(super) struct RawTile {
    /// Terms of each sum.
    pub(super) depth: usize,
    /// The first row; row `i` begins `i * row_stride` further on and has `depth` floats.
    pub(super) rows: *const f32,
    pub(super) row_stride: usize,
    /// `depth` times the panel's width.
    pub(super) panel: *const f32,
    /// The sums' first values, one panel's width.
    pub(super) bias: *const f32,
    /// Added after the last term, laid out as the output, which it may be, or null.
    pub(super) residual: *const f32,
    pub(super) activation: Activation,
    /// The first element of the output; row `i` begins `i * output_stride` further on.
    pub(super) output: *mut f32,
    pub(super) output_stride: usize,
}

pub(super) type TileFunction = unsafe fn(&RawTile);

/// Where a tile's result goes and what comes before and after the sum.
pub(super) struct Target<'a> {
    /// The sums' first values for this panel (panel's width), or `None` to add to what the output holds: sums of their
    /// own, so that their rounding errors are those of short sums.
    pub(super) bias: Option<&'a [f32]>,
    /// The whole residual, laid out as the output; not together with what the output holds.
    pub(super) residual: Option<&'a [f32]>,
    pub(super) activation: Activation,
    /// The whole output.
    pub(super) output: SharedOutput,
    /// The tile's first element in it.
    pub(super) offset: usize,
    /// From one row to the next.
    pub(super) stride: usize,
    /// How many columns of the panel exist.
    pub(super) columns: usize,
}

/// An output that several threads write at once, each its own tiles.
#[derive(Clone, Copy)]
pub(super) struct SharedOutput {
    start: *mut f32,
    length: usize,
}

// SAFETY: see point 3 of the module's essay: the threads that share it write disjoint tiles.
unsafe impl Send for SharedOutput {}
// SAFETY: as above.
unsafe impl Sync for SharedOutput {}

impl SharedOutput {
    pub(super) fn new(output: &mut [f32]) -> Self {
        Self { start: output.as_mut_ptr(), length: output.len() }
    }

    /// Its first element.
    pub(super) fn start(self) -> *mut f32 {
        self.start
    }

    /// How many elements it has.
    pub(super) fn len(self) -> usize {
        self.length
    }
}

/// Computes one tile.
///
/// # Safety
///
/// The slice behind `target.output` must be alive, and no other thread may touch the tile's elements meanwhile.
///
/// # Panics
///
/// When an extent lies outside its slice.
pub(super) unsafe fn compute(
    set: Instructions,
    count: usize,
    depth: usize,
    rows: &[f32],
    row_stride: usize,
    panel: &[f32],
    target: &Target<'_>,
) {
    let width = set.panel_width();
    let function = set.functions()[count - 1];
    assert!(rows.len() >= (count - 1) * row_stride + depth, "rows end before the tile does");
    assert!(panel.len() >= depth * width, "the panel ends before the tile does");
    assert!(target.bias.is_none_or(|bias| bias.len() >= width), "the bias ends before the panel does");
    let end = target.offset + (count - 1) * target.stride + target.columns;
    assert!(target.columns <= width && end <= target.output.length, "the output ends before the tile does");
    assert!(target.residual.is_none_or(|residual| residual.len() >= end), "the residual ends before the tile does");
    assert!(target.bias.is_some() || target.residual.is_none(), "two things to add to the sums");
    let null = std::ptr::null;
    let mut raw = RawTile {
        depth,
        rows: rows.as_ptr(),
        row_stride,
        panel: panel.as_ptr(),
        bias: target.bias.unwrap_or(&ZEROS).as_ptr(),
        residual: null(),
        activation: target.activation,
        output: std::ptr::null_mut(),
        output_stride: target.stride,
    };
    if target.columns == width {
        // SAFETY: offset and residual extents were checked above.
        unsafe {
            raw.output = target.output.start.add(target.offset);
            raw.residual = match (target.bias, target.residual) {
                (None, _) => raw.output.cast_const(),
                (Some(_), Some(residual)) => residual.as_ptr().add(target.offset),
                (Some(_), None) => null(),
            };
            function(&raw);
        }
        return;
    }
    // The last panel is narrower than the registers: go through a full-width copy.
    let mut sums = [0.0f32; MAX_WIDTH * MAX_ROWS];
    let mut residuals = [0.0f32; MAX_WIDTH * MAX_ROWS];
    for row in 0..count {
        let from = target.offset + row * target.stride;
        if target.bias.is_none() {
            // SAFETY: `from + columns` is at most `end`, and only this thread touches these elements.
            let held = unsafe { std::slice::from_raw_parts(target.output.start.add(from), target.columns) };
            residuals[row * width..][..target.columns].copy_from_slice(held);
        }
        if let Some(residual) = target.residual {
            residuals[row * width..][..target.columns].copy_from_slice(&residual[from..from + target.columns]);
        }
    }
    raw.output = sums.as_mut_ptr();
    raw.output_stride = width;
    if target.bias.is_none() || target.residual.is_some() {
        raw.residual = residuals.as_ptr();
    }
    // SAFETY: the copies have `count` rows of `width` floats; the rest was checked above.
    unsafe { function(&raw) };
    for row in 0..count {
        let to = target.offset + row * target.stride;
        // SAFETY: as for `held` above.
        let out = unsafe { std::slice::from_raw_parts_mut(target.output.start.add(to), target.columns) };
        out.copy_from_slice(&sums[row * width..][..target.columns]);
    }
}
