//! Registries and stateless functions.

use glimm_core::link::Link;
use glimm_core::{family, simulate, structure};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{FamilyName, Vector, family_of, vector};
use crate::precision::Precision;
use crate::seam::raise;

/// Rows named in an error.
const FIRST_ROWS: usize = 5;

/// Families with their links (the first is the default), parameters besides the mean and whether they take trials.
#[pyfunction]
pub fn families(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    family::families()
        .iter()
        .map(|f| {
            let d = PyDict::new(py);
            d.set_item("name", f.name)?;
            d.set_item("links", f.links.iter().map(|l| l.name()).collect::<Vec<_>>())?;
            let parameter = |p: &family::Parameter| {
                let (low, high) = p.scale.bounds();
                (p.name, p.meaning, p.scale.name(), low, high, p.dispersion, p.precision)
            };
            d.set_item("parameters", f.parameters.iter().map(parameter).collect::<Vec<_>>())?;
            d.set_item("trials", f.trials)?;
            d.set_item("ordered", f.ordered)?;
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

/// First derivatives of Lambda, (parameters, effects, effects), and second ones, (parameters, parameters, effects,
/// effects), end to end.
#[pyfunction]
pub fn factor_derivatives(name: &str, effects: usize, theta: Vec<f64>) -> Option<(Vec<f64>, Vec<f64>)> {
    let structure = structure::lookup(name, effects)?;
    let (p, cells) = (theta.len(), effects * effects);
    let (mut first, mut second) = (vec![0.0; p * cells], vec![0.0; p * p * cells]);
    for (i, out) in first.chunks_exact_mut(cells).enumerate() {
        structure.derivative(&theta, i, out);
    }
    for (k, out) in second.chunks_exact_mut(cells).enumerate() {
        structure.second_derivative(&theta, k / p, k % p, out);
    }
    Some((first, second))
}

/// Correlations of a field at other points (points, coordinates) with its places, (points x effects) end to end, and
/// their derivatives in the last parameter, the log of the range.
#[pyfunction]
pub fn field_correlations<'py>(
    py: Python<'py>,
    name: &str,
    effects: usize,
    theta: Vec<f64>,
    points: Vector<'py>,
) -> Option<[Bound<'py, PyArray1<f64>>; 2]> {
    let structure = structure::lookup(name, effects)?;
    let found = structure.between(&theta, theta.len() - 1, &vector(&points))?;
    let (value, slope): (Vec<f64>, Vec<f64>) = found.iter().map(|x| (x.value, x.one)).unzip();
    Some([value.into_pyarray(py), slope.into_pyarray(py)])
}

/// One response per row at the linear predictors given; for ordered classes eta and then all thresholds.
#[pyfunction]
pub fn draw_responses<'py>(
    py: Python<'py>,
    name: FamilyName,
    eta: Vec<Vector<'py>>,
    size: Option<Vector<'py>>,
    seed: u64,
    replicate: u64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let family = family_of(&name).map_err(raise)?;
    let eta: Vec<Vec<f64>> = eta.iter().map(vector).collect();
    let predictors: Vec<&[f64]> = eta.iter().map(Vec::as_slice).collect();
    let size = size.as_ref().map(vector);
    let y = simulate::responses(family.as_ref(), &predictors, size.as_deref(), seed, replicate);
    Ok(y.into_pyarray(py))
}

/// Means of the response at the linear predictors given; proportions where there are trials.
#[pyfunction]
pub fn means<'py>(py: Python<'py>, name: FamilyName, eta: Vec<Vector<'py>>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let family = family_of(&name).map_err(raise)?;
    Ok(each_row(&eta, |_, eta| family.mean(eta)).into_pyarray(py))
}

