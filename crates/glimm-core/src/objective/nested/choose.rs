//! How many nodes every unit needs.
//!
//! With one effect to a group and at most two levels, the integral of a unit is had by a [`super::reference`] that knows
//! nothing of nodes, and the cheapest nodes that reproduce it are chosen: those of Gauss and Hermite, those of Gauss
//! for the distributions of the effects themselves ([`super::marginal`]), or panels. Elsewhere the number of
//! Gauss-Hermite nodes is raised until the values agree.

use std::ops::Range;
use std::sync::Arc;

use super::chunk::{Chunk, Job};
use super::integral::Integral;
use super::points::{Points, Shelf};
use crate::integration::{Nodes, Rule};
use crate::objective::Reject;

/// Newton decrement of the modes around which nodes are chosen.
pub const MODES: f64 = 1e-12;
/// Nodes per effect that are tried, of Gauss and Hermite and of Gauss for the effects' distributions.
const LADDER: [usize; 11] = [1, 3, 5, 7, 9, 11, 15, 21, 31, 45, 65];
const HERMITE: Range<usize> = 0..8;
const OWN: Range<usize> = 3..10;
/// Row evaluations of one unit that are worth its error.
const AFFORDABLE: usize = 20_000_000;
/// Levels up to which there is a reference.
const LEVELS: usize = 2;
/// The share of the tolerance that the reference may miss.
const REFERENCE: f64 = 0.1;

/// Nodes for the groups of a unit, and the stated error of its log-integral.
struct Chosen {
    points: Vec<Arc<Points>>,
    error: f64,
}

impl Chunk {
    /// Chooses the nodes of all units of the chunk.
    pub fn choose(&mut self, job: &Job<'_>, rule: Rule) -> Result<(Nodes, usize), Reject> {
        let (mut error, mut evaluated) = (f64::NAN, 0);
        match rule {
            Rule::Gauss(k) => self.points = self.gauss(k),
            Rule::Adaptive(tolerance) => {
                let mut u = self.u.clone();
                let mut patch = self.at_modes(&mut u, job)?;
                let (_, arrow, _) = self.factorise(&mut patch)?;
                let lambda = self.chart.flat(job.lambda);
                let mut integral = self.integral(&patch, &arrow, &lambda);
                let (mut points, mut shelf) = (Vec::with_capacity(self.points.len()), Shelf::default());
                error = 0.0;
                for unit in &self.tree.units {
                    crate::objective::proceed(job.control)?;
                    let chosen = Search { integral: &mut integral, unit, shelf: &mut shelf }.run(tolerance);
                    error += chosen.error;
                    points.extend(chosen.points);
                }
                evaluated = patch.evaluated + integral.rows.evaluated;
                self.points = points;
            }
        }
        let counts = self.tree.units.iter().map(|unit| self.nodes(unit)).collect();
        Ok((Nodes { counts, error }, evaluated))
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
}

impl Search<'_, '_> {
    fn run(&mut self, tolerance: f64) -> Chosen {
        let groups = &self.integral.tree.groups[self.unit.clone()];
        let levels = groups.iter().map(|g| g.path.len()).max().unwrap_or(0);
        if levels > LEVELS || groups.iter().any(|g| g.own > 1) {
            return self.by_agreement(tolerance);
        }
        let (truth, missed) = self.integral.reference(self.unit.start, &[], REFERENCE * tolerance);
        let hermite = LADDER[HERMITE].iter().map(|&k| self.hermite(k)).collect::<Vec<_>>();
        if let Some(chosen) = self.first_near(&hermite, truth, missed, tolerance) {
            return chosen;
        }
        let start = &hermite[hermite.len() - 1];
        let mut own = self.integral.marginals(self.unit, start, &LADDER[OWN], REFERENCE * tolerance);
        self.first_near(&own, truth, missed, tolerance).unwrap_or_else(|| {
            let points = own.pop().unwrap_or_default();
            let error = (self.value(&points) - truth).abs() + missed;
            Chosen { points, error }
        })
    }

    fn hermite(&mut self, k: usize) -> Vec<Arc<Points>> {
        self.unit.clone().map(|g| self.shelf.gauss(k, self.integral.tree.groups[g].own)).collect()
    }

    /// The log-integral by some nodes.
    fn value(&mut self, points: &[Arc<Points>]) -> f64 {
        self.integral.points[self.unit.clone()].clone_from_slice(points);
        self.integral.of_unit(self.unit).0
    }

    /// The first nodes that are near the truth, if the next are as well: one of them could be so by chance.
    fn first_near(&mut self, ladder: &[Vec<Arc<Points>>], truth: f64, missed: f64, tolerance: f64) -> Option<Chosen> {
        let mut last: Option<Chosen> = None;
        for points in ladder {
            let error = (self.value(points) - truth).abs() + missed;
            let near = error <= tolerance;
            if near && last.is_some() {
                return last;
            }
            last = near.then(|| Chosen { points: points.clone(), error });
        }
        last
    }

    /// Raises the number of nodes until three values in turn agree; the error is their largest difference, or the last
    /// where more nodes are too many.
    fn by_agreement(&mut self, tolerance: f64) -> Chosen {
        let groups = &self.integral.tree.groups[self.unit.clone()];
        let effects = groups.iter().map(|g| g.path.len()).max().unwrap_or(0) as u32;
        let rows = groups[0].rows.len();
        let affordable = |k: usize| k.checked_pow(effects).is_some_and(|n| n.saturating_mul(rows) <= AFFORDABLE);
        let mut found = Chosen { points: self.hermite(LADDER[0]), error: f64::INFINITY };
        let mut value = self.value(&found.points);
        for &k in LADDER[1..].iter().take_while(|&&k| affordable(k)) {
            let points = self.hermite(k);
            let next = self.value(&points);
            let difference = (next - value).abs();
            if difference.max(found.error) <= tolerance {
                return Chosen { error: difference.max(found.error), ..found };
            }
            value = next;
            found = Chosen { points, error: difference };
        }
        found
    }
}
