//! Which models to serve (`model_server_config.proto`, `file_system_storage_path_source.proto`).

use std::collections::BTreeMap;

use super::Any;

/// What the server shall serve.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ModelServerConfig {
    /// The kind of configuration; only a list of models is supported.
    #[prost(oneof = "model_server_config::Config", tags = "1, 2")]
    pub config: Option<model_server_config::Config>,
}

/// Parts of [`ModelServerConfig`].
pub mod model_server_config {
    /// The kinds of configuration.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Config {
        /// Models by name and path.
        #[prost(message, tag = "1")]
        ModelConfigList(super::ModelConfigList),
        /// Something of the operator's own.
        #[prost(message, tag = "2")]
        CustomModelConfig(super::Any),
    }
}

/// Models by name and path.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ModelConfigList {
    /// The models.
    #[prost(message, repeated, tag = "1")]
    pub config: Vec<ModelConfig>,
}

/// One model.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ModelConfig {
    /// Its name in requests.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The directory with its versions.
    #[prost(string, tag = "2")]
    pub base_path: String,
    /// The old way to say [`ModelConfig::model_platform`]: 1 is TensorFlow.
    #[prost(int32, tag = "3")]
    pub model_type: i32,
    /// `tensorflow`.
    #[prost(string, tag = "4")]
    pub model_platform: String,
    /// Which versions to serve; the latest when not given.
    #[prost(message, optional, tag = "7")]
    pub model_version_policy: Option<ServableVersionPolicy>,
    /// Names for versions.
    #[prost(btree_map = "string, int64", tag = "8")]
    pub version_labels: BTreeMap<String, i64>,
}

/// Which versions of a model to serve.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ServableVersionPolicy {
    /// The policy.
    #[prost(oneof = "servable_version_policy::PolicyChoice", tags = "100, 101, 102")]
    pub policy_choice: Option<servable_version_policy::PolicyChoice>,
}

/// Parts of [`ServableVersionPolicy`].
pub mod servable_version_policy {
    /// The policies.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum PolicyChoice {
        /// The largest numbers.
        #[prost(message, tag = "100")]
        Latest(Latest),
        /// All that there are.
        #[prost(message, tag = "101")]
        All(All),
        /// These.
        #[prost(message, tag = "102")]
        Specific(Specific),
    }

    /// The largest numbers.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Latest {
        /// How many; 0 means 1.
        #[prost(uint32, tag = "1")]
        pub num_versions: u32,
    }

    /// All that there are.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct All {}

    /// These.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Specific {
        /// The versions.
        #[prost(int64, repeated, tag = "1")]
        pub versions: Vec<i64>,
    }
}
