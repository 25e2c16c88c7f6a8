//! What the derivatives at the top say: how far it is, which parameters the data tell, their covariance.

use super::standard::Standard;
use crate::design::Data;
use crate::linalg::dense;
use crate::link::Link;
use crate::objective::Evaluation;

/// Eigenvalues of the scaled negative Hessian below this fraction of the largest carry no information.
const FLAT: f64 = 1e-10;
/// Curvatures below this fraction of the largest are rounding.
const NOISE: f64 = 1e-22;
/// Negative eigenvalues beyond this fraction of the largest are no rounding.
const UPWARDS: f64 = 1e-6;
/// Part of the largest move along a flat direction that makes a parameter unidentified.
const LOADING: f64 = 0.03;
/// A coefficient is on its way to infinity when its standard error over its column's range is this
/// large (in units of the linear predictor), and dwarfs the coefficient itself.
const RUNAWAY_SE: f64 = 30.0;
const RUNAWAY_Z: f64 = 0.5;

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

impl Verdict {
    /// A parameter that follows another one has its covariances, one that is held has none.
    pub fn tie(&mut self, j: usize, to: Option<usize>) {
        let p = self.identified.len();
        self.identified[j] = to.map_or(Identified::Yes, |to| self.identified[to]);
        for i in 0..p {
            let covariance = to.map_or(0.0, |to| self.covariance[to * p + i]);
            (self.covariance[i * p + j], self.covariance[j * p + i]) = (covariance, covariance);
        }
        self.covariance[j * p + j] = to.map_or(0.0, |to| self.covariance[to * p + to]);
    }

    /// Marks a parameter as one that the data do not tell.
    pub fn forget(&mut self, j: usize) {
        let p = self.identified.len();
        self.identified[j] = Identified::No;
        for i in 0..p {
            self.covariance[i * p + j] = f64::NAN;
            self.covariance[j * p + i] = f64::NAN;
        }
    }
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
    let most = (0..p).map(|i| h[i * p + i].abs()).fold(0.0, f64::max);
    let scale = |i: usize| Some(h[i * p + i].abs()).filter(|d| *d > NOISE * most).map_or(1.0, f64::sqrt);
    let scale: Vec<f64> = (0..p).map(scale).collect();
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

/// H^-1 g over the directions that carry information.
pub fn newton_step(e: &Evaluation) -> Vec<f64> {
    let p = e.gradient.len();
    let (c, _) = covariance(e);
    let along = |i: usize| (0..p).map(|j| c[i * p + j] * e.gradient[j]).filter(|x| x.is_finite()).sum();
    (0..p).map(along).collect()
}

/// The same from `psi`, where a variance of zero stays zero.
pub fn step_from(psi: &[f64], e: &Evaluation) -> Vec<f64> {
    newton_step(e).iter().zip(psi).map(|(step, x)| if *x == 0.0 { 0.0 } else { *step }).collect()
}

/// Whether the likelihood still bends upwards in some direction, as it can at zero variances.
pub fn is_saddle(e: &Evaluation) -> bool {
    let Some(s) = spectrum(e) else { return false };
    let top = s.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    s.values.iter().any(|&v| v < -UPWARDS * top)
}

/// `psi` are the parameters in standard units; `any_variance_above` says whether a covariance of the parameters gives
/// the linear predictor of some row, random effects aside, a variance above a limit.
pub fn verdict(
    standard: &Standard,
    link: Link,
    e: &Evaluation,
    psi: &[f64],
    converged: bool,
    any_variance_above: &dyn Fn(&[f64], f64) -> bool,
) -> Verdict {
    let p = e.gradient.len();
    let runs_away = !link.in_units();
    let left = decrement(e);
    let (own, flat_directions) = covariance(e);
    let covariance = standard.covariance_to_user(&own);
    let flat = moved(standard, &flat_directions, p);
    let mut identified: Vec<Identified> =
        flat.iter().map(|&flat| if flat { Identified::No } else { Identified::Yes }).collect();
    for (j, range) in standard.ranges.iter().enumerate().filter(|_| runs_away) {
        // An intercept must be unknown both at the centre of the columns and at their zero: one alone
        // is the doing of another column, or of columns far from zero.
        let there = covariance[j * p + j].sqrt() / standard.unit(j);
        let se = own[j * p + j].sqrt();
        if flat[j] && psi[j].abs() * range > RUNAWAY_SE {
            identified[j] = Identified::Runaway;
        }
        if se.min(there) * range > RUNAWAY_SE && psi[j].abs() < RUNAWAY_Z * se {
            identified[j] = Identified::Runaway;
        }
    }
    // Collinear columns have such errors too, but their errors cancel in every row.
    let suspected = identified.contains(&Identified::Runaway) && flat_directions.is_empty();
    if suspected && !any_variance_above(&own, RUNAWAY_SE * RUNAWAY_SE) {
        let calm = |s: &mut Identified| {
            if *s == Identified::Runaway {
                *s = Identified::Yes
            }
        };
        identified.iter_mut().for_each(calm);
    }
    let (loglik_left, se_moved, gradient) = (0.5 * left, left.sqrt(), e.gradient.clone());
    let mut verdict = Verdict { converged, loglik_left, se_moved, covariance, identified, gradient };
    for j in (0..p).filter(|&j| flat[j]) {
        let state = verdict.identified[j];
        verdict.forget(j);
        verdict.identified[j] = state;
    }
    verdict
}

/// The inverse of the negative Hessian on the directions that carry information, and the directions
/// that do not.
pub fn covariance(e: &Evaluation) -> (Vec<f64>, Vec<Vec<f64>>) {
    let p = e.gradient.len();
    let Some(s) = spectrum(e) else {
        let axis = |j: usize| (0..p).map(|i| f64::from(u8::from(i == j))).collect();
        return (vec![f64::NAN; p * p], (0..p).map(axis).collect());
    };
    let top = s.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let (good, flat): (Vec<usize>, Vec<usize>) = (0..p).partition(|&j| s.values[j] > FLAT * top);
    let entry = |i: usize, k: usize| {
        let sum: f64 = good.iter().map(|&j| s.vectors[i * p + j] * s.vectors[k * p + j] / s.values[j]).sum();
        sum / (s.scale[i] * s.scale[k])
    };
    let direction = |j: usize| (0..p).map(|i| s.vectors[i * p + j] / s.scale[i]).collect();
    ((0..p * p).map(|i| entry(i / p, i % p)).collect(), flat.into_iter().map(direction).collect())
}

/// The user's parameters that move along any of the directions, each judged in its own units.
fn moved(standard: &Standard, directions: &[Vec<f64>], p: usize) -> Vec<bool> {
    let mut any = vec![false; p];
    for direction in directions {
        let user = standard.direction_to_user(direction);
        let moves: Vec<f64> = (0..p).map(|i| user[i].abs() / standard.unit(i)).collect();
        let most = moves.iter().fold(0.0, |m: f64, x| m.max(*x));
        any.iter_mut().zip(moves).for_each(|(a, m)| *a |= m > LOADING * most);
    }
    any
}

/// Whether the linear predictor of some row, random effects aside, has a variance above `limit`.
pub fn any_variance_above(data: &Data, covariance: &[f64], limit: f64) -> bool {
    let columns = &data.predictors[0].columns;
    let (k, p) = (columns.len(), covariance.len().isqrt());
    (0..data.n()).any(|row| {
        let x: Vec<f64> = columns.iter().map(|c| c.at(row)).collect();
        let variance: f64 = (0..k * k).map(|i| x[i / k] * x[i % k] * covariance[i / k * p + i % k]).sum();
        variance > limit
    })
}
