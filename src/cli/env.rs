//! `env` and what `shell` shares with it: the variables with which other programs find the lab.

use super::Output;
use super::context::{Context, shell_quoted};
use super::session::{provider, runtime};
use crate::cluster::{Api, ClusterChoice};
use crate::doctor::Failure;
use crate::steps::ingress_of;

/// Prints the variables with which kubectl, curl and Python find the lab, for `eval`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  eval \"$(canary-lab env)\"
  kubectl get pods -n tf-serving
  cd \"$CANARY_LAB_WORK\" && curl -d @request-body.json -X POST \\
    http://$INGRESS_HOST:$INGRESS_PORT/v1/models/image_classifier/versions/1:predict")]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let variables = variables(context)?;
    if context.output == Output::Json {
        let object: serde_json::Map<_, _> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        return context.say_json(&object);
    }
    for (name, value) in variables {
        context.say(&format!("export {name}={}", shell_quoted(&value)))?;
    }
    Ok(())
}

/// Names and values. INGRESS_HOST and INGRESS_PORT are there once the tunnel has given the ingress an address.
pub(super) fn variables(context: &Context) -> Result<Vec<(&'static str, String)>, Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let mut variables = vec![
        ("CANARY_LAB_HOME", home.root().display().to_string()),
        ("CANARY_LAB_WORK", home.work().display().to_string()),
        ("KUBECONFIG", provider.kubeconfig().display().to_string()),
    ];
    // The pages of another lab show commands without `--lab`, and these must find it.
    if let Some(directory) = context.lab_directory() {
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        variables.push(("CANARY_LAB_LAB", directory.display().to_string()));
    }
    // The words of the lab's own commands must work as they are shown, wherever the program lies.
    if which::which("canary-lab").is_err()
        && let Some(folder) = context.io.executable.parent()
    {
        let known = context.io.environment.text("PATH").map(|path| format!(":{path}")).unwrap_or_default();
        variables.push(("PATH", format!("{}{known}", folder.display())));
    }
    let (ingress, direct) = runtime()?.block_on(async {
        // Before the cluster stage there is nothing to ask; the variables that do not depend on it help already.
        if !provider.kubeconfig().exists() {
            return Ok((None, provider.direct_addresses().await?));
        }
        let api = Api::connect(provider.kubeconfig()).await?;
        let ingress = ingress_of(provider.as_ref(), &api, &lab).await.ok().map(|address| address.ingress);
        Ok::<_, Failure>((ingress, provider.direct_addresses().await?))
    })?;
    if let Some(ingress) = ingress {
        variables.push(("INGRESS_HOST", ingress.host));
        variables.push(("INGRESS_PORT", ingress.port.to_string()));
    }
    let known = context.io.environment.text("NO_PROXY").or_else(|| context.io.environment.text("no_proxy"));
    let mut exceptions: Vec<String> = known.into_iter().map(str::to_owned).collect();
    exceptions.extend(direct.into_iter().filter(|address| !known.is_some_and(|known| known.contains(address))));
    let exceptions = exceptions.join(",");
    variables.push(("NO_PROXY", exceptions.clone()));
    variables.push(("no_proxy", exceptions));
    Ok(variables)
}
