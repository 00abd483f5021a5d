//! Checks of the machine, the tools, the cluster, the mesh, the models and the routes, each with what it found.
//!
//! [`CHECKS`] is the one table: id, category, what is looked at and why, which clusters it concerns, which checks have to hold first.
//! [`examine`] asks them in order; one whose forerunner failed is skipped and says so. Nothing is started or changed.
//! A failed check stops `up` where it concerns the chosen cluster, and is a warning elsewhere.
//! `docs/checks.md` is generated from the table.

mod catalogue;
mod cluster;
mod facts;
mod host;
mod listeners;
mod mesh;
mod models;
mod network;
mod routing;
mod subject;
mod tools;

use serde::Serialize;

use super::failure::{Failure, Next};
use super::reasons::Reason;

pub use catalogue::{CHECKS, CheckKind};
pub(crate) use cluster::orphaned_webhooks;
pub use listeners::{Listener, wildcard_listeners};
pub use network::POD_PORTS;
pub use subject::{LabFacts, ModelFacts, Subject, Target, pinned_minikube};

/// What a check is about, in the order in which one depends on the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// The machine itself.
    Host,
    /// Other programs.
    Tools,
    /// Kubernetes.
    Cluster,
    /// Istio.
    Mesh,
    /// SavedModels.
    Models,
    /// Where requests go.
    Routing,
}

impl Category {
    /// Every category, in order.
    pub const ALL: [Self; 6] = [Self::Host, Self::Tools, Self::Cluster, Self::Mesh, Self::Models, Self::Routing];

    /// A heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Host => "Machine",
            Self::Tools => "Tools",
            Self::Cluster => "Cluster",
            Self::Mesh => "Mesh",
            Self::Models => "Models",
            Self::Routing => "Routing",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone)]
#[must_use]
pub enum Finding {
    /// As it should be.
    Fine(String),
    /// Worth knowing; `up` goes on.
    Warning(Failure),
    /// The lab cannot be built, or does not work.
    Failed(Failure),
    /// Could not or need not be looked at.
    Skipped(String),
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Warning,
    /// In the way.
    Error,
    /// Not looked at.
    Skipped,
}

/// One check that was asked.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its entry of the table.
    pub kind: &'static CheckKind,
    /// What it found.
    pub finding: Finding,
}

impl Check {
    /// How it came out.
    pub fn severity(&self) -> Severity {
        match &self.finding {
            Finding::Fine(_) => Severity::Fine,
            Finding::Warning(_) => Severity::Warning,
            Finding::Failed(_) => Severity::Error,
            Finding::Skipped(_) => Severity::Skipped,
        }
    }

    /// The failure that it found.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.finding {
            Finding::Warning(failure) | Finding::Failed(failure) => Some(failure),
            Finding::Fine(_) | Finding::Skipped(_) => None,
        }
    }

    /// One line: what it found.
    pub fn headline(&self) -> &str {
        match &self.finding {
            Finding::Fine(text) | Finding::Skipped(text) => text,
            Finding::Warning(failure) | Finding::Failed(failure) => &failure.headline,
        }
    }

    /// Where it is documented.
    pub fn documentation(&self) -> String {
        format!("docs/checks.md#{}", self.kind.id)
    }

    /// What to do about it, the lab's own safe fix first.
    pub fn fixes(&self) -> Vec<Next> {
        self.failure().map(Failure::next_steps).unwrap_or_default()
    }
}

impl Serialize for Check {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            id: &'a str,
            category: Category,
            severity: Severity,
            headline: &'a str,
            reason: Option<Reason>,
            evidence: &'a [String],
            cause: Option<&'a str>,
            fix: Vec<Next>,
            fixable: bool,
            documentation: String,
        }
        let failure = self.failure();
        let shape = Shape {
            id: self.kind.id,
            category: self.kind.category,
            severity: self.severity(),
            headline: self.headline(),
            reason: failure.map(|failure| failure.reason),
            evidence: failure.map_or(&[], |failure| failure.observed.as_slice()),
            cause: failure.map(Failure::cause_text),
            fix: self.fixes(),
            fixable: failure.is_some() && self.kind.fixable,
            documentation: self.documentation(),
        };
        shape.serialize(serializer)
    }
}

