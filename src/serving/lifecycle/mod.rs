//! From command line to serving: which models there are, which versions of them are loaded, and when.
//!
//! The pieces and their order follow TensorFlow Serving: [`Flags`] and the configuration file say what to serve; a
//! [`Source`] polls the base paths and says which versions are wanted; the [`StateMachine`] loads new versions before it
//! unloads old ones, tries failed ones again and keeps the state of every version it ever saw; requests find their
//! model in the [`Registry`]. Log lines are TensorFlow Serving's.

mod configuration;
mod flags;
mod loading;
mod log;
mod registry;
mod source;
mod state_machine;

pub use configuration::{
    ConfigurationError, MonitoringConfig, read_model_server_config, read_monitoring_config, single_model,
    validate_models,
};
pub use flags::{Flags, Parsed};
pub use loading::{Loader, SavedModelLoader};
pub use log::{Level, Log};
pub use registry::{Registry, VersionState};
pub(super) use source::host_path;
pub use source::{Monitored, Source, VersionPath};
pub use state_machine::{Aspire, RetryPolicy, StateMachine};
