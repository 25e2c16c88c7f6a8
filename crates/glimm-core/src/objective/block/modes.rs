//! The inner problem: the mode of every group's integrand, h(u) = -sum_i f_i(eta_i) + u'u / 2.

use std::ops::Range;

use super::groups::Groups;
use crate::family::Want;
use crate::linalg::dense;
use crate::objective::Reject;
use crate::objective::laplace::Patch;
use crate::objective::sums::{dot, dot3, total};
use crate::special::vectorized;

/// Newton's method needs about ten steps from anywhere; halvings of bad steps count too.
const MAX_STEPS: usize = 100;
/// A predicted mode this far from the offset (in eta) is worse than none.
const WILD: f64 = 15.0;
/// Relative rise of h that rounding explains.
const ROUNDING: f64 = 1e-12;
/// Steps with a decrement below this move no eta by more than the curvature allows.
const SHORT: f64 = 1e-3;

/// What Newton's method remembers of the groups.
struct Search {
    active: Vec<bool>,
    h: Vec<f64>,
    /// Last step taken, one vector per group.
    step: Vec<f64>,
}

/// Room for one group's small matrices and vectors.
struct Room {
    s: Vec<f64>,
    h: Vec<f64>,
    score: Vec<f64>,
    gradient: Vec<f64>,
    direction: Vec<f64>,
    b: Vec<f64>,
}

impl Patch<'_, Groups<'_>> {
    /// Moves `self.u` to the modes. Each group stops after the first step whose squared Newton
    /// decrement g'H^-1 g is below `tolerance`: quadratic convergence makes the next one its square.
    pub fn find_modes(&mut self, tolerance: f64) -> Result<(), Reject> {
        let (q, groups) = (self.geometry.q(), self.geometry.count());
        if q == 0 {
            return Ok(());
        }
        let mut search =
            Search { active: vec![true; groups], h: vec![f64::INFINITY; groups], step: vec![0.0; groups * q] };
        let vector = || vec![0.0; q];
        let mut room = Room {
            s: vec![0.0; q * q],
            h: vec![0.0; q * q],
            score: vector(),
            gradient: vector(),
            direction: vector(),
            b: vector(),
        };
        self.tame_start(&mut room.b);
        for _ in 0..MAX_STEPS {
            let mut end = 0;
            while let Some(start) = (end..groups).find(|&g| search.active[g]) {
                end = (start..groups).find(|&g| !search.active[g]).unwrap_or(groups);
                vectorized(
                    #[inline(always)]
                    || {
                        dense::by_size(
                            q,
                            #[inline(always)]
                            |q| self.newton_steps(q, start..end, &mut search, &mut room, tolerance),
                        )
                    },
                )?;
            }
            if end == 0 {
                return Ok(());
            }
        }
        Err(Reject::NoMode)
    }

    /// Starts wild groups again from zero.
    #[inline(always)]
    fn tame_start(&mut self, b: &mut [f64]) {
        let q = self.geometry.q();
        for g in 0..self.geometry.count() {
            let u = &mut self.u[g * q..(g + 1) * q];
            if u.iter().all(|&v| v == 0.0) {
                continue;
            }
            dense::matvec(&self.lambda[0], u, q, b);
            if b.iter().any(|v| !v.is_finite()) || self.geometry.reach(g, b) > WILD {
                u.fill(0.0);
            }
        }
    }

    /// eta of a run of groups.
    #[inline(always)]
    fn run_predictors(&mut self, q: usize, run: Range<usize>, b: &mut [f64]) {
        let rows = self.geometry.starts[run.start]..self.geometry.starts[run.end];
        for k in 0..self.random {
            self.eta[k][rows.clone()].copy_from_slice(&self.fixed[k][rows.clone()]);
        }
        for g in run {
            let at = self.geometry.rows(g);
            dense::matvec(&self.lambda[0], &self.u[g * q..(g + 1) * q], q, b);
            for (c, b) in b[..q].iter().enumerate() {
                let eta = &mut self.eta[self.geometry.predictor[c]][at.clone()];
                for (e, z) in eta.iter_mut().zip(&self.geometry.z[c][at.clone()]) {
                    *e += z * b;
                }
            }
        }
    }

