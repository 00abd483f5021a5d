//! `request`: one prediction, and who answered.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::Output;
use super::context::Context;
use super::payload::read_picture;
use super::session::{provider, runtime};
use crate::cluster::{Api, ClusterChoice};
use crate::doctor::{Failure, Reason};
use crate::steps::{Asking, ingress_of};
use crate::traffic::{Client, Who, parse_predictions, top_classes};
use crate::ui::duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends predictions through the ingress and tells which model answered
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab request
  canary-lab request --header user-group=canary
  canary-lab request --picture dog.jpg --repeat 10")]
pub(super) struct Args {
    /// A JPEG or PNG; `portrait` and `small` are the lab's own
    #[arg(long, default_value = "portrait", value_name = "FILE")]
    picture: PathBuf,

    /// A header of the request, as NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,

    /// How many times
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(['=', ':']).ok_or("expected NAME=VALUE")?;
    let name = name.trim().to_ascii_lowercase();
    http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header name"))?;
    let value = value.trim();
    http::HeaderValue::from_str(value).map_err(|_| "the value has letters that a header cannot have".to_owned())?;
    Ok((name, value.to_owned()))
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let picture = read_picture(&args.picture)?;
    let runtime = runtime()?;
    let (ingress, asking) = runtime.block_on(async {
        let api = Api::connect(provider.kubeconfig()).await?;
        let ingress = ingress_of(&api, &lab).await?.ingress;
        Ok::<_, Failure>((ingress, Asking::of_picture(&lab, &home, picture).await?))
    })?;
    let client = Client::new(PATIENCE)
        .map_err(|error| Failure::new(Reason::Internal, "no HTTP client").observed(error.to_string()))?;
    let mut question = asking.question.clone();
    for (name, value) in &args.header {
        question = question.with_header(name, value);
    }
    let human = context.output == Output::Human;
    if human {
        let megabytes = question.body.len() as f64 / 1e6;
        context.remark(&format!(
            "POST {}{}  {} picture, {megabytes:.1} MB",
            ingress.url(),
            question.path,
            asking.size_text()
        ))?;
    }
    let mut answers = Vec::new();
    for _ in 0..args.repeat {
        let answer = runtime.block_on(client.ask(&ingress, &question)).map_err(|error| {
            Failure::new(Reason::IngressUnreachable, "the ingress gave no answer").observed(error.to_string())
        })?;
        let took = answer.elapsed;
        if answer.status != 200 {
            return Err(Failure::new(Reason::PredictionFailed, format!("answered with {}", answer.status))
                .observed(answer.excerpt(300)));
        }
        let probabilities = parse_predictions(&answer.body)
            .map_err(|error| Failure::new(Reason::PredictionFailed, "the answer is no prediction").observed(error))?;
        let top = top_classes(&probabilities, 10);
        let (who, difference) = match asking.oracle.who(&probabilities) {
            Who::Version { name, difference } => (Some(name), difference),
            Who::Nobody { difference, .. } => (None, difference),
        };
        if human {
            let who = who
                .as_deref()
                .map_or("answered by none of the lab's models".to_owned(), |name| format!("answered by {name}"));
            let classes: Vec<String> = top.iter().map(usize::to_string).collect();
            context.say(&format!("{} in {}  {who}  top-10 [{}]", answer.status, duration(took), classes.join(" ")))?;
        }
        answers.push(json!({
            "status": answer.status, "seconds": took.as_secs_f64(), "answered_by": who, "largest_difference": difference, "top": top,
            "probabilities": top.iter().map(|class| probabilities[*class]).collect::<Vec<_>>(),
        }));
    }
    if human { Ok(()) } else { context.say_json(&answers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_either_way() {
        assert_eq!(header("User-Group=canary").unwrap(), ("user-group".into(), "canary".into()));
        assert_eq!(header("user-group: canary").unwrap(), ("user-group".into(), "canary".into()));
        assert!(header("no value").is_err());
        assert!(header("a b=c").is_err());
    }
}
