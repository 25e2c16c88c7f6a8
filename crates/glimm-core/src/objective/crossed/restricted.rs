//! The restricted likelihood of any family: the coefficients of the mean are integrated out with the random effects.
//!
//! Under a flat prior they are one more term, on one level that all rows share, with precision zero. In the joint
//! mode (u, beta) of h = -sum_i f_i + u'u / 2, with p coefficients:
//!
//! ```text
//! L_R = -h - log|H| / 2 + p log(2 pi) / 2      H = [I + Lambda'Z'WZ Lambda  Lambda'Z'WX; X'WZ Lambda  X'WX]
//! ```
//!
//! It is a function of v, the other parameters, alone; psi = (beta, v) as elsewhere. The coefficients follow v as
//! beta(v), with slopes B = dbeta/dv and covariance C_bb given v, the block of H^-1, which adds up to the Hessian
//!
//! ```text
//! L_bb = -C_bb^-1      L_bv = C_bb^-1 B      L_vv = L_R'' - B'C_bb^-1 B
//! ```
//!
//! whose negative inverse has the blocks C_bb + B V B', B V and V = -L_R''^-1: the joint covariance.

use std::sync::Arc;

use super::{Crossed, Engine, Plan};
use crate::control::Control;
use crate::design::{Data, Term};
use crate::error::Error;
use crate::linalg::dense;
use crate::objective::chain;
use crate::objective::sums::dot;
use crate::objective::{Evaluation, Objective, Order, Posterior, Reject};
use crate::structure::Flat;

pub struct Restricted {
    inner: Crossed,
    /// Number of coefficients, p.
    p: usize,
}

impl Restricted {
    /// Needs at least one column in the mean; the columns are lent to the flat term meanwhile.
    pub fn new(data: &mut Data, engine: Engine) -> Result<Restricted, Error> {
        let columns = std::mem::take(&mut data.predictors[0].columns);
        let (n, p) = (data.n(), columns.len());
        let structure = Arc::new(Flat::new(p));
        data.terms.push(Term::new(vec![0; n], 1, columns, vec![0; p], structure));
        let inner = Crossed::new(data, engine);
        data.predictors[0].columns = data.terms.pop().map_or_else(Vec::new, |flat| flat.columns);
        Ok(Restricted { inner: inner?, p })
    }

    pub fn plan(&self) -> &Plan {
        self.inner.plan()
    }

    pub fn set_response(&mut self, y: &[f64]) {
        self.inner.set_response(y);
    }

    /// The flat term, which is the last.
    fn flat(&self) -> usize {
        self.inner.data.terms.len() - 1
    }

    /// beta(v) at the last accepted point.
    pub fn coefficients(&self) -> &[f64] {
        &self.inner.u[self.inner.pattern.term(self.flat())]
    }

    /// C_bb^-1 at the last evaluation.
    fn precision(&self) -> Option<Vec<f64>> {
        let (p, t) = (self.p, self.flat());
        let mut root = self.inner.inverse[self.inner.pattern.pair(t, t).range()].to_vec();
        let mut precision = vec![0.0; p * p];
        dense::cholesky(&mut root, p).then(|| dense::cholesky_inverse(&root, p, &mut precision))?;
        Some(precision)
    }

    /// Takes from the covariances of term `t` what the coefficients add: F C_bb^-1 F', F = Lambda C_ub.
    fn condition(&self, t: usize, lambda: &[f64], precision: &[f64], covariances: &mut [f64]) {
        let (p, pattern) = (self.p, &self.inner.pattern);
        let (q, pair) = (pattern.sizes[t], pattern.pair(t, self.flat()));
        for (cell, c) in self.inner.inverse[pair.range()].chunks_exact(q * p).enumerate() {
            let own = &mut covariances[pattern.levels(pair, cell).0 * q * q..][..q * q];
            let entry = |i: usize, b: usize| (0..q).map(|a| lambda[i * q + a] * c[a * p + b]).sum::<f64>();
            let f: Vec<f64> = (0..q * p).map(|i| entry(i / p, i % p)).collect();
            let row = |i: usize| &f[i * p..(i + 1) * p];
            for i in 0..q {
                let weighed: Vec<f64> = precision.chunks_exact(p).map(|c| dot(c, row(i))).collect();
                (0..q).for_each(|j| own[i * q + j] -= dot(&weighed, row(j)));
            }
        }
    }

    /// A matrix in v bordered by `sign` times C_bb^-1, for steps in v alone.
    fn bordered(&self, own: &[f64], sign: f64) -> Option<Vec<f64>> {
        let (p, m, precision) = (self.p, own.len().isqrt(), self.precision()?);
        let mut h = vec![0.0; (p + m) * (p + m)];
        for i in 0..p + m {
            let row = &mut h[i * (p + m)..(i + 1) * (p + m)];
            match i.checked_sub(p) {
                None => row[..p].iter_mut().zip(&precision[i * p..]).for_each(|(h, c)| *h = sign * c),
                Some(i) => row[p..].copy_from_slice(&own[i * m..(i + 1) * m]),
            }
        }
        Some(h)
    }

    /// The joint Hessian at the last accepted point from that of [`Objective::evaluate`] there, in which the
    /// coefficients stand apart.
    pub fn join(&self, h: &mut [f64]) {
        let (p, total, own) = (self.p, h.len().isqrt(), self.inner.pattern.term(self.flat()));
        let slopes: Vec<&[f64]> = self.inner.tangents.iter().map(|du| &du[own.clone()]).collect();
        for (v, slope) in slopes.iter().enumerate() {
            let weighed: Vec<f64> = (0..p).map(|i| -dot(&h[i * total..i * total + p], slope)).collect();
            for (w, other) in slopes.iter().enumerate() {
                h[(p + v) * total + p + w] -= dot(&weighed, other);
            }
            for (i, x) in weighed.into_iter().enumerate() {
                h[i * total + p + v] = x;
                h[(p + v) * total + i] = x;
            }
        }
    }
}

impl Objective for Restricted {
    /// The gradient in beta is zero: beta is where it is best. The search for it begins at that of `psi` the first
    /// time.
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let (beta, v) = psi.split_at(self.p);
        if self.inner.at.is_empty() {
            let own = self.inner.pattern.term(self.flat());
            self.inner.u[own].copy_from_slice(beta);
        }
        let Evaluation { value, gradient, hessian } = self.inner.evaluate(v, order, tolerance)?;
        let bordered = |h: Vec<f64>| self.bordered(&h, -1.0).ok_or(Reject::NotPositiveDefinite);
        let hessian = hessian.map(bordered).transpose()?;
        Ok(Evaluation { value, gradient: [vec![0.0; self.p], gradient].concat(), hessian })
    }

    fn accept(&mut self) {
        self.inner.accept();
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        let own = self.inner.information()?;
        self.bordered(&own, 1.0)
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.inner.set_control(control);
    }

    fn passes(&self) -> f64 {
        self.inner.passes()
    }

    /// Covariances are those given the coefficients, C_uu - C_ub C_bb^-1 C_bu, as elsewhere.
    fn posterior(&self) -> Posterior {
        let mut posterior = self.inner.posterior();
        posterior.modes.pop();
        posterior.covariances.pop();
        let (Some(precision), lambda) =
            (self.precision(), chain::factors(&self.inner.data, &self.inner.layout, &self.inner.last))
        else {
            return posterior;
        };
        for ((t, covariances), lambda) in posterior.covariances.iter_mut().enumerate().zip(&lambda) {
            self.condition(t, lambda, &precision, covariances);
        }
        posterior
    }
}
