//! The gRPC interface of the built binary, with a client of its own and the messages of the official stubs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod model_server;

use std::collections::BTreeMap;
use std::path::Path;

use canary_lab::savedmodel::proto::{DataType, TensorProto, TensorShapeProto};
use canary_lab::serving::proto::*;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Status};

use model_server::models;
use model_server::process::Server;

const PREDICTION: &str = "tensorflow.serving.PredictionService";
const MODEL: &str = "tensorflow.serving.ModelService";

struct Client {
    channel: Channel,
    compression: Option<CompressionEncoding>,
}

impl Client {
    async fn open(server: &Server) -> Self {
        let address = format!("http://{}", server.grpc());
        Self { channel: Channel::from_shared(address).unwrap().connect().await.unwrap(), compression: None }
    }

    async fn call<I, O>(&self, service: &str, method: &str, message: I) -> Result<O, Status>
    where
        I: prost::Message + Default + Send + Sync + 'static,
        O: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(1 << 30);
        if let Some(encoding) = self.compression {
            grpc = grpc.send_compressed(encoding);
        }
        grpc.ready().await.unwrap();
        let path = format!("/{service}/{method}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<I, O>::default();
        grpc.unary(tonic::Request::new(message), path, codec).await.map(tonic::Response::into_inner)
    }

    async fn predict(&self, request: PredictRequest) -> Result<PredictResponse, Status> {
        self.call(PREDICTION, "Predict", request).await
    }

    async fn status(&self, model: &str) -> Result<Vec<(i64, i32)>, Status> {
        let request = GetModelStatusRequest { model_spec: Some(spec(model, "")) };
        let response: GetModelStatusResponse = self.call(MODEL, "GetModelStatus", request).await?;
        Ok(response.model_version_status.iter().map(|status| (status.version, status.state)).collect())
    }

    async fn reload(&self, models: Vec<ModelConfig>) -> Result<ReloadConfigResponse, Status> {
        let list = model_server_config::Config::ModelConfigList(ModelConfigList { config: models });
        let config = Some(ModelServerConfig { config: Some(list) });
        self.call(MODEL, "HandleReloadConfigRequest", ReloadConfigRequest { config }).await
    }
}

fn spec(model: &str, signature: &str) -> ModelSpec {
    ModelSpec { name: model.into(), signature_name: signature.into(), version_choice: None }
}

fn versioned(model: &str, version: i64) -> ModelSpec {
    ModelSpec { version_choice: Some(model_spec::VersionChoice::Version(version)), ..spec(model, "") }
}

fn labelled(model: &str, label: &str) -> ModelSpec {
    ModelSpec { version_choice: Some(model_spec::VersionChoice::VersionLabel(label.into())), ..spec(model, "") }
}

fn request(spec: ModelSpec, inputs: &[(&str, TensorProto)]) -> PredictRequest {
    let inputs = inputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    PredictRequest { model_spec: Some(spec), inputs, output_filter: Vec::new() }
}

fn tensor(dtype: DataType, shape: &[i64]) -> TensorProto {
    TensorProto { dtype: dtype as i32, tensor_shape: Some(TensorShapeProto::of(shape)), ..TensorProto::default() }
}

fn floats(values: &[f32]) -> TensorProto {
    TensorProto { float_val: values.to_vec(), ..tensor(DataType::DtFloat, &[values.len() as i64]) }
}

fn base(home: &Path, name: &str) -> ModelConfig {
    ModelConfig {
        name: name.into(),
        base_path: home.join(name).display().to_string(),
        model_platform: "tensorflow".into(),
        ..ModelConfig::default()
    }
}

/// Two elements of every type that a tensor can be sent as: as typed list, and as bytes.
fn of_every_type() -> Vec<(TensorProto, Vec<u8>)> {
    use DataType::*;
    macro_rules! typed {
        ($dtype:expr, $field:ident, $kind:ty, $values:expr) => {{
            let values: [$kind; 2] = $values;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (
                TensorProto { $field: values.iter().map(|value| (*value).into()).collect(), ..tensor($dtype, &[2]) },
                bytes,
            )
        }};
    }
    vec![
        typed!(DtFloat, float_val, f32, [1.5, -2.0]),
        typed!(DtDouble, double_val, f64, [1.5, -2.0]),
        typed!(DtInt32, int_val, i32, [i32::MIN, i32::MAX]),
        typed!(DtUint8, int_val, u8, [0, 255]),
        typed!(DtInt16, int_val, i16, [i16::MIN, 7]),
        typed!(DtInt8, int_val, i8, [i8::MIN, 7]),
        typed!(DtInt64, int64_val, i64, [i64::MIN, i64::MAX]),
        typed!(DtUint16, int_val, u16, [0, u16::MAX]),
        typed!(DtHalf, half_val, u16, [0x3C00, 0xC000]),
        typed!(DtUint32, uint32_val, u32, [0, u32::MAX]),
        typed!(DtUint64, uint64_val, u64, [0, u64::MAX]),
        (TensorProto { bool_val: vec![true, false], ..tensor(DtBool, &[2]) }, vec![1, 0]),
    ]
}

