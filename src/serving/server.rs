//! The whole server: start, configuration, ports, stop.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::grpc::{Reload, Services};
use super::lifecycle::{
    Flags, Loader, Log, Monitored, MonitoringConfig, RetryPolicy, Source, StateMachine, host_path,
    read_model_server_config, read_monitoring_config, single_model, validate_models,
};
use super::proto::{ModelConfig, ModelServerConfig, model_server_config};
use super::rest::server::RestServer;
use super::rest::{Api, Context, Gate};
use super::status::{Code, Status};
use crate::process::Sandbox;

/// How much memory the bodies of all requests and answers at work may take together.
const MEMORY_OF_BODIES: usize = 1 << 30;
/// How long requests at work may still take once the server is told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(25);

/// Models and their configuration.
pub(super) struct Core {
    context: Arc<Context>,
    flags: Flags,
    sandbox: Option<Arc<Sandbox>>,
    log: Log,
    versions: StateMachine,
    state: Mutex<Configured>,
}

#[derive(Default)]
struct Configured {
    /// `None` until a list of models was taken on.
    models: Option<Vec<ModelConfig>>,
    source: Option<Source>,
}

impl Core {
    /// Loads the models that the flags name and waits until they are available.
    pub(super) fn start(
        flags: Flags,
        sandbox: Option<Arc<Sandbox>>,
        loader: Arc<dyn Loader>,
    ) -> Result<Arc<Self>, Status> {
        let log = Log;
        if flags.port == 0 && flags.grpc_socket_path.is_empty() {
            return Err(Status::invalid(
                "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.",
            ));
        }
        if flags.model_base_path.is_empty() && flags.model_config_file.is_empty() {
            return Err(Status::invalid(
                "Both server_options.model_base_path and server_options.model_config_file are empty!",
            ));
        }
        let config = if flags.model_config_file.is_empty() {
            log.info(
                "model_servers/server.cc:89",
                &format!(
                    "Building single TensorFlow model file config:  model_name: {} model_base_path: {}",
                    flags.model_name, flags.model_base_path
                ),
            );
            single_model(&flags.model_name, &flags.model_base_path)
        } else {
            read_config(&flags.model_config_file, sandbox.as_deref())?
        };
        check_flags(&flags)?;
        let retry = RetryPolicy {
            retries: u32::try_from(flags.max_num_load_retries).unwrap_or(0),
            interval: Duration::from_micros(u64::try_from(flags.load_retry_interval_micros).unwrap_or(0)),
        };
        let context = Arc::new(Context::default());
        let versions = StateMachine::start(Arc::clone(&context), loader, retry, log).map_err(out_of_threads)?;
        let core = Arc::new(Self { context, flags, sandbox, log, versions, state: Mutex::default() });
        core.reload(config)?;
        core.follow_config_file()?;
        Ok(core)
    }

    /// Reads the configuration file again from time to time, when the flags say so.
    fn follow_config_file(self: &Arc<Self>) -> Result<(), Status> {
        let seconds = u64::try_from(self.flags.model_config_file_poll_wait_seconds).unwrap_or(0);
        if seconds == 0 || self.flags.model_config_file.is_empty() {
            return Ok(());
        }
        let core = Arc::downgrade(self);
        let follow = move || loop {
            std::thread::sleep(Duration::from_secs(seconds));
            let Some(core) = core.upgrade() else { return };
            let place = "model_servers/server.cc";
            match read_config(&core.flags.model_config_file, core.sandbox.as_deref()) {
                Err(error) => core.log.error(
                    &format!("{place}:181"),
                    &format!("Failed to read ModelServerConfig file: {}", error.text()),
                ),
                Ok(config) => {
                    if let Err(error) = core.reload(config) {
                        core.log.error(
                            &format!("{place}:188"),
                            &format!("PollFilesystemAndReloadConfig failed to ReloadConfig: {}", error.text()),
                        );
                    }
                }
            }
        };
        std::thread::Builder::new().name("config-poll".into()).spawn(follow).map_err(out_of_threads)?;
        Ok(())
    }

    fn available_or_error(&self, models: &[String], since: u64, what: &str) -> Result<(), Status> {
        let ended = self.context.registry.wait_until_available(models, since);
        if ended.is_empty() {
            return Ok(());
        }
        let mut text = format!("{} {what}(s) did not become available: {{", ended.len());
        for (id, error) in &ended {
            let reason = error.as_ref().map_or_else(String::new, |error| format!(" due to error: {error}"));
            text.push_str(&format!("{{{id}{reason}}}, "));
        }
        text.push('}');
        Err(Status::new(Code::Unknown, text))
    }
}