/// Variances of the response.
#[pyfunction]
pub fn variances<'py>(
    py: Python<'py>,
    name: FamilyName,
    eta: Vec<Vector<'py>>,
    size: Option<Vector<'py>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let family = name.with("variance").and_then(|()| family_of(&name)).map_err(raise)?;
    let size = size.as_ref().map(vector);
    let variance = |i: usize, eta: &[f64]| family.variance(eta, size.as_ref().map_or(1.0, |s| s[i]));
    Ok(each_row(&eta, variance).into_pyarray(py))
}

/// (P(Y <= y), P(Y > y)) of each row.
#[pyfunction]
pub fn cdf<'py>(
    py: Python<'py>,
    name: FamilyName,
    y: Vector<'py>,
    eta: Vec<Vector<'py>>,
    size: Option<Vector<'py>>,
) -> PyResult<[Bound<'py, PyArray1<f64>>; 2]> {
    let family = name.with("cdf").and_then(|()| family_of(&name)).map_err(raise)?;
    let (y, size) = (vector(&y), size.as_ref().map(vector));
    let both = each_row(&eta, |i, eta| family.cdf(y[i], size.as_ref().map_or(1.0, |s| s[i]), eta));
    let (lower, upper): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
    Ok([lower.into_pyarray(py), upper.into_pyarray(py)])
}

/// Probabilities of ordered classes (rows x classes, row by row).
#[pyfunction]
pub fn class_probabilities<'py>(
    py: Python<'py>,
    link: &str,
    eta: Vector<'py>,
    thresholds: Vec<f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let Some(link) = Link::parse(link) else {
        return Err(pyo3::exceptions::PyValueError::new_err(format!("unknown link {link:?}")));
    };
    let rows = vector(&eta).into_iter().flat_map(|e| family::probabilities(link, e, &thresholds));
    Ok(rows.collect::<Vec<f64>>().into_pyarray(py))
}

/// Names of the families that accept all these responses, and the first rows that family `name` refuses.
#[pyfunction]
pub fn accepting(
    name: FamilyName,
    y: Vector<'_>,
    size: Option<Vector<'_>>,
) -> PyResult<(Vec<&'static str>, Vec<usize>)> {
    let family = family_of(&name).map_err(raise)?;
    let (y, size) = (vector(&y), size.as_ref().map(vector));
    let size = |i: usize| size.as_ref().map_or(1.0, |s| s[i]);
    let accepts = |entry: &&family::Entry| {
        let found = family::lookup(entry.name, None);
        !entry.ordered && found.is_ok_and(|f| (0..y.len()).all(|i| f.check(y[i], size(i)).is_ok()))
    };
    let names = family::families().iter().filter(accepts).map(|entry| entry.name).collect();
    let refused = (0..y.len()).filter(|&i| family.check(y[i], size(i)).is_err()).take(FIRST_ROWS).collect();
    Ok((names, refused))
}

/// A function of the predictors of every row.
fn each_row<T>(eta: &[Vector<'_>], mut op: impl FnMut(usize, &[f64]) -> T) -> Vec<T> {
    let columns: Vec<Vec<f64>> = eta.iter().map(vector).collect();
    let mut at = vec![0.0; columns.len()];
    let row = |i: usize| {
        at.iter_mut().zip(&columns).for_each(|(a, c)| *a = c[i]);
        op(i, &at)
    };
    (0..columns.first().map_or(0, Vec::len)).map(row).collect()
}

/// New random effects of one term: levels x effects, row by row.
#[pyfunction]
#[pyo3(signature = (lambda, effects, levels, term, seed, replicate, prior=None))]
#[allow(clippy::too_many_arguments)]
pub fn draw_effects<'py>(
    py: Python<'py>,
    lambda: Vec<f64>,
    effects: usize,
    levels: usize,
    term: u64,
    seed: u64,
    replicate: u64,
    prior: Option<Bound<'py, Precision>>,
) -> Bound<'py, PyArray1<f64>> {
    let prior = prior.as_ref().map(|p| p.get().core.as_ref());
    simulate::effects(&lambda, effects, levels, prior, [term, seed, replicate]).into_pyarray(py)
}
