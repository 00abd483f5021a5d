//! How a window moves over a picture: sizes, strides and padding of convolutions and poolings (channels last).

use super::attributes::Attributes;
use super::status::{RunError, StatusCode};

/// What surrounds the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Nothing: the window stays inside.
    Valid,
    /// As much as makes the output the input's size divided by the stride, rounded up.
    Same,
    /// That many rows before and after, columns before and after.
    Explicit([[usize; 2]; 2]),
}

/// A window's height and width, its steps, and the padding around the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// Steps down and to the right.
    pub(crate) stride: [usize; 2],
    /// Distance between neighbours inside the window.
    pub(crate) dilation: [usize; 2],
    /// Around the picture.
    pub(crate) padding: Padding,
}

/// A window placed on a picture of a certain size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Height and width of the picture.
    pub(crate) input: [usize; 2],
    /// Height and width of the result.
    pub(crate) output: [usize; 2],
    /// Rows above and columns left of the picture that the first window covers.
    pub(crate) before: [usize; 2],
}

fn pair(attributes: &Attributes, name: &str, what: &str) -> Result<[usize; 2], RunError> {
    let list = match attributes.integers(name)? {
        list if list.is_empty() => vec![1; 4],
        list => list,
    };
    let [batch, height, width, channels] = list[..] else {
        return Err(RunError::invalid(format!("{what} field must specify 4 dimensions")));
    };
    if batch != 1 || channels != 1 {
        let text = format!("Current implementation does not yet support {what} in the batch and depth dimensions.");
        return Err(RunError::new(StatusCode::Unimplemented, text));
    }
    let size = |value: i64| {
        u32::try_from(value)
            .ok()
            .filter(|&value| value > 0)
            .map(|value| value as usize)
            .ok_or_else(|| RunError::invalid(format!("{what} must be positive")))
    };
    Ok([size(height)?, size(width)?])
}

impl Window {
    /// Reads strides, dilations and padding; `size` is the filter's, or comes from `ksize` for a pooling.
    pub(crate) fn read(attributes: &Attributes, size: Option<[usize; 2]>) -> Result<Self, RunError> {
        let padding = match attributes.text("padding", "VALID")?.as_str() {
            "VALID" => Padding::Valid,
            "SAME" => Padding::Same,
            "EXPLICIT" => {
                let [0, 0, top, bottom, left, right, 0, 0] = attributes.integers("explicit_paddings")?[..] else {
                    let text = "explicit_paddings attribute must have 8 values, none for batch and depth";
                    return Err(RunError::invalid(text));
                };
                let size = |value: i64| {
                    let size = u32::try_from(value).map(|value| value as usize);
                    size.map_err(|_| RunError::invalid("All elements of explicit_paddings must be nonnegative"))
                };
                Padding::Explicit([[size(top)?, size(bottom)?], [size(left)?, size(right)?]])
            }
            other => return Err(RunError::invalid(format!("unknown padding {other:?}"))),
        };
        Ok(Self {
            size: match size {
                Some(size) => size,
                None => pair(attributes, "ksize", "Sliding window ksize")?,
            },
            stride: pair(attributes, "strides", "Sliding window strides")?,
            dilation: pair(attributes, "dilations", "Dilation rates")?,
            padding,
        })
    }

    /// The result's size for a picture of this size; the text for a window that is too large is TensorFlow's.
    pub(crate) fn place(&self, input: [usize; 2]) -> Result<Placed, RunError> {
        let mut placed = Placed { input, output: [0; 2], before: [0; 2] };
        for axis in 0..2 {
            let (size, stride) = (input[axis] as i64, self.stride[axis] as i64);
            let window = (self.size[axis] as i64 - 1) * self.dilation[axis] as i64 + 1;
            let (before, after) = match self.padding {
                Padding::Valid => (0, 0),
                Padding::Explicit(amounts) => (amounts[axis][0] as i64, amounts[axis][1] as i64),
                Padding::Same => {
                    let needed = ((size + stride - 1) / stride - 1) * stride + window - size;
                    (needed.max(0) / 2, needed.max(0) - needed.max(0) / 2)
                }
            };
            let output = match self.padding {
                Padding::Same => (size + stride - 1) / stride,
                _ => (size + before + after - window + stride).div_euclid(stride),
            };
            if output < 0 {
                let text = format!(
                    "Computed output size would be negative: {output} [input_size: {size}, \
                     effective_filter_size: {window}, stride: {stride}]"
                );
                return Err(RunError::invalid(text));
            }
            placed.output[axis] = output as usize;
            placed.before[axis] = before as usize;
        }
        Ok(placed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(size: usize, stride: usize, padding: Padding) -> Window {
        Window { size: [size; 2], stride: [stride; 2], dilation: [1; 2], padding }
    }

    #[test]
    fn sizes_and_offsets_are_tensorflows() {
        for (size, stride, padding, input, output, before) in [
            (3, 1, Padding::Same, 7, 7, 1),
            (3, 2, Padding::Same, 224, 112, 0),
            (3, 2, Padding::Same, 7, 4, 1),
            (1, 2, Padding::Same, 8, 4, 0),
            (7, 2, Padding::Valid, 230, 112, 0),
            (7, 2, Padding::Explicit([[3, 3]; 2]), 224, 112, 3),
            (3, 1, Padding::Valid, 2, 0, 0),
            (3, 1, Padding::Same, 0, 0, 1),
        ] {
            let placed = window(size, stride, padding).place([input; 2]).unwrap();
            assert_eq!((placed.output, placed.before), ([output; 2], [before; 2]), "{size} {stride} {padding:?}");
        }
        let dilated = Window { dilation: [2; 2], ..window(3, 1, Padding::Valid) };
        assert_eq!(dilated.place([7, 9]).unwrap().output, [3, 5]);
    }

    #[test]
    fn a_window_larger_than_the_picture_is_named() {
        let error = window(7, 2, Padding::Valid).place([3, 9]).unwrap_err();
        let expected =
            "Computed output size would be negative: -1 [input_size: 3, effective_filter_size: 7, stride: 2]";
        assert_eq!(error.message, expected);
    }
}
