//! Negative binomial counts with variance mean + mean^p / theta: predictor 1 is log theta, predictor 2 the power p.
//!
//! This is a negative binomial distribution (`nbinom2`) of size theta mean^(2 - p): p = 2 is `nbinom2` and p = 1 is
//! `nbinom1` with phi = 1 / theta. The power lies between 0 and 3, on a logit scale on which the two stand at equal
//! distances from 0: beyond that range data with means of any spread look like many zeros and few huge counts.
//! (Greene 2008, Economics Letters 99: the NB-P model.)

use super::jets::{Jet, Loop, dispatch, whole};
use super::nbinom1::LOG_SIZE_LIMIT;
use super::nbinom2;
use super::poisson::check_count;
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::Link;
use crate::special::{exp, ln, logistic, saturated_poisson};

pub(super) const LINKS: &[Link] = &[Link::Log];
const TOP: f64 = 3.0;
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "theta",
        meaning: "size: the variance is mean + mean^p / theta",
        scale: Scale::Log,
        dispersion: true,
        precision: 1.0,
    },
    Parameter {
        name: "power",
        meaning: "power of the mean in the variance mean + mean^p / theta",
        scale: Scale::Between(0.0, TOP),
        dispersion: false,
        precision: 0.0,
    },
];
/// Limit of the log mean: its fourth power times the mean is still finite.
const LOG_MEAN_LIMIT: f64 = 600.0;

pub(super) struct Nbinom(pub(super) Link);

fn log_mean(eta: f64) -> f64 {
    eta.clamp(-LOG_MEAN_LIMIT, LOG_MEAN_LIMIT)
}

/// t + (2 - p) eta.
fn log_size(eta: f64, t: f64, u: f64) -> f64 {
    let power = TOP * logistic(u).0;
    (2.0 - power).mul_add(eta, t).clamp(-LOG_SIZE_LIMIT, LOG_SIZE_LIMIT)
}

struct Power<'a> {
    eta: &'a [&'a [f64]],
    means: &'a [f64],
    inner: &'a Derivs,
    out: &'a mut Derivs,
}

impl Loop for Power<'_> {
    fn rows<const D: usize, const N: usize>(&mut self) {
        let columns = self.out.columns::<N>();
        let known = if Jet::<D, N>::ORDER == 2 { 6 } else { 15 };
        let mut f = [0.0; 15];
        for (i, &mean) in self.means.iter().enumerate() {
            let variable = |k: usize, value: f64| if k < D { Jet::variable(k, value) } else { Jet::constant(value) };
            let eta: Jet<D, N> = variable(0, mean);
            let power = variable(2, self.eta[2][i]).logistic() * TOP;
            let size = variable(1, self.eta[1][i]) + (-power + 2.0) * eta;
            for c in 0..known {
                f[c] = self.inner.component(c)[i];
            }
            let found = Jet::compose2([eta, size], &f).derivatives();
            for c in 0..N {
                columns[c][i] = found[c];
            }
        }
    }
}

impl Family for Nbinom {
    fn price(&self) -> f64 {
        8.0
    }

    fn name(&self) -> &'static str {
        "nbinom"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let means: Vec<f64> = eta[0].iter().map(|&eta| log_mean(eta)).collect();
        let size = |i: usize| log_size(means[i], eta[1][i], eta[2][i]);
        let sizes: Vec<f64> = (0..means.len()).map(size).collect();
        let mut inner = Derivs::default();
        let want = Want { value: true, ..whole(want) };
        nbinom2::derivs2(rows.y, &means, &sizes, want, &mut inner);
        out.reshape(want.dims, want.order, rows.y.len());
        dispatch(want, &mut Power { eta, means: &means, inner: &inner, out });
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        saturated_poisson(y)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        let mean = self.mean(eta);
        mean + mean * exp(eta[0] - log_size(eta[0], eta[1], eta[2]))
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        nbinom2::cdf(y, eta[0], log_size(eta[0], eta[1], eta[2]))
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        nbinom2::draw(rng, self.mean(eta), log_size(eta[0], eta[1], eta[2]))
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        check_count(y, "an nbinom response must be a whole number, 0 or more")
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y + 0.5)
    }

    /// The power half way between the two known models, theta by moments.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let excess = super::weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m) - m));
        let power = super::weighted_mean(freq, mean.iter().map(|m| m * m.sqrt()));
        vec![if excess > 0.0 { ln(power / excess).clamp(-5.0, 7.0) } else { 3.0 }, 0.0]
    }
}
