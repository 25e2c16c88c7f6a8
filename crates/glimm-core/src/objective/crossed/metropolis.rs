//! Draws of the effects of one factor's levels given all other effects: an independence Metropolis chain per level.
//!
//! The target, p(u | y) with f the log densities of the level's rows, and the proposals, half from a Student t about the
//! mode m and half from the prior, whose tails hold those of the target wherever the likelihood is bounded:
//!
//! ```text
//! log p(u) = sum_i f_i(eta_i + a_i'u) - u'u / 2        q = t_5(m, H^-1) / 2 + N(0, I) / 2
//! ```
//!
//! Steps are accepted with probability min(1, p(u') q(u) / p(u) q(u')). Proposals do not depend on where the chain
//! stands, so that all of a level are computed at once, and after n steps it is within (1 - 1 / max p/q)^n of the target
//! in total variation (Mengersen and Tweedie 1996, Ann. Stat. 24, 101-121).

use rand::RngExt;
use rand_distr::{ChiSquared, Distribution, StandardNormal};
use rayon::prelude::*;

use super::pattern::{Grouping, Pattern};
use crate::design::Data;
use crate::family::{self, Derivs, Random, Want};
use crate::linalg::dense;
use crate::objective::Reject;
use crate::objective::geometry::Factors;
use crate::objective::laplace::sorted;
use crate::special::lgamma;

/// Levels that share a stream of the generator.
const CHUNK: usize = 32;
/// Degrees of freedom of the proposals.
const FREEDOM: f64 = 5.0;
/// Newton steps to a level's mode, and the squared decrement at which they end.
const STEPS: usize = 40;
const TOLERANCE: f64 = 1e-8;
/// Rows evaluated together, over proposals.
const STRIP: usize = 4096;

/// Where a level's chain starts.
#[derive(Clone, Copy, PartialEq)]
pub enum Start {
    /// At the effects as they are.
    Here,
    /// At a proposal.
    Anew,
    /// Nowhere: the target is normal, and drawn from.
    Exact,
}

/// The rows of each level of a factor.
pub struct Levels<'a> {
    data: &'a Data,
    pattern: &'a Pattern,
    grouping: &'a Grouping,
    lambda: &'a Factors,
    first: Vec<usize>,
    rows: Vec<u32>,
}

impl<'a> Levels<'a> {
    pub fn new(data: &'a Data, pattern: &'a Pattern, grouping: &'a Grouping, lambda: &'a Factors) -> Levels<'a> {
        let codes = &data.terms[grouping.terms[0]].codes;
        let mut first = vec![0; grouping.levels + 1];
        codes.iter().for_each(|&c| first[c as usize + 1] += 1);
        (0..grouping.levels).for_each(|g| first[g + 1] += first[g]);
        let (mut next, mut rows) = (first.clone(), vec![0; codes.len()]);
        for (i, &c) in codes.iter().enumerate() {
            rows[next[c as usize]] = i as u32;
            next[c as usize] += 1;
        }
        Levels { data, pattern, grouping, lambda, first, rows }
    }

    /// Where effect c of term t of level g stands among all.
    fn places(&self, g: usize) -> impl Iterator<Item = usize> {
        let of_term = move |&t: &usize| {
            let q = self.pattern.sizes[t];
            let first = self.pattern.term(t).start + g * q;
            first..first + q
        };
        self.grouping.terms.iter().flat_map(of_term)
    }

    /// Draws the effects of every level, at linear predictors `eta` that have those in `u`.
    pub fn draw(
        &self,
        eta: &[Vec<f64>],
        u: &mut [f64],
        start: Start,
        generator: impl Fn(u64) -> Random + Sync,
    ) -> Result<(), Reject> {
        let before: &[f64] = u;
        let chunk = |c: usize| {
            let (mut rng, mut work) = (generator(c as u64), Work::default());
            let levels = c * CHUNK..self.grouping.levels.min((c + 1) * CHUNK);
            let mut drawn = Vec::with_capacity(levels.len() * self.grouping.effects);
            for g in levels {
                let here: Vec<f64> = self.places(g).map(|p| before[p]).collect();
                work.gather(self, g, eta, &here);
                drawn.extend(work.draw(&here, start, &mut rng)?);
            }
            Ok(drawn)
        };
        let chunks = self.grouping.levels.div_ceil(CHUNK);
        let found: Result<Vec<Vec<f64>>, Reject> = (0..chunks).into_par_iter().map(chunk).collect();
        let all = found?;
        let places = (0..self.grouping.levels).flat_map(|g| self.places(g));
        places.zip(all.into_iter().flatten()).for_each(|(p, x)| u[p] = x);
        Ok(())
    }
}

