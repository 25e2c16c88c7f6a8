//! Draws of a unit's effects with their log weights and the derivatives of the log density.
//!
//! With x = u - m, gamma = Lambda'Z'r - u the gradient of the log density in u, and v = C gamma, the derivative along a
//! parameter is
//!
//! ```text
//! s = X'r + <Z'r u', dLambda> + dm'gamma + tr A + gamma'A x
//! A = -C dH / 2      dH = dLambda'S Lambda + Lambda'S dLambda
//! ```
//!
//! The first two parts are the score of the complete data. The others, by which nodes move with the Gaussian, have mean
//! zero under the effects' distribution (Stein's identity), and take from s what is linear in x, and from derivatives
//! in the factors what is quadratic, which is nearly all that chance would act on. Here gamma'A x is
//! -<(S Lambda x) v' + (S Lambda v) x', dLambda> / 2.
//!
//! Draws stand side by side in lanes, so that loops over rows and effects become vector instructions.

use std::ops::Range;

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::proposal::Proposal;
use super::units::Unit;
use crate::family::{self, Derivs, Random, Want};
use crate::objective::chain::{self, Chain};
use crate::objective::crossed::Crossed;
use crate::objective::geometry::Factors;
use crate::special::vectorized;

/// Draws of a batch: half of them, and their antithetic partners.
pub const LANES: usize = 16;
pub type Lanes = [f64; LANES];

const ZERO: Lanes = [0.0; LANES];
/// Rows looked at together.
const STRIP: usize = 64;
/// The seed of all draws: equal data give equal bits.
const SEED: u64 = 20_260_102;

/// Everything that the draws of a unit share.
pub struct Sampler<'a> {
    unit: &'a Crossed,
    proposal: &'a Proposal,
    lambda: Factors,
    /// dLambda of each of the terms' parameters: (term, matrix).
    derivatives: Vec<(usize, Vec<f64>)>,
}

/// Log weights and derivatives of the draws of a batch.
pub struct Batch {
    pub log_weights: Lanes,
    pub score: Vec<Lanes>,
}

impl<'a> Sampler<'a> {
    pub fn new(unit: &'a Unit, proposal: &'a Proposal, psi: &[f64]) -> Sampler<'a> {
        let crossed = &unit.crossed;
        let chain = Chain::new(&crossed.data, &crossed.layout, psi);
        let thetas =
            crossed.layout.theta.iter().enumerate().flat_map(|(t, range)| (0..range.len()).map(move |j| (t, j)));
        let derivatives = thetas.map(|(t, j)| (t, chain.derivative(t, j).to_vec())).collect();
        Sampler { unit: crossed, proposal, lambda: chain::factors(&crossed.data, &crossed.layout, psi), derivatives }
    }

    pub fn rows(&self) -> usize {
        self.unit.data.n()
    }

    /// out = Lambda x.
    fn scale(&self, x: &[Lanes], out: &mut [Lanes]) {
        let pattern = &self.unit.pattern;
        for (t, lambda) in self.lambda.iter().enumerate() {
            let q = pattern.sizes[t];
            let levels = x[pattern.term(t)].chunks_exact(q).zip(out[pattern.term(t)].chunks_exact_mut(q));
            for (x, out) in levels {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = ZERO;
                    x.iter().zip(&lambda[i * q..]).for_each(|(x, l)| add(out, *l, x));
                }
            }
        }
    }

    /// out = S Lambda x, with `b` as room.
    fn bend(&self, x: &[Lanes], b: &mut [Lanes], out: &mut [Lanes]) {
        self.scale(x, b);
        out.fill(ZERO);
        let pattern = &self.unit.pattern;
        for pair in &pattern.pairs {
            let (first, (qs, qt)) = ([pattern.term(pair.s).start, pattern.term(pair.t).start], pair.size);
            for (cell, block) in self.proposal.s[pair.range()].chunks_exact(qs * qt).enumerate() {
                let (g, h) = pattern.levels(pair, cell);
                for (k, s) in block.iter().enumerate() {
                    let (i, j) = (first[0] + g * qs + k / qt, first[1] + h * qt + k % qt);
                    add(&mut out[i], *s, &b[j]);
                    if pair.s != pair.t {
                        add(&mut out[j], *s, &b[i]);
                    }
                }
            }
        }
    }
}

