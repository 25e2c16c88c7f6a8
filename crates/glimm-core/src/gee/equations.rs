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

/// Sums of a run of clusters: M (p x p) and u (p).
pub struct Sums {
    pub m: Vec<f64>,
    pub u: Vec<f64>,
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
            walk.add(cluster, 1.0)?;
            walk.split(&mut u, &mut m);
            visit(Share { cluster, copies, u: &u, m: &m });
        }
        Ok(())
    }

    /// Sums over all clusters.
    pub fn sums(&self, rows: &Rows, state: &State) -> Result<Sums, Error> {
        let p = self.data.width();
        let roots = Roots::new(self.data, &state.scale);
        let parts = self.chunks(|chunk| {
            let mut walk = Walk::new(self, rows, &roots, &state.alpha);
            for cluster in chunk {
                let copies = self.copies(cluster);
                if copies > 0.0 {
                    walk.add(cluster, copies)?;
                }
            }
            let mut sums = Sums { m: vec![0.0; p * p], u: vec![0.0; p] };
            walk.split(&mut sums.u, &mut sums.m);
            Ok(sums)
        })?;
        let mut all = Sums { m: vec![0.0; p * p], u: vec![0.0; p] };
        for part in &parts {
            all.m.iter_mut().zip(&part.m).for_each(|(a, b)| *a += b);
            all.u.iter_mut().zip(&part.u).for_each(|(a, b)| *a += b);
        }
        Ok(all)
    }
}

/// A walk over clusters: their rows [D | r] made uncorrelated, and the products of their columns.
struct Walk<'a> {
    task: &'a Task<'a>,
    rows: &'a Rows,
    roots: &'a Roots,
    alpha: &'a [f64],
    lines: Vec<f64>,
    gram: Vec<f64>,
    room: Room,
}

impl<'a> Walk<'a> {
    fn new(task: &'a Task<'a>, rows: &'a Rows, roots: &'a Roots, alpha: &'a [f64]) -> Walk<'a> {
        let width = task.data.width() + 1;
        Walk { task, rows, roots, alpha, lines: Vec::new(), gram: vec![0.0; width * width], room: Room::default() }
    }

    /// Adds the products of a cluster's columns.
    fn add(&mut self, cluster: usize, copies: f64) -> Result<(), Error> {
        let data = self.task.data;
        let (range, width) = (data.rows(cluster), data.width() + 1);
        self.lines.resize(range.len() * width, 0.0);
        for part in 0..data.parts {
            for (i, line) in range.clone().zip(self.lines.chunks_exact_mut(width)) {
                fill(data, self.rows, i, part, self.roots.at(i), line);
            }
            let places = data.places.of(range.clone());
            if !self.task.working.whiten(self.alpha, places, &mut self.lines, width, &mut self.room) {
                return Err(Error::Working { cluster });
            }
            for line in self.lines.chunks_exact(width) {
                for a in 0..width {
                    let factor = copies * line[a];
                    let out = &mut self.gram[a * width..=a * width + a];
                    out.iter_mut().zip(line).for_each(|(g, b)| *g += factor * b);
                }
            }
        }
        Ok(())
    }

    /// The products so far as u and M.
    fn split(&self, u: &mut [f64], m: &mut [f64]) {
        let (p, width) = (u.len(), u.len() + 1);
        u.copy_from_slice(&self.gram[p * width..p * width + p]);
        for a in 0..p {
            for b in 0..=a {
                m[a * p + b] = self.gram[a * width + b];
                m[b * p + a] = self.gram[a * width + b];
            }
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
