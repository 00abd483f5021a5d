//! The command line: `tensorflow_model_server`'s flags, defaults and manners.

use std::fmt::Write as _;

/// What the command line says.
#[derive(Debug, Clone, PartialEq)]
pub struct Flags {
    /// The gRPC port; 0 for none.
    pub port: i32,
    /// A UNIX socket for gRPC; empty for none.
    pub grpc_socket_path: String,
    /// The REST port; 0 for none.
    pub rest_api_port: i32,
    /// Accepted and without effect: requests are worked on as processors are free.
    pub rest_api_num_threads: i32,
    /// How long a REST request may take, in milliseconds.
    pub rest_api_timeout_in_ms: i32,
    /// Whether REST responses carry CORS headers.
    pub rest_api_enable_cors_support: bool,
    /// Accepted and without effect: requests are not merged into batches.
    pub enable_batching: bool,
    /// A file with parameters for batching; only accepted together with `enable_batching`.
    pub batching_parameters_file: String,
    /// Whether a label may be given to a version that is not loaded yet.
    pub allow_version_labels_for_unavailable_models: bool,
    /// A file with the models to serve, in text format; empty for the one of `model_name`.
    pub model_config_file: String,
    /// How often to read that file again, in seconds; 0 for never.
    pub model_config_file_poll_wait_seconds: i32,
    /// The model's name in requests.
    pub model_name: String,
    /// The directory with the model's versions.
    pub model_base_path: String,
    /// How often a failed load is tried again.
    pub max_num_load_retries: i32,
    /// How long to wait before that, in microseconds.
    pub load_retry_interval_micros: i64,
    /// How often to look for new versions, in seconds; 0 for once, less for never.
    pub file_system_poll_wait_seconds: i32,
    /// No caches are flushed here; only a log line hangs on it.
    pub flush_filesystem_caches: bool,
    /// Threads for one inference; 0 for one per processor.
    pub tensorflow_session_parallelism: i64,
    /// Threads within one op; 0 for one per processor.
    pub tensorflow_intra_op_parallelism: i64,
    /// Ops at the same time; 0 for one per processor.
    pub tensorflow_inter_op_parallelism: i64,
    /// The tags of the graph to load.
    pub saved_model_tags: String,
    /// Whether to look for warm-up requests.
    pub enable_model_warmup: bool,
    /// A file with the monitoring configuration, in text format.
    pub monitoring_config_file: String,
    /// Whether `method_name` of a signature must fit the request.
    pub enable_signature_method_name_check: bool,
    /// Whether to say that the profiler is enabled.
    pub enable_profiler: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            port: 8500,
            grpc_socket_path: String::new(),
            rest_api_port: 0,
            rest_api_num_threads: 0,
            rest_api_timeout_in_ms: 30_000,
            rest_api_enable_cors_support: false,
            enable_batching: false,
            batching_parameters_file: String::new(),
            allow_version_labels_for_unavailable_models: false,
            model_config_file: String::new(),
            model_config_file_poll_wait_seconds: 0,
            model_name: "default".into(),
            model_base_path: String::new(),
            max_num_load_retries: 5,
            load_retry_interval_micros: 60_000_000,
            file_system_poll_wait_seconds: 1,
            flush_filesystem_caches: true,
            tensorflow_session_parallelism: 0,
            tensorflow_intra_op_parallelism: 0,
            tensorflow_inter_op_parallelism: 0,
            saved_model_tags: "serve".into(),
            enable_model_warmup: true,
            monitoring_config_file: String::new(),
            enable_signature_method_name_check: false,
            enable_profiler: true,
        }
    }
}

/// The outcome of reading the command line.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Parsed {
    /// Start the server. An argument that no flag took is named and otherwise ignored.
    Serve {
        /// The flags.
        flags: Box<Flags>,
        /// The first argument that is not a flag of ours.
        unknown: Option<String>,
    },
    /// Print versions and end.
    Version,
    /// A value could not be read: print the usage and end.
    Unusable {
        /// The lines for the log, one per value.
        complaints: Vec<String>,
    },
}

