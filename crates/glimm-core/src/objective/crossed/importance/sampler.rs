//! Draws of a unit's effects with their log weights and the derivatives of the complete data's log density.
//!
//! Draws stand side by side in lanes, so that loops over rows and effects become vector instructions.

use std::ops::Range;

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::proposal::Proposal;
use super::units::Unit;
use crate::design::Column;
use crate::family::{self, Derivs, Random, Want};
use crate::objective::chain::Chain;
use crate::objective::crossed::Crossed;
use crate::objective::geometry::Factors;
use crate::objective::laplace::sorted;
use crate::special::vectorized;

/// Draws of a batch: half of them, and their antithetic partners.
pub const LANES: usize = 16;
pub type Lanes = [f64; LANES];

const ZERO: Lanes = [0.0; LANES];
/// Rows looked at together.
const STRIP: usize = 64;
/// The seed of all draws: equal data give equal bits.
const SEED: u64 = 20_260_102;

/// A parameter's part in a linear predictor: d eta^k / d psi_j of a row, given the effects.
struct Slope<'a> {
    parameter: usize,
    predictor: usize,
    source: Source<'a>,
}

enum Source<'a> {
    Fixed(&'a Column),
    /// A column z times an effect of dLambda u, the `moved`-th such, of the level in `codes`.
    Random {
        z: &'a Column,
        codes: &'a [u32],
        moved: usize,
        effect: usize,
        q: usize,
    },
}

/// Everything that the draws of a unit share.
pub struct Sampler<'a> {
    unit: &'a Crossed,
    proposal: &'a Proposal,
    lambda: Factors,
    /// dLambda of each of the terms' parameters: (term, matrix).
    derivatives: Vec<(usize, Vec<f64>)>,
    slopes: Vec<Slope<'a>>,
    want: Want,
}

/// Log weights, scores s and information J of the draws of a batch.
pub struct Batch {
    pub log_weights: Lanes,
    pub score: Vec<Lanes>,
    /// Empty where it is not wanted.
    pub information: Vec<Lanes>,
}

impl<'a> Sampler<'a> {
    /// At parameters `psi`, with the information J if `second`. Lambda is taken to be linear in its parameters.
    pub fn new(unit: &'a Unit, proposal: &'a Proposal, psi: &[f64], second: bool) -> Sampler<'a> {
        let crossed = &unit.crossed;
        let chain = Chain::new(&crossed.data, &crossed.layout, psi);
        let thetas = crossed.layout.theta.iter().enumerate();
        let derivatives: Vec<(usize, Vec<f64>)> = thetas
            .flat_map(|(t, r)| (0..r.len()).map(move |j| (t, j)))
            .map(|(t, j)| (t, chain.derivative(t, j).to_vec()))
            .collect();
        let mut slopes = fixed_slopes(crossed);
        for (moved, (t, derivative)) in derivatives.iter().enumerate() {
            let (term, q) = (&crossed.data.terms[*t], crossed.data.terms[*t].effects());
            let moves = |effect: &usize| derivative[effect * q..(effect + 1) * q].iter().any(|d| *d != 0.0);
            slopes.extend((0..q).filter(moves).map(|effect| Slope {
                parameter: crossed.layout.fixed() + moved,
                predictor: term.predictors[effect],
                source: Source::Random { z: &term.columns[effect], codes: &term.codes, moved, effect, q },
            }));
        }
        let want = Want { dims: crossed.data.predictors.len(), order: if second { 2 } else { 1 }, value: true };
        Sampler { unit: crossed, proposal, lambda: crossed.lambda(psi), derivatives, slopes, want }
    }

    pub fn rows(&self) -> usize {
        self.unit.data.n()
    }
}

