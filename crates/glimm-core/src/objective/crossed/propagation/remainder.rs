//! What expectation propagation leaves out of the log-likelihood, to second order.
//!
//! With F_i = t_i / q_i, the ratio of a row's tilted to its Gaussian distribution, the likelihood is that of expectation
//! propagation times E_q[prod F_i]. Moments of first and second order agree, so that in Hermite polynomials of the
//! standardised linear predictors
//!
//! ```text
//! log E_q[prod F_i] = sum_{i<j} (E_q[F_i F_j] - 1) + ...      E_q[F_i F_j] - 1 = sum_{l >= 3} h_li h_lj rho_ij^l
//! h_l = E_t[He_l] / sqrt(l!)                                  rho_ij = corr_q(eta_i, eta_j)
//! ```
//!
//! (Opper, Paquet and Winther 2013, J. Mach. Learn. Res. 14, 2857-2898, section 4.) The sum over i is one over rows
//! equally far apart where there are many.

use super::super::{Cells, Rows};
use super::sites::Tilted;
use crate::control::Control;
use crate::objective::geometry::{Effects, Geometry};
use crate::objective::laplace::Patch;
use crate::objective::{Reject, proceed};

/// Most rows i.
const ROWS: usize = 256;

#[derive(Clone, Debug, Default)]
pub struct Remainder {
    /// What each of the chosen rows stands for: their mean is the remainder.
    pub each: Vec<f64>,
    /// Part of the rows that were chosen.
    pub part: f64,
    /// Error of the quadrature of single rows.
    pub rule: f64,
}

impl Remainder {
    pub fn value(&self) -> f64 {
        self.mean(&self.each).0
    }

    /// The standard error of the value, from the choice of rows.
    pub fn se(&self) -> f64 {
        self.mean(&self.each).1
    }

    /// What is not known of a value to which the remainder was added, when the next order is `part` of it.
    pub fn blur(&self, part: f64) -> f64 {
        part * self.value().abs() + 2.0 * self.se() + self.rule
    }

    /// The mean over the chosen rows of what they stand for, with its standard error.
    pub fn mean(&self, each: &[f64]) -> (f64, f64) {
        let count = each.len() as f64;
        let mean = each.iter().sum::<f64>() / count;
        let variance = each.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        (mean, ((1.0 - self.part) * variance / count).sqrt())
    }
}

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// With the factor of H in the geometry.
    pub(super) fn remainder(
        &mut self,
        tilted: &Tilted,
        v: &[f64],
        rule: f64,
        control: &Control,
    ) -> Result<Remainder, Reject> {
        let (n, count) = (self.rows, self.rows.min(ROWS));
        let half = 0.5 * n as f64;
        let one = |k: usize| {
            proceed(control)?;
            Ok(half * self.with_others(k * n / count, tilted, v))
        };
        let each = (0..count).map(one).collect::<Result<_, Reject>>()?;
        Ok(Remainder { each, part: count as f64 / n as f64, rule })
    }

    /// sum over j != i of E[F_i F_j] - 1.
    fn with_others(&mut self, i: usize, tilted: &Tilted, v: &[f64]) -> f64 {
        if v[i] <= 0.0 {
            return 0.0;
        }
        let (mut row, mut zr) = (vec![0.0; self.rows], vec![0.0; self.u.len()]);
        row[i] = 1.0;
        self.geometry.sum(0, &row, &mut zr);
        let mut x = vec![0.0; zr.len()];
        self.geometry.apply_transpose(self.lambda, &zr, &mut x);
        self.geometry.solve(&mut x);
        self.geometry.apply(self.lambda, &x, &mut zr);
        row.fill(0.0);
        self.geometry.expand(0, &zr, &mut row);
        let mut sum = 0.0;
        for j in (0..self.rows).filter(|&j| j != i && v[j] > 0.0) {
            let rho = row[j] / (v[i] * v[j]).sqrt();
            let mut power = rho * rho;
            for (a, b) in tilted.hermite[i].iter().zip(&tilted.hermite[j]) {
                power *= rho;
                sum += a * b * power;
            }
        }
        sum
    }
}
