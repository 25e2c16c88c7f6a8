//! Profiles of the likelihood: maxima with one function of the parameters held, and where they are too low.
//!
//! The integral over the random effects is that of the fit, with nodes placed anew at every point that is reported.
//! Where a fit rests on expectation propagation, or was corrected by draws and that is not too dear, it is walked over
//! with its remainder. Where a fit was corrected by draws or on a sample the surface gets a linear term that gives it
//! the fit's maximum.

mod ends;
mod goal;
mod ridge;
mod surface;

pub use ends::Ending;
pub use goal::{Goal, Share};

use self::ends::{Reached, Walk};
use self::ridge::{Point, look};
use self::surface::Surface;
use super::path::Engine;
use super::{Path, Problem};
use crate::error::Error;
use crate::objective::{Evaluation, Objective, Reject};

/// What a point of a profile may be above the maximum: rounding, and what a climb leaves.
const SLACK: f64 = 1e-5;
/// Squared distance to the maximum, in standard errors, from which the surface is another than the one climbed.
const OTHER: f64 = 1e-6;
/// The same from which the parameters given are no maximum at all.
const ELSEWHERE: f64 = 25.0;

/// Which points of a profile are wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// On both sides, where twice the log-likelihood has fallen by the square of each; ascending.
    Roots(Vec<f64>),
    /// At these values of the goal.
    Values(Vec<f64>),
}

/// A point of a profile, in the user's units.
#[derive(Clone, Debug)]
pub struct Profiled {
    pub ending: Ending,
    pub value: f64,
    /// Signed root of twice the fall of the log-likelihood.
    pub root: f64,
    pub psi: Vec<f64>,
}

/// Points of one goal, the lower side first, and the evaluations with second derivatives that they took.
#[derive(Clone, Debug)]
pub struct Profile {
    pub points: Vec<Profiled>,
    pub evaluations: usize,
    /// What was walked over: the likelihood as the fit has it ("own"), or another surface.
    pub surface: &'static str,
}

impl Problem {
    /// Profiles of several goals about the maximum `psi` (user's parameters).
    pub fn profile(&mut self, psi: &[f64], goals: &[(Goal, Wanted)]) -> Result<Vec<Profile>, Error> {
        let psi = self.standard_parameters(psi)?;
        if let Some((goal, _)) = goals.iter().find(|(goal, _)| !goal.fits(self.layout.total)) {
            return Err(Error::Degenerate { why: format!("the goal {goal:?} is not of this model's parameters") });
        }
        self.refuse_noisy()?;
        if self.unit.is_none() {
            self.start();
        }
        self.with_nested(|problem| {
            let slack = SLACK + problem.noise();
            let mut surface = Surface::new(problem);
            let top = begin(&mut surface, goals.len(), &psi)?;
            let mut tour = Tour { surface, psi, top, slack };
            goals.iter().map(|(goal, wanted)| tour.profile(goal, wanted)).collect()
        })
    }

    /// The objective with its first two derivatives at the user's parameters, integrated as asked; none where it has no
    /// value.
    pub fn evaluate_twice(&mut self, psi: &[f64]) -> Result<Option<Evaluation>, Error> {
        let psi = self.standard_parameters(psi)?;
        self.refuse_noisy()?;
        let change = self.unit_change();
        self.with_nested(|problem| {
            let mut surface = Surface::new(problem);
            let found = surface.place(&psi).and_then(|_| surface.at(&psi));
            let standard = &problem.standard;
            match found {
                Err(Reject::Interrupted) => Err(Error::Interrupted),
                Err(_) => Ok(None),
                Ok(e) => Ok(Some(Evaluation {
                    value: e.value + change,
                    gradient: standard.gradient_to_user(&e.gradient),
                    hessian: e.hessian.map(|h| standard.hessian_to_user(&h)),
                })),
            }
        })
    }

    fn refuse_noisy(&self) -> Result<(), Error> {
        if self.path == Path::Iterative {
            let why = "profiles and second derivatives need likelihoods without noise".into();
            return Err(Error::Engine { name: "iterative", why });
        }
        if self.restricted() {
            let why = "profiles are of maximum likelihood, not of the restricted one".into();
            return Err(Error::Degenerate { why });
        }
        Ok(())
    }

    /// Calls `work` with nested factors integrated as they are in a fit.
    fn with_nested<T>(&mut self, work: impl FnOnce(&mut Problem) -> Result<T, Error>) -> Result<T, Error> {
        let nested = match self.engine {
            Engine::Crossed(_) => self.nested()?,
            _ => None,
        };
        let Some(mut nested) = nested else { return work(self) };
        nested.set_control(&self.control);
        let crossed = std::mem::replace(&mut self.engine, Engine::Nested(Box::new(nested)));
        let found = work(self);
        self.engine = crossed;
        found
    }

    /// What new nodes may change the log-likelihood by.
    fn noise(&self) -> f64 {
        match &self.engine {
            Engine::Nested(_) => 1e-2,
            _ => 0.0,
        }
    }
}

/// Profiles about one maximum.
struct Tour<'a> {
    surface: Surface<'a>,
    psi: Vec<f64>,
    top: Evaluation,
    slack: f64,
}

