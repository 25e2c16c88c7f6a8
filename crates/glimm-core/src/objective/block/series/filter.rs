//! The algebra of eight Markov chains side by side, each operation in one or two passes over time.
//!
//! With s_t = r_t s_(t-1) + f_t u_t and b_t = c_t s_t, that is b = Lambda u, and S = Z'WZ diagonal, the Cholesky factor of
//! H = I + Lambda'S Lambda follows from the last effect to the first (an information filter that runs backwards):
//!
//! ```text
//! J_t = c_t^2 S_t + r_(t+1)^2 g_(t+1)       d_t = 1 + f_t^2 J_t        g_t = J_t / d_t        log|H| = sum log d_t
//! V_t = (r_t / d_t)^2 V_(t-1) + f_t^2 / d_t                            (Lambda H^-1 Lambda')_tt = c_t^2 V_t
//! ```
//!
//! Nothing is divided by the variance of what is new, so that r = 1, f = 0 and c = 0 are points like any other.

use super::steps::Coefficients;
use crate::objective::block::lanes::{LANES, Lanes};
use crate::special;

/// s, as a sum of its tangents too: s_t = r_t s_(t-1) + f_t u_t.
#[inline(always)]
pub fn run(at: &[Coefficients], u: &[Lanes], s: &mut [Lanes]) {
    let mut before = Lanes::ZERO;
    for (t, x) in at.iter().enumerate() {
        before = Lanes::all(x.r).fma(before, u[t] * x.f);
        s[t] = before;
    }
}

/// The change of s with the coefficients, u held: s is that of `u`.
#[inline(always)]
pub fn run_tangent(at: &[Coefficients], d: &[Coefficients], u: &[Lanes], s: &[Lanes], ds: &mut [Lanes]) {
    let (mut before, mut moved) = (Lanes::ZERO, Lanes::ZERO);
    for (t, (x, d)) in at.iter().zip(d).enumerate() {
        moved = Lanes::all(x.r).fma(moved, Lanes::all(d.r).fma(before, u[t] * d.f));
        (ds[t], before) = (moved, s[t]);
    }
}

/// w_t = c_t y_t + r_(t+1) w_(t+1): Lambda'y is f w.
#[inline(always)]
pub fn pull(at: &[Coefficients], y: &[Lanes], w: &mut [Lanes]) {
    let mut after = Lanes::ZERO;
    for (t, x) in at.iter().enumerate().rev() {
        w[t] = Lanes::all(x.c).fma(y[t], after);
        after = w[t] * x.r;
    }
}

/// dLambda'y, from w of [`pull`].
#[inline(always)]
pub fn pull_tangent(at: &[Coefficients], d: &[Coefficients], y: &[Lanes], w: &[Lanes], out: &mut [Lanes]) {
    let mut after = Lanes::ZERO;
    for (t, (x, d)) in at.iter().zip(d).enumerate().rev() {
        let moved = Lanes::all(d.c).fma(y[t], after);
        out[t] = Lanes::all(x.f).fma(moved, w[t] * d.f);
        after = Lanes::all(x.r).fma(moved, w[t] * d.r);
    }
}

/// Writes J and 1 / d; whether H is positive definite, lane by lane.
#[inline(always)]
pub fn factorise(at: &[Coefficients], s: &[Lanes], j: &mut [Lanes], inverse: &mut [Lanes]) -> [bool; LANES] {
    let (mut good, mut after) = ([true; LANES], Lanes::ZERO);
    for (t, x) in at.iter().enumerate().rev() {
        j[t] = Lanes::all(x.cc).fma(s[t], after);
        let d = Lanes::all(x.ff).fma(j[t], Lanes::ONE);
        for l in 0..LANES {
            good[l] &= d.0[l] > 0.0 && d.0[l] < f64::INFINITY;
        }
        inverse[t] = d.inverse();
        after = j[t] * inverse[t] * x.rr;
    }
    good
}

/// log|H|.
#[inline(always)]
pub fn logdet(inverse: &[Lanes]) -> Lanes {
    let mut sum = Lanes::ZERO;
    for x in inverse {
        for l in 0..LANES {
            sum.0[l] += special::ln(x.0[l]);
        }
    }
    -sum
}

/// Writes V.
#[inline(always)]
pub fn variances(at: &[Coefficients], inverse: &[Lanes], v: &mut [Lanes]) {
    let mut before = Lanes::ZERO;
    for (t, x) in at.iter().enumerate() {
        let kept = inverse[t] * x.r;
        before = (kept * kept).fma(before, inverse[t] * x.ff);
        v[t] = before;
    }
}

/// x = H^-1 x. A last effect is known given the one before it: k carries what it says of that.
#[inline(always)]
pub fn solve(at: &[Coefficients], [j, inverse]: [&[Lanes]; 2], x: &mut [Lanes], k: &mut [Lanes]) {
    let mut after = Lanes::ZERO;
    for (t, a) in at.iter().enumerate().rev() {
        k[t] = after;
        after = (inverse[t] * a.r) * (-(j[t] * a.f)).fma(x[t], after);
    }
    let mut before = Lanes::ZERO;
    for (t, a) in at.iter().enumerate() {
        let carried = before * a.r;
        x[t] = inverse[t] * ((-j[t]).fma(carried, k[t]) * a.f + x[t]);
        before = x[t].fma(Lanes::all(a.f), carried);
    }
}

/// dJ and dg along dS and, if the coefficients move too, `d`.
#[inline(always)]
pub fn filter_tangent(
    at: &[Coefficients],
    d: Option<&[Coefficients]>,
    [s, j, inverse]: [&[Lanes]; 3],
    ds: &[Lanes],
    [dj_out, dg_out]: [&mut [Lanes]; 2],
) {
    let mut after = Lanes::ZERO;
    for (t, x) in at.iter().enumerate().rev() {
        let mut dj = Lanes::all(x.cc).fma(ds[t], after);
        let mut bend = dj;
        if let Some(d) = d {
            dj = Lanes::all(d[t].cc).fma(s[t], dj);
            bend = (-(j[t] * j[t])).fma(Lanes::all(d[t].ff), dj);
        }
        let dg = bend * inverse[t] * inverse[t];
        (dj_out[t], dg_out[t]) = (dj, dg);
        after = dg * x.rr;
        if let Some(d) = d {
            after = (j[t] * inverse[t]).fma(Lanes::all(d[t].rr), after);
        }
    }
}
