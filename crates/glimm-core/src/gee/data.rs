//! Rows sorted by cluster, in standard units.

use std::ops::Range;
use std::sync::Arc;

use super::standard::Standard;
use super::working::Places;
use crate::error::Error;
use crate::family::Family;
pub(super) use crate::objective::block::PARALLEL_ROWS;

/// Rows of one piece of work: clusters are shared among threads in chunks fixed by the data.
pub(super) const CHUNK_ROWS: usize = 4096;

/// What a problem is made of, rows as the user has them.
pub struct Source {
    pub family: Arc<dyn Family>,
    /// Linear predictors of the family's parameters besides the mean, the same for all rows.
    pub extra: Vec<f64>,
    /// Responses; for a binomial counts of `size`, for ordered classes 1, 2, ... of `classes`.
    pub y: Vec<f64>,
    pub size: Option<Vec<f64>>,
    pub classes: usize,
    /// Column by column, `p` of them.
    pub x: Vec<f64>,
    pub p: usize,
    pub offset: Option<Vec<f64>>,
    pub precision: Option<Vec<f64>>,
    pub weights: Option<Vec<f64>>,
    /// Of each row; equal within a cluster.
    pub copies: Option<Vec<f64>>,
    /// The cluster of each row, and how many there are.
    pub codes: Vec<u32>,
    pub clusters: usize,
    pub places: Places,
    /// Columns of the model of the scale, row by row.
    pub scale: Option<(Vec<f64>, usize)>,
}

/// The same with rows sorted by cluster, and within it by time or subcluster.
pub struct Data {
    pub family: Arc<dyn Family>,
    pub extra: Vec<f64>,
    pub y: Vec<f64>,
    pub size: Option<Vec<f64>>,
    /// Residuals of one observation: one, or for ordered classes one for each threshold.
    pub parts: usize,
    pub x: Vec<f64>,
    pub columns: usize,
    pub offset: Option<Vec<f64>>,
    /// Square roots.
    pub precision: Option<Vec<f64>>,
    pub weights: Option<Vec<f64>>,
    /// How often each cluster occurs.
    pub copies: Option<Vec<f64>>,
    /// Where each cluster's rows start, and where the last one's end.
    pub starts: Vec<usize>,
    pub places: Places,
    pub scale: Option<(Vec<f64>, usize)>,
    pub standard: Arc<Standard>,
    /// Chunks of clusters.
    pub chunks: Vec<Range<usize>>,
}

impl Data {
    pub fn new(source: Source) -> Result<Data, Error> {
        check(&source)?;
        let (order, starts) = sorted(&source);
        let rows = |v: &Vec<f64>| picked(v, &order, 1);
        let parts = if source.family.ordered() { source.classes - 1 } else { 1 };
        let thresholds = if source.family.ordered() { parts } else { 0 };
        let mut x = lines(&source.x, &order, source.p);
        let standard = Arc::new(Standard::new(&mut x, order.len(), source.p, thresholds));
        let firsts = || starts[..starts.len() - 1].iter().map(|&s| order[s] as usize);
        Ok(Data {
            parts,
            columns: standard.kept.len(),
            y: rows(&source.y),
            size: source.size.as_ref().map(rows),
            offset: source.offset.as_ref().map(rows),
            precision: source.precision.as_ref().map(|v| rows(v).into_iter().map(f64::sqrt).collect()),
            weights: source.weights.as_ref().map(rows),
            copies: source.copies.as_ref().map(|v| firsts().map(|i| v[i]).collect()),
            places: source.places.taken(&order),
            scale: source.scale.as_ref().map(|(v, p)| (picked(v, &order, *p), *p)),
            chunks: chunks(&starts),
            family: source.family,
            extra: source.extra,
            x,
            starts,
            standard,
        })
    }