    /// One damped Newton step for each of a run of consecutive active groups.
    #[inline(always)]
    fn newton_steps(
        &mut self,
        q: usize,
        run: Range<usize>,
        search: &mut Search,
        room: &mut Room,
        tolerance: f64,
    ) -> Result<(), Reject> {
        let concordance = self.data.family.concordance();
        let first = self.geometry.starts[run.start];
        self.run_predictors(q, run.clone(), &mut room.b);
        let want = Want { dims: self.random, order: 2, value: concordance.is_none() };
        self.row_derivatives(first..self.geometry.starts[run.end], want);
        for g in run {
            let rows = self.geometry.rows(g);
            let at = rows.start - first..rows.end - first;
            let u = g * q..(g + 1) * q;
            if concordance.is_none() && self.climbed(at.clone(), u.clone(), g, search)? {
                continue;
            }
            self.group_moments(q, g, at, room);
            dense::matvec_t(&self.lambda[0], &room.score, q, &mut room.gradient);
            room.gradient.iter_mut().zip(&self.u[u.clone()]).for_each(|(g, u)| *g -= u);
            room.direction.copy_from_slice(&room.gradient);
            dense::cholesky_solve(&room.h, q, &mut room.direction);
            let decrement = dot(&room.gradient, &room.direction);
            if !decrement.is_finite() {
                return Err(Reject::NoMode);
            }
            let length = self.step_length(g, concordance, decrement, room);
            let step = &mut search.step[u.clone()];
            for ((u, s), d) in self.u[u].iter_mut().zip(step).zip(&room.direction) {
                *s = length * d;
                *u += *s;
            }
            search.active[g] = decrement >= tolerance;
        }
        Ok(())
    }

    /// Where no bound on the third derivative is known: takes half of a step back that raised h.
    #[inline(always)]
    fn climbed(&mut self, at: Range<usize>, u: Range<usize>, g: usize, search: &mut Search) -> Result<bool, Reject> {
        let h = 0.5 * dot(&self.u[u.clone()], &self.u[u.clone()]) - total(&self.derivs.value()[at]);
        if h <= search.h[g] + ROUNDING * (1.0 + search.h[g].abs()) {
            search.h[g] = h;
            return Ok(false);
        }
        if search.h[g] == f64::INFINITY {
            return Err(Reject::NoMode);
        }
        for (u, s) in self.u[u.clone()].iter_mut().zip(&mut search.step[u]) {
            *s *= 0.5;
            *u -= *s;
        }
        Ok(true)
    }

    /// Z'r and the Cholesky factor of H for one group. Where h is not convex, rows that bend the
    /// wrong way are left out of H, which keeps the step uphill.
    #[inline(always)]
    fn group_moments(&self, q: usize, g: usize, at: Range<usize>, room: &mut Room) {
        let rows = self.geometry.rows(g);
        let (z, predictor) = (&self.geometry.z, self.geometry.predictor);
        for c in 0..q {
            room.score[c] = dot(&z[c][rows.clone()], &self.derivs.get(&[predictor[c]])[at.clone()]);
        }
        for clipped in [false, true] {
            for c in 0..q {
                for d in 0..=c {
                    let (k, l) = (predictor[c].min(predictor[d]), predictor[c].max(predictor[d]));
                    let f2 = &self.derivs.get(&[k, l])[at.clone()];
                    let (zc, zd) = (&z[c][rows.clone()], &z[d][rows.clone()]);
                    let sum = if clipped {
                        let kept = |f2: f64| if k == l { f2.min(0.0) } else { 0.0 };
                        f2.iter().zip(zc).zip(zd).map(|((f, x), y)| kept(*f) * x * y).sum()
                    } else {
                        dot3(zc, zd, f2)
                    };
                    room.s[c * q + d] = -sum;
                    room.s[d * q + c] = -sum;
                }
            }
            room.h.fill(0.0);
            dense::each_sandwich::<true>(q, &self.lambda[0], &room.s, &self.lambda[0], &mut room.h);
            (0..q).for_each(|c| room.h[c * q + c] += 1.0);
            if dense::cholesky(&mut room.h, q) {
                return;
            }
        }
    }

    /// log(1 + D) / D with D the largest change of eta: with |f'''| <= M |f''| this cannot overshoot.
    #[inline(always)]
    fn step_length(&self, g: usize, concordance: Option<f64>, decrement: f64, room: &mut Room) -> f64 {
        match concordance {
            Some(m) if m > 0.0 && decrement > SHORT => {
                dense::matvec(&self.lambda[0], &room.direction, self.geometry.q(), &mut room.b);
                let d = m * self.geometry.reach(g, &room.b);
                if d > 1.0 { d.ln_1p() / d } else { 1.0 }
            }
            _ => 1.0,
        }
    }
}
