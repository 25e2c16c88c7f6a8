//! The Laplace approximation of a tile's series with its exact gradient and Hessian, at a cost that grows with the
//! number of times and not with its cube.
//!
//! With a = C Lambda'Z'(F''' v) / 2 the gradient of -log|H| / 2 in u times C, the modes drop out of all derivatives of
//!
//! ```text
//! M = sum F - u'u / 2 - log|H| / 2 + a'(Lambda'Z'F' - u)
//! ```
//!
//! to first order, so that second derivatives of L are those of M along straight lines (psi, u) + h (e, du), a held:
//!
//! ```text
//! H du   = d(Lambda'Z'F') at fixed u       y = X e + Z db      db = dLambda u + Lambda du      c = Z Lambda a
//! q      = F' + F''' v / 2 + F'' c         A = F'' + F'''' v / 2 + F''' c
//! d2 L   = y'A y* - du'du* + q'Z d2b + (F'' y)'dc* + (F'' y*)'dc + F''d2c - d2 log|H| / 2
//! ```
//!
//! where the last one holds of d2 S only what is not already in A and q.

use super::{Direction, Series, filter};
use crate::objective::block::lanes::{self, Lanes};
use crate::objective::block::laplace::Sums;
use crate::objective::laplace::pair;
use crate::objective::{Order, Reject};

/// What belongs to the modes, by time, and room.
pub struct Point {
    /// S, J, 1 / d, V and J / d.
    pub(super) s: Vec<Lanes>,
    pub(super) j: Vec<Lanes>,
    pub(super) inverse: Vec<Lanes>,
    pub(super) v: Vec<Lanes>,
    pub(super) g: Vec<Lanes>,
    /// u and a through the chain.
    pub(super) u: Through,
    pub(super) a: Through,
    /// How two filter tangents without tangents of coefficients meet.
    pub(super) bend: Vec<Lanes>,
    /// By row: q of every predictor and A of every pair.
    pub(super) q: Vec<Vec<f64>>,
    pub(super) bends: Vec<Vec<f64>>,
    pub(super) row: [Vec<f64>; 2],
    /// Lambda'Z'F' - u and C times it.
    pub(super) slope: Vec<Lanes>,
    pub(super) step: Vec<Lanes>,
    pub(super) room: Vec<Lanes>,
    pub(super) along: Vec<Along>,
    pub(super) sums: Vec<Sums>,
}

/// A vector x of spherical effects with s of [`filter::run`], and the y that it is multiplied with, y'Lambda x, with w
/// of [`filter::pull`].
#[derive(Clone)]
pub struct Through {
    pub(super) x: Vec<Lanes>,
    pub(super) s: Vec<Lanes>,
    pub(super) y: Vec<Lanes>,
    pub(super) w: Vec<Lanes>,
}

/// Tangents along one direction, by time.
#[derive(Clone, Default)]
pub struct Along {
    pub(super) du: Vec<Lanes>,
    pub(super) db: Vec<Lanes>,
    /// The change of s with the coefficients, for u and for a.
    pub(super) su: Vec<Lanes>,
    pub(super) sa: Vec<Lanes>,
    /// dLambda a, dLambda'Z'q and dLambda'Z'F'.
    pub(super) dc: Vec<Lanes>,
    pub(super) pq: Vec<Lanes>,
    pub(super) pr: Vec<Lanes>,
    pub(super) ds: Vec<Lanes>,
    pub(super) dj: Vec<Lanes>,
    pub(super) dg: Vec<Lanes>,
    /// Z'(F'' y).
    pub(super) n: Vec<Lanes>,
    /// y and A y, predictor after predictor.
    pub(super) y: Vec<f64>,
    pub(super) ay: Vec<f64>,
}

impl Through {
    fn new(q: usize) -> Through {
        let v = || vec![Lanes::ZERO; q];
        Through { x: v(), s: v(), y: v(), w: v() }
    }
}

