//! The noise from which an iterative engine draws, and what the draws' number leaves uncertain.

use rand::{RngExt, SeedableRng};

use super::Crossed;
use super::cells::Cells;
use super::iterative::DRAWS;
use super::rows::Rows;
use crate::design::Column;
use crate::family::{Random, Want};
use crate::objective::Reject;
use crate::objective::chain;
use crate::objective::chain::Chain;
use crate::objective::geometry::Effects;
use crate::objective::laplace::Patch;
use crate::special::vectorized;

/// The seed of all draws: equal data give equal bits.
const SEED: u64 = 20_260_101;
/// Rows or effects that share a stream of the generator.
const BLOCK: usize = 4096;
/// Draws of a batch; the scores of batches differ by chance alone.
const BATCH: usize = 2;

/// Random signs, up to 64 per row and per effect.
pub struct Signs {
    rows: Vec<u64>,
    pub effects: Vec<u64>,
}

impl Signs {
    pub fn new(rows: usize, effects: usize) -> Signs {
        let words = |kind: u64, count: usize| {
            let mut words = Vec::with_capacity(count);
            for first in (0..count).step_by(BLOCK) {
                let mut rng = Random::seed_from_u64(SEED);
                rng.set_stream((kind << 40) | (first / BLOCK) as u64);
                words.extend((first..count.min(first + BLOCK)).map(|_| rng.random::<u64>()));
            }
            words
        };
        Signs { rows: words(0, rows), effects: words(1, effects) }
    }
}

/// out_m += +-value, with the sign of draw m from bit m.
#[inline(always)]
fn add_signed(value: f64, signs: u64, out: &mut [f64]) {
    for (m, out) in out.iter_mut().enumerate() {
        *out += f64::from_bits(value.to_bits() ^ ((signs >> m) << 63));
    }
}

impl Rows<'_> {
    /// Z'(row e) for every draw e of signs, interleaved; `first` effect of each term.
    fn sum_signed(&self, row: &[f64], signs: &Signs, first: impl Fn(usize) -> usize, out: &mut [f64]) {
        for (t, term) in self.data.terms.iter().enumerate() {
            let (first, q) = (first(t), term.effects());
            for (c, column) in term.columns.iter().enumerate() {
                vectorized(
                    #[inline(always)]
                    || {
                        for (i, ((&row, &signs), &code)) in row.iter().zip(&signs.rows).zip(&term.codes).enumerate() {
                            let value = if let Column::Values(z) = column { z[i] * row } else { row };
                            let at = (first + code as usize * q + c) * DRAWS;
                            add_signed(value, signs, &mut out[at..at + DRAWS]);
                        }
                    },
                );
            }
        }
    }
}

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// n = Lambda'Z'W^1/2 e_1 + e_2 with random signs e at the present modes: its covariance is H. For
    /// one predictor with random effects and W >= 0.
    pub(super) fn noise(&mut self, signs: &Signs) -> Vec<f64> {
        self.linear_predictors();
        self.row_derivatives(0..self.rows, Want { dims: 1, order: 2, value: false });
        let root: Vec<f64> = self.derivs.get(&[0, 0]).iter().map(|f| (-f).max(0.0).sqrt()).collect();
        let pattern = self.geometry.pattern;
        let mut sums = vec![0.0; self.u.len() * DRAWS];
        self.geometry.rows.sum_signed(&root, signs, |t| pattern.term(t).start, &mut sums);
        let mut noise = vec![0.0; sums.len()];
        for (t, lambda) in self.lambda.iter().enumerate() {
            let (q, at) = (pattern.sizes[t], pattern.term(t));
            let numbers = at.start * DRAWS..at.end * DRAWS;
            let levels = sums[numbers.clone()].chunks_exact(q * DRAWS);
            for (sum, noise) in levels.zip(noise[numbers].chunks_exact_mut(q * DRAWS)) {
                for i in 0..q {
                    for j in 0..q {
                        let times = lambda[j * q + i];
                        (0..DRAWS).for_each(|m| noise[i * DRAWS + m] += times * sum[j * DRAWS + m]);
                    }
                }
            }
        }
        for (noise, &signs) in noise.chunks_exact_mut(DRAWS).zip(&signs.effects) {
            add_signed(1.0, signs, noise);
        }
        noise
    }
}

/// What chance leaves uncertain at a point.
pub struct Chance {
    /// Covariance of the gradient, row by row.
    pub score: Vec<f64>,
    /// What the value lacks, and its standard error.
    pub value: f64,
    pub value_se: f64,
}

impl Crossed {
    /// The uncertainty at the last evaluated point: of the gradient from the scores of batches of
    /// draws, in which it is linear; of the value from quadrature with many probes.
    pub fn chance(&mut self) -> Result<Chance, Reject> {
        let psi = self.last.clone();
        let lambda = chain::factors(&self.data, &self.layout, &psi);
        let chain = Chain::new(&self.data, &self.layout, &psi);
        let solver = self.solver.take().unwrap_or_else(|| self.plan.solver());
        let mut trial = std::mem::take(&mut self.trial);
        let mut patch = self.patch(solver, &lambda, &mut trial);
        patch.set_fixed(&psi);
        let scores = batch_scores(&mut patch, &chain);
        let signs = self.signs.as_ref().map_or(&[][..], |s| &s.effects);
        let remainder = patch.geometry.solver.log_remainder(signs);
        let solver = patch.geometry.solver;
        self.solver = Some(solver);
        self.trial = trial;
        let (log, se) = remainder.ok_or(Reject::NoMode)?;
        Ok(Chance { score: covariance_of_mean(&scores?), value: -0.5 * log, value_se: 0.5 * se })
    }
}

/// The gradients with batches of the draws instead of all.
fn batch_scores(patch: &mut Patch<'_, Cells<'_, Rows<'_>>>, chain: &Chain<'_>) -> Result<Vec<Vec<f64>>, Reject> {
    let (_, mut at) = patch.gradient(3)?;
    let draws = patch.geometry.solver.draws();
    let scores = (0..draws / BATCH).map(|batch| {
        patch.geometry.solver.use_draws(batch * BATCH..(batch + 1) * BATCH);
        patch.geometry.inverse(&mut at.c);
        let share = patch.differentiate(&mut at);
        chain.gradient(&share.beta, &share.lambda)
    });
    let scores = scores.collect();
    patch.geometry.solver.use_draws(0..draws);
    Ok(scores)
}

/// The covariance of the mean of independent vectors.
fn covariance_of_mean(vectors: &[Vec<f64>]) -> Vec<f64> {
    let (count, p) = (vectors.len() as f64, vectors[0].len());
    let mean: Vec<f64> = (0..p).map(|i| vectors.iter().map(|v| v[i]).sum::<f64>() / count).collect();
    let entry = |i: usize, j: usize| vectors.iter().map(|v| (v[i] - mean[i]) * (v[j] - mean[j])).sum::<f64>();
    (0..p * p).map(|k| entry(k / p, k % p) / (count * (count - 1.0))).collect()
}
