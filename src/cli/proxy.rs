//! `canary-lab gateway` and `canary-lab sidecar`: the proxies that the embedded kubelet starts, never typed by a learner.

use std::io::Write as _;

use clap::Args as ClapArgs;

use super::context::Context;
use crate::gateway::{OptionsError, ProxyError, ProxyOptions, run_gateway, run_sidecar};
use crate::process::lifeline;

/// Runs one of the mesh's proxies in this process.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// What the container's arguments say beyond the role, for Envoy; nothing here needs it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

/// Which proxy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Gateway,
    Sidecar,
}

#[derive(Debug, thiserror::Error)]
enum ProxyExit {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Runs until the parent is gone; returns the process's exit code.
pub(super) fn run(role: Role, context: &mut Context) -> u8 {
    match run_proxy(role, context) {
        Ok(()) => 0,
        Err(error) => {
            // Nobody is left to tell when the kubelet's pipe is closed.
            let _ = writeln!(context.io.stderr, "{error}");
            1
        }
    }
}

fn run_proxy(role: Role, context: &Context) -> Result<(), ProxyExit> {
    let options = ProxyOptions::from_variables(|name| context.io.environment.text(name).map(str::to_owned))?;
    match role {
        Role::Gateway => run_gateway(options, lifeline::parent_gone())?,
        Role::Sidecar => run_sidecar(options, lifeline::parent_gone())?,
    }
    Ok(())
}
