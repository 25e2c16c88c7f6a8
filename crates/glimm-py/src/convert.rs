//! NumPy arrays to columns and back.

use glimm_core::design::{Column, Data, Membership, Predictor, Term, thresholds};
use glimm_core::error::Error;
use glimm_core::family::{self, Family, ZeroInflated};
use glimm_core::structure;
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::precision::Precision;
use crate::seam::raise;

pub type Vector<'py> = PyReadonlyArray1<'py, f64>;
pub type Matrix<'py> = PyReadonlyArray2<'py, f64>;
/// (structure, codes, number of levels, Z, order of its columns, the predictor of each, what ties the levels).
pub type TermArrays<'py> = (String, Codes<'py>, usize, Matrix<'py>, Vec<usize>, Vec<usize>, Ties<'py>);
/// Groups of the rows, -1 for none, in four bytes each where that does.
#[derive(FromPyObject)]
pub enum Codes<'py> {
    Short(PyReadonlyArray1<'py, i32>),
    Long(PyReadonlyArray1<'py, i64>),
}

/// The group of a row that has none.
const NONE: u32 = u32::MAX;

impl Codes<'_> {
    pub fn read(&self) -> Vec<u32> {
        match self {
            Codes::Short(codes) => codes.as_array().iter().map(|&c| u32::try_from(c).unwrap_or(NONE)).collect(),
            Codes::Long(codes) => codes.as_array().iter().map(|&c| u32::try_from(c).unwrap_or(NONE)).collect(),
        }
    }
}

/// The precision over levels, and further memberships of each row as (codes, Z); a code of -1 is none.
pub type Ties<'py> = (Option<Bound<'py, Precision>>, Vec<(Codes<'py>, Matrix<'py>)>);
/// (X, offset, value) of a linear predictor: an intercept where there is no X, nothing to estimate where it has a value.
pub type PredictorArrays<'py> = (Option<Matrix<'py>>, Option<Vector<'py>>, Option<f64>);
/// (name, link, whether zero inflated), then for a family written by the user what it consists of; or several, in the
/// order of their numbers.
#[derive(FromPyObject)]
pub enum FamilyName {
    Mixed(Vec<FamilyName>),
    Custom(String, String, bool, CustomParts),
    Known(String, String, bool),
}
/// (parameters, what a response must be, recorded functions).
pub type CustomParts = (Vec<CustomParameter>, String, BTreeMap<String, Vec<family::Step>>);
type CustomParameter = (String, String, String, f64, f64, bool, f64);

pub fn vector(v: &Vector<'_>) -> Vec<f64> {
    v.as_slice().map_or_else(|_| v.as_array().iter().copied().collect(), <[f64]>::to_vec)
}

/// Columns that were read, by where they are in memory: matrices are views of one another.
#[derive(Default)]
pub struct Known(Vec<(*const f64, Column)>);

impl Known {
    /// The columns at `places`, which lie below the number of columns. Intercepts are not copied, and others once.
    pub fn columns(&mut self, m: &Matrix<'_>, places: impl Iterator<Item = usize>) -> Vec<Column> {
        let m = m.as_array();
        let mut column = |j: usize| {
            let values = m.column(j);
            let Some(values) = values.as_slice() else {
                return Column::new(values.iter().copied().collect());
            };
            let place = values.as_ptr();
            if let Some((_, known)) = self.0.iter().find(|known| known.0 == place) {
                return known.clone();
            }
            let column = if values.iter().all(|&v| v == 1.0) { Column::One } else { Column::of(values.to_vec()) };
            self.0.push((place, column.clone()));
            column
        };
        places.filter(|&j| j < m.ncols()).map(&mut column).collect()
    }
}

impl FamilyName {
    /// An error where the user's family has not this function.
    pub fn with(&self, function: &str) -> Result<(), Error> {
        match self {
            FamilyName::Custom(.., (.., tapes)) if !tapes.contains_key(function) => Err(Error::Unknown {
                what: "function of this family",
                name: function.to_owned(),
                allowed: tapes.keys().cloned().collect(),
            }),
            _ => Ok(()),
        }
    }
}