#[tokio::test]
async fn predictions_of_every_element_type_and_their_errors() {
    let home = tempfile::tempdir().unwrap();
    let typed = of_every_type();
    let one = |dtype: DataType| BTreeMap::from([("x".to_owned(), dtype)]);
    let dtype = |tensor: &TensorProto| DataType::try_from(tensor.dtype).unwrap();
    let mut signatures: BTreeMap<String, BTreeMap<String, DataType>> =
        typed.iter().map(|(list, _)| (dtype(list).proto_name().to_owned(), one(dtype(list)))).collect();
    signatures.insert("DT_STRING".into(), one(DataType::DtString));
    let both = [("a".to_owned(), DataType::DtFloat), ("b".to_owned(), DataType::DtFloat)];
    signatures.insert("serving_default".into(), both.into());
    models::echo(&home.path().join("m/3"), &signatures);
    let base = format!("--model_base_path={}", home.path().join("m").display());
    let server = Server::start(&["--port=-1", "--model_name=m", &base].map(str::to_owned));
    let mut client = Client::open(&server).await;

    for (list, bytes) in &typed {
        let name = dtype(list).proto_name();
        let content = TensorProto { tensor_content: bytes.clone().into(), ..tensor(dtype(list), &[2]) };
        for sent in [list, &content] {
            let answer = client.predict(request(spec("m", name), &[("x", sent.clone())])).await.unwrap();
            assert_eq!(answer.outputs["x"], *list, "{name}: answers have the typed list");
            let expected = ModelSpec { signature_name: name.into(), ..versioned("m", 3) };
            assert_eq!(answer.model_spec, Some(expected));
        }
    }
    let texts = TensorProto { string_val: vec!["a".into(), b"\xFF"[..].into()], ..tensor(DataType::DtString, &[2]) };
    let answer = client.predict(request(spec("m", "DT_STRING"), &[("x", texts.clone())])).await.unwrap();
    assert_eq!(answer.outputs["x"], texts);

    let (a, b) = (floats(&[1.0]), floats(&[2.0]));
    let whole = request(spec("m", ""), &[("a", a.clone()), ("b", b.clone())]);
    let answer = client.predict(whole.clone()).await.unwrap();
    assert_eq!(answer.outputs.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(answer.model_spec.as_ref().unwrap().signature_name, "serving_default");
    let filtered = PredictRequest { output_filter: vec!["b".into()], ..whole.clone() };
    assert_eq!(client.predict(filtered).await.unwrap().outputs.keys().collect::<Vec<_>>(), ["b"]);
    let large = request(spec("m", "DT_FLOAT"), &[("x", floats(&vec![0.5; 3 << 20]))]);
    assert_eq!(client.predict(large).await.unwrap().outputs["x"].float_val.len(), 3 << 20);
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        client.compression = Some(encoding);
        assert_eq!(client.predict(whole.clone()).await.unwrap().outputs["b"].float_val, [2.0]);
    }
    client.compression = None;

    let filter = |names: &[&str]| PredictRequest {
        output_filter: names.iter().map(ToString::to_string).collect(),
        ..whole.clone()
    };
    let odd = TensorProto { tensor_content: vec![0; 3].into(), ..tensor(DataType::DtFloat, &[1]) };
    let cases = [
        (PredictRequest { model_spec: None, ..whole.clone() }, Code::InvalidArgument, "Missing ModelSpec"),
        (request(spec("", ""), &[]), Code::InvalidArgument, "ModelSpec has no name specified."),
        (request(spec("n", ""), &[]), Code::NotFound, "Servable not found for request: Latest(n)"),
        (request(versioned("m", 4), &[]), Code::NotFound, "Servable not found for request: Specific(m, 4)"),
        (request(labelled("m", "l"), &[]), Code::InvalidArgument, "Unrecognized servable version label: l"),
        (request(spec("m", "none"), &[]), Code::FailedPrecondition, "Serving signature key \"none\" not found."),
        (
            request(spec("m", ""), &[("a", a.clone())]),
            Code::InvalidArgument,
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}.",
        ),
        (
            request(spec("m", ""), &[("a", a.clone()), ("b", b.clone()), ("c", b.clone())]),
            Code::InvalidArgument,
            "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). Sent extra: {c}. Missing but \
             required: {}.",
        ),
        (
            request(spec("m", ""), &[("a", a.clone()), ("c", b.clone())]),
            Code::InvalidArgument,
            "input tensor alias not found in signature: c. Inputs expected to be in the set {a,b}.",
        ),
        (request(spec("m", ""), &[("a", odd), ("b", b)]), Code::InvalidArgument, "tensor parsing error: a"),
        (
            request(spec("m", "DT_INT32"), &[("x", a)]),
            Code::InvalidArgument,
            "Expects arg[0] to be int32 but float is provided",
        ),
        (
            filter(&["z"]),
            Code::InvalidArgument,
            "output tensor alias not found in signature: z Outputs expected to be in the set {a,b}.",
        ),
        (filter(&["a", "a"]), Code::InvalidArgument, "duplicate output tensor alias: a"),
    ];
    for (request, code, text) in cases {
        let status = client.predict(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, text));
    }
    let long = client.predict(request(spec(&"n".repeat(2000), ""), &[])).await.unwrap_err();
    assert_eq!(long.message().len(), 1024 + "...TRUNCATED".len());

    // Neither health nor reflection is there, as in the original.
    for (service, method) in [
        (PREDICTION, "Nothing"),
        ("grpc.health.v1.Health", "Check"),
        ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
    ] {
        let status = client.call::<(), ()>(service, method, ()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, ""));
    }
}

