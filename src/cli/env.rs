//! `env` and what `shell` shares with it: the variables with which other programs find the lab.

use super::Output;
use super::context::{Context, shell_quoted};
use super::session::{provider, runtime};
use crate::cluster::{Api, ClusterChoice, Provider, Standing};
use crate::doctor::{Failure, Reason};
use crate::lab::Lab;
use crate::steps::ingress_of;
use crate::traffic::Ingress;
use crate::ui::Mark;

/// Prints the variables with which kubectl, curl and Python find the lab, for `eval`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
INGRESS_HOST and INGRESS_PORT are there once the ingress has an address (stage `tunnel`); what is known before then
is printed all the same.

Example:
  eval \"$(canary-lab env)\"
  kubectl get pods -n tf-serving
  cd \"$CANARY_LAB_WORK\" && curl -d @request-body.json -X POST \\
    http://$INGRESS_HOST:$INGRESS_PORT/v1/models/image_classifier/versions/1:predict")]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let Variables { known, lacking } = variables(context)?;
    if context.output == Output::Json {
        let object: serde_json::Map<_, _> =
            known.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        return context.say_json(&object);
    }
    for (name, value) in known {
        context.say(&format!("export {name}={}", shell_quoted(&value)))?;
    }
    match lacking {
        Some(why) => say_what_lacks(&why, context),
        None => Ok(()),
    }
}

/// Says why INGRESS_HOST and INGRESS_PORT are not there, where `eval` does not read it.
pub(super) fn say_what_lacks(why: &Failure, context: &mut Context) -> Result<(), Failure> {
    let mark = context.paint_err().mark(Mark::Warning);
    let again = format!("eval \"$(canary-lab{} env)\"", context.home_words());
    context.remark(&format!(
        "{mark} INGRESS_HOST and INGRESS_PORT are not set: {}\n  when the ingress has an address (stage `tunnel`): {again}",
        why.headline
    ))
}

/// What other programs are told.
pub(super) struct Variables {
    /// Names and values.
    pub(super) known: Vec<(&'static str, String)>,
    /// Why INGRESS_HOST and INGRESS_PORT are not among them, if they are not.
    pub(super) lacking: Option<Failure>,
}

/// What is known of the lab by now. The kubeconfig and the work folder have their places before there is a cluster, so
/// that a terminal which is opened early is right later, and kubectl never falls back on somebody's own cluster.
pub(super) fn variables(context: &Context) -> Result<Variables, Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let mut known = vec![
        ("CANARY_LAB_HOME", home.root().display().to_string()),
        ("CANARY_LAB_WORK", home.work().display().to_string()),
        ("KUBECONFIG", provider.kubeconfig().display().to_string()),
    ];
    // The pages of another lab show commands without `--lab`, and these must find it.
    if let Some(directory) = context.lab_directory() {
        known.push(("CANARY_LAB_LAB", directory.display().to_string()));
    }
    // The words of the lab's own commands must work as they are shown, wherever the program lies.
    if which::which("canary-lab").is_err()
        && let Some(folder) = context.io.executable.parent()
    {
        let others = context.io.environment.text("PATH").map(|path| format!(":{path}")).unwrap_or_default();
        known.push(("PATH", format!("{}{others}", folder.display())));
    }
    let (ingress, direct) = runtime()?.block_on(async {
        // A cluster that does not answer has told of no addresses.
        let direct = provider.direct_addresses().await.unwrap_or_default();
        (ingress(provider.as_ref(), &lab).await, direct)
    });
    let lacking = match ingress {
        Ok(ingress) => {
            known.push(("INGRESS_HOST", ingress.host));
            known.push(("INGRESS_PORT", ingress.port.to_string()));
            None
        }
        Err(failure) => Some(failure),
    };
    let earlier = context.io.environment.text("NO_PROXY").or_else(|| context.io.environment.text("no_proxy"));
    let earlier: Vec<String> = earlier.unwrap_or_default().split(',').map(|one| one.trim().to_owned()).collect();
    let new = direct.into_iter().filter(|address| !earlier.contains(address));
    let exceptions: Vec<String> = earlier.iter().filter(|one| !one.is_empty()).cloned().chain(new).collect();
    let exceptions = exceptions.join(",");
    known.push(("NO_PROXY", exceptions.clone()));
    known.push(("no_proxy", exceptions));
    Ok(Variables { known, lacking })
}

/// Where requests enter, if that is known.
async fn ingress(provider: &dyn Provider, lab: &Lab) -> Result<Ingress, Failure> {
    if let Standing::Down(why) = provider.probe().await? {
        return Err(Failure::new(Reason::ClusterNotRunning, format!("the cluster does not run ({why})")));
    }
    let api = Api::connect(provider.kubeconfig()).await?;
    Ok(ingress_of(provider, &api, lab).await?.ingress)
}
