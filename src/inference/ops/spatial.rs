//! Pictures cut up, put together, turned over and brought to another size.

use std::sync::Arc;

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::{RunError, StatusCode};
use super::super::tensor::{Tensor, TensorData, element_count, map_each_type, shape_text};
use super::{Family, Kernel, axis_index, input, integers, one, require_channels_last, strides, unsupported_type, walk};
use crate::savedmodel::proto::DataType;

/// The most rows or columns of a resized picture.
const MAX_SIDE: usize = 1 << 20;

pub(super) const OPS: Family = &[
    ("BatchToSpaceND", |_| Ok(Box::new(batch_to_space))),
    ("DepthToSpace", |attributes| blocks(attributes, "DepthToSpace", true)),
    ("MirrorPad", mirror_pad),
    ("ResizeBilinear", |attributes| resize(attributes, true)),
    ("ResizeNearestNeighbor", |attributes| resize(attributes, false)),
    ("ReverseV2", |_| Ok(Box::new(reverse))),
    ("SpaceToBatchND", |_| Ok(Box::new(space_to_batch))),
    ("SpaceToDepth", |attributes| blocks(attributes, "SpaceToDepth", false)),
];

fn sizes(values: &[usize]) -> Value {
    let values: Vec<i64> = values.iter().map(|&value| i64::try_from(value).unwrap_or(i64::MAX)).collect();
    Arc::new(Tensor { shape: vec![values.len()], data: TensorData::Int64(values) })
}

/// Runs another op of the table that has no attributes.
fn apply(op: &str, inputs: &mut [Value], context: &Context) -> Result<Value, RunError> {
    let results = super::build(op, &Attributes::default())?(inputs, context)?;
    results.into_iter().next().ok_or_else(|| RunError::new(StatusCode::Internal, format!("{op} gave nothing")))
}

/// The same elements as `shape`, their axes in the order `order`, as `result`.
fn regrouped(
    value: Value,
    shape: &[usize],
    order: &[usize],
    result: &[usize],
    context: &Context,
) -> Result<Value, RunError> {
    let value = apply("Reshape", &mut [value, sizes(shape)], context)?;
    let value = apply("Transpose", &mut [value, sizes(order)], context)?;
    apply("Reshape", &mut [value, sizes(result)], context)
}

/// The block shape, and a pair of amounts for each of its dimensions.
fn block_shape(inputs: &[Value], what: &str) -> Result<(Vec<usize>, Vec<[usize; 2]>), RunError> {
    let (tensor, block, pairs) = (input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?);
    let [dimensions] = block.shape[..] else {
        return Err(RunError::invalid(format!("block_shape rank should be 1 instead of {}", block.shape.len())));
    };
    if tensor.shape.len() <= dimensions {
        let text = format!("input rank should be >= {} instead of {}", dimensions + 1, tensor.shape.len());
        return Err(RunError::invalid(text));
    }
    if pairs.shape != [dimensions, 2] {
        let text = format!("{what} should have shape [{dimensions}, 2] instead of {}", shape_text(&pairs.shape));
        return Err(RunError::invalid(text));
    }
    let positive = |value: &i64| usize::try_from(*value).ok().filter(|&value| value > 0);
    let block: Option<Vec<usize>> = integers(block)?.iter().map(positive).collect();
    let block = block.ok_or_else(|| RunError::invalid("All values in block_shape must be positive"))?;
    let pairs: Option<Vec<[usize; 2]>> = integers(pairs)?
        .chunks_exact(2)
        .map(|pair| Some([usize::try_from(pair[0]).ok()?, usize::try_from(pair[1]).ok()?]))
        .collect();
    Ok((block, pairs.ok_or_else(|| RunError::invalid(format!("All {what} must be non-negative")))?))
}

