//! Convolutions, matrix products and what is added to them.

use std::sync::{Arc, OnceLock};

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::fused::{Convolution, Keep, Pooling, Product};
use super::super::kernel::{Activation, Instructions, PackedMatrix};
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData, shape_text};
use super::super::window::Window;
use super::{Family, Kernel, broadcast, floats, input, one, require_channels_last, unsupported_type};

pub(super) const OPS: Family = &[
    ("AvgPool", |attributes| pooling(attributes, "AvgPool", Keep::Mean)),
    ("BatchMatMul", batch_product),
    ("BatchMatMulV2", batch_product),
    ("BatchMatMulV3", batch_product),
    ("BiasAdd", bias_add),
    ("Conv2D", convolution),
    ("DepthwiseConv2dNative", depthwise),
    ("MatMul", product),
    ("MaxPool", |attributes| pooling(attributes, "MaxPooling", Keep::Largest)),
];

fn pooling(attributes: &Attributes, name: &str, keep: Keep) -> Result<Kernel, RunError> {
    require_channels_last(name, attributes)?;
    let window = Window::read(attributes, None)?;
    let pooling = Pooling { window, keep, pad: None, node: String::new() };
    Ok(Box::new(move |inputs, context| pooling.run(inputs, context)))
}

/// A convolution whose filter is only known in the run; the optimiser replaces those with a constant filter.
fn convolution(attributes: &Attributes) -> Result<Kernel, RunError> {
    require_channels_last("Conv2D", attributes)?;
    let window = Window::read(attributes, Some([1, 1]))?;
    Ok(Box::new(move |inputs, context| {
        let filter = input(inputs, 1)?;
        let [height, width, channels, outputs] = filter.shape[..] else {
            return Err(RunError::invalid(format!("filter must be 4-dimensional: {}", shape_text(&filter.shape))));
        };
        let product = Product::Windows(Window { size: [height, width], ..window });
        unpacked(product, height * width * channels, channels, outputs, floats(filter)?, false)
            .run(&mut inputs[..1], context)
    }))
}

fn unpacked(
    product: Product,
    depth: usize,
    channels: usize,
    outputs: usize,
    weights: &[f32],
    transposed: bool,
) -> Convolution {
    let weights = PackedMatrix::pack(Instructions::detect(), depth, outputs, |term, row| {
        if transposed {
            row.iter_mut().enumerate().for_each(|(column, value)| *value = weights[column * depth + term]);
        } else {
            row.copy_from_slice(&weights[term * outputs..][..outputs]);
        }
    });
    Convolution {
        product,
        weights,
        transformed: OnceLock::new(),
        channels,
        bias: vec![0.0; outputs],
        residual: false,
        activation: Activation::None,
        pad: None,
        blamed: String::new(),
        fused: false,
    }
}

fn transpose(rows: usize, columns: usize, values: &[f32]) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

fn product(attributes: &Attributes) -> Result<Kernel, RunError> {
    let (turn_left, turn_right) = (attributes.flag("transpose_a", false)?, attributes.flag("transpose_b", false)?);
    Ok(Box::new(move |inputs, context| {
        let (left, right) = (input(inputs, 0)?, input(inputs, 1)?);
        let matrix = |tensor: &Tensor, index: usize| {
            let [rows, columns] = tensor.shape[..] else {
                let text = format!("In[{index}] is not a matrix. Instead it has shape {}", shape_text(&tensor.shape));
                return Err(RunError::invalid(text));
            };
            Ok((rows, columns))
        };
        let (left_shape, right_shape) = (matrix(left, 0)?, matrix(right, 1)?);
        multiply_matrices((left, left_shape), (right, right_shape), turn_left, turn_right, context)
    }))
}

