//! Means over a population: E g^-1(eta + sd t), t ~ N(0, 1), with derivatives in eta and sd.
//!
//! Closed forms where there are any (identity, log, probit, whole powers); else one-dimensional quadrature, chosen by the
//! link's nearest singularity, with a relative accuracy that holds into both tails.

mod cauchy;
mod curvature;
mod joint;
mod powers;
mod predictive;
mod proportions;

pub use curvature::curvature;
pub use joint::{Expectation, Joint, joint};
pub use predictive::quantiles;

use rayon::prelude::*;

use crate::link::Link;
use crate::special::{exp, normal_cdf, normal_pdf};

/// Rows that share a task.
const BLOCK: usize = 1024;

/// A mean over a population with its derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    pub mean: f64,
    /// One minus the mean, sharp where the mean is near one (links of proportions).
    pub complement: f64,
    pub d_eta: f64,
    pub d_sd: f64,
}

impl Average {
    /// That of 1 - f(-x), given that of f at -eta.
    fn mirrored(self) -> Average {
        let Average { mean, complement, d_eta, d_sd } = self;
        Average { mean: complement, complement: mean, d_eta, d_sd: -d_sd }
    }

    fn of([mean, d_eta, d_sd]: [f64; 3]) -> Average {
        Average { mean, complement: 1.0 - mean, d_eta, d_sd }
    }
}

/// E g^-1(eta + sd t), t ~ N(0, 1); the sign of `sd` does not matter to the mean. NaN where there is no such mean: for
/// links that are powers, where eta + sd t leaves their domain with a probability that matters.
pub fn average(link: Link, eta: f64, sd: f64) -> Average {
    if !(eta.is_finite() && sd.is_finite()) {
        return Average::of([f64::NAN; 3]);
    }
    if sd == 0.0 {
        let [mean, d_eta, ..] = link.inverse_derivatives(eta);
        return Average { mean, complement: link.complement(eta), d_eta, d_sd: 0.0 };
    }
    let size = sd.abs();
    let mut found = match link {
        Link::Identity => Average::of([eta, 1.0, 0.0]),
        Link::Log => {
            let mean = exp(0.5 * size * size + eta);
            Average::of([mean, mean, size * mean])
        }
        Link::Probit => probit(eta, size),
        Link::Logit | Link::Cloglog | Link::Loglog => proportions::average(link, eta, size),
        Link::Cauchit => cauchy::average(eta, size),
        Link::Inverse | Link::InverseSquare | Link::Sqrt | Link::Power(_) => {
            Average::of(powers::average(link, eta, size))
        }
    };
    if sd < 0.0 {
        found.d_sd = -found.d_sd;
    }
    found
}

/// [`average`] of each row.
pub fn averages(link: Link, eta: &[f64], sd: &[f64]) -> Vec<Average> {
    let rows = eta.par_chunks(BLOCK).zip(sd.par_chunks(BLOCK));
    rows.flat_map_iter(|(eta, sd)| eta.iter().zip(sd).map(|(&e, &s)| average(link, e, s))).collect()
}

/// P(Z <= eta + sd t) = P(Z - sd t <= eta).
fn probit(eta: f64, sd: f64) -> Average {
    let scale = 1.0f64.hypot(sd);
    let x = eta / scale;
    let slope = normal_pdf(x) / scale;
    Average { mean: normal_cdf(x), complement: normal_cdf(-x), d_eta: slope, d_sd: -slope * x * (sd / scale) }
}
