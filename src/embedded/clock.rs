//! Times as Kubernetes writes them.

use jiff::Timestamp;

/// Now, in whole seconds: the form of most times in objects.
pub(crate) fn now() -> String {
    seconds(Timestamp::now())
}

/// A time in whole seconds.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time with nine decimals, as container logs carry it.
pub(crate) fn nanoseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// Reads a time in whatever precision; `None` for anything that is no time.
pub(crate) fn parse(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// The seconds since then; 0 for a time that is missing or in the future.
pub(crate) fn seconds_since(text: Option<&str>) -> u64 {
    parse(text).map_or(0, |then| u64::try_from(Timestamp::now().as_second() - then.as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_kubernetes_does() {
        let at = Timestamp::new(1_795_000_000, 12_000_000).unwrap();
        assert_eq!(seconds(at), "2026-11-18T11:06:40Z");
        assert_eq!(nanoseconds(at), "2026-11-18T11:06:40.012000000Z");
        assert_eq!(parse(Some("2026-11-18T11:06:40Z")).map(Timestamp::as_second), Some(1_795_000_000));
        assert_eq!(parse(Some("soon")), None);
        assert_eq!(seconds_since(None), 0);
    }
}
