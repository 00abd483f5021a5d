//! Requests and responses of PredictionService and ModelService.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::ModelServerConfig;
use crate::savedmodel::proto::{SignatureDef, TensorProto};

/// Which model, version and signature a request means.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ModelSpec {
    /// The model's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Which version; the latest when not given.
    #[prost(oneof = "model_spec::VersionChoice", tags = "2, 4")]
    pub version_choice: Option<model_spec::VersionChoice>,
    /// The signature; `serving_default` when empty.
    #[prost(string, tag = "3")]
    pub signature_name: String,
}

/// A prediction.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PredictRequest {
    /// Model and signature.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
    /// The tensors by the signature's input names.
    #[prost(btree_map = "string, message", tag = "2")]
    pub inputs: BTreeMap<String, TensorProto>,
    /// The outputs to give; all when empty.
    #[prost(string, repeated, tag = "3")]
    pub output_filter: Vec<String>,
}

/// A prediction's result.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PredictResponse {
    /// The tensors by the signature's output names.
    #[prost(btree_map = "string, message", tag = "1")]
    pub outputs: BTreeMap<String, TensorProto>,
    /// Which version and signature answered.
    #[prost(message, optional, tag = "2")]
    pub model_spec: Option<ModelSpec>,
}

/// The examples of a classification or regression.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Input {
    /// How they are given.
    #[prost(oneof = "input::Kind", tags = "1, 2")]
    pub kind: Option<input::Kind>,
}

/// Examples that stand alone.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ExampleList {
    /// Encoded `tensorflow.Example` messages.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub examples: Vec<Bytes>,
}

/// Examples with features in common.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ExampleListWithContext {
    /// Encoded `tensorflow.Example` messages.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub examples: Vec<Bytes>,
    /// An encoded `tensorflow.Example` with the features in common.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub context: Option<Bytes>,
}

/// A class of a classification.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Class {
    /// Its name.
    #[prost(string, tag = "1")]
    pub label: String,
    /// Its score.
    #[prost(float, tag = "2")]
    pub score: f32,
}

/// The classes of one example.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Classifications {
    /// The classes.
    #[prost(message, repeated, tag = "1")]
    pub classes: Vec<Class>,
}

/// The classes of all examples.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ClassificationResult {
    /// One per example.
    #[prost(message, repeated, tag = "1")]
    pub classifications: Vec<Classifications>,
}

/// A classification.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ClassificationRequest {
    /// Model and signature.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
    /// The examples.
    #[prost(message, optional, tag = "2")]
    pub input: Option<Input>,
}

/// A classification's result.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ClassificationResponse {
    /// The classes.
    #[prost(message, optional, tag = "1")]
    pub result: Option<ClassificationResult>,
    /// Which version and signature answered.
    #[prost(message, optional, tag = "2")]
    pub model_spec: Option<ModelSpec>,
}

/// The value of one example.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Regression {
    /// The value.
    #[prost(float, tag = "1")]
    pub value: f32,
}

/// The values of all examples.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RegressionResult {
    /// One per example.
    #[prost(message, repeated, tag = "1")]
    pub regressions: Vec<Regression>,
}

/// A regression.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RegressionRequest {
    /// Model and signature.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
    /// The examples.
    #[prost(message, optional, tag = "2")]
    pub input: Option<Input>,
}

/// A regression's result.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RegressionResponse {
    /// The values.
    #[prost(message, optional, tag = "1")]
    pub result: Option<RegressionResult>,
    /// Which version and signature answered.
    #[prost(message, optional, tag = "2")]
    pub model_spec: Option<ModelSpec>,
}

/// One task of a multi-inference.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct InferenceTask {
    /// Model and signature.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
    /// `tensorflow/serving/classify` or `tensorflow/serving/regress`.
    #[prost(string, tag = "2")]
    pub method_name: String,
}

/// The result of one task.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct InferenceResult {
    /// Which version and signature answered.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
    /// The result.
    #[prost(oneof = "inference_result::Result", tags = "2, 3")]
    pub result: Option<inference_result::Result>,
}

/// Several tasks on the same examples.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MultiInferenceRequest {
    /// The tasks.
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<InferenceTask>,
    /// The examples.
    #[prost(message, optional, tag = "2")]
    pub input: Option<Input>,
}

/// The results of a multi-inference.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MultiInferenceResponse {
    /// One per task.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<InferenceResult>,
}

/// A question for a model's signatures.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetModelMetadataRequest {
    /// The model.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
    /// `signature_def`, nothing else.
    #[prost(string, repeated, tag = "2")]
    pub metadata_field: Vec<String>,
}

