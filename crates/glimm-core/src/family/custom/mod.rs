//! A family that a user wrote as a function: recorded once as a tape of operations, and evaluated here with
//! derivatives to fourth order in all predictors.
//!
//! The terms of the density that depend on the response alone are its constant. Of the others a plan
//! says for each number what it depends on: the row alone (a plain number), one predictor (a series in
//! one variable), several (a full jet).

mod ops;
mod run;
mod series;
mod tape;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::error::Error;
use crate::link::Link;
use run::Shapes;
use series::Shape;
use tape::{Plan, Tape};

pub use tape::Step;

/// Rows that tell where a parameter starts.
const START_ROWS: usize = 500;
/// Its linear predictor is sought within this of zero, first in steps of one, then of a half and a quarter.
const START_REACH: i32 = 12;

/// A family as it comes from outside.
pub struct Spec {
    pub name: String,
    pub link: String,
    /// (name, meaning, scale, low, high, whether it measures dispersion, exponent of precision weights).
    pub parameters: Vec<(String, String, String, f64, f64, bool, f64)>,
    /// What a response must be.
    pub allowed: String,
    /// The functions by name: "density", "start" and "check", and perhaps "mean", "variance" and "cdf".
    pub tapes: BTreeMap<String, Vec<Step>>,
}

pub struct Custom {
    name: &'static str,
    link: Link,
    parameters: &'static [Parameter],
    allowed: &'static str,
    constant: Plan,
    density: Plan,
    /// For derivatives in the first 1, 2, ... predictors.
    plans: Vec<Plan>,
    /// Of their series to second and fourth order.
    shapes: Vec<[Shapes; 2]>,
    /// Of plain numbers.
    plain: Shapes,
    numbers: BTreeMap<&'static str, Plan>,
}

/// Functions besides the density.
const NUMBERS: [&str; 5] = ["start", "check", "mean", "variance", "cdf"];

impl Custom {
    /// # Errors
    /// [`Error::Unknown`] for a link, scale or operation that is not known.
    pub fn new(spec: &Spec) -> Result<Custom, Error> {
        let link = Link::parse(&spec.link).ok_or_else(|| Error::Unknown {
            what: "link",
            name: spec.link.clone(),
            allowed: Link::ALL.iter().map(|link| link.name().into_owned()).collect(),
        })?;
        let predictors = 1 + spec.parameters.len();
        let tape = |name: &str| spec.tapes.get(name).map(|steps| Tape::new(steps, predictors)).transpose();
        let missing = |name: &str| Error::Unknown {
            what: "function of a family",
            name: name.to_owned(),
            allowed: spec.tapes.keys().cloned().collect(),
        };
        let density = tape("density")?.ok_or_else(|| missing("density"))?;
        let mut numbers = BTreeMap::new();
        for name in NUMBERS {
            if let Some(tape) = tape(name)? {
                numbers.insert(name, tape.plain_plan());
            }
        }
        Ok(Custom {
            name: interned(&spec.name),
            link,
            parameters: interned_parameters(spec),
            allowed: interned(&spec.allowed),
            constant: density.constant_plan(predictors),
            density: density.plain_plan(),
            plans: (1..=predictors).map(|dims| density.plan(dims, predictors)).collect(),
            shapes: (1..=predictors).map(|dims| [2, 4].map(|order| shapes(dims, order))).collect(),
            plain: shapes(0, 0),
            numbers,
        })
    }

    fn number(&self, name: &str, y: f64, size: f64, eta: &[f64]) -> Option<f64> {
        self.numbers.get(name).map(|plan| run::number(plan, &self.plain, y, size, eta))
    }
}

fn shapes(dims: usize, order: usize) -> Shapes {
    [Shape::new(0, 0), Shape::new(1, order), Shape::new(dims, order)]
}

/// The one copy of a text: families live as long as the process, in as many copies as differ.
fn interned(text: &str) -> &'static str {
    static TEXTS: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let texts = texts.get_or_insert_default();
    if let Some(found) = texts.get(text) {
        return found;
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    texts.insert(kept);
    kept
}

