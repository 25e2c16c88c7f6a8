//! Where the climb begins: a generalized linear model, and moderate random effects.

use crate::design::{Data, Term};
use crate::linalg::dense;
use crate::link::Link;
use crate::objective::block::Block;
use crate::objective::{Objective, Order};
use crate::optim::{Curvature, Settings, maximise};
use crate::shuffle;

/// Rows of the GLM that gives the start.
const START_ROWS: usize = 10_000;
/// Standard deviation of a random effect on a scale where one is large.
const START_SD: f64 = 0.5;

/// Some of the rows, which tell where to begin.
pub struct Sample {
    rows: Vec<u32>,
    data: Data,
}

impl Sample {
    pub fn new(data: &Data) -> Sample {
        let n = data.n();
        let rows = if n > START_ROWS { shuffle::sample(n, START_ROWS) } else { (0..n as u32).collect() };
        Sample { data: data.gather_fixed(&rows), rows }
    }

    pub fn set_response(&mut self, y: &[f64]) {
        self.data.y.iter_mut().zip(&self.rows).for_each(|(a, &i)| *a = y[i as usize]);
    }
}

/// Coefficients and dispersion of the GLM on a sample of rows, then theta.
pub fn start(sample: &Sample, terms: &[Term], reach: &[f64]) -> Vec<f64> {
    let rows = &sample.data;
    let mut psi = glm(rows, reach);
    let sd = START_SD * effect_unit(rows, &psi);
    psi.extend(terms.iter().flat_map(|t| t.structure.start(sd)));
    psi
}

fn glm(rows: &Data, reach: &[f64]) -> Vec<f64> {
    let mut psi = least_squares(rows);
    if rows.predictors.len() > 1 {
        let mean = fitted(rows, &psi);
        psi.extend(rows.family.start_parameters(&rows.y, &mean, rows.freq.as_deref().unwrap_or(&[])));
    }
    let settings = Settings {
        curvature: Curvature::Exact,
        tolerance: 1e-4,
        inner_tolerance: 1.0,
        max_iterations: 30,
        reach: reach[..psi.len()].to_vec(),
    };
    let mut block = Block::new(rows);
    maximise(&mut block, &psi, settings, &mut |_, _, _| true).psi
}

/// Least squares of the family's starting values for eta on X.
fn least_squares(rows: &Data) -> Vec<f64> {
    let (n, columns) = (rows.n(), &rows.predictors[0].columns);
    let p = columns.len();
    let ones = vec![1.0; n];
    let offset = rows.predictors[0].offset.as_ref();
    let target: Vec<f64> =
        (0..n).map(|i| rows.family.start(rows.y[i], rows.size_at(i)) - offset.map_or(0.0, |o| o[i])).collect();
    let views: Vec<&[f64]> = columns.iter().map(|c| c.rows(0..n, &ones)).collect();
    let mut gram: Vec<f64> = (0..p * p).map(|i| crate::objective::dot(views[i / p], views[i % p])).collect();
    let mut beta: Vec<f64> = views.iter().map(|x| crate::objective::dot(x, &target)).collect();
    // A sample of rows may lack what the whole has: a ridge keeps it solvable.
    (0..p).for_each(|i| gram[i * p + i] += 1e-6 * n as f64);
    if dense::cholesky(&mut gram, p) {
        dense::cholesky_solve(&gram, p, &mut beta);
    } else {
        beta.fill(0.0);
    }
    beta
}

fn linear_predictor(rows: &Data, psi: &[f64]) -> Vec<f64> {
    let p = &rows.predictors[0];
    let at = |i: usize| {
        let x: f64 = p.columns.iter().zip(psi).map(|(c, b)| c.at(i) * b).sum();
        x + p.offset.as_ref().map_or(0.0, |o| o[i])
    };
    (0..rows.n()).map(at).collect()
}

fn fitted(rows: &Data, psi: &[f64]) -> Vec<f64> {
    linear_predictor(rows, psi).iter().map(|&e| rows.family.mean(&[e, 0.0])).collect()
}

/// The size of a notable change of eta: one on log- and logit-like scales; the scale of the noise
/// where eta has the units of the response.
fn effect_unit(rows: &Data, psi: &[f64]) -> f64 {
    if !matches!(rows.family.link(), Link::Identity | Link::Inverse) {
        return 1.0;
    }
    let mut block = Block::new(rows);
    let information = block.evaluate(psi, Order::Hessian, 1.0).ok().and_then(|e| e.hessian).map_or(0.0, |h| -h[0]);
    if information > 0.0 { (rows.n() as f64 / information).sqrt() } else { 1.0 }
}
