//! The marginal likelihood by expectation propagation: for random effects that hang together by the thousand, where
//! Laplace's approximation is too coarse and draws would be too many.
//!
//! Each row's density in its linear predictor is replaced by a Gaussian factor, its site, such that exchanging the site
//! for the density changes neither mean nor variance of that linear predictor ([`sites`]):
//!
//! ```text
//! q(u) = N(0, P^-1)(u) prod_i exp(nu_i eta_i - tau_i eta_i^2 / 2) / Z_q      eta = X beta + offset + Z Lambda u
//! E_t_i[eta_i] = E_q[eta_i]      Var_t_i[eta_i] = Var_q[eta_i]               t_i = q with row i exact
//! L = log Z_q + sum_i log Z_i
//! dL/dbeta = X'r     dL/dLambda = (Z'r) E[u]' - S Lambda C     r = nu - tau E[eta], S = Z'diag(tau) Z
//! ```
//!
//! L is stationary in the sites, so that its gradient is that at fixed sites (Minka 2001, UAI 17, 362-369; Seeger 2005,
//! tech. report, Berkeley). What it leaves out is [`remainder`]. Second derivatives are differences of the gradient.

mod remainder;
mod sites;

use std::sync::Arc;

use self::remainder::ROWS;
pub use self::remainder::Remainder;
use self::sites::{Depth, Marginals, Nodes, Sites, Tilted, tilt};
use super::{Cells, Crossed, Rows};
use crate::control::Control;
use crate::design::Data;
use crate::error::Error;
use crate::family::Want;
use crate::objective::chain::{self, Chain};
use crate::objective::crossed::Engine;
use crate::objective::geometry::Effects;
use crate::objective::laplace::{AtMode, Patch, Share};
use crate::objective::sums::total;
use crate::objective::{Evaluation, Objective, Order, Posterior, Reject, proceed};

/// Nodes per row at most, fewer that are taken where these say the same to the root of the tolerance, and those by which
/// their error is known.
const NODES: usize = 21;
const FEWER_NODES: [usize; 3] = [9, 11, 15];
const MORE_NODES: usize = 41;
/// How much further from the truth fewer nodes may be elsewhere before they are given up.
const SLACK: f64 = 100.0;
/// Rounds that usual problems take, and the most.
const USUAL_ROUNDS: f64 = 8.0;
const MOST_ROUNDS: usize = 200;
/// Relative change of a row's mean (in standard deviations) and variance below which rounds end where rounding stops them.
const ROUNDING: f64 = 1e-8;
const STALLED: f64 = 0.9;
/// Part of the step to new sites after one that led away, and the least.
const DAMPING: f64 = 0.5;
const LEAST: f64 = 0.05;
/// Multiplications of a dense factorisation that take as long as the log density of a row.
const PER_ROW: f64 = 100.0;
/// Log densities that take as long as a row's part in the remainder of one other.
const PER_PAIR: f64 = 0.3;
/// Step of the differences that second derivatives are, in standard units. The rounds end at this part of the tolerance:
/// what is off in a gradient is divided by the step.
const STEP: f64 = 1e-3;
/// Highest Hermite polynomial in the remainder.
const DEEPEST: usize = 6;

pub struct Propagation {
    crossed: Crossed,
    /// Of the last evaluation, and where the next begins.
    sites: Sites,
    mean: Vec<f64>,
    left: Left,
    whole: bool,
    nodes: Nodes,
    more: Nodes,
    /// The negative Hessian with which a search begins.
    curvature: Option<Vec<f64>>,
    passes: f64,
    control: Arc<Control>,
}

/// All that is known where the sites no longer change.
struct Settled {
    share: Share,
    remainder: Remainder,
}

/// What the last evaluation leaves out.
#[derive(Clone, Default)]
pub struct Left {
    pub remainder: Remainder,
    /// Its derivative along each parameter by chosen row, where second derivatives were taken.
    pub slopes: Vec<Vec<f64>>,
}

impl Propagation {
    /// For data of which one predictor has random effects.
    pub fn new(data: &Data, control: &Arc<Control>) -> Result<Propagation, Error> {
        let mut crossed = Crossed::new(data, Engine::Auto)?;
        crossed.set_control(control);
        Ok(Propagation {
            crossed,
            sites: Sites::default(),
            mean: Vec::new(),
            left: Left::default(),
            whole: true,
            nodes: Nodes::new(NODES),
            more: Nodes::new(MORE_NODES),
            curvature: None,
            passes: 0.0,
            control: control.clone(),
        })
    }