/// The one copy of these parameters.
fn interned_parameters(spec: &Spec) -> &'static [Parameter] {
    static LISTS: Mutex<Vec<&'static [Parameter]>> = Mutex::new(Vec::new());
    let parameter =
        |(name, meaning, scale, low, high, dispersion, precision): &(String, String, String, f64, f64, bool, f64)| {
            Parameter {
                name: interned(name),
                meaning: interned(meaning),
                scale: match scale.as_str() {
                    "identity" => Scale::Identity,
                    "log" => Scale::Log,
                    _ => Scale::Between(*low, *high),
                },
                dispersion: *dispersion,
                precision: *precision,
            }
        };
    let wanted: Vec<Parameter> = spec.parameters.iter().map(parameter).collect();
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = lists.iter().find(|list| ***list == wanted) {
        return found;
    }
    let kept: &'static [Parameter] = Box::leak(wanted.into_boxed_slice());
    lists.push(kept);
    kept
}

impl Family for Custom {
    fn price(&self) -> f64 {
        8.0
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn link(&self) -> Link {
        self.link
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let k = want.dims.min(self.plans.len()) - 1;
        let shapes = &self.shapes[k][usize::from(want.order > 2)];
        run::fill(&self.plans[k], shapes, rows, eta, want.value, out);
    }

    fn log_constant(&self, y: f64, size: f64) -> f64 {
        run::number(&self.constant, &self.plain, y, size, &[])
    }

    /// By the inverse link where there is no function for it.
    fn mean(&self, eta: &[f64]) -> f64 {
        self.number("mean", f64::NAN, 1.0, eta).unwrap_or_else(|| self.link.inverse(eta[0]))
    }

    /// NaN where there is no function for it.
    fn variance(&self, eta: &[f64], size: f64) -> f64 {
        self.number("variance", f64::NAN, size, eta).unwrap_or(f64::NAN)
    }

    /// NaN where there is no function for it.
    fn cdf(&self, y: f64, size: f64, eta: &[f64]) -> (f64, f64) {
        let lower = self.number("cdf", y, size, eta).unwrap_or(f64::NAN);
        (lower, 1.0 - lower)
    }

    /// Draws are made where the user's function lives.
    fn draw(&self, _rng: &mut Random, _size: f64, _eta: &[f64]) -> f64 {
        f64::NAN
    }

    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        let allowed = y.is_finite() && self.number("check", y, size, &[]).is_none_or(|found| found != 0.0);
        if allowed { Ok(()) } else { Err(self.allowed) }
    }

    fn start(&self, y: f64, size: f64) -> f64 {
        self.number("start", y, size, &[]).filter(|eta| eta.is_finite()).unwrap_or(f64::NAN)
    }

    /// Each in turn where the density at the fitted means is highest, twice.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let stride = y.len().div_ceil(START_ROWS).max(1);
        let rows: Vec<(f64, f64, f64)> = (0..y.len())
            .step_by(stride)
            .map(|i| (y[i], self.link.link(mean[i]), freq.get(i).copied().unwrap_or(1.0)))
            .filter(|(_, eta, _)| eta.is_finite())
            .collect();
        let mut at = vec![0.0; self.parameters.len() + 1];
        let density = |at: &mut [f64]| {
            let row = |&(y, eta, freq): &(f64, f64, f64)| {
                at[0] = eta;
                freq * run::number(&self.density, &self.plain, y, 1.0, at)
            };
            let sum: f64 = rows.iter().map(row).sum();
            if sum.is_nan() { f64::NEG_INFINITY } else { sum }
        };
        let steps = (-START_REACH..=START_REACH).map(f64::from).chain([0.5, -0.5, 0.25, -0.25]);
        let steps: Vec<f64> = steps.collect();
        for k in (1..at.len()).cycle().take(2 * self.parameters.len()) {
            let mut best = (density(&mut at), at[k]);
            for (i, step) in steps.iter().enumerate() {
                at[k] = if i <= 2 * START_REACH as usize { *step } else { best.1 + step };
                let found = density(&mut at);
                if found > best.0 {
                    best = (found, at[k]);
                }
            }
            at[k] = best.1;
        }
        at.split_off(1)
    }
}