/// Asks the checks that are `wanted`, in the order of the table.
pub async fn examine(subject: &Subject<'_>, wanted: impl Fn(&CheckKind) -> bool) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for kind in CHECKS.iter().filter(|kind| wanted(kind)) {
        let obstacle =
            kind.needs.iter().find_map(|needed| obstacle(checks.iter().find(|check| check.kind.id == *needed)?));
        let finding = match obstacle {
            Some(why) => Finding::Skipped(why),
            None => (kind.look)(subject).await,
        };
        let finding = match finding {
            // What another kind of cluster needs is no obstacle for this one.
            Finding::Failed(failure) if !kind.concerns.contains(&subject.target) => Finding::Warning(failure),
            finding => finding,
        };
        checks.push(Check { kind, finding });
    }
    checks
}

/// Asks what must hold before a cluster of this kind is touched: the machine and the tools.
pub async fn preflight(subject: &Subject<'_>) -> Vec<Check> {
    examine(subject, |kind| kind.category <= Category::Tools && kind.concerns.contains(&subject.target)).await
}

/// Why a check that needs this one cannot be asked.
fn obstacle(forerunner: &Check) -> Option<String> {
    let id = forerunner.kind.id;
    match &forerunner.finding {
        Finding::Fine(_) => None,
        // A warning is an obstacle where the thing itself is not there.
        Finding::Warning(failure) => {
            let absent = matches!(
                failure.reason,
                Reason::ToolMissing
                    | Reason::MinikubeMissing
                    | Reason::DockerDown
                    | Reason::DockerForbidden
                    | Reason::ToolFailed
                    | Reason::ToolHung
            );
            absent.then(|| format!("needs `{id}`: {}", failure.headline))
        }
        Finding::Failed(failure) => Some(format!("needs `{id}`: {}", failure.headline)),
        Finding::Skipped(why) if why.starts_with("needs ") => Some(why.clone()),
        Finding::Skipped(why) => Some(format!("needs `{id}`: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ui::Environment;

    #[test]
    fn ids_are_unique_and_needs_come_before() {
        let mut seen = BTreeSet::new();
        let mut last = Category::Host;
        for kind in CHECKS {
            assert!(kind.category >= last, "{}: categories are in the order of dependency", kind.id);
            last = kind.category;
            assert!(kind.needs.iter().all(|needed| seen.contains(needed)), "{}: needs a later check", kind.id);
            assert!(seen.insert(kind.id), "{}", kind.id);
            assert!(!kind.concerns.is_empty(), "{}", kind.id);
        }
        for category in Category::ALL {
            assert!(CHECKS.iter().any(|kind| kind.category == category), "{category:?}");
        }
    }

    #[tokio::test]
    async fn a_failed_check_skips_its_dependents_with_the_reason() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment([("PATH".into(), home.path().into())].into());
        let subject = Subject::new(home.path(), &environment, Target::Minikube);
        let checks = examine(&subject, |kind| kind.category == Category::Tools).await;
        let find = |id: &str| checks.iter().find(|check| check.kind.id == id).unwrap();
        assert_eq!(find("minikube").severity(), Severity::Error);
        let skipped = find("minikube-kubernetes");
        assert_eq!(skipped.severity(), Severity::Skipped);
        assert!(skipped.headline().starts_with("needs `minikube`"), "{}", skipped.headline());
        let subject = Subject::new(home.path(), &environment, Target::Embedded);
        let checks = examine(&subject, |kind| kind.category == Category::Tools).await;
        let minikube = checks.iter().find(|check| check.kind.id == "minikube").unwrap();
        assert_eq!(minikube.severity(), Severity::Warning, "the embedded cluster needs no minikube");
        let json = serde_json::to_value(minikube).unwrap();
        assert_eq!(json["reason"], "MINIKUBE_MISSING");
        assert_eq!(json["documentation"], "docs/checks.md#minikube");
        assert!(json["fix"].as_array().is_some_and(|fixes| !fixes.is_empty()), "{json}");
    }
}
