//! Killed at any moment, the next `up` ends where an undisturbed one does.
//!
//! A run is followed by its journal; at each of its events, and at two moments between it and the next, the lab is
//! killed: the command, its daemon, one of the daemon's children, or everything at once. A sample of these points runs
//! with the other tests; `CANARY_LAB_CRASH_POINTS=all cargo test --test lab crash` runs every one of them, and
//! `CANARY_LAB_CRASH_POINTS=12,57` these.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::bench::{Bench, kill_quietly, processes_of, start};
use super::likeness::Likeness;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Command,
    Daemon,
    Child,
    Everything,
}

/// When and what is killed.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// After this many events.
    events: usize,
    /// How long after the last of them.
    later: Duration,
    victim: Victim,
}

/// Moments between an event and the next, in thirds.
const THIRDS: u32 = 3;
const VICTIMS: [Victim; 4] = [Victim::Command, Victim::Everything, Victim::Daemon, Victim::Child];
/// Points of the sample, as shares of all.
const SAMPLE: [f64; 3] = [0.3, 0.55, 0.85];

/// The points of a run, by the times of its events.
fn points(journal: &[Timestamp]) -> Vec<Point> {
    let mut points = Vec::new();
    for (index, at) in journal.iter().enumerate() {
        let gap = journal
            .get(index + 1)
            .map_or(Duration::ZERO, |next| Duration::try_from(next.duration_since(*at)).unwrap_or_default());
        for third in 0..THIRDS {
            let victim = VICTIMS[points.len() % VICTIMS.len()];
            points.push(Point { events: index + 1, later: gap * third / THIRDS, victim });
        }
    }
    points
}

fn events(home: &Path) -> Vec<String> {
    let text = fs::read_to_string(home.join("runs/0001/events.jsonl")).unwrap_or_default();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect()
}

/// Runs `up`, kills at the point, and lets whatever still runs of the command come to its end.
fn crash(bench: &Bench, point: Point) {
    let mut command = start(bench.tiny_command(&["up"]));
    let deadline = Instant::now() + Duration::from_mins(3);
    while events(&bench.home()).len() < point.events && command.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the run stands still at {} events", events(&bench.home()).len());
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(point.later);
    let daemon = fs::read_to_string(bench.home().join("cluster/daemon.json"))
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .and_then(|record| record["pid"].as_u64())
        .and_then(|pid| u32::try_from(pid).ok());
    let below = processes_of(&bench.home());
    let victims: Vec<u32> = match point.victim {
        Victim::Command => vec![command.id()],
        Victim::Daemon => daemon.into_iter().collect(),
        Victim::Child => below.iter().copied().find(|pid| Some(*pid) != daemon).into_iter().collect(),
        Victim::Everything => [command.id()].into_iter().chain(below).collect(),
    };
    victims.into_iter().for_each(kill_quietly);
    // A command whose cluster was killed ends by itself, in whatever way.
    command.wait().unwrap();
}

/// What differs after a crash at this point and another `up`.
fn recover(point: Point, wanted: &Likeness) -> Result<(), String> {
    let bench = Bench::new();
    crash(&bench, point);
    let up = bench.tiny(&["up"]);
    if up.code != 0 {
        return Err(format!("up ended with {}\n{}\n{}", up.code, up.out, up.err));
    }
    let differences = wanted.differences(&Likeness::of(&bench, true));
    if !differences.is_empty() {
        return Err(differences.join("\n"));
    }
    let down = bench.tiny(&["down", "--purge"]);
    if down.code == 0 && !bench.home().exists() { Ok(()) } else { Err(format!("down: {down:?}")) }
}

#[test]
fn a_crash_at_any_point_is_recovered_from() {
    let bench = Bench::new();
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let wanted = Likeness::of(&bench, true);
    let times = events(&bench.home()).into_iter().map(|line| {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["at"].as_str().unwrap().parse().unwrap()
    });
    let all = points(&times.collect::<Vec<Timestamp>>());
    drop(bench);
    assert!(all.len() >= 200, "{} points", all.len());
    let chosen: Vec<usize> = match std::env::var("CANARY_LAB_CRASH_POINTS").as_deref() {
        Ok("all") => (0..all.len()).collect(),
        Ok(listed) => listed.split(',').map(|number| number.trim().parse().unwrap()).collect(),
        Err(_) => SAMPLE.iter().map(|share| (all.len() as f64 * share) as usize).collect(),
    };
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(number) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let point = all[*number];
                    if let Err(difference) = recover(point, &wanted) {
                        println!("point {number}, {point:?}: {difference}");
                        failed.lock().unwrap().push(*number);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} of {} points recovered from, of {} in a run", chosen.len() - failed.len(), chosen.len(), all.len());
    assert!(failed.is_empty(), "not recovered from: {failed:?}");
}
