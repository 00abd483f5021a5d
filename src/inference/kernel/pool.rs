//! Worker threads that stay, and the queue that lets one run at a time use them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

/// How often a thread looks again before it goes to sleep: some 20 µs, the usual pause between two heavy ops.
const LOOKS_BEFORE_SLEEP: u32 = 2_000;

/// A fixed number of threads, the caller's own among them.
///
/// Runs take turns in the order of their arrival ([`Pool::turn`]) and each has all threads while it lasts: sixteen
/// requests at once then need the memory of one, and none waits behind a later one.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    queue: Queue,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    idle: Condvar,
    /// Copies of fields of `State` to look at without the lock.
    round: AtomicUsize,
    running: AtomicUsize,
    /// Whether a run is under way, so that watching for its next job is worth the electricity.
    busy: AtomicBool,
}

#[derive(Default)]
struct State {
    round: usize,
    job: Option<Job>,
    running: usize,
    panicked: bool,
    stop: bool,
}

/// What to do for unit `n`.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// A job with its lifetime erased.
#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    next: *const AtomicUsize,
    units: usize,
}

// SAFETY: the pointers are to `Sync` things, and `Pool::run` keeps them alive while any worker can reach them.
unsafe impl Send for Job {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// The pool of this process with that many threads, 0 for as many as there are processors. Sessions share it.
    pub(crate) fn of_threads(threads: usize) -> Arc<Self> {
        static POOLS: OnceLock<Mutex<HashMap<usize, Weak<Pool>>>> = OnceLock::new();
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads.min(256),
        };
        let mut pools = lock(POOLS.get_or_init(Mutex::default));
        if let Some(pool) = pools.get(&threads).and_then(Weak::upgrade) {
            return pool;
        }
        let pool = Arc::new(Self::start(threads));
        pools.insert(threads, Arc::downgrade(&pool));
        pool
    }

    fn start(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        // A worker that cannot be started is only missing: the caller's own thread does all the work then.
        let workers = (1..threads)
            .filter_map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new().name(format!("inference-{number}")).spawn(move || shared.serve()).ok()
            })
            .collect();
        Self { shared, workers, queue: Queue::default() }
    }

    /// The threads that take part in a run.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Waits until all that asked before have finished; the turn lasts until it is dropped.
    pub(crate) fn turn(&self) -> Turn<'_> {
        self.queue.wait();
        self.shared.busy.store(true, Ordering::Relaxed);
        Turn { pool: self }
    }

    /// Calls `work` once for each number below `units`, on all threads; returns when all calls have returned.
    pub(crate) fn run(&self, units: usize, work: &(dyn Fn(usize) + Sync)) {
        if units <= 1 || self.workers.is_empty() {
            (0..units).for_each(work);
            return;
        }
        let next = AtomicUsize::new(0);
        // SAFETY: only the lifetime changes; the job is withdrawn below, before `work` and `next` go away.
        let erased = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        {
            let mut state = lock(&self.shared.state);
            state.round += 1;
            state.job = Some(Job { work: erased, next: &raw const next, units });
            self.shared.round.store(state.round, Ordering::Release);
        }
        self.shared.work.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| take_units(work, &next, units)));
        let mut state = lock(&self.shared.state);
        state.job = None;
        drop(state);
        for _ in 0..LOOKS_BEFORE_SLEEP {
            if self.shared.running.load(Ordering::Acquire) == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        state = lock(&self.shared.state);
        while state.running > 0 {
            state = self.shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let panicked = std::mem::take(&mut state.panicked);
        drop(state);
        match own {
            Err(panic) => resume_unwind(panic),
            Ok(()) => assert!(!panicked, "a worker panicked"),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.state).stop = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's panic was already reported to the run that caused it.
            let _ = worker.join();
        }
    }
}

fn take_units(work: &Work<'_>, next: &AtomicUsize, units: usize) {
    loop {
        let unit = next.fetch_add(1, Ordering::Relaxed);
        if unit >= units {
            return;
        }
        work(unit);
    }
}

impl Shared {
    /// A worker's life: take part in each round's job, until the pool is dropped.
    fn serve(&self) {
        let mut seen = 0;
        loop {
            let mut looks = 0;
            while looks < LOOKS_BEFORE_SLEEP
                && self.busy.load(Ordering::Relaxed)
                && self.round.load(Ordering::Acquire) == seen
            {
                looks += 1;
                std::hint::spin_loop();
            }
            let mut state = lock(&self.state);
            while state.round == seen && !state.stop {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            seen = state.round;
            let Some(job) = state.job else { continue };
            state.running += 1;
            self.running.store(state.running, Ordering::Release);
            drop(state);
            // SAFETY: `running` was raised under the lock while the job was there, and `Pool::run` withdraws the job
            // and waits for `running` to be zero before it returns, so both pointers are alive until then.
            let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { take_units(&*job.work, &*job.next, job.units) }));
            let mut state = lock(&self.state);
            state.running -= 1;
            state.panicked |= outcome.is_err();
            self.running.store(state.running, Ordering::Release);
            if state.running == 0 {
                self.idle.notify_all();
            }
        }
    }
}

/// First come, first served.
#[derive(Default)]
struct Queue {
    tickets: Mutex<Tickets>,
    called: Condvar,
}

#[derive(Default)]
struct Tickets {
    next: u64,
    current: u64,
}

impl Queue {
    fn wait(&self) {
        let mut tickets = lock(&self.tickets);
        let mine = tickets.next;
        tickets.next += 1;
        while tickets.current != mine {
            tickets = self.called.wait(tickets).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self) {
        lock(&self.tickets).current += 1;
        self.called.notify_all();
    }
}

/// The right to use the pool; see [`Pool::turn`].
pub(crate) struct Turn<'a> {
    pool: &'a Pool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pool.shared.busy.store(false, Ordering::Relaxed);
        self.pool.queue.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_done_once_round_after_round() {
        let pool = Pool::start(4);
        for units in (0..200).chain([5_000]) {
            let counts: Vec<AtomicUsize> = (0..units).map(|_| AtomicUsize::new(0)).collect();
            pool.run(units, &|unit| {
                counts[unit].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_panic_in_a_unit_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::start(3);
        for _ in 0..20 {
            let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(50, &|unit| assert!(unit != 31, "unit 31"))));
            assert!(outcome.is_err());
        }
        let sum = AtomicUsize::new(0);
        pool.run(10, &|unit| {
            sum.fetch_add(unit, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn turns_are_exclusive_and_shared_by_sessions_with_as_many_threads() {
        let pool = Pool::of_threads(2);
        assert!(Arc::ptr_eq(&pool, &Pool::of_threads(2)));
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let turn = pool.turn();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        pool.run(4, &|_| ());
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
    }
}
