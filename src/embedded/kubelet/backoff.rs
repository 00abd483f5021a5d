//! How long a container that failed waits before it is started again.

use std::time::Duration;

use jiff::Timestamp;

/// The first wait.
const FIRST: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);
/// A container that ran this long is taken for healthy, and the next failure counts as the first.
const FORGIVEN: Duration = Duration::from_mins(10);

/// The back-off of one container or of one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BackOff {
    /// The wait in force, and since when; nothing before the first failure.
    current: Option<(Duration, Timestamp)>,
}

impl BackOff {
    /// The wait that is left at `now` for a container that ended at `ended`; `None` when it may start.
    pub(crate) fn left(&self, ended: Timestamp, now: Timestamp) -> Option<Duration> {
        let (wait, since) = self.current?;
        if elapsed(since, ended) > FORGIVEN {
            return None;
        }
        let waited = elapsed(ended, now);
        wait.checked_sub(waited).filter(|left| !left.is_zero())
    }

    /// The wait in force, for messages.
    pub(crate) fn wait(&self) -> Duration {
        self.current.map_or(FIRST, |(wait, _)| wait)
    }

    /// Notes that a container which ended at `ended` is started again now. The first restart is immediate, every
    /// further one waits twice as long as the one before.
    pub(crate) fn restarted(&mut self, ended: Timestamp, now: Timestamp) {
        let next = match self.current {
            Some((wait, since)) if elapsed(since, ended) <= FORGIVEN => (wait * 2).min(LONGEST),
            _ => FIRST,
        };
        self.current = Some((next, now));
    }
}

/// Seconds as the kubelet writes a wait: `10s`, `1m20s`, `5m0s`.
pub(crate) fn wait_text(wait: Duration) -> String {
    let seconds = wait.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to - from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_are_forgiven() {
        let mut back_off = BackOff::default();
        let mut now = 0;
        let mut waits = vec![];
        for _ in 0..8 {
            // The container fails one second after each start.
            let ended = at(now + 1);
            let left = back_off.left(ended, ended).unwrap_or_default();
            waits.push(left.as_secs());
            now += 1 + i64::try_from(left.as_secs()).unwrap();
            assert_eq!(back_off.left(ended, at(now)), None);
            back_off.restarted(ended, at(now));
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        let healthy = at(now + 601);
        assert_eq!(back_off.left(healthy, healthy), None);
        back_off.restarted(healthy, healthy);
        assert_eq!(back_off.wait(), FIRST);
    }

    #[test]
    fn waits_are_written_as_the_kubelet_does() {
        let texts = [10, 40, 80, 160, 300].map(|seconds| wait_text(Duration::from_secs(seconds)));
        assert_eq!(texts, ["10s", "40s", "1m20s", "2m40s", "5m0s"]);
    }
}
