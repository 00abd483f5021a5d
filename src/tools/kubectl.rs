//! What kubectl prints about itself. Everything else that the lab wants of a cluster it asks the API for.

use semver::Version;

use super::run::Ran;
use super::version::first_version;

/// The client's version in `kubectl version --client`, in JSON, YAML or the text of old ones.
pub fn version(ran: &Ran) -> Option<Version> {
    let json: Option<serde_json::Value> = serde_json::from_str(&ran.out).ok();
    let named =
        json.as_ref().and_then(|json| json.pointer("/clientVersion/gitVersion")).and_then(|value| value.as_str());
    first_version(named.unwrap_or(&ran.out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_forms_are_read() {
        for (out, wanted) in [
            (r#"{"clientVersion":{"major":"1","minor":"20","gitVersion":"v1.20.2","goVersion":"go1.19.8"}}"#, "1.20.2"),
            ("Client Version: v1.31.0\nKustomize Version: v5.4.2\n", "1.31.0"),
            ("Client Version: version.Info{Major:\"1\", Minor:\"20\", GitVersion:\"v1.20.2\"}", "1.20.2"),
        ] {
            let ran = Ran { code: Some(0), out: out.into(), err: String::new(), took: std::time::Duration::ZERO };
            assert_eq!(version(&ran).unwrap().to_string(), wanted);
        }
    }
}
