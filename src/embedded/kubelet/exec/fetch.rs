use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Console, ContainerPlace, copy_whole};
use crate::embedded::api::Registry;
use crate::objects::meta;

/// curl's codes.
const UNSUPPORTED: u8 = 1;
const USAGE: u8 = 2;
const MALFORMED: u8 = 3;
const UNRESOLVED: u8 = 6;
const REFUSED: u8 = 7;
const HTTP_ERROR: u8 = 22;
const TIMED_OUT: u8 = 28;
const EMPTY: u8 = 52;
/// How long a request may take when nothing else is asked for.
const PATIENCE: f64 = 300.0;
/// The largest body that is sent.
const LARGEST_BODY: usize = 64 << 20;

#[derive(Debug)]
struct Asked {
    url: String,
    method: Option<String>,
    headers: Vec<(String, String)>,
    data: Option<String>,
    include: bool,
    head: bool,
    fail: bool,
    discard: bool,
    silent: bool,
    write_out: String,
    limit: f64,
}

impl Asked {
    fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut asked = Self {
            url: String::new(),
            method: None,
            headers: Vec::new(),
            data: None,
            include: false,
            head: false,
            fail: false,
            discard: false,
            silent: false,
            write_out: String::new(),
            limit: PATIENCE,
        };
        let mut rest = arguments.iter().copied();
        while let Some(argument) = rest.next() {
            let options: Vec<(String, Option<String>)> = if argument.starts_with("--") {
                vec![(argument.to_owned(), None)]
            } else if let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                // `-sXPOST` is `-s -X POST`: what follows a letter that takes a value is its value.
                let mut options = Vec::new();
                for (at, letter) in letters.char_indices() {
                    let tail = &letters[at + letter.len_utf8()..];
                    let takes = "XHdowm".contains(letter);
                    options.push((format!("-{letter}"), (takes && !tail.is_empty()).then(|| tail.to_owned())));
                    if takes {
                        break;
                    }
                }
                options
            } else {
                argument.clone_into(&mut asked.url);
                continue;
            };
            for (option, attached) in options {
                let mut value = || {
                    let given = attached.clone().or_else(|| rest.next().map(str::to_owned));
                    given.ok_or_else(|| format!("option {option}: requires parameter"))
                };
                match option.as_str() {
                    "-X" | "--request" => asked.method = Some(value()?),
                    "-H" | "--header" => {
                        let header = value()?;
                        let (name, text) = header.split_once(':').unwrap_or((&header, ""));
                        asked.headers.push((name.trim().to_owned(), text.trim().to_owned()));
                    }
                    "-d" | "--data" | "--data-binary" | "--data-raw" | "--data-ascii" => asked.data = Some(value()?),
                    "-o" | "--output" => match value()?.as_str() {
                        "-" => {}
                        "/dev/null" => asked.discard = true,
                        _ => return Err("option -o: only - and /dev/null are there to write to".to_owned()),
                    },
                    "-w" | "--write-out" => asked.write_out = value()?,
                    "-m" | "--max-time" | "--connect-timeout" => {
                        asked.limit = value()?.parse().map_err(|_| format!("option {option}: expected a number"))?;
                    }
                    "-i" | "--include" => asked.include = true,
                    "-I" | "--head" => asked.head = true,
                    "-f" | "--fail" => asked.fail = true,
                    "-s" | "--silent" => asked.silent = true,
                    "-S" | "--show-error" => asked.silent = false,
                    "-v" | "--verbose" | "-L" | "--location" | "-k" | "--insecure" | "-g" | "-N" | "--noproxy" => {
                        if option == "--noproxy" {
                            value()?;
                        }
                    }
                    _ => return Err(format!("option {option}: is unknown")),
                }
            }
        }
        if asked.url.is_empty() {
            return Err("no URL specified".to_owned());
        }
        if !asked.url.contains("://") {
            asked.url = format!("http://{}", asked.url);
        }
        Ok(asked)
    }
}

/// A refusal: curl's code and words.
type Trouble = (u8, String);

/// `curl` to the lab's own addresses: the container itself, pods, and services by name.
pub(super) async fn run(
    registry: &Registry,
    place: &ContainerPlace,
    console: &Console,
    stdin: &mut mpsc::Receiver<Bytes>,
    arguments: &[&str],
) -> u8 {
    let asked = match Asked::parse(arguments) {
        Ok(asked) => asked,
        Err(why) => {
            console.err(format!("curl: {why}\n")).await;
            return USAGE;
        }
    };
    let limit = Duration::try_from_secs_f64(asked.limit).unwrap_or(Duration::from_mins(5));
    let work = fetch(registry, place, console, stdin, &asked);
    let outcome = match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err((TIMED_OUT, format!("Operation timed out after {} milliseconds", limit.as_millis()))),
    };
    match outcome {
        Ok(code) => code,
        Err((code, why)) => {
            if !asked.silent {
                console.err(format!("curl: ({code}) {why}\n")).await;
            }
            code
        }
    }
}

