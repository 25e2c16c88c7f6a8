//! What is said of a maximum: how good it is, which parameters the data tell, and its random effects.

use super::inference::{self, Identified, Verdict};
use super::path::{self, Engine};
use super::refusals::perfect;
use super::{CONVERGED, Fitted, PERFECT, Path, Problem};
use crate::error::Error;
use crate::integration::Certificate;
use crate::linalg::dense;
use crate::objective::{Evaluation, Objective, Posterior};
use crate::optim::{Outcome, Reason};

impl Problem {
    /// The one pass that took the sums was before the climb.
    pub(super) fn finish_linear(&mut self, outcome: Outcome, last: Evaluation) -> Result<Fitted, Error> {
        if self.residual_sd(&outcome.psi).is_some_and(|sd| sd < PERFECT) {
            return Err(perfect());
        }
        let before = self.objective().passes() - 1.0;
        self.finish(outcome, last, before)
    }

    /// Whether the climb reached the top, and which parameters the data tell there.
    pub(super) fn verdict(&self, outcome: &Outcome, last: &Evaluation) -> Verdict {
        let converged = outcome.decrement < CONVERGED && outcome.reason != Reason::Saddle;
        let unknown = |covariance: &[f64], limit| match &self.engine {
            Engine::Block(block) => block.any_variance_above(covariance, self.layout.total, limit),
            _ => inference::any_variance_above(&self.data, covariance, limit),
        };
        let link = self.data.family.link();
        let mut verdict = inference::verdict(&self.standard, link, last, &outcome.psi, converged, &unknown);
        let beyond = self.limits().into_iter().zip(&outcome.psi).map(|(limit, x)| x.abs() > limit);
        let marked = verdict.identified.iter_mut().zip(beyond).filter(|(_, beyond)| *beyond);
        marked.for_each(|(state, _)| *state = Identified::Runaway);
        self.prior.iter().flat_map(|p| &p.tied).for_each(|t| verdict.tie(t.parameter, t.to));
        verdict
    }

    pub(super) fn finish(&mut self, mut outcome: Outcome, last: Evaluation, before: f64) -> Result<Fitted, Error> {
        self.tie(&mut outcome.psi);
        match &mut self.engine {
            Engine::Block(block) => block.rest(),
            Engine::Crossed(crossed) => crossed.rest(),
            _ => {}
        }
        let mut posterior = self.objective().posterior();
        self.scale_posterior(&mut posterior);
        if let Some(compressed) = &self.compressed {
            compressed.expand(&mut posterior);
        }
        let psi = self.standard.to_user(&outcome.psi);
        let verdict = self.verdict(&outcome, &last);
        self.refuse_runaway(&verdict.identified)?;
        let passes = self.objective().passes() - before;
        Ok(Fitted {
            psi,
            loglik: last.value - self.prior.as_ref().map_or(0.0, |p| p.value(&outcome.psi)) + self.unit_change(),
            verdict,
            posterior,
            reason: outcome.reason,
            iterations: outcome.iterations,
            evaluations: outcome.evaluations + 1,
            passes,
            draws_se: 0.0,
            loglik_se: 0.0,
            certificate: self.uncertified(),
        })
    }

    /// The certificate where the integral is not measured.
    pub(super) fn uncertified(&self) -> Certificate {
        let linear = self.path == Path::Lmm || path::linear(&self.data);
        let exact = linear || self.path == Path::Glm;
        let method = match self.path {
            Path::Glm => "none",
            _ if linear => "closed form",
            _ => "laplace",
        };
        let error = if exact { 0.0 } else { f64::NAN };
        Certificate { method, loglik_error: error, laplace_error: error, nodes: [1; 3], ..Certificate::default() }
    }

    /// Modes and covariances per unit of the user's columns: M b and M C M'.
    fn scale_posterior(&self, posterior: &mut Posterior) {
        for (t, m) in self.standard.effect_maps.iter().enumerate() {
            let q = self.data.terms[t].effects();
            if (0..q * q).all(|i| i / q == i % q || m[i] == 0.0) {
                let units: Vec<f64> = (0..q).map(|i| m[i * q + i]).collect();
                scale(&units, &mut posterior.modes[t], &mut posterior.covariances[t]);
                continue;
            }
            let (mut b, mut c) = (vec![0.0; q], vec![0.0; q * q]);
            for mode in posterior.modes[t].chunks_exact_mut(q) {
                dense::matvec(m, mode, q, &mut b);
                mode.copy_from_slice(&b);
            }
            for covariance in posterior.covariances[t].chunks_exact_mut(q * q) {
                c.fill(0.0);
                dense::each_sandwich::<false>(q, m, covariance, m, &mut c);
                covariance.copy_from_slice(&c);
            }
        }
    }
}

/// M b and M C M' for a diagonal M.
fn scale(m: &[f64], modes: &mut [f64], covariances: &mut [f64]) {
    if m.iter().all(|m| *m == 1.0) {
        return;
    }
    let q = m.len();
    modes.chunks_exact_mut(q).for_each(|b| b.iter_mut().zip(m).for_each(|(b, m)| *b *= m));
    for covariance in covariances.chunks_exact_mut(q * q) {
        for (row, by) in covariance.chunks_exact_mut(q).zip(m) {
            row.iter_mut().zip(m).for_each(|(c, m)| *c = by * (*c * m));
        }
    }
}
