//! The one way in and out: release the interpreter, look at signals, turn errors into exceptions.

use glimm_core::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::create_exception;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use std::time::{Duration, Instant};

create_exception!(
    _core,
    CoreError,
    PyValueError,
    "An error of the numerical core: args are (code, message, row or None)."
);

/// Time between looks at pending signals.
const LOOK: Duration = Duration::from_millis(50);

pub fn raise(error: Error) -> PyErr {
    let row = match &error {
        Error::Response { row, .. } | Error::NotFinite { row, .. } => Some(*row),
        _ => None,
    };
    match error {
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        other => CoreError::new_err((other.code(), other.to_string(), row)),
    }
}

/// What a long computation may ask while it runs without the interpreter.
pub struct Watch {
    last: Instant,
    pub signal: Option<PyErr>,
}

impl Watch {
    /// False once the user has pressed Ctrl-C.
    pub fn go_on(&mut self) -> bool {
        if self.signal.is_some() {
            return false;
        }
        if self.last.elapsed() >= LOOK {
            self.last = Instant::now();
            self.signal = Python::attach(|py| py.check_signals().err());
        }
        self.signal.is_none()
    }
}

/// Runs `work` without the interpreter lock.
pub fn enter<T: Send>(py: Python<'_>, work: impl Send + FnOnce(&mut Watch) -> Result<T, Error>) -> PyResult<T> {
    let (result, signal) = py.detach(|| {
        let mut watch = Watch { last: Instant::now(), signal: None };
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut watch)));
        (result, watch.signal)
    });
    match (signal, result) {
        (Some(signal), _) => Err(signal),
        (None, Ok(result)) => result.map_err(raise),
        // A panic is a defect of ours; it must not pass `except Exception` by.
        (None, Err(_)) => {
            Err(CoreError::new_err(("internal", "an internal check failed; please report this", None::<usize>)))
        }
    }
}
