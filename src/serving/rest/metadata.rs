//! The body of a metadata request.

use std::collections::BTreeMap;

use super::protobuf_json::Item;
use crate::savedmodel::proto::{DataType, SignatureDef, TensorInfo};
use crate::serving::service::ServableId;

/// A model's signatures. The two parts are printed on their own and put together by text, as the original does.
pub(super) fn metadata_body(id: &ServableId, signatures: &BTreeMap<String, SignatureDef>) -> String {
    let spec = Item::object([
        ("name", Item::text(&id.name)),
        ("signature_name", Item::text("")),
        ("version", Item::text(id.version.to_string())),
    ]);
    let signatures = signatures.iter().map(|(name, signature)| (name.clone(), signature_item(signature))).collect();
    let signatures = Item::object([("signature_def", Item::Object(signatures))]);
    format!("{{\n\"model_spec\":{},\n\"metadata\": {{\"signature_def\": {}}}\n}}\n", spec.print(), signatures.print())
}

fn signature_item(signature: &SignatureDef) -> Item {
    let tensors = |tensors: &BTreeMap<String, TensorInfo>| {
        Item::Object(tensors.iter().map(|(name, info)| (name.clone(), tensor_item(info))).collect())
    };
    Item::object([
        ("inputs", tensors(&signature.inputs)),
        ("outputs", tensors(&signature.outputs)),
        ("method_name", Item::text(&signature.method_name)),
    ])
}

fn tensor_item(info: &TensorInfo) -> Item {
    let dtype = DataType::try_from(info.dtype).map_or("DT_INVALID", DataType::proto_name);
    let mut members = vec![("dtype".to_owned(), Item::text(dtype))];
    if let Some(shape) = &info.tensor_shape {
        let dims = shape
            .dim
            .iter()
            .map(|dim| Item::object([("size", Item::text(dim.size.to_string())), ("name", Item::text(&dim.name))]))
            .collect();
        members.push((
            "tensor_shape".to_owned(),
            Item::object([("dim", Item::List(dims)), ("unknown_rank", Item::Flag(shape.unknown_rank))]),
        ));
    }
    if let Some(name) = info.tensor_name() {
        members.push(("name".to_owned(), Item::text(name)));
    }
    Item::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::savedmodel::proto::{TensorShapeProto, tensor_info};

    #[test]
    fn the_two_parts_are_put_together_with_their_line_breaks() {
        let info = TensorInfo {
            encoding: Some(tensor_info::Encoding::Name("x:0".into())),
            dtype: DataType::DtFloat as i32,
            tensor_shape: Some(TensorShapeProto::of(&[-1])),
        };
        let signature = SignatureDef { inputs: [("x".to_owned(), info)].into(), ..SignatureDef::default() };
        let body = metadata_body(&ServableId { name: "m".into(), version: 7 }, &[("s".to_owned(), signature)].into());
        let expected = r#"{
"model_spec":{
 "name": "m",
 "signature_name": "",
 "version": "7"
}
,
"metadata": {"signature_def": {
 "signature_def": {
  "s": {
   "inputs": {
    "x": {
     "dtype": "DT_FLOAT",
     "tensor_shape": {
      "dim": [
       {
        "size": "-1",
        "name": ""
       }
      ],
      "unknown_rank": false
     },
     "name": "x:0"
    }
   },
   "outputs": {},
   "method_name": ""
  }
 }
}
}
}
"#;
        assert_eq!(body, expected);
    }
}
