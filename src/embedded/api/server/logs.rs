use std::sync::Arc;

use http::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::ApiServer;
use super::body::{self, Body};
use super::exchange::Exchange;
use crate::embedded::api::logs::LogOptions;
use crate::embedded::api::status::Status;
use crate::objects::{FieldError, Gvk, meta};

/// Answers `GET …/pods/NAME/log`.
pub(super) async fn answer(
    server: &Arc<ApiServer>,
    exchange: &Exchange,
    namespace: Option<&str>,
    name: &str,
) -> Result<Response<Body>, Status> {
    let pod = server.registry.get("pods", namespace, name)?;
    let options = options(exchange, name)?;
    let container = container(exchange, &pod, name)?;
    check_started(&pod, name, &container, options.previous)?;
    let log = server.logs.logs(&pod, &container, options).await?;
    Ok(Exchange::stream("text/plain", body::stream(log)))
}

fn options(exchange: &Exchange, name: &str) -> Result<LogOptions, Status> {
    let mut errors = Vec::new();
    let mut number = |parameter: &'static str, least: i64| -> Result<Option<i64>, Status> {
        let Some(text) = exchange.parameter(parameter).filter(|text| !text.is_empty()) else { return Ok(None) };
        let number: i64 = text
            .parse()
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?;
        if number < least {
            let why = format!("must be greater than {}", if least == 0 { "or equal to 0" } else { "0" });
            errors.push(FieldError::invalid(parameter, &number.to_string(), &why));
        }
        Ok(Some(number))
    };
    let tail_lines = number("tailLines", 0)?;
    let limit_bytes = number("limitBytes", 1)?;
    let since_seconds = number("sinceSeconds", 1)?;
    let since_time = exchange.parameter("sinceTime").and_then(|text| text.parse::<Timestamp>().ok());
    if since_seconds.is_some() && since_time.is_some() {
        errors.push(FieldError::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&Gvk::new("", "v1", "PodLogOptions"), name, &errors));
    }
    let since = since_seconds.map(|seconds| Timestamp::now() - SignedDuration::from_secs(seconds)).or(since_time);
    let size = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
    Ok(LogOptions {
        follow: exchange.flag("follow"),
        previous: exchange.flag("previous"),
        since,
        timestamps: exchange.flag("timestamps"),
        tail_lines: size(tail_lines),
        limit_bytes: size(limit_bytes),
    })
}

fn names<'a>(pod: &'a Value, list: &'a str) -> impl Iterator<Item = &'a str> {
    meta::list_at(pod, &["spec", list]).iter().filter_map(|container| container["name"].as_str())
}

/// The container asked for, or the one that is meant when none is.
pub(super) fn container(exchange: &Exchange, pod: &Value, name: &str) -> Result<String, Status> {
    if let Some(asked) = exchange.parameter("container").filter(|asked| !asked.is_empty()) {
        let known = ["containers", "initContainers"].iter().any(|list| names(pod, list).any(|name| name == asked));
        return if known {
            Ok(asked.to_owned())
        } else {
            Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
        };
    }
    let all: Vec<&str> = names(pod, "containers").collect();
    let init: Vec<&str> = names(pod, "initContainers").collect();
    if let ([only], []) = (all.as_slice(), init.as_slice()) {
        return Ok((*only).to_owned());
    }
    let mut message = format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "));
    if !init.is_empty() {
        message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
    }
    Err(Status::bad_request(message))
}

/// Refuses what the kubelet would have no log of.
fn check_started(pod: &Value, name: &str, container: &str, previous: bool) -> Result<(), Status> {
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let status = ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|list| meta::list_at(pod, &["status", list]))
        .find(|status| status["name"] == container);
    let waiting = |reason: &str| {
        Status::bad_request(format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"))
    };
    let Some(status) = status else {
        let why = if names(pod, "initContainers").next().is_some() { "PodInitializing" } else { "ContainerCreating" };
        return Err(waiting(why));
    };
    if previous {
        return if status["lastState"]["terminated"].is_object() {
            Ok(())
        } else {
            Err(Status::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{name}\" not found"
            )))
        };
    }
    let state = &status["state"];
    match state["waiting"]["reason"].as_str() {
        // Between two runs the last one's log is shown.
        Some(_) if status["lastState"]["terminated"].is_object() => Ok(()),
        Some(reason) => Err(match reason {
            "ErrImagePull" | "ImagePullBackOff" => Status::bad_request(format!(
                "container \"{container}\" in pod \"{name}\" is waiting to start: trying and failing to pull image"
            )),
            reason => waiting(reason),
        }),
        None => Ok(()),
    }
}