impl Reload for Core {
    fn reload(&self, config: ModelServerConfig) -> Result<(), Status> {
        // Held throughout: one configuration after the other.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let models = match config.config {
            None if state.models.is_none() => {
                self.log.info("model_servers/server_core.cc:449", "Taking no action for empty config.");
                return Ok(());
            }
            Some(model_server_config::Config::ModelConfigList(list)) => list.config,
            None | Some(model_server_config::Config::CustomModelConfig(_)) => {
                return Err(Status::new(
                    Code::FailedPrecondition,
                    "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to \
                     another.",
                ));
            }
        };
        validate_models(&models)?;
        self.context.registry.assign_labels(&models, self.flags.allow_version_labels_for_unavailable_models)?;
        self.log.info("model_servers/server_core.cc:465", "Adding/updating models.");
        for model in &models {
            self.log.info("model_servers/server_core.cc:591", &format!(" (Re-)adding model: {}", model.name));
        }
        let monitored: Vec<Monitored> = models.iter().map(Monitored::from).collect();
        let new: Vec<String> = models
            .iter()
            .filter(|model| !state.models.iter().flatten().any(|known| known.name == model.name))
            .map(|model| model.name.clone())
            .collect();
        state.models = Some(models);
        // What happened to a model of this name before is none of what is waited for now.
        let since = self.context.registry.recorded();
        if let Some(source) = &state.source {
            source.replace(monitored);
            self.available_or_error(&new, since, "model")?;
        } else {
            let seconds = self.flags.file_system_poll_wait_seconds;
            let period = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
            if seconds >= 0 {
                let source = Source::start(monitored, period, self.sandbox.clone(), self.versions.aspire(), self.log);
                state.source = Some(source.map_err(out_of_threads)?);
            }
            self.available_or_error(&new, since, "servable")?;
        }
        self.log.info("model_servers/server_core.cc:486", "Finished adding/updating models");
        if !self.flags.flush_filesystem_caches {
            self.log.info("model_servers/server_core.cc:494", "Finished reloading config");
        }
        Ok(())
    }
}

fn out_of_threads(error: std::io::Error) -> Status {
    Status::new(Code::ResourceExhausted, error.to_string())
}

fn read_config(path: &str, sandbox: Option<&Sandbox>) -> Result<ModelServerConfig, Status> {
    let host = host_path(path, sandbox).unwrap_or_default();
    Ok(read_model_server_config(&host, path)?)
}

fn check_flags(flags: &Flags) -> Result<(), Status> {
    if !flags.batching_parameters_file.is_empty() && !flags.enable_batching {
        return Err(Status::invalid(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
        ));
    }
    if flags.tensorflow_intra_op_parallelism > 0
        && flags.tensorflow_inter_op_parallelism > 0
        && flags.tensorflow_session_parallelism > 0
    {
        return Err(Status::invalid(
            "Either configure server_options.tensorflow_session_parallelism or \
             (server_options.tensorflow_intra_op_parallelism, server_options.tensorflow_inter_op_parallelism) \
             separately. You cannot configure all.",
        ));
    }
    Ok(())
}

