//! Scale and correlation by moments of the residuals, as estimating equations of their own
//! (Yan and Fine 2004, Statistics in Medicine 23, 859-874): with e the residuals at scale 1,
//!
//! sum w z (e^2 / phi - 1) = 0, log phi = z' gamma, and
//! sum over pairs w d rho / d alpha (e_j e_k / sqrt(phi_j phi_k) - rho_jk) = 0.

use super::equations::Task;
use super::rows::Rows;
use super::working::Weighted;
use super::{Data, State};
use crate::error::Error;
use crate::linalg::dense::{cholesky, cholesky_solve};

/// Where the scale comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    Fixed(f64),
    /// One number, or a model of its logarithm where the data have columns for it.
    Estimated,
}

/// Sums over pairs; see [`super::Working::moments`].
#[derive(Clone)]
pub struct Moments {
    pub gradient: Vec<f64>,
    /// One number a parameter where the model is linear, else a matrix.
    pub curvature: Vec<f64>,
}

impl Moments {
    pub fn new(q: usize, linear: bool) -> Moments {
        Moments { gradient: vec![0.0; q], curvature: vec![0.0; if linear { q } else { q * q }] }
    }

    /// A sum of products and their number.
    pub fn add(&mut self, k: usize, sum: f64, count: f64) {
        self.gradient[k] += sum;
        self.curvature[k] += count;
    }

    fn merge(&mut self, other: &Moments) {
        self.gradient.iter_mut().zip(&other.gradient).for_each(|(a, b)| *a += b);
        self.curvature.iter_mut().zip(&other.curvature).for_each(|(a, b)| *a += b);
    }
}

/// 1 / sqrt(phi) of every row, or of all.
pub enum Roots {
    Same(f64),
    Each(Vec<f64>),
}

impl Roots {
    pub fn new(data: &Data, scale: &[f64]) -> Roots {
        match &data.scale {
            None => Roots::Same(1.0 / scale[0].sqrt()),
            Some((z, p)) => {
                let log = |z: &[f64]| z.iter().zip(scale).map(|(z, g)| z * g).sum::<f64>();
                Roots::Each(z.chunks_exact(*p).map(|z| (-0.5 * log(z)).exp()).collect())
            }
        }
    }

    #[inline]
    pub fn at(&self, i: usize) -> f64 {
        match self {
            Roots::Same(root) => *root,
            Roots::Each(roots) => roots[i],
        }
    }
}

/// The next scale: the mean square, or one step of Fisher scoring for the model of its logarithm.
pub fn scale(task: &Task<'_>, rows: &Rows, now: &[f64], less: f64) -> Result<Vec<f64>, Error> {
    let data = task.data;
    let g = now.len();
    let roots = Roots::new(data, now);
    let sums = task.chunks(|chunk| {
        let mut sums = vec![0.0; 1 + g + g * g];
        for cluster in chunk {
            let copies = task.copies(cluster);
            for i in data.rows(cluster) {
                let w = copies * data.weights.as_ref().map_or(1.0, |w| w[i]);
                let square: f64 = rows.residual[i * data.parts..(i + 1) * data.parts].iter().map(|e| e * e).sum();
                sums[0] += w * square;
                if let Some((z, _)) = &data.scale {
                    let (z, rest) = (&z[i * g..(i + 1) * g], square * roots.at(i) * roots.at(i) - data.parts as f64);
                    for a in 0..g {
                        sums[1 + a] += w * z[a] * rest;
                        (0..g).for_each(|b| sums[1 + g + a * g + b] += w * data.parts as f64 * z[a] * z[b]);
                    }
                }
            }
        }
        Ok(sums)
    })?;
    let total = sums.iter().skip(1).fold(sums[0].clone(), |mut all, s| {
        all.iter_mut().zip(s).for_each(|(a, b)| *a += b);
        all
    });
    if data.scale.is_none() {
        return Ok(vec![total[0] / (task.total() - less)]);
    }
    let (gradient, mut curvature) = (&total[1..=g], total[1 + g..].to_vec());
    let mut step = gradient.to_vec();
    if !cholesky(&mut curvature, g) {
        return Err(Error::Degenerate { why: "the columns of the model of the scale repeat each other".into() });
    }
    cholesky_solve(&curvature, g, &mut step);
    // A step of the logarithm is no larger than a factor of e.
    let most = step.iter().fold(1.0f64, |most, s| most.max(s.abs()));
    Ok(now.iter().zip(&step).map(|(a, s)| a + s / most).collect())
}

