//! The climb: Fisher scoring for the mean, moments for scale and correlation, in turn.

use rayon::prelude::*;

use super::equations::{Sums, Task};
use super::moments::{Moments, Scale, pairs, scale};
use super::rows::Rows;
use super::standard::inverse;
use super::{Data, State, Working};
use crate::control::{Control, Report};
use crate::error::Error;
use crate::family::start_thresholds;
use crate::linalg::dense::{cholesky, cholesky_solve};

const HALVINGS: usize = 40;
/// A step does not make the sum of squares of the residuals larger than this many times.
const GROWTH: f64 = 4.0;
/// Steps smaller than this end the search for a start, in standard errors.
const ROUGH: f64 = 1e-3;
/// Moves that shrink by less than this tell how far the next ones go.
const STEADY: f64 = 0.1;
/// With so many chunks of clusters the search starts from the solution for every few of them.
const MANY: usize = 32;
const SAMPLE: usize = 12;

#[derive(Clone, Debug)]
pub struct Options {
    pub scale: Scale,
    /// Whether sums of squares and products are divided by their number less the number of coefficients.
    pub less: bool,
    pub iterations: usize,
    /// Of steps in standard errors, and of changes of scale and correlation.
    pub tolerance: f64,
}

#[derive(Clone, Debug)]
pub struct Found {
    pub state: State,
    /// Inverse of sum M_i, in standard units.
    pub covariance: Vec<f64>,
    pub iterations: usize,
    pub converged: bool,
    /// What is left to go, in standard errors, as the last steps tell.
    pub left: f64,
    /// Pairs that tell each correlation, where the model is linear.
    pub pairs: Vec<f64>,
}

/// One step of Fisher scoring.
struct Step {
    step: Vec<f64>,
    covariance: Vec<f64>,
    /// Its length in standard errors of the coefficient that moves most.
    size: f64,
}

