//! How many nodes every unit needs.
//!
//! The number of Gauss-Hermite nodes is raised until the log-integral settles. Where it does not, and there are at most
//! two levels of one effect each, the truth is had by panels within panels ([`super::reference`]), and if Gauss and
//! Hermite's nodes miss it, Gauss's for the distributions of the effects themselves are tried, and panels
//! ([`super::marginal`]). The cheapest nodes near the truth are chosen; stated errors are distances from it.

use std::ops::Range;
use std::sync::Arc;

use super::chunk::{Chunk, Job};
use super::integral::Integral;
use super::points::{Points, Shelf};
use crate::integration::{Nodes, Rule};
use crate::objective::{Reject, proceed};

/// Newton decrement of the modes around which nodes are chosen.
pub const MODES: f64 = 1e-12;
/// Nodes per effect that are tried: of Gauss and Hermite, then of Gauss for the effects' distributions.
const HERMITE: [usize; 9] = [1, 3, 5, 7, 9, 11, 15, 21, 31];
const OWN: [usize; 7] = [7, 9, 11, 15, 21, 31, 45];
/// Numbers of nodes that are tried whatever they cost, and row evaluations of a unit beyond which no more are.
const LEAST: usize = 5;
const AFFORDABLE: usize = 5_000_000;
/// Values are this many times as far from the truth as the last two steps were long.
const CAUTION: f64 = 10.0;
/// The shares of the tolerance that agreeing values and the reference may miss.
const AGREED: f64 = 0.5;
const REFERENCE: f64 = 0.1;
/// Levels up to which there is a reference.
const LEVELS: usize = 2;

/// Nodes for the groups of a unit, and the stated error of its log-integral.
struct Chosen {
    points: Vec<Arc<Points>>,
    error: f64,
}

impl Chunk {
    /// Chooses the nodes of all units of the chunk.
    pub fn choose(&mut self, job: &Job<'_>, rule: Rule) -> Result<(Nodes, usize), Reject> {
        let (error, evaluated) = match rule {
            Rule::Gauss(k) => {
                self.points = self.gauss(k);
                (f64::NAN, 0)
            }
            Rule::Adaptive(tolerance) => self.search(job, tolerance, true)?,
            Rule::Reference(tolerance) => self.search(job, tolerance, false)?,
        };
        let counts = self.tree.units.iter().map(|unit| self.nodes(unit)).collect();
        Ok((Nodes { counts, error }, evaluated))
    }

    /// Searches for nodes unit by unit; returns the sum of the stated errors and the rows seen.
    fn search(&mut self, job: &Job<'_>, tolerance: f64, trusts: bool) -> Result<(f64, usize), Reject> {
        let mut u = self.u.clone();
        let mut patch = self.at_modes(&mut u, job)?;
        let (_, arrow, _) = self.factorise(&mut patch)?;
        let lambda = self.chart.flat(job.lambda);
        let mut integral = self.integral(&patch, &arrow, &lambda);
        let (mut points, mut shelf, mut error) = (Vec::with_capacity(self.points.len()), Shelf::default(), 0.0);
        for unit in &self.tree.units {
            proceed(job.control)?;
            let chosen = Search { integral: &mut integral, unit, shelf: &mut shelf, tolerance, trusts }.run();
            error += chosen.error;
            points.extend(chosen.points);
        }
        let evaluated = patch.evaluated + integral.rows.evaluated;
        self.points = points;
        if error.is_nan() { Err(Reject::NoMode) } else { Ok((error, evaluated)) }
    }

    /// Nodes on the way from the top of a unit to a row.
    fn nodes(&self, unit: &Range<usize>) -> usize {
        let mut paths = vec![1; unit.len()];
        for g in unit.clone() {
            let above = self.tree.groups[g].parent.map_or(1, |p| paths[p - unit.start]);
            paths[g - unit.start] = above * self.points[g].len();
        }
        paths.into_iter().max().unwrap_or(1)
    }
}

/// The search for the nodes of one unit.
struct Search<'s, 'a> {
    integral: &'s mut Integral<'a>,
    unit: &'s Range<usize>,
    shelf: &'s mut Shelf,
    tolerance: f64,
    /// Whether values that agree are taken for the truth even where there is a reference.
    trusts: bool,
}

/// Some nodes with their log-integral.
struct Rung {
    points: Vec<Arc<Points>>,
    value: f64,
}

impl Rung {
    /// The distance from a value that may itself miss the truth.
    fn error(&self, (truth, missed): (f64, f64)) -> f64 {
        (self.value - truth).abs() + missed
    }
}

