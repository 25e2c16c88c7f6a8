//! The average information of the relative factors: curvature without tangents of the inverse.
//!
//! ```text
//! V_j = Z (D_j K Lambda' + Lambda K D_j') Z'  f_j = V_j V^-1 e = Z b_j,  b_j = D_j u + Lambda K D_j'rho
//! A_jk = f_j'P f_k / 2 sigma^2                P = V^-1 - V^-1 X M_xx^-1 X'V^-1
//! L_jk ~ <D_j, G D_k> - A_jk                  G = (dL/dLambda) Lambda^-1
//! ```
//!
//! K = P^-1 is the covariance of u over sigma^2. A is the mean of the observed and the expected information of V (Gilmour, Thompson and Cullis 1995,
//! Biometrics 51, 1440-1450); the term in G, the curvature of V itself, is exact.

use super::effects::Linear;
use super::profile::{Given, Profile, each, profile};
use super::{Lmm, with_sigma};
use crate::linalg::dense;
use crate::linalg::sums::dot;
use crate::objective::chain::Chain;
use crate::objective::geometry::Factors;
use crate::objective::{Evaluation, Objective, Order, Posterior, Reject};
use crate::suffstat::Moments;

/// Diagonal entries of a factor below which its inverse is not used.
const SINGULAR: f64 = 1e-6;

/// A linear mixed model whose Hessian is by average information, where the factors can be inverted.
pub struct Averaged<'a>(pub &'a mut Lmm);

/// Curvature at a point: A, row by row, and dr2 of every direction.
struct Average {
    a: Vec<f64>,
    r2: Vec<f64>,
}

impl Averaged<'_> {
    fn averaged(&mut self, tau: &[f64], lambda: &Factors, inverses: &Factors) -> Result<Evaluation, Reject> {
        let lmm = &mut *self.0;
        let chain = Chain::new(&lmm.skeleton, &lmm.layout, tau);
        let directions = lmm.directions(&chain);
        let (m, reml) = (&lmm.working, lmm.reml);
        let (at, found) = lmm.algebra.with(|e| {
            let at = profile(e, m, lambda, reml, Given::default())?;
            let found = average(e, m, lambda, &at, &directions);
            Ok::<_, Reject>((at, found))
        })?;
        let rows = directions.iter().map(|d| chain.gradient(&[], &curvature_of_v(&at.lambda, inverses, d))).collect();
        let mut hessian = chain.hessian(rows, &at.lambda);
        hessian.iter_mut().zip(&found.a).for_each(|(h, a)| *h -= a);
        let hessian = Some(with_sigma(&hessian, &found.r2, &at));
        Ok(Evaluation { value: lmm.value(&at), gradient: chain.gradient(&[], &at.lambda), hessian })
    }
}

/// G D of every kind.
fn curvature_of_v(gradient: &Factors, inverses: &Factors, d: &Factors) -> Factors {
    let of = |((g, inverse), d): ((&Vec<f64>, &Vec<f64>), &Vec<f64>)| {
        let q = d.len().isqrt();
        let (mut id, mut out) = (vec![0.0; q * q], vec![0.0; q * q]);
        dense::matmul(inverse, d, q, &mut id);
        dense::matmul(g, &id, q, &mut out);
        out
    };
    gradient.iter().zip(inverses).zip(d).map(of).collect()
}

/// The inverse of a lower-triangular factor; `None` near singularity.
fn triangular_inverse(l: &[f64]) -> Option<Vec<f64>> {
    let q = l.len().isqrt();
    let mut out = vec![0.0; q * q];
    for i in 0..q {
        let own = l[i * q + i];
        if own.abs() < SINGULAR {
            return None;
        }
        for j in 0..=i {
            let above: f64 = (j..i).map(|k| l[i * q + k] * out[k * q + j]).sum();
            out[i * q + j] = (f64::from(u8::from(i == j)) - above) / own;
        }
    }
    Some(out)
}

fn average(e: &mut dyn Linear, m: &Moments, lambda: &Factors, at: &Profile, directions: &[Factors]) -> Average {
    let (len, count) = (e.vector_len(), directions.len());
    let b: Vec<f64> = directions.iter().flat_map(|d| effect_change(e, lambda, at, d)).collect();
    let mut sb = vec![0.0; b.len()];
    e.multiply(&m.zz, &b, &mut sb);
    // b'Z'V^-1 Z b = b'S b - (Lambda'S b)'C (Lambda'S b)
    let mut half = vec![0.0; b.len()];
    each(&sb, &mut half, len, |x, out| e.apply_transpose(lambda, x, out));
    let mut solved = half.clone();
    e.solve_all(&mut solved);
    let of = |x: &[f64], j: usize| x[j * len..(j + 1) * len].to_vec();
    let on_x = |j: usize| -> Vec<f64> { (1..m.width).map(|k| dot(&of(&at.r, k), &of(&b, j))).collect() };
    let x: Vec<Vec<f64>> = (0..count).map(on_x).collect();
    let entry = |j: usize, k: usize| {
        let plain = dot(&of(&b, j), &of(&sb, k)) - dot(&of(&half, j), &of(&solved, k));
        0.5 * (plain - dot(&x[j], &x[k])) / at.sigma2()
    };
    let r2 = directions.iter().map(|d| {
        let mut du = vec![0.0; len];
        e.apply(d, &at.u[..len], &mut du);
        -2.0 * dot(&at.r[..len], &du)
    });
    Average { r2: r2.collect(), a: (0..count * count).map(|i| entry(i / count, i % count)).collect() }
}

/// b_j = D_j u + Lambda K D_j'rho.
fn effect_change(e: &dyn Linear, lambda: &Factors, at: &Profile, d: &Factors) -> Vec<f64> {
    let len = e.vector_len();
    let (mut b, mut inner, mut outer) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
    e.apply(d, &at.u[..len], &mut b);
    e.apply_transpose(d, &at.r[..len], &mut inner);
    e.unweigh(&mut inner);
    e.apply(lambda, &inner, &mut outer);
    b.iter_mut().zip(&outer).for_each(|(b, o)| *b += o);
    b
}

impl Objective for Averaged<'_> {
    fn evaluate(&mut self, tau: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let lambda = self.0.lambda(tau);
        let inverses: Option<Factors> = lambda.iter().map(|f| triangular_inverse(f)).collect();
        match inverses {
            Some(inverses) if order == Order::Hessian => self.averaged(tau, &lambda, &inverses),
            _ => self.0.evaluate(tau, order, tolerance),
        }
    }

    fn accept(&mut self) {}

    fn information(&mut self) -> Option<Vec<f64>> {
        None
    }

    fn reset(&mut self) {}

    fn passes(&self) -> f64 {
        self.0.passes()
    }

    fn posterior(&self) -> Posterior {
        self.0.posterior()
    }
}
