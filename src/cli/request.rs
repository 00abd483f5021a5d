//! `request`: predictions, and who answered.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::Output;
use super::context::Context;
use super::payload::read_picture;
use super::session::{listen, provider, runtime};
use crate::cluster::{Api, ClusterChoice};
use crate::doctor::{Failure, Reason};
use crate::models::labels::{Labels, MEAN_NOTHING};
use crate::state::Home;
use crate::steps::{Asking, ingress_of, weights_of};
use crate::traffic::{Answer, Client, Ingress, Question, Tally, Who, parse_predictions, top_classes};
use crate::ui::{Colours, Share, Shares, byte_size, duration, half_blocks};
use crate::walk::proof::{Class, class_lines};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two requests of `--watch`.
const PAUSE: Duration = Duration::from_millis(200);
/// Classes that are shown.
const TOP: usize = 10;

/// Sends predictions through the ingress and tells which model answered
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab request
  canary-lab request --header user-group=canary
  canary-lab request --picture dog.jpg --repeat 10
  canary-lab request --picture small --watch")]
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

    /// Go on until Ctrl-C, and show how answers divide
    #[arg(long, conflicts_with = "repeat")]
    watch: bool,
}

pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(['=', ':']).ok_or("expected NAME=VALUE")?;
    let name = name.trim().to_ascii_lowercase();
    http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header name"))?;
    let value = value.trim();
    http::HeaderValue::from_str(value).map_err(|_| "the value has letters that a header cannot have".to_owned())?;
    Ok((name, value.to_owned()))
}

/// What is asked, and whom.
struct Session {
    client: Client,
    ingress: Ingress,
    asking: Asking,
    question: Question,
    home: Home,
}

/// One answer, understood.
struct Told {
    status: u16,
    took: Duration,
    who: Option<String>,
    difference: f32,
    classes: Vec<Class>,
    /// What the weights of the version that answered are, in a word.
    weights: Option<&'static str>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let (provider, _) = provider(&ClusterChoice::Auto, &home, context)?;
    let picture = read_picture(&args.picture)?;
    let (rgb, size) = (picture.rgb.clone(), (picture.width, picture.height));
    let runtime = runtime()?;
    let (ingress, asking) = runtime.block_on(async {
        let api = Api::connect(provider.kubeconfig()).await?;
        let ingress = ingress_of(provider.as_ref(), &api, &lab).await?.ingress;
        Ok::<_, Failure>((ingress, Asking::of_picture(&lab, &home, picture).await?))
    })?;
    let client = Client::new(PATIENCE)
        .map_err(|error| Failure::new(Reason::Internal, "no HTTP client").observed(error.to_string()))?;
    let mut question = asking.question.clone();
    for (name, value) in &args.header {
        question = question.with_header(name, value);
    }
    let session = Session { client, ingress, asking, question, home };
    let human = context.output == Output::Human;
    if human {
        let sent = byte_size(session.question.body.len() as u64);
        context.remark(&format!(
            "POST {}{}  {} picture, {sent}",
            session.ingress.url(),
            session.question.path,
            session.asking.size_text()
        ))?;
    }
    if args.watch {
        return runtime.block_on(watch(&session, context));
    }
    let mut answers = Vec::new();
    let mut tally = Tally::default();
    for _ in 0..args.repeat {
        let told = runtime.block_on(session.ask())?;
        *tally.answers.entry(told.name().to_owned()).or_default() += 1;
        if human {
            context.say(&told.line())?;
        }
        if human && args.repeat == 1 && context.io.terminal.stdout {
            show(&told, &rgb, size, context)?;
        }
        answers.push(told.as_json());
    }
    if human && args.repeat > 1 {
        for line in shares(&tally, u64::from(args.repeat)).lines(context.width(), context.paint_out()) {
            context.say(&line)?;
        }
    }
    if human { Ok(()) } else { context.say_json(&answers) }
}

impl Session {
    /// Asks once. An answer that is no prediction is a failure.
    async fn ask(&self) -> Result<Told, Failure> {
        let answer = self.client.ask(&self.ingress, &self.question).await.map_err(|error| {
            Failure::new(Reason::IngressUnreachable, "the ingress gave no answer")
                .observed(error.to_string())
                .then("canary-lab explain", "tells what stands in the way")
        })?;
        self.understood(&answer)
    }

    fn understood(&self, answer: &Answer) -> Result<Told, Failure> {
        if answer.status != 200 {
            let body = answer.excerpt(300);
            let body = if body.is_empty() { "an empty body".to_owned() } else { body };
            return Err(Failure::new(Reason::PredictionFailed, format!("answered with {}", answer.status))
                .observed(body)
                .then("canary-lab explain", "tells what stands in the way"));
        }
        let probabilities = parse_predictions(&answer.body)
            .map_err(|error| Failure::new(Reason::PredictionFailed, "the answer is no prediction").observed(error))?;
        let (who, difference) = match self.asking.oracle.who(&probabilities) {
            Who::Version { name, difference } => (Some(name), difference),
            Who::Nobody { difference, .. } => (None, difference),
        };
        let labels = Labels::for_outputs(probabilities.len());
        let class = |number: usize| Class {
            number: number as u64,
            label: labels.and_then(|labels| labels.of(number)).map(|label| label.names.to_owned()),
            probability: f64::from(probabilities[number]),
        };
        let classes = top_classes(&probabilities, TOP).into_iter().map(class).collect();
        let weights = who.as_deref().and_then(|name| weights_of(&self.home, name));
        Ok(Told { status: answer.status, took: answer.elapsed, who, difference, classes, weights })
    }
}

