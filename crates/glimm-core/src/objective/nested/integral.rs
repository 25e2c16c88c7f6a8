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
//! 1982, J. R. Stat. Soc. B 44, 226-233): groups below are independent given u, so that covariances add. Second
//! derivatives leave the movement of the nodes out, which is exact where the rule has converged. First ones do not: with
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
use crate::objective::dot;
use crate::special::{exp, vectorized};

/// Nodes of a group at the bottom that are taken at once.
const BLOCK: usize = 1024;

/// The nodes of a group, below all nodes of its parent in turn.
#[derive(Default)]
pub struct Visit {
    /// u of the path, effect by node.
    pub path: Vec<f64>,
    /// p of every node.
    pub weight: Vec<f64>,
    /// log I less log|L| by node of the parent; sum p e and sum p e x' as well.
    pub value: Vec<f64>,
    slope: Vec<f64>,
    dyads: Vec<f64>,
}

impl Visit {
    /// Room for `k` nodes below each of those of the parent, with `path` effects of which `own` are the group's.
    fn resize(&mut self, parents: usize, k: usize, path: usize, own: usize) {
        self.path.resize(path * parents * k, 0.0);
        self.weight.resize(parents * k, 0.0);
        self.value.resize(parents, 0.0);
        self.slope.resize(parents * own, 0.0);
        self.dyads.resize(parents * own * own, 0.0);
    }
}

/// The integral of one unit after another. Numbers of the nodes of a group stand quantity by quantity: log-integrals
/// first, then the derivatives that the chart lists, the lower triangle of second ones, those in the effects of the path.
pub struct Integral<'a> {
    pub tree: &'a Tree,
    pub arrow: &'a Arrow,
    pub chart: &'a Chart,
    /// Nodes of every group.
    pub points: Vec<Arc<Points>>,
    /// Modes m, and all Lambda as [`Chart::flat`] has them.
    pub modes: &'a [f64],
    pub lambda: &'a [f64],
    pub rows: RowSums<'a>,
    pub detail: Detail,
    /// Of the groups of the unit in hand, whose first is `first`; the room serves the next unit too.
    pub visits: Vec<Visit>,
    pub first: usize,
    /// For the numbers of groups at the bottom, one after another.
    pub room: Vec<f64>,
}

/// What the value of some units changes with.
pub struct Changes {
    /// By effect.
    pub modes: Vec<f64>,
    /// E_g with T_g beside it, block by block.
    pub blocks: Vec<f64>,
}

