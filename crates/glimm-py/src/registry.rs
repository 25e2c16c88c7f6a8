//! Registries and stateless functions.

use glimm_core::link::Link;
use glimm_core::{family, simulate, structure};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{Vector, vector};
use crate::seam::raise;

/// Families with their links (the first is the default), parameters besides the mean and whether they take trials.
#[pyfunction]
pub fn families(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    family::families()
        .iter()
        .map(|f| {
            let d = PyDict::new(py);
            d.set_item("name", f.name)?;
            d.set_item("links", f.links.iter().map(|l| l.name()).collect::<Vec<_>>())?;
            let parameter = |p: &family::Parameter| (p.name, p.meaning, p.scale.name(), p.dispersion, p.precision);
            d.set_item("parameters", f.parameters.iter().map(parameter).collect::<Vec<_>>())?;
            d.set_item("trials", f.trials)?;
            Ok(d)
        })
        .collect()
}

#[pyfunction]
pub fn error_codes() -> Vec<&'static str> {
    glimm_core::error::CODES.to_vec()
}

/// Mean on the response scale of a linear predictor.
#[pyfunction]
pub fn inverse_link<'py>(py: Python<'py>, link: &str, eta: Vector<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let Some(link) = Link::parse(link) else {
        return Err(pyo3::exceptions::PyValueError::new_err(format!("unknown link {link:?}")));
    };
    Ok(eta.as_array().iter().map(|&e| link.inverse(e)).collect::<Vec<_>>().into_pyarray(py))
}

/// Lambda, row by row, of a structure's parameters.
#[pyfunction]
pub fn factor(name: &str, effects: usize, theta: Vec<f64>) -> Option<Vec<f64>> {
    let structure = structure::lookup(name, effects)?;
    let mut lambda = vec![0.0; effects * effects];
    structure.factor(&theta, &mut lambda);
    Some(lambda)
}

/// One response per row at the linear predictor and (log) dispersion given.
#[pyfunction]
#[pyo3(signature = (family, link, eta, dispersion, trials, seed, replicate))]
#[allow(clippy::too_many_arguments)]
pub fn draw_responses<'py>(
    py: Python<'py>,
    family: &str,
    link: &str,
    eta: Vector<'py>,
    dispersion: Option<f64>,
    trials: Option<Vector<'py>>,
    seed: u64,
    replicate: u64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let family = family::lookup(family, Some(link)).map_err(raise)?;
    let eta = vector(&eta);
    let log_dispersion = dispersion.map(|d| vec![d; eta.len()]);
    let predictors: Vec<&[f64]> = std::iter::once(eta.as_slice()).chain(log_dispersion.as_deref()).collect();
    let size = trials.as_ref().map(vector);
    let y = simulate::responses(family.as_ref(), &predictors, size.as_deref(), seed, replicate);
    Ok(y.into_pyarray(py))
}

/// New random effects of one term: levels x effects, row by row.
#[pyfunction]
pub fn draw_effects<'py>(
    py: Python<'py>,
    lambda: Vec<f64>,
    effects: usize,
    levels: usize,
    term: u64,
    seed: u64,
    replicate: u64,
) -> Bound<'py, PyArray1<f64>> {
    simulate::effects(&lambda, effects, levels, term, seed, replicate).into_pyarray(py)
}