/// One level: its rows, and room.
#[derive(Default)]
struct Work {
    family: Option<std::sync::Arc<dyn family::Family>>,
    q: usize,
    random: usize,
    /// Prior precision of each effect.
    precision: Vec<f64>,
    y: Vec<f64>,
    size: Option<Vec<f64>>,
    freq: Option<Vec<f64>>,
    /// Linear predictors without the level's effects, and how these enter: rows x q.
    base: Vec<Vec<f64>>,
    a: Vec<Vec<f64>>,
    derivs: Derivs,
    at: Vec<Vec<f64>>,
}

/// The normal approximation of a level.
struct Near {
    mode: Vec<f64>,
    /// Cholesky factor of H.
    root: Vec<f64>,
}

impl Work {
    fn gather(&mut self, levels: &Levels<'_>, g: usize, eta: &[Vec<f64>], here: &[f64]) {
        let data = levels.data;
        let rows = &levels.rows[levels.first[g]..levels.first[g + 1]];
        let pick = |v: &Vec<f64>| rows.iter().map(|&i| v[i as usize]).collect::<Vec<f64>>();
        self.family = Some(data.family.clone());
        (self.q, self.random) = (here.len(), data.random_predictors());
        self.y = pick(&data.y);
        self.size = data.size.as_ref().map(pick);
        self.freq = data.freq.as_ref().map(pick);
        self.base = eta.iter().map(pick).collect();
        self.a = vec![vec![0.0; rows.len() * self.q]; self.random];
        self.precision.clear();
        let mut first = 0;
        for &t in &levels.grouping.terms {
            let (term, q) = (&data.terms[t], levels.pattern.sizes[t]);
            self.precision.extend(std::iter::repeat_n(term.structure.precision(), q));
            for (c, column) in term.columns.iter().enumerate() {
                let a = &mut self.a[term.predictors[c]];
                for (i, &row) in rows.iter().enumerate() {
                    let z = column.at(row as usize);
                    for j in 0..q {
                        a[i * self.q + first + j] += z * levels.lambda[t][c * q + j];
                    }
                }
            }
            first += q;
        }
        for (base, a) in self.base.iter_mut().zip(&self.a) {
            for (base, a) in base.iter_mut().zip(a.chunks_exact(self.q)) {
                *base -= a.iter().zip(here).map(|(a, u)| a * u).sum::<f64>();
            }
        }
    }

    /// One draw.
    fn draw(&mut self, here: &[f64], start: Start, rng: &mut Random) -> Result<Vec<f64>, Reject> {
        let near = self.near()?;
        if start == Start::Exact {
            return Ok(near.draw(1.0, rng));
        }
        let steps = self.steps(start);
        let mut points: Vec<Vec<f64>> = match start {
            Start::Here => vec![here.to_vec()],
            _ => Vec::new(),
        };
        // Half of the proposals come from the prior, where it is one.
        let proper = self.precision.iter().all(|&p| p == 1.0);
        while points.len() <= steps {
            let wide = proper && rng.random::<f64>() < 0.5;
            points.push(match wide {
                true => (0..self.q).map(|_| StandardNormal.sample(rng)).collect(),
                false => {
                    let chi: f64 = ChiSquared::new(FREEDOM).map_or(FREEDOM, |c| c.sample(rng));
                    near.draw((FREEDOM / chi).sqrt(), rng)
                }
            });
        }
        let target = self.log_densities(&points);
        let weigh = |(u, f): (&Vec<f64>, &f64)| f - self.prior(u) - near.log_density(u, proper);
        let weights: Vec<f64> = points.iter().zip(&target).map(weigh).collect();
        let mut at = 0;
        for next in 1..points.len() {
            let uniform: f64 = rng.random();
            // A NaN is never accepted, and left at once.
            if weights[next] - weights[at] >= uniform.ln() || weights[at].is_nan() {
                at = next;
            }
        }
        Ok(points.swap_remove(at))
    }