fn multiply_matrices(
    (left, (left_rows, left_columns)): (&Tensor, (usize, usize)),
    (right, (right_rows, right_columns)): (&Tensor, (usize, usize)),
    turn_left: bool,
    turn_right: bool,
    context: &Context,
) -> Result<Vec<Value>, RunError> {
    let (rows, terms) = if turn_left { (left_columns, left_rows) } else { (left_rows, left_columns) };
    let (depth, columns) = if turn_right { (right_columns, right_rows) } else { (right_rows, right_columns) };
    if terms != depth {
        let text = format!(
            "Matrix size-incompatible: In[0]: {}, In[1]: {}",
            shape_text(&left.shape),
            shape_text(&right.shape)
        );
        return Err(RunError::invalid(text));
    }
    match (&left.data, &right.data) {
        (TensorData::Float(a), TensorData::Float(b)) => {
            let product = unpacked(Product::Rows, depth, depth, columns, b, turn_right);
            let values = if turn_left { transpose(left_rows, left_columns, a) } else { a.clone() };
            let rows = Tensor { shape: vec![rows, terms], data: TensorData::Float(values) };
            product.run(&mut [Arc::new(rows)], context)
        }
        (TensorData::Double(a), TensorData::Double(b)) => {
            Context::allowed(&[rows, columns], left.dtype())?;
            let at = |row: usize, term: usize| a[if turn_left { term * rows + row } else { row * terms + term }];
            let of = |term: usize, column: usize| {
                b[if turn_right { column * depth + term } else { term * columns + column }]
            };
            let sum = |row, column| (0..terms).map(|term| at(row, term) * of(term, column)).sum();
            let values = (0..rows).flat_map(|row| (0..columns).map(move |column| sum(row, column))).collect();
            one(vec![rows, columns], TensorData::Double(values))
        }
        _ => Err(unsupported_type(left.dtype())),
    }
}

fn batch_product(attributes: &Attributes) -> Result<Kernel, RunError> {
    let (turn_left, turn_right) = (attributes.flag("adj_x", false)?, attributes.flag("adj_y", false)?);
    Ok(Box::new(move |inputs, context| {
        let (left, right) = (input(inputs, 0)?, input(inputs, 1)?);
        let split = |tensor: &Tensor, index: usize| match tensor.shape[..] {
            [ref batch @ .., rows, columns] => Ok((batch.to_vec(), rows, columns)),
            _ => Err(RunError::invalid(format!("In[{index}] ndims must be >= 2: {}", tensor.shape.len()))),
        };
        let (left_batch, left_rows, left_columns) = split(left, 0)?;
        let (right_batch, right_rows, right_columns) = split(right, 1)?;
        let batch = broadcast::shape(&left_batch, &right_batch)?;
        let rows = if turn_left { left_columns } else { left_rows };
        let columns = if turn_right { right_rows } else { right_columns };
        let mut shape = batch.clone();
        shape.extend([rows, columns]);
        Context::allowed(&shape, left.dtype())?;
        let (mut lefts, mut rights) = (Vec::new(), Vec::new());
        super::walk(&batch, &broadcast::steps(&left_batch, &batch), 0, |at| lefts.push(at));
        super::walk(&batch, &broadcast::steps(&right_batch, &batch), 0, |at| rights.push(at));
        let part = |tensor: &Tensor, index: usize, rows: usize, columns: usize| {
            let values = floats(tensor)?[index * rows * columns..][..rows * columns].to_vec();
            Ok::<_, RunError>(Tensor { shape: vec![rows, columns], data: TensorData::Float(values) })
        };
        let mut values = Vec::new();
        for (a, b) in lefts.into_iter().zip(rights) {
            let a = part(left, a, left_rows, left_columns)?;
            let b = part(right, b, right_rows, right_columns)?;
            let left = (&a, (left_rows, left_columns));
            let right = (&b, (right_rows, right_columns));
            for result in multiply_matrices(left, right, turn_left, turn_right, context)? {
                values.extend_from_slice(floats(&result)?);
            }
        }
        one(shape, TensorData::Float(values))
    }))
}

fn bias_add(attributes: &Attributes) -> Result<Kernel, RunError> {
    require_channels_last("BiasAdd", attributes)?;
    let add = super::build("AddV2", attributes)?;
    Ok(Box::new(move |inputs, context| {
        let (values, bias) = (input(inputs, 0)?, input(inputs, 1)?);
        let [.., channels] = values.shape[..] else {
            let text = format!("Input tensor must be at least 2D: {}", shape_text(&values.shape));
            return Err(RunError::invalid(text));
        };
        if values.shape.len() < 2 {
            let text = format!("Input tensor must be at least 2D: {}", shape_text(&values.shape));
            return Err(RunError::invalid(text));
        }
        let [count] = bias.shape[..] else {
            return Err(RunError::invalid(format!("Biases must be 1D: {}", shape_text(&bias.shape))));
        };
        if count != channels {
            let (bias, values) = (shape_text(&bias.shape), shape_text(&values.shape));
            let text =
                format!("Must provide as many biases as the last dimension of the input tensor: {bias} vs. {values}");
            return Err(RunError::invalid(text));
        }
        add(inputs, context)
    }))
}

