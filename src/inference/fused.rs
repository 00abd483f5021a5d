//! The heavy steps with their neighbours fused in: convolutions and matrix products with packed weights, poolings.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::constant::Value;
use super::context::Context;
use super::kernel::{self, Scheme, TransformedFilters};
use super::kernel::{Activation, Epilogue, PackedMatrix, RowSource, multiply};
use super::ops;
use super::status::{RunError, StatusCode};
use super::tensor::{Tensor, TensorData, shape_text};
use super::window::{Padding, Placed, Window};

/// Zero padding in front of a window that was a node of its own.
#[derive(Debug, Clone)]
pub(crate) struct PadStage {
    /// The node, for messages.
    pub(crate) node: String,
    /// Rows before and after, columns before and after.
    pub(crate) amounts: [[usize; 2]; 2],
}

impl PadStage {
    /// What the node itself would have said.
    fn check(&self, shape: &[usize]) -> Result<(), RunError> {
        if shape.len() == 4 {
            return Ok(());
        }
        let text = format!("The first dimension of paddings must be the rank of inputs[4,2] {}", shape_text(shape));
        Err(RunError::invalid(text).at(&self.node))
    }
}

/// Results of a picture below which a 3x3 convolution is computed directly: reading four times the weights then costs
/// more than the multiplications that they save.
const MIN_TILED_RESULTS: usize = 36;
/// Pairs of channels up to which a 3x3 convolution is cut into the larger tiles, whose filters are four times as
/// long as the plain ones, where the smaller tiles' are less than twice as long.
const MAX_FILTERS_OF_LARGE_TILES: usize = 128 * 128;

/// What is multiplied.
pub(crate) enum Product {
    /// Each window of a picture with the filter (`[height, width, in, out]`).
    Windows(Window),
    /// Each row of a matrix.
    Rows,
}

/// A convolution or matrix product: `activation(input * weights + bias + residual)`.
pub(crate) struct Convolution {
    /// What is multiplied.
    pub(crate) product: Product,
    /// The weights, batch norms already folded in.
    pub(crate) weights: PackedMatrix,
    /// The same weights for Winograd's algorithm, made when a picture is first large enough for it.
    pub(crate) transformed: OnceLock<TransformedFilters>,
    /// Channels that the input must have.
    pub(crate) channels: usize,
    /// One value for each output channel.
    pub(crate) bias: Vec<f32>,
    /// Whether a second input is added to the result.
    pub(crate) residual: bool,
    /// Applied last.
    pub(crate) activation: Activation,
    /// Padding in front.
    pub(crate) pad: Option<PadStage>,
    /// The node that TensorFlow names for mistakes: its remapper fuses bias and activation under the last one's name.
    pub(crate) blamed: String,
    /// Whether TensorFlow would have fused something, which changes one message.
    pub(crate) fused: bool,
}

/// Height, width and channels of a picture in a batch.
struct Pictures<'a> {
    values: &'a [f32],
    channels: usize,
    window: Window,
    placed: Placed,
}

impl RowSource for Pictures<'_> {
    fn fill(&self, row: usize, terms: Range<usize>, into: &mut [f32]) {
        let [height, width] = self.placed.input;
        let [output_height, output_width] = self.placed.output;
        let Window { size: [_, window_width], stride, dilation, .. } = self.window;
        let (picture, place) = (row / (output_height * output_width), row % (output_height * output_width));
        let top = (place / output_width * stride[0]) as isize - self.placed.before[0] as isize;
        let left = (place % output_width * stride[1]) as isize - self.placed.before[1] as isize;
        let channels = self.channels;
        // Neighbours in a row of the window are neighbours in memory unless the window is dilated.
        let (run, taps_in_run) = if dilation[1] == 1 { (window_width * channels, window_width) } else { (channels, 1) };
        let mut term = terms.start;
        while term < terms.end {
            let (index, offset) = (term / run, term % run);
            let count = (run - offset).min(terms.end - term);
            let target = &mut into[term - terms.start..][..count];
            term += count;
            let tap = index * taps_in_run;
            let y = top + (tap / window_width * dilation[0]) as isize;
            let x = left + (tap % window_width * dilation[1]) as isize;
            if y < 0 || y >= height as isize {
                target.fill(0.0);
                continue;
            }
            let line = (picture * height + y.unsigned_abs()) * width * channels;
            // In floats from the start of the line: where the run begins, and which part of it lies in the picture.
            let from = x * channels as isize + offset as isize;
            let end = (width * channels) as isize;
            let inside = from.clamp(0, end)..(from + count as isize).clamp(0, end);
            let lead = (inside.start - from).unsigned_abs().min(count);
            let body = (inside.end - inside.start).max(0).unsigned_abs();
            target[..lead].fill(0.0);
            let source = &self.values[line + inside.start.unsigned_abs()..][..body];
            target[lead..lead + body].copy_from_slice(source);
            target[lead + body..].fill(0.0);
        }
    }
}

/// The rows of a matrix.
struct Rows<'a> {
    values: &'a [f32],
    length: usize,
}

