use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;

/// Whether a text has the format; formats that the API server does not check are had by every text.
pub(super) fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, length)| {
            let limit = match address.parse() {
                Ok(std::net::IpAddr::V4(_)) => 32,
                Ok(std::net::IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            length.parse::<u8>().is_ok_and(|length| length <= limit)
        }),
        "uuid" => uuid::Uuid::parse_str(text).is_ok(),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "hostname" => {
            !text.is_empty()
                && text.len() <= 255
                && text.split('.').all(|part| {
                    !part.is_empty()
                        && part.len() <= 63
                        && part.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
                        && !part.starts_with('-')
                        && !part.ends_with('-')
                })
        }
        "email" => text
            .rsplit_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)),
        "uri" => http::Uri::try_from(text).is_ok(),
        _ => true,
    }
}
