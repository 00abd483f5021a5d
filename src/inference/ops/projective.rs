//! `ImageProjectiveTransform`: pictures turned, shifted, scaled or seen from aside, as layers of random transformations
//! write it. In a model for serving these come down to the identity.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::{RunError, StatusCode};
use super::super::tensor::{TensorData, shape_text};
use super::{Family, Kernel, floats, input, integers, one};

pub(super) const OPS: Family =
    &[("ImageProjectiveTransformV2", projective), ("ImageProjectiveTransformV3", projective)];

/// What lies beyond a picture's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// The fill value.
    Constant,
    /// The picture, mirrored: `dcba|abcd|dcba`.
    Reflect,
    /// The picture again: `abcd|abcd|abcd`.
    Wrap,
    /// The pixel at the edge.
    Nearest,
}

impl Beyond {
    /// Where to look for a coordinate of a line of `length` pixels (`kernels/image/image_ops.h` of TensorFlow 2.5, steps
    /// in single precision as there).
    fn map(self, at: f32, length: usize) -> f32 {
        let (last, size) = (length as f32 - 1.0, length as f32);
        if self == Self::Constant || !at.is_finite() {
            return at;
        }
        let inside = match self {
            Self::Reflect if at < 0.0 && length > 1 => {
                let twice = 2.0 * size;
                let at = if at < twice { twice * (-at / twice).trunc() + at } else { at };
                if at < -size { at + twice } else { -at - 1.0 }
            }
            Self::Reflect if at > last && length > 1 => {
                let at = at - 2.0 * size * (at / (2.0 * size)).trunc();
                if at >= size { 2.0 * size - at - 1.0 } else { at }
            }
            Self::Wrap if at < 0.0 && length > 1 => at + size * ((-at / last).trunc() + 1.0),
            Self::Wrap if at > last && length > 1 => at - size * (at / last).trunc(),
            _ => at,
        };
        // Halves behind the last pixel would be rounded out of the picture.
        inside.min(last).max(0.0)
    }
}

fn projective(attributes: &Attributes) -> Result<Kernel, RunError> {
    let unknown = |what: &str, value: &str| {
        let text = format!("{what} {value} of a projective transform is not supported");
        RunError::new(StatusCode::Unimplemented, text)
    };
    let smooth = match attributes.text("interpolation", "")?.as_str() {
        "NEAREST" => false,
        "BILINEAR" => true,
        other => return Err(unknown("the interpolation", other)),
    };
    let beyond = match attributes.text("fill_mode", "CONSTANT")?.as_str() {
        "CONSTANT" => Beyond::Constant,
        "REFLECT" => Beyond::Reflect,
        "WRAP" => Beyond::Wrap,
        "NEAREST" => Beyond::Nearest,
        other => return Err(unknown("the fill mode", other)),
    };
    Ok(Box::new(move |inputs, context| transform(inputs, context, smooth, beyond)))
}

