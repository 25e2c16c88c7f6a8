//! The Laplace approximation of the marginal log-likelihood and its exact gradient.
//!
//! With r, W, T the row derivatives f', -f'', -f''' at the modes u of h(u) = -sum_i f_i + u'Pu / 2:
//!
//! ```text
//! H   = P + Lambda'S Lambda, S = Z'WZ      C = H^-1
//! L   = -h(u) - log|H| / 2
//! v_i = z_i'Lambda C Lambda'z_i            s_i = T_i v_i / 2          a = C Lambda'Z's
//! q_i = r_i - s_i + W_i (Z Lambda a)_i
//! dL/dbeta   = X'q
//! dL/dLambda = (Z'q) u' - (Z'r) a' - S Lambda C
//! ```
//!
//! P, the prior precision of u, is the identity but for effects under a flat prior, where it is zero.
//! Several predictors k, l, m: s^k = sum_lm T^klm v^lm / 2 and q^k = r^k - s^k + sum_l W^kl c^l, c = Z Lambda a.
//! (Skaug and Fournier 2006, Comput. Stat. Data Anal. 51, 699-709, give the same gradient by automatic differentiation.)

use super::Reject;
use super::geometry::{Factors, Geometry};
use super::sums::{dot, total};
use crate::design::{Data, Layout};
use crate::family::{Derivs, Want};
use crate::special::vectorized;

/// Sorted multi-index.
pub fn sorted<const N: usize>(mut index: [usize; N]) -> [usize; N] {
    index.sort_unstable();
    index
}

/// Position of the pair k <= l among the pairs of `n`.
pub fn pair(k: usize, l: usize, n: usize) -> usize {
    k * n - k * (k + 1) / 2 + l
}

/// A run of rows with the random effects that enter them, at given parameters.
pub struct Patch<'a, G> {
    pub data: &'a Data,
    pub layout: &'a Layout,
    /// First row of the patch in `data`.
    pub first: usize,
    pub rows: usize,
    pub geometry: G,
    /// Number of leading predictors with random effects.
    pub random: usize,
    pub lambda: &'a Factors,
    /// Spherical effects: start on entry, modes after the search.
    pub u: &'a mut [f64],
    pub ones: &'a [f64],
    /// X beta + offset of each predictor.
    pub fixed: Vec<Vec<f64>>,
    pub eta: Vec<Vec<f64>>,
    pub derivs: Derivs,
    /// Rows whose derivatives were computed.
    pub evaluated: usize,
}

/// What the gradient leaves behind for the Hessian.
pub struct AtMode {
    /// On the pattern: S = Z'WZ, C = H^-1.
    pub s: Vec<f64>,
    pub c: Vec<f64>,
    /// Vectors: Z'r, Z's, Z'q, a.
    pub zr: Vec<f64>,
    pub zs: Vec<f64>,
    pub zq: Vec<f64>,
    pub a: Vec<f64>,
    /// How the value changes with the modes other than through H: by zero, as they are modes.
    pub pull: Vec<f64>,
    /// Rows: v^kl for k <= l among the random predictors, and c^k = Z^k Lambda a.
    pub v: Vec<Vec<f64>>,
    pub c_rows: Vec<Vec<f64>>,
}

/// A patch's share of the objective: value, derivatives in beta and in the factors.
pub struct Share {
    pub value: f64,
    pub beta: Vec<f64>,
    pub lambda: Factors,
}

impl Share {
    pub fn new(beta: usize, sizes: &[usize]) -> Share {
        Share { value: 0.0, beta: vec![0.0; beta], lambda: sizes.iter().map(|q| vec![0.0; q * q]).collect() }
    }
}