fn example(value: f32) -> bytes::Bytes {
    let list = feature::Kind::FloatList(feature::FloatList { value: vec![value] });
    let feature = BTreeMap::from([("x".to_owned(), Feature { kind: Some(list) })]);
    Example { features: Some(Features { feature }) }.encode_to_vec().into()
}

#[tokio::test]
async fn examples_metadata_and_status() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("m/1"));
    let base = format!("--model_base_path={}", home.path().join("m").display());
    let server = Server::start(&["--port=-1", "--model_name=m", &base].map(str::to_owned));
    let client = Client::open(&server).await;
    let list = input::Kind::ExampleList(ExampleList { examples: vec![example(2.0), example(4.0)] });
    let given = Some(Input { kind: Some(list) });
    let (classify, regress) = (spec("m", "classify_x_to_y"), spec("m", "regress_x_to_y"));
    let answered = |signature: &str| Some(ModelSpec { signature_name: signature.into(), ..versioned("m", 1) });

    let message = ClassificationRequest { model_spec: Some(classify.clone()), input: given.clone() };
    let answer: ClassificationResponse = client.call(PREDICTION, "Classify", message).await.unwrap();
    let scores: Vec<f32> = answer.result.unwrap().classifications.iter().map(|one| one.classes[0].score).collect();
    assert_eq!((scores, answer.model_spec), (vec![3.0, 4.0], answered("classify_x_to_y")));
    let message = RegressionRequest { model_spec: Some(regress.clone()), input: given.clone() };
    let answer: RegressionResponse = client.call(PREDICTION, "Regress", message).await.unwrap();
    let values: Vec<f32> = answer.result.unwrap().regressions.iter().map(|one| one.value).collect();
    assert_eq!((values, answer.model_spec), (vec![3.0, 4.0], answered("regress_x_to_y")));

    let task = |spec: &ModelSpec, method: &str| InferenceTask {
        model_spec: Some(spec.clone()),
        method_name: format!("tensorflow/serving/{method}"),
    };
    let multi = |tasks: Vec<InferenceTask>, input| MultiInferenceRequest { tasks, input };
    let both = vec![task(&classify, "classify"), task(&regress, "regress")];
    let answer: MultiInferenceResponse =
        client.call(PREDICTION, "MultiInference", multi(both, given.clone())).await.unwrap();
    assert_eq!(answer.results.len(), 2);
    assert!(matches!(answer.results[1].result, Some(inference_result::Result::RegressionResult(_))));
    let failures = [
        (multi(vec![], given.clone()), Code::InvalidArgument, "ModelSpec has no name specified."),
        (multi(vec![task(&regress, "regress")], None), Code::InvalidArgument, "Input is empty."),
        (
            multi(vec![task(&regress, "regress"), task(&regress, "regress")], given.clone()),
            Code::InvalidArgument,
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        (
            multi(vec![task(&regress, "regress"), task(&spec("n", ""), "regress")], given.clone()),
            Code::InvalidArgument,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            multi(vec![task(&spec("m", "none"), "regress")], given.clone()),
            Code::InvalidArgument,
            "Requested signature not found in model graph: none",
        ),
        (
            multi(vec![task(&regress, "predict")], given.clone()),
            Code::Unimplemented,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    ];
    for (message, code, text) in failures {
        let outcome = client.call::<_, MultiInferenceResponse>(PREDICTION, "MultiInference", message).await;
        let status = outcome.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, text));
    }

    let metadata = |spec: Option<ModelSpec>, fields: &[&str]| GetModelMetadataRequest {
        model_spec: spec,
        metadata_field: fields.iter().map(ToString::to_string).collect(),
    };
    let field = "signature_def";
    let answer: GetModelMetadataResponse =
        client.call(PREDICTION, "GetModelMetadata", metadata(Some(spec("m", "")), &[field])).await.unwrap();
    assert_eq!(answer.model_spec, Some(versioned("m", 1)));
    let any = &answer.metadata[field];
    assert_eq!(any.type_url, "type.googleapis.com/tensorflow.serving.SignatureDefMap");
    let signatures = SignatureDefMap::decode(any.value.clone()).unwrap().signature_def;
    assert_eq!(signatures.keys().collect::<Vec<_>>(), ["classify_x_to_y", "regress_x_to_y", "serving_default"]);
    let failures = [
        (metadata(None, &[field]), "Missing ModelSpec"),
        (metadata(Some(spec("m", "")), &[]), "GetModelMetadataRequest must specify at least one metadata_field"),
        (metadata(Some(spec("m", "")), &["other"]), "Metadata field other is not supported"),
    ];
    for (message, text) in failures {
        let outcome = client.call::<_, GetModelMetadataResponse>(PREDICTION, "GetModelMetadata", message).await;
        let status = outcome.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, text));
    }
    assert_eq!(client.status("m").await.unwrap(), [(1, model_version_status::State::Available as i32)]);
    let status = client.status("n").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "Could not find any versions of model n"));
}