fn transform(inputs: &mut [Value], context: &Context, smooth: bool, beyond: Beyond) -> Result<Vec<Value>, RunError> {
    let (pictures, transforms) = (input(inputs, 0)?, input(inputs, 1)?);
    let [batch, height, width, channels] = pictures.shape[..] else {
        return Err(RunError::invalid(format!("images must have rank 4{}", shape_text(&pictures.shape))));
    };
    let counts = match transforms.shape[..] {
        [count, 8] if count == 1 || count == batch => count,
        _ => {
            let text = format!("Input transform should be num_images x 8 or 1 x 8{}", shape_text(&transforms.shape));
            return Err(RunError::invalid(text));
        }
    };
    let size = integers(input(inputs, 2)?)?;
    let [rows, columns] = size[..] else { return Err(RunError::invalid("output shape must have two elements")) };
    let (Some(rows), Some(columns)) =
        (usize::try_from(rows).ok().filter(|&rows| rows > 0), usize::try_from(columns).ok().filter(|&c| c > 0))
    else {
        return Err(RunError::invalid(format!("output dimensions must be positive, got {rows} and {columns}")));
    };
    // The second version has no fill value.
    let fill = match inputs.get(3) {
        Some(value) => *floats(value)?.first().ok_or_else(|| RunError::invalid("fill_value must be a scalar"))?,
        None => 0.0,
    };
    let shape = [batch, rows, columns, channels];
    let mut out = context.floats(&shape)?;
    let (values, transforms) = (floats(pictures)?, floats(transforms)?);
    for (position, pixel) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        let (column, row) = ((position % columns) as f32, (position / columns % rows) as f32);
        let picture = position / (rows * columns);
        let matrix = &transforms[if counts == 1 { 0 } else { 8 * picture }..][..8];
        let depth = matrix[6] * column + matrix[7] * row + 1.0;
        if depth == 0.0 {
            pixel.fill(fill);
            continue;
        }
        let x = beyond.map((matrix[0] * column + matrix[1] * row + matrix[2]) / depth, width);
        let y = beyond.map((matrix[3] * column + matrix[4] * row + matrix[5]) / depth, height);
        let read = |y: f32, x: f32, channel: usize| {
            let inside = y >= 0.0 && x >= 0.0 && y < height as f32 && x < width as f32;
            if inside {
                values[((picture * height + y as usize) * width + x as usize) * channels + channel]
            } else {
                fill
            }
        };
        let (top, left) = (y.floor(), x.floor());
        let (bottom, right) = (top + 1.0, left + 1.0);
        for (channel, value) in pixel.iter_mut().enumerate() {
            *value = if smooth {
                let above = (right - x) * read(top, left, channel) + (x - left) * read(top, right, channel);
                let below = (right - x) * read(bottom, left, channel) + (x - left) * read(bottom, right, channel);
                (bottom - y) * above + (y - top) * below
            } else {
                read(y.round(), x.round(), channel)
            };
        }
    }
    one(shape.to_vec(), TensorData::Float(out))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run, text};

    /// `1 2 3 4` in one line, moved so that what is shown begins `by` pixels further left.
    fn moved(by: f32, interpolation: &'static str, fill_mode: &'static str) -> Vec<f32> {
        let list = [("interpolation", text(interpolation)), ("fill_mode", text(fill_mode))];
        let matrix = floats(&[1, 8], &[1.0, 0.0, -by, 0.0, 1.0, 0.0, 0.0, 0.0]);
        let inputs = [floats(&[1, 1, 4, 1], &[1.0, 2.0, 3.0, 4.0]), matrix, ints(&[1, 4]), floats(&[], &[9.0])];
        run("ImageProjectiveTransformV3", &list, &inputs).unwrap().as_floats().unwrap().to_vec()
    }

    #[test]
    fn what_lies_beyond_the_edge_is_as_asked() {
        assert_eq!(moved(0.0, "BILINEAR", "REFLECT"), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(moved(2.0, "NEAREST", "CONSTANT"), [9.0, 9.0, 1.0, 2.0]);
        assert_eq!(moved(2.0, "NEAREST", "REFLECT"), [2.0, 1.0, 1.0, 2.0]);
        assert_eq!(moved(2.0, "NEAREST", "WRAP"), [3.0, 4.0, 1.0, 2.0]);
        assert_eq!(moved(2.0, "NEAREST", "NEAREST"), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!(moved(-2.0, "NEAREST", "REFLECT"), [3.0, 4.0, 4.0, 3.0]);
        assert_eq!(moved(-0.5, "BILINEAR", "CONSTANT"), [1.5, 2.5, 3.5, 6.5]);
        assert_eq!(moved(-0.5, "BILINEAR", "NEAREST"), [1.5, 2.5, 3.5, 4.0]);
    }

    #[test]
    fn each_picture_has_its_own_transform_or_all_have_one() {
        let list = [("interpolation", text("NEAREST"))];
        let pictures = floats(&[2, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
        let still = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let upside_down = [1.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0];
        let matrices = floats(&[2, 8], &[still, upside_down].concat());
        let result = run("ImageProjectiveTransformV2", &list, &[pictures.clone(), matrices, ints(&[2, 1])]).unwrap();
        assert_eq!(result, floats(&[2, 2, 1, 1], &[1.0, 2.0, 4.0, 3.0]));
        let vanishing = floats(&[1, 8], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0]);
        let result = run("ImageProjectiveTransformV2", &list, &[pictures.clone(), vanishing, ints(&[2, 1])]).unwrap();
        assert_eq!(result, floats(&[2, 2, 1, 1], &[1.0, 0.0, 3.0, 0.0]), "a line that lies infinitely far away");
        for (matrix, size) in [(floats(&[3, 8], &[0.0; 24]), [2, 1]), (floats(&[1, 8], &still), [0, 1])] {
            assert!(run("ImageProjectiveTransformV2", &list, &[pictures.clone(), matrix, ints(&size)]).is_err());
        }
        assert!(run("ImageProjectiveTransformV2", &[("interpolation", text("CUBIC"))], &[pictures]).is_err());
    }
}
