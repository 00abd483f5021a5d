//! The images that the embedded cluster can run, and the programs behind them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// What stands behind an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownImage {
    /// TensorFlow Serving in any version: our model server.
    ModelServer,
    /// Istio's proxy: our gateway or sidecar, by its arguments.
    Proxy,
    /// Istio's control plane: the mesh, a part of the daemon itself.
    Pilot,
}

/// What runs in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Program {
    /// A command of this binary, as a child process.
    Process {
        /// The command's name and arguments.
        args: Vec<String>,
    },
    /// `sleep`, inside the daemon: nothing needs a process for it.
    Sleeps {
        /// For how long; without end if not given.
        time: Option<Duration>,
    },
    /// Nothing needs to run: the container completes at once.
    Completes,
    /// A part of the daemon.
    Pilot,
}

/// Why an image's program cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("exec: \"{executable}\": executable file not found in $PATH: unknown")]
pub(crate) struct NoSuchProgram {
    /// What the pod wanted to run.
    pub(crate) executable: String,
}

/// Why an image cannot be pulled. The text stands in a container's status and in an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "rpc error: code = NotFound desc = no image \"{image}\" here: the embedded cluster runs tensorflow/serving, docker.io/istio/proxyv2:1.12.7 and docker.io/istio/pilot:1.12.7 only"
)]
pub(crate) struct UnknownImage {
    /// The image as the pod names it.
    pub(crate) image: String,
}

/// Finds the image by its repository; Docker Hub's name may stand before it.
pub(crate) fn find(image: &str) -> Result<KnownImage, UnknownImage> {
    let (repository, tag) = split(image);
    match (repository, tag) {
        ("tensorflow/serving", _) => Ok(KnownImage::ModelServer),
        ("istio/proxyv2", "1.12.7" | "1.12.7-distroless") => Ok(KnownImage::Proxy),
        ("istio/pilot", "1.12.7" | "1.12.7-distroless") => Ok(KnownImage::Pilot),
        _ => Err(UnknownImage { image: image.to_owned() }),
    }
}

