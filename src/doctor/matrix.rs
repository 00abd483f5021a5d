//! Which versions of minikube, Kubernetes, Istio and kubectl go together: data, read strictly.

use semver::Version;
use serde::Deserialize;
use thiserror::Error;

use crate::tools::minor_of;

/// The data.
const DATA: &str = include_str!("matrix.yaml");

/// The whole matrix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The versions that the tutorial shows.
    pub lab: LabVersions,
    minikube: Vec<MinikubeRow>,
    /// The minikube that the lab can bring along.
    pub pinned_minikube: Pinned,
    istio: Vec<IstioRow>,
    /// What driver none needs.
    pub driver_none: DriverNone,
    cgroup_v2_from_kubernetes: String,
    kubectl_skew: u64,
}

/// Kubernetes and Istio, without `v`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabVersions {
    /// Such as `1.24.3`.
    pub kubernetes: Version,
    /// Such as `1.12.7`.
    pub istio: Version,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MinikubeRow {
    from: Version,
    oldest_kubernetes: Version,
}

/// A release and where it lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Such as `1.36.0`.
    pub version: Version,
    /// With `{version}`, `{os}` and `{arch}` to be filled in.
    pub url: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct IstioRow {
    minor: String,
    oldest: String,
    supported_until: String,
    works_until: String,
}

/// What minikube's driver none needs on the machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverNone {
    from_kubernetes: String,
    /// The programs.
    pub programs: Vec<String>,
}

/// Why the matrix is not valid.
#[derive(Debug, Error)]
#[error("the version matrix: {0}")]
pub struct MatrixError(String);

/// How a Kubernetes goes with an Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// As announced.
    Supported,
    /// It installs, with warnings.
    Works,
    /// It is older than the announcement's oldest.
    TooOld,
    /// It lacks API versions that this Istio writes.
    TooNew,
    /// The matrix does not know the Istio, or the version is not readable.
    Unknown,
}

impl Matrix {
    /// The matrix of this program.
    pub fn embedded() -> Result<Self, MatrixError> {
        Self::parse(DATA)
    }

    fn parse(text: &str) -> Result<Self, MatrixError> {
        let matrix: Self = serde_yaml::from_str(text).map_err(|error| MatrixError(error.to_string()))?;
        let ascending = matrix.minikube.windows(2).all(|rows| rows[0].from < rows[1].from);
        if matrix.minikube.is_empty() || !ascending {
            return Err(MatrixError("minikube's rows are not in ascending order".to_owned()));
        }
        let rows =
            matrix.istio.iter().flat_map(|row| [&row.minor, &row.oldest, &row.supported_until, &row.works_until]);
        let minors: Vec<&String> =
            rows.chain([&matrix.driver_none.from_kubernetes, &matrix.cgroup_v2_from_kubernetes]).collect();
        if let Some(text) = minors.into_iter().find(|text| minor_of(text).is_none()) {
            return Err(MatrixError(format!("`{text}` is no minor version")));
        }
        Ok(matrix)
    }

    /// The oldest Kubernetes that this minikube starts without being forced.
    pub fn oldest_kubernetes(&self, minikube: &Version) -> Version {
        // A pre-release behaves like its release.
        let release = Version::new(minikube.major, minikube.minor, minikube.patch);
        let row = self.minikube.iter().rev().find(|row| row.from <= release);
        row.map_or_else(|| self.minikube[0].oldest_kubernetes.clone(), |row| row.oldest_kubernetes.clone())
    }

    /// Whether this minikube starts this Kubernetes (`v1.24.3`).
    pub fn minikube_starts(&self, minikube: &Version, kubernetes: &str) -> bool {
        let wanted = Version::parse(kubernetes.trim_start_matches('v'));
        wanted.is_ok_and(|wanted| wanted >= self.oldest_kubernetes(minikube))
    }

