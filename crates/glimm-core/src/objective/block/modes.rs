//! The inner problem: the mode of every group's integrand, h(u) = -sum_i f_i(eta_i) + u'u / 2, for the
//! groups of a tile at once.

use super::lanes::{self, LANES, Lanes};
use super::work::Work;
use crate::family::Want;
use crate::objective::Reject;

/// Newton's method needs about ten steps from anywhere; halvings of bad steps count too.
const MAX_STEPS: usize = 100;
/// A predicted mode this far from the offset (in eta) is worse than none.
const WILD: f64 = 15.0;
/// Relative rise of h that rounding explains.
const ROUNDING: f64 = 1e-12;
/// Steps with a decrement below this move no eta by more than the curvature allows.
const SHORT: f64 = 1e-3;
/// Decrements below this that fall no further are rounding.
const ROUNDED: f64 = 1e-13;
/// Expected decrements below this need no proof that the step was good.
const CERTAIN: f64 = 1e-12;
/// Largest change of eta that the Taylor series of the row derivatives bridges, to the third order and to the fourth.
const POLISH: [f64; 2] = [1e-4, 2e-3];

/// Room for the small matrices and vectors of the search.
pub struct Search {
    pub(super) s: Vec<Lanes>,
    /// H in factorised form.
    pub(super) h: Vec<Lanes>,
    /// Z'r, Lambda'Z'r - u and H^-1 times it.
    pub(super) score: Vec<Lanes>,
    pub(super) gradient: Vec<Lanes>,
    pub(super) direction: Vec<Lanes>,
    step: Vec<Lanes>,
    b: Vec<Lanes>,
    pub(super) room: Vec<Lanes>,
}

impl Search {
    /// For `q` effects whose matrices are dense.
    pub fn new(q: usize) -> Search {
        Search::sized(q, [q * q; 3])
    }

    /// For a chain of `q` effects: S has a diagonal alone, and two vectors are H's factor.
    pub fn of_chain(q: usize) -> Search {
        Search::sized(q, [q, 2 * q, q])
    }

    fn sized(q: usize, [s, h, room]: [usize; 3]) -> Search {
        let zeros = |len: usize| vec![Lanes::ZERO; len];
        Search {
            s: zeros(s),
            h: zeros(h),
            score: zeros(q),
            gradient: zeros(q),
            direction: zeros(q),
            step: zeros(q),
            b: zeros(q),
            room: zeros(room),
        }
    }
}

