//! Where a failure lies, and the exit code of each place.

/// Where a failure lies; each layer has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The lab's own mistake.
    Internal,
    /// The command line.
    Usage,
    /// The lab's data.
    Lab,
    /// The home directory, the state file and the lock.
    Home,
    /// This machine.
    Machine,
    /// The cluster and its API.
    Cluster,
    /// The mesh.
    Mesh,
    /// The way in from outside.
    Tunnel,
    /// Models on disk.
    Models,
    /// Objects in the cluster.
    Objects,
    /// Deployments and pods.
    Workload,
    /// Answers of the model.
    Prediction,
    /// Routes.
    Routing,
    /// Judgements about a sample.
    Split,
    /// Neither right nor wrong could be shown.
    Inconclusive,
    /// Something was left behind.
    Teardown,
    /// Stopped by the person.
    Interrupted,
}

impl Layer {
    /// Every layer, by exit code.
    pub const ALL: &'static [Self] = &[
        Self::Internal,
        Self::Usage,
        Self::Lab,
        Self::Home,
        Self::Machine,
        Self::Cluster,
        Self::Mesh,
        Self::Tunnel,
        Self::Models,
        Self::Objects,
        Self::Workload,
        Self::Prediction,
        Self::Routing,
        Self::Split,
        Self::Inconclusive,
        Self::Teardown,
        Self::Interrupted,
    ];

    /// The process's exit code for a failure of this layer.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Lab => 3,
            Self::Home => 4,
            Self::Machine => 10,
            Self::Cluster => 11,
            Self::Mesh => 12,
            Self::Tunnel => 13,
            Self::Models => 14,
            Self::Objects => 20,
            Self::Workload => 21,
            Self::Prediction => 22,
            Self::Routing => 23,
            Self::Split => 24,
            Self::Inconclusive => 25,
            Self::Teardown => 30,
            Self::Interrupted => 130,
        }
    }

    /// A heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Internal => "The lab itself",
            Self::Usage => "Command line",
            Self::Lab => "Lab data",
            Self::Home => "Home directory and state",
            Self::Machine => "This machine",
            Self::Cluster => "Cluster",
            Self::Mesh => "Mesh",
            Self::Tunnel => "Way in",
            Self::Models => "Models",
            Self::Objects => "Objects",
            Self::Workload => "Workloads",
            Self::Prediction => "Predictions",
            Self::Routing => "Routes",
            Self::Split => "Traffic",
            Self::Inconclusive => "Inconclusive",
            Self::Teardown => "Teardown",
            Self::Interrupted => "Interrupted",
        }
    }

    /// What the exit code says.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Internal => "the lab itself is at fault: an error that it has no better name for",
            Self::Usage => "the command line was not understood, or asks for what is not there",
            Self::Lab => "a lab file or a manifest is not valid",
            Self::Home => "the home directory, its state file or its lock stand in the way",
            Self::Machine => "this machine lacks something, or something else holds what is needed",
            Self::Cluster => "the cluster is not there, not reachable or not the right one",
            Self::Mesh => "the mesh is not installed or not ready",
            Self::Tunnel => "the ingress gateway has no address that can be reached",
            Self::Models => "a model could not be built, or its files are damaged",
            Self::Objects => "the cluster refused an object, or an object is missing or was changed",
            Self::Workload => "a workload does not become ready",
            Self::Prediction => "a prediction failed, or is not what the SavedModel says",
            Self::Routing => "the gateway has no working route for a request",
            Self::Split => "a sample shows that traffic is not divided as wanted",
            Self::Inconclusive => "nothing could be shown, neither right nor wrong: errors, or time was up",
            Self::Teardown => "something of the lab could not be removed",
            Self::Interrupted => "stopped by Ctrl-C or a termination signal; the next `up` goes on from there",
        }
    }
}
