//! The exact Hessian of the Laplace approximation, one direction at a time.
//!
//! d is the derivative along the direction; e is the direct change of eta (u held fixed):
//!
//! ```text
//! du  = C (dLambda'Z'r - Lambda'Z'W e)        deta = e + Z Lambda du
//! dr  = -W deta      dW = T deta      dT = T' deta      dS = Z'dW Z
//! dH  = dLambda'S Lambda + Lambda'S dLambda + Lambda'dS Lambda        dC = -C dH C
//! dB  = dLambda C Lambda' + Lambda C dLambda' + Lambda dC Lambda'     dv = z'dB z
//! ds  = (dT v + T dv) / 2
//! da  = C (dLambda'Z's + Lambda'Z'ds - dH a)
//! dc  = Z (dLambda a + Lambda da)
//! dq  = dr - ds + dW c + W dc
//! ```
//!
//! and the rows of the Hessian are X'dq and the derivative of (Z'q)u' - (Z'r)a' - S Lambda C.
//! No exponential is computed: all row derivatives, to the fourth order, are at hand.

use super::chain::Chain;
use super::geometry::{Factors, Geometry};
use super::laplace::{AtMode, Patch, Share, pair, sorted};
use crate::design::{Data, Layout};
use crate::special::vectorized;

/// A direction in parameter space: one coefficient, or one parameter of a factor.
pub enum Direction {
    /// (Predictor, column) wherever the coefficient stands.
    Beta(Vec<(usize, usize)>),
    /// dLambda.
    Factor(Factors),
}

/// The directions of all parameters, in their order.
pub fn directions(data: &Data, layout: &Layout, chain: &Chain<'_>) -> Vec<Direction> {
    let places = |p: usize| {
        let with = layout.beta.iter().enumerate().filter(move |(_, range)| range.contains(&p));
        with.map(move |(k, range)| (k, p - range.start)).collect()
    };
    let betas = (0..layout.fixed()).map(|p| Direction::Beta(places(p)));
    let zeros = || data.terms.iter().map(|t| vec![0.0; t.effects() * t.effects()]).collect::<Factors>();
    let thetas = layout.theta.iter().enumerate().flat_map(|(t, range)| {
        (0..range.len()).map(move |j| {
            let mut factors = zeros();
            factors[t].copy_from_slice(chain.derivative(t, j));
            Direction::Factor(factors)
        })
    });
    betas.chain(thetas).collect()
}

type Rows = Vec<Vec<f64>>;

