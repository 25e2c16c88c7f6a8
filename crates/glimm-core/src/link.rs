//! Links between a mean and its linear predictor.

use crate::special::{
    cauchy_cdf, exp, expm1, expm1_near, ln, log_normal_cdf_derivatives, log1p, logistic, normal_cdf, normal_pdf,
    normal_quantile, polynomial, select, softplus, vectorized,
};
use std::borrow::Cow;
use std::f64::consts::{FRAC_1_PI, PI};

/// How the mean depends on its linear predictor eta: link(mean) = eta.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Link {
    Identity,
    Log,
    Logit,
    Probit,
    Cloglog,
    Loglog,
    Cauchit,
    Inverse,
    InverseSquare,
    Sqrt,
    /// mean^p, of means above 0.
    Power(f64),
}

/// Beyond this exp(eta) of the complementary log-log link has long made the mean 1.
const CLOGLOG_TOP: f64 = 7.0;
/// Largest eta for which exp(eta) times a number of trials is still finite.
const CLOGLOG_LIMIT: f64 = 600.0;
/// B_2k / (2k)!
const BERNOULLI: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 720.0,
    1.0 / 30_240.0,
    -1.0 / 1_209_600.0,
    1.0 / 47_900_160.0,
    -691.0 / 1_307_674_368_000.0,
    1.0 / 74_724_249_600.0,
];

impl Link {
    /// All links, a power in place of all powers.
    pub const ALL: [Link; 11] = [
        Link::Cauchit,
        Link::Cloglog,
        Link::Identity,
        Link::Inverse,
        Link::InverseSquare,
        Link::Log,
        Link::Logit,
        Link::Loglog,
        Link::Power(0.5),
        Link::Probit,
        Link::Sqrt,
    ];