impl Integral<'_> {
    /// Log-integral of a unit but for |L|, with its derivatives.
    pub fn of_unit(&mut self, unit: &Range<usize>) -> (f64, Vec<f64>, Vec<f64>) {
        self.first = unit.start;
        self.visits.resize_with(self.visits.len().max(unit.len()), Visit::default);
        let mut sums = self.of_group(unit.start);
        let second = sums.split_off(self.bends().start);
        (sums[0], sums.split_off(1), second)
    }

    fn scores(&self) -> Range<usize> {
        1..1 + if self.detail == Detail::Value { 0 } else { self.chart.len }
    }

    fn bends(&self) -> Range<usize> {
        let (first, n) = (self.scores().end, self.chart.len);
        first..first + if self.detail == Detail::Hessian { n * (n + 1) / 2 } else { 0 }
    }

    /// Number of quantities, with `path` effects on the path.
    fn width(&self, path: usize) -> usize {
        self.bends().end + if self.detail == Detail::Value { 0 } else { path }
    }

    /// The integral of a group at every node of its parent.
    pub fn of_group(&mut self, g: usize) -> Vec<f64> {
        let (tree, points) = (self.tree, self.points[g].clone());
        let group = &tree.groups[g];
        self.visit(g, &points);
        let parents = self.visits[g - self.first].value.len();
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
            self.room = sums;
        }
        out
    }

    /// Places the nodes of a group: u = m - E (u_A - m_A) + T x.
    fn visit(&mut self, g: usize, points: &Points) {
        let mut visit = std::mem::take(&mut self.visits[g - self.first]);
        let group = &self.tree.groups[g];
        let (n, a, q, k) = (group.path.len(), group.above(), group.own, points.len());
        let above: &[f64] = group.parent.map_or(&[], |p| &self.visits[p - self.first].path);
        let parents = above.len().checked_div(a).unwrap_or(1);
        let (scale, nodes) = (self.arrow.scale(group), parents * k);
        visit.resize(parents, k, n, q);
        let (mut center, mut apart) = (vec![0.0; q], vec![0.0; a]);
        for parent in 0..parents {
            let own = parent * k..(parent + 1) * k;
            for e in 0..a {
                let u = above[e * parents + parent];
                apart[e] = u - self.modes[group.path[e]];
                visit.path[e * nodes..][own.clone()].fill(u);
            }
            self.arrow.slope_times(group, &apart, &mut center);
            for r in 0..q {
                let u = &mut visit.path[(a + r) * nodes..][own.clone()];
                u.fill(self.modes[group.path[a + r]] - center[r]);
                (r..q).for_each(|c| add(u, scale[r * q + c], points.x(c)));
            }
        }
        self.visits[g - self.first] = visit;
    }

    /// Sums over the rows of a group at the bottom at some of its nodes.
    fn at_bottom(&mut self, g: usize, nodes: Range<usize>) -> Vec<f64> {
        let (path, count) = (self.chart.path.len(), nodes.len());
        let visit = &self.visits[g - self.first];
        let u: Vec<&[f64]> = (0..path).map(|e| &visit.path[e * visit.weight.len()..][nodes.clone()]).collect();
        let mut b = vec![0.0; path * count];
        for entry in &self.chart.entries {
            add(&mut b[entry.to * count..(entry.to + 1) * count], self.lambda[entry.index], u[entry.from]);
        }
        self.rows.sum(self.tree.groups[g].rows.clone(), &b, count, self.detail);
        let mut out = std::mem::take(&mut self.room);
        out.clear();
        out.resize(count * self.width(path), 0.0);
        vectorized(
            #[inline(always)]
            || self.derivatives(&u, count, &mut out),
        );
        out
    }

    /// From sums over rows to derivatives.
    #[inline(always)]
    fn derivatives(&self, u: &[&[f64]], count: usize, out: &mut [f64]) {
        out[..count].copy_from_slice(&self.rows.value);
        if self.detail == Detail::Value {
            return;
        }
        let (chart, fixed, slopes) = (self.chart, self.chart.coefficients.len(), self.bends().end);
        let at = |quantity: usize| quantity * count..(quantity + 1) * count;
        for (column, &index) in chart.coefficients.iter().enumerate() {
            add(&mut out[at(1 + index)], 1.0, self.rows.first(column, count));
        }
        for entry in &chart.entries {
            let zr = self.rows.first(fixed + entry.to, count);
            out[at(1 + entry.index)].iter_mut().zip(zr).zip(u[entry.from]).for_each(|((o, r), u)| *o += r * u);
            add(&mut out[at(slopes + entry.from)], self.lambda[entry.index], zr);
        }
        if self.detail == Detail::Hessian {
            for bend in &chart.bends {
                let out = &mut out[at(self.bends().start + bend.target)];
                let second = self.rows.second(bend.columns, count);
                match bend.times {
                    [None, None] => add(out, 1.0, second),
                    [Some(d), None] | [None, Some(d)] => add_product(out, second, u[d]),
                    [Some(d), Some(e)] => {
                        let both = second.iter().zip(u[d]).zip(u[e]);
                        out.iter_mut().zip(both).for_each(|(o, ((f, x), y))| *o += f * x * y);
                    }
                }
            }
        }
    }

    /// Integrates over the nodes of a group below each of some nodes of its parent.
    fn gather(&mut self, g: usize, points: &Points, parents: Range<usize>, sums: &[f64], out: &mut [f64]) {
        let mut visit = std::mem::take(&mut self.visits[g - self.first]);
        vectorized(
            #[inline(always)]
            || {
                for (block, parent) in parents.clone().enumerate() {
                    let sums = Below { sums, count: parents.len() * points.len(), first: block * points.len() };
                    self.mean(&self.tree.groups[g], points, parent, &sums, &mut visit, out);
                }
            },
        );
        self.visits[g - self.first] = visit;
    }

    /// The same below one node of the parent.
    #[inline(always)]
    fn mean(
        &self,
        group: &Group,
        points: &Points,
        parent: usize,
        sums: &Below<'_>,
        visit: &mut Visit,
        out: &mut [f64],
    ) {
        let (a, q, k) = (group.above(), group.own, points.len());
        let (parents, nodes) = (visit.value.len(), visit.weight.len());
        let own = |e: usize| (a + e) * nodes + parent * k..(a + e) * nodes + (parent + 1) * k;
        let p = &mut visit.weight[parent * k..(parent + 1) * k];
        for (l, p) in p.iter_mut().enumerate() {
            *p = points.log_weight[l] + sums.of(0, k)[l];
        }
        for e in 0..q {
            p.iter_mut().zip(&visit.path[own(e)]).for_each(|(p, u)| *p -= 0.5 * u * u);
        }
        visit.value[parent] = normalise(p);
        out[parent] = visit.value[parent];
        if self.detail == Detail::Value {
            return;
        }
        let (scores, bends) = (self.scores(), self.bends());
        for quantity in 1..bends.end + a {
            out[quantity * parents + parent] = dot(p, sums.of(quantity, k));
        }
        if !bends.is_empty() {
            for (i, s) in scores.clone().enumerate() {
                for (j, t) in scores.clone().enumerate().take(i + 1) {
                    let means = out[s * parents + parent] * out[t * parents + parent];
                    let square = dot3(p, sums.of(s, k), sums.of(t, k));
                    out[(bends.start + triangle(i, j)) * parents + parent] += square - means;
                }
            }
        }
        for i in 0..q {
            let pull = sums.of(bends.end + a + i, k);
            let u = &visit.path[own(i)];
            let e = dot(p, pull) - dot(p, u);
            visit.slope[parent * q + i] = e;
            for j in 0..q {
                visit.dyads[(parent * q + i) * q + j] = dot3(p, pull, points.x(j)) - dot3(p, u, points.x(j));
            }
            for (o, slope) in self.arrow.slope(group, i).iter().enumerate() {
                out[(bends.end + o) * parents + parent] -= slope * e;
            }
        }
    }

    /// P of every node of every group of a unit that was just integrated.
    pub fn reach(&self, unit: &Range<usize>) -> Vec<Vec<f64>> {
        let mut reach: Vec<Vec<f64>> = Vec::with_capacity(unit.len());
        for g in unit.clone() {
            let above = self.tree.groups[g].parent.map_or(&[1.0][..], |p| &reach[p - unit.start]);
            let weights = self.visits[g - unit.start].weight.chunks_exact(self.points[g].len()).zip(above);
            reach.push(weights.flat_map(|(p, above)| p.iter().map(move |p| p * above)).collect());
        }
        reach
    }

    /// Adds how a unit, just integrated, changes with its modes and with T and E.
    pub fn add_changes(&self, unit: &Range<usize>, out: &mut Changes) {
        let reach = self.reach(unit);
        for g in unit.clone() {
            let (group, visit) = (&self.tree.groups[g], &self.visits[g - unit.start]);
            let (n, a, q) = (group.path.len(), group.above(), group.own);
            let (path, weights): (&[f64], &[f64]) =
                group.parent.map_or((&[], &[1.0]), |p| (&self.visits[p - unit.start].path, &reach[p - unit.start]));
            let (mut mean, block) = (vec![0.0; q], &mut out.blocks[group.block()]);
            for (parent, &p) in weights.iter().enumerate() {
                for i in 0..q {
                    let (e, row) = (p * visit.slope[parent * q + i], &mut block[i * n..(i + 1) * n]);
                    mean[i] += e;
                    for j in 0..a {
                        row[j] -= e * (path[j * weights.len() + parent] - self.modes[group.path[j]]);
                    }
                    add(&mut row[a..], p, &visit.dyads[(parent * q + i) * q..(parent * q + i + 1) * q]);
                }
            }
            for (i, e) in mean.iter().enumerate() {
                out.modes[group.path[a + i]] += e;
                let slopes = self.arrow.slope(group, i).iter().zip(&group.path);
                slopes.for_each(|(slope, &u)| out.modes[u] += slope * e);
            }
        }
    }
}

