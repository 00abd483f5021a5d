//! Asking many times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::client::{Client, Ingress, Question};
use super::oracle::{Oracle, Who, parse_predictions};
use super::rules;

/// What a sample found: answers by version, and what was no answer of a known version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers by version name.
    pub answers: BTreeMap<String, u64>,
    /// Everything else, by what was observed, for example `503 with an empty body`.
    pub errors: BTreeMap<String, u64>,
    /// How long the sample took.
    pub elapsed: Duration,
    /// Whether the time allowed ran out before all questions were asked.
    pub out_of_time: bool,
}

impl Tally {
    /// Answers of one version.
    pub fn of(&self, version: &str) -> u64 {
        self.answers.get(version).copied().unwrap_or(0)
    }

    /// Answers of all known versions.
    pub fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Questions that got no answer of a known version.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Adds another tally's counts; the time adds up.
    pub fn merge(&mut self, other: &Self) {
        for (version, count) in &other.answers {
            *self.answers.entry(version.clone()).or_default() += count;
        }
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.elapsed += other.elapsed;
        self.out_of_time |= other.out_of_time;
    }
}

/// How a sample is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many questions are asked.
    pub count: u64,
    /// How many are in flight at once.
    pub in_flight: usize,
    /// How long it may take in all.
    pub patience: Duration,
}

impl Plan {
    /// A plan of `count` questions by the table's rules.
    pub fn of(count: u64) -> Self {
        Self { count, in_flight: rules::IN_FLIGHT, patience: rules::PATIENCE }
    }
}

/// Asks one ingress and knows who answers.
#[derive(Debug, Clone, Copy)]
pub struct Sampler<'a> {
    /// The HTTP client.
    pub client: &'a Client,
    /// Where to ask.
    pub ingress: &'a Ingress,
    /// Who answers what.
    pub oracle: &'a Oracle,
}

impl Sampler<'_> {
    /// Asks the question as planned and tells who answered. `seen` is called after every answer with the tally so far.
    pub async fn take(&self, question: &Question, plan: Plan, mut seen: impl FnMut(&Tally)) -> Tally {
        let Plan { count, in_flight, patience } = plan;
        let started = Instant::now();
        let mut tally = Tally::default();
        let mut answers =
            futures::stream::iter(0..count).map(|_| self.observe(question)).buffer_unordered(in_flight.max(1));
        loop {
            let Some(left) = patience.checked_sub(started.elapsed()) else {
                tally.out_of_time = tally.answered() + tally.failed() < count;
                break;
            };
            match tokio::time::timeout(left, answers.next()).await {
                Ok(Some(Ok(version))) => *tally.answers.entry(version).or_default() += 1,
                Ok(Some(Err(observed))) => *tally.errors.entry(observed).or_default() += 1,
                Ok(None) => break,
                Err(_) => {
                    tally.out_of_time = true;
                    break;
                }
            }
            tally.elapsed = started.elapsed();
            seen(&tally);
        }
        tally.elapsed = started.elapsed();
        tally
    }

    /// One answer: the version that gave it, or what was observed instead, in words that group equal observations.
    async fn observe(&self, question: &Question) -> Result<String, String> {
        let answer = self.client.ask(self.ingress, question).await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(match answer.excerpt(120) {
                body if body.is_empty() => format!("{} with an empty body", answer.status),
                body => format!("{} `{body}`", answer.status),
            });
        }
        let probabilities = parse_predictions(&answer.body)?;
        match self.oracle.who(&probabilities) {
            Who::Version { name, .. } => Ok(name),
            Who::Nobody { closest: Some(closest), .. } => {
                Err(format!("200 with a prediction that no version gives (nearest: {closest})"))
            }
            Who::Nobody { closest: None, .. } => Err("200 with a prediction of another shape".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::oracle::Expectation;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers its replies in turn, one a connection.
    async fn server(replies: Vec<&'static str>) -> Ingress {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for reply in replies {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(reply.as_bytes()).await;
            }
            // Whoever comes later waits: the listener stays open and silent.
            std::future::pending::<()>().await;
        });
        Ingress { host: "127.0.0.1".into(), port, host_header: None }
    }

    fn oracle() -> Oracle {
        let of = |version: &str, p: f32| Expectation { version: version.into(), probabilities: vec![p, 1.0 - p] };
        Oracle::new(vec![of("resnet50", 0.75), of("resnet101", 0.25)]).unwrap()
    }

    const FIRST: &str =
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 32\r\n\r\n{\"predictions\": [[0.75, 0.25]\n]}";
    const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn answers_and_failures_are_counted_apart_and_silence_ends_by_patience() {
        let ingress = server(vec![FIRST, UNAVAILABLE, FIRST]).await;
        let client = Client::new(Duration::from_secs(30)).unwrap();
        let oracle = oracle();
        let sampler = Sampler { client: &client, ingress: &ingress, oracle: &oracle };
        let question = Question { path: "/p".into(), body: "{}".into(), headers: vec![] };
        let mut seen = 0;
        let plan = Plan { count: 4, in_flight: 1, patience: Duration::from_millis(500) };
        let tally = sampler.take(&question, plan, |_| seen += 1).await;
        assert_eq!((tally.of("resnet50"), tally.failed(), tally.out_of_time), (2, 1, true), "{tally:?}");
        assert_eq!(tally.errors.keys().collect::<Vec<_>>(), ["503 with an empty body"]);
        assert_eq!(seen, 3);
    }
}
