//! gRPC through the ingress: where the Gateway's server and the Service's port say that they speak it.

use std::time::Duration;

use canary_lab::savedmodel::proto::{DataType, TensorProto, TensorShapeProto};
use canary_lab::serving::proto::{ModelSpec, PredictRequest, PredictResponse, model_spec};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tonic::{Code, Status};

use super::bench::Bench;

/// The value that `canary-lab env` exports.
fn exported(env: &str, name: &str) -> String {
    let start = format!("export {name}=");
    let line = env.lines().find_map(|line| line.strip_prefix(start.as_str())).unwrap();
    line.trim_matches(['\'', '"']).to_owned()
}

async fn client(kubeconfig: &str) -> kube::Client {
    // An install of the same provider by another test is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

async fn predict(ingress: &str, model: &str) -> Result<PredictResponse, Status> {
    let channel = tonic::transport::Channel::from_shared(format!("http://{ingress}")).unwrap().connect_lazy();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let picture = TensorProto {
        dtype: DataType::DtFloat as i32,
        tensor_shape: Some(TensorShapeProto::of(&[1, 24, 24, 3])),
        float_val: vec![128.0],
        ..TensorProto::default()
    };
    let request = PredictRequest {
        model_spec: Some(ModelSpec { name: model.into(), ..ModelSpec::default() }),
        inputs: [("input_1".to_owned(), picture)].into(),
        output_filter: Vec::new(),
    };
    let path = "/tensorflow.serving.PredictionService/Predict".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<PredictRequest, PredictResponse>::default();
    grpc.unary(tonic::Request::new(request), path, codec).await.map(tonic::Response::into_inner)
}

/// Asks again until the routes have arrived.
async fn predicts(ingress: &str) -> PredictResponse {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match predict(ingress, "image_classifier").await {
            Ok(answer) => return answer,
            Err(status) => assert!(tokio::time::Instant::now() < deadline, "{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn grpc_goes_through_gateways_that_say_grpc_or_http2() {
    let bench = Bench::new();
    let up = bench.tiny(&["up", "--until", "predict"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let env = bench.tiny(&["env"]).out;
    let ingress = format!("{}:{}", exported(&env, "INGRESS_HOST"), exported(&env, "INGRESS_PORT"));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = client(&exported(&env, "KUBECONFIG")).await;
        let mesh = |kind: &str| {
            let kind = GroupVersionKind::gvk("networking.istio.io", "v1alpha3", kind);
            Api::<DynamicObject>::namespaced_with(client.clone(), "tf-serving", &ApiResource::from_gvk(&kind))
        };
        let params = PatchParams::default();
        // A port's protocol is told from the beginning of its name.
        let ports = json!({"spec": {"ports": [{"name": "grpc", "port": 8500}, {"name": "http", "port": 8501}]}});
        let services: Api<Service> = Api::namespaced(client.clone(), "tf-serving");
        services.patch("image-classifier", &params, &Patch::Merge(ports)).await.unwrap();
        let destination = json!({"destination": {"host": "image-classifier", "port": {"number": 8500}}});
        let route = json!({"spec": {"http": [{"route": [destination]}]}});
        mesh("VirtualService").patch("image-classifier", &params, &Patch::Merge(route)).await.unwrap();
        for protocol in ["GRPC", "HTTP2"] {
            let port = json!({"number": 80, "name": "http", "protocol": protocol});
            let servers = json!({"spec": {"servers": [{"port": port, "hosts": ["*"]}]}});
            mesh("Gateway").patch("image-classifier-gateway", &params, &Patch::Merge(servers)).await.unwrap();
            let answer = predicts(&ingress).await;
            let version = answer.model_spec.and_then(|spec| spec.version_choice);
            assert_eq!(version, Some(model_spec::VersionChoice::Version(1)));
            let classes = &answer.outputs.values().next().unwrap().float_val;
            assert!((classes.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{protocol}");
            let status = predict(&ingress, "none").await.unwrap_err();
            let expected = (Code::NotFound, "Servable not found for request: Latest(none)");
            assert_eq!((status.code(), status.message()), expected, "{protocol}");
        }
    });
}
