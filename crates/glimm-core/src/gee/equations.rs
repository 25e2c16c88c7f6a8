//! u_i = D_i' V_i^-1 (y_i - mu_i) and M_i = D_i' V_i^-1 D_i of every cluster.

use std::ops::Range;

use rayon::prelude::*;

use super::data::PARALLEL_ROWS;
use super::moments::Roots;
use super::rows::Rows;
use super::working::Room;
use super::{Data, State, Working};
use crate::control::Control;
use crate::error::Error;
use crate::special::vectorized;

/// A problem with a working correlation, perhaps without one of its clusters.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    pub data: &'a Data,
    pub working: &'a dyn Working,
    pub control: &'a Control,
    pub skip: Option<usize>,
}

/// What a cluster adds.
pub struct Share<'a> {
    pub cluster: usize,
    pub copies: f64,
    /// u (p) and M (p x p).
    pub u: &'a [f64],
    pub m: &'a [f64],
}

/// Sums of a run of clusters: M (p x p), u (p) and, where asked for, u u' (p x p).
pub struct Sums {
    pub m: Vec<f64>,
    pub u: Vec<f64>,
    pub meat: Vec<f64>,
}

impl Task<'_> {
    pub fn copies(&self, cluster: usize) -> f64 {
        if self.skip == Some(cluster) { 0.0 } else { self.data.copies(cluster) }
    }

    /// Residuals by copies and weights.
    pub fn total(&self) -> f64 {
        let one = |c: usize| {
            let rows = self.data.rows(c);
            let sum = self.data.weights.as_ref().map_or(rows.len() as f64, |w| w[rows].iter().sum());
            self.data.copies(c) * sum * self.data.parts as f64
        };
        self.data.total() - self.skip.map_or(0.0, one)
    }

    /// Runs over chunks of clusters, in parallel; results are in the order of the clusters.
    pub fn chunks<T: Send>(&self, run: impl Fn(Range<usize>) -> Result<T, Error> + Sync) -> Result<Vec<T>, Error> {
        let one =
            |chunk: &Range<usize>| if self.control.stopped() { Err(Error::Interrupted) } else { run(chunk.clone()) };
        if self.data.n() < PARALLEL_ROWS {
            return self.data.chunks.iter().map(one).collect();
        }
        let all: Vec<Result<T, Error>> = self.data.chunks.par_iter().map(one).collect();
        all.into_iter().collect()
    }

    /// Visits the clusters of a chunk with what each adds.
    pub fn visit(
        &self,
        rows: &Rows,
        roots: &Roots,
        alpha: &[f64],
        chunk: Range<usize>,
        mut visit: impl FnMut(Share<'_>),
    ) -> Result<(), Error> {
        let p = self.data.width();
        let (mut u, mut m) = (vec![0.0; p], vec![0.0; p * p]);
        let mut walk = Walk::new(self, rows, roots, alpha);
        for cluster in chunk {
            let copies = self.copies(cluster);
            if copies == 0.0 {
                continue;
            }
            walk.gram.fill(0.0);
            walk.add(cluster, 1.0, None)?;
            walk.split(&mut u, &mut m);
            visit(Share { cluster, copies, u: &u, m: &m });
        }
        Ok(())
    }

    /// Sums over all clusters, perhaps with that of u u'.
    pub fn sums(&self, rows: &Rows, state: &State, meat: bool) -> Result<Sums, Error> {
        let p = self.data.width();
        let roots = Roots::new(self.data, &state.scale);
        let new = || Sums { m: vec![0.0; p * p], u: vec![0.0; p], meat: vec![0.0; if meat { p * p } else { 0 }] };
        let parts = self.chunks(|chunk| {
            let (mut walk, mut own, mut sums) = (Walk::new(self, rows, &roots, &state.alpha), vec![0.0; p], new());
            for cluster in chunk {
                let copies = self.copies(cluster);
                if copies == 0.0 {
                    continue;
                }
                walk.add(cluster, copies, meat.then_some(&mut own))?;
                for (row, u) in sums.meat.chunks_exact_mut(p).zip(&own) {
                    row.iter_mut().zip(&own).for_each(|(m, v)| *m += copies * u * v);
                }
            }
            walk.split(&mut sums.u, &mut sums.m);
            Ok(sums)
        })?;
        let mut all = new();
        for part in &parts {
            for (all, part) in [(&mut all.m, &part.m), (&mut all.u, &part.u), (&mut all.meat, &part.meat)] {
                all.iter_mut().zip(part).for_each(|(a, b)| *a += b);
            }
        }
        Ok(all)
    }
}

/// Lines are padded with zeros to a multiple of so many numbers.
const LANES: usize = 4;

