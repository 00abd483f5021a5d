//! TensorFlow Serving's protocol buffers (`tensorflow_serving/apis`), written by hand for `prost`.
//!
//! Names and field numbers are TensorFlow Serving 2.5.1's, so clients with the official stubs talk to us. Maps are
//! ordered. A `tensorflow.Example` inside an [`Input`] stays the bytes that came: the model parses them.

mod config;
mod requests;

pub use config::{
    ModelConfig, ModelConfigList, ModelServerConfig, ServableVersionPolicy, model_server_config,
    servable_version_policy,
};
pub use requests::{
    Any, Class, ClassificationRequest, ClassificationResponse, ClassificationResult, Classifications, Example,
    ExampleList, ExampleListWithContext, Feature, Features, GetModelMetadataRequest, GetModelMetadataResponse,
    GetModelStatusRequest, GetModelStatusResponse, InferenceResult, InferenceTask, Input, ModelSpec,
    ModelVersionStatus, MultiInferenceRequest, MultiInferenceResponse, PredictRequest, PredictResponse, Regression,
    RegressionRequest, RegressionResponse, RegressionResult, ReloadConfigRequest, ReloadConfigResponse,
    SignatureDefMap, StatusProto, feature, inference_result, input, model_spec, model_version_status,
};
