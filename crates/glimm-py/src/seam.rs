//! The one way in and out: release the interpreter, look at signals, turn errors into exceptions.

use glimm_core::control::Control;
use glimm_core::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pyo3::create_exception;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;

use crate::threads::Threads;

create_exception!(
    _core,
    CoreError,
    PyValueError,
    "An error of the numerical core: args are (code, message, row or cluster or None)."
);

/// Time between looks at pending signals.
const LOOK: Duration = Duration::from_millis(50);

pub fn raise(error: Error) -> PyErr {
    let row = match &error {
        Error::Response { row, .. } | Error::NotFinite { row, .. } => Some(*row),
        Error::Working { cluster } => Some(*cluster),
        _ => None,
    };
    match error {
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        other => CoreError::new_err((other.code(), other.to_string(), row)),
    }
}

type Outcome<T> = std::thread::Result<Result<T, Error>>;

/// Runs `work` on other threads without the interpreter lock. Meanwhile the calling thread, which alone
/// may see signals, looks for them, stops the work when there is one, and shows progress.
pub fn enter<T: Send>(
    py: Python<'_>,
    threads: Threads,
    show: Option<&Py<PyAny>>,
    work: impl Send + FnOnce(&Arc<Control>) -> Result<T, Error>,
) -> PyResult<T> {
    let control = &Arc::new(Control::default());
    let (outcome, trouble) = py.detach(|| {
        let (send, receive) = mpsc::channel();
        let worker = move || drop(send.send(catch_unwind(AssertUnwindSafe(|| work(control)))));
        let waited = threads.beside(worker, || wait(&receive, control, show));
        waited.unwrap_or_else(|error| (None, Some(error)))
    });
    match (trouble, outcome) {
        (Some(trouble), _) => Err(trouble),
        (None, Some(Ok(result))) => result.map_err(raise),
        // A panic is a defect of ours; it must not pass `except Exception` by.
        (None, _) => {
            Err(CoreError::new_err(("internal", "an internal check failed; please report this", None::<usize>)))
        }
    }
}

/// Waits for the outcome. What goes wrong meanwhile, such as Ctrl-C, ends the work and comes with it.
fn wait<T>(
    outcome: &mpsc::Receiver<Outcome<T>>,
    control: &Control,
    show: Option<&Py<PyAny>>,
) -> (Option<Outcome<T>>, Option<PyErr>) {
    let mut trouble = None;
    loop {
        match outcome.recv_timeout(LOOK) {
            Ok(outcome) => return (Some(outcome), trouble),
            Err(mpsc::RecvTimeoutError::Disconnected) => return (None, trouble),
            Err(mpsc::RecvTimeoutError::Timeout) if trouble.is_none() => {
                trouble = Python::attach(|py| look(py, control, show)).err();
                if trouble.is_some() {
                    control.stop();
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

fn look(py: Python<'_>, control: &Control, show: Option<&Py<PyAny>>) -> PyResult<()> {
    py.check_signals()?;
    if let (Some(show), Some(r)) = (show, control.latest()) {
        show.call1(py, (r.stage, r.iteration, r.loglik, r.decrement, control.done()))?;
    }
    Ok(())
}
