//! `tunnel`: gives the ingress service its external address, as `minikube tunnel` does.

use super::context::Context;
use super::session::{listen, provider, runtime};
use crate::cluster::{ClusterChoice, Entrance, Provider};
use crate::doctor::{Failure, Reason};

/// Gives the ingress service an external address while it runs; `up` starts one in the background
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stop the one in the background
    #[arg(long)]
    stop: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let runtime = runtime()?;
    let running = runtime.block_on(provider.probe_tunnel())? == Entrance::Open;
    if args.stop {
        runtime.block_on(provider.set_tunnel(false))?;
        return context.remark(if running {
            "the tunnel is stopped; EXTERNAL-IP is <pending> again"
        } else {
            "no tunnel runs"
        });
    }
    if running {
        return context.remark("the tunnel runs in the background already; `canary-lab tunnel --stop` stops it");
    }
    if let Some((tool, call)) = provider.tunnel_on_terminal() {
        // On a terminal minikube's tunnel can ask for the password that its route needs.
        context.remark(
            "starting `minikube tunnel`; it may ask for your password, because it adds a route to this machine",
        )?;
        let ended = tool.run_on_terminal(&call).map_err(crate::cluster::ClusterError::from)?;
        return if ended {
            Ok(())
        } else {
            Err(Failure::new(Reason::TunnelEnded, "`minikube tunnel` ended with a failure"))
        };
    }
    runtime.block_on(provider.set_tunnel(true))?;
    context.remark("the tunnel runs; Ctrl-C stops it")?;
    runtime.block_on(until_interrupted(provider.as_ref()))?;
    context.remark("the tunnel is stopped; EXTERNAL-IP is <pending> again")
}

async fn until_interrupted(provider: &dyn Provider) -> Result<(), Failure> {
    listen()?.heard().await;
    Ok(provider.set_tunnel(false).await?)
}