fn fixed_slopes(unit: &Crossed) -> Vec<Slope<'_>> {
    let of = |(k, range): (usize, &Range<usize>)| {
        let columns = &unit.data.predictors[k].columns;
        let slope = |(parameter, column)| Slope { parameter, predictor: k, source: Source::Fixed(column) };
        range.clone().zip(columns).map(slope).collect::<Vec<_>>()
    };
    unit.layout.beta.iter().enumerate().flat_map(of).collect()
}

/// One thread's room for a batch.
pub struct Work<'a> {
    sampler: &'a Sampler<'a>,
    /// z, then u, and what is needed on the way.
    u: Vec<Lanes>,
    rest: Vec<Lanes>,
    /// Lambda u, and dLambda u by parameter.
    b: Vec<Lanes>,
    moved: Vec<Vec<Lanes>>,
    /// Over the rows of a strip: linear predictors, responses, sizes, frequency weights, derivatives.
    eta: Vec<Vec<Lanes>>,
    y: Vec<Lanes>,
    size: Vec<Lanes>,
    freq: Vec<Lanes>,
    derivs: Derivs,
    /// d eta / d psi of one row, by slope.
    slopes: Vec<Lanes>,
    batch: Batch,
}

impl<'a> Work<'a> {
    pub fn new(sampler: &'a Sampler<'a>) -> Work<'a> {
        let (pattern, layout) = (&sampler.unit.pattern, &sampler.unit.layout);
        let (effects, p) = (pattern.effects(), layout.total);
        let strip = || vec![ZERO; STRIP];
        Work {
            sampler,
            u: vec![ZERO; effects],
            rest: vec![ZERO; sampler.proposal.root.rest_len()],
            b: vec![ZERO; effects],
            moved: sampler.derivatives.iter().map(|(t, _)| vec![ZERO; pattern.term(*t).len()]).collect(),
            eta: sampler.unit.data.predictors.iter().map(|_| strip()).collect(),
            y: strip(),
            size: strip(),
            freq: strip(),
            derivs: Derivs::default(),
            slopes: vec![ZERO; sampler.slopes.len()],
            batch: Batch {
                log_weights: ZERO,
                score: vec![ZERO; p],
                information: if sampler.want.order > 1 { vec![ZERO; p * p] } else { Vec::new() },
            },
        }
    }

    /// The draws of a stream of the generator.
    pub fn batch(&mut self, stream: u64) -> &Batch {
        self.draw(stream);
        self.batch.score.fill(ZERO);
        self.batch.information.fill(ZERO);
        let n = self.sampler.rows();
        for first in (0..n).step_by(STRIP) {
            self.strip(first..n.min(first + STRIP));
        }
        &self.batch
    }

    /// u = m + S z with the part of its log weight that needs no rows, and the effects made of u.
    fn draw(&mut self, stream: u64) {
        let (proposal, mut rng) = (self.sampler.proposal, Random::seed_from_u64(SEED));
        rng.set_stream(stream);
        let mut log_weights = [-0.5 * proposal.root.log_determinant; LANES];
        for z in &mut self.u {
            for l in 0..LANES / 2 {
                z[l] = StandardNormal.sample(&mut rng);
                z[l + LANES / 2] = -z[l];
            }
            (0..LANES).for_each(|l| log_weights[l] += 0.5 * z[l] * z[l]);
        }
        proposal.root.spread(&mut self.u, &mut self.rest);
        for (u, m) in self.u.iter_mut().zip(&proposal.mean) {
            for l in 0..LANES {
                u[l] += m;
                log_weights[l] -= 0.5 * u[l] * u[l];
            }
        }
        self.batch.log_weights = log_weights;
        let pattern = &self.sampler.unit.pattern;
        for (t, lambda) in self.sampler.lambda.iter().enumerate() {
            multiply(lambda, &self.u[pattern.term(t)], pattern.sizes[t], &mut self.b[pattern.term(t)]);
        }
        for ((t, derivative), moved) in self.sampler.derivatives.iter().zip(&mut self.moved) {
            multiply(derivative, &self.u[pattern.term(*t)], pattern.sizes[*t], moved);
        }
    }

    /// Adds the part of some rows.
    fn strip(&mut self, rows: Range<usize>) {
        let (data, count) = (&self.sampler.unit.data, rows.len());
        vectorized(
            #[inline(always)]
            || self.linear_predictors(rows.clone()),
        );
        repeat(&data.y[rows.clone()], &mut self.y);
        if let Some(size) = &data.size {
            repeat(&size[rows.clone()], &mut self.size);
        }
        let size = data.size.as_ref().map(|_| self.size[..count].as_flattened());
        let eta: Vec<&[f64]> = self.eta.iter().map(|e| e[..count].as_flattened()).collect();
        let want = self.sampler.want;
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

    /// Adds f to the log weights, s = G'r and J = G'WG, where G holds the slopes of the rows.
    #[inline(always)]
    fn add_rows(&mut self, rows: Range<usize>) {
        let slopes = &self.sampler.slopes;
        for (at, i) in rows.enumerate() {
            let here = |component: &[f64]| -> Lanes { component.as_chunks::<LANES>().0[at] };
            add(&mut self.batch.log_weights, 1.0, &here(self.derivs.value()));
            for (slope, out) in slopes.iter().zip(&mut self.slopes) {
                *out = slope.at(i, &self.moved);
            }
            for (slope, g) in slopes.iter().zip(&self.slopes) {
                add_product(&mut self.batch.score[slope.parameter], g, &here(self.derivs.get(&[slope.predictor])));
            }
            if self.sampler.want.order > 1 {
                let second = |k: usize, l: usize| here(self.derivs.get(&sorted([k, l])));
                add_information(slopes, &self.slopes, second, &mut self.batch);
            }
        }
    }
}