fn depthwise(attributes: &Attributes) -> Result<Kernel, RunError> {
    require_channels_last("DepthwiseConv2dNative", attributes)?;
    let window = Window::read(attributes, Some([1, 1]))?;
    Ok(Box::new(move |inputs, context| {
        let filter = input(inputs, 1)?;
        let [height, width, channels, multiplier] = filter.shape[..] else {
            return Err(RunError::invalid(format!("filter must be 4-dimensional: {}", shape_text(&filter.shape))));
        };
        let outputs = channels * multiplier;
        let window = Window { size: [height, width], ..window };
        let weights = floats(filter)?;
        depthwise_windows(
            input(inputs, 0)?,
            &window,
            weights,
            (channels, multiplier),
            &vec![0.0; outputs],
            Activation::None,
            context,
        )
    }))
}

/// A convolution of each channel with its own filters: `weights` is `[height, width, channels, multiplier]`.
pub(crate) fn depthwise_windows(
    input: &Tensor,
    window: &Window,
    weights: &[f32],
    (channels, multiplier): (usize, usize),
    bias: &[f32],
    activation: Activation,
    context: &Context,
) -> Result<Vec<Value>, RunError> {
    let [batch, height, width, depth] = input.shape[..] else {
        return Err(RunError::invalid(format!("input must be 4-dimensional{}", shape_text(&input.shape))));
    };
    if depth != channels {
        let text = format!("input and filter must have the same depth: {depth} vs {channels}");
        return Err(RunError::invalid(text));
    }
    let values = floats(input)?;
    let placed = window.place([height, width])?;
    let [output_height, output_width] = placed.output;
    let outputs = channels * multiplier;
    let shape = vec![batch, output_height, output_width, outputs];
    let mut output = context.floats(&shape)?;
    let line = output_width * outputs;
    if line == 0 {
        return one(shape, TensorData::Float(output));
    }
    let lines: Vec<_> = output.chunks_exact_mut(line).map(std::sync::Mutex::new).collect();
    context.pool.run(lines.len(), &|index| {
        let mut out = lines[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let picture = &values[index / output_height * height * width * channels..];
        let inside = |axis: usize, at: usize, tap: usize| {
            let place = at * window.stride[axis] + tap * window.dilation[axis];
            place.checked_sub(placed.before[axis]).filter(|&place| place < placed.input[axis])
        };
        for (x, out) in out.chunks_exact_mut(outputs).enumerate() {
            out.copy_from_slice(bias);
            for tap in 0..window.size[0] * window.size[1] {
                let (down, right) = (tap / window.size[1], tap % window.size[1]);
                let (Some(row), Some(column)) = (inside(0, index % output_height, down), inside(1, x, right)) else {
                    continue;
                };
                let values = &picture[(row * width + column) * channels..][..channels];
                let weights = &weights[tap * outputs..][..outputs];
                if multiplier == 1 {
                    for ((sum, &value), &weight) in out.iter_mut().zip(values).zip(weights) {
                        *sum += value * weight;
                    }
                } else {
                    for (channel, &value) in values.iter().enumerate() {
                        for output in channel * multiplier..(channel + 1) * multiplier {
                            out[output] += value * weights[output];
                        }
                    }
                }
            }
            for value in out.iter_mut() {
                *value = activation.apply(*value);
            }
        }
    });
    drop(lines);
    one(shape, TensorData::Float(output))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, int_list, run, text};
    use super::*;
    use crate::inference::StatusCode;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    fn counting(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        floats(shape, &(0..count).map(|value| value as f32).collect::<Vec<_>>())
    }

    #[test]
    fn a_convolution_by_hand() {
        let picture = counting(&[1, 3, 3, 1]);
        let filter = floats(&[2, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
        let strides = ("strides", int_list(&[1, 1, 1, 1]));
        let valid = run("Conv2D", &[strides.clone(), ("padding", text("VALID"))], &[picture.clone(), filter.clone()]);
        assert_eq!(valid.unwrap(), floats(&[1, 2, 2, 1], &[27.0, 37.0, 57.0, 67.0]));
        let same = run("Conv2D", &[strides.clone(), ("padding", text("SAME"))], &[picture.clone(), filter.clone()]);
        let expected = [27.0, 37.0, 17.0, 57.0, 67.0, 29.0, 20.0, 23.0, 8.0];
        assert_eq!(same.unwrap(), floats(&[1, 3, 3, 1], &expected));
        let depthwise = run("DepthwiseConv2dNative", &[strides, ("padding", text("SAME"))], &[picture, filter]);
        assert_eq!(depthwise.unwrap(), floats(&[1, 3, 3, 1], &expected));
    }

    #[test]
    fn mistakes_in_a_convolution_have_tensorflows_texts() {
        let filter = counting(&[3, 3, 2, 4]);
        let list = [("strides", int_list(&[1, 1, 1, 1])), ("padding", text("VALID"))];
        for (shape, expected) in [
            (&[1, 3, 3, 3][..], "input depth must be evenly divisible by filter depth: 3 vs 2"),
            (&[3, 3, 2], "input must be 4-dimensional[3,3,2]"),
            (
                &[1, 1, 3, 2],
                "Computed output size would be negative: -1 [input_size: 1, effective_filter_size: 3, stride: 1]",
            ),
        ] {
            let error = run("Conv2D", &list, &[counting(shape), filter.clone()]).unwrap_err();
            assert!(error.message.starts_with(expected), "{}", error.message);
        }
        assert_eq!(run("Conv2D", &list, &[counting(&[0, 5, 5, 2]), filter]).unwrap().shape, [0, 3, 3, 4]);
        let format = [("data_format", text("NCHW"))];
        assert_eq!(run("Conv2D", &format, &[]).unwrap_err().code, StatusCode::Unimplemented);
    }

    #[test]
    fn poolings_by_hand() {
        let picture = counting(&[1, 3, 3, 1]);
        let list =
            [("ksize", int_list(&[1, 2, 2, 1])), ("strides", int_list(&[1, 2, 2, 1])), ("padding", text("SAME"))];
        let largest = run("MaxPool", &list, std::slice::from_ref(&picture)).unwrap();
        assert_eq!(largest, floats(&[1, 2, 2, 1], &[4.0, 5.0, 7.0, 8.0]));
        let mean = run("AvgPool", &list, &[picture]).unwrap();
        assert_eq!(mean, floats(&[1, 2, 2, 1], &[2.0, 3.5, 6.5, 8.0]));
    }

    #[test]
    fn matrix_products_with_and_without_turning() {
        let (left, right) = (floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), floats(&[2, 2], &[5.0, 6.0, 7.0, 8.0]));
        for (list, expected) in [
            (vec![], [19.0, 22.0, 43.0, 50.0]),
            (vec![("transpose_a", Attribute::B(true))], [26.0, 30.0, 38.0, 44.0]),
            (vec![("transpose_b", Attribute::B(true))], [17.0, 23.0, 39.0, 53.0]),
        ] {
            let result = run("MatMul", &list, &[left.clone(), right.clone()]).unwrap();
            assert_eq!(result, floats(&[2, 2], &expected));
        }
        let error = run("MatMul", &[], &[counting(&[1, 3]), counting(&[2, 4])]).unwrap_err();
        assert!(error.message.starts_with("Matrix size-incompatible: In[0]: [1,3], In[1]: [2,4]"));
        let batch = run("BatchMatMulV2", &[], &[counting(&[2, 1, 2]), counting(&[2, 2])]).unwrap();
        assert_eq!(batch, floats(&[2, 1, 2], &[2.0, 3.0, 6.0, 11.0]));
    }

    #[test]
    fn a_bias_is_added_to_each_channel() {
        let sum = run("BiasAdd", &[], &[counting(&[2, 2]), floats(&[2], &[10.0, 20.0])]).unwrap();
        assert_eq!(sum, floats(&[2, 2], &[10.0, 21.0, 12.0, 23.0]));
        let error = run("BiasAdd", &[], &[counting(&[1, 4]), counting(&[3])]).unwrap_err();
        let expected = "Must provide as many biases as the last dimension of the input tensor: [3] vs. [1,4]";
        assert_eq!(error.message, expected);
    }
}
