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
use super::DEEPEST;
use super::sites::Tilted;
use crate::control::Control;
use crate::objective::geometry::{Effects, Geometry};
use crate::objective::laplace::Patch;
use crate::objective::sums::total;
use crate::objective::{Reject, proceed};
use crate::special::vectorized;

/// Most rows i.
pub const ROWS: usize = 256;

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
        let mut apart = Apart {
            hermite: &tilted.hermite,
            scale: v.iter().map(|v| if *v > 0.0 { 1.0 / v.sqrt() } else { 0.0 }).collect(),
            row: vec![0.0; n],
            z: vec![0.0; self.u.len()],
            x: vec![0.0; self.u.len()],
        };
        let one = |k: usize| {
            proceed(control)?;
            let i = k * n / count;
            self.covariances_with(i, &mut apart);
            Ok(half * apart.terms(i))
        };
        let each = (0..count).map(one).collect::<Result<_, Reject>>()?;
        Ok(Remainder { each, part: count as f64 / n as f64, rule })
    }

    /// Covariances of the i-th row's linear predictor with those of all.
    fn covariances_with(&mut self, i: usize, apart: &mut Apart<'_>) {
        apart.z.fill(0.0);
        self.geometry.add_row(0, i, &mut apart.z);
        self.geometry.apply_transpose(self.lambda, &apart.z, &mut apart.x);
        self.geometry.solve(&mut apart.x);
        self.geometry.apply(self.lambda, &apart.x, &mut apart.z);
        apart.row.fill(0.0);
        self.geometry.expand(0, &apart.z, &mut apart.row);
    }
}

/// One row and all others.
struct Apart<'a> {
    hermite: &'a [Vec<f64>; DEEPEST - 2],
    /// 1 / sd of the linear predictors, zero of those that do not vary.
    scale: Vec<f64>,
    /// Covariances with the linear predictors, then what each adds.
    row: Vec<f64>,
    z: Vec<f64>,
    x: Vec<f64>,
}

impl Apart<'_> {
    /// sum over j != i of E[F_i F_j] - 1.
    fn terms(&mut self, i: usize) -> f64 {
        let (n, own) = (self.row.len(), self.scale[i]);
        let h: [f64; DEEPEST - 2] = std::array::from_fn(|l| self.hermite[l][i]);
        let (row, scale) = (&mut self.row[..n], &self.scale[..n]);
        let others: [&[f64]; DEEPEST - 2] = std::array::from_fn(|l| &self.hermite[l][..n]);
        row[i] = 0.0;
        vectorized(
            #[inline(always)]
            || {
                for j in 0..n {
                    let rho = row[j] * own * scale[j];
                    let (mut power, mut sum) = (rho * rho, 0.0);
                    for l in 0..DEEPEST - 2 {
                        power *= rho;
                        sum += h[l] * others[l][j] * power;
                    }
                    row[j] = sum;
                }
            },
        );
        total(row)
    }
}
