//! NumPy arrays to columns and back.

use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::error::Error;
use glimm_core::{family, structure};
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::seam::raise;

pub type Vector<'py> = PyReadonlyArray1<'py, f64>;
pub type Matrix<'py> = PyReadonlyArray2<'py, f64>;
/// (structure, codes, number of levels, Z, order of its columns).
pub type TermArrays<'py> = (String, PyReadonlyArray1<'py, i64>, usize, Matrix<'py>, Vec<usize>);

pub fn vector(v: &Vector<'_>) -> Vec<f64> {
    v.as_slice().map_or_else(|_| v.as_array().iter().copied().collect(), <[f64]>::to_vec)
}

/// The columns at `places`, which lie below the number of columns. Intercepts are not copied.
pub fn columns(m: &Matrix<'_>, places: impl Iterator<Item = usize>) -> Vec<Column> {
    let m = m.as_array();
    let column = |j: usize| {
        let column = m.column(j);
        if column.iter().all(|&v| v == 1.0) {
            return Column::One;
        }
        Column::Values(column.as_slice().map_or_else(|| column.iter().copied().collect(), <[f64]>::to_vec))
    };
    places.filter(|&j| j < m.ncols()).map(column).collect()
}

fn term((name, codes, levels, z, order): &TermArrays<'_>) -> Result<Term, Error> {
    let columns = columns(z, order.iter().copied());
    let structure = structure::lookup(name, columns.len()).ok_or_else(|| Error::Unknown {
        what: "covariance structure",
        name: name.clone(),
        allowed: structure::REGISTRY.iter().map(|(n, _)| (*n).to_string()).collect(),
    })?;
    let code = |&c: &i64| u32::try_from(c).unwrap_or(u32::MAX);
    Ok(Term { codes: codes.as_array().iter().map(code).collect(), levels: *levels, columns, predictor: 0, structure })
}

/// The arrays of a problem, in the order of `Problem.__init__`.
pub struct Arrays<'py> {
    pub family: String,
    pub link: String,
    pub y: Vector<'py>,
    pub trials: Option<Vector<'py>>,
    pub freq: Option<Vector<'py>>,
    pub x: Matrix<'py>,
    pub offset: Option<Vector<'py>>,
    pub terms: Vec<TermArrays<'py>>,
}

impl Arrays<'_> {
    pub fn data(&self) -> PyResult<Data> {
        let fixed = columns(&self.x, 0..self.x.as_array().ncols());
        let family = family::lookup(&self.family, Some(&self.link)).map_err(raise)?;
        let mut predictors = vec![Predictor { columns: fixed, offset: self.offset.as_ref().map(vector) }];
        // A parameter that is the same in every row is a predictor with an intercept alone.
        for _ in family.parameters() {
            predictors.push(Predictor { columns: vec![Column::One], offset: None });
        }
        Ok(Data {
            family,
            y: vector(&self.y),
            size: self.trials.as_ref().map(vector),
            freq: self.freq.as_ref().map(vector),
            predictors,
            terms: self.terms.iter().map(term).collect::<Result<_, _>>().map_err(raise)?,
            copies: None,
            constants: None,
        })
    }
}