impl<G: Geometry> Patch<'_, G> {
    /// (du, deta): the tangent of the modes and of the linear predictors.
    pub fn mode_tangent(&mut self, at: &AtMode, direction: &Direction) -> (Vec<f64>, Rows) {
        let n = self.geometry.vector_len();
        let mut deta = self.direct_change(direction);
        // Z'f''e = -Z'W e
        let mut zwe = vec![0.0; n];
        for k in 0..self.random {
            self.geometry.sum(k, &self.second_times(k, &deta), &mut zwe);
        }
        let mut du = vec![0.0; n];
        self.geometry.apply_transpose(self.lambda, &zwe, &mut du);
        if let Direction::Factor(dl) = direction {
            let mut direct = vec![0.0; n];
            self.geometry.apply_transpose(dl, &at.zr, &mut direct);
            plus(&mut du, &direct);
        }
        self.geometry.solve(&mut du);
        let mut b = vec![0.0; n];
        self.geometry.apply(self.lambda, &du, &mut b);
        for (k, deta) in deta.iter_mut().enumerate().take(self.random) {
            self.geometry.expand(k, &b, deta);
        }
        (du, deta)
    }

    /// e: the change of eta with u held fixed.
    fn direct_change(&self, direction: &Direction) -> Rows {
        let mut e = vec![vec![0.0; self.rows]; self.eta.len()];
        match direction {
            Direction::Beta(places) => places.iter().for_each(|&(k, j)| plus(&mut e[k], self.x(k, j))),
            Direction::Factor(dl) => {
                let mut b = vec![0.0; self.geometry.vector_len()];
                self.geometry.apply(dl, self.u, &mut b);
                for (k, e) in e.iter_mut().enumerate().take(self.random) {
                    self.geometry.expand(k, &b, e);
                }
            }
        }
        e
    }

    /// sum_l f''_kl x^l.
    pub fn second_times(&self, k: usize, x: &[Vec<f64>]) -> Vec<f64> {
        self.along::<1, 2>([k], x)
    }

    /// sum_m f_{index, m} x^m: the directional derivative of one component.
    fn along<const N: usize, const M: usize>(&self, index: [usize; N], x: &[Vec<f64>]) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || {
                let component = |m: usize| {
                    let mut longer = [m; M];
                    longer[..N].copy_from_slice(&index);
                    self.derivs.get(&sorted(longer))
                };
                let Some(first) = x.first() else { return vec![0.0; self.rows] };
                let mut out: Vec<f64> = component(0).iter().zip(first).map(|(f, x)| f * x).collect();
                for (m, x) in x.iter().enumerate().skip(1) {
                    for ((o, f), x) in out.iter_mut().zip(component(m)).zip(x) {
                        *o += f * x;
                    }
                }
                out
            },
        )
    }

    /// The derivative of the gradient along `direction`, by parameter as in the gradient's share, and
    /// the tangent of the modes.
    pub fn hessian_row(&mut self, at: &AtMode, direction: &Direction) -> (Share, Vec<f64>) {
        let (n, k_all, lambda) = (self.geometry.vector_len(), self.eta.len(), self.lambda);
        let dl = if let Direction::Factor(dl) = direction { Some(dl) } else { None };
        let (du, deta) = self.mode_tangent(at, direction);

        // -dW^kl for k < l < number of predictors, as far as random effects enter one of them.
        let dw: Rows = (0..self.random)
            .flat_map(|k| (k..k_all).map(move |l| (k, l)))
            .map(|(k, l)| self.along::<2, 3>([k, l], &deta))
            .collect();
        let ds_matrix = self.curvature_tangent(&dw);
        let mut dh = vec![0.0; ds_matrix.len()];
        self.geometry.add_inner(lambda, &ds_matrix, lambda, &mut dh);
        if let Some(dl) = dl {
            self.geometry.add_inner(dl, &at.s, lambda, &mut dh);
            self.geometry.add_inner(lambda, &at.s, dl, &mut dh);
        }
        let mut dc = vec![0.0; dh.len()];
        self.geometry.inverse_tangent(&at.c, &dh, &mut dc);

        let dv = self.variance_tangents(at, &dc, dl);
        let ds: Rows = (0..k_all).map(|k| self.half_third_tangent(k, at, &dv, &deta)).collect();
        let dr: Rows = (0..k_all).map(|k| self.second_times(k, &deta)).collect();
        let (da, dc_rows) = self.adjoint_tangent(at, &ds, &dw, dl);

        let mut share = Share::new(self.layout.fixed(), &self.geometry.sizes());
        let (mut zdq, mut zdr) = (vec![0.0; n], vec![0.0; n]);
        for k in 0..k_all {
            let dq = self.q_tangent(k, at, &dr[k], &ds[k], &dc_rows, &dw);
            if k < self.random {
                self.geometry.sum(k, &dq, &mut zdq);
                self.geometry.sum(k, &dr[k], &mut zdr);
            }
            self.project(k, &dq, &mut share.beta);
        }
        let negative = |x: &[f64]| x.iter().map(|x| -x).collect::<Vec<f64>>();
        let out = &mut share.lambda;
        self.geometry.add_dyads(&zdq, self.u, out);
        self.geometry.add_dyads(&at.zq, &du, out);
        self.geometry.add_dyads(&zdr, &negative(&at.a), out);
        self.geometry.add_dyads(&at.zr, &negative(&da), out);
        self.geometry.subtract_product(&ds_matrix, lambda, &at.c, out);
        self.geometry.subtract_product(&at.s, lambda, &dc, out);
        if let Some(dl) = dl {
            self.geometry.subtract_product(&at.s, dl, &at.c, out);
        }
        (share, du)
    }

    /// dS = Z'dW Z.
    fn curvature_tangent(&self, dw: &[Vec<f64>]) -> Vec<f64> {
        let mut ds = vec![0.0; self.geometry.matrix_len()];
        for k in 0..self.random {
            for l in k..self.random {
                self.geometry.sum_outer(k, l, &dw[self.dw_at(k, l)], &mut ds);
            }
        }
        ds.iter_mut().for_each(|x| *x = -*x);
        ds
    }

    /// Where -dW^kl stands: rows k of the upper triangle, as many as there are random predictors.
    fn dw_at(&self, k: usize, l: usize) -> usize {
        pair(k.min(l), k.max(l), self.eta.len())
    }

    /// dv^kl = z^k'dB z^l.
    fn variance_tangents(&self, at: &AtMode, dc: &[f64], dl: Option<&Factors>) -> Rows {
        let mut db = vec![0.0; dc.len()];
        self.geometry.add_outer(self.lambda, dc, self.lambda, &mut db);
        if let Some(dl) = dl {
            self.geometry.add_outer(dl, &at.c, self.lambda, &mut db);
            self.geometry.add_outer(self.lambda, &at.c, dl, &mut db);
        }
        let mut dv = vec![vec![0.0; self.rows]; at.v.len()];
        for k in 0..self.random {
            for l in k..self.random {
                self.geometry.quadratic(k, l, &db, &mut dv[pair(k, l, self.random)]);
            }
        }
        dv
    }

    /// ds^k = sum_lm (dT^klm v^lm + T^klm dv^lm) / 2.
    fn half_third_tangent(&self, k: usize, at: &AtMode, dv: &[Vec<f64>], deta: &[Vec<f64>]) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || {
                let mut ds = vec![0.0; self.rows];
                for l in 0..self.random {
                    for m in l..self.random {
                        let times = if l == m { -0.5 } else { -1.0 };
                        let index = sorted([k, l, m]);
                        let (t, dt) = (self.derivs.get(&index), self.along::<3, 4>(index, deta));
                        let (v, dv) = (&at.v[pair(l, m, self.random)], &dv[pair(l, m, self.random)]);
                        for ((((ds, t), dt), v), dv) in ds.iter_mut().zip(t).zip(&dt).zip(v).zip(dv) {
                            *ds += times * (dt * v + t * dv);
                        }
                    }
                }
                ds
            },
        )
    }

    /// da and the rows dc = Z (dLambda a + Lambda da). H a = Lambda'Z's gives
    /// H da = d(Lambda'Z's) - dH a, and dH a is had from rows: dH a = dLambda'Z'Wc + Lambda'Z'(dW c + W Z dLambda a).
    fn adjoint_tangent(
        &mut self,
        at: &AtMode,
        ds: &[Vec<f64>],
        dw: &[Vec<f64>],
        dl: Option<&Factors>,
    ) -> (Vec<f64>, Rows) {
        let n = self.geometry.vector_len();
        let (mut dla, mut direct) = (vec![0.0; n], vec![vec![0.0; self.rows]; self.random]);
        if let Some(dl) = dl {
            self.geometry.apply(dl, &at.a, &mut dla);
            for (k, row) in direct.iter_mut().enumerate() {
                self.geometry.expand(k, &dla, row);
            }
        }
        // Lambda'(Z'ds - Z'dW c - Z'W Z dLambda a), with f'' = -W
        let mut inner = vec![0.0; n];
        for k in 0..self.random {
            let mut row = ds[k].clone();
            for l in 0..self.random {
                let (f2, f3) = (self.derivs.get(&sorted([k, l])), &dw[self.dw_at(k, l)]);
                add_products(&mut row, [f3, f2], [&at.c_rows[l], &direct[l]], 1.0);
            }
            self.geometry.sum(k, &row, &mut inner);
        }
        let mut da = vec![0.0; n];
        self.geometry.apply_transpose(self.lambda, &inner, &mut da);
        if let Some(dl) = dl {
            // dLambda'(Z's - Z'W c)
            let mut outer = at.zs.clone();
            for k in 0..self.random {
                self.geometry.sum(k, &self.second_times(k, &at.c_rows), &mut outer);
            }
            let mut part = vec![0.0; n];
            self.geometry.apply_transpose(dl, &outer, &mut part);
            plus(&mut da, &part);
        }
        self.geometry.solve(&mut da);
        let mut b = vec![0.0; n];
        self.geometry.apply(self.lambda, &da, &mut b);
        let mut dc_rows = direct;
        for (k, row) in dc_rows.iter_mut().enumerate() {
            self.geometry.expand(k, &b, row);
        }
        (da, dc_rows)
    }

    /// dq^k = dr^k - ds^k + sum_l (dW^kl c^l + W^kl dc^l).
    fn q_tangent(
        &self,
        k: usize,
        at: &AtMode,
        dr: &[f64],
        ds: &[f64],
        dc_rows: &[Vec<f64>],
        dw: &[Vec<f64>],
    ) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || {
                let mut dq: Vec<f64> = dr.iter().zip(ds).map(|(r, s)| r - s).collect();
                for l in 0..self.random {
                    let (f2, f3) = (self.derivs.get(&sorted([k, l])), &dw[self.dw_at(k, l)]);
                    add_products(&mut dq, [f3, f2], [&at.c_rows[l], &dc_rows[l]], -1.0);
                }
                dq
            },
        )
    }
}

fn plus(a: &mut [f64], b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
}

/// row += times (a_0 b_0 + a_1 b_1).
#[inline(always)]
fn add_products(row: &mut [f64], a: [&[f64]; 2], b: [&[f64]; 2], times: f64) {
    vectorized(
        #[inline(always)]
        || {
            for ((((r, a0), a1), b0), b1) in row.iter_mut().zip(a[0]).zip(a[1]).zip(b[0]).zip(b[1]) {
                *r += times * (a0 * b0 + a1 * b1);
            }
        },
    );
}
