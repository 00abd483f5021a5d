//! The body of a predict request, read into tensors.
//!
//! Rules, order of checks and texts are those of `json_tensor.cc` in TensorFlow Serving 2.5.1.

use std::collections::BTreeMap;

use crate::inference::{Tensor, TensorData};
use crate::savedmodel::proto::{DataType, TensorInfo};
use crate::serving::json::{Document, Kind, Value, Values, parse, pretty};
use crate::serving::service::filled;
use crate::serving::status::{Code, Status};

/// The most dimensions that a tensor may have.
const MOST_DIMENSIONS: usize = 254;

/// Whether inputs came by instance or by name, which decides the layout of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Row,
    Column,
}

/// Inputs by name; `None` for one that makes no tensor.
pub(super) type Inputs = BTreeMap<String, Option<Tensor>>;

/// `JSON Value: VAL TEXT`
pub(super) fn about_value(value: Value<'_>, text: &str) -> Status {
    Status::invalid([b"JSON Value: ", pretty(value).as_slice(), b" ", text.as_bytes()].concat())
}

/// Reads a body whose top level must be an object.
pub(super) fn parse_object(body: &[u8]) -> Result<Document, Status> {
    if body.is_empty() {
        return Err(Status::invalid("JSON Parse error: The document is empty"));
    }
    let document = parse(body).map_err(|error| Status::invalid(format!("JSON Parse error: {error}")))?;
    if document.root().is_object() { Ok(document) } else { Err(about_value(document.root(), "Is not object")) }
}

/// The member `signature_name`; empty when there is none.
pub(super) fn signature_name(root: Value<'_>) -> Result<String, Status> {
    let Some(name) = root.member("signature_name") else { return Ok(String::new()) };
    let name = name
        .bytes()
        .ok_or_else(|| about_value(root, "not formatted correctly. 'signature_name' key must be a string value."))?;
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// Reads the inputs of a signature out of the members `instances` or `inputs`.
pub(super) fn read_inputs(
    root: Value<'_>,
    signature: &BTreeMap<String, TensorInfo>,
) -> Result<(Format, Inputs), Status> {
    match (root.member("instances"), root.member("inputs")) {
        (Some(_), Some(_)) => Err(about_value(
            root,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )),
        (Some(instances), None) => match instances.array_length() {
            None => Err(about_value(root, "Expecting 'instances' to be an list/array")),
            Some(0) => Err(about_value(root, "No values in 'instances' array")),
            Some(_) => read_rows(instances, signature).map(|inputs| (Format::Row, inputs)),
        },
        (None, Some(inputs)) => read_columns(inputs, signature).map(|inputs| (Format::Column, inputs)),
        (None, None) => Err(Status::invalid("Missing 'inputs' or 'instances' key")),
    }
}

fn read_columns(inputs: Value<'_>, signature: &BTreeMap<String, TensorInfo>) -> Result<Inputs, Status> {
    let mut read = Inputs::new();
    if !inputs.is_object() || base64_text(inputs).is_some() {
        if signature.len() > 1 {
            return Err(Status::invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per \
                 tensorinfo_map",
            ));
        }
        if let Some((name, info)) = signature.first_key_value() {
            let mut elements = Elements::new(info);
            let shape = elements.add(inputs)?;
            read.insert(name.clone(), elements.tensor(shape));
        }
        return Ok(read);
    }
    for (name, info) in signature {
        let value = inputs
            .member(name)
            .ok_or_else(|| Status::invalid(format!("Missing named input: {name} in 'inputs' object.")))?;
        let mut elements = Elements::new(info);
        let shape = elements.add(value)?;
        read.insert(name.clone(), elements.tensor(shape));
    }
    Ok(read)
}

/// What the instances have given of one input so far.
struct Gathered {
    elements: Elements,
    shape: Vec<usize>,
    size: usize,
}

