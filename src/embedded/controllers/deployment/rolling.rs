//! How many pods each ReplicaSet of a Deployment may have: pure arithmetic of the rolling update.

use serde_json::Value;

/// How far a rolling update may go above and below the wanted number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Pods above the wanted number.
    pub(super) surge: u64,
    /// Pods below the wanted number.
    pub(super) unavailable: u64,
}

/// The counts of one ReplicaSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// `spec.replicas`.
    pub(super) wanted: u64,
    /// `status.replicas`.
    pub(super) actual: u64,
    /// `status.readyReplicas`.
    pub(super) ready: u64,
    /// `status.availableReplicas`.
    pub(super) available: u64,
}

impl Counts {
    /// Reads the counts of a ReplicaSet.
    pub(super) fn of(set: &Value) -> Self {
        let status = |field: &str| set["status"][field].as_u64().unwrap_or(0);
        Self {
            wanted: set["spec"]["replicas"].as_u64().unwrap_or(0),
            actual: status("replicas"),
            ready: status("readyReplicas"),
            available: status("availableReplicas"),
        }
    }

    /// Adds up.
    pub(super) fn sum(counts: impl IntoIterator<Item = Self>) -> Self {
        counts.into_iter().fold(Self::default(), |sum, one| Self {
            wanted: sum.wanted + one.wanted,
            actual: sum.actual + one.actual,
            ready: sum.ready + one.ready,
            available: sum.available + one.available,
        })
    }
}

impl Bounds {
    /// Reads the strategy of a Deployment: shares of the surge are rounded up, those of the unavailable down, and
    /// if both come out as nothing one pod may be missing, for otherwise nothing could ever be replaced.
    pub(super) fn of(deployment: &Value, wanted: u64) -> Self {
        if deployment["spec"]["strategy"]["type"] == "Recreate" {
            return Self { surge: 0, unavailable: 0 };
        }
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], wanted, true);
        let unavailable = share(&rolling["maxUnavailable"], wanted, false);
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable.min(wanted) };
        Self { surge, unavailable }
    }
}

/// A number, or a percentage of `whole`. A missing value is Kubernetes' default of 25 %.
fn share(value: &Value, whole: u64, round_up: bool) -> u64 {
    if let Some(number) = value.as_u64() {
        return number;
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<u64>().ok()).unwrap_or(25);
    let scaled = percent.saturating_mul(whole);
    if round_up { scaled.div_ceil(100) } else { scaled / 100 }
}

/// The size of the new ReplicaSet at this step: as large as wanted and as the surge allows.
pub(super) fn new_set_size(wanted: u64, bounds: Bounds, all: Counts, new: Counts) -> u64 {
    if new.wanted >= wanted {
        return wanted;
    }
    let ceiling = wanted + bounds.surge;
    let room = ceiling.saturating_sub(all.wanted);
    new.wanted + room.min(wanted - new.wanted)
}

/// The sizes of the old ReplicaSets at this step, in their order (oldest first).
///
/// Pods that do not work go first, since taking them away costs nothing; then working ones, as far as enough remain.
pub(super) fn old_set_sizes(wanted: u64, bounds: Bounds, old: &[Counts], new: Counts) -> Vec<u64> {
    let mut sizes: Vec<u64> = old.iter().map(|counts| counts.wanted).collect();
    let all = Counts::sum(old.iter().copied().chain([new]));
    let least = wanted.saturating_sub(bounds.unavailable);
    let new_missing = new.wanted.saturating_sub(new.available);
    let mut budget = all.wanted.saturating_sub(least + new_missing);
    for (size, counts) in sizes.iter_mut().zip(old) {
        let broken = size.saturating_sub(counts.available).min(budget);
        *size -= broken;
        budget -= broken;
    }
    let mut spare = all.available.saturating_sub(least).min(budget);
    for size in &mut sizes {
        let less = (*size).min(spare);
        *size -= less;
        spare -= less;
    }
    sizes
}

/// Spreads a change of the wanted number over several ReplicaSets in proportion to their sizes, largest first; what
/// rounding leaves goes to the largest. `ceilings` are the totals that each set was last sized for.
pub(super) fn proportional_sizes(target: u64, sizes: &[u64], ceilings: &[u64]) -> Vec<u64> {
    let total: u64 = sizes.iter().sum();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(sizes[index]));
    let mut result: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
    let mut left = target as i64 - total as i64;
    for &index in &order {
        let ceiling = ceilings.get(index).copied().unwrap_or(total).max(1);
        let ideal = (sizes[index] * target + ceiling / 2) / ceiling;
        let change = ideal as i64 - sizes[index] as i64;
        let change = if left > 0 { change.clamp(0, left) } else { change.clamp(left, 0) };
        result[index] += change;
        left -= change;
    }
    if let Some(&largest) = order.first() {
        result[largest] += left;
    }
    result.into_iter().map(|size| u64::try_from(size).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counts(wanted: u64, available: u64) -> Counts {
        Counts { wanted, actual: wanted, ready: available, available }
    }

    #[test]
    fn shares_are_rounded_as_kubernetes_does() {
        let cases = [
            (json!({}), 1, Bounds { surge: 1, unavailable: 0 }),
            (json!({"maxSurge": "25%", "maxUnavailable": "25%"}), 10, Bounds { surge: 3, unavailable: 2 }),
            (json!({"maxSurge": 0, "maxUnavailable": 0}), 4, Bounds { surge: 0, unavailable: 1 }),
            (json!({"maxSurge": 2, "maxUnavailable": 9}), 4, Bounds { surge: 2, unavailable: 4 }),
        ];
        for (rolling, wanted, bounds) in cases {
            let deployment = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}});
            assert_eq!(Bounds::of(&deployment, wanted), bounds, "{deployment}");
        }
    }

    #[test]
    fn one_replica_is_replaced_without_a_gap() {
        let bounds = Bounds { surge: 1, unavailable: 0 };
        let (old, new) = (counts(1, 1), counts(0, 0));
        assert_eq!(new_set_size(1, bounds, Counts::sum([old, new]), new), 1);
        assert_eq!(old_set_sizes(1, bounds, &[old], counts(1, 0)), [1]);
        assert_eq!(old_set_sizes(1, bounds, &[old], counts(1, 1)), [0]);
    }

    #[test]
    fn ten_replicas_roll_in_steps_and_broken_pods_go_first() {
        let bounds = Bounds { surge: 3, unavailable: 2 };
        let (old, new) = (counts(10, 10), counts(0, 0));
        assert_eq!(new_set_size(10, bounds, Counts::sum([old, new]), new), 3);
        assert_eq!(old_set_sizes(10, bounds, &[old], counts(3, 0)), [8]);
        assert_eq!(new_set_size(10, bounds, Counts::sum([counts(8, 8), counts(3, 0)]), counts(3, 0)), 5);
        assert_eq!(old_set_sizes(10, bounds, &[counts(5, 5), counts(4, 0)], counts(4, 4)), [4, 0]);
    }

    #[test]
    fn a_set_that_is_too_large_shrinks_to_the_wanted_size() {
        let bounds = Bounds { surge: 1, unavailable: 0 };
        assert_eq!(new_set_size(1, bounds, counts(9, 9), counts(9, 9)), 1);
    }

    #[test]
    fn a_change_of_size_in_the_middle_of_a_rollout_is_shared() {
        assert_eq!(proportional_sizes(20, &[8, 2], &[10, 10]), [16, 4]);
        assert_eq!(proportional_sizes(5, &[8, 2], &[10, 10]), [4, 1]);
        assert_eq!(proportional_sizes(11, &[5, 5], &[10, 10]), [6, 5]);
    }
}
