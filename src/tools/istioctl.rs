//! What istioctl prints: every assumption about it is here. Facts: recorded output of istioctl 1.12.7.

use semver::Version;

use super::run::Ran;
use super::version::first_version;

/// The client's version in `istioctl version --remote=false`.
pub fn version(ran: &Ran) -> Option<Version> {
    first_version(&ran.out)
}

/// One thing that `istioctl install` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It works on a component, and perhaps waits for something.
    Working {
        /// Such as `Istiod`.
        component: String,
        /// Such as `Deployment/istio-system/istiod`.
        waits_for: Option<String>,
    },
    /// A component is installed.
    Installed(String),
    /// A component failed.
    Failed {
        /// Such as `Istiod`.
        component: String,
        /// What istioctl says.
        message: String,
    },
    /// The API server warns, such as of an API version that goes away.
    Warning(String),
    /// It gives up.
    GivesUp(String),
    /// Any other line.
    Other(String),
}

/// Reads one line of `istioctl install`. Colour is dropped; two messages may share a line, because the progress is redrawn.
pub fn events(line: &str) -> Vec<Event> {
    let plain = console::strip_ansi_codes(line).into_owned();
    let mut found = Vec::new();
    let mut rest = plain.as_str();
    // `✔ Installation completeMaking this …` and `Pruning removed resourcesError: …` lack the break between them.
    for split in ["Error: ", "Making this installation"] {
        if let Some(at) = rest.find(split).filter(|at| *at > 0) {
            found.extend(one(&rest[..at]));
            rest = &rest[at..];
        }
    }
    found.extend(one(rest));
    found
}

fn one(text: &str) -> Option<Event> {
    let text = text.trim();
    let marks: &[char] = &['-', '✔', '✘', ' '];
    let words = text.trim_start_matches(marks);
    if words.is_empty() {
        return None;
    }
    if let Some(rest) = words.strip_prefix("Processing resources for ") {
        let (component, waits) = rest.split_once(". Waiting for ").unwrap_or((rest.trim_end_matches('.'), ""));
        let waits_for = (!waits.is_empty()).then(|| waits.to_owned());
        return Some(Event::Working { component: component.to_owned(), waits_for });
    }
    if let Some((component, message)) = words.split_once(" encountered an error: ") {
        return Some(Event::Failed { component: component.to_owned(), message: message.to_owned() });
    }
    if let Some(component) = words.strip_suffix(" installed").filter(|_| text.starts_with('✔')) {
        return Some(Event::Installed(component.to_owned()));
    }
    if let Some(message) = words.strip_prefix("Error: ") {
        return Some(Event::GivesUp(message.to_owned()));
    }
    if words.contains(" is deprecated in ") || words.starts_with("Warning:") {
        return Some(Event::Warning(words.to_owned()));
    }
    Some(Event::Other(words.to_owned()))
}

/// Whether a failed install failed because the cluster no longer serves the API versions that this Istio writes.
pub fn lacks_api_versions(ran: &Ran) -> bool {
    let text = format!("{}{}", ran.out, ran.err);
    text.contains("no matches for kind") && (text.contains("policy/v1beta1") || text.contains("autoscaling/v2beta1"))
}

/// Whether a failed install could not reach a cluster.
pub fn lacks_cluster(ran: &Ran) -> bool {
    ran.err.contains("fetch Kubernetes config file") || ran.err.contains("connection refused")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recorded_runs;

    fn all(ran: &Ran) -> Vec<Event> {
        ran.out.lines().chain(ran.err.lines()).flat_map(events).collect()
    }

    #[test]
    fn recorded_installs_are_read() {
        let Some(runs) = recorded_runs("golden/istio/istioctl-odd.txt") else { return };
        let failed = runs.iter().find(|(command, _)| command.contains("--readiness-timeout 20s")).unwrap().1;
        let seen = all(failed);
        assert!(seen.contains(&Event::Installed("Istio core".into())), "{seen:?}");
        let waits = Some("Deployment/istio-system/istiod".to_owned());
        assert!(seen.contains(&Event::Working { component: "Istiod".into(), waits_for: waits }), "{seen:?}");
        assert!(seen.iter().any(|event| matches!(event, Event::Failed { component, message } if component == "Istiod" && message.contains("timed out"))), "{seen:?}");
        assert!(
            seen.contains(&Event::GivesUp("failed to install manifests: errors occurred during operation".into())),
            "{seen:?}"
        );
        let dry = all(&runs["istioctl install --dry-run -y"]);
        assert_eq!(dry.iter().filter(|event| matches!(event, Event::Installed(_))).count(), 3, "{dry:?}");
        assert!(dry.contains(&Event::Other("Installation complete".into())), "{dry:?}");
        let unknown = all(&runs["istioctl install --set foo=bar -y"]);
        assert!(matches!(&unknown[0], Event::GivesUp(text) if text.contains("unknown field \"foo\"")), "{unknown:?}");
        assert_eq!(version(&runs["istioctl version --remote=false"]).unwrap().to_string(), "1.12.7");
        assert_eq!(version(&runs["istioctl version -o json"]).unwrap().to_string(), "1.12.7");
    }

    #[test]
    fn a_cluster_that_is_too_new_is_recognised() {
        let ran = Ran {
            code: Some(1),
            out: String::new(),
            err: "failed to update resource with server-side apply for obj PodDisruptionBudget/istio-system/istiod: no matches for kind \"PodDisruptionBudget\" in version \"policy/v1beta1\"".into(),
            took: std::time::Duration::ZERO,
        };
        assert!(lacks_api_versions(&ran) && !lacks_cluster(&ran));
    }
}