    /// How a Kubernetes (`v1.24.3`, also with a vendor's suffix) goes with an Istio (`1.12.7`).
    pub fn fit(&self, kubernetes: &str, istio: &str) -> Fit {
        let row = self.istio.iter().find(|row| minor_of(&row.minor) == minor_of(istio));
        let (Some(row), Some(found)) = (row, minor_of(kubernetes)) else { return Fit::Unknown };
        let minor = |text: &str| minor_of(text).unwrap_or_default();
        if found < minor(&row.oldest) {
            Fit::TooOld
        } else if found <= minor(&row.supported_until) {
            Fit::Supported
        } else if found <= minor(&row.works_until) {
            Fit::Works
        } else {
            Fit::TooNew
        }
    }

    /// The Kubernetes minors that an Istio installs on, such as `1.19 to 1.24`.
    pub fn range(&self, istio: &str) -> String {
        let row = self.istio.iter().find(|row| minor_of(&row.minor) == minor_of(istio));
        row.map_or("unknown".to_owned(), |row| format!("{} to {}", row.oldest, row.works_until))
    }

    /// Whether driver none needs [`DriverNone::programs`] for this Kubernetes.
    pub fn driver_none_needs_more(&self, kubernetes: &str) -> bool {
        minor_of(kubernetes) >= minor_of(&self.driver_none.from_kubernetes)
    }

    /// Whether the kubelet of this Kubernetes knows cgroup version 2.
    pub fn knows_cgroup_v2(&self, kubernetes: &str) -> bool {
        minor_of(kubernetes) >= minor_of(&self.cgroup_v2_from_kubernetes)
    }

    /// Whether a kubectl works well with a server.
    pub fn kubectl_fits(&self, kubectl: &Version, server: &str) -> bool {
        minor_of(server)
            .is_some_and(|(major, minor)| major == kubectl.major && minor.abs_diff(kubectl.minor) <= self.kubectl_skew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_is_in_the_matrix() {
        let matrix = Matrix::embedded().unwrap();
        let version = |text: &str| Version::parse(text).unwrap();
        for (minikube, kubernetes, starts) in [
            ("1.26.1", "v1.24.3", true),
            ("1.36.0", "v1.24.3", true),
            ("1.36.0", "v1.19.0", false),
            ("1.37.0", "v1.24.3", false),
            ("1.37.0-beta.0", "v1.24.3", false),
            ("1.40.2", "v1.28.0", true),
            ("0.9.0", "v1.16.0", true),
        ] {
            assert_eq!(matrix.minikube_starts(&version(minikube), kubernetes), starts, "{minikube} {kubernetes}");
        }
        for (kubernetes, fit) in [
            ("v1.18.20", Fit::TooOld),
            ("v1.20.2", Fit::Supported),
            ("v1.24.3", Fit::Works),
            ("v1.25.0", Fit::TooNew),
            ("v1.27.4-gke.900", Fit::TooNew),
            ("banana", Fit::Unknown),
        ] {
            assert_eq!(matrix.fit(kubernetes, "1.12.7"), fit, "{kubernetes}");
        }
        assert_eq!(matrix.fit("v1.24.3", "1.20.0"), Fit::Unknown);
        assert_eq!(matrix.range("1.12.7"), "1.19 to 1.24");
        assert!(
            matrix.kubectl_fits(&version("1.25.0"), "v1.24.3") && !matrix.kubectl_fits(&version("1.31.0"), "v1.24.3")
        );
        assert!(matrix.driver_none_needs_more("v1.24.3") && !matrix.driver_none_needs_more("v1.20.2"));
        // The versions that the lab starts with must go together by the lab's own table.
        let lab = &matrix.lab;
        assert_eq!(matrix.fit(&lab.kubernetes.to_string(), &lab.istio.to_string()), Fit::Works);
        assert!(matrix.minikube_starts(&matrix.pinned_minikube.version, &lab.kubernetes.to_string()));
    }

    #[test]
    fn a_wrong_matrix_is_refused() {
        assert!(Matrix::parse(&DATA.replace("kubectl_skew", "kubectl_skwe")).is_err());
        assert!(Matrix::parse(&DATA.replace("from: 1.37.0", "from: 1.30.0")).is_err());
        assert!(Matrix::parse(&DATA.replace("oldest: \"1.19\"", "oldest: \"old\"")).is_err());
    }
}
