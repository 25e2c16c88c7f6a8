//! Poisson counts.

use super::rows::{Kernel, LANES, run1};
use super::{Derivs, Family, Random, Rows, Want, whole};
use crate::link::{Link, continued};
use crate::special::{exp, expm1, expm1_near, gamma_inc, ln, saturated_poisson, select, vectorized};
use rand_distr::Distribution;

pub(super) const LINKS: &[Link] = &[Link::Log, Link::Identity, Link::Sqrt];

pub(super) struct Poisson(pub(super) Link);

#[derive(Default)]
struct LogKernel {
    mean: [f64; LANES],
    log_y: [f64; LANES],
}

impl Kernel<2, 5> for LogKernel {
    #[inline(always)]
    fn prepare(&mut self, [y, eta]: &[[f64; LANES]; 2]) {
        for (mean, eta) in self.mean.iter_mut().zip(eta) {
            *mean = exp(*eta);
        }
        for (log_y, y) in self.log_y.iter_mut().zip(y) {
            *log_y = ln(*y);
        }
    }

    #[inline(always)]
    fn row(&self, lane: usize, [y, eta]: [f64; 2]) -> [f64; 5] {
        let mean = self.mean[lane];
        [value(y, eta, mean, self.log_y[lane]), y - mean, -mean, -mean, -mean]
    }
}

/// Minus half the deviance, which for large counts keeps digits that y eta - mean would lose.
#[inline(always)]
fn value(y: f64, eta: f64, mean: f64, log_y: f64) -> f64 {
    let e = eta - log_y;
    let excess = select(e.abs() <= 0.5, y * expm1_near(e), mean - y);
    y.mul_add(e, -excess)
}

/// With the log link sum_i y_i (eta_i + s) - exp(eta_i + s) changes with s by s sum y_i - (exp(s) - 1) sum mean_i.
fn add_levels(y: &[f64], weight: Option<&[f64]>, eta: &[f64], shifts: &[f64], out: &mut [f64]) -> f64 {
    let mut here = [0.0; 3];
    vectorized(
        #[inline(always)]
        || {
            for i in 0..y.len() {
                let (mean, w) = (exp(eta[i]), weight.map_or(1.0, |w| w[i]));
                let sums = [value(y[i], eta[i], mean, ln(y[i])), y[i], mean];
                for k in 0..3 {
                    here[k] += select(w == 0.0, 0.0, w * sums[k]);
                }
            }
            let [value, counts, means] = here;
            for i in 0..shifts.len() {
                out[i] += shifts[i].mul_add(counts, value) - expm1(shifts[i]) * means;
            }
        },
    );
    here[1] + here[2]
}

/// Below this predictor of a link without logarithm ln(mean) continues as a parabola. Under the identity link another is
/// taken off, for counts of zero, which would draw the mean below zero.
const POLE: f64 = 1e-20;

/// The links with mean = eta^q, q 1 or 2.
struct PowerKernel(f64);

impl Kernel<2, 5> for PowerKernel {
    #[inline(always)]
    fn row(&self, _lane: usize, [y, eta]: [f64; 2]) -> [f64; 5] {
        let q = self.0;
        let [l, l1, l2, l3, l4] = continued(
            eta,
            POLE,
            #[inline(always)]
            |x| {
                let i = 1.0 / x;
                let i2 = i * i;
                [q * ln(x), q * i, -q * i2, 2.0 * q * i2 * i, -6.0 * q * i2 * i2]
            },
        );
        let linear = q == 1.0;
        let d = select(linear && eta < POLE, eta / POLE - 1.0, 0.0);
        let (mean, m1, m2) = if linear { (eta, 1.0, 0.0) } else { (eta * eta, 2.0 * eta, 2.0) };
        let bend = select(d < 0.0, 1.0 / (POLE * POLE), 0.0);
        let e = l - ln(y);
        let excess = select(e.abs() <= 0.5, y * expm1_near(e), mean - y) + 0.5 * d * d;
        [select(y > 0.0, y * e, 0.0) - excess, y * l1 - m1 - d / POLE, y * l2 - m2 - bend, y * l3, y * l4]
    }
}

/// Why a response is not a count, if it is not.
#[inline(always)]
pub(super) fn check_count(y: f64, message: &'static str) -> Result<(), &'static str> {
    if y >= 0.0 && whole(y) { Ok(()) } else { Err(message) }
}

/// A Poisson draw; beyond 1e15 the mean, from which it differs by less than 1 part in 10 million.
pub(super) fn draw(rng: &mut Random, mean: f64) -> f64 {
    if mean > 1e15 {
        return mean.floor();
    }
    rand_distr::Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(rng))
}

impl Family for Poisson {
    fn name(&self) -> &'static str {
        "poisson"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        match self.0.exponent() {
            Some(q) => run1(PowerKernel(q), [rows.y, eta[0]], want, out),
            None => run1(LogKernel::default(), [rows.y, eta[0]], want, out),
        }
    }

    fn add_shifted(
        &self,
        rows: Rows<'_>,
        weight: Option<&[f64]>,
        eta: &[&[f64]],
        shifts: &[f64],
        out: &mut [f64],
    ) -> Option<f64> {
        (self.0 == Link::Log).then(|| add_levels(rows.y, weight, eta[0], shifts, out))
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        saturated_poisson(y)
    }

    fn concordance(&self) -> Option<f64> {
        (self.0 == Link::Log).then_some(1.0)
    }

    fn exponential(&self) -> bool {
        true
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        match self.0 {
            Link::Identity => eta[0].max(POLE),
            link => link.inverse(eta[0]),
        }
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        self.mean(eta)
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        if y < 0.0 {
            return (0.0, 1.0);
        }
        let (upper, lower) = gamma_inc(y.floor() + 1.0, self.mean(eta));
        (lower, upper)
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        draw(rng, self.mean(eta))
    }

    #[inline(always)]
    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        check_count(y, "a poisson response must be a whole number, 0 or more")
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        match self.0 {
            Link::Log => ln(y + 0.5),
            link => link.link(y.max(0.1)),
        }
    }
}