/// Opens the ports and serves until `stop` is cancelled; then finishes the requests at work.
pub(super) async fn serve(core: Arc<Core>, stop: CancellationToken, out: &mut dyn Write) -> Result<(), Status> {
    let flags = &core.flags;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let gate = Gate::new(cores, MEMORY_OF_BODIES);
    let place = "model_servers/server.cc";
    let mut servers = tokio::task::JoinSet::new();

    if flags.enable_profiler {
        core.log.info(&format!("{place}:367"), "Profiler service is enabled");
    }
    let reload = Arc::clone(&core) as Arc<dyn Reload>;
    let services = Services::new(Arc::clone(&core.context), gate.clone(), reload, core.log);
    if flags.port != 0 {
        let listener = listen(flags.port, core.sandbox.as_deref(), Ipv4Addr::UNSPECIFIED.into());
        let listener = listener.map_err(|_| Status::invalid("Failed to BuildAndStart gRPC server"))?;
        let shown = bound_address(&listener, core.sandbox.as_deref(), "0.0.0.0");
        let (services, stop) = (services.clone(), stop.clone());
        servers.spawn(async move {
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            // Its end is the end of the server's work; errors of single connections do not come up here.
            let server = tonic::transport::Server::builder();
            let _ = server.serve_with_incoming_shutdown(services, incoming, stop.cancelled()).await;
        });
        core.log.info(&format!("{place}:393"), &format!("Running gRPC ModelServer at {shown} ..."));
    }
    if !flags.grpc_socket_path.is_empty() {
        let path = host_path(&flags.grpc_socket_path, core.sandbox.as_deref()).unwrap_or_default();
        let listener =
            tokio::net::UnixListener::bind(path).map_err(|_| Status::invalid("Failed to BuildAndStart gRPC server"))?;
        let stop = stop.clone();
        servers.spawn(async move {
            let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
            let server = tonic::transport::Server::builder();
            let _ = server.serve_with_incoming_shutdown(services, incoming, stop.cancelled()).await;
        });
        let path = &flags.grpc_socket_path;
        core.log.info(&format!("{place}:398"), &format!("Running gRPC ModelServer at UNIX socket {path} ..."));
    }
    if flags.rest_api_port != 0 {
        serve_rest(&core, gate, stop.clone(), &mut servers)?;
    }
    // Nothing has been printed so far; whoever waits for lines on standard output sees none, as with the original.
    let _ = out.flush();

    stop.cancelled().await;
    let finished = async { while servers.join_next().await.is_some() {} };
    // Requests that do not end in time are cut off with the process.
    let _ = tokio::time::timeout(LAST_REQUESTS, finished).await;
    Ok(())
}

fn serve_rest(
    core: &Arc<Core>,
    gate: Gate,
    stop: CancellationToken,
    servers: &mut tokio::task::JoinSet<()>,
) -> Result<(), Status> {
    let flags = &core.flags;
    let place = "model_servers/server.cc";
    if flags.rest_api_port == flags.port {
        core.log.error(
            &format!("{place}:419"),
            "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. \
             Skipped exporting HTTP/REST API.",
        );
        return Ok(());
    }
    let monitoring = if flags.monitoring_config_file.is_empty() {
        MonitoringConfig::default()
    } else {
        let host = host_path(&flags.monitoring_config_file, core.sandbox.as_deref()).unwrap_or_default();
        read_monitoring_config(&host, &flags.monitoring_config_file)?
    };
    let listener = listen(flags.rest_api_port, core.sandbox.as_deref(), Ipv6Addr::UNSPECIFIED.into())
        .or_else(|_| listen(flags.rest_api_port, core.sandbox.as_deref(), Ipv4Addr::UNSPECIFIED.into()));
    let Ok(listener) = listener else {
        core.log.net("evhttp_server.cc : 239", &format!("Couldn't bind to port {}", flags.rest_api_port));
        core.log.error(
            &format!("{place}:416"),
            &format!("Failed to start HTTP Server at localhost:{}", flags.rest_api_port),
        );
        return Ok(());
    };
    let shown = bound_address(&listener, None, "localhost");
    core.log.info(&format!("{place}:414"), &format!("Exporting HTTP/REST API at:{shown} ..."));
    core.log.net("evhttp_server.cc : 245", "Entering the event loop ...");
    let api = Api {
        context: Arc::clone(&core.context),
        prometheus_path: monitoring.prometheus_path,
        timeout: Duration::from_millis(u64::try_from(flags.rest_api_timeout_in_ms).unwrap_or(0)),
    };
    let server = RestServer { api, gate, cors: flags.rest_api_enable_cors_support };
    servers.spawn(server.serve(listener, stop));
    Ok(())
}

/// Listens on the sandbox's address, else on `standalone`. A port below 0 takes any that is free.
fn listen(port: i32, sandbox: Option<&Sandbox>, standalone: IpAddr) -> std::io::Result<TcpListener> {
    let port = u16::try_from(port.max(0)).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let address = SocketAddr::new(sandbox.map_or(standalone, |sandbox| sandbox.bind), port);
    let domain = if address.is_ipv6() { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// The address as logs name it, with the port that was really bound.
fn bound_address(listener: &TcpListener, sandbox: Option<&Sandbox>, name: &str) -> String {
    let port = listener.local_addr().map_or(0, |address| address.port());
    match sandbox {
        Some(sandbox) => format!("{}:{port}", sandbox.bind),
        None => format!("{name}:{port}"),
    }
}