impl Point {
    /// For `q` times, `k` predictors and derivatives in `p` parameters.
    pub fn new(q: usize, k: usize, p: usize) -> Point {
        let v = || vec![Lanes::ZERO; q];
        let along = Along {
            du: v(),
            db: v(),
            su: v(),
            sa: v(),
            dc: v(),
            pq: v(),
            pr: v(),
            ds: v(),
            dj: v(),
            dg: v(),
            n: v(),
            y: Vec::new(),
            ay: Vec::new(),
        };
        Point {
            s: v(),
            j: v(),
            inverse: v(),
            v: v(),
            g: v(),
            u: Through::new(q),
            a: Through::new(q),
            bend: v(),
            q: vec![Vec::new(); k],
            bends: vec![Vec::new(); k * (k + 1) / 2],
            row: Default::default(),
            slope: v(),
            step: v(),
            room: v(),
            along: vec![along; p],
            sums: vec![Sums::new(p, 0); 1 + p],
        }
    }

    /// du of direction `j`.
    pub fn mode_tangent(&self, j: usize) -> &[Lanes] {
        &self.along[j].du
    }
}

impl Series<'_> {
    /// Value, gradient and, if wanted, second derivatives of the tile's groups, in `at.sums`.
    #[inline(always)]
    pub fn differentiate(&self, u: &[Lanes], directions: &[Direction], at: &mut Point) -> Result<(), Reject> {
        self.value(u, at)?;
        for (j, direction) in directions.iter().enumerate() {
            at.sums[0].columns[j] = self.slope(direction, at, j);
        }
        if self.job().order != Order::Hessian {
            return Ok(());
        }
        self.prepare(at);
        for (j, direction) in directions.iter().enumerate() {
            let mut along = std::mem::take(&mut at.along[j]);
            self.tangent(direction, at, &mut along);
            at.along[j] = along;
        }
        for i in 0..directions.len() {
            for j in 0..=i {
                let second = self.second([&directions[i], &directions[j]], [&at.along[i], &at.along[j]], at);
                at.sums[1 + i].columns[j] = second;
                at.sums[1 + j].columns[i] = second;
            }
        }
        Ok(())
    }

    /// The value at the modes `u`, with a and the row sums that the gradient needs.
    #[inline(always)]
    fn value(&self, u: &[Lanes], at: &mut Point) -> Result<(), Reject> {
        let steps = &self.steps.at;
        let derivs = &self.work.derivs;
        [&mut at.s, &mut at.a.y, &mut at.room].into_iter().for_each(|x| x.fill(Lanes::ZERO));
        self.sum(2, derivs.get(&[0, 0]), &mut at.s);
        at.s.iter_mut().for_each(|s| *s = -*s);
        if filter::factorise(steps, &at.s, &mut at.j, &mut at.inverse).contains(&false) {
            return Err(Reject::NotPositiveDefinite);
        }
        filter::variances(steps, &at.inverse, &mut at.v);
        self.sum(1, derivs.get(&[0]), &mut at.a.y);
        filter::pull(steps, &at.a.y, &mut at.a.w);
        at.u.x.copy_from_slice(u);
        filter::run(steps, u, &mut at.u.s);
        self.adjoint(at);
        self.weights(at);
        let value = self.work.total() - lanes::dot(u.len(), u, u) * 0.5 - filter::logdet(&at.inverse) * 0.5;
        at.sums[0].value = value + self.mode_correction(at);
        at.u.y.fill(Lanes::ZERO);
        self.sum(1, &at.q[0], &mut at.u.y);
        filter::pull(steps, &at.u.y, &mut at.u.w);
        if at.sums[0].value.sum().is_finite() { Ok(()) } else { Err(Reject::NoMode) }
    }

    /// What the value still lacks because u is not exactly the mode: with g = Lambda'Z'F' - u, g'Cg / 2 for the
    /// integrand and a'g for log|H|; the error left is of second order.
    #[inline(always)]
    fn mode_correction(&self, at: &mut Point) -> Lanes {
        let steps = &self.steps.at;
        for (t, x) in steps.iter().enumerate() {
            at.slope[t] = at.a.w[t] * x.f - at.u.x[t];
        }
        at.step.copy_from_slice(&at.slope);
        filter::solve(steps, [&at.j, &at.inverse], &mut at.step, &mut at.room);
        lanes::dot(steps.len(), &at.slope, &at.step) * 0.5 + lanes::dot(steps.len(), &at.a.x, &at.slope)
    }

    /// a and what it becomes in the chain.
    #[inline(always)]
    fn adjoint(&self, at: &mut Point) {
        let steps = &self.steps.at;
        self.sum(3, self.work.derivs.get(&[0, 0, 0]), &mut at.room);
        for t in 0..steps.len() {
            at.room[t] = at.room[t] * at.v[t] * (0.5 * steps[t].cc);
            at.g[t] = at.j[t] * at.inverse[t];
        }
        filter::pull(steps, &at.room, &mut at.a.x);
        at.a.x.iter_mut().zip(steps).for_each(|(a, x)| *a = *a * x.f);
        filter::solve(steps, [&at.j, &at.inverse], &mut at.a.x, &mut at.room);
        filter::run(steps, &at.a.x, &mut at.a.s);
    }

    /// q of every predictor and, for second derivatives, A of every pair of them.
    #[inline(always)]
    fn weights(&self, at: &mut Point) {
        let (steps, derivs, n) = (&self.steps.at, &self.work.derivs, self.powers[0].len());
        let [v, c] = &mut at.row;
        v.resize(n, 0.0);
        c.resize(n, 0.0);
        for t in 0..steps.len() {
            at.room[t] = at.v[t] * (0.5 * steps[t].cc);
        }
        self.spread(2, &at.room, v);
        for t in 0..steps.len() {
            at.room[t] = at.a.s[t] * steps[t].c;
        }
        self.spread(1, &at.room, c);
        for (k, q) in at.q.iter_mut().enumerate() {
            q.resize(n, 0.0);
            bend([derivs.get(&[k]), derivs.get(&[0, k]), derivs.get(&[0, 0, k])], v, c, q);
        }
        if self.job().order != Order::Hessian {
            return;
        }
        let k_all = at.q.len();
        for k in 0..k_all {
            for l in k..k_all {
                let out = &mut at.bends[pair(k, l, k_all)];
                out.resize(n, 0.0);
                bend([derivs.get(&[k, l]), derivs.get(&[0, k, l]), derivs.get(&[0, 0, k, l])], v, c, out);
            }
        }
    }

    /// dL along a direction, at fixed u: M does not change with it.
    #[inline(always)]
    fn slope(&self, direction: &Direction, at: &mut Point, j: usize) -> Lanes {
        let chain = match direction {
            Direction::Columns(columns) => {
                let mut sum = Lanes::ZERO;
                for &a in columns {
                    sum += self.dot_column(a, &at.q[self.work.store.predictor[a]]);
                }
                return sum;
            }
            Direction::Chain(j) => *j,
        };
        let (steps, d) = (&self.steps.at, &self.steps.first[chain]);
        let along = &mut at.along[j];
        filter::pull_tangent(steps, d, &at.u.y, &at.u.w, &mut along.pq);
        filter::pull_tangent(steps, d, &at.a.y, &at.a.w, &mut along.pr);
        let (mut determinant, mut before) = (Lanes::ZERO, Lanes::ZERO);
        for (t, (x, d)) in steps.iter().zip(d).enumerate() {
            determinant = (at.v[t] * d.cc).fma(at.s[t], determinant);
            let carried = at.g[t] * d.rr - at.g[t] * at.g[t] * (x.rr * d.ff);
            determinant = before.fma(carried, determinant) + at.g[t] * d.ff;
            before = at.v[t];
        }
        let q = steps.len();
        lanes::dot(q, &along.pq, &at.u.x) + lanes::dot(q, &along.pr, &at.a.x) - determinant * 0.5
    }
}

/// out = f + f' c + f'' v.
#[inline(always)]
fn bend([f, first, second]: [&[f64]; 3], v: &[f64], c: &[f64], out: &mut [f64]) {
    let n = out.len();
    let (f, first, second, v, c) = (&f[..n], &first[..n], &second[..n], &v[..n], &c[..n]);
    for i in 0..n {
        out[i] = second[i].mul_add(v[i], first[i].mul_add(c[i], f[i]));
    }
}