async fn fetch(
    registry: &Registry,
    place: &ContainerPlace,
    console: &Console,
    stdin: &mut mpsc::Receiver<Bytes>,
    asked: &Asked,
) -> Result<u8, Trouble> {
    let malformed = |_| (MALFORMED, "URL using bad/illegal format or missing URL".to_owned());
    let url: Uri = asked.url.parse().map_err(malformed)?;
    if url.scheme_str() != Some("http") {
        let scheme = url.scheme_str().unwrap_or_default();
        return Err((UNSUPPORTED, format!("Protocol \"{scheme}\" not supported or disabled in libcurl")));
    }
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(80);
    let stream = connect(registry, place, host, port).await?;
    let body = match asked.data.as_deref() {
        None => Vec::new(),
        Some("@-") => {
            let mut body = Vec::new();
            while let Some(bytes) = stdin.recv().await {
                body.extend_from_slice(&bytes);
                if body.len() > LARGEST_BODY {
                    return Err((USAGE, "the body is too large".to_owned()));
                }
            }
            body
        }
        Some(data) => match data.strip_prefix('@') {
            Some(path) => copy_whole(&place.view, path, LARGEST_BODY)
                .map_err(|why| (26, format!("Failed to open {path}: {why}")))?,
            None => data.as_bytes().to_vec(),
        },
    };
    let method = match (&asked.method, asked.head, &asked.data) {
        (Some(method), ..) => Method::from_bytes(method.as_bytes()).map_err(|_| (USAGE, "bad method".to_owned()))?,
        (None, true, _) => Method::HEAD,
        (None, false, Some(_)) => Method::POST,
        (None, false, None) => Method::GET,
    };
    let target = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request =
        Request::builder().method(method).uri(target).header("user-agent", "curl/7.81.0").header("accept", "*/*");
    if asked.data.is_some() {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    let authority = url.authority().map_or(host, http::uri::Authority::as_str);
    let mut request = request
        .header("host", authority)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| (MALFORMED, error.to_string()))?;
    for (name, value) in &asked.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| (USAGE, error.to_string()))?;
        let value = HeaderValue::from_str(value).map_err(|error| (USAGE, error.to_string()))?;
        request.headers_mut().insert(name, value);
    }
    let empty = |_| (EMPTY, "Empty reply from server".to_owned());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(empty)?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(empty)?;
    let status = response.status();
    let (head, mut body) = response.into_parts();
    if asked.include || asked.head {
        let mut text = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
        for (name, value) in &head.headers {
            text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
        }
        console.out(format!("{text}\r\n")).await;
    }
    let failed = asked.fail && status.as_u16() >= 400;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (18, format!("transfer closed: {error}")))?;
        if let Ok(bytes) = frame.into_data()
            && !asked.discard
            && !failed
        {
            console.out(bytes).await;
        }
    }
    if !asked.write_out.is_empty() {
        let text =
            asked.write_out.replace("%{http_code}", status.as_str()).replace("%{response_code}", status.as_str());
        console.out(text.replace("\\n", "\n").replace("\\t", "\t")).await;
    }
    if failed {
        return Err((HTTP_ERROR, format!("The requested URL returned error: {}", status.as_u16())));
    }
    Ok(0)
}

async fn connect(registry: &Registry, place: &ContainerPlace, host: &str, port: u16) -> Result<TcpStream, Trouble> {
    let addresses =
        resolve(registry, place, host).ok_or_else(|| (UNRESOLVED, format!("Could not resolve host: {host}")))?;
    if !addresses.iter().all(IpAddr::is_loopback) {
        return Err((
            REFUSED,
            format!("Failed to connect to {host} port {port}: only the lab's own addresses are reached from here"),
        ));
    }
    for address in addresses {
        if let Ok(stream) = TcpStream::connect((address, port)).await {
            return Ok(stream);
        }
    }
    Err((REFUSED, format!("Failed to connect to {host} port {port}: Connection refused")))
}

/// What the cluster's name server would answer.
fn resolve(registry: &Registry, place: &ContainerPlace, host: &str) -> Option<Vec<IpAddr>> {
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return Some(place.local.clone());
    }
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    if host == place.hostname {
        return place.local.last().map(|address| vec![*address]);
    }
    let short = host.trim_end_matches('.').trim_end_matches(".cluster.local").trim_end_matches(".svc");
    let (name, namespace) = short.split_once('.').unwrap_or((short, &place.namespace));
    let service = registry.get("services", Some(namespace), name).ok()?;
    if let Some(address) = service["spec"]["clusterIP"].as_str().and_then(|text| text.parse().ok()) {
        return Some(vec![address]);
    }
    // A headless service stands for its pods.
    let endpoints = registry.get("endpoints", Some(namespace), name).ok()?;
    let subsets = meta::list_at(&endpoints, &["subsets"]).iter();
    let addresses = subsets.flat_map(|subset| meta::list_at(subset, &["addresses"]));
    let addresses: Vec<IpAddr> = addresses.filter_map(|address| address["ip"].as_str()?.parse().ok()).collect();
    (!addresses.is_empty()).then_some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_curl_reads_them() {
        let asked =
            Asked::parse(&["-sXPOST", "-d", "{}", "-o", "/dev/null", "-w", "%{http_code}\\n", "x:80/p"]).unwrap();
        assert_eq!(asked.url, "http://x:80/p");
        assert_eq!((asked.method.as_deref(), asked.data.as_deref()), (Some("POST"), Some("{}")));
        assert!(asked.silent && asked.discard);
        assert!(Asked::parse(&["-sS", "http://x"]).is_ok_and(|asked| !asked.silent));
        assert_eq!(Asked::parse(&["--nope", "x"]).unwrap_err(), "option --nope: is unknown");
        assert_eq!(Asked::parse(&["-s"]).unwrap_err(), "no URL specified");
    }
}
