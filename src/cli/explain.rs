//! `explain`: one request, walked through the rules.

use serde_json::json;

use super::Output;
use super::context::Context;
use super::request::header;
use super::session::{provider, runtime};
use crate::cluster::{Api, ClusterChoice};
use crate::doctor::Failure;
use crate::hints::{self, Asked, Reply, Wanted};
use crate::state::{Loaded, StateFile};
use crate::steps::{Choices, Memory, World, facts, look};
use crate::ui::{Mark, Progress, wrap};

/// Tells what becomes of a request: which rule takes it, why the others do not, and what stands in the way
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab explain
  canary-lab explain --header user-group=Canary
  canary-lab explain --host example.com --path /v1/models/other:predict
  canary-lab explain --port 8501

The rules are read from the cluster's objects; one small request is sent as well, to see the answer.")]
pub(super) struct Args {
    /// The request's path; without it the lab's prediction
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// A header of the request, as NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,

    /// The Host header; without it the ingress's address
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// The port that is connected to; without it the ingress's port for HTTP
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let path = args.path.clone().unwrap_or_else(|| lab.spec.request.path.clone());
    let asked = Asked {
        method: "POST".to_owned(),
        host: args.host.clone(),
        path: if path.starts_with('/') { path } else { format!("/{path}") },
        port: args.port,
        headers: args.header.clone(),
    };
    // Where this home has begun the lab, its manifests are wanted as well; elsewhere the objects alone are judged.
    let begun = match StateFile::of(&home).load()? {
        Loaded::Present(state) => lab.spec.stages.iter().rposition(|stage| state.stages.contains_key(&stage.id)),
        Loaded::Absent | Loaded::Unusable(_) => None,
    };
    let (memory, choices) = (Memory::default(), Choices::default());
    let (facts, wanted) = runtime()?.block_on(async {
        let (mut facts, wanted) = if let Some(stage) = begun {
            let world = World {
                lab: &lab,
                home: &home,
                provider: provider.as_ref(),
                environment: &context.io.environment,
                choices: &choices,
                progress: Progress::silent(),
                stage,
                routes_changed_since: false,
                memory: &memory,
            };
            look(&world, &asked).await?
        } else {
            let api = Api::connect(provider.kubeconfig()).await?;
            (facts(&api, &lab, &context.io.environment, &asked, &[]).await?, Wanted::default())
        };
        // Whoever asks about a request wants it to arrive.
        facts.with_tunnel = true;
        facts.with_requests = true;
        Ok::<_, Failure>((facts, wanted))
    })?;
    let story = hints::explain(&facts, &asked);
    let found = hints::judge(&facts, &wanted);
    let answer = facts.asked.as_ref().map(|(_, reply)| describe(reply));
    if context.output == Output::Json {
        return context.say_json(&json!({
            "request": {"method": asked.method, "path": asked.path, "host": asked.host, "port": asked.port, "headers": asked.headers},
            "story": story, "answer": answer, "findings": found,
        }));
    }
    let (paint, width) = (context.paint_out(), context.width());
    for line in &story.lines {
        let indent = line.len() - line.trim_start().len();
        for (index, part) in wrap(line.trim_start(), width.saturating_sub(indent + 5).max(20)).iter().enumerate() {
            context.say(&format!("{}{part}", " ".repeat(if index == 0 { indent } else { indent + 5 })))?;
        }
    }
    if let Some(answer) = answer {
        context.say(&format!("answer {answer}"))?;
    }
    for failure in &found {
        context.say("")?;
        context.say(&format!("{} {}", paint.mark(Mark::Failed), failure.headline))?;
        let user_home = context.user_home();
        let mut text = Vec::new();
        // Writing to memory cannot fail.
        let _ = crate::ui::show_failure(&mut text, failure, paint, width, user_home.as_deref());
        context.say(String::from_utf8_lossy(&text).trim_matches('\n'))?;
    }
    Ok(())
}

fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Refused => "connection refused".to_owned(),
        Reply::Silent(why) => why.clone(),
        Reply::Answered { status: 400, body } if body.contains("JSON") || body.contains("instances") => {
            "of the model server itself: the way is free (400, for this request has no picture)".to_owned()
        }
        Reply::Answered { status, body } if body.is_empty() => format!("{status} with an empty body"),
        Reply::Answered { status, body } => format!("{status} `{}`", body.chars().take(160).collect::<String>()),
    }
}
