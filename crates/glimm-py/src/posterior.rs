//! Draws of random effects given the responses, and quantile residuals.

use glimm_core::control::Control;
use glimm_core::error::Error;
use glimm_core::objective::Objective;
use glimm_core::objective::Reject;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::residuals;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex};

use crate::convert::{Arrays, FamilyName, PredictorArrays, TermArrays, Vector, family_of, vector};
use crate::seam::{enter, raise};
use crate::threads::Threads;

/// A model met data, from which random effects are drawn.
#[pyclass(module = "glimm._core", frozen)]
pub struct Posterior {
    core: Mutex<Crossed>,
    threads: Threads,
}

#[pymethods]
impl Posterior {
    #[new]
    #[pyo3(signature = (family, y, size, freq, predictors, terms, engine="auto", threads=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        family: FamilyName,
        y: Vector<'_>,
        size: Option<Vector<'_>>,
        freq: Option<Vector<'_>>,
        predictors: Vec<PredictorArrays<'_>>,
        terms: Vec<TermArrays<'_>>,
        engine: &str,
        threads: Option<usize>,
    ) -> PyResult<Posterior> {
        let data = Arrays { family, y, size, freq, predictors, terms }.data()?;
        let engine = Engine::lookup(engine);
        let threads = threads.map_or(Ok(Threads::One), |n| Threads::new(Some(n)))?;
        let core = enter(py, threads, None, |_| {
            data.check()?;
            Crossed::new(&data, engine?)
        })?;
        Ok(Posterior { core: Mutex::new(core), threads })
    }

    /// Standard normal effects u of each term given responses `y`, at parameters `psi`: levels x effects, row by row.
    fn draw<'py>(
        &self,
        py: Python<'py>,
        y: Vector<'py>,
        psi: Vector<'py>,
        seed: u64,
        replicate: u64,
    ) -> PyResult<Vec<Bound<'py, PyArray1<f64>>>> {
        let (y, psi) = (vector(&y), vector(&psi));
        let found = enter(py, self.threads, None, |control| {
            let core: &mut Crossed = &mut self.core.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            core.set_control(control);
            core.set_response(&y);
            core.draw(&psi, seed, replicate).map_err(|reject| explain(reject, control))
        })?;
        Ok(found.into_iter().map(|u| u.into_pyarray(py)).collect())
    }
}

fn explain(reject: Reject, control: &Arc<Control>) -> Error {
    if control.stopped() || reject == Reject::Interrupted {
        return Error::Interrupted;
    }
    Error::Degenerate { why: "the random effects given the responses have no mode at these parameters".into() }
}

/// Quantile residuals of each row and their normal scores; for ordered classes eta and then all thresholds.
#[pyfunction]
#[pyo3(signature = (name, y, eta, size, seed, replicate))]
pub fn quantile_residuals<'py>(
    py: Python<'py>,
    name: FamilyName,
    y: Vector<'py>,
    eta: Vec<Vector<'py>>,
    size: Option<Vector<'py>>,
    seed: u64,
    replicate: u64,
) -> PyResult<[Bound<'py, PyArray1<f64>>; 2]> {
    let family = name.with("cdf").and_then(|()| family_of(&name)).map_err(raise)?;
    let (y, size) = (vector(&y), size.as_ref().map(vector));
    let eta: Vec<Vec<f64>> = eta.iter().map(vector).collect();
    let views: Vec<&[f64]> = eta.iter().map(Vec::as_slice).collect();
    let (u, z) = py.detach(|| residuals::quantile(family.as_ref(), &y, size.as_deref(), &views, seed, replicate));
    Ok([u.into_pyarray(py), z.into_pyarray(py)])
}