impl RowSource for Rows<'_> {
    fn fill(&self, row: usize, terms: Range<usize>, into: &mut [f32]) {
        into.copy_from_slice(&self.values[row * self.length..][terms]);
    }
}

impl Convolution {
    /// Runs it on `[input]` or `[input, residual]`.
    pub(crate) fn run(&self, inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
        let input = Arc::clone(inputs.first().ok_or_else(|| RunError::invalid("a convolution without input"))?);
        if let Some(pad) = &self.pad {
            pad.check(&input.shape)?;
        }
        let blame = |error: RunError| if self.blamed.is_empty() { error } else { error.at(&self.blamed) };
        let values = input
            .as_floats()
            .ok_or_else(|| blame(RunError::invalid(format!("expected float, got {}", input.dtype().short_name()))))?;
        let (shape, placed) = match &self.product {
            Product::Windows(window) => {
                let mut window = *window;
                if let Some(pad) = &self.pad {
                    window.padding = Padding::Explicit(pad.amounts);
                }
                let placed = self.place(&window, &input).map_err(blame)?;
                (
                    vec![input.shape[0], placed.output[0], placed.output[1], self.weights.columns()],
                    Some((window, placed)),
                )
            }
            Product::Rows => {
                self.check_rows(&input).map_err(blame)?;
                (vec![input.shape[0], self.weights.columns()], None)
            }
        };
        let residual = if self.residual { inputs.get(1).cloned() } else { None };
        // A residual of another shape is stretched over the result, which the fused sum cannot do.
        let fits = residual.as_ref().filter(|other| other.shape == shape).and_then(|other| other.as_floats());
        let mut output = context.floats(&shape).map_err(blame)?;
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let epilogue = Epilogue {
            bias: &self.bias,
            residual: fits,
            activation: if self.residual && fits.is_none() { Activation::None } else { self.activation },
        };
        let channels = self.channels;
        let source: &dyn RowSource = match placed {
            Some((window, placed)) => &Pictures { values, channels, window, placed },
            None => &Rows { values, length: channels },
        };
        match placed.and_then(|(window, placed)| Some((placed, self.scheme(&window, &placed)?))) {
            Some((placed, scheme)) => {
                let pool = &context.pool;
                let filters =
                    self.transformed.get_or_init(|| TransformedFilters::new(pool, scheme, &self.weights, channels));
                let Placed { input: size, output: results, before } = placed;
                let pictures = kernel::Pictures { values, batch: shape[0], size, results, before };
                kernel::filter(pool, pictures, filters, &epilogue, &mut output);
            }
            None => multiply(&context.pool, rows, source, &self.weights, &epilogue, &mut output),
        }
        let stretched = residual.filter(|other| self.residual && (other.shape != shape || other.as_floats().is_none()));
        let value = Arc::new(Tensor { shape, data: TensorData::Float(output) });
        match stretched {
            None => Ok(vec![value]),
            Some(other) => {
                let add = ops::build("AddV2", &super::attributes::Attributes::default())?;
                let mut sum = add(&mut [value, other], context)?;
                ops::activate(&mut sum, self.activation, context)
            }
        }
    }

    /// How Winograd's algorithm cuts the results into tiles, when it is quicker; the batch has no say in it.
    fn scheme(&self, window: &Window, placed: &Placed) -> Option<Scheme> {
        let columns = self.weights.columns();
        let fits = window.size == [3, 3]
            && window.stride == [1, 1]
            && window.dilation == [1, 1]
            && placed.output[0] * placed.output[1] >= MIN_TILED_RESULTS
            && TransformedFilters::fit(self.weights.set(), self.channels, columns);
        let small = self.channels * columns <= MAX_FILTERS_OF_LARGE_TILES;
        fits.then_some(if small { Scheme::Four } else { Scheme::Two })
    }

    fn place(&self, window: &Window, input: &Tensor) -> Result<Placed, RunError> {
        let [_, height, width, channels] = input.shape[..] else {
            return Err(RunError::invalid(format!("input must be 4-dimensional{}", shape_text(&input.shape))));
        };
        if self.channels == 0 || !channels.is_multiple_of(self.channels) {
            let text = format!("input depth must be evenly divisible by filter depth: {channels} vs {}", self.channels);
            return Err(RunError::invalid(text));
        }
        if channels != self.channels {
            let text = if self.fused {
                "Fused conv implementation does not support grouped convolutions for now.".to_owned()
            } else {
                format!(
                    "The Conv2D op currently does not support grouped convolutions on the CPU. A grouped convolution \
                     was attempted to be run because the input depth of {channels} does not match the filter input \
                     depth of {}",
                    self.channels
                )
            };
            return Err(RunError::new(StatusCode::Unimplemented, text));
        }
        window.place([height, width])
    }

    fn check_rows(&self, input: &Tensor) -> Result<(), RunError> {
        let [rows, terms] = input.shape[..] else {
            return Err(RunError::invalid(format!(
                "In[0] is not a matrix. Instead it has shape {}",
                shape_text(&input.shape)
            )));
        };
        if terms != self.channels {
            let text = format!(
                "Matrix size-incompatible: In[0]: [{rows},{terms}], In[1]: [{},{}]",
                self.channels,
                self.weights.columns()
            );
            return Err(RunError::invalid(text));
        }
        Ok(())
    }
}

