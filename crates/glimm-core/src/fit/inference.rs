//! What the derivatives at the top say: how far it is, which parameters the data tell, their covariance.

use super::standard::Standard;
use crate::design::Layout;
use crate::linalg::dense;
use crate::objective::Evaluation;

/// Eigenvalues of the scaled negative Hessian below this fraction of the largest carry no information.
const FLAT: f64 = 1e-10;
/// A squared loading on a flat direction that makes a parameter unidentified.
const LOADING: f64 = 1e-3;
/// A coefficient that moves eta this far over its column's range, with a standard error this large,
/// is on its way to infinity.
const RUNAWAY: (f64, f64) = (8.0, 30.0);

/// Whether the data tell a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identified {
    Yes,
    /// The likelihood is flat in this parameter.
    No,
    /// The likelihood rises for ever in this coefficient (separation).
    Runaway,
}

pub struct Verdict {
    pub converged: bool,
    /// Log-likelihood left, in nats, and the largest remaining move in standard errors.
    pub loglik_left: f64,
    pub se_moved: f64,
    /// Joint covariance of all parameters in the user's units; NaN rows for those not identified.
    pub covariance: Vec<f64>,
    pub identified: Vec<Identified>,
    pub gradient: Vec<f64>,
}

/// The scaled negative Hessian's eigen-decomposition.
struct Spectrum {
    scale: Vec<f64>,
    values: Vec<f64>,
    vectors: Vec<f64>,
}

fn spectrum(e: &Evaluation) -> Option<Spectrum> {
    let h = e.hessian.as_ref()?;
    let p = e.gradient.len();
    let scale: Vec<f64> =
        (0..p).map(|i| Some(h[i * p + i].abs().sqrt()).filter(|s| *s > 0.0).unwrap_or(1.0)).collect();
    let scaled: Vec<f64> = (0..p * p).map(|i| -h[i] / (scale[i / p] * scale[i % p])).collect();
    let (values, vectors) = dense::eigen(&scaled, p)?;
    Some(Spectrum { scale, values, vectors })
}

/// g'H^-1 g over the directions that carry information.
pub fn decrement(e: &Evaluation) -> f64 {
    let Some(s) = spectrum(e) else { return f64::INFINITY };
    let p = s.scale.len();
    let top = s.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    (0..p)
        .map(|j| {
            let g: f64 = (0..p).map(|i| s.vectors[i * p + j] * e.gradient[i] / s.scale[i]).sum();
            g * g / s.values[j].abs().max(FLAT * top)
        })
        .sum()
}

pub fn verdict(standard: &Standard, e: &Evaluation, layout: &Layout, psi: &[f64], converged: bool) -> Verdict {
    let p = e.gradient.len();
    let left = decrement(e);
    let (mut covariance, flat) = covariance(e);
    covariance = standard.covariance_to_user(&covariance);
    let mut identified = vec![Identified::Yes; p];
    for (i, state) in identified.iter_mut().enumerate() {
        if flat[i] {
            *state = Identified::No;
        }
    }
    let psi_free = layout.beta[0].clone();
    for (j, range) in psi_free.zip(&standard.ranges) {
        let (reach, se) = (psi[j].abs() * range, covariance[j * p + j].sqrt() * range);
        if reach > RUNAWAY.0 && se > RUNAWAY.1 {
            identified[j] = Identified::Runaway;
        }
    }
    for i in (0..p).filter(|&i| flat[i]) {
        for j in 0..p {
            covariance[i * p + j] = f64::NAN;
            covariance[j * p + i] = f64::NAN;
        }
    }
    Verdict {
        converged,
        loglik_left: 0.5 * left,
        se_moved: left.sqrt(),
        covariance,
        identified,
        gradient: e.gradient.clone(),
    }
}

/// The inverse of the negative Hessian on the directions that carry information, and the parameters
/// that load on those that do not.
fn covariance(e: &Evaluation) -> (Vec<f64>, Vec<bool>) {
    let p = e.gradient.len();
    let Some(s) = spectrum(e) else { return (vec![f64::NAN; p * p], vec![true; p]) };
    let top = s.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let good: Vec<usize> = (0..p).filter(|&j| s.values[j] > FLAT * top).collect();
    let entry = |i: usize, k: usize| {
        let sum: f64 = good.iter().map(|&j| s.vectors[i * p + j] * s.vectors[k * p + j] / s.values[j]).sum();
        sum / (s.scale[i] * s.scale[k])
    };
    let loading = |i: usize| (0..p).filter(|j| !good.contains(j)).map(|j| s.vectors[i * p + j].powi(2)).sum::<f64>();
    ((0..p * p).map(|i| entry(i / p, i % p)).collect(), (0..p).map(|i| loading(i) > LOADING).collect())
}
