//! Taking on another configuration, as the gRPC interface asks for it.

use crate::serving::proto::ModelServerConfig;
use crate::serving::status::Status;

/// Takes on configurations.
pub trait Reload: Send + Sync {
    /// Serves these models from now on. Blocks until the new ones are available.
    fn reload(&self, config: ModelServerConfig) -> Result<(), Status>;
}
