//! Binomial responses: successes out of `size` trials, or 0/1.

use super::rows::{Kernel, LANES, run1};
use super::{Derivs, Family, Random, Rows, Want, odds, whole};
use crate::link::Link;
use crate::special::{
    beta_inc, exp, expm1_near, ln, log1p, log1p_unit, logistic, saturated_poisson, select, vectorized,
};
use rand_distr::Distribution;

pub(super) const LINKS: &[Link] = &[Link::Logit, Link::Probit, Link::Cloglog, Link::Loglog, Link::Cauchit];

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
    [
        successes.mul_add(p[0], failures * q[0]),
        successes.mul_add(p[1], failures * q[1]),
        successes.mul_add(p[2], failures * q[2]),
        successes.mul_add(p[3], failures * q[3]),
        successes.mul_add(p[4], failures * q[4]),
    ]
}

/// p (1 - p) of many rows.
#[inline(always)]
fn products(tails: impl Fn(f64) -> (f64, f64), eta: &[f64], out: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || {
            for (eta, out) in eta.iter().zip(out) {
                let (p, q) = tails(*eta);
                *out = p * q;
            }
        },
    );
}

/// y ln(y / n) + (n - y) ln(1 - y / n).
#[inline(always)]
fn entropy(y: f64, n: f64) -> f64 {
    y.mul_add(ln(y / n), (n - y) * ln((n - y) / n))
}

/// The logit link, which needs one exponential and one division only.
#[derive(Default)]
struct Logit {
    /// exp(-|eta|) and ln(1 + exp(-|eta|))
    e: [f64; LANES],
    tail: [f64; LANES],
}

impl Logit {
    #[inline(always)]
    fn exponentials(&mut self, eta: &[f64; LANES]) {
        for (e, eta) in self.e.iter_mut().zip(eta) {
            *e = exp(-eta.abs());
        }
        for (tail, e) in self.tail.iter_mut().zip(&self.e) {
            *tail = log1p_unit(*e);
        }
    }

    #[inline(always)]
    fn derivatives(&self, lane: usize, y: f64, n: f64, eta: f64) -> [f64; 5] {
        let e = self.e[lane];
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        let positive = eta >= 0.0;
        let (p, q) = (select(positive, large, small), select(positive, small, large));
        let (up, down) = (select(positive, eta, 0.0), select(positive, 0.0, -eta));
        let (w, failures) = (large * small, n - y);
        let curvature = -n * w;
        [
            -n.mul_add(self.tail[lane], y.mul_add(down, failures * up)),
            y.mul_add(q, -failures * p),
            curvature,
            curvature * (q - p),
            curvature * (-6.0f64).mul_add(w, 1.0),
        ]
    }
}

impl Kernel<2, 5> for Logit {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 2]) {
        self.exponentials(&block[1]);
    }

    #[inline(always)]
    fn row(&self, lane: usize, [y, eta]: [f64; 2]) -> [f64; 5] {
        self.derivatives(lane, y, 1.0, eta)
    }
}

impl Kernel<3, 5> for Logit {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.exponentials(&block[2]);
    }

    #[inline(always)]
    fn row(&self, lane: usize, [y, n, eta]: [f64; 3]) -> [f64; 5] {
        let mut row = self.derivatives(lane, y, n, eta);
        // Near the observed log odds the deviance is small: for large n only this keeps its digits.
        let above = eta > 0.0;
        let (rare, e) = (select(above, n - y, y), eta - ln(y / (n - y)));
        let toward = select(above, -e, e);
        let near = rare.mul_add(toward, -n * log1p(rare / n * expm1_near(toward)));
        let far = row[0] - entropy(y, n);
        row[0] = select(e.abs() <= 0.5, near, far);
        row
    }
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

/// Why a response is not a number of successes out of trials, if it is not.
#[inline(always)]
pub(super) fn check_successes(
    y: f64,
    size: f64,
    count: &'static str,
    excess: &'static str,
) -> Result<(), &'static str> {
    if !whole(size) || size < 1.0 {
        Err("the number of trials must be a whole number, 1 or more")
    } else if !whole(y) || y < 0.0 {
        Err(count)
    } else if y > size {
        Err(excess)
    } else {
        Ok(())
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
        // One closure for each link: each loop is then compiled for its link alone.
        let eta = eta[0];
        match self.0 {
            Link::Probit => {
                let tails = Tails(
                    #[inline(always)]
                    |eta| Link::Probit.log_tails(eta),
                );
                run(tails, rows, eta, want, out)
            }
            Link::Cloglog => {
                let tails = Tails(
                    #[inline(always)]
                    |eta| Link::Cloglog.log_tails(eta),
                );
                run(tails, rows, eta, want, out)
            }
            Link::Loglog => {
                let tails = Tails(
                    #[inline(always)]
                    |eta| Link::Loglog.log_tails(eta),
                );
                run(tails, rows, eta, want, out)
            }
            Link::Cauchit => {
                let tails = Tails(
                    #[inline(always)]
                    |eta| Link::Cauchit.log_tails(eta),
                );
                run(tails, rows, eta, want, out)
            }
            _ => run(Logit::default(), rows, eta, want, out),
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
        let ones = |v: Option<&[f64]>| v.is_none_or(|v| v.iter().all(|v| *v == 1.0));
        let single = ones(rows.size) && ones(weight) && rows.y.iter().all(|y| *y == 0.0 || *y == 1.0);
        if single && self.0 == Link::Logit { odds::add_products(rows.y, eta[0], shifts, out) } else { None }
    }

    fn log_constant(&self, y: f64, size: f64) -> f64 {
        // A single trial is its own observed proportion.
        if size == 1.0 {
            return 0.0;
        }
        saturated_poisson(y) + saturated_poisson(size - y) - saturated_poisson(size)
    }

    fn concordance(&self) -> Option<f64> {
        (self.0 == Link::Logit).then_some(1.0)
    }

    fn exponential(&self) -> bool {
        true
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], size: f64) -> f64 {
        let (p, q) = self.tails(eta[0]);
        p * q / size
    }

    fn variances(&self, eta: &[f64], _others: &[f64], size: Option<&[f64]>, out: &mut [f64]) {
        let tails = |eta: f64| self.tails(eta);
        match self.0 {
            Link::Logit => products(logistic, eta, out),
            _ => products(tails, eta, out),
        }
        if let Some(size) = size {
            out.iter_mut().zip(size).for_each(|(v, n)| *v /= n);
        }
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
        let count =
            |p: f64, rng: &mut Random| rand_distr::Binomial::new(size as u64, p).map_or(0.0, |b| b.sample(rng) as f64);
        // the smaller probability carries the digits
        if p <= q { count(p, rng) } else { size - count(q, rng) }
    }

    #[inline(always)]
    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        check_successes(
            y,
            size,
            "a binomial response must be a whole number of successes, 0 or more",
            "a binomial response must not exceed the number of trials",
        )
    }

    fn start(&self, y: f64, size: f64) -> f64 {
        self.0.link((y + 0.5) / (size + 1.0))
    }
}
