//! Conway-Maxwell-Poisson counts whose mean is large and whose variance is not tiny: the sum over counts is then an integral
//! to rounding, and this one has an asymptotic series (Gaunt, Iyengar, Olde Daalhuis and Simsek 2019, Annals of the
//! Institute of Statistical Mathematics 71). With lambda = tau^nu,
//!
//!   ln Z = nu tau - (nu - 1) / 2 ln(2 pi tau) - ln(nu) / 2 + sum over k of b_k(nu) (nu tau)^-k,
//!
//! and its derivative in ln lambda is the mean:  mean = tau - (nu - 1) / (2 nu) - (1 / nu) sum of k b_k (nu tau)^-k.
//! The b_k are polynomials in nu^2, from Laplace's method with Stirling's series for ln y!.

use super::jets::Jet;
use super::tweedie_series::divergence;
use crate::special::{exp, saturated_poisson};

const LN_2PI: f64 = 1.837_877_066_409_345_5;
/// Least nu mean, where the series is good to rounding, and least mean / nu, where the integral is.
const LEAST_RATE: f64 = 150.0;
const LEAST_VARIANCE: f64 = 3.0;
/// Each step of the equation for tau gains five digits.
const STEPS: usize = 4;
/// b_k as polynomials in nu^2, lowest power first.
const COEFFICIENTS: [[f64; 6]; 10] = [
    [-1.0 / 24.0, 1.0 / 24.0, 0.0, 0.0, 0.0, 0.0],
    [-1.0 / 48.0, 1.0 / 48.0, 0.0, 0.0, 0.0, 0.0],
    [-161.0 / 5760.0, 17.0 / 576.0, -1.0 / 640.0, 0.0, 0.0, 0.0],
    [-367.0 / 5760.0, 41.0 / 576.0, -43.0 / 5760.0, 0.0, 0.0, 0.0],
    [-120_257.0 / 580_608.0, 33_667.0 / 138_240.0, -5107.0 / 138_240.0, 305.0 / 580_608.0, 0.0, 0.0],
    [-39_793.0 / 45_360.0, 37_303.0 / 34_560.0, -3611.0 / 17_280.0, 4987.0 / 725_760.0, 0.0, 0.0],
    [
        -6_389_072_441.0 / 1_393_459_200.0,
        81_830_645.0 / 13_934_592.0,
        -45_075_959.0 / 33_177_600.0,
        998_141.0 / 13_934_592.0,
        -87_983.0 / 199_065_600.0,
        0.0,
    ],
    [
        -993_607_187.0 / 34_836_480.0,
        8_243_537.0 / 217_728.0,
        -8_342_147.0 / 829_440.0,
        635_009.0 / 870_912.0,
        -388_919.0 / 34_836_480.0,
        0.0,
    ],
    [
        -205.834_706_708_793_82,
        282.156_473_863_479_45,
        -83.809_243_271_170_05,
        7.685_829_562_322_312,
        -0.199_026_911_318_967_94,
        0.000_673_465_481_052_151,
    ],
    [
        -1_690.702_438_669_481_1,
        2_385.950_132_885_603_6,
        -777.780_068_311_532_4,
        85.686_532_110_400_75,
        -3.181_992_935_757_765,
        0.027_834_920_767_140_097,
    ],
];

/// Whether the series serves at this mean and nu.
pub(super) fn serves(mean: f64, nu: f64) -> bool {
    nu * mean >= LEAST_RATE && mean >= LEAST_VARIANCE * nu
}

/// ln tau, nu, and what the log probabilities have in common.
pub(super) struct Series<const D: usize, const N: usize> {
    pub(super) log_tau: Jet<D, N>,
    nu: Jet<D, N>,
    common: Jet<D, N>,
}

impl<const D: usize, const N: usize> Series<D, N> {
    /// At eta = ln mean and t = -ln nu.
    pub(super) fn new(eta: Jet<D, N>, t: Jet<D, N>) -> Self {
        let (phi, nu, per_mean) = (t.exp(), (-t).exp(), (-eta).exp());
        let b = coefficients(nu);
        // sum of b_k (nu tau)^-k, or of k b_k (nu tau)^-k
        let sum = |log_tau: Jet<D, N>, times: fn(f64) -> f64| {
            let inverse = (t - log_tau).exp();
            let terms = b.iter().enumerate().rev();
            terms.fold(Jet::constant(0.0), |sum, (k, b)| (sum + *b * times(k as f64 + 1.0)) * inverse)
        };
        let first = (phi - 1.0) * -0.5;
        let mut log_tau = eta;
        for _ in 0..STEPS {
            log_tau = eta + ((first + phi * sum(log_tau, |k| k)) * per_mean).log1p();
        }
        let common = (log_tau + t + LN_2PI) * 0.5 + sum(log_tau, |_| 1.0);
        Series { log_tau, nu, common }
    }

    pub(super) fn log_probability(&self, y: f64) -> Jet<D, N> {
        let l = self.log_tau;
        let tau = exp(l.value());
        let relative = if y > 0.0 { divergence(y, tau, l.value()) } else { tau };
        let deviance = l.compose([relative, tau - y, tau, tau, tau]);
        self.nu * ((l + LN_2PI) * 0.5 - deviance + saturated_poisson(y)) - self.common
    }
}

fn coefficients<const D: usize, const N: usize>(nu: Jet<D, N>) -> [Jet<D, N>; 10] {
    let square = nu.square();
    COEFFICIENTS.map(|row| row.iter().rev().fold(Jet::constant(0.0), |sum, c| sum * square + *c))
}
