//! What a long computation and the one who waits for it tell each other.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far a climb has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    pub stage: &'static str,
    pub iteration: usize,
    pub loglik: f64,
    /// Squared distance to the maximum, in standard errors.
    pub decrement: f64,
}

/// A wish to stop, and reports of progress, shared between threads.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    /// Rows evaluated since the last start.
    done: AtomicU64,
    report: Mutex<Option<Report>>,
}

impl Control {
    /// Forgets an earlier wish to stop and earlier reports.
    pub fn restart(&self) {
        self.stop.store(false, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Asks the computation to end soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the computation should end now; engines look once for every chunk of rows or step.
    #[inline]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Counts rows that were evaluated.
    pub fn advance(&self, rows: usize) {
        self.done.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Leaves a report; false once the computation should end.
    pub fn tell(&self, report: Report) -> bool {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        !self.stopped()
    }

    /// The latest report.
    pub fn latest(&self) -> Option<Report> {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
