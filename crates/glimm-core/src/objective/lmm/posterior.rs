//! Modes of the random effects and their conditional covariances, for every level.

use super::Lmm;
use super::profile::{Given, Profile, profile};
use crate::objective::Posterior;
use crate::objective::geometry::Factors;
use crate::suffstat::Moments;

impl Lmm {
    /// b = Lambda u and sigma^2 Lambda C Lambda' at a relative factor, with coefficients and sigma following.
    pub fn posterior_at(&self, tau: &[f64]) -> Option<Posterior> {
        let lambda = self.lambda(tau);
        // Those of equal groups remain together, but for what each says of its modes.
        let (full, apart) = (&self.rows.moments, !self.is_crossed());
        let mixed = apart.then(|| Moments { zw: full.zw.clone(), ..self.working.clone() });
        let m = mixed.as_ref().unwrap_or(full);
        let stored = self.settled.as_ref().filter(|_| self.is_crossed() && tau == self.last);
        let (b, covariance) = self.algebra.with_all_levels(|e| {
            let fresh: Profile;
            let at = match stored {
                Some(at) => at,
                None => {
                    fresh = profile(e, m, &lambda, self.reml, Given::default()).ok()?;
                    &fresh
                }
            };
            let scaled: Factors = lambda.iter().map(|f| f.iter().map(|l| l * at.sigma2()).collect()).collect();
            let (mut b, mut covariance) = (vec![0.0; e.vector_len()], vec![0.0; m.zz.len()]);
            e.apply(&lambda, &at.u[..e.vector_len()], &mut b);
            e.add_outer(&scaled, &at.c, &lambda, &mut covariance);
            Some((b, covariance))
        })?;
        let terms = 0..self.skeleton.terms.len();
        Some(Posterior {
            modes: terms.clone().map(|t| self.algebra.modes(t, &b)).collect(),
            covariances: terms.map(|t| self.algebra.own_covariances(t, &covariance)).collect(),
        })
    }
}
