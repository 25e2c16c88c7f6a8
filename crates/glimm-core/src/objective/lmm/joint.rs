//! The likelihood in the parameters of a fit: psi = (beta, log sigma, theta), theta of absolute factors.

use super::profile::Given;
use super::{At, Lmm, with_sigma};
use crate::linalg::dense;
use crate::objective::sums::dot;
use crate::objective::{Evaluation, Order, Reject};

/// A maximum over beta and sigma, in psi.
pub struct Joint {
    pub psi: Vec<f64>,
    /// With the joint Hessian. With REML beta is no parameter of the likelihood: its block is that of
    /// generalized least squares, zero with the rest.
    pub evaluation: Evaluation,
    /// Newton's step in tau from here, where the likelihood is concave.
    pub step: Option<Vec<f64>>,
}

/// How tau = T(1 / sigma) theta moves with theta (m x m, row by row) and with log sigma.
struct ThetaChain {
    theta: Vec<f64>,
    sigma: Vec<f64>,
}

impl ThetaChain {
    /// A gradient in theta from one in tau.
    fn pull(&self, g: &[f64]) -> Vec<f64> {
        let m = g.len();
        (0..m).map(|j| (0..m).map(|i| self.theta[i * m + j] * g[i]).sum()).collect()
    }

    /// Rows (one number per parameter of tau) in (log sigma, theta): a row's first number is that of log sigma.
    fn extend(&self, row: &[f64], sigma: f64) -> Vec<f64> {
        let mut out = vec![sigma + dot(&self.sigma, row)];
        out.extend(self.pull(row));
        out
    }
}

impl Lmm {
    /// The likelihood at tau with coefficients and sigma following.
    pub fn joint(&mut self, tau: &[f64]) -> Result<Joint, Reject> {
        (self.last, self.settled) = (tau.to_vec(), None);
        let at = self.at(tau, Given::default(), Order::Hessian)?;
        let log_sigma = at.profile.log_sigma;
        let beta = self.rows.beta(at.profile.beta.clone());
        let hessian = self.joint_hessian(tau, &at);
        let (p, chain) = (beta.len(), self.theta_chain(tau, log_sigma));
        let mut gradient = vec![0.0; p + 1];
        gradient.extend(chain.pull(&at.gradient));
        let psi = [beta, vec![log_sigma], self.theta(tau, log_sigma)].concat();
        let evaluation = Evaluation { value: self.value(&at.profile), gradient, hessian: Some(hessian) };
        if !evaluation.is_finite() {
            return Err(Reject::NoMode);
        }
        let step = newton_step(&at);
        self.settled = Some(at.profile);
        Ok(Joint { psi, evaluation, step })
    }

    /// Value and gradient at any psi. With REML they do not depend on beta.
    pub fn evaluate_at(&mut self, psi: &[f64]) -> Result<(f64, Vec<f64>), Reject> {
        let p = self.working.width - 1;
        let (beta, log_sigma) = (self.rows.beta_back(&psi[..p]), psi[p]);
        let tau = self.relative(&psi[p + 1..], log_sigma);
        let given = Given { beta: (!self.reml).then_some(&beta), log_sigma: Some(log_sigma) };
        let At { profile, gradient, .. } = self.at(&tau, given, Order::Gradient)?;
        let chain = self.theta_chain(&tau, log_sigma);
        let of_sigma = profile.r2 / profile.sigma2() - profile.df + dot(&chain.sigma, &gradient);
        let of_beta = self.rows.basis.l_times(&profile.score).iter().map(|g| g / profile.sigma2()).collect();
        Ok((self.value(&profile), [of_beta, vec![of_sigma], chain.pull(&gradient)].concat()))
    }

    /// theta of the absolute factor sigma Lambda, and back.
    fn theta(&self, tau: &[f64], log_sigma: f64) -> Vec<f64> {
        self.scaled(tau, log_sigma.exp())
    }

    /// tau of the parameters psi.
    pub fn relative_of(&self, psi: &[f64]) -> Vec<f64> {
        let p = self.working.width - 1;
        self.relative(&psi[p + 1..], psi[p])
    }

    fn relative(&self, theta: &[f64], log_sigma: f64) -> Vec<f64> {
        self.scaled(theta, (-log_sigma).exp())
    }

    /// The parameters of c Lambda.
    fn scaled(&self, tau: &[f64], c: f64) -> Vec<f64> {
        let mut out = tau.to_vec();
        for (term, range) in self.skeleton.terms.iter().zip(&self.layout.theta) {
            let q = term.effects();
            let m: Vec<f64> = (0..q * q).map(|i| if i / q == i % q { c } else { 0.0 }).collect();
            term.structure.transform(&mut out[range.clone()], &m);
        }
        out
    }

