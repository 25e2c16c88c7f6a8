//! Gaussian responses with the identity link: the likelihood in closed form, from sufficient statistics,
//! with coefficients and residual variance profiled out. Its parameters tau are those of the structures
//! for relative factors, Lambda / sigma.

mod average;
mod blocks;
mod effects;
mod joint;
mod moments;
mod posterior;
mod profile;
mod second;
mod start;

use std::ops::Range;

pub use self::average::Averaged;
use self::effects::Algebra;
pub(crate) use self::effects::Linear;
pub use self::joint::Joint;
use self::moments::Rows;
use self::profile::{Given, Profile, profile};
use self::second::{Second, second};
use super::chain::Chain;
use super::crossed::Plan;
use super::geometry::Factors;
use super::{Evaluation, Objective, Order, Posterior, Reject};
use crate::design::{Data, Layout};
use crate::error::Error;
use crate::suffstat::Moments;

pub struct Lmm {
    reml: bool,
    /// The terms without rows, and where their parameters stand in tau.
    skeleton: Data,
    layout: Layout,
    /// What the rows say, and the same in the form the algebra works on.
    rows: Rows,
    /// What does not depend on the parameters: precision weights, and the constants of the effects' priors.
    log_constant: f64,
    working: Moments,
    algebra: Algebra,
    /// The point evaluated last, and what was found there if that was in all parameters.
    last: Vec<f64>,
    settled: Option<Profile>,
}

/// A likelihood at one point, with derivatives in tau at its sigma.
struct At {
    profile: Profile,
    gradient: Vec<f64>,
    second: Option<InTau>,
}

/// Second derivatives in tau at fixed sigma, row by row, with dr2 and dbeta.
struct InTau {
    hessian: Vec<f64>,
    r2: Vec<f64>,
    beta: Vec<Vec<f64>>,
}

impl Lmm {
    /// Needs a gaussian family with the identity link and one residual variance.
    pub fn new(data: &Data, reml: bool) -> Result<Lmm, Error> {
        let mut algebra = Algebra::new(data)?;
        let rows = Rows::new(data, &mut algebra)?;
        let working = algebra.condense(&rows.moments);
        let skeleton = data.gather(&[]);
        let layout = tau_layout(&data.layout());
        let log_constant = moments::log_precision(data) + data.log_priors();
        Ok(Lmm { reml, skeleton, layout, rows, log_constant, working, algebra, last: Vec::new(), settled: None })
    }

    /// New responses in the same rows.
    pub fn set_response(&mut self, data: &Data) {
        self.settled = None;
        self.rows.set_response(data, &mut self.algebra);
        self.working = self.algebra.condense(&self.rows.moments);
    }

    pub fn reml(&self) -> bool {
        self.reml
    }

    /// Numbers an evaluation works on: the moments.
    pub fn numbers(&self) -> usize {
        self.working.ww.len() + self.working.zw.len() + self.working.zz.len()
    }

    /// Where the parameters of each term stand in tau.
    pub fn tau(&self) -> &[Range<usize>] {
        &self.layout.theta
    }

    fn lambda(&self, tau: &[f64]) -> Factors {
        let terms = self.skeleton.terms.iter().zip(&self.layout.theta);
        let factor = |(term, range): (&crate::design::Term, &Range<usize>)| {
            let mut f = vec![0.0; term.effects() * term.effects()];
            term.structure.factor(&tau[range.clone()], &mut f);
            f
        };
        terms.map(factor).collect()
    }

    /// dLambda of every parameter.
    fn directions(&self, chain: &Chain<'_>) -> Vec<Factors> {
        let zeros = || self.skeleton.terms.iter().map(|t| vec![0.0; t.effects() * t.effects()]).collect::<Factors>();
        let of = |(t, range): (usize, &Range<usize>)| {
            let one = |j| {
                let mut factors = zeros();
                factors[t].copy_from_slice(chain.derivative(t, j));
                factors
            };
            (0..range.len()).map(one).collect::<Vec<Factors>>()
        };
        self.layout.theta.iter().enumerate().flat_map(of).collect()
    }