/// A model's signatures.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetModelMetadataResponse {
    /// Which model and version answered.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
    /// `signature_def` to a [`SignatureDefMap`].
    #[prost(btree_map = "string, message", tag = "2")]
    pub metadata: BTreeMap<String, Any>,
}

/// Signatures by name.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignatureDefMap {
    /// The signatures.
    #[prost(btree_map = "string, message", tag = "1")]
    pub signature_def: BTreeMap<String, SignatureDef>,
}

/// A message of any type (`google.protobuf.Any`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Any {
    /// Its type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// A question for the states of a model's versions.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetModelStatusRequest {
    /// The model, perhaps one version.
    #[prost(message, optional, tag = "1")]
    pub model_spec: Option<ModelSpec>,
}

/// The state of one version.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ModelVersionStatus {
    /// The version.
    #[prost(int64, tag = "1")]
    pub version: i64,
    /// Its state.
    #[prost(enumeration = "model_version_status::State", tag = "2")]
    pub state: i32,
    /// What went wrong with it, if anything.
    #[prost(message, optional, tag = "3")]
    pub status: Option<StatusProto>,
}

/// The states of a model's versions.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetModelStatusResponse {
    /// Highest version first.
    #[prost(message, repeated, tag = "1")]
    pub model_version_status: Vec<ModelVersionStatus>,
}

/// A code and a text.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StatusProto {
    /// The code; 0 is OK.
    #[prost(int32, tag = "1")]
    pub error_code: i32,
    /// The text.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Other models to serve.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ReloadConfigRequest {
    /// The whole new configuration.
    #[prost(message, optional, tag = "1")]
    pub config: Option<ModelServerConfig>,
}

/// Whether the models are served now.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ReloadConfigResponse {
    /// The outcome.
    #[prost(message, optional, tag = "1")]
    pub status: Option<StatusProto>,
}

/// A `tensorflow.Example`.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Example {
    /// Its features.
    #[prost(message, optional, tag = "1")]
    pub features: Option<Features>,
}

/// Features by name.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Features {
    /// The features.
    #[prost(btree_map = "string, message", tag = "1")]
    pub feature: BTreeMap<String, Feature>,
}

/// A feature: a list of one kind.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Feature {
    /// The list.
    #[prost(oneof = "feature::Kind", tags = "1, 2, 3")]
    pub kind: Option<feature::Kind>,
}

/// Parts of [`ModelSpec`].
pub mod model_spec {
    /// Which version a request means.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum VersionChoice {
        /// By number (`google.protobuf.Int64Value`).
        #[prost(message, tag = "2")]
        Version(i64),
        /// By label.
        #[prost(string, tag = "4")]
        VersionLabel(String),
    }
}

/// Parts of [`Input`].
pub mod input {
    /// How examples are given.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Kind {
        /// Each for itself.
        #[prost(message, tag = "1")]
        ExampleList(super::ExampleList),
        /// With features in common.
        #[prost(message, tag = "2")]
        ExampleListWithContext(super::ExampleListWithContext),
    }
}

/// Parts of [`InferenceResult`].
pub mod inference_result {
    /// The result of one task.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Result {
        /// Of a classification.
        #[prost(message, tag = "2")]
        ClassificationResult(super::ClassificationResult),
        /// Of a regression.
        #[prost(message, tag = "3")]
        RegressionResult(super::RegressionResult),
    }
}

/// Parts of [`ModelVersionStatus`].
pub mod model_version_status {
    /// The state of a version.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum State {
        /// Not set.
        Unknown = 0,
        /// Known, not loading yet.
        Start = 10,
        /// Loading, or waiting to try again.
        Loading = 20,
        /// Answering requests.
        Available = 30,
        /// Finishing its last requests.
        Unloading = 40,
        /// Unloaded, or failed to load.
        End = 50,
    }
}

/// Parts of [`Feature`].
pub mod feature {
    use bytes::Bytes;

    /// The list that a feature is.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Kind {
        /// Byte strings.
        #[prost(message, tag = "1")]
        BytesList(BytesList),
        /// Floats.
        #[prost(message, tag = "2")]
        FloatList(FloatList),
        /// Integers.
        #[prost(message, tag = "3")]
        Int64List(Int64List),
    }

    /// A list of byte strings.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct BytesList {
        /// The elements.
        #[prost(bytes = "bytes", repeated, tag = "1")]
        pub value: Vec<Bytes>,
    }

    /// A list of floats.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct FloatList {
        /// The elements.
        #[prost(float, repeated, tag = "1")]
        pub value: Vec<f32>,
    }

    /// A list of integers.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Int64List {
        /// The elements.
        #[prost(int64, repeated, tag = "1")]
        pub value: Vec<i64>,
    }
}
