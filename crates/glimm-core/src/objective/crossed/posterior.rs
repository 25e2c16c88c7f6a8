//! Draws of the random effects given the responses, at given parameters.
//!
//! Several factors: first jointly from the normal approximation at the modes, with standard normal e_1 by row and e_2 by
//! effect,
//!
//! ```text
//! H x = Lambda'Z'W^1/2 e_1 + P^1/2 e_2:   x ~ N(0, H^-1),   H = P + Lambda'Z'WZ Lambda
//! ```
//!
//! (Papandreou and Yuille 2010, Adv. Neural Inf. Process. Syst. 23), exact for Gaussian responses; then sweeps over the
//! factors, each of which leaves the posterior as it is and takes out what the approximation has wrong where it is most
//! wrong, within levels with few rows. One factor: levels are independent, and one sweep from anywhere will do. Levels that
//! hang together, by a known relation or by rows that belong to several, are left at the normal approximation.

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::Crossed;
use super::cells::Cells;
use super::metropolis::{Levels, Start};
use super::pattern::{Pattern, Prior};
use super::rows::Rows;
use crate::family::{Random, Want, component_offset};
use crate::linalg::dense;
use crate::objective::geometry::{Effects, Geometry};
use crate::objective::laplace::Patch;
use crate::objective::{Reject, chain};

/// Squared Newton decrement at which the search for the modes ends.
const TOLERANCE: f64 = 1e-8;
/// Sweeps over all factors where there are several.
const SWEEPS: u64 = 6;
/// Keeps these streams apart from those of simulated responses of the same seed.
const SALT: u64 = 0x9E37_79B9_7F4A_7C15;

/// The generator number `part` of a draw.
pub(super) fn generator(seed: u64, replicate: u64, part: u64) -> Random {
    let mut rng = Random::seed_from_u64(seed ^ SALT);
    rng.set_stream((replicate << 40) | part);
    rng
}

impl Crossed {
    /// One draw of all random effects given the responses, at parameters `psi`: u, standard normal before the responses are
    /// known, levels x effects by term. The same for any number of threads.
    pub fn draw(&mut self, psi: &[f64], seed: u64, replicate: u64) -> Result<Vec<Vec<f64>>, Reject> {
        let lambda = chain::factors(&self.data, &self.layout, psi);
        let solver = self.solver.take().unwrap_or_else(|| self.plan.solver());
        self.factored = false;
        let mut u = vec![0.0; self.pattern.effects()];
        let mut patch = self.patch(solver, &lambda, &mut u);
        patch.set_fixed(psi);
        let several = self.pattern.groupings.len() > 1 || self.pattern.all_tied();
        let linear = self.data.family.affine();
        if several {
            patch.find_modes(TOLERANCE, false, &self.control)?;
            patch.spread(&mut generator(seed, replicate, 0))?;
        }
        let (sweeps, start) = match (several, linear) {
            (true, true) => (0, Start::Here),
            (true, false) => (SWEEPS, Start::Here),
            (false, true) => (1, Start::Exact),
            (false, false) => (1, Start::Anew),
        };
        let factors: Vec<Levels<'_>> = match sweeps {
            0 => Vec::new(),
            _ => {
                let free = self.pattern.groupings.iter().filter(|g| !g.tied);
                free.map(|g| Levels::new(&self.data, &self.pattern, g, &lambda)).collect()
            }
        };
        for sweep in 0..sweeps {
            for (f, levels) in factors.iter().enumerate() {
                super::super::proceed(&self.control)?;
                patch.linear_predictors();
                let part = ((sweep * factors.len() as u64 + f as u64) + 1) << 32;
                levels.draw(&patch.eta, patch.u, start, |chunk| generator(seed, replicate, part | chunk))?;
            }
        }
        self.solver = Some(patch.geometry.solver);
        Ok((0..self.data.terms.len()).map(|t| u[self.pattern.term(t)].to_vec()).collect())
    }
}

impl Pattern {
    /// A draw of N(0, P): P^1/2 e, or P v with v ~ N(0, P^-1).
    fn prior_noise(&self, rng: &mut Random) -> Vec<f64> {
        let mut noise: Vec<f64> = (0..self.effects()).map(|_| StandardNormal.sample(rng)).collect();
        for (t, prior) in self.priors.iter().enumerate() {
            let e = &mut noise[self.term(t)];
            match prior {
                Prior::Each(precision) => e.iter_mut().for_each(|e| *e *= precision.sqrt()),
                Prior::Known(known, _) => {
                    known.colour(e, self.sizes[t]);
                    known.times(e, self.sizes[t]);
                }
            }
        }
        noise
    }
}

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// Moves u from the modes to a draw of N(u, H^-1).
    fn spread(&mut self, rng: &mut Random) -> Result<(), Reject> {
        let r = self.random;
        self.linear_predictors();
        self.row_derivatives(0..self.rows, Want { dims: r, order: 2, value: false });
        let noise = self.noise_of_rows(rng);
        let mut sums = vec![0.0; self.u.len()];
        noise.iter().enumerate().for_each(|(k, noise)| self.geometry.sum(k, noise, &mut sums));
        let mut x = vec![0.0; self.u.len()];
        self.geometry.apply_transpose(self.lambda, &sums, &mut x);
        let e = self.geometry.pattern.prior_noise(rng);
        x.iter_mut().zip(&e).for_each(|(x, e)| *x += e);
        let mut s = vec![0.0; self.geometry.matrix_len()];
        self.curvature(&mut s);
        let h = self.penalised(&s);
        self.geometry.factorise(&h).ok_or(Reject::NotPositiveDefinite)?;
        self.geometry.solve(&mut x);
        self.u.iter_mut().zip(&x).for_each(|(u, x)| *u += x);
        Ok(())
    }

    /// W^1/2 e of each row and predictor. Rows whose W is not positive definite lose what bends the wrong way, here and in
    /// the derivatives that H is made of.
    fn noise_of_rows(&mut self, rng: &mut Random) -> Vec<Vec<f64>> {
        let r = self.random;
        let mut noise = vec![vec![0.0; self.rows]; r];
        let place = |k: usize, l: usize| component_offset(r, &[k.min(l), k.max(l)]);
        let (mut w, mut e) = (vec![0.0; r * r], vec![0.0; r]);
        for i in 0..self.rows {
            for k in 0..r * r {
                w[k] = -self.derivs.component(place(k / r, k % r))[i];
            }
            let diagonal: Vec<f64> = (0..r).map(|k| w[k * r + k].max(0.0)).collect();
            if !dense::cholesky(&mut w, r) {
                w.fill(0.0);
                for k in 0..r {
                    (0..k).for_each(|l| self.derivs.component_mut(place(k, l))[i] = 0.0);
                    self.derivs.component_mut(place(k, k))[i] = -diagonal[k];
                    w[k * r + k] = diagonal[k].sqrt();
                }
            }
            e.iter_mut().for_each(|e| *e = StandardNormal.sample(rng));
            for k in 0..r {
                noise[k][i] = (0..=k).map(|j| w[k * r + j] * e[j]).sum();
            }
        }
        noise
    }
}