impl Task<'_> {
    /// Solves all equations, from a start if there is one.
    pub fn fit(&self, options: &Options, start: Option<&State>) -> Result<Found, Error> {
        let mut state = match start {
            Some(state) => state.clone(),
            None => match self.sampled(options)? {
                Some(state) => state,
                None => self.start(options)?,
            },
        };
        let known = self.working.known(self);
        let mut rows = Rows::new(self.data, &state.beta).ok_or_else(outside)?;
        let mut last = f64::INFINITY;
        for iteration in 1.. {
            let before = state.clone();
            state.scale = self.next_scale(&rows, &state, options)?;
            let (wanted, counts) = match &known {
                Some(alpha) => (alpha.clone(), Vec::new()),
                None => self.next_alpha(&rows, &state, options)?,
            };
            let (alpha, sums, cut) = self.nearest_valid(&rows, &mut state, wanted)?;
            state.alpha = alpha;
            let found = solve(&sums)?;
            rows = self.advance(&mut state.beta, &found.step, rows)?;
            let moved = found.size.max(changed(&before, &state));
            let left = remaining(last, moved);
            let settled = left < options.tolerance;
            last = moved;
            self.control.tell(Report { stage: "GEE", iteration, loglik: f64::NAN, decrement: found.size.powi(2) });
            if settled && let Some(cluster) = cut {
                return Err(Error::Working { cluster });
            }
            if settled || iteration >= options.iterations {
                let covariance = found.covariance;
                return Ok(Found { state, covariance, iterations: iteration, converged: settled, left, pairs: counts });
            }
        }
        unreachable!()
    }

    /// The solution for a sample of the clusters, where they are many and the sample has one.
    fn sampled(&self, options: &Options) -> Result<Option<State>, Error> {
        let chunks = self.data.chunks.len();
        if chunks < MANY {
            return Ok(None);
        }
        let sample = self.data.sample(chunks / SAMPLE);
        let rough = Options { tolerance: ROUGH, ..options.clone() };
        match (Task { data: &sample, ..*self }).fit(&rough, None) {
            Ok(found) => Ok(found.converged.then_some(found.state)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(_) => Ok(None),
        }
    }

    /// The generalized linear model that takes all rows for independent.
    fn start(&self, options: &Options) -> Result<State, Error> {
        let data = self.data;
        let scale = match (options.scale, &data.scale) {
            (Scale::Fixed(phi), _) => vec![phi],
            (_, Some((_, g))) => vec![0.0; *g],
            _ => vec![1.0],
        };
        let mut state = State { beta: vec![0.0; data.width()], scale, alpha: self.working.start() };
        let single = crate::gee::working::lookup("independence", Default::default())?;
        let task = Task { working: single.as_ref(), ..*self };
        if data.standard.thresholds > 0 {
            let thresholds = start_thresholds(data.family.link(), &data.y, &[], data.parts + 1);
            state.beta[..thresholds.len()].copy_from_slice(&thresholds);
        } else {
            let rows = Rows::start(data).ok_or_else(outside)?;
            state.beta = solve(&task.sums(&rows, &state, false)?)?.step;
        }
        let mut rows = Rows::new(data, &state.beta).ok_or_else(outside)?;
        for _ in 0..options.iterations {
            let found = solve(&task.sums(&rows, &state, false)?)?;
            rows = self.advance(&mut state.beta, &found.step, rows)?;
            if found.size < ROUGH {
                break;
            }
        }
        if let (Scale::Estimated, Some((z, g))) = (options.scale, &data.scale) {
            let mean = rows.squares / rows.residual.len() as f64;
            let constant = (0..*g).find(|&a| z.iter().skip(a).step_by(*g).all(|&v| v == 1.0));
            if let Some(a) = constant {
                state.scale[a] = mean.ln();
            }
        }
        Ok(state)
    }

    fn next_scale(&self, rows: &Rows, state: &State, options: &Options) -> Result<Vec<f64>, Error> {
        if let Scale::Fixed(phi) = options.scale {
            return Ok(vec![phi]);
        }
        let less = if options.less { self.data.width() as f64 } else { 0.0 };
        let found = scale(self, rows, &state.scale, less)?;
        if self.data.scale.is_none() && !(found[0] > 0.0 && found[0].is_finite()) {
            let why = format!("the scale is estimated as {}: the mean fits the response perfectly", found[0]);
            return Err(Error::Degenerate { why });
        }
        Ok(found)
    }

    /// The next correlations, and the number of pairs that tell each.
    fn next_alpha(&self, rows: &Rows, state: &State, options: &Options) -> Result<(Vec<f64>, Vec<f64>), Error> {
        if self.working.parameters() == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let found = pairs(self, rows, state)?;
        if !self.working.linear() {
            return Ok((self.climb(&state.alpha, found)?, Vec::new()));
        }
        let less = if options.less { self.data.width() as f64 } else { 0.0 };
        let few = found.curvature.iter().any(|&count| count > 0.0 && count <= less);
        if few {
            let why = "a correlation has no more pairs of rows than there are coefficients".to_owned();
            return Err(Error::Degenerate { why: format!("{why}; use moments=\"n\"") });
        }
        let mean = |(sum, count): (&f64, &f64)| if *count > 0.0 { sum / (count - less) } else { 0.0 };
        let alpha = found.gradient.iter().zip(&found.curvature).map(mean).collect();
        Ok((alpha, found.curvature))
    }

    /// A step of Gauss and Newton, shortened until the parameters are in range.
    fn climb(&self, now: &[f64], found: Moments) -> Result<Vec<f64>, Error> {
        let (mut step, mut curvature) = (found.gradient, found.curvature);
        if !cholesky(&mut curvature, now.len()) {
            let why =
                "the pairs of rows do not tell the parameters of the correlation: each needs pairs that differ in it";
            return Err(Error::Degenerate { why: why.into() });
        }
        cholesky_solve(&curvature, now.len(), &mut step);
        for _ in 0..HALVINGS {
            let next: Vec<f64> = now.iter().zip(&step).map(|(a, s)| a + s).collect();
            if self.working.inside(&next) {
                return Ok(next);
            }
            step.iter_mut().for_each(|s| *s *= 0.5);
        }
        Ok(now.to_vec())
    }

    /// The sums at the correlations wanted, or as near to them as all matrices are positive definite; then with a cluster
    /// where they were not.
    fn nearest_valid(
        &self,
        rows: &Rows,
        state: &mut State,
        wanted: Vec<f64>,
    ) -> Result<(Vec<f64>, Sums, Option<usize>), Error> {
        let (from, mut cut, mut share) = (state.alpha.clone(), None, 1.0);
        for _ in 0..HALVINGS {
            state.alpha =
                from.iter().zip(&wanted).map(|(a, b)| if share < 1.0 { a + share * (b - a) } else { *b }).collect();
            let valid = if self.working.inside(&state.alpha) {
                self.sums(rows, state, false)
            } else {
                Err(Error::Working { cluster: 0 })
            };
            match valid {
                Err(Error::Working { cluster }) => cut = Some(cluster),
                other => return Ok((state.alpha.clone(), other?, cut)),
            }
            share *= 0.5;
        }
        Err(Error::Working { cluster: cut.unwrap_or(0) })
    }

    /// Takes a step, shortened until all means are in range and the residuals have not become much larger.
    fn advance(&self, beta: &mut [f64], step: &[f64], rows: Rows) -> Result<Rows, Error> {
        let most = GROWTH * squares(&rows);
        drop(rows);
        let (from, mut share) = (beta.to_vec(), 1.0);
        for _ in 0..HALVINGS {
            (0..beta.len()).for_each(|j| beta[j] = from[j] + share * step[j]);
            if let Some(rows) = Rows::new(self.data, beta).filter(|rows| squares(rows) <= most) {
                return Ok(rows);
            }
            share *= 0.5;
        }
        Err(outside())
    }
}