impl Slope<'_> {
    /// In row `i`.
    #[inline(always)]
    fn at(&self, i: usize, moved: &[Vec<Lanes>]) -> Lanes {
        match self.source {
            Source::Fixed(x) => [x.at(i); LANES],
            Source::Random { z, codes, moved: which, effect, q } => {
                let mut out = ZERO;
                add(&mut out, z.at(i), &moved[which][codes[i] as usize * q + effect]);
                out
            }
        }
    }
}

/// J += g W g' of one row.
#[inline(always)]
fn add_information(slopes: &[Slope<'_>], g: &[Lanes], second: impl Fn(usize, usize) -> Lanes, batch: &mut Batch) {
    let p = batch.score.len();
    for (a, slope) in slopes.iter().enumerate() {
        for (b, other) in slopes.iter().enumerate().take(a + 1) {
            let (mut product, w) = (g[a], second(slope.predictor, other.predictor));
            for l in 0..LANES {
                product[l] *= -w[l];
            }
            add_product(&mut batch.information[slope.parameter * p + other.parameter], &product, &g[b]);
            if a != b {
                add_product(&mut batch.information[other.parameter * p + slope.parameter], &product, &g[b]);
            }
        }
    }
}

/// out += a x.
#[inline(always)]
fn add(out: &mut Lanes, a: f64, x: &Lanes) {
    for l in 0..LANES {
        out[l] += a * x[l];
    }
}

/// out += x y.
#[inline(always)]
fn add_product(out: &mut Lanes, x: &Lanes, y: &Lanes) {
    for l in 0..LANES {
        out[l] += x[l] * y[l];
    }
}

/// out = F u, level by level.
fn multiply(f: &[f64], u: &[Lanes], q: usize, out: &mut [Lanes]) {
    for (u, out) in u.chunks_exact(q).zip(out.chunks_exact_mut(q)) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = ZERO;
            u.iter().zip(&f[i * q..(i + 1) * q]).for_each(|(u, f)| add(out, *f, u));
        }
    }
}

/// One value of each row in all lanes.
fn repeat(values: &[f64], out: &mut [Lanes]) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out = [*value; LANES]);
}