    /// The log-likelihood; M_xx of REML is that of the basis, not of X.
    fn value(&self, at: &Profile) -> f64 {
        at.value + self.log_constant - if self.reml { 0.5 * self.rows.basis.log_determinant() } else { 0.0 }
    }

    /// How crossed effects are solved for.
    pub fn plan(&self) -> Option<&Plan> {
        self.algebra.plan()
    }

    /// Whether a tangent of the inverse costs much more than an evaluation.
    pub fn is_crossed(&self) -> bool {
        matches!(self.algebra, Algebra::Crossed(_))
    }

    fn at(&mut self, tau: &[f64], given: Given<'_>, order: Order) -> Result<At, Reject> {
        let lambda = self.lambda(tau);
        let chain = Chain::new(&self.skeleton, &self.layout, tau);
        let directions = if order == Order::Hessian { self.directions(&chain) } else { Vec::new() };
        let (m, reml) = (&self.working, self.reml);
        let (profile, found) = self.algebra.with(|e| {
            let at = profile(e, m, &lambda, reml, given)?;
            let found = (order == Order::Hessian).then(|| second(e, m, &lambda, reml, &at, &directions));
            Ok::<_, Reject>((at, found))
        })?;
        let gradient = chain.gradient(&[], &profile.lambda);
        let second = found.map(|s| in_tau(&chain, s, &profile));
        Ok(At { profile, gradient, second })
    }
}

/// With sigma following, L'' is L_tt - L_ts L_st / L_ss, where L_ts = dr2 / sigma^2 and L_ss = -2 df.
fn with_sigma(hessian: &[f64], r2: &[f64], at: &Profile) -> Vec<f64> {
    let (m, ts) = (r2.len(), r2.iter().map(|d| d / at.sigma2()).collect::<Vec<f64>>());
    (0..m * m).map(|i| hessian[i] + ts[i / m] * ts[i % m] / (2.0 * at.df)).collect()
}

fn in_tau(chain: &Chain<'_>, found: Second, at: &Profile) -> InTau {
    let rows = found.rows.iter().map(|r| chain.gradient(&[], r)).collect();
    let mut hessian = chain.hessian(rows, &at.lambda);
    hessian.iter_mut().zip(&found.extra).for_each(|(h, x)| *h += x);
    InTau { hessian, r2: found.r2, beta: found.beta }
}

/// The places of the terms' parameters without those before them.
fn tau_layout(layout: &Layout) -> Layout {
    let fixed = layout.fixed();
    let theta = layout.theta.iter().map(|r| r.start - fixed..r.end - fixed).collect();
    Layout { beta: Vec::new(), theta, total: layout.total - fixed }
}

/// The profile likelihood in tau.
impl Objective for Lmm {
    fn evaluate(&mut self, tau: &[f64], order: Order, _tolerance: f64) -> Result<Evaluation, Reject> {
        (self.last, self.settled) = (tau.to_vec(), None);
        let At { profile, gradient, second } = self.at(tau, Given::default(), order)?;
        let hessian = second.map(|s| with_sigma(&s.hessian, &s.r2, &profile));
        let evaluation = Evaluation { value: self.value(&profile), gradient, hessian };
        if evaluation.is_finite() { Ok(evaluation) } else { Err(Reject::NoMode) }
    }

    fn accept(&mut self) {}

    fn information(&mut self) -> Option<Vec<f64>> {
        None
    }

    fn reset(&mut self) {}

    fn passes(&self) -> f64 {
        self.rows.passes
    }

    fn posterior(&self) -> Posterior {
        let nowhere = Posterior { modes: Vec::new(), covariances: Vec::new() };
        self.posterior_at(&self.last).unwrap_or(nowhere)
    }
}