impl<'a, G: Geometry> Patch<'a, G> {
    /// Columns of the fixed effects of predictor `k` over the patch's rows.
    #[inline(always)]
    pub fn x(&self, k: usize, j: usize) -> &'a [f64] {
        let data = self.data;
        data.predictors[k].columns[j].rows(self.first..self.first + self.rows, self.ones)
    }

    /// X beta + offset.
    pub fn set_fixed(&mut self, psi: &[f64]) {
        for k in 0..self.fixed.len() {
            let mut fixed = std::mem::take(&mut self.fixed[k]);
            match &self.data.predictors[k].offset {
                Some(o) => fixed.copy_from_slice(&o[self.first..self.first + self.rows]),
                None => fixed.fill(0.0),
            }
            for (j, &beta) in psi[self.layout.beta[k].clone()].iter().enumerate() {
                let (x, fixed) = (self.x(k, j), &mut fixed);
                vectorized(
                    #[inline(always)]
                    || fixed.iter_mut().zip(x).for_each(|(e, x)| *e += beta * x),
                );
            }
            self.eta[k].copy_from_slice(&fixed);
            self.fixed[k] = fixed;
        }
    }

    /// eta = X beta + offset + Z Lambda u.
    pub fn linear_predictors(&mut self) {
        let mut b = vec![0.0; self.u.len()];
        self.geometry.apply(self.lambda, self.u, &mut b);
        for k in 0..self.random {
            self.eta[k].copy_from_slice(&self.fixed[k]);
            self.geometry.expand(k, &b, &mut self.eta[k]);
        }
    }

    /// Derivatives of the rows of the patch at `rows`, times their frequency weights.
    pub fn row_derivatives(&mut self, rows: std::ops::Range<usize>, want: Want) {
        self.evaluated += rows.len();
        let at = self.first + rows.start..self.first + rows.end;
        let eta: Vec<&[f64]> = self.eta.iter().map(|e| &e[rows.clone()]).collect();
        self.derivs.reshape(want.dims, want.order, rows.len());
        self.data.family.derivs(self.data.rows(at.clone()), &eta, want, &mut self.derivs);
        if let Some(freq) = &self.data.freq {
            self.derivs.weigh(&freq[at], want);
        }
    }

    /// Value and gradient at the modes, with row derivatives of `order` (3, or 4 when a Hessian follows).
    pub fn gradient(&mut self, order: usize) -> Result<(Share, AtMode), Reject> {
        let k_all = self.eta.len();
        self.linear_predictors();
        self.row_derivatives(0..self.rows, Want { dims: k_all, order, value: true });
        let mut at = AtMode::new(&self.geometry, self.random, self.rows);
        let value = self.at_modes(&mut at)?;
        let mut share = self.differentiate(&mut at);
        share.value = value + self.mode_correction(&at);
        Ok((share, at))
    }

    /// The gradient from the row derivatives and C, and all that `at` holds besides.
    pub fn differentiate(&mut self, at: &mut AtMode) -> Share {
        let k_all = self.eta.len();
        let mut share = Share::new(self.layout.fixed(), &self.geometry.sizes());
        [&mut at.zs, &mut at.zq].iter_mut().for_each(|v| v.fill(0.0));
        at.c_rows.iter_mut().for_each(|c| c.fill(0.0));
        self.posterior_variances(&at.c, &mut at.v);
        let s: Vec<Vec<f64>> = (0..k_all).map(|k| self.half_third(k, &at.v)).collect();
        self.adjoint(&s, at);
        for (k, s) in s.iter().enumerate() {
            let q = self.q_rows(k, s, &at.c_rows);
            if k < self.random {
                self.geometry.sum(k, &q, &mut at.zq);
            }
            self.project(k, &q, &mut share.beta);
        }
        let minus_a: Vec<f64> = at.a.iter().map(|a| -a).collect();
        self.geometry.add_dyads(&at.zq, self.u, &mut share.lambda);
        self.geometry.add_dyads(&at.zr, &minus_a, &mut share.lambda);
        self.geometry.subtract_product(&at.s, self.lambda, &at.c, &mut share.lambda);
        share
    }

    /// The coefficients' part: X^k' row.
    pub fn project(&self, k: usize, row: &[f64], beta: &mut [f64]) {
        vectorized(
            #[inline(always)]
            || {
                for (j, p) in self.layout.beta[k].clone().enumerate() {
                    beta[p] += dot(self.x(k, j), row);
                }
            },
        );
    }

    /// Fills Z'r, S and C; returns sum_i f_i - u'Pu/2 - log|H|/2.
    pub fn at_modes(&mut self, at: &mut AtMode) -> Result<f64, Reject> {
        let mut value = total(self.derivs.value()) - self.prior();
        if !self.u.is_empty() {
            self.score(&mut at.zr);
            self.curvature(&mut at.s);
            let h = self.penalised(&at.s);
            value -= 0.5 * self.geometry.factorise(&h).ok_or(Reject::NotPositiveDefinite)?;
            self.geometry.inverse(&mut at.c);
        }
        if value.is_finite() { Ok(value) } else { Err(Reject::NoMode) }
    }

    /// u'Pu / 2.
    pub fn prior(&self) -> f64 {
        let mut pu = self.u.to_vec();
        self.geometry.weigh(&mut pu);
        0.5 * dot(self.u, &pu)
    }

    /// Lambda'Z'r - Pu.
    pub fn slope(&self, zr: &[f64]) -> Vec<f64> {
        let (mut slope, mut pu) = (vec![0.0; zr.len()], self.u.to_vec());
        self.geometry.apply_transpose(self.lambda, zr, &mut slope);
        self.geometry.weigh(&mut pu);
        slope.iter_mut().zip(&pu).for_each(|(s, pu)| *s -= pu);
        slope
    }

    /// Z'r.
    pub fn score(&self, out: &mut [f64]) {
        for k in 0..self.random {
            self.geometry.sum(k, self.derivs.get(&[k]), out);
        }
    }

    /// S = Z'WZ.
    pub fn curvature(&self, out: &mut [f64]) {
        for k in 0..self.random {
            for l in k..self.random {
                self.geometry.sum_outer(k, l, self.derivs.get(&[k, l]), out);
            }
        }
        out.iter_mut().for_each(|x| *x = -*x);
    }

    /// H = P + Lambda'S Lambda.
    pub fn penalised(&self, s: &[f64]) -> Vec<f64> {
        let mut h = vec![0.0; s.len()];
        self.geometry.add_inner(self.lambda, s, self.lambda, &mut h);
        self.geometry.add_precision(&mut h);
        h
    }

    /// v^kl = z^k' Lambda C Lambda' z^l.
    pub(super) fn posterior_variances(&self, c: &[f64], v: &mut [Vec<f64>]) {
        let mut b = vec![0.0; c.len()];
        self.geometry.add_outer(self.lambda, c, self.lambda, &mut b);
        for k in 0..self.random {
            for l in k..self.random {
                self.geometry.quadratic(k, l, &b, &mut v[pair(k, l, self.random)]);
            }
        }
    }

    /// s^k = sum_lm T^klm v^lm / 2.
    fn half_third(&self, k: usize, v: &[Vec<f64>]) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || {
                let mut s = vec![0.0; self.rows];
                for l in 0..self.random {
                    for m in l..self.random {
                        let t = self.derivs.get(&sorted([k, l, m]));
                        let times = if l == m { -0.5 } else { -1.0 };
                        for ((s, t), v) in s.iter_mut().zip(t).zip(&v[pair(l, m, self.random)]) {
                            *s += times * t * v;
                        }
                    }
                }
                s
            },
        )
    }

    /// a = C Lambda'Z's and its rows c = Z Lambda a.
    fn adjoint(&mut self, s: &[Vec<f64>], at: &mut AtMode) {
        for (k, s) in s.iter().enumerate().take(self.random) {
            self.geometry.sum(k, s, &mut at.zs);
        }
        self.geometry.apply_transpose(self.lambda, &at.zs, &mut at.a);
        at.a.iter_mut().zip(&at.pull).for_each(|(a, pull)| *a -= pull);
        self.geometry.solve(&mut at.a);
        let mut la = vec![0.0; at.a.len()];
        self.geometry.apply(self.lambda, &at.a, &mut la);
        for (k, c) in at.c_rows.iter_mut().enumerate() {
            self.geometry.expand(k, &la, c);
        }
    }

    /// What the value still lacks because u is not exactly the mode: with g = Lambda'Z'r - Pu,
    /// g'Cg/2 for the integrand and -a'g for log|H|; the error left is of second order.
    pub fn mode_correction(&mut self, at: &AtMode) -> f64 {
        let g = self.slope(&at.zr);
        let mut cg = g.clone();
        self.geometry.solve(&mut cg);
        0.5 * dot(&g, &cg) - dot(&at.a, &g)
    }

    /// q^k = r^k - s^k + sum_l W^kl c^l.
    fn q_rows(&self, k: usize, s: &[f64], c_rows: &[Vec<f64>]) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || {
                let mut q: Vec<f64> = self.derivs.get(&[k]).iter().zip(s).map(|(r, s)| r - s).collect();
                for (l, c) in c_rows.iter().enumerate() {
                    for ((q, w), c) in q.iter_mut().zip(self.derivs.get(&sorted([k, l]))).zip(c) {
                        *q -= w * c;
                    }
                }
                q
            },
        )
    }
}

impl AtMode {
    pub fn new<G: Geometry>(geometry: &G, random: usize, rows: usize) -> AtMode {
        let vector = || vec![0.0; geometry.vector_len()];
        let matrix = || vec![0.0; geometry.matrix_len()];
        AtMode {
            s: matrix(),
            c: matrix(),
            zr: vector(),
            zs: vector(),
            zq: vector(),
            a: vector(),
            pull: vector(),
            v: vec![vec![0.0; rows]; random * (random + 1) / 2],
            c_rows: vec![vec![0.0; rows]; random],
        }
    }
}
