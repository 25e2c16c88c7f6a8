//! The log-likelihood in all parameters, as a profile walks over it: any engine, nodes where they are wanted.

use super::super::path::Engine;
use super::super::{INNER_LAST, Problem, inference};
use super::goal::{Goal, Local};
use crate::error::Error;
use crate::objective::crossed::propagation::Propagation;
use crate::objective::{Evaluation, Objective, Order, Reject};

/// Step of a difference of gradients, in standard units.
const DIFFERENCE: f64 = 2e-3;
/// Moves (standard units) after which nodes are placed anew before a point counts.
const FAR: f64 = 0.03;

pub(super) struct Surface<'a> {
    pub problem: &'a mut Problem,
    /// Added to the gradient, where what is walked over is not the likelihood that was climbed.
    pub tilt: Option<(Vec<f64>, Vec<f64>)>,
    /// In place of the problem's engine, where the fit rests on it.
    propagation: Option<Propagation>,
    /// Where nodes were placed last.
    placed: Vec<f64>,
    pub evaluations: usize,
}

impl Surface<'_> {
    pub fn new(problem: &mut Problem) -> Surface<'_> {
        Surface { problem, tilt: None, propagation: None, placed: Vec::new(), evaluations: 0 }
    }

    /// Nodes for `psi`, unless the last ones are.
    pub fn place(&mut self, psi: &[f64]) -> Result<bool, Reject> {
        let near = !self.placed.is_empty() && self.placed.iter().zip(psi).all(|(a, b)| (a - b).abs() < FAR);
        if near {
            return Ok(false);
        }
        self.problem.place_nodes(psi).map_err(|e| match e {
            Error::Interrupted => Reject::Interrupted,
            _ => Reject::NoMode,
        })?;
        self.placed = psi.to_vec();
        Ok(self.problem.engine.units().is_some())
    }

    /// Forgets the modes found on the way here.
    pub fn restart(&mut self) {
        self.problem.objective().reset();
        self.propagation.iter_mut().for_each(Objective::reset);
    }

    /// Goes over to expectation propagation if `psi` is nearer to its maximum than `plain` says of the engine's; the
    /// derivatives there.
    pub fn propagate(&mut self, goals: usize, psi: &[f64], plain: Evaluation) -> Result<Evaluation, Error> {
        let Some((propagation, found)) = self.problem.propagation_of_profiles(goals, psi)? else { return Ok(plain) };
        if inference::decrement(&found) > inference::decrement(&plain) {
            return Ok(plain);
        }
        self.propagation = Some(propagation);
        Ok(found)
    }

    pub fn name(&self) -> &'static str {
        match (&self.propagation, &self.tilt) {
            (None, None) => "own",
            (None, Some(_)) => "tilted",
            (Some(_), None) => "propagation",
            (Some(_), Some(_)) => "propagation, tilted",
        }
    }

    /// All derivatives at `psi`.
    pub fn at(&mut self, psi: &[f64]) -> Result<Evaluation, Reject> {
        self.evaluations += 1;
        if self.problem.control.stopped() {
            return Err(Reject::Interrupted);
        }
        let mut e = match (&mut self.propagation, &mut self.problem.engine) {
            (Some(propagation), _) => match self.problem.bend_whole(propagation, psi) {
                Err(_) => return Err(Reject::Interrupted),
                Ok(found) => found.ok_or(Reject::NoMode)?,
            },
            (None, Engine::Lmm(_)) => self.linear(psi)?,
            _ => {
                let mut objective = self.problem.objective();
                let e = objective.evaluate(psi, Order::Hessian, INNER_LAST)?;
                objective.accept();
                e
            }
        };
        if let Some((slope, from)) = &self.tilt {
            e.value += (0..psi.len()).map(|j| slope[j] * (psi[j] - from[j])).sum::<f64>();
            e.gradient.iter_mut().zip(slope).for_each(|(g, s)| *g += s);
        }
        if e.is_finite() { Ok(e) } else { Err(Reject::NoMode) }
    }

    /// The closed form, with second derivatives by differences of the exact gradient: the cost does not depend on rows.
    fn linear(&mut self, psi: &[f64]) -> Result<Evaluation, Reject> {
        let Engine::Lmm(lmm) = &mut self.problem.engine else { return Err(Reject::NoMode) };
        let (value, gradient) = lmm.evaluate_at(psi)?;
        let p = psi.len();
        let mut hessian = vec![0.0; p * p];
        for j in 0..p {
            let mut central = |h: f64| -> Result<Vec<f64>, Reject> {
                let mut at = |h: f64| {
                    let mut moved = psi.to_vec();
                    moved[j] += h;
                    lmm.evaluate_at(&moved).map(|(_, g)| g)
                };
                let (up, down) = (at(h)?, at(-h)?);
                Ok(up.iter().zip(&down).map(|(a, b)| (a - b) / (2.0 * h)).collect())
            };
            let (wide, narrow) = (central(DIFFERENCE)?, central(0.5 * DIFFERENCE)?);
            for i in 0..p {
                let d = (4.0 * narrow[i] - wide[i]) / 3.0;
                hessian[i * p + j] += 0.5 * d;
                hessian[j * p + i] += 0.5 * d;
            }
        }
        Ok(Evaluation { value, gradient, hessian: Some(hessian) })
    }

    /// The goal at standard parameters, in terms of them.
    pub fn local(&self, goal: &Goal, psi: &[f64]) -> Local {
        let standard = &self.problem.standard;
        let user = goal.local(&standard.to_user(psi));
        Local {
            value: user.value,
            gradient: standard.pull(&user.gradient),
            hessian: user.hessian.map(|h| standard.pull_both(&h)),
        }
    }

    pub fn value(&self, goal: &Goal, psi: &[f64]) -> f64 {
        goal.value(&self.problem.standard.to_user(psi))
    }
}