    pub fn name(self) -> Cow<'static, str> {
        let name = match self {
            Link::Power(p) => return format!("power({p})").into(),
            Link::Identity => "identity",
            Link::Log => "log",
            Link::Logit => "logit",
            Link::Probit => "probit",
            Link::Cloglog => "cloglog",
            Link::Loglog => "loglog",
            Link::Cauchit => "cauchit",
            Link::Inverse => "inverse",
            Link::InverseSquare => "1/mu^2",
            Link::Sqrt => "sqrt",
        };
        name.into()
    }

    /// The link of this name, if there is one.
    pub fn parse(name: &str) -> Option<Link> {
        if let Some(power) = name.strip_prefix("power(").and_then(|rest| rest.strip_suffix(')')) {
            let power = power.trim().parse().ok();
            return power.filter(|p: &f64| p.is_finite() && *p != 0.0).map(Link::Power);
        }
        Link::ALL.into_iter().find(|link| link.name() == name)
    }

    /// The q with mean = eta^q, for the links that are powers of positive means.
    pub fn exponent(self) -> Option<f64> {
        match self {
            Link::Identity => Some(1.0),
            Link::Inverse => Some(-1.0),
            Link::InverseSquare => Some(-0.5),
            Link::Sqrt => Some(2.0),
            Link::Power(p) => Some(1.0 / p),
            _ => None,
        }
    }

    /// Whether the linear predictor has the units of the response, or a power of them.
    pub fn in_units(self) -> bool {
        use Link::{Cauchit, Cloglog, Log, Logit, Loglog, Probit};
        !matches!(self, Log | Logit | Probit | Cloglog | Loglog | Cauchit)
    }

    /// The linear predictor of a mean.
    #[inline(always)]
    pub fn link(self, mu: f64) -> f64 {
        match self {
            Link::Identity => mu,
            Link::Log => ln(mu),
            Link::Logit => ln(mu) - log1p(-mu),
            Link::Probit => normal_quantile(mu),
            Link::Cloglog => ln(-log1p(-mu)),
            Link::Loglog => -ln(-ln(mu)),
            Link::Cauchit if mu < 0.5 => -1.0 / libm::tan(PI * mu),
            Link::Cauchit => 1.0 / libm::tan(PI * (1.0 - mu)),
            Link::Inverse => 1.0 / mu,
            Link::InverseSquare => 1.0 / (mu * mu),
            Link::Sqrt => mu.sqrt(),
            Link::Power(p) => exp(p * ln(mu)),
        }
    }

    /// The mean of a linear predictor.
    #[inline(always)]
    pub fn inverse(self, eta: f64) -> f64 {
        match self {
            Link::Identity => eta,
            Link::Log => exp(eta),
            Link::Logit => logistic(eta).0,
            Link::Probit => normal_cdf(eta),
            Link::Cloglog => -expm1(-exp(eta)),
            Link::Loglog => exp(-exp(-eta)),
            Link::Cauchit => cauchy_cdf(eta),
            Link::Inverse => 1.0 / eta,
            Link::InverseSquare => (1.0 / eta).sqrt(),
            Link::Sqrt => eta * eta,
            Link::Power(p) => exp((1.0 / p) * ln(eta)),
        }
    }

    /// One minus the mean, sharp where the mean is near 1 (links of proportions).
    #[inline(always)]
    pub fn complement(self, eta: f64) -> f64 {
        match self {
            Link::Logit | Link::Probit | Link::Cauchit => self.inverse(-eta),
            Link::Cloglog => exp(-exp(eta)),
            Link::Loglog => -expm1(-exp(-eta)),
            _ => 1.0 - self.inverse(eta),
        }
    }

    /// The mean and its first four derivatives with respect to eta.
    #[inline(always)]
    pub fn inverse_derivatives(self, eta: f64) -> [f64; 5] {
        match self {
            Link::Identity => [eta, 1.0, 0.0, 0.0, 0.0],
            Link::Log => [exp(eta); 5],
            Link::Logit => logit_derivatives(eta),
            Link::Probit => probit_derivatives(eta),
            Link::Cloglog => cloglog_derivatives(eta),
            Link::Loglog => loglog_derivatives(eta),
            Link::Cauchit => cauchit_derivatives(eta),
            Link::Inverse => inverse_derivatives(eta),
            Link::InverseSquare => power_derivatives(eta, -0.5),
            Link::Sqrt => [eta * eta, 2.0 * eta, 2.0, 0.0, 0.0],
            Link::Power(p) => power_derivatives(eta, 1.0 / p),
        }
    }

    /// Means and their derivatives at many linear predictors.
    pub fn means(self, eta: &[f64], mean: &mut [f64], slope: &mut [f64]) {
        // A link that the compiler knows becomes vector code.
        match self {
            Link::Identity => each(Link::Identity, eta, mean, slope),
            Link::Log => each(Link::Log, eta, mean, slope),
            Link::Logit => each(Link::Logit, eta, mean, slope),
            link => each(link, eta, mean, slope),
        }
    }

    /// ln(mean) and ln(1 - mean) with their first four derivatives, for the links of proportions
    /// (NaN for the others); finite and accurate in both tails.
    #[inline(always)]
    pub fn log_tails(self, eta: f64) -> [[f64; 5]; 2] {
        match self {
            Link::Logit => [logit_log(eta), mirrored(logit_log(-eta))],
            Link::Probit => [log_normal_cdf_derivatives(eta), mirrored(log_normal_cdf_derivatives(-eta))],
            Link::Cauchit => [cauchit_log(eta), mirrored(cauchit_log(-eta))],
            Link::Cloglog => cloglog_logs(eta),
            Link::Loglog => {
                let [p, q] = cloglog_logs(-eta);
                [mirrored(q), mirrored(p)]
            }
            _ => [[f64::NAN; 5]; 2],
        }
    }
}

#[inline(always)]
fn each(link: Link, eta: &[f64], mean: &mut [f64], slope: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || {
            for ((eta, mean), slope) in eta.iter().zip(mean).zip(slope) {
                [*mean, *slope, ..] = link.inverse_derivatives(*eta);
            }
        },
    );
}

#[inline(always)]
fn logit_derivatives(eta: f64) -> [f64; 5] {
    let (p, q) = logistic(eta);
    let w = p * q;
    [p, w, w * (q - p), w * (1.0 - 6.0 * w), w * (q - p) * (1.0 - 12.0 * w)]
}

#[inline(always)]
fn probit_derivatives(x: f64) -> [f64; 5] {
    let d = normal_pdf(x);
    [normal_cdf(x), d, -x * d, (x * x - 1.0) * d, (3.0 - x * x) * x * d]
}

#[inline(always)]
fn cloglog_derivatives(eta: f64) -> [f64; 5] {
    let m = exp(eta.min(CLOGLOG_TOP));
    let d = m * exp(-m);
    let third = (m - 3.0).mul_add(m, 1.0);
    let fourth = ((6.0 - m).mul_add(m, -7.0)).mul_add(m, 1.0);
    [-expm1(-m), d, d * (1.0 - m), d * third, d * fourth]
}