/// One thread's room for a batch; vectors of effects unless said otherwise.
pub struct Work<'a> {
    sampler: &'a Sampler<'a>,
    /// x = u - m, u, and Lambda u or other products with Lambda.
    x: Vec<Lanes>,
    u: Vec<Lanes>,
    b: Vec<Lanes>,
    /// Z'r, gamma, v = C gamma.
    zr: Vec<Lanes>,
    gamma: Vec<Lanes>,
    v: Vec<Lanes>,
    /// S Lambda x and S Lambda v.
    sx: Vec<Lanes>,
    sv: Vec<Lanes>,
    /// The effects but those of the largest factor.
    rest: Vec<Lanes>,
    /// Over the rows of a strip: linear predictors, responses, sizes, frequency weights, derivatives.
    eta: Vec<Vec<Lanes>>,
    y: Vec<Lanes>,
    size: Vec<Lanes>,
    freq: Vec<Lanes>,
    derivs: Derivs,
    batch: Batch,
}

impl<'a> Work<'a> {
    pub fn new(sampler: &'a Sampler<'a>) -> Work<'a> {
        let (effects, strip) = (|| vec![ZERO; sampler.unit.pattern.effects()], || vec![ZERO; STRIP]);
        Work {
            sampler,
            x: effects(),
            u: effects(),
            b: effects(),
            zr: effects(),
            gamma: effects(),
            v: effects(),
            sx: effects(),
            sv: effects(),
            rest: vec![ZERO; sampler.proposal.root.rest_len()],
            eta: sampler.unit.data.predictors.iter().map(|_| strip()).collect(),
            y: strip(),
            size: strip(),
            freq: strip(),
            derivs: Derivs::default(),
            batch: Batch { log_weights: ZERO, score: vec![ZERO; sampler.unit.layout.total] },
        }
    }

    /// The draws of a stream of the generator.
    pub fn batch(&mut self, stream: u64) -> &Batch {
        self.draw(stream);
        self.batch.score.fill(ZERO);
        self.zr.fill(ZERO);
        let n = self.sampler.rows();
        for first in (0..n).step_by(STRIP) {
            self.strip(first..n.min(first + STRIP));
        }
        vectorized(
            #[inline(always)]
            || self.differentiate(),
        );
        &self.batch
    }

    /// u = m + S z with the part of its log weight that needs no rows.
    fn draw(&mut self, stream: u64) {
        let (proposal, mut rng) = (self.sampler.proposal, Random::seed_from_u64(SEED));
        rng.set_stream(stream);
        let mut log_weights = [-0.5 * proposal.root.log_determinant; LANES];
        for z in &mut self.x {
            for l in 0..LANES / 2 {
                z[l] = StandardNormal.sample(&mut rng);
                z[l + LANES / 2] = -z[l];
            }
            (0..LANES).for_each(|l| log_weights[l] += 0.5 * z[l] * z[l]);
        }
        proposal.root.spread(&mut self.x, &mut self.rest);
        for ((u, x), m) in self.u.iter_mut().zip(&self.x).zip(&proposal.mean) {
            for l in 0..LANES {
                u[l] = m + x[l];
                log_weights[l] -= 0.5 * u[l] * u[l];
            }
        }
        self.batch.log_weights = log_weights;
        self.sampler.scale(&self.u, &mut self.b);
    }

    /// Adds the part of some rows.
    fn strip(&mut self, rows: Range<usize>) {
        let (data, count) = (&self.sampler.unit.data, rows.len());
        vectorized(
            #[inline(always)]
            || self.linear_predictors(rows.clone()),
        );
        let want = Want { dims: self.eta.len(), order: 1, value: true };
        repeat(&data.y[rows.clone()], &mut self.y);
        let size = data.size.as_ref().map(|size| {
            repeat(&size[rows.clone()], &mut self.size);
            self.size[..count].as_flattened()
        });
        let eta: Vec<&[f64]> = self.eta.iter().map(|e| e[..count].as_flattened()).collect();
        self.derivs.reshape(want.dims, want.order, count * LANES);
        let responses = family::Rows { y: self.y[..count].as_flattened(), size };
        data.family.derivs(responses, &eta, want, &mut self.derivs);
        if let Some(freq) = &data.freq {
            repeat(&freq[rows.clone()], &mut self.freq);
            self.derivs.weigh(self.freq[..count].as_flattened(), want);
        }
        vectorized(
            #[inline(always)]
            || self.add_rows(rows),
        );
    }

    /// X beta + offset + Z b.
    #[inline(always)]
    fn linear_predictors(&mut self, rows: Range<usize>) {
        let (unit, fixed) = (self.sampler.unit, &self.sampler.proposal.fixed);
        for (eta, fixed) in self.eta.iter_mut().zip(fixed) {
            for (eta, fixed) in eta.iter_mut().zip(&fixed[rows.clone()]) {
                *eta = [*fixed; LANES];
            }
        }
        for (t, term) in unit.data.terms.iter().enumerate() {
            let (b, q) = (&self.b[unit.pattern.term(t)], term.effects());
            for (c, z) in term.columns.iter().enumerate() {
                for (eta, i) in self.eta[term.predictors[c]].iter_mut().zip(rows.clone()) {
                    add(eta, z.at(i), &b[term.codes[i] as usize * q + c]);
                }
            }
        }
    }

    /// Adds f to the log weights and takes the sums X'r and Z'r.
    #[inline(always)]
    fn add_rows(&mut self, rows: Range<usize>) {
        let unit = self.sampler.unit;
        self.derivs.value().as_chunks().0.iter().for_each(|f| add(&mut self.batch.log_weights, 1.0, f));
        for (k, predictor) in unit.data.predictors.iter().enumerate() {
            let r: &[Lanes] = self.derivs.get(&[k]).as_chunks().0;
            for (j, x) in unit.layout.beta[k].clone().zip(&predictor.columns) {
                r.iter().zip(rows.clone()).for_each(|(r, i)| add(&mut self.batch.score[j], x.at(i), r));
            }
        }
        for (t, term) in unit.data.terms.iter().enumerate() {
            let (zr, q) = (&mut self.zr[unit.pattern.term(t)], term.effects());
            for (c, z) in term.columns.iter().enumerate() {
                let r: &[Lanes] = self.derivs.get(&[term.predictors[c]]).as_chunks().0;
                for (r, i) in r.iter().zip(rows.clone()) {
                    add(&mut zr[term.codes[i] as usize * q + c], z.at(i), r);
                }
            }
        }
    }

    /// The derivatives along the moving nodes, from the sums over rows.
    #[inline(always)]
    fn differentiate(&mut self) {
        let (sampler, proposal) = (self.sampler, self.sampler.proposal);
        self.pull();
        self.v.copy_from_slice(&self.gamma);
        proposal.root.solve(&mut self.v, &mut self.rest);
        sampler.bend(&self.x, &mut self.b, &mut self.sx);
        sampler.bend(&self.v, &mut self.b, &mut self.sv);
        for ((score, tangent), trace) in self.batch.score.iter_mut().zip(&proposal.tangents).zip(&proposal.traces) {
            (0..LANES).for_each(|l| score[l] += trace);
            tangent.iter().zip(&self.gamma).for_each(|(a, gamma)| add(score, *a, gamma));
        }
        let fixed = sampler.unit.layout.fixed();
        for (j, (t, derivative)) in sampler.derivatives.iter().enumerate() {
            let (at, q) = (sampler.unit.pattern.term(*t), sampler.unit.pattern.sizes[*t]);
            for (k, d) in derivative.iter().enumerate().filter(|(_, d)| **d != 0.0) {
                for first in at.clone().step_by(q) {
                    let dyad = self.dyad(first + k / q, first + k % q);
                    add(&mut self.batch.score[fixed + j], *d, &dyad);
                }
            }
        }
    }

    /// gamma = Lambda'Z'r - u.
    #[inline(always)]
    fn pull(&mut self) {
        let pattern = &self.sampler.unit.pattern;
        for (gamma, u) in self.gamma.iter_mut().zip(&self.u) {
            (0..LANES).for_each(|l| gamma[l] = -u[l]);
        }
        for (t, lambda) in self.sampler.lambda.iter().enumerate() {
            let q = pattern.sizes[t];
            let levels = self.gamma[pattern.term(t)].chunks_exact_mut(q).zip(self.zr[pattern.term(t)].chunks_exact(q));
            for (gamma, zr) in levels {
                lambda.iter().enumerate().for_each(|(k, l)| add(&mut gamma[k % q], *l, &zr[k / q]));
            }
        }
    }

    /// An entry of (Z'r) u' - ((S Lambda x) v' + (S Lambda v) x') / 2.
    #[inline(always)]
    fn dyad(&self, i: usize, j: usize) -> Lanes {
        let mut out = ZERO;
        for l in 0..LANES {
            let moved = self.sx[i][l] * self.v[j][l] + self.sv[i][l] * self.x[j][l];
            out[l] = self.zr[i][l] * self.u[j][l] - 0.5 * moved;
        }
        out
    }
}

/// out += a x.
#[inline(always)]
fn add(out: &mut Lanes, a: f64, x: &Lanes) {
    for l in 0..LANES {
        out[l] += a * x[l];
    }
}

/// One value of each row in all lanes.
fn repeat(values: &[f64], out: &mut [Lanes]) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out = [*value; LANES]);
}
