//! The state machine, with a loader that the test steers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::serving::proto::{ModelSpec, model_spec};
use crate::serving::status::Code;

struct Model;

impl Execute for Model {
    fn signatures(&self) -> &BTreeMap<String, SignatureDef> {
        static NONE: BTreeMap<String, SignatureDef> = BTreeMap::new();
        &NONE
    }

    fn run(&self, _: &[(&str, Tensor)], _: &[&str]) -> Result<Vec<Tensor>, Status> {
        Ok(Vec::new())
    }
}

/// Loads every version but those above 100, which fail.
#[derive(Default)]
struct Steered {
    loads: AtomicUsize,
}

impl Loader for Steered {
    fn load(&self, path: &VersionPath) -> Result<Arc<dyn Execute>, Status> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if path.id.version > 100 {
            return Err(Status::new(Code::NotFound, "nothing there"));
        }
        Ok(Arc::new(Model))
    }
}

struct Bench {
    context: Arc<Context>,
    loader: Arc<Steered>,
    versions: StateMachine,
}

impl Bench {
    fn new(retry: RetryPolicy) -> Self {
        let context = Arc::new(Context::default());
        let loader = Arc::new(Steered::default());
        let versions =
            StateMachine::start(Arc::clone(&context), Arc::clone(&loader) as Arc<dyn Loader>, retry, Log).unwrap();
        Self { context, loader, versions }
    }

    fn want(&self, versions: &[i64]) {
        let path = |&version| VersionPath {
            id: ServableId { name: "m".into(), version },
            shown: format!("/m/{version}"),
            host: None,
        };
        self.versions.aspire().versions("m".into(), versions.iter().map(path).collect());
    }

    /// Waits until the versions have these states, highest first.
    fn reaches(&self, expected: &[(i64, State)]) {
        let spec = ModelSpec { name: "m".into(), ..ModelSpec::default() };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let states = self.context.registry.states(&spec).unwrap_or_default();
            let states: Vec<_> = states.into_iter().map(|(version, state)| (version, state.state)).collect();
            if states == expected {
                return;
            }
            assert!(Instant::now() < deadline, "stayed at {states:?}, expected {expected:?}");
            std::thread::yield_now();
        }
    }

    fn find(&self, version: Option<i64>) -> Result<Handle, Status> {
        let version_choice = version.map(model_spec::VersionChoice::Version);
        self.context.registry.find(&ModelSpec { name: "m".into(), version_choice, ..ModelSpec::default() })
    }
}

const NO_RETRY: RetryPolicy = RetryPolicy { retries: 0, interval: Duration::ZERO };

#[test]
fn a_new_version_serves_before_the_old_one_goes_and_requests_finish_on_it() {
    let bench = Bench::new(NO_RETRY);
    bench.want(&[1]);
    bench.reaches(&[(1, State::Available)]);
    let in_flight = bench.find(None).unwrap();
    bench.want(&[2]);
    bench.reaches(&[(2, State::Available), (1, State::Unloading)]);
    assert_eq!(bench.find(None).unwrap().id().version, 2);
    assert_eq!(bench.find(Some(1)).unwrap_err().text(), "Servable not found for request: Specific(m, 1)");
    drop(in_flight);
    bench.reaches(&[(2, State::Available), (1, State::End)]);
    bench.want(&[1]);
    bench.reaches(&[(2, State::End), (1, State::Available)]);
}

#[test]
fn a_version_that_fails_leaves_the_old_one_serving_until_it_is_gone() {
    let bench = Bench::new(RetryPolicy { retries: 2, interval: Duration::ZERO });
    bench.want(&[1]);
    bench.reaches(&[(1, State::Available)]);
    bench.want(&[101]);
    bench.reaches(&[(101, State::End), (1, State::Available)]);
    assert_eq!(bench.loader.loads.load(Ordering::SeqCst), 1 + 3);
    let spec = ModelSpec { name: "m".into(), ..ModelSpec::default() };
    assert_eq!(
        bench.context.registry.states(&spec).unwrap()[0].1.error.as_ref().map(|error| error.code),
        Some(Code::NotFound)
    );
    bench.want(&[1]);
    bench.want(&[101]);
    bench.reaches(&[(101, State::End), (1, State::Available)]);
    assert_eq!(bench.find(None).unwrap().id().version, 1);
}

#[test]
fn nothing_wanted_unloads_everything_and_waiting_for_a_retry_can_be_ended() {
    let bench = Bench::new(RetryPolicy { retries: 5, interval: Duration::from_hours(1) });
    bench.want(&[1, 2]);
    bench.reaches(&[(2, State::Available), (1, State::Available)]);
    bench.want(&[2, 101]);
    bench.reaches(&[(101, State::Loading), (2, State::Available), (1, State::End)]);
    bench.want(&[]);
    bench.reaches(&[(101, State::End), (2, State::End), (1, State::End)]);
    assert_eq!(bench.find(None).unwrap_err().text(), "Servable not found for request: Latest(m)");
}