    /// Steps of the chain: fewer where many rows make the posterior nearly normal.
    fn steps(&self, start: Start) -> usize {
        let most = if start == Start::Anew { 32 } else { 8 };
        match self.y.len() {
            0..=100 => most,
            101..=1000 => most.min(12),
            _ => 4,
        }
    }

    /// u'Pu / 2.
    fn prior(&self, u: &[f64]) -> f64 {
        0.5 * u.iter().zip(&self.precision).map(|(u, p)| p * u * u).sum::<f64>()
    }

    /// Derivatives at one point.
    fn evaluate(&mut self, u: &[f64], want: Want) {
        self.at.resize(self.base.len(), Vec::new());
        for (k, (at, base)) in self.at.iter_mut().zip(&self.base).enumerate() {
            at.clone_from(base);
            if let Some(a) = self.a.get(k) {
                add(a, u, at);
            }
        }
        let eta: Vec<&[f64]> = self.at.iter().map(Vec::as_slice).collect();
        let rows = family::Rows { y: &self.y, size: self.size.as_deref() };
        self.derivs.reshape(want.dims, want.order, self.y.len());
        if let Some(family) = &self.family {
            family.derivs(rows, &eta, want, &mut self.derivs);
        }
        if let Some(freq) = &self.freq {
            self.derivs.weigh(freq, want);
        }
    }

    /// Sums of the rows' log densities at many points, all rows of several points at once.
    fn log_densities(&mut self, points: &[Vec<f64>]) -> Vec<f64> {
        let n = self.y.len();
        let mut out = Vec::with_capacity(points.len());
        let want = Want { dims: self.random, order: 2, value: true };
        for points in points.chunks((STRIP / n.max(1)).max(1)) {
            let times = points.len();
            let y = self.y.repeat(times);
            let size = self.size.as_ref().map(|s| s.repeat(times));
            let mut eta: Vec<Vec<f64>> = self.base.iter().map(|b| b.repeat(times)).collect();
            for (eta, a) in eta.iter_mut().zip(&self.a) {
                eta.chunks_exact_mut(n.max(1)).zip(points).for_each(|(eta, u)| add(a, u, eta));
            }
            let eta: Vec<&[f64]> = eta.iter().map(Vec::as_slice).collect();
            self.derivs.reshape(want.dims, want.order, n * times);
            if let Some(family) = &self.family {
                family.derivs(family::Rows { y: &y, size: size.as_deref() }, &eta, want, &mut self.derivs);
            }
            for f in self.derivs.value().chunks_exact(n.max(1)) {
                out.push(match &self.freq {
                    None => f.iter().sum(),
                    Some(freq) => f.iter().zip(freq).filter(|(_, w)| **w != 0.0).map(|(f, w)| f * w).sum(),
                });
            }
        }
        // A level without rows has no likelihood.
        out.resize(points.len(), 0.0);
        out
    }

    /// Mode and curvature, by damped Newton steps from no effects.
    fn near(&mut self) -> Result<Near, Reject> {
        let (q, want) = (self.q, Want { dims: self.random, order: 2, value: true });
        let (mut u, mut step, mut best) = (vec![0.0; q], vec![0.0; q], f64::NEG_INFINITY);
        for _ in 0..STEPS {
            self.evaluate(&u, want);
            let value = self.derivs.value().iter().sum::<f64>() - self.prior(&u);
            // Not "value < ...": a NaN is no ascent.
            let ascended = best == f64::NEG_INFINITY || value >= best - 1e-10 * (1.0 + best.abs());
            if !ascended {
                step.iter_mut().for_each(|s| *s *= 0.5);
                u.iter_mut().zip(&step).for_each(|(u, s)| *u -= s);
                continue;
            }
            best = value;
            let (gradient, root) = self.curvature(&u)?;
            step.copy_from_slice(&gradient);
            dense::cholesky_solve(&root, q, &mut step);
            let decrement: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            if !decrement.is_finite() {
                return Err(Reject::NoMode);
            }
            if decrement < TOLERANCE {
                return Ok(Near { mode: u, root });
            }
            let reach = step.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
            let length = if reach > 1.0 { reach.ln_1p() / reach } else { 1.0 };
            step.iter_mut().for_each(|s| *s *= length);
            u.iter_mut().zip(&step).for_each(|(u, s)| *u += s);
        }
        // Proposals need not be at the very mode.
        self.evaluate(&u, want);
        let (_, root) = self.curvature(&u)?;
        Ok(Near { mode: u, root })
    }

