//! Weighted sums over draws, on a scale set by the largest weight so far.

use super::sampler::{Batch, LANES, Lanes};
use crate::special::vectorized;

/// Antithetic pairs of a batch.
const PAIRS: usize = LANES / 2;

/// Sums over draws with weight w and over pairs, whose weights are W and whose weighted scores are T.
pub struct Tally {
    /// The largest log weight; weights below are divided by it.
    top: f64,
    draws: f64,
    w: f64,
    w2: f64,
    pair_w2: f64,
    /// T, W T and the lower triangle of T T'.
    t: Vec<f64>,
    wt: Vec<f64>,
    tt: Vec<f64>,
    /// T of the last batch.
    pairs: Vec<[f64; PAIRS]>,
}

/// A unit's share of the objective.
pub struct Share {
    pub value: f64,
    /// Variances of the value and of the gradient by chance.
    pub variance: f64,
    pub gradient: Vec<f64>,
    pub noise: Vec<f64>,
    /// (sum of w)^2 over the sum of w^2.
    pub effective: f64,
}

impl Tally {
    pub fn new(parameters: usize) -> Tally {
        let (vector, matrix) = (vec![0.0; parameters], vec![0.0; parameters * parameters]);
        Tally {
            top: f64::NEG_INFINITY,
            draws: 0.0,
            w: 0.0,
            w2: 0.0,
            pair_w2: 0.0,
            t: vector.clone(),
            wt: vector,
            tt: matrix,
            pairs: vec![[0.0; PAIRS]; parameters],
        }
    }

    /// Adds a batch, of which lane l and lane l + PAIRS are a pair.
    pub fn add(&mut self, batch: &Batch) {
        self.raise(batch.log_weights.iter().fold(self.top, |most, l| most.max(*l)));
        let w = batch.log_weights.map(|l| (l - self.top).exp());
        self.draws += LANES as f64;
        vectorized(
            #[inline(always)]
            || self.add_pairs(&w, &batch.score),
        );
    }

    #[inline(always)]
    fn add_pairs(&mut self, w: &Lanes, score: &[Lanes]) {
        let (p, mut weights) = (score.len(), [0.0; PAIRS]);
        for l in 0..PAIRS {
            weights[l] = w[l] + w[l + PAIRS];
            self.w += weights[l];
            self.w2 += w[l] * w[l] + w[l + PAIRS] * w[l + PAIRS];
        }
        self.pair_w2 += inner(&weights, &weights);
        for i in 0..p {
            let mut t = [0.0; PAIRS];
            for l in 0..PAIRS {
                t[l] = weighted(w[l], score[i][l]) + weighted(w[l + PAIRS], score[i][l + PAIRS]);
            }
            self.pairs[i] = t;
            self.t[i] += inner(&t, &[1.0; PAIRS]);
            self.wt[i] += inner(&t, &weights);
            for j in 0..=i {
                self.tt[i * p + j] += inner(&t, &self.pairs[j]);
            }
        }
    }

    /// Brings all sums to the scale of a larger weight.
    fn raise(&mut self, top: f64) {
        if top == self.top || top == f64::NEG_INFINITY {
            return;
        }
        let (once, twice) = ((self.top - top).exp(), (2.0 * (self.top - top)).exp());
        self.top = top;
        self.w *= once;
        self.t.iter_mut().for_each(|x| *x *= once);
        self.w2 *= twice;
        self.pair_w2 *= twice;
        self.wt.iter_mut().chain(&mut self.tt).for_each(|x| *x *= twice);
    }

    /// Adds the sums over other draws.
    pub fn merge(&mut self, other: &Tally) {
        self.raise(self.top.max(other.top));
        let (once, twice) = ((other.top - self.top).exp(), (2.0 * (other.top - self.top)).exp());
        let add = |sum: &mut [f64], x: &[f64], scale: f64| sum.iter_mut().zip(x).for_each(|(s, x)| *s += scale * x);
        self.draws += other.draws;
        self.w += once * other.w;
        self.w2 += twice * other.w2;
        self.pair_w2 += twice * other.pair_w2;
        add(&mut self.t, &other.t, once);
        add(&mut self.wt, &other.wt, twice);
        add(&mut self.tt, &other.tt, twice);
    }

    /// With W' = W / mean W and T' = T / mean W over the pairs and g = mean T', chance moves log mean W by the mean of
    /// W' - 1 and g by that of T' - g W'; the biases of both, of second order, are taken off.
    pub fn share(&self) -> Share {
        let (p, pairs) = (self.t.len(), self.draws / 2.0);
        let g: Vec<f64> = self.t.iter().map(|t| t / self.w).collect();
        let w2 = self.w * self.w;
        let variance = (self.pair_w2 / w2 - 1.0 / pairs).max(0.0);
        let along = |i: usize| (self.wt[i] - g[i] * self.pair_w2) / w2;
        let noise = |i: usize, j: usize| {
            (self.tt[i.max(j) * p + i.min(j)] - g[i] * self.wt[j] - g[j] * self.wt[i] + g[i] * g[j] * self.pair_w2) / w2
        };
        Share {
            value: self.top + (self.w / self.draws).ln() + 0.5 * variance,
            variance,
            gradient: (0..p).map(|i| g[i] + along(i)).collect(),
            noise: (0..p * p).map(|k| noise(k / p, k % p)).collect(),
            effective: w2 / self.w2,
        }
    }
}

/// A draw without weight may be without derivatives too.
#[inline(always)]
fn weighted(w: f64, x: f64) -> f64 {
    if w == 0.0 { 0.0 } else { w * x }
}

#[inline(always)]
fn inner(a: &[f64; PAIRS], b: &[f64; PAIRS]) -> f64 {
    let mut sum = 0.0;
    for l in 0..PAIRS {
        sum += a[l] * b[l];
    }
    sum
}