fn read_rows(instances: Value<'_>, signature: &BTreeMap<String, TensorInfo>) -> Result<Inputs, Status> {
    let is_named = |value: Value<'_>| value.is_object() && base64_text(value).is_none();
    let first = instances.elements().next();
    if !first.is_some_and(Value::is_object) && signature.len() > 1 {
        return Err(Status::invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per \
             tensorinfo_map",
        ));
    }
    let named = first.is_some_and(is_named);
    let mut gathered: BTreeMap<&str, Gathered> = BTreeMap::new();
    let mut count = 0;
    for (index, instance) in instances.elements().enumerate() {
        count += 1;
        if !named {
            if is_named(instance) {
                return Err(Status::invalid(format!(
                    "Expecting value/list but got object at item {index} of input list"
                )));
            }
            if let Some((name, _)) = signature.first_key_value() {
                add_instance(instance, name.as_bytes(), signature, &mut gathered).map_err(|error| {
                    wrapped(
                        format!("Failed to process element: {index} of 'instances' list. Error: ").as_bytes(),
                        &error,
                    )
                })?;
            }
            continue;
        }
        if !is_named(instance) {
            return Err(Status::invalid(format!("Expecting object but got list at item {index} of input list")));
        }
        let mut keys: Vec<&[u8]> = Vec::new();
        for (key, value) in instance.members() {
            // The original passes names on as C strings, which end at a NUL.
            let key = key.split(|byte| *byte == 0).next().unwrap_or_default();
            keys.push(key);
            add_instance(value, key, signature, &mut gathered).map_err(|error| {
                let start = format!("Failed to process element: {index} key: ");
                wrapped(&[start.as_bytes(), key, b" of 'instances' list. Error: "].concat(), &error)
            })?;
        }
        keys.sort_unstable();
        keys.dedup();
        if !keys.iter().copied().eq(signature.keys().map(String::as_bytes)) {
            let names: Vec<&str> = signature.keys().map(String::as_str).collect();
            let mut message =
                format!("Failed to process element: {index} of 'instances' list. JSON object: ").into_bytes();
            message.extend(pretty(instance));
            message.extend(format!(" keys must be equal to: {}", names.join(",")).into_bytes());
            return Err(Status::invalid(message));
        }
    }
    let tensor = |(name, gathered): (&str, Gathered)| {
        let shape = std::iter::once(count).chain(gathered.shape).collect();
        (name.to_owned(), gathered.elements.tensor(shape))
    };
    Ok(gathered.into_iter().map(tensor).collect())
}

fn wrapped(start: &[u8], error: &Status) -> Status {
    Status::invalid([start, &error.spelled()].concat())
}

fn add_instance<'a>(
    value: Value<'_>,
    name: &[u8],
    signature: &'a BTreeMap<String, TensorInfo>,
    gathered: &mut BTreeMap<&'a str, Gathered>,
) -> Result<(), Status> {
    let entry = std::str::from_utf8(name).ok().and_then(|name| signature.get_key_value(name));
    let Some((name, info)) = entry else {
        return Err(Status::invalid([b"JSON object: does not have named input: ", name].concat()));
    };
    let Some(before) = gathered.get_mut(name.as_str()) else {
        let mut elements = Elements::new(info);
        let shape = elements.add(value)?;
        let size = elements.len();
        gathered.insert(name, Gathered { elements, shape, size });
        return Ok(());
    };
    let length = before.elements.len();
    let shape = before.elements.add(value)?;
    let size = before.elements.len() - length;
    if size != before.size {
        return Err(Status::invalid(format!("Expecting tensor size: {} but got: {size}", before.size)));
    }
    if shape != before.shape {
        return Err(Status::invalid(format!(
            "Expecting shape {} but got: {}",
            bracketed(&before.shape),
            bracketed(&shape)
        )));
    }
    Ok(())
}

fn bracketed(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

/// The text of a lone `{"b64": "…"}`.
pub(super) fn base64_text(value: Value<'_>) -> Option<&[u8]> {
    if value.member_count() != Some(1) {
        return None;
    }
    value.member("b64").and_then(Value::bytes)
}

/// The bytes that a base64 text stands for, with Abseil's manners: the standard alphabet, blanks anywhere, padding (`=`
/// or `.`) complete or not at all, and bits left over are not looked at.
pub(super) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, Status> {
    use base64::Engine as _;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone),
    );
    let undecodable = || Status::invalid("Unable to base64 decode");
    let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0B;
    let compact: Vec<u8> = text.iter().copied().filter(|byte| !is_blank(*byte)).collect();
    let data = compact.iter().position(|byte| matches!(byte, b'=' | b'.')).unwrap_or(compact.len());
    let (data, padding) = compact.split_at(data);
    let complete = padding.is_empty() || (data.len() + padding.len()).is_multiple_of(4) && padding.len() < 3;
    if !complete || padding.iter().any(|byte| !matches!(byte, b'=' | b'.')) {
        return Err(undecodable());
    }
    LENIENT.decode(data).map_err(|_| undecodable())
}

/// The elements of a tensor under construction.
struct Elements {
    dtype: DataType,
    data: TensorData,
}