/// Repository and tag of an image's name, without the registry's name and a digest.
fn split(image: &str) -> (&str, &str) {
    let image = image.split('@').next().unwrap_or(image);
    let image = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"]
        .iter()
        .find_map(|registry| image.strip_prefix(registry))
        .unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

/// The image's id as a status shows it: our own scheme, for nobody pulled these bytes from a registry.
pub(crate) fn image_id(image: &str) -> String {
    let (repository, tag) = split(image);
    let digest = Sha256::digest(format!("{}/{repository}:{tag}", env!("CARGO_PKG_VERSION")));
    let mut id = String::from("canary-lab://sha256:");
    for byte in digest {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// The variables that the image itself sets; the pod's own come on top.
pub(crate) fn image_environment(image: KnownImage) -> &'static [(&'static str, &'static str)] {
    match image {
        KnownImage::ModelServer => &[("MODEL_BASE_PATH", "/models"), ("MODEL_NAME", "model")],
        KnownImage::Proxy => &[("ISTIO_META_ISTIO_VERSION", "1.12.7")],
        KnownImage::Pilot => &[],
    }
}

/// What to run for a container with this image, command and arguments (both already expanded).
pub(crate) fn program(
    image: KnownImage,
    command: &[String],
    args: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Program, NoSuchProgram> {
    let given = || command.iter().skip(1).chain(args).cloned();
    let executable = command.first().map(|path| path.rsplit('/').next().unwrap_or(path));
    let unknown = || NoSuchProgram { executable: command.first().cloned().unwrap_or_default() };
    match image {
        KnownImage::ModelServer => {
            let mut all = vec!["model-server".to_owned()];
            match executable {
                // The image's entry point is a shell script that puts these four before whatever it is given.
                None | Some("tf_serving_entrypoint.sh") => {
                    let variable = |name: &str| environment.get(name).map(String::as_str).unwrap_or_default();
                    let (base, name) = (variable("MODEL_BASE_PATH"), variable("MODEL_NAME"));
                    all.push("--port=8500".to_owned());
                    all.push("--rest_api_port=8501".to_owned());
                    all.push(format!("--model_name={name}"));
                    all.push(format!("--model_base_path={base}/{name}"));
                }
                Some("tensorflow_model_server") => {}
                Some("sleep") => {
                    let time: Option<Duration> =
                        given().next().and_then(|word| word.parse().ok()).map(Duration::from_secs);
                    return Ok(Program::Sleeps { time });
                }
                Some(_) => return Err(unknown()),
            }
            all.extend(given());
            Ok(Program::Process { args: all })
        }
        KnownImage::Proxy => {
            if !matches!(executable, None | Some("pilot-agent")) {
                return Err(unknown());
            }
            let given: Vec<String> = given().collect();
            let words: Vec<&str> = given.iter().map(String::as_str).collect();
            let command = match words.as_slice() {
                ["proxy", "router", ..] => "gateway",
                ["proxy", "sidecar", ..] => "sidecar",
                ["istio-iptables" | "istio-clean-iptables", ..] => return Ok(Program::Completes),
                _ => return Err(NoSuchProgram { executable: given.first().cloned().unwrap_or_default() }),
            };
            let rest = given.into_iter().skip(2);
            Ok(Program::Process { args: [command.to_owned()].into_iter().chain(rest).collect() })
        }
        KnownImage::Pilot => match executable {
            None | Some("pilot-discovery") => Ok(Program::Pilot),
            Some(_) => Err(unknown()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn images_are_known_by_their_repository() {
        let cases = [
            ("tensorflow/serving:2.5.1", Some(KnownImage::ModelServer)),
            ("tensorflow/serving", Some(KnownImage::ModelServer)),
            ("docker.io/tensorflow/serving:latest-gpu", Some(KnownImage::ModelServer)),
            ("docker.io/istio/proxyv2:1.12.7", Some(KnownImage::Proxy)),
            ("istio/pilot:1.12.7", Some(KnownImage::Pilot)),
            ("istio/pilot:1.20.0", None),
            ("localhost:5000/tensorflow/serving", None),
            ("nginx", None),
        ];
        for (image, known) in cases {
            assert_eq!(find(image).ok(), known, "{image}");
        }
        assert!(find("nginx").unwrap_err().to_string().contains("no image \"nginx\" here"));
        assert_eq!(image_id("tensorflow/serving:2.5.1"), image_id("docker.io/tensorflow/serving:2.5.1"));
    }

    #[test]
    fn the_model_server_starts_like_the_image_does() {
        let environment = BTreeMap::from([
            ("MODEL_BASE_PATH".to_owned(), "/models".to_owned()),
            ("MODEL_NAME".to_owned(), "image_classifier".to_owned()),
        ]);
        let args = words("--model_name=image_classifier --model_base_path=/models/resnet50");
        let entry = "model-server --port=8500 --rest_api_port=8501 --model_name=image_classifier \
             --model_base_path=/models/image_classifier";
        let expected = Program::Process { args: words(entry).into_iter().chain(args.clone()).collect() };
        assert_eq!(program(KnownImage::ModelServer, &[], &args, &environment), Ok(expected));
        let direct = program(KnownImage::ModelServer, &words("/usr/bin/tensorflow_model_server"), &args, &environment);
        let expected = Program::Process { args: [words("model-server"), args].concat() };
        assert_eq!(direct, Ok(expected));
        let sleep = |text: &str| program(KnownImage::ModelServer, &words(text), &[], &environment);
        assert_eq!(sleep("sleep 3600"), Ok(Program::Sleeps { time: Some(Duration::from_hours(1)) }));
        assert_eq!(sleep("sleep infinity"), Ok(Program::Sleeps { time: None }));
        let other = program(KnownImage::ModelServer, &words("bash -c true"), &[], &environment).unwrap_err();
        assert_eq!(other.to_string(), "exec: \"bash\": executable file not found in $PATH: unknown");
    }

    #[test]
    fn the_proxy_is_a_gateway_a_sidecar_or_nothing() {
        let run = |args: &str| program(KnownImage::Proxy, &[], &words(args), &BTreeMap::new());
        let process = |text: &str| Ok(Program::Process { args: words(text) });
        assert_eq!(run("proxy router --domain x"), process("gateway --domain x"));
        assert_eq!(run("proxy sidecar --concurrency 2"), process("sidecar --concurrency 2"));
        assert_eq!(run("istio-iptables -p 15001"), Ok(Program::Completes));
        assert!(run("request GET stats").is_err());
        assert_eq!(program(KnownImage::Pilot, &[], &words("discovery"), &BTreeMap::new()), Ok(Program::Pilot));
    }
}
