//! The logit and both log-log links: distribution functions F whose log and log density are concave.
//!
//! The trapezoidal rule on a line converges like exp(-2 pi d / step), d the distance of the nearest singularity from the
//! line (Trefethen and Weideman 2014, SIAM Review 56, 385-458): pi for the logit, and pi / 2 for the log-log links, beyond
//! which they explode. Up to `DIRECT` the sum runs over t; for larger sd over x = eta + sd t after an integration by parts,
//!
//!   E F(eta + sd t) = integral of F'(x) P(t > (x - eta) / sd) dx,
//!
//! whose window does not grow with sd. Both are taken on the side where the mean is small, so that relative accuracy
//! holds in the tails.

use super::Average;
use crate::link::Link;
use crate::special::{exp, log_normal_cdf_derivatives, log1p, logistic, normal_cdf, normal_pdf};

/// Largest sd of the sum over t.
const DIRECT: f64 = 4.0;
/// Fall of a log integrand from its top at which a window ends: exp(-39) = 1e-17.
const DROP: f64 = 39.0;
/// The distance at which the normal density has fallen so far.
const REACH: f64 = 8.9;
/// Step of the rule for the normal density alone.
const STEP: f64 = 0.42;
/// Steps of bisection that place a window; a window need not be sharp.
const PLACE: usize = 12;

pub(super) fn average(link: Link, eta: f64, sd: f64) -> Average {
    if eta > 0.0 {
        return average(mirror(link), -eta, sd).mirrored();
    }
    let [mean, d_eta, d_sd] = if sd <= DIRECT { direct(link, eta, sd) } else { by_parts(link, eta, sd) };
    Average { mean, complement: 1.0 - mean, d_eta, d_sd }
}

/// The link of 1 - F(-x).
fn mirror(link: Link) -> Link {
    match link {
        Link::Cloglog => Link::Loglog,
        Link::Loglog => Link::Cloglog,
        other => other,
    }
}

/// Step in x that the singularities of F allow.
fn step(link: Link) -> f64 {
    if link == Link::Logit { 0.4 } else { 0.2 }
}

/// Derivatives of ln F and of ln F'.
fn slopes(link: Link, x: f64) -> [f64; 2] {
    match link {
        Link::Logit => {
            let (p, q) = logistic(x);
            [q, q - p]
        }
        Link::Cloglog => [link.log_tails(x)[0][1], 1.0 - exp(x)],
        _ => [exp(-x), exp(-x) - 1.0],
    }
}

fn log_density(link: Link, x: f64) -> f64 {
    match link {
        Link::Logit => -x.abs() - 2.0 * log1p(exp(-x.abs())),
        Link::Cloglog => x - exp(x),
        _ => -x - exp(-x),
    }
}

fn direct(link: Link, eta: f64, sd: f64) -> [f64; 3] {
    let [first, second] = [0, 1].map(|which| top(link, eta, sd, which));
    let (from, to) = (first.min(second) - REACH, first.max(second) + REACH);
    // Where the tail falls doubly exponentially the integrand is narrower than the normal density.
    let narrow = sd.mul_add((first - sd).max(0.0), 1.0).sqrt();
    let step = STEP.min(step(link) / sd) / narrow;
    let mut sums = [0.0; 3];
    for k in 0..=((to - from) / step) as usize {
        let t = (k as f64).mul_add(step, from);
        let weight = normal_pdf(t);
        let [f, d1, d2, ..] = link.inverse_derivatives(sd.mul_add(t, eta));
        sums = [weight.mul_add(f, sums[0]), weight.mul_add(d1, sums[1]), weight.mul_add(d2, sums[2])];
    }
    [step * sums[0], step * sums[1], sd * step * sums[2]]
}

/// Where ln F (`which` = 0) or ln F' (1) at eta + sd t, less t^2 / 2, has its top: the t with sd slope(eta + sd t) = t.
fn top(link: Link, eta: f64, sd: f64, which: usize) -> f64 {
    let slope = |t: f64| sd * slopes(link, sd.mul_add(t, eta))[which] - t;
    let start = slope(0.0);
    // At x = 0 no slope is above one.
    let mut far = if start > 0.0 { start.min(sd.max(-eta / sd.max(f64::MIN_POSITIVE))) } else { start.max(-sd) };
    let mut near = 0.0;
    for _ in 0..4 * PLACE {
        if (far - near).abs() < 0.1 {
            break;
        }
        let middle = 0.5 * (near + far);
        if (slope(middle) > 0.0) == (start > 0.0) { near = middle } else { far = middle }
    }
    0.5 * (near + far)
}

fn by_parts(link: Link, eta: f64, sd: f64) -> [f64; 3] {
    let (from, to) = window(link, eta, sd);
    let step = step(link);
    let mut sums = [0.0; 3];
    for k in 0..=((to - from) / step) as usize {
        let x = (k as f64).mul_add(step, from);
        let t = (x - eta) / sd;
        let (density, normal) = (link.inverse_derivatives(x)[1], normal_pdf(t));
        let slope = density * normal;
        sums = [density.mul_add(normal_cdf(-t), sums[0]), sums[1] + slope, slope.mul_add(t, sums[2])];
    }
    [step * sums[0], step / sd * sums[1], step / sd * sums[2]]
}

/// Where F'(x) P(t > (x - eta) / sd) lives, for eta <= 0.
fn window(link: Link, eta: f64, sd: f64) -> (f64, f64) {
    let tail = |x: f64| log_normal_cdf_derivatives((eta - x) / sd);
    let value = |x: f64| log_density(link, x) + tail(x)[0];
    let (mut low, mut high) = (eta - 3.0, 0.0);
    while high - low > 0.5 {
        let middle = 0.5 * (low + high);
        if slopes(link, middle)[1] > tail(middle)[1] / sd { low = middle } else { high = middle }
    }
    let top = 0.5 * (low + high);
    let floor = value(top) - DROP;
    let edge = |sign: f64| {
        let (mut inside, mut outside) = (0.0, 4.0);
        while value(sign.mul_add(outside, top)) > floor {
            (inside, outside) = (outside, 2.0 * outside);
        }
        for _ in 0..3 {
            let middle = 0.5 * (inside + outside);
            if value(sign.mul_add(middle, top)) > floor { inside = middle } else { outside = middle }
        }
        sign.mul_add(outside, top)
    };
    (edge(-1.0), edge(1.0))
}
