//! The nested rule (Pinheiro and Chao 2006, J. Comput. Graph. Stat. 15, 58-81) with its derivatives.
//!
//! Given values u_A of the effects above a group g, its nodes and its integral are
//!
//! ```text
//! u_l     = m_g - E_g (u_A - m_A) + T_g x_l
//! I_g     = |L_g|^-1 sum_l exp(w_l - u_l'u_l / 2) prod_c I_c(u_A, u_l)      c: groups below, or rows
//! p_l     proportional to the terms of that sum
//! ```
//!
//! Means over p of the scores of rows add up to derivatives at fixed u, and of their squares to second ones (Louis
//! 1982, J. R. Stat. Soc. B 44, 226-233): groups below are independent given u, so that covariances add. With
//! e_l = -u_l + sum_c d log I_c / du_l, the derivative in the place of a node,
//!
//! ```text
//! d log I_g / du_A = sum_l p_l (sum_c d log I_c / du_A - E_g'e_l)
//! ```
//!
//! and with P_l the weight of all nodes on the way from the top down to l, the value changes with m, T and E by
//!
//! ```text
//! m_g: sum P e + sum over groups c below of E_cg' sum P e          T_g: sum P e x'          E_g: -sum P e (u_A - m_A)'
//! ```

use std::ops::Range;
use std::sync::Arc;

use super::Detail;
use super::arrow::Arrow;
use super::chart::{Chart, triangle};
use super::points::Points;
use super::rows::RowSums;
use super::tree::{Group, Tree};

/// Nodes of a group at the bottom that are taken at once.
const BLOCK: usize = 1024;

/// The nodes of a group, below all nodes of its parent in turn.
#[derive(Default)]
pub struct Visit {
    /// u of the path, node by node.
    pub path: Vec<f64>,
    /// p and e.
    pub weight: Vec<f64>,
    pub slope: Vec<f64>,
    /// log I by node of the parent, less log|L|.
    pub value: Vec<f64>,
}

pub struct Integral<'a> {
    pub tree: &'a Tree,
    pub arrow: &'a Arrow,
    pub chart: &'a Chart,
    pub points: Vec<Arc<Points>>,
    /// Modes m, and all Lambda as [`Chart::flat`] has them.
    pub modes: &'a [f64],
    pub lambda: &'a [f64],
    pub rows: RowSums<'a>,
    pub detail: Detail,
    pub visits: Vec<Visit>,
}

/// What the value of some units changes with.
pub struct Changes {
    /// By effect.
    pub modes: Vec<f64>,
    /// E_g with T_g beside it, block by block.
    pub blocks: Vec<f64>,
}