/// Sums over all pairs.
pub fn pairs(task: &Task<'_>, rows: &Rows, state: &State) -> Result<Moments, Error> {
    let (q, linear) = (task.working.parameters(), task.working.linear());
    let roots = Roots::new(task.data, &state.scale);
    let parts = task.chunks(|chunk| {
        let (mut sums, mut room) = (Moments::new(q, linear), Default::default());
        for cluster in chunk {
            of_cluster(task, rows, &roots, &state.alpha, cluster, &mut room, &mut sums);
        }
        Ok(sums)
    })?;
    let mut all = Moments::new(q, linear);
    parts.iter().for_each(|part| all.merge(part));
    Ok(all)
}

/// Adds the pairs of one cluster, each by the root of the product of its rows' weights.
fn of_cluster(
    task: &Task<'_>,
    rows: &Rows,
    roots: &Roots,
    alpha: &[f64],
    cluster: usize,
    (residual, root): &mut (Vec<f64>, Vec<f64>),
    into: &mut Moments,
) {
    let (data, range, weight) = (task.data, task.data.rows(cluster), task.copies(cluster));
    if range.len() < 2 || weight == 0.0 {
        return;
    }
    root.clear();
    root.extend(range.clone().map(|i| data.weights.as_ref().map_or(1.0, |w| w[i].sqrt())));
    for part in 0..data.parts {
        residual.clear();
        let each = range.clone().zip(&*root);
        residual.extend(each.map(|(i, w)| rows.residual[i * data.parts + part] * roots.at(i) * w));
        task.working.moments(alpha, data.places.of(range.clone()), Weighted { residual, root, weight }, into);
    }
}

/// The value of the equations of scale and correlation in each cluster, (clusters, scales + parameters).
pub fn contributions(task: &Task<'_>, rows: &Rows, state: &State) -> Result<Vec<f64>, Error> {
    let data = task.data;
    let (g, q, linear) = (state.scale.len(), task.working.parameters(), task.working.linear());
    let roots = Roots::new(data, &state.scale);
    let parts = task.chunks(|chunk| {
        let (mut out, mut room) = (Vec::with_capacity(chunk.len() * (g + q)), Default::default());
        for cluster in chunk {
            let mut line = vec![0.0; g];
            for i in data.rows(cluster) {
                let w = data.weights.as_ref().map_or(1.0, |w| w[i]);
                let square: f64 = rows.residual[i * data.parts..(i + 1) * data.parts].iter().map(|e| e * e).sum();
                let rest = w * (square * roots.at(i) * roots.at(i) - data.parts as f64);
                match &data.scale {
                    None => line[0] += rest,
                    Some((z, _)) => (0..g).for_each(|a| line[a] += z[i * g + a] * rest),
                }
            }
            let mut sums = Moments::new(q, linear);
            let single = Task { skip: None, ..*task };
            of_cluster(&single, rows, &roots, &state.alpha, cluster, &mut room, &mut sums);
            let copies = task.data.copies(cluster).max(f64::MIN_POSITIVE);
            out.extend_from_slice(&line);
            out.extend((0..q).map(|k| match linear {
                true => (sums.gradient[k] - state.alpha[k] * sums.curvature[k]) / copies,
                false => sums.gradient[k] / copies,
            }));
        }
        Ok(out)
    })?;
    Ok(parts.concat())
}
