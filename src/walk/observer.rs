//! Watches the cluster: one watch a kind, begun anew when it ends, over one channel.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::cluster::{Api, ApiError, Watched};
use crate::objects::Gvk;

/// How long to wait before a watch that could not be opened is tried again: nothing tells when a cluster comes up.
const AGAIN: Duration = Duration::from_millis(500);

/// The kinds that a learner of the lab makes.
fn kinds() -> Vec<Gvk> {
    vec![
        Gvk::new("", "v1", "Namespace"),
        Gvk::new("", "v1", "ConfigMap"),
        Gvk::new("", "v1", "Service"),
        Gvk::new("apps", "v1", "Deployment"),
        Gvk::new("networking.istio.io", "v1alpha3", "Gateway"),
        Gvk::new("networking.istio.io", "v1alpha3", "VirtualService"),
        Gvk::new("networking.istio.io", "v1alpha3", "DestinationRule"),
    ]
}

/// A running observation; dropping it ends it.
#[derive(Debug)]
pub(super) struct Observer {
    events: UnboundedReceiver<Watched>,
    _tasks: JoinSet<()>,
}

impl Observer {
    /// Observes the cluster that the kubeconfig names, now or as soon as there is one.
    pub(super) fn start(kubeconfig: PathBuf) -> Self {
        let (tell, events) = unbounded_channel();
        let mut tasks = JoinSet::new();
        for kind in kinds() {
            tasks.spawn(follow(kubeconfig.clone(), kind, tell.clone()));
        }
        Self { events, _tasks: tasks }
    }

    /// What is seen next.
    pub(super) async fn next(&mut self) -> Watched {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

async fn follow(kubeconfig: PathBuf, kind: Gvk, tell: UnboundedSender<Watched>) {
    loop {
        // The kubeconfig is read anew: a cluster that was made again has other keys.
        if kubeconfig.exists() && watch(&kubeconfig, &kind, &tell).await.is_ok() {
            continue;
        }
        if tell.is_closed() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Follows one watch to its end.
async fn watch(kubeconfig: &std::path::Path, kind: &Gvk, tell: &UnboundedSender<Watched>) -> Result<(), ApiError> {
    let api = Api::connect(kubeconfig).await?;
    let events = api.watch(kind, None, ("labelSelector", "")).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let with_type = |mut object: serde_json::Value| {
            object["apiVersion"] = kind.api_version().into();
            object["kind"] = kind.kind.clone().into();
            object
        };
        let event = match event? {
            Watched::Is(object) => Watched::Is(with_type(object)),
            Watched::Gone(object) => Watched::Gone(with_type(object)),
        };
        if tell.send(event).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