    /// Row evaluations that one evaluation of `n` rows takes at least.
    pub fn least_cost(n: usize) -> f64 {
        USUAL_ROUNDS * n as f64 * NODES as f64
    }

    /// Row evaluations that one evaluation takes, about, and its remainder.
    pub fn cost(&self) -> [f64; 2] {
        let (n, factor) = (self.crossed.data.n(), self.crossed.plan.multiplications() / PER_ROW);
        let pairs = (n * n.min(ROWS)) as f64;
        [USUAL_ROUNDS * (n as f64 * NODES as f64 + factor), (n * MORE_NODES) as f64 + PER_PAIR * pairs]
    }

    /// Whether gradients come with what they leave out; second derivatives always do.
    pub fn set_remainder(&mut self, wanted: bool) {
        self.whole = wanted;
    }

    /// Nodes per row.
    pub fn nodes(&self) -> usize {
        self.nodes.count()
    }

    /// What the last evaluation leaves out.
    pub fn left(&self) -> &Left {
        &self.left
    }

    /// The negative Hessian with which a search is to begin.
    pub fn set_curvature(&mut self, curvature: Vec<f64>) {
        self.curvature = Some(curvature);
    }

    /// Sites and mean of Laplace's approximation at `psi`.
    fn begin(&mut self, psi: &[f64], tolerance: f64) -> Result<(), Reject> {
        self.crossed.evaluate(psi, Order::Gradient, tolerance)?;
        let lambda = chain::factors(&self.crossed.data, &self.crossed.layout, psi);
        let mut mean = self.crossed.trial.clone();
        let solver = self.crossed.solver.take().unwrap_or_else(|| self.crossed.plan.solver());
        let mut patch = self.crossed.patch(solver, &lambda, &mut mean);
        patch.set_fixed(psi);
        patch.linear_predictors();
        patch.row_derivatives(0..patch.rows, Want { dims: 1, order: 2, value: false });
        let tau: Vec<f64> = patch.derivs.get(&[0, 0]).iter().map(|f2| -f2).collect();
        let r = patch.derivs.get(&[0]).iter().zip(&tau).zip(&patch.eta[0]);
        let sites = Sites { nu: r.map(|((r, tau), eta)| r + tau * eta).collect(), tau };
        let nodes = patch.fewest(&sites, &self.more, tolerance.sqrt())?;
        let solver = patch.geometry.solver;
        self.crossed.solver = Some(solver);
        (self.sites, self.mean, self.nodes) = (sites, mean, nodes);
        Ok(())
    }

    /// From the last sites, or anew from Laplace's approximation where these lead nowhere.
    fn settle(&mut self, psi: &[f64], tolerance: f64, whole: bool) -> Result<(Evaluation, Remainder), Reject> {
        if !self.mean.is_empty() {
            match self.rounds(psi, tolerance, whole) {
                Err(Reject::Interrupted) => return Err(Reject::Interrupted),
                Ok(found) if self.nodes() == NODES || found.1.rule < SLACK * tolerance.sqrt() => {
                    return Ok(found);
                }
                _ => {}
            }
        }
        self.begin(psi, tolerance)?;
        self.rounds(psi, tolerance, whole).inspect_err(|_| self.mean.clear())
    }

    fn rounds(&mut self, psi: &[f64], tolerance: f64, whole: bool) -> Result<(Evaluation, Remainder), Reject> {
        let (mut sites, mut mean) = (self.sites.clone(), self.mean.clone());
        let solver = self.crossed.solver.take().unwrap_or_else(|| self.crossed.plan.solver());
        let lambda = chain::factors(&self.crossed.data, &self.crossed.layout, psi);
        let chain = Chain::new(&self.crossed.data, &self.crossed.layout, psi);
        let mut patch = self.crossed.patch(solver, &lambda, &mut mean);
        patch.set_fixed(psi);
        let mut rounds = 0;
        let (more, close) = (whole.then_some(&self.more), STEP * tolerance.sqrt());
        let found = patch.propagate(&mut sites, (&self.nodes, more), close, &self.control, &mut rounds);
        let solver = patch.geometry.solver;
        let evaluation = found.and_then(|Settled { share, remainder }| {
            let gradient = chain.gradient(&share.beta, &share.lambda);
            let evaluation = Evaluation { value: share.value + self.crossed.log_constant, gradient, hessian: None };
            if evaluation.is_finite() { Ok((evaluation, remainder)) } else { Err(Reject::NoMode) }
        });
        self.crossed.solver = Some(solver);
        self.crossed.factored = false;
        self.passes += (rounds * self.nodes()) as f64;
        if evaluation.is_ok() {
            (self.sites, self.mean) = (sites, mean);
        }
        evaluation
    }