pub fn family_of(name: &FamilyName) -> Result<Arc<dyn Family>, Error> {
    let (family, zero_inflated): (Arc<dyn Family>, _) = match name {
        FamilyName::Known(name, link, zero_inflated) => (family::lookup(name, Some(link))?, zero_inflated),
        FamilyName::Custom(name, link, zero_inflated, (parameters, allowed, tapes)) => {
            let spec = family::Spec {
                name: name.clone(),
                link: link.clone(),
                parameters: parameters.clone(),
                allowed: allowed.clone(),
                tapes: tapes.clone(),
            };
            (Arc::new(family::Custom::new(&spec)?), zero_inflated)
        }
        FamilyName::Mixed(members) => {
            let members = members.iter().map(family_of).collect::<Result<_, Error>>()?;
            return Ok(Arc::new(family::Mixed::new(members)?));
        }
    };
    Ok(if *zero_inflated { Arc::new(ZeroInflated::new(family)) } else { family })
}

fn predictor((x, offset, value): &PredictorArrays<'_>, n: usize, known: &mut Known) -> Predictor {
    if let Some(value) = value {
        let offset = offset.as_ref().map_or_else(|| vec![0.0; n], vector);
        return Predictor::new(Vec::new(), Some(offset.into_iter().map(|o| o + value).collect()));
    }
    let all = |x: &Matrix<'_>| known.columns(x, 0..x.as_array().ncols());
    Predictor::new(x.as_ref().map_or_else(|| vec![Column::One], all), offset.as_ref().map(vector))
}

/// A row without this membership takes a level of its first, with zeros in the columns.
fn membership(first: &[u32], (codes, z): &(Codes<'_>, Matrix<'_>), order: &[usize]) -> Membership {
    let codes = codes.read();
    let is = |i: usize| codes.get(i).is_some_and(|&c| c != NONE);
    let code = |(i, &first): (usize, &u32)| if is(i) { codes[i] } else { first };
    let masked = |column: Column| match column {
        Column::One if (0..first.len()).all(is) => Column::One,
        column => Column::of((0..first.len()).map(|i| if is(i) { column.at(i) } else { 0.0 }).collect()),
    };
    Membership {
        codes: first.iter().enumerate().map(code).collect(),
        columns: Known::default().columns(z, order.iter().copied()).into_iter().map(masked).collect(),
    }
}

fn term(
    (name, codes, levels, z, order, predictors, (prior, also)): &TermArrays<'_>,
    known: &mut Known,
) -> Result<Term, Error> {
    let columns = known.columns(z, order.iter().copied());
    let predictors: Vec<usize> = order.iter().filter_map(|&j| predictors.get(j).copied()).collect();
    let structure = structure::lookup(name, columns.len()).ok_or_else(|| Error::Unknown {
        what: "covariance structure",
        name: name.clone(),
        allowed: structure::REGISTRY.iter().map(|(n, _)| (*n).to_string()).collect(),
    })?;
    let codes = codes.read();
    let also = also.iter().map(|m| membership(&codes, m, order)).collect();
    let prior = prior.as_ref().map(|p| p.get().core.clone());
    Ok(Term { codes, levels: *levels, columns, predictors, structure, prior, also })
}

/// The arrays of a problem, in the order of `Problem.__init__`.
pub struct Arrays<'py> {
    pub family: FamilyName,
    pub y: Vector<'py>,
    pub size: Option<Vector<'py>>,
    pub freq: Option<Vector<'py>>,
    pub predictors: Vec<PredictorArrays<'py>>,
    pub terms: Vec<TermArrays<'py>>,
}

impl Arrays<'_> {
    pub fn data(&self) -> PyResult<Data> {
        let family = family_of(&self.family).map_err(raise)?;
        let y = vector(&self.y);
        let size = self.size.as_ref().map(vector);
        let mut known = Known::default();
        let mut predictors: Vec<Predictor> =
            self.predictors.iter().map(|p| predictor(p, y.len(), &mut known)).collect();
        if family.ordered() {
            let classes = size.as_ref().and_then(|s| s.first()).map_or(2, |&c| c as usize);
            predictors.extend(thresholds(&y, classes));
        }
        Ok(Data {
            family,
            y,
            size,
            freq: self.freq.as_ref().map(vector),
            predictors,
            terms: self.terms.iter().map(|t| term(t, &mut known)).collect::<Result<_, _>>().map_err(raise)?,
            copies: None,
            constants: None,
        })
    }
}
