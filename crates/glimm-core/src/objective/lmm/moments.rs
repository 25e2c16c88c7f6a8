//! From rows to moments: a basis of the columns of X, the response's regression on them, and the sums.

use super::effects::Algebra;
use crate::design::Data;
use crate::error::Error;
use crate::special::exp;
use crate::suffstat::{Basis, Moments, regress};

/// What the rows say, and how the columns they were summed in relate to X.
pub struct Rows {
    pub moments: Moments,
    pub basis: Basis,
    /// Coefficients of X that were taken off the response.
    pub base: Vec<f64>,
    /// Visits to all rows.
    pub passes: f64,
}

impl Rows {
    pub fn new(data: &Data, algebra: &mut Algebra) -> Result<Rows, Error> {
        let (ones, weights) = (vec![1.0; data.n()], weights(data));
        let x = columns(data, &ones);
        let basis = Basis::new(&x, &weights).ok_or_else(|| Error::Degenerate {
            why: "the columns of the fixed effects are linearly dependent in the rows with weight".into(),
        })?;
        let q = basis.columns(&x);
        let mut moments = algebra.with_rows(data, |rows| Moments::of(rows, &q, &weights));
        moments.n = data.weight();
        let mut rows = Rows { moments, basis, base: Vec::new(), passes: 0.0 };
        rows.set_response(data, algebra);
        Ok(rows)
    }

    pub fn set_response(&mut self, data: &Data, algebra: &mut Algebra) {
        let (ones, weights) = (vec![1.0; data.n()], weights(data));
        let x = columns(data, &ones);
        let mut e = data.y.clone();
        if let Some(offset) = &data.predictors[0].offset {
            e.iter_mut().zip(offset).for_each(|(e, o)| *e -= o);
        }
        let (base, mut xe) = regress(&self.basis, &x, &weights, &mut e);
        self.basis.forward(&mut xe);
        self.base = base;
        algebra.with_rows(data, |rows| self.moments.set_response(rows, &e, &xe, &weights));
        self.passes += 1.0;
    }

    /// Coefficients of X in standard units from those of the moments, and the other way round.
    pub fn beta(&self, mut b: Vec<f64>) -> Vec<f64> {
        self.basis.backward(&mut b);
        b.iter_mut().zip(&self.base).for_each(|(b, base)| *b += base);
        b
    }

    pub fn beta_back(&self, beta: &[f64]) -> Vec<f64> {
        let left: Vec<f64> = beta.iter().zip(&self.base).map(|(b, base)| b - base).collect();
        self.basis.times(&left)
    }
}

fn columns<'a>(data: &'a Data, ones: &'a [f64]) -> Vec<&'a [f64]> {
    data.predictors[0].columns.iter().map(|c| c.rows(0..data.n(), ones)).collect()
}

/// Frequency times precision weights, the latter exp(-2 o) with o the offsets of log sigma.
fn weights(data: &Data) -> Vec<f64> {
    let freq = data.freq.clone().unwrap_or_else(|| vec![1.0; data.n()]);
    match &data.predictors[1].offset {
        Some(offset) => freq.iter().zip(offset).map(|(f, o)| f * exp(-2.0 * o)).collect(),
        None => freq,
    }
}

/// What the offsets of log sigma add to the log-likelihood.
pub fn log_precision(data: &Data) -> f64 {
    let Some(offset) = &data.predictors[1].offset else { return 0.0 };
    -(0..data.n()).map(|i| data.freq_at(i) * offset[i]).sum::<f64>()
}
