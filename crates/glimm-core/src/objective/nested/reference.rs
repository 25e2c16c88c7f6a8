//! The integral of a unit by panels within panels: independent of any nodes, for one effect to a group.

use super::Detail;
use super::integral::Integral;
use super::points::HALF_LN_TAU;
use crate::quadrature::{self, Line};

/// The share of the tolerance for the groups below, so small that the panels above do not see their errors.
const BELOW: f64 = 0.1;

impl Integral<'_> {
    /// log I of a group less log|L|, given the effects above it, with the stated error.
    pub fn reference(&mut self, g: usize, above: &[f64], tolerance: f64) -> (f64, f64) {
        let group = &self.tree.groups[g];
        let apart: Vec<f64> = above.iter().zip(&group.path).map(|(u, &m)| u - self.modes[m]).collect();
        let mut center = [0.0];
        self.arrow.slope_times(group, &apart, &mut center);
        let (mode, scale) = (self.modes[group.path[above.len()]] - center[0], self.arrow.scale(group)[0]);
        let mut integrand = |x: &[f64]| -> Vec<(f64, f64)> {
            let u: Vec<f64> = x.iter().map(|x| mode + scale * x).collect();
            let below = if group.children.is_empty() {
                self.rows_at(g, above, &u)
            } else {
                u.iter().map(|&u| self.children_at(g, above, u, tolerance)).collect()
            };
            below.into_iter().zip(&u).map(|((value, error), u)| (value - 0.5 * u * u, error)).collect()
        };
        let Line { nodes, log_value, error } = quadrature::line(&mut integrand, tolerance);
        let below: f64 = nodes.iter().map(|n| (n.log_weight + n.log_value - log_value).exp() * n.kept).sum();
        (log_value - HALF_LN_TAU, error + below)
    }

    /// The product of the integrals of the groups below, with the sum of their errors.
    fn children_at(&mut self, g: usize, above: &[f64], u: f64, tolerance: f64) -> (f64, f64) {
        let (tree, path) = (self.tree, [above, &[u]].concat());
        let children = &tree.groups[g].children;
        let share = BELOW * tolerance / children.len() as f64;
        let each = children.iter().map(|&c| self.reference(c, &path, share));
        each.fold((0.0, 0.0), |sum, (value, error)| (sum.0 + value, sum.1 + error))
    }

    /// The sum over the rows of a group at the bottom, at some values of its effect.
    fn rows_at(&mut self, g: usize, above: &[f64], u: &[f64]) -> Vec<(f64, f64)> {
        let mut b = vec![0.0; self.chart.path.len() * u.len()];
        for entry in &self.chart.entries {
            let b = &mut b[entry.to * u.len()..(entry.to + 1) * u.len()];
            let times = self.lambda[entry.index];
            let value = |i: usize| above.get(entry.from).copied().unwrap_or_else(|| u[i]);
            b.iter_mut().enumerate().for_each(|(i, b)| *b += times * value(i));
        }
        self.rows.sum(self.tree.groups[g].rows.clone(), &b, u.len(), Detail::Value);
        self.rows.value.iter().map(|v| (*v, 0.0)).collect()
    }
}
