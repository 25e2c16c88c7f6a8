//! Random effects given the responses, in the order of the levels.

use super::Block;
use crate::linalg::dense;
use crate::objective::Posterior;

impl Block {
    /// Modes and conditional covariances, term by term and level by level.
    pub(super) fn modes_by_level(&self) -> Posterior {
        let (q, lambda) = (self.q(), self.lambda(&self.last));
        let steps = self.steps(&self.last, false);
        let terms = &self.shape.terms;
        let mut posterior = Posterior {
            modes: terms.iter().map(|t| vec![0.0; self.levels * t.effects()]).collect(),
            covariances: terms.iter().map(|t| vec![0.0; self.levels * t.effects() * t.effects()]).collect(),
        };
        let (mut u, mut c, mut b, mut covariance) = (vec![0.0; q], vec![0.0; q * q], vec![0.0; q], vec![0.0; q * q]);
        for (t, tile) in self.tiles.iter().enumerate().filter(|_| q > 0) {
            for lane in 0..tile.groups {
                match &steps {
                    Some(steps) => self.series_posterior(steps, t, lane, &mut b, &mut covariance),
                    None => {
                        (0..q).for_each(|i| u[i] = self.u[t * q + i].0[lane]);
                        (0..q * q).for_each(|i| c[i] = self.inverse[t * q * q + i].0[lane]);
                        dense::matvec(&lambda, &u, q, &mut b);
                        covariance.fill(0.0);
                        dense::each_sandwich::<false>(q, &lambda, &c, &lambda, &mut covariance);
                    }
                }
                self.scatter(&b, &covariance, self.places.level[tile.group + lane] as usize, &mut posterior);
            }
        }
        self.fill_absent(&lambda, &mut posterior);
        posterior
    }

    /// Writes one group's modes and covariance at its level, term by term.
    fn scatter(&self, b: &[f64], covariance: &[f64], level: usize, out: &mut Posterior) {
        let (q, mut first) = (self.q(), 0);
        for (t, term) in self.shape.terms.iter().enumerate() {
            let size = term.effects();
            out.modes[t][level * size..(level + 1) * size].copy_from_slice(&b[first..first + size]);
            let own = &mut out.covariances[t][level * size * size..(level + 1) * size * size];
            for (i, own) in own.chunks_exact_mut(size.max(1)).enumerate() {
                own.copy_from_slice(&covariance[(first + i) * q + first..][..size]);
            }
            first += size;
        }
    }

    /// Levels without rows keep their prior: mode zero, covariance Lambda Lambda'.
    fn fill_absent(&self, lambda: &[f64], out: &mut Posterior) {
        let q = self.q();
        let mut present = vec![false; self.levels];
        self.places.level.iter().filter(|_| q > 0).for_each(|&l| present[l as usize] = true);
        if !present.contains(&false) {
            return;
        }
        let mut prior = vec![0.0; q * q];
        dense::matmul_nt(lambda, lambda, q, &mut prior);
        for level in (0..self.levels).filter(|&l| !present[l]) {
            self.scatter(&vec![0.0; q], &prior, level, out);
        }
    }
}