/// A walk over clusters: their rows [D | r] made uncorrelated, and the products of their columns.
struct Walk<'a> {
    task: &'a Task<'a>,
    rows: &'a Rows,
    roots: &'a Roots,
    alpha: &'a [f64],
    stride: usize,
    lines: Vec<f64>,
    gram: Vec<f64>,
    room: Room,
}

impl<'a> Walk<'a> {
    fn new(task: &'a Task<'a>, rows: &'a Rows, roots: &'a Roots, alpha: &'a [f64]) -> Walk<'a> {
        let stride = (task.data.width() + 1).next_multiple_of(LANES);
        let gram = vec![0.0; stride * stride];
        Walk { task, rows, roots, alpha, stride, lines: Vec::new(), gram, room: Room::default() }
    }

    /// Adds the products of a cluster's columns; its own u goes to `own`.
    fn add(&mut self, cluster: usize, copies: f64, mut own: Option<&mut Vec<f64>>) -> Result<(), Error> {
        let data = self.task.data;
        let (range, stride, p) = (data.rows(cluster), self.stride, data.width());
        if let Some(own) = &mut own {
            own.fill(0.0);
        }
        let together = if self.task.working.joint() { data.parts } else { 1 };
        self.lines.resize(range.len() * together * stride, 0.0);
        for part in (0..data.parts).step_by(together) {
            let mut lines = self.lines.chunks_exact_mut(stride);
            for i in range.clone() {
                let each = (part..part + together).zip(&mut lines);
                each.for_each(|(part, line)| fill(data, self.rows, i, part, self.roots.at(i), line));
            }
            if !self.whiten(range.clone(), together > 1) {
                return Err(Error::Working { cluster });
            }
            products(&self.lines, stride, p + 1, copies, &mut self.gram);
            if let Some(own) = &mut own {
                for line in self.lines.chunks_exact(stride) {
                    own.iter_mut().zip(line).for_each(|(u, d)| *u += d * line[p]);
                }
            }
        }
        Ok(())
    }

    /// Makes the lines of a cluster uncorrelated.
    fn whiten(&mut self, range: Range<usize>, classes: bool) -> bool {
        let (data, lines, room) = (self.task.data, &mut self.lines, &mut self.room);
        let places = data.places.of(range.clone());
        if classes {
            let below = &self.rows.below[range.start * data.parts..range.end * data.parts];
            return self.task.working.whiten_classes(self.alpha, places, below, lines, self.stride, room);
        }
        self.task.working.whiten(self.alpha, places, lines, self.stride, room)
    }

    /// The products so far as u and M.
    fn split(&self, u: &mut [f64], m: &mut [f64]) {
        let p = u.len();
        for a in 0..p {
            u[a] = self.gram[p * self.stride + a];
            for b in 0..=a {
                m[a * p + b] = self.gram[a * self.stride + b];
                m[b * p + a] = self.gram[a * self.stride + b];
            }
        }
    }
}

/// Adds `copies` times the products of the columns of lines, of which `used` are not padding.
fn products(lines: &[f64], stride: usize, used: usize, copies: f64, gram: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || match stride {
            4 => outer(lines, 4, used, copies, gram),
            8 => outer(lines, 8, used, copies, gram),
            12 => outer(lines, 12, used, copies, gram),
            _ => outer(lines, stride, used, copies, gram),
        },
    );
}

#[inline(always)]
fn outer(lines: &[f64], stride: usize, used: usize, copies: f64, gram: &mut [f64]) {
    for line in lines.chunks_exact(stride) {
        for (row, value) in gram.chunks_exact_mut(stride).zip(&line[..used]) {
            let factor = copies * value;
            row.iter_mut().zip(line).for_each(|(g, b)| *g = factor.mul_add(*b, *g));
        }
    }
}

/// One row of [D | r] with variance one.
#[inline]
fn fill(data: &Data, rows: &Rows, i: usize, part: usize, root: f64, line: &mut [f64]) {
    let (m, t, columns) = (data.parts, data.standard.thresholds, data.columns);
    let root = data.weights.as_ref().map_or(root, |w| root * w[i].sqrt());
    let slope = &rows.slope[(i * m + part) * m..(i * m + part + 1) * m];
    let x = &data.x[i * columns..(i + 1) * columns];
    let mut factor = slope[0] * root;
    if t > 0 {
        line[..t].iter_mut().zip(slope).for_each(|(l, s)| *l = s * root);
        factor = -slope.iter().sum::<f64>() * root;
    }
    line[t..t + columns].iter_mut().zip(x).for_each(|(l, x)| *l = factor * x);
    line[t + columns] = rows.residual[i * m + part] * root;
}