/// Where a flag's value goes.
enum Place<'a> {
    Int32(&'a mut i32),
    Int64(&'a mut i64),
    Bool(&'a mut bool),
    Text(&'a mut String),
    /// Accepted for compatibility; the kind of value is still checked.
    Ignored(Kind),
}

#[derive(Clone, Copy)]
enum Kind {
    Int32,
    Bool,
    Float,
    Text,
}

impl Flags {
    /// All flags in the order of the original, each with its place and what it does.
    fn table<'a>(&'a mut self, version: &'a mut bool) -> Vec<(&'static str, Place<'a>, &'static str)> {
        use Place::{Bool, Ignored, Int32, Int64, Text};
        vec![
            ("port", Int32(&mut self.port), "TCP port for gRPC; 0 turns it off."),
            ("grpc_socket_path", Text(&mut self.grpc_socket_path), "UNIX socket for gRPC, relative or absolute."),
            ("rest_api_port", Int32(&mut self.rest_api_port), "TCP port for HTTP/REST; 0 turns it off."),
            ("rest_api_num_threads", Int32(&mut self.rest_api_num_threads), "Accepted, without effect."),
            ("rest_api_timeout_in_ms", Int32(&mut self.rest_api_timeout_in_ms), "Longest time for a REST request."),
            ("rest_api_enable_cors_support", Bool(&mut self.rest_api_enable_cors_support), "Send CORS headers."),
            ("enable_batching", Bool(&mut self.enable_batching), "Accepted, without effect."),
            (
                "allow_version_labels_for_unavailable_models",
                Bool(&mut self.allow_version_labels_for_unavailable_models),
                "Let new labels name versions that are not loaded yet.",
            ),
            ("batching_parameters_file", Text(&mut self.batching_parameters_file), "Accepted, without effect."),
            (
                "model_config_file",
                Text(&mut self.model_config_file),
                "File with a ModelServerConfig in text format; --model_name and --model_base_path are then ignored.",
            ),
            (
                "model_config_file_poll_wait_seconds",
                Int32(&mut self.model_config_file_poll_wait_seconds),
                "Seconds between readings of that file; 0 reads it once.",
            ),
            ("model_name", Text(&mut self.model_name), "The model's name in requests."),
            ("model_base_path", Text(&mut self.model_base_path), "Directory with the model's numbered versions."),
            ("num_load_threads", Ignored(Kind::Int32), "Accepted, without effect."),
            ("num_unload_threads", Ignored(Kind::Int32), "Accepted, without effect."),
            ("max_num_load_retries", Int32(&mut self.max_num_load_retries), "How often a failed load is tried again."),
            (
                "load_retry_interval_micros",
                Int64(&mut self.load_retry_interval_micros),
                "Microseconds before a load is tried again; a negative number does not wait.",
            ),
            (
                "file_system_poll_wait_seconds",
                Int32(&mut self.file_system_poll_wait_seconds),
                "Seconds between looks for new versions; 0 looks once, a negative number never.",
            ),
            (
                "flush_filesystem_caches",
                Bool(&mut self.flush_filesystem_caches),
                "Accepted; only a log line follows from it.",
            ),
            (
                "tensorflow_session_parallelism",
                Int64(&mut self.tensorflow_session_parallelism),
                "Threads for an inference; 0 takes all processors.",
            ),
            (
                "tensorflow_intra_op_parallelism",
                Int64(&mut self.tensorflow_intra_op_parallelism),
                "Threads within an op; 0 takes all processors.",
            ),
            (
                "tensorflow_inter_op_parallelism",
                Int64(&mut self.tensorflow_inter_op_parallelism),
                "Ops at the same time; 0 takes all processors.",
            ),
            ("ssl_config_file", Ignored(Kind::Text), "Accepted, without effect."),
            ("platform_config_file", Ignored(Kind::Text), "Accepted, without effect."),
            ("per_process_gpu_memory_fraction", Ignored(Kind::Float), "Accepted, without effect."),
            ("saved_model_tags", Text(&mut self.saved_model_tags), "Tags of the graph to load, separated by commas."),
            ("grpc_channel_arguments", Ignored(Kind::Text), "Accepted, without effect."),
            ("grpc_max_threads", Ignored(Kind::Int32), "Accepted, without effect."),
            ("enable_model_warmup", Bool(&mut self.enable_model_warmup), "Look for warm-up requests."),
            ("version", Bool(version), "Print versions and end."),
            (
                "monitoring_config_file",
                Text(&mut self.monitoring_config_file),
                "File with a MonitoringConfig in text format.",
            ),
            ("remove_unused_fields_from_bundle_metagraph", Ignored(Kind::Bool), "Accepted, without effect."),
            ("prefer_tflite_model", Ignored(Kind::Bool), "Accepted, without effect."),
            ("num_tflite_pools", Ignored(Kind::Int32), "Accepted, without effect."),
            ("num_tflite_interpreters_per_pool", Ignored(Kind::Int32), "Accepted, without effect."),
            (
                "enable_signature_method_name_check",
                Bool(&mut self.enable_signature_method_name_check),
                "Require that a signature's method_name fits the request.",
            ),
            ("xla_cpu_compilation_enabled", Ignored(Kind::Bool), "Accepted, without effect."),
            ("enable_profiler", Bool(&mut self.enable_profiler), "Accepted; only a log line follows from it."),
        ]
    }

    /// Reads `--name=value`, `-name=value` and, for switches, `--name`. `args` is without the program's name.
    pub fn parse(args: &[String]) -> Parsed {
        let mut flags = Self::default();
        let mut version = false;
        let mut complaints = Vec::new();
        let mut unknown = None;
        {
            let mut table = flags.table(&mut version);
            for argument in args {
                match assign(&mut table, argument) {
                    Assigned::Yes => {}
                    Assigned::NoSuchFlag => {
                        unknown.get_or_insert_with(|| argument.clone());
                    }
                    Assigned::BadValue { name, value } => {
                        complaints.push(format!("Couldn't interpret value {value} for flag {name}."));
                    }
                }
            }
        }
        if !complaints.is_empty() {
            Parsed::Unusable { complaints }
        } else if version {
            Parsed::Version
        } else {
            Parsed::Serve { flags: Box::new(flags), unknown }
        }
    }

    /// The usage text: each flag with its default and what it does.
    pub fn usage() -> String {
        let mut flags = Self::default();
        let mut version = false;
        let mut text = String::from("usage: canary-lab model-server\nFlags:\n");
        for (name, place, help) in flags.table(&mut version) {
            let (flag, kind) = match place {
                Place::Int32(value) => (format!("--{name}={value}"), "int32"),
                Place::Int64(value) => (format!("--{name}={value}"), "int64"),
                Place::Bool(value) => (format!("--{name}={value}"), "bool"),
                Place::Text(value) => (format!("--{name}=\"{value}\""), "string"),
                Place::Ignored(Kind::Int32) => (format!("--{name}=0"), "int32"),
                Place::Ignored(Kind::Bool) => (format!("--{name}=false"), "bool"),
                Place::Ignored(Kind::Float) => (format!("--{name}=0.000000"), "float"),
                Place::Ignored(Kind::Text) => (format!("--{name}=\"\""), "string"),
            };
            let _ = writeln!(text, "\t{flag:<33}\t{kind}\t{help}");
        }
        text
    }
}

enum Assigned {
    Yes,
    NoSuchFlag,
    BadValue { name: &'static str, value: String },
}

fn assign(table: &mut [(&'static str, Place<'_>, &'static str)], argument: &str) -> Assigned {
    let Some(body) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
        return Assigned::NoSuchFlag;
    };
    let (wanted, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    let Some((name, place, _)) = table.iter_mut().find(|(name, _, _)| *name == wanted) else {
        return Assigned::NoSuchFlag;
    };
    let switch = |value: Option<&str>| match value {
        None | Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => None,
    };
    let done = match (place, value) {
        (Place::Bool(target), value) => switch(value).map(|on| **target = on),
        (Place::Ignored(Kind::Bool), value) => switch(value).map(|_| ()),
        (_, None) => return Assigned::NoSuchFlag,
        (Place::Int32(target), Some(value)) => value.parse().ok().map(|number| **target = number),
        (Place::Int64(target), Some(value)) => value.parse().ok().map(|number| **target = number),
        (Place::Text(target), Some(value)) => {
            value.clone_into(target);
            Some(())
        }
        (Place::Ignored(Kind::Int32), Some(value)) => value.parse::<i32>().ok().map(|_| ()),
        (Place::Ignored(Kind::Float), Some(value)) => value.parse::<f32>().ok().map(|_| ()),
        (Place::Ignored(Kind::Text), Some(_)) => Some(()),
    };
    match done {
        Some(()) => Assigned::Yes,
        None => Assigned::BadValue { name, value: value.unwrap_or_default().to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Parsed {
        Flags::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn flags_take_one_or_two_dashes_and_switches_need_no_value() {
        let expected = Flags {
            rest_api_port: 8501,
            model_name: "m=n".into(),
            rest_api_enable_cors_support: true,
            enable_model_warmup: false,
            ..Flags::default()
        };
        let args = [
            "-rest_api_port=8501",
            "--model_name=m=n",
            "--rest_api_enable_cors_support",
            "--enable_model_warmup=false",
        ];
        assert_eq!(parse(&args), Parsed::Serve { flags: Box::new(expected), unknown: None });
    }

    #[test]
    fn unknown_arguments_are_kept_and_bad_values_are_not() {
        let Parsed::Serve { unknown, flags } = parse(&["--modell_name=x", "more", "--port"]) else { panic!() };
        assert_eq!((unknown.as_deref(), *flags), (Some("--modell_name=x"), Flags::default()));
        let complaint = "Couldn't interpret value eighty for flag port.".to_owned();
        assert_eq!(parse(&["--port=eighty"]), Parsed::Unusable { complaints: vec![complaint] });
        assert_eq!(parse(&["--version"]), Parsed::Version);
        assert!(matches!(parse(&["--enable_batching=yes"]), Parsed::Unusable { .. }));
    }

    #[test]
    fn the_usage_lists_every_flag_with_its_default() {
        let usage = Flags::usage();
        assert!(usage.contains("\t--port=8500                      \tint32\t"), "{usage}");
        assert_eq!(usage.lines().count(), 2 + 38);
    }
}