/// Sum of squares and a little more, so that it may grow from zero.
fn squares(rows: &Rows) -> f64 {
    rows.squares + rows.residual.len() as f64 * f64::EPSILON
}

fn outside() -> Error {
    let why = "no coefficients were found at which every mean lies in the range of the family; another link may keep it there";
    Error::Degenerate { why: why.into() }
}

/// What is left to go after a move, from the one before: moves that shrink by a factor r sum to r / (1 - r).
fn remaining(last: f64, moved: f64) -> f64 {
    let rate = moved / last;
    if last.is_finite() && rate < STEADY { moved * rate / (1.0 - rate) } else { moved }
}

fn changed(before: &State, after: &State) -> f64 {
    let pairs = before.alpha.iter().zip(&after.alpha).map(|(a, b)| (a - b).abs());
    let scales = before.scale.iter().zip(&after.scale).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    pairs.chain(scales).fold(0.0, f64::max)
}

/// B^-1 u.
fn solve(sums: &Sums) -> Result<Step, Error> {
    let p = sums.u.len();
    let (mut l, mut step) = (sums.m.clone(), sums.u.clone());
    if !cholesky(&mut l, p) {
        let why = "the search ended where the data no longer tell the coefficients: a covariate may predict the response \
                   perfectly (separation), so that its coefficient is infinite";
        return Err(Error::Degenerate { why: why.into() });
    }
    cholesky_solve(&l, p, &mut step);
    let covariance = inverse(&l, p);
    let size = (0..p).map(|j| step[j].abs() / covariance[j * p + j].sqrt()).fold(0.0, f64::max);
    Ok(Step { step, covariance, size })
}

/// Estimates without each cluster in turn, (clusters, p) in standard units, and whether all of them converged.
pub fn without_each(
    data: &Data,
    working: &dyn Working,
    options: &Options,
    full: &State,
    control: &Control,
) -> Result<(Vec<f64>, bool), Error> {
    let one = |cluster: usize| {
        if control.stopped() {
            return Err(Error::Interrupted);
        }
        let quiet = Control::default();
        Task { data, working, control: &quiet, skip: Some(cluster) }.fit(options, Some(full))
    };
    let found: Vec<Result<Found, Error>> = (0..data.clusters()).into_par_iter().map(one).collect();
    let found = found.into_iter().collect::<Result<Vec<Found>, Error>>()?;
    let converged = found.iter().all(|f| f.converged);
    Ok((found.into_iter().flat_map(|f| f.state.beta).collect(), converged))
}
