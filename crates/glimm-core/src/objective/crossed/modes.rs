//! The inner problem when random effects are crossed or nested: one Newton search for all of them.

use super::cells::Cells;
use super::rows::Rows;
use crate::control::Control;
use crate::family::Want;
use crate::objective::geometry::{Effects, Geometry};
use crate::objective::laplace::Patch;
use crate::objective::sums::{dot, total};
use crate::objective::{Reject, proceed};

const MAX_STEPS: usize = 200;
/// A predicted mode this far from the offset (in eta) is worse than none.
const WILD: f64 = 15.0;
/// Relative rise of h that rounding explains.
const ROUNDING: f64 = 1e-12;
/// Steps with a decrement below this are never damped.
const SHORT: f64 = 1e-3;
/// An old factor serves as long as a step with it leaves less than this part of the decrement, and
/// for the first step when no more than this is left.
const CHORD: f64 = 0.1;
const CHORD_FIRST: f64 = 1.0;
/// The part of the tolerance at which such steps end: they do not square what is left.
const CHORD_LAST: f64 = 1e-8;

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// Moves `self.u` to the mode of h(u) = -sum_i f_i + u'Pu / 2, stopping after the first step whose
    /// squared Newton decrement is below `tolerance`. Steps are damped by log(1 + D) / D, D the
    /// largest change of eta, and halved when they raise h. `factored` says that the geometry holds
    /// the factor of an H nearby.
    pub fn find_modes(&mut self, tolerance: f64, mut factored: bool, control: &Control) -> Result<(), Reject> {
        self.tame_start();
        let (mut best, mut last, mut step) = (f64::INFINITY, CHORD_FIRST / CHORD, vec![0.0; self.u.len()]);
        for _ in 0..MAX_STEPS {
            proceed(control)?;
            self.linear_predictors();
            self.row_derivatives(0..self.rows, Want { dims: self.random, order: 2, value: true });
            control.advance(self.rows);
            let h = self.prior() - total(self.derivs.value());
            // Not "h > ...": a NaN is no descent.
            let descended = h <= best + ROUNDING * (1.0 + best.abs());
            if !descended {
                if best == f64::INFINITY {
                    return Err(Reject::NoMode);
                }
                step.iter_mut().for_each(|s| *s *= 0.5);
                self.u.iter_mut().zip(&step).for_each(|(u, s)| *u -= s);
                factored = false;
                continue;
            }
            best = h;
            proceed(control)?;
            let gradient = self.inner_gradient();
            let (direction, decrement, enough) = match self.chord(&gradient, factored, CHORD * last) {
                Some((direction, decrement)) => (direction, decrement, CHORD_LAST * tolerance),
                None => {
                    let (direction, decrement) = self.newton_direction(&gradient)?;
                    (direction, decrement, tolerance)
                }
            };
            (factored, last) = (true, decrement);
            let length = self.step_length(&direction, decrement);
            for ((u, s), d) in self.u.iter_mut().zip(&mut step).zip(&direction) {
                *s = length * d;
                *u += *s;
            }
            if decrement < enough {
                return Ok(());
            }
        }
        Err(Reject::NoMode)
    }

    fn tame_start(&mut self) {
        let mut pu = self.u.to_vec();
        self.geometry.weigh(&mut pu);
        let reach = self.reach(&pu);
        if reach.is_nan() || reach > WILD {
            // Effects under a flat prior may be of any size.
            self.u.iter_mut().zip(&pu).filter(|(_, pu)| **pu != 0.0).for_each(|(u, _)| *u = 0.0);
        }
    }

    /// log(1 + D) / D; no damping where the decrement bounds the change.
    fn step_length(&self, direction: &[f64], decrement: f64) -> f64 {
        let concordance = self.data.family.concordance();
        if concordance.is_some() && decrement < SHORT {
            return 1.0;
        }
        let reach = concordance.unwrap_or(1.0) * self.reach(direction);
        if reach > 1.0 { reach.ln_1p() / reach } else { 1.0 }
    }

    /// max_i |z_i'Lambda d|.
    fn reach(&self, d: &[f64]) -> f64 {
        if d.iter().all(|&d| d == 0.0) {
            return 0.0;
        }
        let mut b = vec![0.0; d.len()];
        self.geometry.apply(self.lambda, d, &mut b);
        let mut reach = 0.0_f64;
        for k in 0..self.random {
            let mut rows = vec![0.0; self.rows];
            self.geometry.expand(k, &b, &mut rows);
            if rows.iter().any(|r| !r.is_finite()) {
                return f64::NAN;
            }
            reach = rows.iter().fold(reach, |m, r| m.max(r.abs()));
        }
        reach
    }

    /// Lambda'Z'r - Pu.
    fn inner_gradient(&self) -> Vec<f64> {
        let mut zr = vec![0.0; self.u.len()];
        self.score(&mut zr);
        self.slope(&zr)
    }

    /// The step with an old factor, where there is one and the decrement is below `limit`.
    fn chord(&mut self, gradient: &[f64], factored: bool, limit: f64) -> Option<(Vec<f64>, f64)> {
        if !factored || !self.geometry.solver.costly() {
            return None;
        }
        let mut direction = gradient.to_vec();
        self.geometry.solve(&mut direction);
        let decrement = dot(gradient, &direction);
        (decrement < limit).then_some((direction, decrement))
    }

    /// H^-1 times the gradient and the squared decrement. Where h is not convex, rows that bend the
    /// wrong way are left out of H, which keeps the step uphill.
    fn newton_direction(&mut self, gradient: &[f64]) -> Result<(Vec<f64>, f64), Reject> {
        let mut s = vec![0.0; self.geometry.matrix_len()];
        self.curvature(&mut s);
        let mut h = self.penalised(&s);
        if self.geometry.factorise(&h).is_none() {
            s.fill(0.0);
            for k in 0..self.random {
                let clipped: Vec<f64> = self.derivs.get(&[k, k]).iter().map(|f| -f.min(0.0)).collect();
                self.geometry.sum_outer(k, k, &clipped, &mut s);
            }
            h = self.penalised(&s);
            self.geometry.factorise(&h).ok_or(Reject::NoMode)?;
        }
        let mut direction = gradient.to_vec();
        self.geometry.solve(&mut direction);
        let decrement = dot(gradient, &direction);
        if decrement.is_finite() { Ok((direction, decrement)) } else { Err(Reject::NoMode) }
    }
}