    /// The gradient and the Cholesky factor of H, without what bends the wrong way.
    fn curvature(&self, u: &[f64]) -> Result<(Vec<f64>, Vec<f64>), Reject> {
        let q = self.q;
        let mut gradient: Vec<f64> = u.iter().zip(&self.precision).map(|(u, p)| -p * u).collect();
        for (k, a) in self.a.iter().enumerate() {
            for (a, r) in a.chunks_exact(q).zip(self.derivs.get(&[k])) {
                gradient.iter_mut().zip(a).for_each(|(g, a)| *g += a * r);
            }
        }
        for clipped in [false, true] {
            let mut h = vec![0.0; q * q];
            (0..q).for_each(|c| h[c * q + c] = self.precision[c]);
            for k in 0..self.random {
                for l in 0..self.random {
                    if k == l || !clipped {
                        self.add_outer(k, l, clipped, &mut h);
                    }
                }
            }
            if dense::cholesky(&mut h, q) {
                return Ok((gradient, h));
            }
        }
        Err(Reject::NotPositiveDefinite)
    }

    /// h += A_k'W_kl A_l, lower triangle.
    fn add_outer(&self, k: usize, l: usize, clipped: bool, h: &mut [f64]) {
        let (q, second) = (self.q, self.derivs.get(&sorted([k, l])));
        let rows = self.a[k].chunks_exact(q).zip(self.a[l].chunks_exact(q));
        for ((a, b), f) in rows.zip(second) {
            let w = if clipped { (-f).max(0.0) } else { -f };
            for i in 0..q {
                for j in 0..=i {
                    h[i * q + j] += w * a[i] * b[j];
                }
            }
        }
    }
}

/// out_i += a_i'u.
fn add(a: &[f64], u: &[f64], out: &mut [f64]) {
    for (out, a) in out.iter_mut().zip(a.chunks_exact(u.len())) {
        *out += a.iter().zip(u).map(|(a, u)| a * u).sum::<f64>();
    }
}

impl Near {
    /// m + scale L'^-1 z.
    fn draw(&self, scale: f64, rng: &mut Random) -> Vec<f64> {
        let q = self.mode.len();
        let mut x: Vec<f64> = (0..q).map(|_| StandardNormal.sample(rng)).collect();
        for i in (0..q).rev() {
            for k in i + 1..q {
                x[i] -= self.root[k * q + i] * x[k];
            }
            x[i] /= self.root[i * q + i];
        }
        x.iter().zip(&self.mode).map(|(x, m)| scale.mul_add(*x, *m)).collect()
    }

    /// ln q, with or without the prior.
    fn log_density(&self, u: &[f64], proper: bool) -> f64 {
        let q = self.mode.len();
        let mut distance = 0.0;
        for j in 0..q {
            let sum: f64 = (j..q).map(|i| self.root[i * q + j] * (u[i] - self.mode[i])).sum();
            distance += sum * sum;
        }
        let (half, n) = (0.5 * FREEDOM, q as f64);
        let constant = lgamma(half + 0.5 * n) - lgamma(half) - 0.5 * n * (FREEDOM * std::f64::consts::PI).ln();
        let t =
            constant + 0.5 * dense::cholesky_logdet(&self.root, q) - (half + 0.5 * n) * (distance / FREEDOM).ln_1p();
        if !proper {
            return t;
        }
        let squares: f64 = u.iter().map(|u| u * u).sum();
        let normal = -0.5 * squares - 0.5 * n * std::f64::consts::TAU.ln();
        let (high, low) = (t.max(normal), t.min(normal));
        high + (low - high).exp().ln_1p() - std::f64::consts::LN_2
    }
}