    /// Scaling a factor is affine, for every structure, in a root of the scale: what does not scale is T(0) theta.
    fn theta_chain(&self, tau: &[f64], log_sigma: f64) -> ThetaChain {
        let (m, c) = (tau.len(), (-log_sigma).exp());
        let mut theta = vec![0.0; m * m];
        for j in 0..m {
            let mut unit = vec![0.0; m];
            unit[j] = 1.0;
            self.scaled(&unit, c).iter().enumerate().for_each(|(i, x)| theta[i * m + j] = *x);
        }
        let unscaled = self.scaled(tau, 0.0);
        let terms = self.skeleton.terms.iter().zip(&self.layout.theta);
        let degree = terms.flat_map(|(term, range)| range.clone().map(|_| term.structure.degree()));
        let sigma = unscaled.iter().zip(tau).zip(degree).map(|((a, b), degree)| (a - b) / degree).collect();
        ThetaChain { theta, sigma }
    }

    /// Coefficients beta differ from their maximum beta(v), v = (log sigma, theta), by d; the likelihood is
    /// L(v) - d'M_xx d / 2 sigma^2 exactly. With B = dbeta/dv:
    ///
    /// ```text
    /// L_bb = -M_xx / sigma^2      L_bv = M_xx B / sigma^2      L_vv = L'' - B'M_xx B / sigma^2
    /// ```
    fn joint_hessian(&self, tau: &[f64], at: &At) -> Vec<f64> {
        let (p, m, sigma2) = (self.working.width - 1, tau.len(), at.profile.sigma2());
        let chain = self.theta_chain(tau, at.profile.log_sigma);
        let (total, own) = (p + 1 + m, self.variance_hessian(&chain, at));
        let slopes = self.beta_slopes(&chain, at);
        let m_xx =
            |x: &[f64]| -> Vec<f64> { (0..p).map(|a| dot(&at.profile.m_xx[a * p..(a + 1) * p], x) / sigma2).collect() };
        let weighted: Vec<Vec<f64>> = slopes.iter().map(|b| m_xx(b)).collect();
        let m_bb = self.rows.basis.sandwich(&at.profile.m_xx);
        let mut h = vec![0.0; total * total];
        (0..p * p).for_each(|i| h[i / p * total + i % p] = -m_bb[i] / sigma2);
        for v in 0..=m {
            for (a, x) in self.rows.basis.l_times(&weighted[v]).iter().enumerate() {
                h[a * total + p + v] = *x;
                h[(p + v) * total + a] = *x;
            }
            for w in 0..=m {
                h[(p + v) * total + p + w] = own[v * (m + 1) + w] - dot(&slopes[v], &weighted[w]);
            }
        }
        h
    }

    /// L'' in (log sigma, theta), row by row; at a maximum, where the curvature of the chain has no part.
    fn variance_hessian(&self, chain: &ThetaChain, at: &At) -> Vec<f64> {
        let Some(second) = &at.second else { return Vec::new() };
        let (m, sigma2) = (second.r2.len(), at.profile.sigma2());
        let cross: Vec<f64> = second.r2.iter().map(|d| d / sigma2).collect();
        let own = -2.0 * at.profile.r2 / sigma2;
        // Rows of the Hessian in (log sigma, tau) with their columns in (log sigma, theta), then the rows.
        let first = chain.extend(&cross, own);
        let rest: Vec<Vec<f64>> = (0..m).map(|i| chain.extend(&second.hessian[i * m..(i + 1) * m], cross[i])).collect();
        let column = |j: usize| chain.extend(&rest.iter().map(|r| r[j]).collect::<Vec<f64>>(), first[j]);
        (0..=m).flat_map(column).collect()
    }

    /// dbeta along (log sigma, theta), in coefficients of the basis; none with REML.
    fn beta_slopes(&self, chain: &ThetaChain, at: &At) -> Vec<Vec<f64>> {
        let (p, Some(second)) = (self.working.width - 1, &at.second) else { return Vec::new() };
        let mut slopes = vec![vec![0.0; p]; second.r2.len() + 1];
        for a in (0..p).filter(|_| !self.reml) {
            let row: Vec<f64> = second.beta.iter().map(|b| b[a]).collect();
            chain.extend(&row, 0.0).iter().zip(&mut slopes).for_each(|(x, s)| s[a] = *x);
        }
        slopes
    }
}

/// -L''^-1 L' of the profile likelihood.
fn newton_step(at: &At) -> Option<Vec<f64>> {
    let second = at.second.as_ref()?;
    let m = at.gradient.len();
    let mut h: Vec<f64> = with_sigma(&second.hessian, &second.r2, &at.profile).iter().map(|h| -h).collect();
    let mut step = at.gradient.clone();
    dense::cholesky(&mut h, m).then(|| {
        dense::cholesky_solve(&h, m, &mut step);
        step
    })
}
