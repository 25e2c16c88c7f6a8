//! Threads for the core's work, kept between calls: starting them takes longer than a small fit, and an object that is
//! kept holds none.

use std::sync::{Mutex, MutexGuard};

use glimm_core::objective::block::PARALLEL_ROWS;
use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Idle pools that are kept at most.
const MOST_IDLE: usize = 64;
/// Times that the list is asked for.
const TRIES: usize = 100;

/// A pool that nobody uses. A fork has the pools of its parent but not their threads.
struct Idle {
    process: u32,
    asked: usize,
    pool: ThreadPool,
}

static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

/// The threads that the calls of one object run on.
#[derive(Clone, Copy)]
pub enum Threads {
    /// One, and others that are there for what is worth sharing.
    One,
    /// None but the calling one, for work that is over before anybody could stop it.
    Caller,
    /// As many as were asked for (0: one for each core), and how many that is.
    Pool { asked: usize, count: usize },
}

impl Threads {
    /// So many threads for so many rows, all cores if `None`; an error where they cannot be started. Few rows are left
    /// to one, which is to be alone only if asked for.
    pub fn for_rows(rows: usize, threads: Option<usize>) -> PyResult<Threads> {
        if rows >= PARALLEL_ROWS || threads == Some(1) { Threads::new(threads) } else { Ok(Threads::One) }
    }

    /// So many threads, all cores if `None`; an error where they cannot be started.
    pub fn new(threads: Option<usize>) -> PyResult<Threads> {
        let asked = threads.unwrap_or(0);
        let pool = take(asked).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
        let count = pool.current_num_threads();
        give_back(asked, pool);
        Ok(Threads::Pool { asked, count })
    }

    pub fn count(self) -> usize {
        match self {
            Threads::One | Threads::Caller => 1,
            Threads::Pool { count, .. } => count,
        }
    }

    /// Runs `work` on them while the calling thread does what it gives back; an error where they cannot be started.
    pub fn beside<T>(self, work: impl FnOnce() + Send, meanwhile: impl FnOnce() -> T) -> PyResult<T> {
        if let Threads::Caller = self {
            work();
            return Ok(meanwhile());
        }
        let asked = self.asked();
        let pool = take(asked).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
        let found = pool.in_place_scope(|scope| {
            scope.spawn(|_| work());
            meanwhile()
        });
        give_back(asked, pool);
        Ok(found)
    }

    /// Runs `work` on them; on the calling thread where there is to be one.
    pub fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        let Threads::Pool { asked, .. } = self else { return work() };
        match take(asked) {
            Ok(pool) => {
                let found = pool.install(work);
                give_back(asked, pool);
                found
            }
            // No more threads are to be had: those that there are will do.
            Err(_) => work(),
        }
    }

    /// Threads of the pool; 0: one for each core.
    fn asked(self) -> usize {
        match self {
            Threads::One | Threads::Caller => 0,
            Threads::Pool { asked, .. } => asked,
        }
    }
}

/// The list, unless it cannot be had: another thread may have held it when the process forked.
fn idle() -> Option<MutexGuard<'static, Vec<Idle>>> {
    (0..TRIES).find_map(|_| {
        let list = IDLE.try_lock().ok();
        if list.is_none() {
            std::hint::spin_loop();
        }
        list
    })
}

/// An idle pool or a new one.
fn take(asked: usize) -> Result<ThreadPool, rayon::ThreadPoolBuildError> {
    let process = std::process::id();
    let kept = idle().and_then(|mut idle| {
        let place = idle.iter().position(|i| i.process == process && i.asked == asked)?;
        Some(idle.swap_remove(place).pool)
    });
    kept.map_or_else(|| ThreadPoolBuilder::new().num_threads(asked).build(), Ok)
}

fn give_back(asked: usize, pool: ThreadPool) {
    let process = std::process::id();
    if let Some(mut idle) = idle()
        && idle.iter().filter(|i| i.process == process).count() < MOST_IDLE
    {
        idle.push(Idle { process, asked, pool });
    }
}
