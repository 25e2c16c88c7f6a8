//! Binomial responses: successes out of `size` trials, or 0/1.

use super::rows::{Kernel, run1};
use super::{Derivs, Family, Random, Rows, Want};
use crate::link::Link;
use crate::special::{beta_inc, exp, expm1_near, ln, log1p, saturated_poisson};
use rand_distr::Distribution;

pub(super) const LINKS: &[Link] = &[Link::Logit, Link::Probit, Link::Cloglog, Link::Cauchit];

pub(super) struct Binomial(pub(super) Link);

/// One row from ln p and ln(1 - p) with their derivatives. The value is minus half the deviance:
/// [`Family::log_constant`] holds the log density at the observed proportion.
struct Tails<F>(F);

impl<F: Fn(f64) -> [[f64; 5]; 2]> Kernel<2, 5> for Tails<F> {
    #[inline(always)]
    fn row(&self, _lane: usize, [y, eta]: [f64; 2]) -> [f64; 5] {
        blend(y, 1.0 - y, (self.0)(eta))
    }
}

impl<F: Fn(f64) -> [[f64; 5]; 2]> Kernel<3, 5> for Tails<F> {
    #[inline(always)]
    fn row(&self, _lane: usize, [y, n, eta]: [f64; 3]) -> [f64; 5] {
        let mut row = blend(y, n - y, (self.0)(eta));
        row[0] -= entropy(y, n);
        row
    }
}

#[inline(always)]
fn blend(successes: f64, failures: f64, [p, q]: [[f64; 5]; 2]) -> [f64; 5] {
    std::array::from_fn(|k| successes.mul_add(p[k], failures * q[k]))
}

/// y ln(y / n) + (n - y) ln(1 - y / n).
#[inline(always)]
fn entropy(y: f64, n: f64) -> f64 {
    y.mul_add(ln(y / n), (n - y) * ln((n - y) / n))
}

/// The logit link, which needs one exponential and one division only.
struct Logit;

impl Kernel<2, 5> for Logit {
    #[inline(always)]
    fn row(&self, _lane: usize, [y, eta]: [f64; 2]) -> [f64; 5] {
        logit_row(y, 1.0, eta)
    }
}

impl Kernel<3, 5> for Logit {
    #[inline(always)]
    fn row(&self, _lane: usize, [y, n, eta]: [f64; 3]) -> [f64; 5] {
        let mut row = logit_row(y, n, eta);
        // Near the observed log odds the deviance is small: for large n only this keeps its digits.
        let e = eta - (ln(y) - ln(n - y));
        let near = y.mul_add(e, -n * log1p(y / n * expm1_near(e)));
        let far = row[0] - entropy(y, n);
        row[0] = if e.abs() <= 0.5 { near } else { far };
        row
    }
}

#[inline(always)]
fn logit_row(y: f64, n: f64, eta: f64) -> [f64; 5] {
    let e = exp(-eta.abs());
    let large = 1.0 / (1.0 + e);
    let small = e * large;
    let positive = eta >= 0.0;
    let (p, q) = if positive { (large, small) } else { (small, large) };
    let (up, down) = if positive { (eta, 0.0) } else { (0.0, -eta) };
    let (w, failures) = (large * small, n - y);
    let curvature = -n * w;
    [
        -n.mul_add(log1p(e), y.mul_add(down, failures * up)),
        y.mul_add(q, -failures * p),
        curvature,
        curvature * (q - p),
        curvature * (-6.0f64).mul_add(w, 1.0),
    ]
}

/// Responses with and without numbers of trials.
#[inline(always)]
fn run<K>(kernel: K, rows: Rows<'_>, eta: &[f64], want: Want, out: &mut Derivs)
where
    K: Kernel<2, 5> + Kernel<3, 5>,
{
    match rows.size {
        None => run1(kernel, [rows.y, eta], want, out),
        Some(size) => run1(kernel, [rows.y, size, eta], want, out),
    }
}

impl Binomial {
    fn tails(&self, eta: f64) -> (f64, f64) {
        (self.0.inverse(eta), self.0.complement(eta))
    }
}

impl Family for Binomial {
    fn name(&self) -> &'static str {
        "binomial"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let tails = |link: Link| {
            Tails(#[inline(always)] move |eta| link.log_tails(eta).unwrap_or_default())
        };
        let eta = eta[0];
        match self.0 {
            Link::Probit => run(tails(Link::Probit), rows, eta, want, out),
            Link::Cloglog => run(tails(Link::Cloglog), rows, eta, want, out),
            Link::Cauchit => run(tails(Link::Cauchit), rows, eta, want, out),
            _ => run(Logit, rows, eta, want, out),
        }
    }

    fn log_constant(&self, y: f64, size: f64) -> f64 {
        saturated_poisson(y) + saturated_poisson(size - y) - saturated_poisson(size)
    }

    fn concordance(&self) -> Option<f64> {
        (self.0 == Link::Logit).then_some(1.0)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], size: f64) -> f64 {
        let (p, q) = self.tails(eta[0]);
        p * q / size
    }

    fn cdf(&self, y: f64, size: f64, eta: &[f64]) -> (f64, f64) {
        let y = y.floor();
        if y < 0.0 {
            return (0.0, 1.0);
        }
        if y >= size {
            return (1.0, 0.0);
        }
        let (p, q) = self.tails(eta[0]);
        let (upper, lower) = beta_inc(y + 1.0, size - y, p, q);
        (lower, upper)
    }

    fn draw(&self, rng: &mut Random, size: f64, eta: &[f64]) -> f64 {
        let (p, q) = self.tails(eta[0]);
        let count = |p: f64, rng: &mut Random| {
            rand_distr::Binomial::new(size as u64, p).map_or(0.0, |b| b.sample(rng) as f64)
        };
        // the smaller probability carries the digits
        if p <= q { count(p, rng) } else { size - count(q, rng) }
    }

    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        let whole = |v: f64| v.is_finite() && v == v.floor();
        if !whole(size) || size < 1.0 {
            Err("the number of trials must be a whole number, 1 or more")
        } else if !whole(y) || y < 0.0 {
            Err("a binomial response must be a whole number of successes, 0 or more")
        } else if y > size {
            Err("a binomial response must not exceed the number of trials")
        } else {
            Ok(())
        }
    }

    fn start(&self, y: f64, size: f64) -> f64 {
        self.0.link((y + 0.5) / (size + 1.0))
    }
}