/// The mirror image of the complementary log-log link.
#[inline(always)]
fn loglog_derivatives(eta: f64) -> [f64; 5] {
    let [_, d1, d2, d3, d4] = cloglog_derivatives(-eta);
    [exp(-exp(-eta)), d1, -d2, d3, -d4]
}

#[inline(always)]
fn cauchit_derivatives(x: f64) -> [f64; 5] {
    let c = 1.0 / x.mul_add(x, 1.0);
    let d = FRAC_1_PI * c;
    let (cx, x2) = (c * x, x * x);
    [cauchy_cdf(x), d, -2.0 * cx * d, c * c * d * (6.0 * x2 - 2.0), -24.0 * cx * c * c * d * (x2 - 1.0)]
}

#[inline(always)]
fn inverse_derivatives(eta: f64) -> [f64; 5] {
    let m = 1.0 / eta;
    let m2 = m * m;
    [m, -m2, 2.0 * m2 * m, -6.0 * m2 * m2, 24.0 * m2 * m2 * m]
}

/// x^q for x > 0 and its first four derivatives.
#[inline(always)]
pub(crate) fn power_derivatives(x: f64, q: f64) -> [f64; 5] {
    let i = 1.0 / x;
    let value = if q == -0.5 { i.sqrt() } else { exp(q * ln(x)) };
    let d1 = q * value * i;
    let d2 = (q - 1.0) * d1 * i;
    let d3 = (q - 2.0) * d2 * i;
    [value, d1, d2, d3, (q - 3.0) * d3 * i]
}

/// A function above `pole`, and below it the parabola with its value and first two derivatives there.
#[inline(always)]
pub(crate) fn continued(x: f64, pole: f64, f: impl Fn(f64) -> [f64; 5]) -> [f64; 5] {
    if x > pole {
        return f(x);
    }
    let ([value, d1, d2, ..], d) = (f(pole), x - pole);
    [(0.5 * d2 * d + d1) * d + value, d2 * d + d1, d2, 0.0, 0.0]
}

/// Derivatives at -eta as derivatives of the mirror image: with mean(-eta) = 1 - mean(eta) those of
/// ln(1 - mean).
#[inline(always)]
fn mirrored([v, d1, d2, d3, d4]: [f64; 5]) -> [f64; 5] {
    [v, -d1, d2, -d3, d4]
}

#[inline(always)]
fn logit_log(eta: f64) -> [f64; 5] {
    let (p, q) = logistic(eta);
    let w = p * q;
    [-softplus(-eta), q, -w, -w * (q - p), -w * (1.0 - 6.0 * w)]
}

/// ln(mean) of the Cauchy link through l = (ln mean)' and t = (ln l)'.
#[inline(always)]
fn cauchit_log(x: f64) -> [f64; 5] {
    let mean = cauchy_cdf(x);
    let c = 1.0 / x.mul_add(x, 1.0);
    let (s, x2) = (-2.0 * x * c, x * x);
    let (s1, s2) = (-2.0 * (1.0 - x2) * c * c, 4.0 * x * c * c * c * (3.0 - x2));
    let l = FRAC_1_PI * c / mean;
    let t = s - l;
    let t1 = s1 - l * t;
    let t2 = s2 - l * (t * t + t1);
    [ln(mean), l, l * t, l * (t * t + t1), l * (t * t * t + 3.0 * t * t1 + t2)]
}

/// With m = exp(eta): ln(1 - mean) = -m, and ln(mean) has first derivative b = m / (exp(m) - 1).
#[inline(always)]
fn cloglog_logs(eta: f64) -> [[f64; 5]; 2] {
    let whole = exp(eta.min(CLOGLOG_LIMIT));
    let m = exp(eta.min(CLOGLOG_TOP));
    let survival = exp(-m);
    let small = m < 0.5;
    let tail = select(small, -expm1_near(-m), 1.0 - survival);
    let b = m * survival / tail;
    // m / (1 - exp(-m)) - 1, the derivative of ln b with its sign changed
    let c = select(small, bernoulli_excess(m), m / tail - 1.0);
    let c1 = m - b * c;
    let d3 = b * (c * c - c1);
    let d4 = b * (2.0 * c * c1 - m - d3) - c * d3;
    let log_mean = select(small, eta + ln(tail / m), log1p(-survival));
    [[log_mean, b, -b * c, d3, d4], [-whole; 5]]
}

/// m / (1 - exp(-m)) - 1 for m < 1/2, by Bernoulli numbers.
#[inline(always)]
fn bernoulli_excess(m: f64) -> f64 {
    let z = m * m;
    z.mul_add(polynomial(&BERNOULLI, z), 0.5 * m)
}