    /// Everything at `psi`, with second derivatives by differences of the gradient.
    fn bend(&mut self, psi: &[f64], tolerance: f64) -> Result<Evaluation, Reject> {
        let (p, mut moved) = (psi.len(), psi.to_vec());
        let (evaluation, remainder) = self.settle(psi, tolerance, true)?;
        let (sites, mean) = (self.sites.clone(), self.mean.clone());
        let (mut rows, mut slopes) = (Vec::with_capacity(p), Vec::with_capacity(p));
        for j in 0..p {
            (self.sites, self.mean) = (sites.clone(), mean.clone());
            moved[j] = psi[j] + STEP;
            let (above, after) = self.settle(&moved, tolerance, true)?;
            // Sites are smooth in the parameters: those on the other side are all but known.
            self.sites.reflect(&sites);
            moved[j] = psi[j] - STEP;
            let (below, _) = self.settle(&moved, tolerance, false)?;
            moved[j] = psi[j];
            let slope = |a: &[f64], b: &[f64], h: f64| a.iter().zip(b).map(|(a, b)| (a - b) / h).collect::<Vec<f64>>();
            rows.push(slope(&above.gradient, &below.gradient, 2.0 * STEP));
            // Of the remainder a thousandth is as good as all.
            slopes.push(slope(&after.each, &remainder.each, STEP));
        }
        (self.sites, self.mean) = (sites, mean);
        self.left = Left { remainder, slopes };
        let hessian = (0..p * p).map(|k| 0.5 * (rows[k / p][k % p] + rows[k % p][k / p])).collect();
        Ok(Evaluation { hessian: Some(hessian), ..evaluation })
    }
}

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// Moves the sites to where exchanging one for its row changes no moment; returns what is known there.
    fn propagate(
        &mut self,
        sites: &mut Sites,
        (nodes, more): (&Nodes, Option<&Nodes>),
        close: f64,
        control: &Control,
        rounds: &mut usize,
    ) -> Result<Settled, Reject> {
        let mut at = AtMode::new(&self.geometry, 1, self.rows);
        let (mut left, mut damping) = (f64::INFINITY, 1.0);
        for _ in 0..MOST_ROUNDS {
            proceed(control)?;
            *rounds += 1;
            self.follow(sites, &mut at)?;
            let here = Marginals { m: &self.eta[0], v: &at.v[0] };
            let tilted = tilt(self.data, &self.fixed, sites, &here, nodes, Depth::Moments);
            let off = distance(&tilted, &at.v[0]);
            if off < close || (off < ROUNDING && off > STALLED * left) {
                return self.conclude(sites, at, (nodes, more), control);
            }
            damping = match off < left {
                true => 1.0_f64.min(damping / DAMPING.sqrt()),
                false => LEAST.max(damping * DAMPING),
            };
            left = off;
            sites.step(&tilted, &here, damping)?;
            control.advance(self.rows * nodes.count());
        }
        Err(Reject::NoMode)
    }

    /// The fewest nodes that say the same as `more` of what exchanging single sites for their rows adds in all.
    fn fewest(&mut self, sites: &Sites, more: &Nodes, close: f64) -> Result<Nodes, Reject> {
        let mut at = AtMode::new(&self.geometry, 1, self.rows);
        self.follow(sites, &mut at)?;
        let here = Marginals { m: &self.eta[0], v: &at.v[0] };
        let of = |nodes: &Nodes| tilt(self.data, &self.fixed, sites, &here, nodes, Depth::Moments).log_z;
        let finer = of(more);
        let same = |nodes: &Nodes| apart(&of(nodes), &finer) < close;
        Ok(FEWER_NODES.into_iter().map(Nodes::new).find(same).unwrap_or_else(|| Nodes::new(NODES)))
    }

    /// The Gaussian that the sites make: its mean in `self.u`, C, and mean and variance of every linear predictor.
    fn follow(&mut self, sites: &Sites, at: &mut AtMode) -> Result<(), Reject> {
        self.linear_predictors();
        self.gaussian(sites, at)?;
        let mut step = self.slope(&at.zr);
        self.geometry.solve(&mut step);
        self.u.iter_mut().zip(&step).for_each(|(u, s)| *u += s);
        self.linear_predictors();
        self.posterior_variances(&at.c, &mut at.v);
        Ok(())
    }

    /// Z'r, S and C, and the log-integral, of the sites in place of the rows.
    fn gaussian(&mut self, sites: &Sites, at: &mut AtMode) -> Result<f64, Reject> {
        at.zr.fill(0.0);
        at.s.fill(0.0);
        self.derivs.reshape(1, 2, self.rows);
        let [f, f1, f2] = self.derivs.columns();
        for (i, eta) in self.eta[0].iter().enumerate() {
            let (tau, nu) = (sites.tau[i], sites.nu[i]);
            (f[i], f1[i], f2[i]) = (nu * eta - 0.5 * tau * eta * eta, nu - tau * eta, -tau);
        }
        self.at_modes(at)
    }

    /// Value and gradient at the last sites; the remainder too if there are more nodes.
    fn conclude(
        &mut self,
        sites: &Sites,
        mut at: AtMode,
        (nodes, more): (&Nodes, Option<&Nodes>),
        control: &Control,
    ) -> Result<Settled, Reject> {
        let gaussian = self.gaussian(sites, &mut at)?;
        let here = Marginals { m: &self.eta[0], v: &at.v[0] };
        let of = |nodes, depth| tilt(self.data, &self.fixed, sites, &here, nodes, depth);
        let (tilted, finer) = (of(nodes, Depth::All), more.map(|more| of(more, Depth::Moments)));
        let mut share = Share::new(self.layout.fixed(), &self.geometry.sizes());
        share.value = gaussian + total(&tilted.log_z);
        self.project(0, self.derivs.get(&[0]), &mut share.beta);
        tilted.slopes.iter().enumerate().for_each(|(k, slope)| self.project(k + 1, slope, &mut share.beta));
        self.geometry.add_dyads(&at.zr, self.u, &mut share.lambda);
        self.geometry.subtract_product(&at.s, self.lambda, &at.c, &mut share.lambda);
        let Some(finer) = finer else { return Ok(Settled { share, remainder: Remainder::default() }) };
        let rule = apart(&tilted.log_z, &finer.log_z);
        let remainder = self.remainder(&tilted, &at.v[0], rule, control)?;
        Ok(Settled { share, remainder })
    }
}

