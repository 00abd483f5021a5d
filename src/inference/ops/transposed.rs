//! Convolutions turned round: each pixel is spread over a window, as `Conv2DTranspose` layers do.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::kernel::{Activation, Epilogue, Instructions, PackedMatrix, RowSource, multiply};
use super::super::status::RunError;
use super::super::tensor::{TensorData, shape_text};
use super::super::window::Window;
use super::{Family, Kernel, floats, input, integers, one, require_channels_last};

pub(super) const OPS: Family = &[("Conv2DBackpropInput", spread)];

struct Pixels<'a>(&'a [f32], usize);

impl RowSource for Pixels<'_> {
    fn fill(&self, row: usize, terms: std::ops::Range<usize>, into: &mut [f32]) {
        into.copy_from_slice(&self.0[row * self.1..][terms]);
    }
}

fn spread(attributes: &Attributes) -> Result<Kernel, RunError> {
    require_channels_last("Conv2DBackpropInput", attributes)?;
    let window = Window::read(attributes, Some([1, 1]))?;
    Ok(Box::new(move |inputs, context| run(inputs, window, context)))
}

/// `inputs` are the result's shape, the filter `[height, width, out, in]` and the pictures `[batch, height, width, in]`.
fn run(inputs: &mut [Value], window: Window, context: &Context) -> Result<Vec<Value>, RunError> {
    let (sizes, filter, pictures) = (integers(input(inputs, 0)?)?, input(inputs, 1)?, input(inputs, 2)?);
    let [down, across, outputs, channels] = filter.shape[..] else {
        return Err(RunError::invalid(format!("filter must be 4-dimensional: {}", shape_text(&filter.shape))));
    };
    let [batch, height, width, given] = pictures.shape[..] else {
        return Err(RunError::invalid(format!("out_backprop must be 4-dimensional{}", shape_text(&pictures.shape))));
    };
    let shape: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    // TensorFlow also takes only height and width here.
    let shape = match shape.as_deref() {
        Some([rows, columns]) => vec![batch, *rows, *columns, outputs],
        Some([count, _, _, depth]) if *count == batch && *depth == outputs => shape.unwrap_or_default(),
        _ => return Err(RunError::invalid(format!("input_sizes {sizes:?} do not fit the filter and out_backprop"))),
    };
    if given != channels {
        return Err(RunError::invalid("filter and out_backprop must have the same out_depth"));
    }
    let window = Window { size: [down, across], ..window };
    let placed = window.place([shape[1], shape[2]])?;
    if placed.output != [height, width] {
        let text = format!(
            "Size of out_backprop doesn't match computed: actual = {height}x{width}, computed = {}x{}",
            placed.output[0], placed.output[1]
        );
        return Err(RunError::invalid(text));
    }
    let taps = down * across;
    let mut output = context.floats(&shape)?;
    // One line of pictures at a time: what each pixel adds to its window.
    Context::allowed(&[width, taps, outputs], pictures.dtype())?;
    let columns = taps * outputs;
    let (filter, values) = (floats(filter)?, floats(pictures)?);
    let packed = PackedMatrix::pack(Instructions::detect(), channels, columns, |term, row| {
        row.iter_mut().enumerate().for_each(|(column, value)| *value = filter[column * channels + term]);
    });
    let bias = vec![0.0; columns];
    let mut line = vec![0.0; width * columns];
    let picture_size = shape[1] * shape[2] * outputs;
    output.fill(0.0);
    for (index, pixels) in values.chunks_exact((width * channels).max(1)).enumerate().take(batch * height) {
        let epilogue = Epilogue { bias: &bias, residual: None, activation: Activation::None };
        multiply(&context.pool, width, &Pixels(pixels, channels), &packed, &epilogue, &mut line);
        let out = &mut output[index / height * picture_size..][..picture_size];
        let inside = |axis: usize, at: usize, tap: usize| {
            let place = at * window.stride[axis] + tap * window.dilation[axis];
            place.checked_sub(placed.before[axis]).filter(|&place| place < placed.input[axis])
        };
        for (x, parts) in line.chunks_exact(columns.max(1)).enumerate() {
            for (tap, part) in parts.chunks_exact(outputs.max(1)).enumerate() {
                let (row, column) = (inside(0, index % height, tap / across), inside(1, x, tap % across));
                if let (Some(row), Some(column)) = (row, column) {
                    let target = &mut out[(row * placed.input[1] + column) * outputs..][..outputs];
                    target.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
    one(shape, TensorData::Float(output))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, int_list, ints, run, text};

    #[test]
    fn each_pixel_is_spread_over_its_window() {
        let picture = floats(&[1, 2, 2, 1], &[1.0, 2.0, 3.0, 4.0]);
        let filter = floats(&[2, 2, 1, 1], &[1.0, 10.0, 100.0, 1000.0]);
        let list = |stride| [("strides", int_list(&[1, stride, stride, 1])), ("padding", text("VALID"))];
        let inputs = [ints(&[1, 3, 3, 1]), filter.clone(), picture.clone()];
        let overlapping = [1.0, 12.0, 20.0, 103.0, 1234.0, 2040.0, 300.0, 3400.0, 4000.0];
        assert_eq!(run("Conv2DBackpropInput", &list(1), &inputs).unwrap(), floats(&[1, 3, 3, 1], &overlapping));
        let inputs = [ints(&[1, 4, 4, 1]), filter.clone(), picture.clone()];
        let apart = run("Conv2DBackpropInput", &list(2), &inputs).unwrap();
        assert_eq!(apart.as_floats().unwrap()[..8], [1.0, 10.0, 2.0, 20.0, 100.0, 1000.0, 200.0, 2000.0]);
        for wrong in [&[1, 9, 3, 1][..], &[2, 3, 3, 1], &[3]] {
            assert!(run("Conv2DBackpropInput", &list(1), &[ints(wrong), filter.clone(), picture.clone()]).is_err());
        }
    }
}