impl Integral<'_> {
    /// Log-integral of a unit but for |L|, derivatives in all that the chart lists, and the lower triangle of second ones.
    pub fn of_unit(&mut self, unit: &Range<usize>) -> (f64, Vec<f64>, Vec<f64>) {
        let mut sums = self.of_group(unit.start);
        let bends = sums.split_off(self.bends().end);
        let second = sums.split_off(self.bends().start);
        debug_assert!(bends.is_empty());
        (sums[0], sums.split_off(1), second)
    }

    /// Where scores and second derivatives stand in the sums of a node, after the value.
    fn scores(&self) -> Range<usize> {
        1..1 + if self.detail == Detail::Value { 0 } else { self.chart.len }
    }

    fn bends(&self) -> Range<usize> {
        let (first, n) = (self.scores().end, self.chart.len);
        first..first + if self.detail == Detail::Hessian { n * (n + 1) / 2 } else { 0 }
    }

    /// Numbers of a node: after the others, the derivatives in the effects of the path.
    fn width(&self, path: usize) -> usize {
        self.bends().end + if self.detail == Detail::Value { 0 } else { path }
    }

    /// The integral of a group at every node of its parent.
    pub fn of_group(&mut self, g: usize) -> Vec<f64> {
        let (tree, points) = (self.tree, self.points[g].clone());
        let group = &tree.groups[g];
        self.visits[g] = self.visit(group, &points);
        let parents = self.visits[g].value.len();
        let mut out = vec![0.0; parents * self.width(group.above())];
        if !group.children.is_empty() {
            let mut sums = vec![0.0; parents * points.len() * self.width(group.path.len())];
            for &child in &group.children {
                let part = self.of_group(child);
                sums.iter_mut().zip(&part).for_each(|(s, p)| *s += p);
            }
            self.gather(g, &points, 0..parents, &sums, &mut out);
            return out;
        }
        let step = (BLOCK / points.len()).max(1);
        for first in (0..parents).step_by(step) {
            let block = first..parents.min(first + step);
            let sums = self.at_bottom(g, block.start * points.len()..block.end * points.len());
            self.gather(g, &points, block, &sums, &mut out);
        }
        out
    }

    /// u = m - E (u_A - m_A) + T x.
    fn visit(&self, group: &Group, points: &Points) -> Visit {
        let (n, a, q) = (group.path.len(), group.above(), group.own);
        let above: &[f64] = group.parent.map_or(&[], |p| &self.visits[p].path);
        let parents = if a == 0 { 1 } else { above.len() / a };
        let scale = self.arrow.scale(group);
        let (mut path, mut center) = (Vec::with_capacity(parents * points.len() * n), vec![0.0; q]);
        for parent in 0..parents {
            let above = &above[parent * a..(parent + 1) * a];
            let apart: Vec<f64> = above.iter().zip(&group.path).map(|(u, &m)| u - self.modes[m]).collect();
            self.arrow.slope_times(group, &apart, &mut center);
            center.iter_mut().zip(&group.path[a..]).for_each(|(c, &m)| *c = self.modes[m] - *c);
            for i in 0..points.len() {
                path.extend_from_slice(above);
                let x = points.at(i);
                path.extend((0..q).map(|r| center[r] + (r..q).map(|c| scale[r * q + c] * x[c]).sum::<f64>()));
            }
        }
        let nodes = parents * points.len();
        Visit { path, weight: vec![0.0; nodes], slope: vec![0.0; nodes * q], value: vec![0.0; parents] }
    }

    /// Sums over the rows of a group at the bottom at some of its nodes.
    fn at_bottom(&mut self, g: usize, nodes: Range<usize>) -> Vec<f64> {
        let (chart, path, count) = (self.chart, self.chart.path.len(), nodes.len());
        let u = &self.visits[g].path[nodes.start * path..nodes.end * path];
        let mut b = vec![0.0; path * count];
        for entry in &chart.entries {
            let times = self.lambda[entry.index];
            (0..count).for_each(|i| b[entry.to * count + i] += times * u[i * path + entry.from]);
        }
        self.rows.sum(self.tree.groups[g].rows.clone(), &b, count, self.detail);
        let width = self.width(path);
        let mut out = vec![0.0; count * width];
        for (i, (out, u)) in out.chunks_exact_mut(width).zip(u.chunks_exact(path)).enumerate() {
            self.at_node(i, count, u, out);
        }
        out
    }

    /// Moves the sums over rows of node `i` to derivatives.
    fn at_node(&self, i: usize, count: usize, u: &[f64], out: &mut [f64]) {
        let (chart, fixed) = (self.chart, self.chart.coefficients.len());
        out[0] = self.rows.value[i];
        if self.detail == Detail::Value {
            return;
        }
        let first = |column: usize| self.rows.first[column * count + i];
        let slopes = self.bends().end;
        for (column, &index) in chart.coefficients.iter().enumerate() {
            out[1 + index] += first(column);
        }
        for entry in &chart.entries {
            let zr = first(fixed + entry.to);
            out[1 + entry.index] += zr * u[entry.from];
            out[slopes + entry.from] += zr * self.lambda[entry.index];
        }
        if self.detail == Detail::Hessian {
            let times = |t: usize| if t == 0 { 1.0 } else { u[t - 1] };
            let bends = &mut out[self.bends()];
            for bend in &chart.bends {
                let second = self.rows.second[bend.columns * count + i];
                bends[bend.target] += second * times(bend.times[0]) * times(bend.times[1]);
            }
        }
    }

    /// Integrates over the nodes of a group below each of some nodes of its parent.
    fn gather(&mut self, g: usize, points: &Points, parents: Range<usize>, sums: &[f64], out: &mut [f64]) {
        let group = &self.tree.groups[g];
        let (n, a, k) = (group.path.len(), group.above(), points.len());
        let (inner, outer) = (self.width(n), self.width(a));
        for (block, parent) in parents.enumerate() {
            let sums = &sums[block * k * inner..(block + 1) * k * inner];
            let out = &mut out[parent * outer..(parent + 1) * outer];
            let (path, nodes) = (&self.visits[g].path[parent * k * n..], parent * k..(parent + 1) * k);
            let own = |l: usize| &path[l * n + a..(l + 1) * n];
            let term = |l: usize| {
                let value = sums[l * inner];
                let t = points.log_weight[l] - 0.5 * own(l).iter().map(|u| u * u).sum::<f64>() + value;
                if t.is_nan() { f64::NEG_INFINITY } else { t }
            };
            let terms: Vec<f64> = (0..k).map(term).collect();
            let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut p: Vec<f64> = terms.iter().map(|t| (t - top).exp()).collect();
            let total: f64 = p.iter().sum();
            p.iter_mut().for_each(|p| *p /= total);
            out[0] = top + total.ln();
            if self.detail != Detail::Value {
                let slope = self.means(group, sums, &own, &p, out);
                self.visits[g].slope[nodes.start * group.own..nodes.end * group.own].copy_from_slice(&slope);
            }
            self.visits[g].value[parent] = out[0];
            self.visits[g].weight[nodes].copy_from_slice(&p);
        }
    }

    /// Means of the derivatives with weights `p`; returns e of every node.
    fn means<'u>(
        &self,
        group: &Group,
        sums: &[f64],
        own: &dyn Fn(usize) -> &'u [f64],
        p: &[f64],
        out: &mut [f64],
    ) -> Vec<f64> {
        let (a, q, inner) = (group.above(), group.own, self.width(group.path.len()));
        let (scores, bends) = (self.scores(), self.bends());
        let mut slope = vec![0.0; p.len() * q];
        let reached = sums.chunks_exact(inner).zip(p).enumerate().filter(|(_, (_, p))| **p > 0.0);
        for (l, (sums, &p)) in reached {
            let e = &mut slope[l * q..(l + 1) * q];
            e.iter_mut().zip(&sums[bends.end + a..]).zip(own(l)).for_each(|((e, s), u)| *e = s - u);
            out[1..].iter_mut().zip(&sums[1..bends.end + a]).for_each(|(o, s)| *o += p * s);
            self.arrow.add_slope_transposed(group, -p, e, &mut out[bends.end..]);
            add_square(p, &sums[scores.clone()], &mut out[bends.clone()]);
        }
        let (mean, rest) = out.split_at_mut(bends.start);
        add_square(-1.0, &mean[1..], &mut rest[..bends.len()]);
        slope
    }
}

