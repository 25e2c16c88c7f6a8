//! Known precision over the levels of a term, factorised once and shared by all problems it enters.

use glimm_core::precision::Precision as Core;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use std::sync::Arc;

use crate::convert::{Vector, vector};
use crate::seam::enter;
use crate::threads::Threads;

#[pyclass(module = "glimm._core", frozen)]
pub struct Precision {
    pub core: Arc<Core>,
}

#[pymethods]
impl Precision {
    /// From the lower triangle by columns, the diagonal first, and sets of levels over which effects sum to zero.
    #[new]
    #[pyo3(signature = (starts, rows, values, sets=Vec::new()))]
    fn new(
        py: Python<'_>,
        starts: PyReadonlyArray1<'_, i64>,
        rows: PyReadonlyArray1<'_, i64>,
        values: Vector<'_>,
        sets: Vec<Vec<u32>>,
    ) -> PyResult<Precision> {
        let whole = |v: &PyReadonlyArray1<'_, i64>| -> Vec<usize> {
            v.as_array().iter().map(|&i| usize::try_from(i).unwrap_or(usize::MAX)).collect()
        };
        let (starts, rows, values) = (whole(&starts), whole(&rows), vector(&values));
        let levels = starts.len().saturating_sub(1);
        let core = enter(py, Threads::One, None, |_| Core::new(levels, starts, rows, values, sets))?;
        Ok(Precision { core: Arc::new(core) })
    }

    #[getter]
    fn levels(&self) -> usize {
        self.core.levels()
    }

    #[getter]
    fn log_determinant(&self) -> f64 {
        self.core.log_determinant()
    }

    /// P^-1 x for x of `effects` numbers per level, row by row.
    fn solve<'py>(&self, py: Python<'py>, x: Vector<'py>, effects: usize) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let mut x = vector(&x);
        let (levels, found) = (self.core.levels(), x.len());
        if found != levels * effects {
            let message = format!("{found} numbers for {levels} levels of {effects} effects");
            return Err(pyo3::exceptions::PyValueError::new_err(message));
        }
        enter(py, Threads::One, None, |_| {
            self.core.solve(&mut x, effects);
            Ok(())
        })?;
        Ok(x.into_pyarray(py))
    }

    /// The diagonal of P^-1.
    fn variances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(enter(py, Threads::One, None, |_| Ok(self.core.variances()))?.into_pyarray(py))
    }
}
