//! The HTML pages that libevent answers with by itself.

/// The page of a status that the API never saw, for example `404 Not Found`.
pub(super) fn page(code: u16) -> String {
    let phrase = phrase(code);
    format!("<HTML><HEAD>\n<TITLE>{code} {phrase}</TITLE>\n</HEAD><BODY>\n<H1>{phrase}</H1>\n</BODY></HTML>\n")
}

/// The reason phrase that libevent 2.1.8 puts behind a status code.
pub(super) fn phrase(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        417 => "Expectation Failed",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Time-out",
        code if code < 500 => "Client Error",
        _ => "Server Error",
    }
}
