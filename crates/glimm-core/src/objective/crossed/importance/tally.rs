//! Weighted sums over draws, on a scale set by the largest weight so far.

use super::sampler::{Batch, LANES};

/// Sums over draws with weight w and over pairs, whose weights are W and whose weighted scores are T.
pub struct Tally {
    /// The largest log weight; weights below are divided by it.
    top: f64,
    draws: f64,
    w: f64,
    w2: f64,
    pair_w2: f64,
    /// T, W T and T T'.
    t: Vec<f64>,
    wt: Vec<f64>,
    tt: Vec<f64>,
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
        }
    }

    /// Adds a batch, of which lane l and lane l + LANES / 2 are a pair.
    pub fn add(&mut self, batch: &Batch) {
        let p = self.t.len();
        self.raise(batch.log_weights.iter().fold(self.top, |most, l| most.max(*l)));
        self.draws += LANES as f64;
        let mut pair = vec![0.0; p];
        for first in 0..LANES / 2 {
            let (mut weight, mut any) = (0.0, false);
            pair.fill(0.0);
            for lane in [first, first + LANES / 2] {
                let w = (batch.log_weights[lane] - self.top).exp();
                // A draw without weight may be without derivatives too.
                if w == 0.0 {
                    continue;
                }
                (weight, any) = (weight + w, true);
                self.w2 += w * w;
                pair.iter_mut().zip(&batch.score).for_each(|(t, s)| *t += w * s[lane]);
            }
            if any {
                self.add_pair(weight, &pair);
            }
        }
    }

    fn add_pair(&mut self, weight: f64, t: &[f64]) {
        let p = t.len();
        self.w += weight;
        self.pair_w2 += weight * weight;
        for i in 0..p {
            self.t[i] += t[i];
            self.wt[i] += weight * t[i];
            for j in 0..p {
                self.tt[i * p + j] += t[i] * t[j];
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
            (self.tt[i * p + j] - g[i] * self.wt[j] - g[j] * self.wt[i] + g[i] * g[j] * self.pair_w2) / w2
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
