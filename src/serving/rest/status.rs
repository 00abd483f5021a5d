//! The body of a status request.

use super::protobuf_json::Item;
use crate::serving::lifecycle::VersionState;
use crate::serving::proto::model_version_status::State;

/// The name of a state in JSON.
fn name(state: State) -> &'static str {
    match state {
        State::Unknown => "UNKNOWN",
        State::Start => "START",
        State::Loading => "LOADING",
        State::Available => "AVAILABLE",
        State::Unloading => "UNLOADING",
        State::End => "END",
    }
}

/// The states of versions, in the order given.
pub(super) fn status_body(states: &[(i64, VersionState)]) -> String {
    let item = |(version, state): &(i64, VersionState)| {
        let (code, message) = match &state.error {
            None => ("OK", String::new()),
            Some(error) => (error.code.name(), error.text().into_owned()),
        };
        Item::object([
            ("version", Item::text(version.to_string())),
            ("state", Item::text(name(state.state))),
            ("status", Item::object([("error_code", Item::text(code)), ("error_message", Item::text(message))])),
        ])
    };
    Item::object([("model_version_status", Item::List(states.iter().map(item).collect()))]).print()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_protocol_buffers_own() {
        let state = VersionState { state: State::Available, error: None };
        let expected = "{\n \"model_version_status\": [\n  {\n   \"version\": \"1\",\n   \"state\": \"AVAILABLE\",\n   \"status\": \
                        {\n    \"error_code\": \"OK\",\n    \"error_message\": \"\"\n   }\n  }\n ]\n}\n";
        assert_eq!(status_body(&[(1, state)]), expected);
    }
}
