//! One request, from the client's head to the upstream's answer or the proxy's own reply.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, LOCATION, ORIGIN, SET_COOKIE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::balance::hash_of;
use super::cors;
use super::flags::Flags;
use super::headers;
use super::local_reply::{self, fix_reason, is_grpc};
use super::record::{LogFields, Record};
use super::request_body::{RequestBody, Source};
use super::response_body::{InFlight, ResponseBody};
use super::retry;
use super::upstream::{Answer, Failure};
use super::worker::{Origin, Role, Target, Worker};
use crate::routing::header_template::TemplateValues;
use crate::routing::path;
use crate::routing::select::{Decision, RequestHead, rewritten_target};
use crate::routing::snapshot::{Fault, Forward, Mirror, RetryPolicy, Route, WeightedCluster};

type Reply = Response<ResponseBody>;

/// A request on its way: what has been learnt of it so far.
struct Passage {
    worker: Rc<Worker>,
    origin: Origin,
    record: Record,
    in_flight: InFlight,
    method: Method,
    /// The normalised path with its query.
    target: String,
    authority: String,
    protocol: &'static str,
    grpc: bool,
}

/// Answers one request.
pub(super) async fn handle(
    worker: Rc<Worker>,
    origin: Origin,
    in_flight: Rc<Cell<usize>>,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let (mut head, body) = request.into_parts();
    let mut passage = Passage {
        record: Record::new(worker.clone()),
        in_flight: InFlight::new(in_flight),
        worker: worker.clone(),
        origin,
        protocol: protocol(head.version),
        grpc: is_grpc(&head.headers),
        target: head.uri.path_and_query().map(|target| target.as_str().to_owned()).unwrap_or_default(),
        authority: authority(&head.uri, &head.headers),
        method: head.method,
    };
    if worker.live.borrow().snapshot.access_log {
        passage.start_log(&head.headers);
    }
    if let Some((status, text, details)) = passage.refusal(head.version) {
        return Ok(passage.refuse(status, text, details));
    }
    if let std::borrow::Cow::Owned(clean) = path::normalise(&passage.target) {
        passage.target = clean;
    }
    // HTTP/2 has no Host header, and an absolute target beats the one that was sent.
    if (head.version == Version::HTTP_2 || head.uri.authority().is_some())
        && let Ok(host) = HeaderValue::from_str(&passage.authority)
    {
        head.headers.insert(HOST, host);
    }
    let source = Source::new(body);
    passage.record.source = Some(source.clone());
    match worker.role {
        Role::Gateway => {
            headers::enter_gateway(&mut head.headers, origin.peer);
            passage.log_headers(&head.headers);
            Ok(passage.route(head.headers, source).await)
        }
        Role::Sidecar { .. } => {
            headers::enter_sidecar(&mut head.headers);
            passage.log_headers(&head.headers);
            Ok(passage.into_application(head.headers, source, head.version).await)
        }
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn authority(uri: &Uri, headers: &HeaderMap) -> String {
    match uri.authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned(),
    }
}

/// The methods that Envoy's HTTP/1 parser knows.
fn is_known_method(method: &Method) -> bool {
    const OTHERS: [&str; 26] = [
        "COPY",
        "LOCK",
        "MKCOL",
        "MOVE",
        "PROPFIND",
        "PROPPATCH",
        "SEARCH",
        "UNLOCK",
        "BIND",
        "REBIND",
        "UNBIND",
        "ACL",
        "REPORT",
        "MKACTIVITY",
        "CHECKOUT",
        "MERGE",
        "M-SEARCH",
        "NOTIFY",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PURGE",
        "MKCALENDAR",
        "LINK",
        "UNLINK",
        "SOURCE",
        "PATCH",
    ];
    matches!(method.as_str(), "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "CONNECT" | "TRACE")
        || OTHERS.contains(&method.as_str())
}

/// What a route adds to plain forwarding.
struct Handling<'a> {
    retry: Option<&'a RetryPolicy>,
    timeout: Option<Duration>,
    mirror: Option<&'a Mirror>,
    rule: Option<(&'a Route, &'a Forward, &'a WeightedCluster)>,
    http2: bool,
}

impl Passage {
    fn start_log(&mut self, headers: &HeaderMap) {
        self.record.logged = Some(Box::new(LogFields {
            method: self.method.as_str().to_owned(),
            path: self.target.clone(),
            protocol: self.protocol,
            user_agent: headers.get(http::header::USER_AGENT).cloned(),
            authority: self.authority.clone(),
            local: Some(self.origin.local),
            remote: Some(self.origin.peer),
            ..LogFields::default()
        }));
    }

    fn log_headers(&mut self, headers: &HeaderMap) {
        if let Some(fields) = &mut self.record.logged {
            fields.forwarded_for = headers.get(headers::FORWARDED_FOR).cloned();
            fields.request_id = headers.get(headers::REQUEST_ID).cloned();
        }
    }

    /// Requests that are answered before any routing: status, text and detail.
    fn refusal(&self, version: Version) -> Option<(u16, &'static str, &'static str)> {
        match version {
            Version::HTTP_09 | Version::HTTP_10 => return Some((426, "", "low_version")),
            _ => {}
        }
        if !is_known_method(&self.method) || self.target.is_empty() {
            return Some((400, "Bad Request", "http1.codec_error"));
        }
        if self.authority.is_empty() {
            return Some((400, "", "missing_host_header"));
        }
        (!self.target.starts_with('/')).then_some((404, "", "absolute_path_rejected"))
    }

    /// Replies and closes the connection.
    fn refuse(self, status: u16, text: &'static str, details: &'static str) -> Reply {
        let mut reply = self.reply(status, text, Flags::default(), details);
        reply.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        reply
    }

    fn reply(mut self, status: u16, text: &'static str, flags: Flags, details: &'static str) -> Reply {
        self.record.flags.add(flags);
        self.record.details = details;
        let grpc = self.grpc;
        self.own(local_reply::reply(status, text, grpc))
    }

    fn own(mut self, response: Response<Bytes>) -> Reply {
        self.record.status = response.status().as_u16();
        let (record, in_flight) = (self.record, self.in_flight);
        response.map(|bytes| ResponseBody::own(bytes, record, in_flight))
    }

    fn head<'a>(&'a self, headers: &'a HeaderMap) -> RequestHead<'a> {
        RequestHead {
            method: self.method.as_str(),
            authority: &self.authority,
            target: &self.target,
            scheme: "http",
            headers,
        }
    }

    async fn route(mut self, headers: HeaderMap, source: Rc<Source>) -> Reply {
        let live = self.worker.live.borrow().clone();
        let port = self.origin.local.port();
        let listener = live.snapshot.listeners.iter().find(|listener| listener.port == port);
        let decision =
            listener.map_or(Decision::NoRoute, |listener| listener.select(&self.head(&headers), rand::random()));
        let (route, forward, chosen) = match decision {
            Decision::NoRoute => return self.reply(404, "", Flags::NO_ROUTE, "route_not_found"),
            Decision::RequireHttps => {
                let location = format!("https://{}{}", self.authority, self.target);
                return self.redirect(301, &location);
            }
            Decision::Redirect(route, redirect) => {
                self.name_route(route);
                let location = redirect.location(&self.head(&headers));
                return self.redirect(redirect.code, &location);
            }
            Decision::Forward(route, forward, chosen) => (route, forward, chosen),
        };
        self.name_route(route);
        let target = live.targets.get(&chosen.cluster);
        self.record.cluster = target.map(|target| target.name.clone());
        let allowed_origin = route.cors.as_ref().and_then(|policy| {
            let origin = headers.get(ORIGIN)?;
            cors::allows(policy, origin.to_str().ok()?).then(|| (policy, origin.clone()))
        });
        if let Some((policy, origin)) = &allowed_origin
            && self.method == Method::OPTIONS
            && headers.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            self.record.details = "cors_response";
            return self.own(cors::preflight(policy, origin));
        }
        if let Some(status) = self.inject(route.fault.as_ref()).await {
            return self.reply(status, "fault filter abort", Flags::FAULT_INJECTED, "fault_filter_abort");
        }
        let Some(target) = target else {
            return self.reply(503, "", Flags::NO_CLUSTER, "cluster_not_found");
        };
        let handling = Handling {
            retry: forward.retry.as_ref(),
            timeout: forward.timeout_ms.map(Duration::from_millis),
            mirror: forward.mirror.as_ref(),
            rule: Some((route, forward, chosen)),
            http2: target.cluster.http2,
        };
        let mut reply = self.send(headers, source, target, &handling).await;
        if let Some((policy, origin)) = &allowed_origin {
            cors::mark(policy, origin, reply.headers_mut());
        }
        reply
    }

    async fn into_application(self, headers: HeaderMap, source: Rc<Source>, version: Version) -> Reply {
        let worker = self.worker.clone();
        let Some(target) = worker.inbound.get(&self.origin.local.port()) else {
            return self.reply(503, "", Flags::NO_CLUSTER, "cluster_not_found");
        };
        // A sidecar neither repeats nor limits: what it says is what the application said. It speaks what it was spoken to in.
        let http2 = version == Version::HTTP_2;
        let handling = Handling { retry: None, timeout: None, mirror: None, rule: None, http2 };
        self.send(headers, source, target, &handling).await
    }

    fn name_route(&mut self, route: &Route) {
        if let Some(fields) = &mut self.record.logged {
            fields.route.clone_from(&route.name);
        }
    }

    fn redirect(mut self, code: u16, location: &str) -> Reply {
        let mut response = local_reply::reply(code, "", false);
        if let Ok(location) = HeaderValue::from_str(location) {
            response.headers_mut().insert(LOCATION, location);
        }
        self.record.details = "direct_response";
        self.own(response)
    }

    /// Waits out an injected delay; the status of an injected abort.
    async fn inject(&mut self, fault: Option<&Fault>) -> Option<u16> {
        let fault = fault?;
        let strikes = |percent: f64| rand::random_range(0.0..100.0) < percent;
        if let Some((milliseconds, percent)) = fault.delay
            && strikes(percent)
        {
            self.record.flags.add(Flags::DELAY_INJECTED);
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
        fault.abort.filter(|(_, percent)| strikes(*percent)).map(|(status, _)| status)
    }

    /// Applies what the rule changes in the request.
    fn edit(&self, headers: &mut HeaderMap, rule: (&Route, &Forward, &WeightedCluster)) -> Option<String> {
        let (route, forward, chosen) = rule;
        if !chosen.request_headers.is_empty() {
            let original = headers.clone();
            headers::apply(&chosen.request_headers, headers, &self.template_values(&original));
        }
        if let Some(authority) = forward.rewrite_authority.as_ref().or(chosen.rewrite_authority.as_ref()) {
            headers::rewrite_host(headers, authority);
        }
        let operation = operation_of(&chosen.cluster);
        if let Ok(operation) = HeaderValue::from_str(&operation) {
            headers.insert(headers::DECORATOR, operation);
        }
        let replacement = forward.rewrite_path.as_ref()?;
        let rewritten = rewritten_target(&route.matcher, replacement, &self.head(headers));
        if let Ok(original) = HeaderValue::from_str(&self.target) {
            headers.insert(headers::ORIGINAL_PATH, original);
        }
        Some(rewritten)
    }

    fn template_values<'a>(&'a self, request: &'a HeaderMap) -> TemplateValues<'a> {
        TemplateValues { request, protocol: self.protocol, client: self.origin.peer, hostname: &self.worker.hostname }
    }

    async fn send(
        mut self,
        mut headers: HeaderMap,
        source: Rc<Source>,
        target: &Target,
        handling: &Handling<'_>,
    ) -> Reply {
        self.record.cluster = Some(target.name.clone());
        let hashed = hash_of(&target.cluster, &self.head(&headers), self.origin.peer);
        // What response edits may refer to is the request as the client sent it.
        let client_headers = handling.rule.filter(|(_, _, c)| !c.response_headers.is_empty()).map(|_| headers.clone());
        let rewritten = handling.rule.and_then(|rule| self.edit(&mut headers, rule));
        let path = rewritten.unwrap_or_else(|| self.target.clone());
        // A method that could have a body but brings none says so, as Envoy does.
        let may_have_body = !matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE" | "TRACE" | "CONNECT");
        if may_have_body && source.is_empty() && !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        let outcome = self.try_until_settled(&headers, &path, &source, target, handling, hashed.hash).await;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(Settled::NoEndpoint) => {
                return self.reply(503, "no healthy upstream", Flags::NO_HEALTHY_UPSTREAM, "no_healthy_upstream");
            }
            Err(Settled::Timeout) => {
                return self.reply(504, "upstream request timeout", Flags::TIMEOUT, "response_timeout");
            }
            Err(Settled::Failed(failure)) => {
                let (status, text) = local_reply::of_failure(failure);
                let (flags, details) = log_words(failure);
                return self.reply(status, text, flags, details);
            }
        };
        if let Some(mirror) = handling.mirror {
            self.mirror(mirror, &headers, &path, &source);
        }
        let Answer { response, local, lease } = answer;
        let finished = source.finished().unwrap_or_else(Instant::now);
        let milliseconds = finished.elapsed().as_millis() as u64;
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        headers::leave(&mut parts.headers, milliseconds);
        if let (Some((_, _, chosen)), Some(client_headers)) = (handling.rule, &client_headers) {
            headers::apply(&chosen.response_headers, &mut parts.headers, &self.template_values(client_headers));
        }
        if let Some(cookie) = hashed.cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
            parts.headers.append(SET_COOKIE, cookie);
        }
        self.record.status = parts.status.as_u16();
        self.record.upstream_time = Some(milliseconds);
        self.record.upstream_local = local;
        let body = ResponseBody::upstream(body, lease, self.record, self.in_flight);
        let mut reply = Response::from_parts(parts, body);
        fix_reason(&mut reply);
        reply
    }

    async fn try_until_settled(
        &mut self,
        headers: &HeaderMap,
        path: &str,
        source: &Rc<Source>,
        target: &Target,
        handling: &Handling<'_>,
        hash: Option<u64>,
    ) -> Result<Answer, Settled> {
        let connect_timeout = Duration::from_millis(target.cluster.connect_timeout_ms);
        let mut deadline = pin!(after_body(source, handling.timeout));
        let mut tried: Vec<SocketAddr> = Vec::new();
        let retries = handling.retry.map_or(0, |policy| policy.retries);
        let mut repetition = 0;
        loop {
            let address =
                target.turn.pick(&target.cluster, hash, &tried, &self.worker.pools).ok_or(Settled::NoEndpoint)?;
            self.record.upstream = Some(address);
            let mut attempt_headers = headers.clone();
            // A sidecar keeps the gateway's count.
            if handling.rule.is_some() {
                attempt_headers.insert(headers::ATTEMPT_COUNT, HeaderValue::from(repetition + 1));
            }
            let request = upstream_request(&self.method, path, attempt_headers, source.body(), handling.http2)
                .ok_or(Settled::Failed(Failure::Protocol))?;
            let endpoint = self.worker.pools.endpoint(address);
            let per_try = handling.retry.and_then(|policy| policy.per_try_timeout_ms).map(Duration::from_millis);
            let outcome = tokio::select! {
                biased;
                answer = endpoint.send(request, handling.http2, connect_timeout) => answer,
                () = deadline.as_mut() => return Err(Settled::Timeout),
                () = after_body(source, per_try) => Err(Failure::PerTryTimeout),
            };
            let wants_more = handling.retry.is_some_and(|policy| match &outcome {
                Ok(answer) => {
                    let response = &answer.response;
                    retry::after_response(policy, response.status().as_u16(), response.headers())
                }
                Err(failure) => retry::after_failure(policy, *failure),
            });
            if !wants_more || repetition >= retries || !source.can_repeat() {
                if wants_more && repetition >= retries {
                    self.record.flags.add(Flags::RETRY_LIMIT);
                }
                return outcome.map_err(Settled::Failed);
            }
            drop(outcome);
            tried.push(address);
            tokio::select! {
                () = tokio::time::sleep(retry::back_off(repetition)) => {}
                () = deadline.as_mut() => return Err(Settled::Timeout),
            }
            repetition += 1;
        }
    }

    /// Sends a copy to the mirror's cluster once the body is complete; its answer is read and forgotten.
    fn mirror(&self, mirror: &Mirror, headers: &HeaderMap, path: &str, source: &Rc<Source>) {
        if rand::random_range(0.0..100.0) >= mirror.percent {
            return;
        }
        let live = self.worker.live.borrow().clone();
        let (worker, source, cluster) = (self.worker.clone(), source.clone(), mirror.cluster.clone());
        let (method, path, mut headers) = (self.method.clone(), path.to_owned(), headers.clone());
        if let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()).map(shadow)
            && let Ok(host) = HeaderValue::try_from(host)
        {
            headers.insert(HOST, host);
        }
        tokio::task::spawn_local(async move {
            let Some(target) = live.targets.get(&cluster) else { return };
            source.wait_finished().await;
            if !source.can_repeat() {
                return;
            }
            let Some(address) = target.turn.pick(&target.cluster, None, &[], &worker.pools) else { return };
            let http2 = target.cluster.http2;
            let Some(request) = upstream_request(&method, &path, headers, source.body(), http2) else { return };
            let timeout = Duration::from_millis(target.cluster.connect_timeout_ms);
            if let Ok(answer) = worker.pools.endpoint(address).send(request, http2, timeout).await {
                let mut body = answer.response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
                answer.lease.give_back();
            }
        });
    }
}