impl Told {
    /// The version that answered, in a word.
    fn name(&self) -> &str {
        self.who.as_deref().unwrap_or("none of the lab's models")
    }

    fn line(&self) -> String {
        let numbers: Vec<String> = self.classes.iter().map(|class| class.number.to_string()).collect();
        format!(
            "{} in {}  answered by {}  top-10 [{}]",
            self.status,
            duration(self.took),
            self.name(),
            numbers.join(" ")
        )
    }

    fn as_json(&self) -> Value {
        json!({
            "status": self.status, "seconds": self.took.as_secs_f64(), "answered_by": self.who, "weights": self.weights,
            "largest_difference": self.difference,
            "top": self.classes.iter().map(|class| class.number).collect::<Vec<_>>(),
            "labels": self.classes.iter().map(|class| class.label.clone()).collect::<Vec<_>>(),
            "probabilities": self.classes.iter().map(|class| class.probability as f32).collect::<Vec<_>>(),
        })
    }
}

/// The picture and, below it, the likeliest classes as bars.
fn show(told: &Told, rgb: &[u8], size: (usize, usize), context: &mut Context) -> Result<(), Failure> {
    let (width, paint) = (context.width(), context.paint_out());
    let colours = Colours::of(context.io.terminal, &context.io.environment);
    let drawn = half_blocks(rgb, size, (width.saturating_sub(2).min(44), 18), colours);
    context.say("")?;
    for line in drawn {
        context.say(&format!(" {line}"))?;
    }
    context.say("")?;
    for line in class_lines(&told.classes, width.saturating_sub(1), paint) {
        context.say(&format!(" {line}"))?;
    }
    if told.weights == Some("synthetic") && told.classes.iter().any(|class| class.label.is_some()) {
        context.say(&format!("\n {}", paint.dim(MEAN_NOTHING)))?;
    }
    Ok(())
}

/// How the answers divide; nothing is wanted of them.
fn shares(tally: &Tally, of: u64) -> Shares {
    let part = |(name, count): (&String, &u64)| Share { name: name.clone(), count: *count, wanted: None };
    let parts = tally.answers.iter().chain(&tally.errors).map(part).collect();
    Shares { parts, of, verdict: String::new() }
}

/// Asks until Ctrl-C. A terminal sees how the answers divide, drawn over itself; anything else gets a line an answer.
async fn watch(session: &Session, context: &mut Context) -> Result<(), Failure> {
    let mut interrupt = listen()?;
    let drawn_over = context.io.terminal.stdout && context.output == Output::Human;
    let (mut tally, mut height) = (Tally::default(), 0);
    loop {
        let asked = tokio::select! {
            biased;
            _ = interrupt.heard() => return Ok(()),
            asked = session.ask() => asked,
        };
        let line = match &asked {
            Ok(told) => {
                *tally.answers.entry(told.name().to_owned()).or_default() += 1;
                told.line()
            }
            Err(failure) => {
                let seen = failure.observed.first().map(|line| format!(", {line}")).unwrap_or_default();
                let line = format!("{}{seen}", failure.headline);
                *tally.errors.entry(line.chars().take(40).collect()).or_default() += 1;
                line
            }
        };
        if context.output == Output::Json {
            context.say(
                &asked.map_or_else(|failure| json!({"failure": failure.headline}), |told| told.as_json()).to_string(),
            )?;
        } else if drawn_over {
            let (width, paint) = (context.width(), context.paint_out());
            let mut lines = vec![console::truncate_str(&line, width.saturating_sub(1), "…").into_owned()];
            lines.extend(shares(&tally, tally.answered() + tally.failed()).lines(width, paint));
            let up = if height > 0 { format!("\x1b[{height}A") } else { String::new() };
            let text: Vec<String> = lines.iter().map(|line| format!("\r\x1b[K{line}")).collect();
            height = lines.len();
            context.say(&format!("{up}{}", text.join("\n")))?;
        } else {
            context.say(&line)?;
        }
        tokio::select! {
            biased;
            _ = interrupt.heard() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_in_both_ways() {
        assert_eq!(header("user-group=canary").unwrap(), ("user-group".into(), "canary".into()));
        assert_eq!(header("user-group: canary").unwrap(), ("user-group".into(), "canary".into()));
        assert!(header("no value").is_err());
        assert!(header("a b=c").is_err());
    }
}
