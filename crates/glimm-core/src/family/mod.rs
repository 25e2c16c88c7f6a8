//! Families: the distribution of a response given its linear predictors.
//!
//! A family is one file in this folder and one row in [`REGISTRY`]. It is written in terms of the
//! linear predictors `eta` (link folded in), because that is where a GLMM needs its derivatives:
//! predictor 0 is the mean on the link scale, the others are the family's further parameters, each on
//! its own scale ([`Parameter`]).

mod beta;
mod betabinomial;
mod binomial;
mod compois;
mod compois_series;
mod compois_sums;
mod custom;
mod derivs;
mod gamma;
mod gaussian;
mod genpois;
mod inverse_gaussian;
mod jets;
mod lognormal;
mod mixed;
mod nbinom;
mod nbinom1;
mod nbinom2;
mod odds;
mod ordbeta;
mod ordinal;
mod poisson;
mod powers;
mod registry;
mod rows;
mod scaled;
mod skewnormal;
mod student_t;
mod sums;
mod truncated;
mod tweedie;
mod tweedie_series;
mod zero;

pub use custom::{Custom, Spec, Step};
pub use derivs::{Derivs, Want, chains, component_count, component_offset};
pub use mixed::Mixed;
pub use ordinal::{probabilities, start_thresholds};
pub use registry::{Entry, REGISTRY, families, lookup};
pub use zero::ZeroInflated;

use std::ops::Range;

use crate::link::Link;
use crate::special::{exp, ln, logistic, vectorized};

/// Responses that are checked together.
const CHECKED: usize = 1024;

/// The generator behind every draw: counter based, so that streams never overlap.
pub type Random = rand_chacha::ChaCha8Rng;

/// The responses of a run of rows. `size` holds the trials of a binomial response.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub y: &'a [f64],
    pub size: Option<&'a [f64]>,
}

impl Rows<'_> {
    #[inline(always)]
    pub fn size(&self, i: usize) -> f64 {
        self.size.map_or(1.0, |s| s[i])
    }
}

/// The scale on which a parameter is a linear predictor.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scale {
    Identity,
    Log,
    /// Low + (high - low) logistic(eta).
    Between(f64, f64),
}

impl Scale {
    pub fn name(self) -> &'static str {
        match self {
            Scale::Identity => "identity",
            Scale::Log => "log",
            Scale::Between(..) => "logit",
        }
    }

    /// Where the parameter lies.
    pub fn bounds(self) -> (f64, f64) {
        match self {
            Scale::Identity => (f64::NEG_INFINITY, f64::INFINITY),
            Scale::Log => (0.0, f64::INFINITY),
            Scale::Between(low, high) => (low, high),
        }
    }

    /// The parameter of a linear predictor.
    pub fn parameter(self, eta: f64) -> f64 {
        match self {
            Scale::Identity => eta,
            Scale::Log => exp(eta),
            Scale::Between(low, high) => (high - low).mul_add(logistic(eta).0, low),
        }
    }

    /// The linear predictor of a parameter; `None` outside the parameter's range.
    pub fn predictor(self, value: f64) -> Option<f64> {
        let eta = match self {
            Scale::Identity => value,
            Scale::Log => ln(value),
            Scale::Between(low, high) => ln((value - low) / (high - value)),
        };
        eta.is_finite().then_some(eta)
    }
}

/// A parameter of a family besides the mean.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub meaning: &'static str,
    pub scale: Scale,
    /// Whether it measures dispersion, so that a model of the dispersion is one of this parameter.
    pub dispersion: bool,
    /// What a row of precision weight w adds to the predictor, in units of ln w; zero where such a
    /// weight has no meaning.
    pub precision: f64,
}

pub trait Family: Send + Sync {
    fn name(&self) -> &'static str;

    /// Link of the mean.
    fn link(&self) -> Link;

    /// The parameters that are predictors 1, 2, ...
    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    /// Number of linear predictors K.
    fn predictors(&self) -> usize {
        1 + self.parameters().len() + usize::from(self.zero_inflated())
    }

    /// Whether the last predictor is the logit of the probability of an extra zero.
    fn zero_inflated(&self) -> bool {
        false
    }

    /// Whether responses are ordered classes, so that predictors 1 and 2 are the thresholds around a row's class.
    fn ordered(&self) -> bool {
        false
    }

    /// Of a family made of several the one that rows come from whose last predictor is `code`.
    fn member(&self, _code: f64) -> Option<&dyn Family> {
        None
    }