fn space_to_batch(inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
    let (block, pads) = block_shape(inputs, "paddings")?;
    let rank = inputs[0].shape.len();
    let mut amounts = vec![[0, 0]; rank];
    amounts[1..=pads.len()].copy_from_slice(&pads);
    let flat: Vec<i64> = amounts.iter().flatten().map(|&amount| i64::try_from(amount).unwrap_or(i64::MAX)).collect();
    let amounts = Arc::new(Tensor { shape: vec![rank, 2], data: TensorData::Int64(flat) });
    let padded = apply("Pad", &mut [Arc::clone(&inputs[0]), amounts], context)?;
    let [batch, ref rest @ ..] = padded.shape[..] else { return Err(RunError::invalid("input has no batch")) };
    let (space, inner) = rest.split_at(block.len());
    let (mut shape, mut order, mut result) = (vec![batch], Vec::new(), vec![batch]);
    for (axis, (&size, &block)) in space.iter().zip(&block).enumerate() {
        if !size.is_multiple_of(block) {
            let text = format!("padded_shape[{axis}]={size} is not divisible by block_shape[{axis}]={block}");
            return Err(RunError::invalid(text));
        }
        shape.extend([size / block, block]);
        order.push(2 * axis + 2);
        result[0] = result[0].saturating_mul(block);
        result.push(size / block);
    }
    order.push(0);
    order.extend((0..block.len()).map(|axis| 2 * axis + 1));
    order.extend((0..inner.len()).map(|axis| 2 * block.len() + 1 + axis));
    shape.extend(inner);
    result.extend(inner);
    Ok(vec![regrouped(padded, &shape, &order, &result, context)?])
}

fn batch_to_space(inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
    let (block, crops) = block_shape(inputs, "crops")?;
    let [batch, ref rest @ ..] = inputs[0].shape[..] else { return Err(RunError::invalid("input has no batch")) };
    let (space, inner) = rest.split_at(block.len());
    let blocks = element_count(&block).filter(|&blocks| batch.is_multiple_of(blocks)).ok_or_else(|| {
        let product = block.iter().fold(1usize, |product, &block| product.saturating_mul(block));
        RunError::invalid(format!(
            "Input batch dimension ({batch}) is not divisible by product of block sizes ({product})"
        ))
    })?;
    let count = block.len();
    let mut shape = block.clone();
    shape.push(batch / blocks);
    shape.extend(rest);
    let mut order = vec![count];
    let (mut result, mut begin, mut end) = (vec![batch / blocks], vec![0], vec![batch / blocks]);
    for (axis, ((&size, &block), &[before, after])) in space.iter().zip(&block).zip(&crops).enumerate() {
        order.extend([count + 1 + axis, axis]);
        let whole = size.saturating_mul(block);
        let left = whole.checked_sub(before.saturating_add(after)).ok_or_else(|| {
            RunError::invalid(format!("cropped_shape[{axis}] is negative: {whole} less {before} and {after}"))
        })?;
        result.push(whole);
        begin.push(before);
        end.push(left);
    }
    for (axis, &size) in inner.iter().enumerate() {
        order.push(2 * count + 1 + axis);
        result.push(size);
        begin.push(0);
        end.push(size);
    }
    let whole = regrouped(Arc::clone(&inputs[0]), &shape, &order, &result, context)?;
    Ok(vec![apply("Slice", &mut [whole, sizes(&begin), sizes(&end)], context)?])
}

/// Channels become blocks of pixels, or the other way round.
fn blocks(attributes: &Attributes, op: &'static str, to_space: bool) -> Result<Kernel, RunError> {
    require_channels_last(op, attributes)?;
    let block = usize::try_from(attributes.integer("block_size", 0)?).ok().filter(|&block| block > 1);
    let block = block.ok_or_else(|| RunError::invalid("Block size should be > 1"))?;
    Ok(Box::new(move |inputs, context| {
        let tensor = input(inputs, 0)?;
        let [batch, height, width, channels] = tensor.shape[..] else {
            return Err(RunError::invalid(format!("Input rank should be: 4 instead of: {}", tensor.shape.len())));
        };
        let value = Arc::clone(&inputs[0]);
        let uneven = || {
            let shape = shape_text(&value.shape);
            RunError::invalid(format!("{op}: {shape} cannot be divided into blocks of {block}"))
        };
        if to_space {
            let depth =
                block.checked_mul(block).filter(|&blocks| channels.is_multiple_of(blocks)).ok_or_else(uneven)?;
            let inner = channels / depth;
            let (shape, result) = (
                [batch, height, width, block, block, inner],
                [batch, height.saturating_mul(block), width.saturating_mul(block), inner],
            );
            return Ok(vec![regrouped(Arc::clone(&value), &shape, &[0, 1, 3, 2, 4, 5], &result, context)?]);
        }
        if !height.is_multiple_of(block) || !width.is_multiple_of(block) {
            return Err(uneven());
        }
        let shape = [batch, height / block, block, width / block, block, channels];
        let result = [batch, height / block, width / block, channels.saturating_mul(block * block)];
        Ok(vec![regrouped(Arc::clone(&value), &shape, &[0, 1, 3, 2, 4, 5], &result, context)?])
    }))
}