/// The last rung.
fn top(ladder: &[Rung], truth: (f64, f64)) -> Chosen {
    let rung = &ladder[ladder.len() - 1];
    Chosen { points: rung.points.clone(), error: rung.error(truth) }
}

impl Search<'_, '_> {
    fn run(&mut self) -> Chosen {
        let ladder = self.hermite();
        let agreed = agreement(&ladder);
        let settled = self.trusts && agreed.1 <= AGREED * self.tolerance;
        if settled || !self.has_reference() {
            return self.first_near(&ladder, agreed).unwrap_or_else(|| top(&ladder, agreed));
        }
        let truth = self.integral.reference(self.unit.start, &[], REFERENCE * self.tolerance);
        if let Some(chosen) = self.first_near(&ladder, truth) {
            return chosen;
        }
        let start = &ladder[ladder.len() - 1].points;
        let own = self.integral.marginals(self.unit, start, &OWN, REFERENCE * self.tolerance);
        let ladder: Vec<Rung> = own.into_iter().map(|points| self.rung(points)).collect();
        self.first_near(&ladder, truth).unwrap_or_else(|| top(&ladder, truth))
    }

    /// Whether a group has one effect and there are few levels.
    fn has_reference(&self) -> bool {
        let groups = &self.integral.tree.groups[self.unit.clone()];
        groups.iter().all(|g| g.own == 1 && g.path.len() <= LEVELS)
    }

    fn rung(&mut self, points: Vec<Arc<Points>>) -> Rung {
        self.integral.points[self.unit.clone()].clone_from_slice(&points);
        Rung { value: self.integral.of_unit(self.unit).0, points }
    }

    /// Gauss-Hermite nodes, more and more until their values agree or more are too many.
    fn hermite(&mut self) -> Vec<Rung> {
        let groups = &self.integral.tree.groups[self.unit.clone()];
        let effects = groups.iter().map(|g| g.path.len()).max().unwrap_or(0) as u32;
        let rows = groups[0].rows.len();
        let affordable = |k: usize| k.checked_pow(effects).is_some_and(|n| n.saturating_mul(rows) <= AFFORDABLE);
        let mut ladder: Vec<Rung> = Vec::new();
        for &k in HERMITE.iter().take_while(|&&k| k <= LEAST || affordable(k)) {
            let own = |g: usize| self.integral.tree.groups[g].own;
            let points = self.unit.clone().map(|g| self.shelf.gauss(k, own(g))).collect();
            ladder.push(self.rung(points));
            if agreement(&ladder).1 <= AGREED * self.tolerance {
                break;
            }
        }
        ladder
    }

    /// The first rung that is near the truth, if the next is as well: one of them could be so by chance.
    fn first_near(&mut self, ladder: &[Rung], truth: (f64, f64)) -> Option<Chosen> {
        let near = |rung: &Rung| rung.error(truth) <= self.tolerance;
        let found = (1..ladder.len()).find(|&i| near(&ladder[i - 1]) && near(&ladder[i]))?;
        Some(self.thin(&ladder[..found], truth))
    }

    /// The last rung, with fewer nodes at the levels that need fewer.
    fn thin(&mut self, ladder: &[Rung], truth: (f64, f64)) -> Chosen {
        let mut best = top(ladder, truth);
        for level in self.levels() {
            for fewer in ladder.iter().rev().skip(1) {
                let of = |(i, g): (usize, usize)| {
                    let at_level = self.integral.tree.groups[g].path.len() == level;
                    if at_level { fewer.points[i].clone() } else { best.points[i].clone() }
                };
                let points = self.unit.clone().enumerate().map(of).collect();
                let rung = self.rung(points);
                if rung.error(truth) > self.tolerance {
                    break;
                }
                best = Chosen { error: rung.error(truth), points: rung.points };
            }
        }
        best
    }

    /// The levels of the unit, by the number of effects of their paths.
    fn levels(&self) -> Vec<usize> {
        let mut levels: Vec<usize> =
            self.integral.tree.groups[self.unit.clone()].iter().map(|g| g.path.len()).collect();
        levels.sort_unstable();
        levels.dedup();
        levels
    }
}

/// The last value, and how far it can be from the truth where values settle geometrically.
fn agreement(ladder: &[Rung]) -> (f64, f64) {
    let differences = ladder.windows(2).rev().take(2).map(|r| (r[1].value - r[0].value).abs());
    let enough = ladder.len() > 2;
    let largest = differences.fold(0.0, f64::max);
    (ladder[ladder.len() - 1].value, if enough { CAUTION * largest } else { f64::INFINITY })
}
