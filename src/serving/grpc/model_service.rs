//! `tensorflow.serving.ModelService`.

use std::sync::Arc;

use http::Request;
use tonic::body::Body;

use super::calls::{Answer, Turn, method, unary, unimplemented};
use super::reload::Reload;
use crate::serving::lifecycle::Log;
use crate::serving::proto::{
    GetModelStatusRequest, GetModelStatusResponse, ModelVersionStatus, ReloadConfigRequest, ReloadConfigResponse,
    StatusProto, model_server_config,
};
use crate::serving::rest::{Context, Gate};
use crate::serving::status::Status;

pub(super) const NAME: &str = "tensorflow.serving.ModelService";

/// Tells the states of models and takes on other configurations.
#[derive(Clone)]
pub(super) struct ModelService {
    context: Arc<Context>,
    gate: Gate,
    reload: Arc<dyn Reload>,
    log: Log,
}

impl ModelService {
    /// The service for these models, with memory from this gate; configurations are handed to `reload`.
    pub(super) fn new(context: Arc<Context>, gate: Gate, reload: Arc<dyn Reload>, log: Log) -> Self {
        Self { context, gate, reload, log }
    }

    pub(super) fn dispatch(&self, request: Request<Body>) -> Answer {
        let (service, gate) = (self.clone(), &self.gate);
        match method(&request, NAME) {
            Some("GetModelStatus") => {
                unary(request, gate, Turn::AtOnce, move |request| status(&service.context, &request))
            }
            Some("HandleReloadConfigRequest") => {
                unary(request, gate, Turn::AtOnce, move |request| service.take_on(request))
            }
            _ => unimplemented(),
        }
    }

    fn take_on(&self, request: ReloadConfigRequest) -> Result<ReloadConfigResponse, Status> {
        let config = request.config.unwrap_or_default();
        let outcome = match &config.config {
            Some(model_server_config::Config::ModelConfigList(list)) => {
                for (index, model) in list.config.iter().enumerate() {
                    self.log.info(
                        "model_servers/model_service_impl.cc:47",
                        &format!(
                            "\nConfig entry\n\tindex : {index}\n\tpath : {}\n\tname : {}\n\tplatform : {}",
                            model.base_path, model.name, model.model_platform
                        ),
                    );
                }
                self.reload.reload(config)
            }
            _ => Err(Status::invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently \
                 supported",
            )),
        };
        match outcome {
            Ok(()) => Ok(ReloadConfigResponse { status: Some(StatusProto::default()) }),
            Err(status) => {
                self.log.error(
                    "model_servers/model_service_impl.cc:64",
                    &format!("ReloadConfig failed: {}", status.text()),
                );
                Err(status)
            }
        }
    }
}

fn status(context: &Context, request: &GetModelStatusRequest) -> Result<GetModelStatusResponse, Status> {
    let spec = request.model_spec.as_ref().ok_or_else(|| Status::invalid("Missing ModelSpec"))?;
    let states = context.registry.states(spec)?;
    let model_version_status = states
        .into_iter()
        .map(|(version, state)| ModelVersionStatus {
            version,
            state: state.state as i32,
            status: Some(match state.error {
                None => StatusProto::default(),
                Some(error) => StatusProto { error_code: error.code as i32, error_message: error.text().into_owned() },
            }),
        })
        .collect();
    Ok(GetModelStatusResponse { model_version_status })
}