/// The groups of a tile as the search sees them.
pub trait Inner<'a> {
    fn work(&mut self) -> &mut Work<'a>;

    /// b = Lambda u.
    fn effects(&self, q: usize, u: &[Lanes], b: &mut [Lanes]);

    /// eta = X beta + offset + Z b.
    fn predict(&mut self, q: usize, b: &[Lanes]);

    /// The largest |z'b| over the rows of each lane.
    fn reach(&self, q: usize, b: &[Lanes]) -> Lanes;

    /// Moves eta by z'b, b small, and the row derivatives with it by their Taylor series: no exponential.
    /// For random effects in the first predictor only.
    fn polish(&mut self, q: usize, b: &[Lanes]);

    /// Z'r, and H = I + Lambda'S Lambda factorised, lane by lane where it is positive definite; `bent` leaves rows out
    /// of S that would make it indefinite.
    fn factorise(&mut self, q: usize, bent: bool, room: &mut Search) -> [bool; LANES];

    /// The gradient Lambda'Z'r - u and the direction H^-1 times it.
    fn direct(&self, q: usize, u: &[Lanes], room: &mut Search);

    /// Moves `u` to the modes and leaves all row derivatives there. The search ends with the first step whose squared
    /// Newton decrement g'H^-1 g is below the tolerance in every lane: quadratic convergence makes the next one its
    /// square. That step is taken by the Taylor series of the row derivatives.
    #[inline(always)]
    fn find_modes(&mut self, q: usize, u: &mut [Lanes], near: bool, room: &mut Search) -> Result<(), Reject> {
        let (store, job) = (self.work().store, self.work().job);
        let everything = Want { dims: store.spans.len(), order: job.row_order(), value: true };
        if q == 0 {
            self.work().derive(everything);
            return Ok(());
        }
        let bridge = POLISH[usize::from(everything.order == 4)];
        let concordance = store.family.concordance().filter(|_| store.random == 1);
        let (mut best, mut previous) = (Lanes([f64::INFINITY; LANES]), f64::INFINITY);
        let mut expected = if near { 0.0 } else { f64::INFINITY };
        self.tame(q, u, room);
        for _ in 0..MAX_STEPS {
            self.effects(q, u, &mut room.b);
            self.predict(q, &room.b);
            // All derivatives are worth their cost where the search is about to end.
            let last = expected < job.tolerance;
            let value = concordance.is_none();
            self.work().derive(if last { everything } else { Want { dims: store.random, order: 2, value } });
            // Near the mode h tells nothing but rounding.
            let checked = value && expected > CERTAIN;
            let back = if checked { self.step_back(q, u, &mut best, room)? } else { [false; LANES] };
            let decrement = self.newton_direction(q, u, back, room);
            let most = decrement.largest();
            if !most.is_finite() {
                return Err(Reject::NoMode);
            }
            let reach = if most > SHORT || last { self.reach_of(q, room) } else { Lanes::ZERO };
            let retreats = back.contains(&true);
            let rounding = most < ROUNDED && most > 0.1 * previous;
            let arrived = most < job.tolerance || rounding;
            previous = most;
            if last && !retreats && arrived && store.random == 1 && reach.largest() < bridge {
                self.take(q, u, Lanes::ONE, back, room);
                self.polish(q, &room.b);
                return Ok(());
            }
            // Effects in several predictors: no polish, so that the step itself has to be small.
            let settled = most < job.tolerance * job.tolerance || rounding;
            if last && !retreats && store.random > 1 && settled {
                return Ok(());
            }
            // log(1 + D) / D with D the largest change of eta: with |f'''| <= M |f''| this cannot overshoot.
            let mut length = Lanes::ONE;
            for l in 0..LANES {
                let d = concordance.unwrap_or(0.0) * reach.0[l];
                length.0[l] = if d > 1.0 { d.ln_1p() / d } else { 1.0 };
            }
            self.take(q, u, length, back, room);
            let undamped = length.0 == [1.0; LANES] && !retreats;
            expected = if undamped { most * most } else { f64::INFINITY };
        }
        Err(Reject::NoMode)
    }

    /// Starts wild groups again from zero.
    #[inline(always)]
    fn tame(&mut self, q: usize, u: &mut [Lanes], room: &mut Search) {
        if u.iter().all(|u| *u == Lanes::ZERO) {
            return;
        }
        self.effects(q, u, &mut room.b);
        let reach = self.reach(q, &room.b);
        for l in 0..LANES {
            if reach.0[l].is_nan() || reach.0[l] > WILD || u.iter().any(|u| !u.0[l].is_finite()) {
                u.iter_mut().for_each(|u| u.0[l] = 0.0);
            }
        }
    }

    /// The largest change of eta that the direction brings.
    #[inline(always)]
    fn reach_of(&self, q: usize, room: &mut Search) -> Lanes {
        self.effects(q, &room.direction, &mut room.b);
        self.reach(q, &room.b)
    }

    /// u += length direction, except where a bad step was halved instead.
    #[inline(always)]
    fn take(&self, q: usize, u: &mut [Lanes], length: Lanes, back: [bool; LANES], room: &mut Search) {
        for c in 0..q {
            for l in 0..LANES {
                if !back[l] {
                    room.step[c].0[l] = length.0[l] * room.direction[c].0[l];
                    u[c].0[l] += room.step[c].0[l];
                }
            }
        }
    }

    /// Where no bound on the third derivative is known: takes half of a step back that raised h.
    #[inline(always)]
    fn step_back(
        &mut self,
        q: usize,
        u: &mut [Lanes],
        best: &mut Lanes,
        room: &mut Search,
    ) -> Result<[bool; LANES], Reject> {
        let h = lanes::dot(q, u, u) * 0.5 - self.work().total();
        let mut back = [false; LANES];
        for l in 0..LANES {
            if h.0[l] <= best.0[l] + ROUNDING * (1.0 + best.0[l].abs()) {
                best.0[l] = h.0[l];
                continue;
            }
            if best.0[l] == f64::INFINITY {
                return Err(Reject::NoMode);
            }
            back[l] = true;
            for c in 0..q {
                room.step[c].0[l] *= 0.5;
                u[c].0[l] -= room.step[c].0[l];
            }
        }
        Ok(back)
    }

    /// H^-1 (Lambda'Z'r - u) and its squared decrement. Where h is not convex, rows that bend the wrong way are left
    /// out of H, which keeps the step uphill.
    #[inline(always)]
    fn newton_direction(&mut self, q: usize, u: &[Lanes], back: [bool; LANES], room: &mut Search) -> Lanes {
        let mut good = self.factorise(q, false, room);
        // What lies behind a step that is taken back does not matter.
        for l in 0..LANES {
            good[l] |= back[l];
        }
        if good.contains(&false) {
            let convex = room.h.clone();
            self.factorise(q, true, room);
            for (h, convex) in room.h.iter_mut().zip(&convex) {
                for l in 0..LANES {
                    h.0[l] = if good[l] { convex.0[l] } else { h.0[l] };
                }
            }
        }
        self.direct(q, u, room);
        let mut decrement = lanes::dot(q, &room.gradient, &room.direction);
        for l in 0..LANES {
            decrement.0[l] = if back[l] { f64::MAX } else { decrement.0[l] };
        }
        decrement
    }
}

impl<'a> Inner<'a> for Work<'a> {
    #[inline(always)]
    fn work(&mut self) -> &mut Work<'a> {
        self
    }

    #[inline(always)]
    fn effects(&self, q: usize, u: &[Lanes], b: &mut [Lanes]) {
        lanes::matvec(q, false, &self.job.lambda, u, b);
    }

    fn predict(&mut self, q: usize, b: &[Lanes]) {
        Work::predict(self, q, b);
    }

    fn reach(&self, q: usize, b: &[Lanes]) -> Lanes {
        Work::reach(self, q, b)
    }

    fn polish(&mut self, q: usize, b: &[Lanes]) {
        Work::polish(self, q, b);
    }

    #[inline(always)]
    fn factorise(&mut self, q: usize, bent: bool, room: &mut Search) -> [bool; LANES] {
        self.score_and_curvature(q, bent, &mut room.score, &mut room.s);
        self.among_effects(q, &room.s, &self.job.lambda, &mut room.room);
        lanes::symmetric_lower_times(q, &self.job.lambda, &room.room, &mut room.h);
        for c in 0..q {
            room.h[c * q + c] += Lanes::ONE;
        }
        lanes::cholesky(q, &mut room.h)
    }

    #[inline(always)]
    fn direct(&self, q: usize, u: &[Lanes], room: &mut Search) {
        lanes::matvec(q, true, &self.job.lambda, &room.score, &mut room.gradient);
        for c in 0..q {
            room.gradient[c] = room.gradient[c] - u[c];
            room.direction[c] = room.gradient[c];
        }
        lanes::cholesky_solve(q, &room.h, &mut room.direction);
    }
}