fn reverse(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, axes) = (input(inputs, 0)?, integers(input(inputs, 1)?)?);
    let rank = tensor.shape.len();
    let mut steps: Vec<isize> = strides(&tensor.shape).into_iter().map(|step| step as isize).collect();
    let mut start = 0;
    let mut turned = vec![false; rank];
    for axis in axes {
        let index = axis_index(axis, rank)
            .ok_or_else(|| RunError::invalid(format!("'axis'[0] = {axis} is out of valid range [0, {rank})")))?;
        if std::mem::replace(&mut turned[index], true) {
            return Err(RunError::invalid(format!("axis {index} specified more than once.")));
        }
        start += steps[index] * tensor.shape[index].saturating_sub(1) as isize;
        steps[index] = -steps[index];
    }
    let data = map_each_type!(&tensor.data, values => {
        let mut out = Vec::with_capacity(values.len());
        walk(&tensor.shape, &steps, start, |at| out.push(values[at].clone()));
        out
    });
    one(tensor.shape.clone(), data)
}

fn mirror_pad(attributes: &Attributes) -> Result<Kernel, RunError> {
    // The edge itself is repeated or not.
    let repeat = match attributes.text("mode", "REFLECT")?.as_str() {
        "REFLECT" => 0,
        "SYMMETRIC" => 1,
        mode => return Err(RunError::invalid(format!("unknown mode {mode:?}"))),
    };
    Ok(Box::new(move |inputs, _| {
        let tensor = input(inputs, 0)?;
        let amounts = super::paddings(tensor.shape.len(), &tensor.shape, input(inputs, 1)?)?;
        let mut places = vec![0usize];
        let mut shape = Vec::new();
        for ((&size, &[before, after]), step) in tensor.shape.iter().zip(&amounts).zip(strides(&tensor.shape)) {
            if before.max(after) > (size + repeat).saturating_sub(1) {
                let text = format!(
                    "paddings must be no greater than the dimension size: {before}, {after} greater than {}",
                    (size + repeat).saturating_sub(1)
                );
                return Err(RunError::invalid(text));
            }
            let along = (0..before + size + after).map(|at| match at.checked_sub(before) {
                None => before - at - repeat,
                Some(at) if at >= size => 2 * size - at - 2 + repeat,
                Some(at) => at,
            });
            let along: Vec<usize> = along.collect();
            shape.push(along.len());
            // The places take more memory than most elements do.
            Context::allowed(&shape, DataType::DtInt64)?;
            places = places.iter().flat_map(|place| along.iter().map(move |at| place + at * step)).collect();
        }
        let data = map_each_type!(&tensor.data, values => places.iter().map(|&at| values[at].clone()).collect());
        one(shape, data)
    }))
}

/// How the places of a resized picture map to those of the source.
#[derive(Clone, Copy)]
struct Scaling {
    align_corners: bool,
    half_pixels: bool,
}

impl Scaling {
    fn read(attributes: &Attributes) -> Result<Self, RunError> {
        let align_corners = attributes.flag("align_corners", false)?;
        let half_pixels = attributes.flag("half_pixel_centers", false)?;
        if align_corners && half_pixels {
            return Err(RunError::invalid("If half_pixel_centers is True, align_corners must be False."));
        }
        Ok(Self { align_corners, half_pixels })
    }

    fn step(self, from: usize, to: usize) -> f32 {
        if self.align_corners && to > 1 { (from as f32 - 1.0) / (to as f32 - 1.0) } else { from as f32 / to as f32 }
    }

    /// The two neighbours of each place, and the share of the second.
    fn between(self, from: usize, to: usize) -> Vec<(usize, usize, f32)> {
        let step = self.step(from, to);
        (0..to)
            .map(|at| {
                let place = if self.half_pixels { (at as f32 + 0.5) * step - 0.5 } else { at as f32 * step };
                let lower = place.floor();
                ((lower.max(0.0) as usize).min(from - 1), (place.ceil().max(0.0) as usize).min(from - 1), place - lower)
            })
            .collect()
    }

    /// The nearest source of each place.
    fn nearest(self, from: usize, to: usize) -> Vec<usize> {
        let step = self.step(from, to);
        (0..to)
            .map(|at| {
                let place = if self.half_pixels { (at as f32 + 0.5) * step } else { at as f32 * step };
                (if self.align_corners { place.round() } else { place.floor() } as usize).min(from - 1)
            })
            .collect()
    }
}

