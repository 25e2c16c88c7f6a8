//! Negative binomial counts with variance mean (1 + phi): predictor 1 is log phi.
//!
//! This is a negative binomial distribution (`nbinom2`) of size mean / phi, so that its log density is that of
//! `nbinom2` at the predictors (eta, eta - t): derivatives are sums of derivatives. It goes smoothly over into the
//! Poisson distribution as phi goes to 0. (Hardin and Hilbe 2018, Generalized Linear Models and Extensions, 13.)

use super::nbinom2;
use super::poisson::check_count;
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want, component_offset};
use crate::link::Link;
use crate::special::{exp, ln, saturated_poisson};

pub(super) const LINKS: &[Link] = &[Link::Log];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "phi",
    meaning: "overdispersion: the variance is mean (1 + phi)",
    scale: Scale::Log,
    dispersion: true,
    precision: -1.0,
}];
/// Limit of the log of the size; what lies beyond cannot be told from it.
pub(super) const LOG_SIZE_LIMIT: f64 = 700.0;
const BINOMIAL: [[f64; 5]; 5] = [
    [1.0, 0.0, 0.0, 0.0, 0.0],
    [1.0, 1.0, 0.0, 0.0, 0.0],
    [1.0, 2.0, 1.0, 0.0, 0.0],
    [1.0, 3.0, 3.0, 1.0, 0.0],
    [1.0, 4.0, 6.0, 4.0, 1.0],
];

pub(super) struct Nbinom1(pub(super) Link);

fn log_size(eta: f64, t: f64) -> f64 {
    (eta - t).clamp(-LOG_SIZE_LIMIT, LOG_SIZE_LIMIT)
}

/// Derivative of f(eta, eta - t), `zeros` times in eta and `ones` times in t, from those of f.
fn combine(inner: &Derivs, zeros: usize, ones: usize, out: &mut [f64]) {
    let sign = if ones.is_multiple_of(2) { 1.0 } else { -1.0 };
    out.fill(0.0);
    for k in 0..=zeros {
        let mut index = vec![0; zeros - k];
        index.resize(zeros + ones, 1);
        let factor = sign * BINOMIAL[zeros][k];
        out.iter_mut().zip(inner.get(&index)).for_each(|(out, d)| *out += factor * d);
    }
}

impl Family for Nbinom1 {
    fn price(&self) -> f64 {
        3.0
    }

    fn name(&self) -> &'static str {
        "nbinom1"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let sizes: Vec<f64> = eta[0].iter().zip(eta[1]).map(|(eta, t)| log_size(*eta, *t)).collect();
        let mut inner = Derivs::default();
        nbinom2::derivs2(rows.y, eta[0], &sizes, want, &mut inner);
        out.reshape(want.dims, want.order, rows.y.len());
        for order in usize::from(!want.value)..=want.order {
            for ones in 0..=(if want.dims == 1 { 0 } else { order }) {
                let mut index = vec![0; order - ones];
                index.resize(order, 1);
                combine(&inner, order - ones, ones, out.component_mut(component_offset(want.dims, &index)));
            }
        }
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        saturated_poisson(y)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        self.mean(eta) * (1.0 + exp(eta[1]))
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        nbinom2::cdf(y, eta[0], log_size(eta[0], eta[1]))
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        nbinom2::draw(rng, self.mean(eta), log_size(eta[0], eta[1]))
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        check_count(y, "an nbinom1 response must be a whole number, 0 or more")
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y + 0.5)
    }

    /// By moments, within what counts can tell apart.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let excess = super::weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m) - m));
        let average = super::weighted_mean(freq, mean.iter().copied());
        vec![if excess > 0.0 { ln(excess / average).clamp(-5.0, 5.0) } else { -3.0 }]
    }
}