#[tokio::test]
async fn a_running_server_takes_on_other_models_and_labels() {
    let home = tempfile::tempdir().unwrap();
    for directory in ["a/1", "a/2", "b/1"] {
        models::half_plus_two(&home.path().join(directory));
    }
    let config = format!(
        "model_config_list {{ config {{ name: 'a' base_path: '{}' model_platform: 'tensorflow' model_version_policy {{ \
         all {{}} }} }} }}",
        home.path().join("a").display()
    );
    std::fs::write(home.path().join("models.config"), config).unwrap();
    let file = format!("--model_config_file={}", home.path().join("models.config").display());
    let server = Server::start(&["--port=-1", &file].map(str::to_owned));
    let client = Client::open(&server).await;
    let all = ServableVersionPolicy {
        policy_choice: Some(servable_version_policy::PolicyChoice::All(servable_version_policy::All {})),
    };
    let a = ModelConfig { model_version_policy: Some(all), ..base(home.path(), "a") };
    let label = |version: i64| ModelConfig { version_labels: [("stable".to_owned(), version)].into(), ..a.clone() };
    let x = || request(labelled("a", "stable"), &[("x", floats(&[2.0]))]);

    let answer = client.reload(vec![label(1), base(home.path(), "b")]).await.unwrap();
    assert_eq!(answer.status, Some(StatusProto::default()));
    assert_eq!(client.predict(x()).await.unwrap().model_spec.unwrap().version_choice, versioned("a", 1).version_choice);
    assert_eq!(client.status("b").await.unwrap(), [(1, model_version_status::State::Available as i32)]);
    client.reload(vec![label(2)]).await.unwrap();
    assert_eq!(client.predict(x()).await.unwrap().model_spec.unwrap().version_choice, versioned("a", 2).version_choice);
    server.wait_for("Done unloading servable version {name: b version: 1}");
    assert_eq!(client.status("b").await.unwrap(), [(1, model_version_status::State::End as i32)]);
    assert_eq!(client.predict(request(spec("b", ""), &[])).await.unwrap_err().code(), Code::NotFound);
    // What is back is loaded again, and is not taken for what it was before.
    client.reload(vec![label(2), base(home.path(), "b")]).await.unwrap();
    assert_eq!(client.status("b").await.unwrap(), [(1, model_version_status::State::Available as i32)]);

    let (first, second) = (base(home.path(), "a"), base(home.path(), "a"));
    let relative = ModelConfig { base_path: "b".into(), ..base(home.path(), "b") };
    let torch = ModelConfig { model_platform: "torch".into(), ..base(home.path(), "c") };
    let failures = [
        (vec![first, second], Code::InvalidArgument, "Illegal to list model a multiple times in config list"),
        (vec![relative], Code::InvalidArgument, "Expected model b to have an absolute path or URI; got base_path()=b"),
        (vec![torch], Code::InvalidArgument, "Model c requests unsupported platform torch"),
        (
            vec![label(3)],
            Code::FailedPrecondition,
            "Request to assign label to version 3 of model a, which is not currently available for inference",
        ),
    ];
    for (models, code, text) in failures {
        let status = client.reload(models).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, text));
    }
    assert!(client.predict(x()).await.is_ok(), "a refused configuration changes nothing");
    let nothing = ReloadConfigRequest { config: None };
    let outcome = client.call::<_, ReloadConfigResponse>(MODEL, "HandleReloadConfigRequest", nothing).await;
    assert_eq!(
        outcome.unwrap_err().message(),
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
    );
}