/// A convolution of each channel with its own filters: `activation(input * weights + bias)`.
pub(crate) struct Depthwise {
    /// The window.
    pub(crate) window: Window,
    /// `[height, width, channels, multiplier]`, batch norms already folded in.
    pub(crate) weights: Vec<f32>,
    /// Channels that the input must have, and results for each of them.
    pub(crate) channels: (usize, usize),
    /// One value for each result.
    pub(crate) bias: Vec<f32>,
    /// Applied last.
    pub(crate) activation: Activation,
    /// Padding in front.
    pub(crate) pad: Option<PadStage>,
    /// The node, for messages.
    pub(crate) node: String,
}

impl Depthwise {
    /// Runs it on one input.
    pub(crate) fn run(&self, inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
        let input = inputs.first().ok_or_else(|| RunError::invalid("a convolution without input"))?;
        let mut window = self.window;
        if let Some(pad) = &self.pad {
            pad.check(&input.shape)?;
            window.padding = Padding::Explicit(pad.amounts);
        }
        ops::depthwise_windows(input, &window, &self.weights, self.channels, &self.bias, self.activation, context)
            .map_err(|error| error.at(&self.node))
    }
}

/// What a pooling keeps of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The largest value.
    Largest,
    /// The mean of those inside the picture.
    Mean,
}

/// A pooling, perhaps with zero padding in front.
#[derive(Debug, Clone)]
pub(crate) struct Pooling {
    /// The window; with a pad stage its padding is `Valid`.
    pub(crate) window: Window,
    /// What is kept.
    pub(crate) keep: Keep,
    /// Padding in front, whose zeros count as values.
    pub(crate) pad: Option<PadStage>,
    /// The node, for messages.
    pub(crate) node: String,
}

impl Pooling {
    /// Runs it on one input.
    pub(crate) fn run(&self, inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
        let input = inputs.first().ok_or_else(|| RunError::invalid("a pooling without input"))?;
        if let Some(pad) = &self.pad {
            pad.check(&input.shape)?;
        }
        let blame = |error: RunError| if self.node.is_empty() { error } else { error.at(&self.node) };
        let [batch, height, width, channels] = input.shape[..] else {
            return Err(blame(RunError::invalid("tensor_in must be 4-dimensional")));
        };
        let Some(values) = input.as_floats() else {
            let text = format!("type {} is not supported by poolings", input.dtype().short_name());
            return Err(blame(RunError::new(StatusCode::Unimplemented, text)));
        };
        let mut window = self.window;
        if let Some(pad) = &self.pad {
            window.padding = Padding::Explicit(pad.amounts);
        }
        let placed = window.place([height, width]).map_err(blame)?;
        let [output_height, output_width] = placed.output;
        let shape = vec![batch, output_height, output_width, channels];
        let mut output = context.floats(&shape).map_err(blame)?;
        let zeros_count = self.pad.is_some();
        let line = output_width * channels;
        if line > 0 {
            let lines: Vec<std::sync::Mutex<&mut [f32]>> =
                output.chunks_exact_mut(line).map(std::sync::Mutex::new).collect();
            context.pool.run(lines.len(), &|index| {
                let mut out = lines[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let picture = &values[index / output_height * height * width * channels..];
                let span = |axis: usize, at: usize| {
                    let start = (at * window.stride[axis]) as isize - placed.before[axis] as isize;
                    let end = start + window.size[axis] as isize;
                    let size = placed.input[axis] as isize;
                    let inside = start.clamp(0, size).unsigned_abs()..end.clamp(0, size).unsigned_abs();
                    (inside, start < 0 || end > size)
                };
                let (rows, rows_cut) = span(0, index % output_height);
                for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                    let (columns, columns_cut) = span(1, x);
                    let taps = rows.clone().flat_map(|y| columns.clone().map(move |x| (y * width + x) * channels));
                    match self.keep {
                        Keep::Largest => {
                            let padded = zeros_count && (rows_cut || columns_cut);
                            out.fill(if padded { 0.0 } else { f32::NEG_INFINITY });
                            for tap in taps {
                                for (kept, &value) in out.iter_mut().zip(&picture[tap..tap + channels]) {
                                    *kept = if *kept < value { value } else { *kept };
                                }
                            }
                        }
                        Keep::Mean => {
                            let count = rows.len() * columns.len();
                            let count = if zeros_count { window.size[0] * window.size[1] } else { count };
                            out.fill(0.0);
                            for tap in taps {
                                for (sum, &value) in out.iter_mut().zip(&picture[tap..tap + channels]) {
                                    *sum += value;
                                }
                            }
                            for sum in out.iter_mut() {
                                *sum /= count.max(1) as f32;
                            }
                        }
                    }
                }
            });
        }
        Ok(vec![Arc::new(Tensor { shape, data: TensorData::Float(output) })])
    }
}