/// out += times s s', the lower triangle, where there is one.
fn add_square(times: f64, s: &[f64], out: &mut [f64]) {
    if out.is_empty() {
        return;
    }
    for (i, si) in s.iter().enumerate() {
        let row = &mut out[triangle(i, 0)..triangle(i, i) + 1];
        row.iter_mut().zip(s).for_each(|(o, sj)| *o += times * si * sj);
    }
}

impl Integral<'_> {
    /// P of every node of every group of a unit that was just integrated.
    pub fn reach(&self, unit: &Range<usize>) -> Vec<Vec<f64>> {
        let mut reach: Vec<Vec<f64>> = Vec::with_capacity(unit.len());
        for g in unit.clone() {
            let (parent, k) = (self.tree.groups[g].parent, self.points[g].len());
            let above = |node: usize| parent.map_or(1.0, |p| reach[p - unit.start][node / k]);
            reach.push(self.visits[g].weight.iter().enumerate().map(|(node, p)| p * above(node)).collect());
        }
        reach
    }

    /// Adds how a unit, just integrated, changes with its modes and with T and E.
    pub fn add_changes(&self, unit: &Range<usize>, out: &mut Changes) {
        for (g, reach) in unit.clone().zip(self.reach(unit)) {
            let (group, visit, points) = (&self.tree.groups[g], &self.visits[g], &self.points[g]);
            let (n, a) = (group.path.len(), group.above());
            let mut mean = vec![0.0; group.own];
            let block = &mut out.blocks[group.block()];
            for (node, (e, &p)) in visit.slope.chunks_exact(group.own).zip(&reach).enumerate() {
                let (path, x) = (&visit.path[node * n..node * n + a], points.at(node % points.len()));
                for (i, e) in e.iter().enumerate() {
                    mean[i] += p * e;
                    let row = &mut block[i * n..(i + 1) * n];
                    (0..a).for_each(|j| row[j] -= p * e * (path[j] - self.modes[group.path[j]]));
                    row[a..].iter_mut().zip(x).for_each(|(t, x)| *t += p * e * x);
                }
            }
            let mut along = vec![0.0; a];
            self.arrow.add_slope_transposed(group, 1.0, &mean, &mut along);
            group.path.iter().zip(along.iter().chain(&mean)).for_each(|(&u, c)| out.modes[u] += c);
        }
    }
}