impl Elements {
    fn new(info: &TensorInfo) -> Self {
        let dtype = DataType::try_from(info.dtype).unwrap_or(DataType::DtInvalid);
        let data = match dtype {
            DataType::DtDouble => TensorData::Double(Vec::new()),
            DataType::DtInt32 => TensorData::Int32(Vec::new()),
            DataType::DtInt16 => TensorData::Int16(Vec::new()),
            DataType::DtInt8 => TensorData::Int8(Vec::new()),
            DataType::DtUint8 => TensorData::Uint8(Vec::new()),
            DataType::DtString => TensorData::String(Vec::new()),
            DataType::DtInt64 => TensorData::Int64(Vec::new()),
            DataType::DtBool => TensorData::Bool(Vec::new()),
            DataType::DtUint32 => TensorData::Uint32(Vec::new()),
            DataType::DtUint64 => TensorData::Uint64(Vec::new()),
            // Types without conversion take no element, but there are tensors without any.
            DataType::DtHalf => TensorData::Half(Vec::new()),
            DataType::DtUint16 => TensorData::Uint16(Vec::new()),
            _ => TensorData::Float(Vec::new()),
        };
        Self { dtype, data }
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    /// Adds all values of a nested array and gives its shape, which the first element of each level decides.
    fn add(&mut self, value: Value<'_>) -> Result<Vec<usize>, Status> {
        let mut shape = Vec::new();
        let mut first = Some(value);
        while let Some(length) = first.and_then(Value::array_length) {
            shape.push(length);
            first = first.and_then(|array| array.elements().next());
        }
        // An explicit stack: the document decides how deep it is.
        let mut open: Vec<Values<'_>> = vec![value.alone()];
        while let Some(values) = open.last_mut() {
            let Some(value) = values.next() else {
                open.pop();
                continue;
            };
            let level = open.len() - 1;
            let Some(length) = value.array_length() else {
                self.add_leaf(value, level, shape.len())?;
                continue;
            };
            match shape.get(level) {
                None => {
                    return Err(Status::invalid(format!(
                        "Encountered list at unexpected level: {level} expected < {}",
                        shape.len()
                    )));
                }
                Some(&expected) if expected != length => {
                    return Err(Status::invalid(format!(
                        "Encountered list at unexpected size: {length} at level: {level} expected size: {expected}"
                    )));
                }
                Some(_) => open.push(value.elements()),
            }
        }
        Ok(shape)
    }

    fn add_leaf(&mut self, value: Value<'_>, level: usize, rank: usize) -> Result<(), Status> {
        if level != rank {
            return Err(about_value(
                value,
                &format!("found at incorrect level: {} in the JSON DOM. Expected at level: {rank}", level + 1),
            ));
        }
        if value.is_object() {
            let TensorData::String(strings) = &mut self.data else { return Err(self.type_error(value)) };
            let text =
                base64_text(value).ok_or_else(|| about_value(value, "not formatted correctly for base64 data"))?;
            strings.push(decode_base64(text)?);
            return Ok(());
        }
        if !self.add_value(value) {
            return Err(self.type_error(value));
        }
        Ok(())
    }

    fn type_error(&self, value: Value<'_>) -> Status {
        let convertible = match self.dtype {
            DataType::DtFloat => true,
            _ => !matches!(self.data, TensorData::Float(_) | TensorData::Half(_) | TensorData::Uint16(_)),
        };
        if convertible || value.is_object() {
            let text = format!("Type: {} is not of expected type: {}", value.kind().name(), self.dtype.short_name());
            return about_value(value, &text);
        }
        let mut message = b"Conversion of JSON Value: ".to_vec();
        message.extend(pretty(value));
        message.extend(format!(" to type: {}", self.dtype.short_name()).into_bytes());
        Status::new(Code::Unimplemented, message)
    }

    /// Adds one value; `false` when it does not fit the type. Small integer types take what fits 32 bits and cut it,
    /// as the way through `int_val` does.
    fn add_value(&mut self, value: Value<'_>) -> bool {
        let small = || value.int64().and_then(|number| i32::try_from(number).ok());
        match &mut self.data {
            TensorData::Float(list) if self.dtype == DataType::DtFloat => {
                push(list, value.double().map(|number| number as f32))
            }
            TensorData::Double(list) => push(list, value.double()),
            TensorData::Int32(list) => push(list, small()),
            TensorData::Int16(list) => push(list, small().map(|number| number as i16)),
            TensorData::Int8(list) => push(list, small().map(|number| number as i8)),
            TensorData::Uint8(list) => push(list, small().map(|number| number as u8)),
            TensorData::Int64(list) => push(list, value.int64()),
            TensorData::Uint32(list) => push(list, value.uint64().and_then(|number| u32::try_from(number).ok())),
            TensorData::Uint64(list) => push(list, value.uint64()),
            TensorData::Bool(list) => push(list, value.boolean()),
            TensorData::String(list) if value.kind() == Kind::String => push(list, value.bytes().map(<[u8]>::to_vec)),
            _ => false,
        }
    }

    /// The tensor of that shape; as in `Tensor::FromProto`, elements that are too many are dropped.
    fn tensor(self, shape: Vec<usize>) -> Option<Tensor> {
        macro_rules! cut {
            ($($variant:ident),*) => {
                match self.data {
                    $(TensorData::$variant(mut values) => {
                        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))?;
                        if count < values.len() {
                            values.truncate(count);
                        } else if count > values.len() {
                            values = filled(values.into_iter(), count);
                        }
                        TensorData::$variant(values)
                    })*
                }
            };
        }
        if shape.len() > MOST_DIMENSIONS {
            return None;
        }
        let data = cut!(Float, Double, Half, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Bool, String);
        Some(Tensor { shape, data })
    }
}