/// The sum of all differences.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

/// The largest change of a mean, in standard deviations, or of a variance, as a part of it.
fn distance(tilted: &Tilted, v: &[f64]) -> f64 {
    let rows = tilted.alpha.iter().zip(&tilted.kappa).zip(v);
    let each = rows.map(|((alpha, kappa), v)| (alpha.abs() * v.sqrt()).max((kappa * v).abs()));
    each.fold(0.0, |most: f64, x| if x > most || x.is_nan() { x } else { most })
}

impl Sites {
    /// To the other side of `center`.
    fn reflect(&mut self, center: &Sites) {
        let pairs = [(&mut self.tau, &center.tau), (&mut self.nu, &center.nu)];
        pairs.into_iter().for_each(|(x, c)| x.iter_mut().zip(c).for_each(|(x, c)| *x = 2.0 * c - *x));
    }

    /// Towards the sites that give the tilted moments; their precision is 1 / Var_t less that of the rest.
    fn step(&mut self, tilted: &Tilted, at: &Marginals<'_>, damping: f64) -> Result<(), Reject> {
        for i in 0..self.tau.len() {
            let (alpha, kappa, v) = (tilted.alpha[i], tilted.kappa[i], at.v[i]);
            let part = 1.0 + v * kappa;
            // A NaN is no variance either.
            let varies = part > 0.0;
            if !varies {
                return Err(Reject::NotPositiveDefinite);
            }
            self.tau[i] -= damping * kappa / part;
            self.nu[i] += damping * (alpha - at.m[i] * kappa) / part;
        }
        Ok(())
    }
}

impl Objective for Propagation {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        match order {
            Order::Hessian => self.bend(psi, tolerance),
            _ => {
                let (evaluation, remainder) = self.settle(psi, tolerance, self.whole)?;
                self.left = Left { remainder, slopes: Vec::new() };
                Ok(evaluation)
            }
        }
    }

    fn accept(&mut self) {
        self.crossed.accept();
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        self.curvature.take()
    }

    fn reset(&mut self) {
        self.crossed.reset();
        self.mean.clear();
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.control = control.clone();
        self.crossed.set_control(control);
    }

    fn passes(&self) -> f64 {
        self.passes
    }

    fn posterior(&self) -> Posterior {
        Posterior { modes: Vec::new(), covariances: Vec::new() }
    }
}
