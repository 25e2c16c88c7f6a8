//! Counts without zeros: a family of counts given that the response is 1 or more.
//!
//!   log f(y | Y > 0) = log f(y) - ln(1 - f(0)),   y = 1, 2, ...
//!
//! Predictor 0 stays the log mean of the counts before zeros were taken out; [`Family::mean`] and
//! [`Family::variance`] are those of what is left. The second term is a function of l = ln f(0), a jet from the
//! derivatives of the family at y = 0. Written as  ln(-l) + ln((1 - exp(l)) / -l)  it stays accurate for small means,
//! where l goes to 0. (Cameron and Trivedi 2013, Regression Analysis of Count Data, 4.3.)

use super::jets::{Jet, Loop, dispatch, whole};
use super::{Derivs, Family, Parameter, Random, Rows, Want, sums};
use crate::link::Link;
use crate::special::{exp, expm1, ln};
use rand::RngExt;

/// Below this l the probability of a zero does not matter.
const NO_ZEROS: f64 = -600.0;
/// Below this share of positive counts draws are made by inversion.
const RARE: f64 = 0.2;
/// So many zeros in a row do not happen.
const MOST_DRAWS: usize = 400;
/// Counts that inversion looks at one by one.
const SEARCH: i32 = 16;
/// B_2k / (2k (2k)!): ln((exp(x) - 1) / x) - x / 2 is their sum over x^2k.
const SERIES: [f64; 6] = [
    1.0 / 24.0,
    -1.0 / 2880.0,
    1.0 / 181_440.0,
    -1.0 / 9_676_800.0,
    1.0 / 479_001_600.0,
    -691.0 / 15_692_092_416_000.0,
];

/// What is particular to one truncated family.
pub(super) struct Truncated<F> {
    pub(super) name: &'static str,
    pub(super) message: &'static str,
    pub(super) base: F,
}

/// ln((1 - exp(-x)) / x) and its first four derivatives, for small x >= 0.
fn near(x: f64) -> [f64; 5] {
    let mut out = [0.0; 5];
    for (i, c) in SERIES.iter().enumerate().rev() {
        let power = 2 * (i as i32 + 1);
        let mut factor = *c;
        for (k, out) in out.iter_mut().enumerate() {
            let left = power - k as i32;
            if left >= 0 {
                *out += factor * x.powi(left);
            }
            factor *= f64::from(left);
        }
    }
    out[0] -= 0.5 * x;
    out[1] -= 0.5;
    out
}

/// ln(1 - exp(-x)) for x > 0.
fn log_positive<const D: usize, const N: usize>(x: Jet<D, N>) -> Jet<D, N> {
    let value = x.value();
    if value > -NO_ZEROS {
        Jet::constant(0.0)
    } else if value < f64::MIN_POSITIVE {
        Jet::constant(ln(value))
    } else if value < 0.5 {
        x.ln() + x.compose(near(value))
    } else {
        (-x).log1mexp()
    }
}

/// Takes the logs of the probabilities of positive counts away from the log densities.
struct Subtract<'a> {
    zero: &'a Derivs,
    out: &'a mut Derivs,
}

impl Loop for Subtract<'_> {
    fn rows<const D: usize, const N: usize>(&mut self) {
        let columns = self.out.columns::<N>();
        for i in 0..self.zero.len() {
            let log_zero = Jet::<D, N>::from_derivatives(std::array::from_fn(|c| self.zero.component(c)[i]));
            let positive = log_positive(-log_zero).derivatives();
            for c in 0..N {
                columns[c][i] -= positive[c];
            }
        }
    }
}

impl<F: Family> Truncated<F> {
    /// -ln f(0) and the share of positive counts.
    fn positive(&self, eta: &[f64]) -> (f64, f64) {
        let columns: Vec<&[f64]> = eta.iter().map(std::slice::from_ref).collect();
        let (mut zero, want) = (Derivs::default(), Want { dims: 1, order: 2, value: true });
        self.base.derivs(Rows { y: &[0.0], size: None }, &columns, want, &mut zero);
        let x = -zero.value()[0];
        // all positive counts are then 1
        let x = if x < f64::MIN_POSITIVE { self.base.mean(eta) } else { x };
        (x, -expm1(-x))
    }

    /// Mean m / P and variance v / P - m^2 (1 - P) / P^2 of what is left, P being the share of positive counts.
    fn moments(&self, eta: &[f64]) -> (f64, f64) {
        let (x, share) = self.positive(eta);
        let (mean, variance) = (self.base.mean(eta), self.base.variance(eta, 1.0));
        let left = (mean / share).min(f64::MAX);
        let lost = if x > -NO_ZEROS { 0.0 } else { left * left * exp(-x) };
        let rest = variance / share - lost;
        (left, if rest.is_nan() { f64::INFINITY } else { rest.max(0.0) })
    }
}

impl<F: Family> Family for Truncated<F> {
    fn price(&self) -> f64 {
        2.0 * self.base.price()
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn link(&self) -> Link {
        self.base.link()
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.base.parameters()
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let want = Want { value: true, ..whole(want) };
        self.base.derivs(rows, eta, want, out);
        let (zeros, mut zero) = (vec![0.0; rows.y.len()], Derivs::default());
        self.base.derivs(Rows { y: &zeros, size: None }, eta, want, &mut zero);
        dispatch(want, &mut Subtract { zero: &zero, out });
    }

    fn log_constant(&self, y: f64, size: f64) -> f64 {
        self.base.log_constant(y, size)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.moments(eta).0
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        self.moments(eta).1
    }

    fn cdf(&self, y: f64, size: f64, eta: &[f64]) -> (f64, f64) {
        if y < 1.0 {
            return (0.0, 1.0);
        }
        let (x, share) = self.positive(eta);
        let (lower, upper) = self.base.cdf(y, size, eta);
        let upper = (upper / share).clamp(0.0, 1.0);
        // of the few counts below y only what is left without zeros
        let lower = if upper < 0.5 { 1.0 - upper } else { ((lower - exp(-x)) / share).clamp(0.0, 1.0) };
        (lower, upper)
    }

    fn draw(&self, rng: &mut Random, size: f64, eta: &[f64]) -> f64 {
        let (_, share) = self.positive(eta);
        let draws = if share >= RARE { MOST_DRAWS } else { 0 };
        for _ in 0..draws {
            let y = self.base.draw(rng, size, eta);
            if y > 0.0 {
                return y;
            }
        }
        let upper: f64 = 1.0 - rng.random::<f64>();
        let first = (1..=SEARCH).map(f64::from).find(|&y| self.cdf(y, size, eta).1 <= upper);
        first.unwrap_or_else(|| sums::quantile(upper, |y| self.cdf(y, size, eta)))
    }

    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        if y == 0.0 { Err(self.message) } else { self.base.check(y, size).map_err(|_| self.message) }
    }

    /// Less than that with zeros: a count of 1 is what is left of a small mean.
    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y - 0.5)
    }

    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        self.base.start_parameters(y, mean, freq)
    }
}
