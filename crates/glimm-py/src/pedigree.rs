//! Pedigrees and other lines of descent.

use glimm_core::error::Error;
use glimm_core::pedigree::{self as core, Descent, Lower, UNKNOWN};
use numpy::ndarray::{Array2, ArrayView2};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::convert::{Matrix, Vector, vector};
use crate::seam::enter;
use crate::threads::Threads;

type Numbers<'py> = Bound<'py, PyArray1<f64>>;
type Places<'py> = Bound<'py, PyArray1<i64>>;
/// The lower triangle by columns: (starts, rows, values).
type Triangle<'py> = (Places<'py>, Places<'py>, Numbers<'py>);

fn place(code: i64) -> u32 {
    u32::try_from(code).unwrap_or(UNKNOWN)
}

/// Two places of each individual; those below zero are unknown.
fn pairs(codes: &PyReadonlyArray2<'_, i64>) -> PyResult<Vec<[u32; 2]>> {
    let codes: ArrayView2<'_, i64> = codes.as_array();
    if codes.ncols() != 2 || codes.nrows() >= UNKNOWN as usize {
        return Err(PyValueError::new_err("parents stand in two columns, in fewer than 4,294,967,295 rows"));
    }
    Ok(codes.rows().into_iter().map(|row| [place(row[0]), place(row[1])]).collect())
}

fn within(places: &[[u32; 2]], count: usize) -> PyResult<()> {
    if places.iter().flatten().any(|&p| p != UNKNOWN && p as usize >= count) {
        return Err(PyValueError::new_err("a parent is not among the individuals"));
    }
    Ok(())
}

fn triangle(py: Python<'_>, lower: Lower) -> Triangle<'_> {
    let starts: Vec<i64> = lower.starts.iter().map(|&s| s as i64).collect();
    let rows: Vec<i64> = lower.rows.iter().map(|&r| i64::from(r)).collect();
    (starts.into_pyarray(py), rows.into_pyarray(py), lower.values.into_pyarray(py))
}

fn table<'py>(py: Python<'py>, shape: (usize, usize), values: Vec<f64>) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let found = Array2::from_shape_vec(shape, values).map_err(|_| PyValueError::new_err("shape"))?;
    Ok(found.into_pyarray(py))
}

/// (order, loop): individuals with parents before offspring, or those on a loop, each the parent of the next.
#[pyfunction]
pub fn sort_descent<'py>(py: Python<'py>, parents: PyReadonlyArray2<'py, i64>) -> PyResult<(Places<'py>, Places<'py>)> {
    let parents = pairs(&parents)?;
    within(&parents, parents.len())?;
    let found = py.detach(|| core::sorted(&parents));
    let (order, circle) = found.map_or_else(|circle| (Vec::new(), circle), |order| (order, Vec::new()));
    let wide = |v: Vec<u32>| v.into_iter().map(i64::from).collect::<Vec<_>>().into_pyarray(py);
    Ok((wide(order), wide(circle)))
}

#[pyclass(module = "glimm._core", frozen)]
pub struct Pedigree(core::Pedigree);

#[pymethods]
impl Pedigree {
    /// From the places of sires and dams, which precede their offspring.
    #[new]
    fn new(py: Python<'_>, parents: PyReadonlyArray2<'_, i64>) -> PyResult<Pedigree> {
        let parents = pairs(&parents)?;
        Ok(Pedigree(enter(py, Threads::One, None, |control| core::Pedigree::new(parents, control))?))
    }

    #[getter]
    fn inbreeding<'py>(&self, py: Python<'py>) -> Numbers<'py> {
        self.0.inbreeding.clone().into_pyarray(py)
    }

    #[getter]
    fn mendelian<'py>(&self, py: Python<'py>) -> Numbers<'py> {
        self.0.mendelian.clone().into_pyarray(py)
    }

    #[getter]
    fn generation<'py>(&self, py: Python<'py>) -> Places<'py> {
        self.0.generation.iter().map(|&g| i64::from(g)).collect::<Vec<_>>().into_pyarray(py)
    }

    /// Relationships (rows, columns).
    fn relationships<'py>(
        &self,
        py: Python<'py>,
        rows: Vec<u32>,
        columns: Vec<u32>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        if rows.iter().chain(&columns).any(|&i| i as usize >= self.0.len()) {
            return Err(PyValueError::new_err("no such animal"));
        }
        let values = py.detach(|| self.0.relationships(&rows, &columns));
        table(py, (rows.len(), columns.len()), values)
    }

    /// Parts (animals, groups) from groups of unknown parents.
    fn contributions<'py>(
        &self,
        py: Python<'py>,
        groups: PyReadonlyArray2<'py, i64>,
        count: usize,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let groups = pairs(&groups)?;
        within(&groups, count)?;
        if groups.len() != self.0.len() {
            return Err(PyValueError::new_err("groups are not those of these animals"));
        }
        table(py, (self.0.len(), count), py.detach(|| self.0.contributions(&groups, count)))
    }
}

fn descent(parents: &PyReadonlyArray2<'_, i64>, weights: &Matrix<'_>, variance: &Vector<'_>) -> PyResult<Descent> {
    let (parents, variance) = (pairs(parents)?, vector(variance));
    let weights: Vec<[f64; 2]> = weights.as_array().rows().into_iter().map(|w| [w[0], w[w.len() - 1]]).collect();
    if weights.len() != parents.len() || variance.len() != parents.len() {
        return Err(PyValueError::new_err("parents, weights and variances differ in length"));
    }
    if let Some(i) = (0..parents.len()).find(|&i| parents[i].iter().any(|&p| p != UNKNOWN && p as usize >= i)) {
        return Err(PyValueError::new_err(format!("individual {i} precedes a parent")));
    }
    Ok(Descent { parents, weights, variance })
}

/// Precision of values handed down: a_i = sum_j w_ij a_j + N(0, variance_i) over parents j.
#[pyfunction]
pub fn descent_precision<'py>(
    py: Python<'py>,
    parents: PyReadonlyArray2<'py, i64>,
    weights: Matrix<'py>,
    variance: Vector<'py>,
) -> PyResult<Triangle<'py>> {
    let descent = descent(&parents, &weights, &variance)?;
    let lower = enter(py, Threads::One, None, |_| Ok::<_, Error>(descent.precision()))?;
    Ok(triangle(py, lower))
}

/// The values that individuals have, from what is each one's own; the column x is replaced by (I - C)^-1 x.
#[pyfunction]
pub fn descent_down<'py>(
    py: Python<'py>,
    parents: PyReadonlyArray2<'py, i64>,
    weights: Matrix<'py>,
    own: Vector<'py>,
) -> PyResult<Numbers<'py>> {
    let mut values = vector(&own);
    descent(&parents, &weights, &own)?.down(&mut values);
    Ok(values.into_pyarray(py))
}