/// How a request without an upstream response ended.
enum Settled {
    NoEndpoint,
    Timeout,
    Failed(Failure),
}

fn log_words(failure: Failure) -> (Flags, &'static str) {
    match failure {
        Failure::Connect => (Flags::CONNECTION_FAILURE, "upstream_reset_before_response_started{connection_failure}"),
        Failure::Termination => {
            (Flags::CONNECTION_TERMINATION, "upstream_reset_before_response_started{connection_termination}")
        }
        Failure::RemoteReset => (Flags::REMOTE_RESET, "upstream_reset_before_response_started{remote_reset}"),
        Failure::RefusedStream => {
            (Flags::REMOTE_RESET, "upstream_reset_before_response_started{remote_refused_stream_reset}")
        }
        Failure::Protocol => (Flags::PROTOCOL_ERROR, "upstream_reset_before_response_started{protocol_error}"),
        Failure::ClientGone => (Flags::CLIENT_GONE, "downstream_remote_disconnect"),
        Failure::PerTryTimeout => (Flags::TIMEOUT, "upstream_per_try_timeout"),
    }
}

/// Ends the given time after the whole request has been read; never without a time.
async fn after_body(source: &Rc<Source>, time: Option<Duration>) {
    match time {
        None => std::future::pending().await,
        Some(time) => {
            source.wait_finished().await;
            tokio::time::sleep(time).await;
        }
    }
}

/// `outbound|8501|v1|name.ns.svc.cluster.local` as `name.ns.svc.cluster.local:8501/*`.
fn operation_of(cluster: &str) -> String {
    let mut parts = cluster.split('|').skip(1);
    let port = parts.next().unwrap_or_default();
    format!("{}:{port}/*", parts.nth(1).unwrap_or_default())
}

/// The Host of a mirrored request: `-shadow` before the port.
fn shadow(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) => format!("{name}-shadow:{port}"),
        None => format!("{host}-shadow"),
    }
}

fn upstream_request(
    method: &Method,
    path: &str,
    mut headers: HeaderMap,
    body: RequestBody,
    http2: bool,
) -> Option<Request<RequestBody>> {
    let path = PathAndQuery::try_from(path).ok()?;
    let uri = if http2 {
        let host = headers.remove(HOST)?;
        Uri::builder().scheme(Scheme::HTTP).authority(host.to_str().ok()?).path_and_query(path).build().ok()?
    } else {
        Uri::from(path)
    };
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.headers_mut() = headers;
    Some(request)
}