    /// Every `stride`-th chunk of clusters alone.
    pub fn sample(&self, stride: usize) -> Data {
        let taken: Vec<usize> = self.chunks.iter().step_by(stride).flat_map(|chunk| chunk.clone()).collect();
        let (mut order, mut starts) = (Vec::new(), vec![0]);
        for &cluster in &taken {
            order.extend(self.rows(cluster).map(|i| i as u32));
            starts.push(order.len());
        }
        let rows = |v: &Vec<f64>| picked(v, &order, 1);
        Data {
            family: self.family.clone(),
            extra: self.extra.clone(),
            y: rows(&self.y),
            size: self.size.as_ref().map(rows),
            parts: self.parts,
            x: picked(&self.x, &order, self.columns),
            columns: self.columns,
            offset: self.offset.as_ref().map(rows),
            precision: self.precision.as_ref().map(rows),
            weights: self.weights.as_ref().map(rows),
            copies: self.copies.as_ref().map(|v| taken.iter().map(|&c| v[c]).collect()),
            places: self.places.taken(&order),
            scale: self.scale.as_ref().map(|(v, p)| (picked(v, &order, *p), *p)),
            chunks: chunks(&starts),
            starts,
            standard: self.standard.clone(),
        }
    }

    pub fn n(&self) -> usize {
        self.y.len()
    }

    pub fn clusters(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn rows(&self, cluster: usize) -> Range<usize> {
        self.starts[cluster]..self.starts[cluster + 1]
    }

    pub fn copies(&self, cluster: usize) -> f64 {
        self.copies.as_ref().map_or(1.0, |c| c[cluster])
    }

    /// Number of coefficients of the mean, thresholds included.
    pub fn width(&self) -> usize {
        self.standard.len()
    }

    /// Clusters by copies.
    pub fn count(&self) -> f64 {
        self.copies.as_ref().map_or(self.clusters() as f64, |c| c.iter().sum())
    }

    /// Residuals by copies and weights.
    pub fn total(&self) -> f64 {
        let one = |c: usize| {
            let rows = self.rows(c);
            let sum = self.weights.as_ref().map_or(rows.len() as f64, |w| w[rows].iter().sum());
            self.copies(c) * sum
        };
        (0..self.clusters()).map(one).sum::<f64>() * self.parts as f64
    }
}

fn check(source: &Source) -> Result<(), Error> {
    for (i, &y) in source.y.iter().enumerate() {
        let size = match (&source.size, source.family.ordered()) {
            (Some(size), _) => size[i],
            (None, true) => source.classes as f64,
            (None, false) => 1.0,
        };
        if let Err(why) = source.family.check(y, size) {
            return Err(Error::Response { row: i, value: y, size, why: why.to_owned() });
        }
    }
    Ok(())
}

/// Lines of `p` numbers in an order.
fn picked(all: &[f64], order: &[u32], p: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(order.len() * p);
    order.iter().for_each(|&i| out.extend_from_slice(&all[i as usize * p..(i as usize + 1) * p]));
    out
}

/// Columns as lines in an order.
fn lines(columns: &[f64], order: &[u32], p: usize) -> Vec<f64> {
    let n = order.len();
    let mut out = Vec::with_capacity(n * p);
    order.iter().for_each(|&i| out.extend((0..p).map(|j| columns[j * n + i as usize])));
    out
}

/// Rows by cluster, then by time or subcluster, then as given; and where the clusters start.
fn sorted(source: &Source) -> (Vec<u32>, Vec<usize>) {
    let mut starts = vec![0; source.clusters + 1];
    source.codes.iter().for_each(|&c| starts[c as usize + 1] += 1);
    for c in 0..source.clusters {
        starts[c + 1] += starts[c];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; source.codes.len()];
    for (i, &c) in source.codes.iter().enumerate() {
        order[next[c as usize]] = i as u32;
        next[c as usize] += 1;
    }
    for c in 0..source.clusters {
        source.places.sort(&mut order[starts[c]..starts[c + 1]]);
    }
    (order, starts)
}

fn chunks(starts: &[usize]) -> Vec<Range<usize>> {
    let (mut found, mut first) = (Vec::new(), 0);
    for c in 1..starts.len() {
        if starts[c] - starts[first] >= CHUNK_ROWS || c + 1 == starts.len() {
            found.push(first..c);
            first = c;
        }
    }
    found
}
