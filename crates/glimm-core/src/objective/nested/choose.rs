//! How many nodes every unit needs.

use super::chunk::{Chunk, Job};
use crate::integration::{Nodes, Rule};
use crate::objective::Reject;

/// Newton decrement of the modes around which nodes are chosen.
pub const MODES: f64 = 1e-12;

impl Chunk {
    /// Chooses the nodes of all units of the chunk.
    pub fn choose(&mut self, _job: &Job<'_>, rule: Rule) -> Result<(Nodes, usize), Reject> {
        match rule {
            Rule::Gauss(k) => {
                self.points = self.gauss(|_| k);
                let counts = self.tree.units.iter().map(|u| self.nodes(u)).collect();
                Ok((Nodes { counts, error: if k == 1 { 0.0 } else { f64::NAN } }, 0))
            }
            Rule::Adaptive(_) => todo!(),
        }
    }

    /// Nodes on the way from the top of a unit to a row.
    fn nodes(&self, unit: &std::ops::Range<usize>) -> usize {
        let mut paths = vec![1; unit.len()];
        for g in unit.clone() {
            let above = self.tree.groups[g].parent.map_or(1, |p| paths[p - unit.start]);
            paths[g - unit.start] = above * self.points[g].len();
        }
        paths.into_iter().max().unwrap_or(1)
    }
}