/// Numbers of some nodes, quantity by quantity.
struct Below<'a> {
    sums: &'a [f64],
    count: usize,
    first: usize,
}

impl<'a> Below<'a> {
    /// A quantity at the `k` nodes from the first.
    #[inline(always)]
    fn of(&self, quantity: usize, k: usize) -> &'a [f64] {
        &self.sums[quantity * self.count + self.first..][..k]
    }
}

/// From logarithms to shares of their sum, whose logarithm is returned. What is not a number has no share.
#[inline(always)]
fn normalise(p: &mut [f64]) -> f64 {
    let top = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        p.fill(0.0);
        return top;
    }
    let mut total = 0.0;
    for p in p.iter_mut() {
        *p = if *p > f64::NEG_INFINITY { exp(*p - top) } else { 0.0 };
        total += *p;
    }
    p.iter_mut().for_each(|p| *p /= total);
    top + total.ln()
}

/// out += times x.
#[inline(always)]
fn add(out: &mut [f64], times: f64, x: &[f64]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o += times * x);
}

/// out += x y.
#[inline(always)]
fn add_product(out: &mut [f64], x: &[f64], y: &[f64]) {
    out.iter_mut().zip(x).zip(y).for_each(|((o, x), y)| *o += x * y);
}

/// sum x y z.
#[inline(always)]
fn dot3(x: &[f64], y: &[f64], z: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let n = x.len() / 4 * 4;
    for i in (0..n).step_by(4) {
        for l in 0..4 {
            lanes[l] += x[i + l] * y[i + l] * z[i + l];
        }
    }
    let rest: f64 = (n..x.len()).map(|i| x[i] * y[i] * z[i]).sum();
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}