impl Tour<'_> {
    fn profile(&mut self, goal: &Goal, wanted: &Wanted) -> Result<Profile, Error> {
        let before = self.surface.evaluations;
        let user = self.surface.problem.standard.to_user(&self.psi);
        let mut points = Vec::new();
        if goal.defined(&user) {
            let least = match wanted {
                Wanted::Roots(roots) => self.least(goal, roots.last().copied().unwrap_or(0.0))?,
                Wanted::Values(_) => f64::INFINITY,
            };
            let sides: &[f64] = if matches!(wanted, Wanted::Roots(_)) { &[-1.0, 1.0] } else { &[1.0] };
            for &side in sides {
                self.surface.restart();
                let start = self.start(goal, &user)?;
                let walk = walk(&mut self.surface, goal, &start, self.top.value, self.slack);
                points.extend(side_of(walk, &start, side, wanted, least)?);
            }
        }
        Ok(Profile { points, evaluations: self.surface.evaluations - before, surface: self.surface.name() })
    }

    /// The root beyond which every value of the goal is as good: that of a standard deviation of zero, without which a
    /// correlation is none.
    fn least(&mut self, goal: &Goal, target: f64) -> Result<f64, Error> {
        let (mut least, user) = (f64::INFINITY, self.surface.problem.standard.to_user(&self.psi));
        for length in goal.lengths() {
            self.surface.restart();
            let start = self.start(&length, &user)?;
            let mut walk = walk(&mut self.surface, &length, &start, self.top.value, self.slack);
            let (reached, _) = outcome(walk.reach_root(&start, -1.0, target), &walk, &start)?;
            if reached.ending == Ending::Limit {
                least = least.min(walk.root(reached.height));
            }
        }
        Ok(least)
    }

    /// The maximum as the start of the ridge over a goal.
    fn start(&mut self, goal: &Goal, user: &[f64]) -> Result<Point, Error> {
        let opened = goal.opened(user);
        if opened == user {
            let local = self.surface.local(goal, &self.psi);
            let point = ridge::read(self.psi.clone(), self.top.clone(), local);
            return point.ok_or_else(|| rejected(Reject::NotPositiveDefinite));
        }
        let psi = self.surface.problem.standard.to_standard(&opened);
        look(&mut self.surface, goal, psi).map_err(rejected)
    }
}

fn walk<'a, 'b>(surface: &'a mut Surface<'b>, goal: &'a Goal, start: &Point, top: f64, slack: f64) -> Walk<'a, 'b> {
    let limits = goal.limits(surface.problem.standard.unit(goal.first()));
    let error = 1.0 / (-start.bend).max(f64::MIN_POSITIVE).sqrt();
    Walk { surface, goal, limits, top, slack, center: start.c, error }
}

/// The derivatives at the maximum; gives the surface its tilt where it has another one.
fn begin(surface: &mut Surface<'_>, goals: usize, psi: &[f64]) -> Result<Evaluation, Error> {
    surface.restart();
    surface.place(psi).map_err(rejected)?;
    let mut plain = surface.at(psi).map_err(rejected)?;
    if super::inference::decrement(&plain) >= OTHER {
        plain = surface.propagate(goals, psi, plain)?;
    }
    let left = super::inference::decrement(&plain);
    if left > ELSEWHERE || left.is_nan() {
        let why = "the parameters given are not a maximum of the likelihood to be profiled".into();
        return Err(Error::Degenerate { why });
    }
    if left < OTHER {
        return Ok(plain);
    }
    let slope = plain.gradient.iter().map(|g| -g).collect();
    surface.tilt = Some((slope, psi.to_vec()));
    Ok(Evaluation { gradient: vec![0.0; psi.len()], ..plain })
}

/// The points of one side; after the first that is not reached there are no more.
fn side_of(
    mut walk: Walk<'_, '_>,
    top: &Point,
    side: f64,
    wanted: &Wanted,
    least: f64,
) -> Result<Vec<Profiled>, Error> {
    let (roots, values) = match wanted {
        Wanted::Roots(roots) => (roots.as_slice(), [].as_slice()),
        Wanted::Values(values) => ([].as_slice(), values.as_slice()),
    };
    let (mut points, mut here) = (Vec::new(), top.clone());
    for &target in roots {
        if target >= least {
            let c = if side < 0.0 { walk.limits[0] } else { walk.limits[1] };
            let height = walk.top - 0.5 * least * least;
            let end = Reached { ending: Ending::Limit, c, height, psi: here.psi.clone() };
            points.push(profiled(&walk, &end, side));
            break;
        }
        let (reached, next) = outcome(walk.reach_root(&here, side, target), &walk, &here)?;
        points.push(profiled(&walk, &reached, side));
        if reached.ending != Ending::Reached {
            break;
        }
        here = next;
    }
    for &c in values {
        let (reached, next) = outcome(walk.reach_value(&here, c), &walk, &here)?;
        points.push(profiled(&walk, &reached, if c < walk.center { -1.0 } else { 1.0 }));
        here = if reached.ending == Ending::Reached { next } else { top.clone() };
    }
    Ok(points)
}

fn outcome(
    found: Result<(Reached, Point), Reject>,
    walk: &Walk<'_, '_>,
    here: &Point,
) -> Result<(Reached, Point), Error> {
    match found {
        Err(Reject::Interrupted) => Err(Error::Interrupted),
        Err(_) => Ok((walk.end(Ending::NoValue, here), here.clone())),
        Ok(found) => Ok(found),
    }
}

fn profiled(walk: &Walk<'_, '_>, reached: &Reached, side: f64) -> Profiled {
    let psi = walk.surface.problem.standard.to_user(&reached.psi);
    Profiled { ending: reached.ending, value: reached.c, root: side * walk.root(reached.height), psi }
}

fn rejected(reject: Reject) -> Error {
    match reject {
        Reject::Interrupted => Error::Interrupted,
        _ => Error::Degenerate { why: "the likelihood has no value at the parameters given".into() },
    }
}