fn push<T>(list: &mut Vec<T>, value: Option<T>) -> bool {
    let fits = value.is_some();
    list.extend(value);
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(inputs: &[(&str, DataType)]) -> BTreeMap<String, TensorInfo> {
        let info = |dtype: DataType| TensorInfo { dtype: dtype as i32, ..TensorInfo::default() };
        inputs.iter().map(|(name, dtype)| ((*name).to_owned(), info(*dtype))).collect()
    }

    fn read(body: &str, inputs: &[(&str, DataType)]) -> Result<(Format, Inputs), String> {
        let document = parse_object(body.as_bytes()).map_err(|error| error.to_string())?;
        read_inputs(document.root(), &signature(inputs)).map_err(|error| error.to_string())
    }

    fn floats(shape: &[usize], values: &[f32]) -> Inputs {
        [("x".to_owned(), Tensor::floats(shape, values.to_vec()))].into()
    }

    const X: &[(&str, DataType)] = &[("x", DataType::DtFloat)];

    #[test]
    fn rows_and_columns_give_shapes() {
        let cases = [
            ("{\"instances\": [1, 2.5]}", Format::Row, floats(&[2], &[1.0, 2.5])),
            ("{\"instances\": [{\"x\": [1]}, {\"x\": [2]}]}", Format::Row, floats(&[2, 1], &[1.0, 2.0])),
            ("{\"inputs\": 3}", Format::Column, floats(&[], &[3.0])),
            ("{\"inputs\": []}", Format::Column, floats(&[0], &[])),
            ("{\"inputs\": [[], []]}", Format::Column, floats(&[2, 0], &[])),
            ("{\"inputs\": {\"x\": [[1, 2]], \"y\": 0}}", Format::Column, floats(&[1, 2], &[1.0, 2.0])),
        ];
        for (body, format, inputs) in cases {
            assert_eq!(read(body, X), Ok((format, inputs)), "{body}");
        }
    }

    #[test]
    fn uneven_arrays_are_refused_with_their_level() {
        let cases = [
            ("{\"inputs\": [[1], [2, 3]]}", "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
            ("{\"inputs\": [1, [2]]}", "Encountered list at unexpected level: 1 expected < 1"),
            (
                "{\"inputs\": [[1], 2]}",
                "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
            ),
            ("{\"inputs\": {\"y\": 1}}", "Missing named input: x in 'inputs' object."),
            ("{\"inputs\": null}", "JSON Value: null Type: Null is not of expected type: float"),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body, X), Err(format!("Invalid argument: {expected}")), "{body}");
        }
    }

    #[test]
    fn a_repeated_key_in_an_instance_adds_elements_that_are_cut_off() {
        let read = read("{\"instances\": [{\"x\": 1, \"x\": 2}, {\"x\": 3}]}", X).unwrap().1;
        assert_eq!(read, floats(&[2], &[1.0, 2.0]));
    }

    #[test]
    fn too_deep_a_tensor_is_no_tensor_and_does_not_overflow() {
        let body = format!("{{\"inputs\": {}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(read(&body, X), Ok((Format::Column, [("x".to_owned(), None)].into())));
    }

    #[test]
    fn types_without_conversion_are_not_implemented() {
        let half = [("x", DataType::DtHalf)];
        let error = read("{\"inputs\": [1.0]}", &half).unwrap_err();
        assert_eq!(error, "Unimplemented: Conversion of JSON Value: 1.0 to type: half");
        let small = read("{\"inputs\": [256, -1]}", &[("x", DataType::DtUint8)]).unwrap().1;
        assert_eq!(small["x"].as_ref().unwrap().data, TensorData::Uint8(vec![0, 255]));
    }

    #[test]
    fn base64_follows_absl() {
        assert_eq!(decode_base64(b"aGVsbG8").unwrap(), b"hello");
        assert_eq!(decode_base64(b"aGVs bG8=\n").unwrap(), b"hello");
        for (text, bytes) in [("YQ", "a"), ("YR==", "a"), ("YQ=.", "a"), ("YQ =\u{b}=", "a"), ("", "")] {
            assert_eq!(decode_base64(text.as_bytes()).unwrap(), bytes.as_bytes(), "{text}");
        }
        for bad in ["@@@", "_-8=", "a", "ab=", "abc==", "abcd=", "====", "ab==cd", "="] {
            assert_eq!(decode_base64(bad.as_bytes()).unwrap_err().text(), "Unable to base64 decode", "{bad}");
        }
    }
}