fn resize(attributes: &Attributes, bilinear: bool) -> Result<Kernel, RunError> {
    let scaling = Scaling::read(attributes)?;
    Ok(Box::new(move |inputs, context| {
        let (tensor, size) = (input(inputs, 0)?, input(inputs, 1)?);
        let [batch, height, width, channels] = tensor.shape[..] else {
            return Err(RunError::invalid(format!("input must be 4-dimensional{}", shape_text(&tensor.shape))));
        };
        let positive = |value: &i64| usize::try_from(*value).ok().filter(|&value| value > 0);
        let wanted: Option<Vec<usize>> = integers(size)?.iter().map(positive).collect();
        let Some([down, across]) = wanted.as_deref() else {
            return Err(RunError::invalid("output dimensions must be positive"));
        };
        if height == 0 || width == 0 {
            return Err(RunError::invalid("input image must be of non-zero size"));
        }
        // Without channels the picture has no elements, whatever its size; the tables of places have.
        if *down.max(across) > MAX_SIDE {
            let text = format!("OOM: a picture of {down}x{across} is too large");
            return Err(RunError::new(StatusCode::ResourceExhausted, text));
        }
        let shape = vec![batch, *down, *across, channels];
        if !bilinear {
            Context::allowed(&shape, tensor.dtype())?;
            let (rows, columns) = (scaling.nearest(height, *down), scaling.nearest(width, *across));
            let data = map_each_type!(&tensor.data, values => {
                let mut out = Vec::with_capacity(batch * down * across * channels);
                for picture in 0..batch {
                    for row in &rows {
                        for column in &columns {
                            let from = ((picture * height + row) * width + column) * channels;
                            out.extend_from_slice(&values[from..from + channels]);
                        }
                    }
                }
                out
            });
            return one(shape, data);
        }
        let mut output = context.floats(&shape)?;
        let converted;
        let values = if let TensorData::Float(values) = &tensor.data {
            values
        } else {
            let mut to_float = Attributes::default();
            let kind = |dtype: DataType| crate::savedmodel::proto::attr_value::Value::Type(dtype as i32).into();
            to_float.0.insert("SrcT".to_owned(), kind(tensor.dtype()));
            to_float.0.insert("DstT".to_owned(), kind(DataType::DtFloat));
            converted = super::build("Cast", &to_float)?(&mut [Arc::clone(&inputs[0])], context)?;
            let floats = converted.first().and_then(|value| value.as_floats());
            floats.ok_or_else(|| unsupported_type(tensor.dtype()))?
        };
        let (rows, columns) = (scaling.between(height, *down), scaling.between(width, *across));
        let line = across * channels;
        if line > 0 {
            let lines: Vec<_> = output.chunks_exact_mut(line).map(std::sync::Mutex::new).collect();
            context.pool.run(lines.len(), &|index| {
                let mut out = lines[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let (top, bottom, low) = rows[index % down];
                let picture = &values[index / down * height * width * channels..];
                for (out, &(left, right, aside)) in out.chunks_exact_mut(channels).zip(&columns) {
                    let pixel = |row: usize, column: usize| &picture[(row * width + column) * channels..][..channels];
                    let corners = [pixel(top, left), pixel(top, right), pixel(bottom, left), pixel(bottom, right)];
                    for (channel, out) in out.iter_mut().enumerate() {
                        let [a, b, c, d] = corners.map(|corner| corner[channel]);
                        let (above, below) = (a + (b - a) * aside, c + (d - c) * aside);
                        *out = above + (below - above) * low;
                    }
                }
            });
        }
        one(shape, TensorData::Float(output))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run, text};
    use super::*;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    fn counting(shape: &[usize]) -> Tensor {
        floats(shape, &(0..shape.iter().product()).map(|value: usize| value as f32).collect::<Vec<_>>())
    }

    fn pairs(values: &[i32]) -> Tensor {
        Tensor::new(&[values.len() / 2, 2], TensorData::Int32(values.to_vec())).unwrap()
    }

    #[test]
    fn space_to_batch_and_back() {
        // Values by TensorFlow's documentation of the op.
        let picture = counting(&[1, 2, 2, 1]);
        let batch = run("SpaceToBatchND", &[], &[picture.clone(), ints(&[2, 2]), pairs(&[0, 0, 0, 0])]).unwrap();
        assert_eq!(batch, counting(&[4, 1, 1, 1]));
        let back = run("BatchToSpaceND", &[], &[batch, ints(&[2, 2]), pairs(&[0, 0, 0, 0])]).unwrap();
        assert_eq!(back, picture);
        let padded =
            run("SpaceToBatchND", &[], &[counting(&[1, 3, 1, 2]), ints(&[2, 1]), pairs(&[1, 0, 0, 0])]).unwrap();
        assert_eq!(padded, floats(&[2, 2, 1, 2], &[0.0, 0.0, 2.0, 3.0, 0.0, 1.0, 4.0, 5.0]));
        let back = run("BatchToSpaceND", &[], &[padded, ints(&[2, 1]), pairs(&[1, 0, 0, 0])]).unwrap();
        assert_eq!(back, counting(&[1, 3, 1, 2]));
        for (block, pads, expected) in [
            (vec![2, 2], vec![0, 0, 0, 1], "padded_shape[1]=3 is not divisible by block_shape[1]=2"),
            (vec![0, 2], vec![0, 0, 0, 0], "All values in block_shape must be positive"),
            (vec![2], vec![0, 0, 0, 0], "paddings should have shape [1, 2] instead of [2,2]"),
        ] {
            let error = run("SpaceToBatchND", &[], &[picture.clone(), ints(&block), pairs(&pads)]).unwrap_err();
            assert_eq!(error.message, expected);
        }
        assert!(run("BatchToSpaceND", &[], &[picture, ints(&[2, 2]), pairs(&[0, 0, 0, 0])]).is_err());
    }

    #[test]
    fn depth_to_space_and_back() {
        let block = [("block_size", Attribute::I(2))];
        let deep = counting(&[1, 1, 2, 4]);
        let flat = run("DepthToSpace", &block, std::slice::from_ref(&deep)).unwrap();
        assert_eq!(flat, floats(&[1, 2, 4, 1], &[0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]));
        assert_eq!(run("SpaceToDepth", &block, &[flat]).unwrap(), deep);
        assert!(run("SpaceToDepth", &block, &[counting(&[1, 3, 2, 1])]).is_err());
    }

    #[test]
    fn mirrors_and_reversals() {
        let row = counting(&[1, 3]);
        let padded = |mode| run("MirrorPad", &[("mode", text(mode))], &[row.clone(), pairs(&[0, 0, 2, 2])]).unwrap();
        assert_eq!(padded("REFLECT"), floats(&[1, 7], &[2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0]));
        assert_eq!(padded("SYMMETRIC"), floats(&[1, 7], &[1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0]));
        assert!(run("MirrorPad", &[("mode", text("REFLECT"))], &[row.clone(), pairs(&[0, 0, 3, 0])]).is_err());
        assert_eq!(run("ReverseV2", &[], &[row.clone(), ints(&[-1])]).unwrap(), floats(&[1, 3], &[2.0, 1.0, 0.0]));
        assert!(run("ReverseV2", &[], &[row, ints(&[1, -1])]).is_err());
    }

    #[test]
    fn sizes_change_as_in_tensorflow() {
        // Values by TensorFlow 2.5.3.
        let picture = counting(&[1, 2, 2, 1]);
        let of = |op, flags: &[(&'static str, bool)], size: &[i32]| {
            let list: Vec<_> = flags.iter().map(|&(name, value)| (name, Attribute::B(value))).collect();
            run(op, &list, &[picture.clone(), ints(size)]).unwrap()
        };
        let half = [("half_pixel_centers", true)];
        let expected = [0.0, 0.25, 0.75, 1.0, 0.5, 0.75, 1.25, 1.5, 1.5, 1.75, 2.25, 2.5, 2.0, 2.25, 2.75, 3.0];
        assert_eq!(of("ResizeBilinear", &half, &[4, 4]), floats(&[1, 4, 4, 1], &expected));
        let corners = of("ResizeBilinear", &[("align_corners", true)], &[1, 3]);
        assert_eq!(corners, floats(&[1, 1, 3, 1], &[0.0, 0.5, 1.0]));
        assert_eq!(of("ResizeBilinear", &[], &[1, 3]), floats(&[1, 1, 3, 1], &[0.0, 2.0 / 3.0, 1.0]));
        let nearest = of("ResizeNearestNeighbor", &half, &[1, 3]);
        assert_eq!(nearest, floats(&[1, 1, 3, 1], &[2.0, 3.0, 3.0]));
        assert!(run("ResizeBilinear", &[], &[picture.clone(), ints(&[0, 2])]).is_err());
        assert!(run("ResizeBilinear", &[], &[picture, ints(&[1 << 30, 1 << 30])]).is_err());
    }
}