    /// Partial derivatives of the row log densities, without [`Family::log_constant`], with respect
    /// to the first `want.dims` predictors, up to `want.order`, in the layout of [`Derivs`].
    /// Finite for every |eta| <= 700.
    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs);

    /// Adds to `out`, for every shift s of predictor 0, the weighted sum over the rows of what [`Family::derivs`] calls the
    /// value, and returns the size of what was rounded on the way. For families in which all shifts together cost less than
    /// the rows one by one; `None`, with `out` as it was, where that is not so.
    fn add_shifted(
        &self,
        _rows: Rows<'_>,
        _weight: Option<&[f64]>,
        _eta: &[&[f64]],
        _shifts: &[f64],
        _out: &mut [f64],
    ) -> Option<f64> {
        None
    }

    /// The part of the log density of one row that depends on the response alone.
    fn log_constant(&self, y: f64, size: f64) -> f64;

    /// The constant M with |f'''| <= M |f''| in predictor 0, where there is one: 1 for the log and logit
    /// links (poisson, nbinom2, gamma, tweedie, binomial), 0 for gaussian with the identity link. Newton steps
    /// damped by log(1 + M D) / (M D) then never need a line search.
    fn concordance(&self) -> Option<f64> {
        None
    }

    /// What the log density of a row costs, roughly, in units of that of a binomial with the logit link.
    fn price(&self) -> f64 {
        1.0
    }

    /// Mean of the response; for a binomial the mean proportion.
    fn mean(&self, eta: &[f64]) -> f64;

    /// Variance of the response; for a binomial with `size` trials that of the proportion.
    fn variance(&self, eta: &[f64], size: f64) -> f64;

    /// The same of many rows at once, with the predictors `others` besides that of the mean.
    fn variances(&self, eta: &[f64], others: &[f64], size: Option<&[f64]>, out: &mut [f64]) {
        let mut all = [0.0; 4];
        all[1..=others.len()].copy_from_slice(others);
        for (i, (eta, out)) in eta.iter().zip(out).enumerate() {
            all[0] = *eta;
            *out = self.variance(&all[..=others.len()], size.map_or(1.0, |s| s[i]));
        }
    }

    /// (P(Y <= y), P(Y > y)), each accurate in its own tail.
    fn cdf(&self, y: f64, size: f64, eta: &[f64]) -> (f64, f64);

    /// One draw of the response (a count of successes for a binomial).
    fn draw(&self, rng: &mut Random, size: f64, eta: &[f64]) -> f64;

    /// Why `y` (with `size` trials) cannot come from this family, in words that say what is allowed.
    fn check(&self, y: f64, size: f64) -> Result<(), &'static str>;

    /// The first of many responses that cannot come from this family, and why.
    fn first_refused(&self, y: &[f64], size: Option<&[f64]>) -> Option<(usize, &'static str)> {
        // Some at a time, which becomes vector code.
        let good = |rows: Range<usize>| {
            vectorized(
                #[inline(always)]
                || {
                    let mut good = true;
                    for i in rows {
                        good &= self.check(y[i], size.map_or(1.0, |s| s[i])).is_ok();
                    }
                    good
                },
            )
        };
        let refused = |i: usize| self.check(y[i], size.map_or(1.0, |s| s[i])).err();
        let mut parts = (0..y.len()).step_by(CHECKED).map(|first| first..y.len().min(first + CHECKED));
        let part = parts.find(|rows| !good(rows.clone()))?;
        part.into_iter().find_map(|i| refused(i).map(|why| (i, why)))
    }

    /// A starting value for predictor 0 from one response; NaN where that tells nothing of it.
    fn start(&self, y: f64, size: f64) -> f64;

    /// The same of many rows at once.
    fn starts(&self, y: &[f64], size: Option<&[f64]>) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || {
                let mut found = vec![0.0; y.len()];
                for i in 0..y.len() {
                    found[i] = self.start(y[i], size.map_or(1.0, |s| s[i]));
                }
                found
            },
        )
    }

    /// Starting values for predictors 1, 2, ... from the responses and their fitted means, with
    /// frequency weights (empty means all one).
    fn start_parameters(&self, _y: &[f64], _mean: &[f64], _freq: &[f64]) -> Vec<f64> {
        vec![0.0; self.parameters().len()]
    }

    /// Whether the log density is y theta(eta) - size b(eta) + c(y, size), so that rows with equal eta
    /// matter through their sums of y and of size alone (exponential families with known dispersion).
    fn exponential(&self) -> bool {
        false
    }

    /// Families closed under y -> (y - center) / scale, with eta of predictor 0 mapped likewise
    /// (gaussian with the identity link): fitted in standard units and mapped back.
    fn affine(&self) -> bool {
        false
    }
}

/// Whether `v` is a whole number.
#[inline(always)]
fn whole(v: f64) -> bool {
    v.floor() == v && v.abs() < f64::INFINITY
}

/// Mean of `values` with frequency weights (empty means all one).
fn weighted_mean(freq: &[f64], values: impl ExactSizeIterator<Item = f64>) -> f64 {
    if freq.is_empty() {
        let count = values.len() as f64;
        return values.sum::<f64>() / count;
    }
    let weighted = values.zip(freq).map(|(value, f)| f * value);
    weighted.sum::<f64>() / freq.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn whole_numbers_are_known() {
        assert!([0.0, -0.0, 7.0, -3.0, 9_007_199_254_740_993.0, -1e19, 1e300].into_iter().all(super::whole));
        assert!(![0.5, -1e-300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN].into_iter().any(super::whole));
    }
}
