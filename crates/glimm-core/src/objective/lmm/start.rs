//! Where the climb begins: variances by the method of moments.

use super::Lmm;
use super::effects::Linear;
use super::profile::zeros;
use crate::objective::geometry::Factors;
use crate::suffstat::Moments;

/// Least and largest relative standard deviation of an effect at the start.
const LEAST: f64 = 0.2;
const LARGEST: f64 = 1e3;
/// The residual variance is at least this part of all variance.
const LEAST_RESIDUAL: f64 = 0.02;
const ROUNDS: usize = 5;

/// What one kind of effect says of its variance: sums over levels of (Z'e)^2, of S and of S^2.
struct Says {
    a2: f64,
    s: f64,
    s2: f64,
}

impl Lmm {
    /// Relative standard deviations from E (Z'e)_g^2 = sigma^2 S_g + sd^2 S_g^2, other effects left aside.
    pub fn start(&mut self) -> Vec<f64> {
        let m = &self.working;
        let says = self.algebra.with(|e| summaries(e, m));
        let total = m.ww[m.ww.len() - 1] / m.n;
        let mut residual = total;
        let mut variances: Vec<Vec<f64>> = Vec::new();
        for _ in 0..ROUNDS {
            let of = |x: &Says| if x.s2 > 0.0 { ((x.a2 - residual * x.s) / x.s2).max(0.0) } else { 0.0 };
            variances = says.iter().map(|term| term.iter().map(of).collect()).collect();
            let share = |(x, v): (&Says, &f64)| v * x.s / m.n;
            let explained: f64 = says.iter().flatten().zip(variances.iter().flatten()).map(share).sum();
            residual = (total - explained).max(LEAST_RESIDUAL * total);
        }
        let terms = self.skeleton.terms.iter().zip(&variances);
        terms
            .flat_map(|(term, v)| {
                let sd = |v: &f64| (v / residual).sqrt().clamp(LEAST, LARGEST);
                let q = term.effects();
                let mut tau = term.structure.start(1.0);
                let mut scales = vec![0.0; q * q];
                v.iter().enumerate().for_each(|(j, v)| scales[j * q + j] = sd(v));
                term.structure.transform(&mut tau, &scales);
                tau
            })
            .collect()
    }
}

fn summaries(e: &mut dyn Linear, m: &Moments) -> Vec<Vec<Says>> {
    let sizes = e.sizes();
    let single: Factors = sizes.iter().map(|q| vec![0.0; q * q]).collect();
    let identity: Factors =
        sizes.iter().map(|&q| (0..q * q).map(|i| f64::from(u8::from(i / q == i % q))).collect()).collect();
    let mut ones = vec![0.0; m.zz.len()];
    e.add_identity(&mut ones);
    let ze = &m.zw[(m.width - 1) * e.vector_len()..];
    let (mut a2, mut s) = (zeros(&single), zeros(&single));
    e.add_dyads(ze, ze, &mut a2);
    e.subtract_product(&m.zz, &identity, &ones, &mut s);
    let one = |t: usize, k: usize| {
        let (at, mut only, mut s2) = (k * sizes[t] + k, single.clone(), zeros(&single));
        only[t][at] = 1.0;
        e.subtract_product(&m.zz, &only, &m.zz, &mut s2);
        Says { a2: a2[t][at], s: -s[t][at], s2: -s2[t][at] }
    };
    (0..sizes.len()).map(|t| (0..sizes[t]).map(|k| one(t, k)).collect()).collect()
}
