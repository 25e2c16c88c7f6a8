//! Means over a population.

use glimm_core::link::Link;
use glimm_core::population::{self as core, Average, Expectation};
use numpy::ndarray::{Array2, Array3};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::convert::{FamilyName, Vector, family_of, vector};
use crate::seam::raise;

type Out<'py> = Bound<'py, PyArray1<f64>>;
type JointOut<'py> = (Out<'py>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray3<f64>>, Out<'py>);

fn known(name: &str) -> PyResult<Link> {
    Link::parse(name).ok_or_else(|| PyValueError::new_err(format!("unknown link {name:?}")))
}

/// Linear predictor of a mean.
#[pyfunction]
pub fn link<'py>(py: Python<'py>, link: &str, mean: Vector<'py>) -> PyResult<Out<'py>> {
    let link = known(link)?;
    Ok(mean.as_array().iter().map(|&m| link.link(m)).collect::<Vec<_>>().into_pyarray(py))
}

/// (E g^-1(eta + sd t), its derivative in eta, in sd) of each row, t ~ N(0, 1).
#[pyfunction]
pub fn population<'py>(py: Python<'py>, link: &str, eta: Vector<'py>, sd: Vector<'py>) -> PyResult<[Out<'py>; 3]> {
    let (link, eta, sd) = (known(link)?, vector(&eta), vector(&sd));
    if eta.len() != sd.len() {
        return Err(PyValueError::new_err(format!("eta has {} rows, sd {}", eta.len(), sd.len())));
    }
    let found = py.detach(|| core::averages(link, &eta, &sd));
    let column = |of: fn(&Average) -> f64| found.iter().map(of).collect::<Vec<_>>().into_pyarray(py);
    Ok([column(|a| a.mean), column(|a| a.d_eta), column(|a| a.d_sd)])
}

/// (value, d eta, d root, stated error) of E f(eta + root t), t ~ N(0, I); f is the family's "mean", "squared" mean or
/// "variance". eta: (rows, predictors); root: (rows, predictors, directions).
#[pyfunction]
#[pyo3(signature = (name, what, eta, root, slopes=true))]
pub fn population_joint<'py>(
    py: Python<'py>,
    name: FamilyName,
    what: &str,
    eta: PyReadonlyArray2<'py, f64>,
    root: PyReadonlyArray3<'py, f64>,
    slopes: bool,
) -> PyResult<JointOut<'py>> {
    let family = family_of(&name).map_err(raise)?;
    let what = match what {
        "mean" => Expectation::Mean,
        "squared" => Expectation::SquaredMean,
        "variance" => Expectation::Variance,
        other => return Err(PyValueError::new_err(format!("unknown expectation {other:?}"))),
    };
    let (eta, root) = (eta.as_array(), root.as_array());
    let (n, k, r) = root.dim();
    if eta.dim() != (n, k) || k != family.predictors() {
        return Err(PyValueError::new_err("eta and root differ in rows or predictors"));
    }
    let (eta, root): (Vec<f64>, Vec<f64>) = (eta.iter().copied().collect(), root.iter().copied().collect());
    let found = py.detach(|| core::joint(family.as_ref(), what, &eta, &root, [k, r], slopes));
    let wrong = |_| PyValueError::new_err("shape");
    let d_eta = Array2::from_shape_vec((n, k), found.d_eta).map_err(wrong)?;
    let d_root = Array3::from_shape_vec((n, k, r), found.d_root).map_err(wrong)?;
    Ok((found.value.into_pyarray(py), d_eta.into_pyarray(py), d_root.into_pyarray(py), found.error.into_pyarray(py)))
}

/// Quantiles (rows, len(p)) of a new response at uncertain predictors eta + root t; with `each` without interpolation.
#[pyfunction]
#[pyo3(signature = (name, eta, root, size, p, each=false))]
pub fn predictive<'py>(
    py: Python<'py>,
    name: FamilyName,
    eta: PyReadonlyArray2<'py, f64>,
    root: PyReadonlyArray3<'py, f64>,
    size: Option<Vector<'py>>,
    p: Vec<f64>,
    each: bool,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let family = name.with("cdf").and_then(|()| family_of(&name)).map_err(raise)?;
    let (eta, root) = (eta.as_array(), root.as_array());
    let (n, k, r) = root.dim();
    if eta.dim() != (n, k) || k != family.predictors() {
        return Err(PyValueError::new_err("eta and root differ in rows or predictors"));
    }
    let (eta, root): (Vec<f64>, Vec<f64>) = (eta.iter().copied().collect(), root.iter().copied().collect());
    let size = size.as_ref().map(vector);
    let found = py.detach(|| core::quantiles(family.as_ref(), &eta, &root, [k, r], size.as_deref(), &p, each));
    let found = Array2::from_shape_vec((n, p.len()), found).map_err(|_| PyValueError::new_err("shape"))?;
    Ok(found.into_pyarray(py))
}

type Derivatives<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray3<f64>>);

/// First (rows, predictors) and second (rows, predictors, predictors) derivatives of the row log densities.
#[pyfunction]
pub fn row_derivatives<'py>(
    py: Python<'py>,
    name: FamilyName,
    y: Vector<'py>,
    eta: Vec<Vector<'py>>,
    size: Option<Vector<'py>>,
) -> PyResult<Derivatives<'py>> {
    let family = family_of(&name).map_err(raise)?;
    let (y, size) = (vector(&y), size.as_ref().map(vector));
    let eta: Vec<Vec<f64>> = eta.iter().map(vector).collect();
    let views: Vec<&[f64]> = eta.iter().map(Vec::as_slice).collect();
    let (n, k) = (y.len(), views.len());
    let (first, second) = py.detach(|| core::curvature(family.as_ref(), &y, size.as_deref(), &views));
    let wrong = |_| PyValueError::new_err("shape");
    let first = Array2::from_shape_vec((n, k), first).map_err(wrong)?;
    let second = Array3::from_shape_vec((n, k, k), second).map_err(wrong)?;
    Ok((first.into_pyarray(py), second.into_pyarray(py)))
}
