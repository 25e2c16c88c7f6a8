//! Where the climb begins: a generalized linear model, and moderate random effects.

use crate::design::{Column, Data, Term};
use crate::family::start_thresholds;
use crate::linalg::dense;
use crate::objective::block::Block;
use crate::objective::penalty::{Penalised, Prior};
use crate::objective::{Objective, Order};
use crate::optim::{Curvature, Settings, maximise};
use crate::shuffle;

/// Rows of the GLM that gives the start.
const START_ROWS: usize = 10_000;
/// Standard deviation of a random effect on a scale where one is large.
const START_SD: f64 = 0.5;

/// Log odds of an extra zero to start from at most.
const MOST_ODDS: f64 = 6.0;
/// Logit of a probability that is one.
const NEVER: f64 = 700.0;

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

/// Coefficients of the GLM on a sample of rows, then theta; and the size of a notable effect.
pub fn start(sample: &Sample, terms: &[Term], reach: &[f64], prior: Option<&Prior>) -> (Vec<f64>, f64) {
    let rows = &sample.data;
    let mut psi = glm(rows, reach, prior);
    let unit = effect_unit(rows, &psi);
    psi.extend(terms.iter().flat_map(|t| start_effects(t, unit)));
    (psi, unit)
}

/// Independent effects; those of the mean in its units.
fn start_effects(term: &Term, unit: f64) -> Vec<f64> {
    let (q, mut theta) = (term.effects(), term.structure.start(START_SD));
    let mut m = vec![0.0; q * q];
    (0..q).for_each(|c| m[c * q + c] = if term.predictors[c] == 0 { unit } else { 1.0 });
    term.structure.transform(&mut theta, &m);
    theta
}

fn glm(rows: &Data, reach: &[f64], prior: Option<&Prior>) -> Vec<f64> {
    let mut psi = least_squares(rows, 0, &targets(rows));
    if rows.family.ordered() {
        let (link, freq) = (rows.family.link(), rows.freq.as_deref().unwrap_or(&[]));
        psi.iter_mut().for_each(|b| *b = 0.0);
        psi.extend(start_thresholds(link, &rows.y, freq, rows.size_at(0) as usize));
    } else if rows.predictors.len() > 1 {
        let mean = fitted(rows, &psi);
        for (k, target) in further_targets(rows, &mean).into_iter().enumerate() {
            psi.extend(least_squares(rows, k + 1, &target));
        }
    }
    let settings = Settings {
        curvature: Curvature::Exact,
        tolerance: 1e-4,
        inner_tolerance: 1.0,
        max_iterations: 30,
        reach: reach[..psi.len()].to_vec(),
        limits: Vec::new(),
        rows: Vec::new(),
    };
    let mut block = Block::new(rows);
    let mut objective = Penalised { objective: &mut block, prior };
    let mut psi = maximise(&mut objective, &psi, settings, &mut |_, _, _| true).psi;
    if rows.family.zero_inflated() {
        // Where there are too few zeros to inflate, their log odds run to infinity.
        let count = rows.predictors.last().map_or(0, |p| p.columns.len());
        psi.iter_mut().rev().take(count).for_each(|z| *z = z.clamp(-MOST_ODDS, MOST_ODDS));
    }
    psi
}

/// Starting values of predictor 0 for each row.
fn targets(rows: &Data) -> Vec<f64> {
    let mut targets = vec![f64::NAN; rows.n()];
    for (family, places) in rows.families() {
        let pick = |v: &[f64]| places.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        let starts = family.starts(&pick(&rows.y), rows.size.as_deref().map(pick).as_deref());
        places.iter().zip(starts).for_each(|(&i, start)| targets[i] = start);
    }
    targets
}

/// Starting values of predictors 1, 2, ... for each row, NaN where its family has no such parameter.
fn further_targets(rows: &Data, mean: &[f64]) -> Vec<Vec<f64>> {
    let mut targets = vec![vec![f64::NAN; rows.n()]; rows.predictors.len() - 1];
    for (family, places) in rows.families() {
        let pick = |v: &[f64]| places.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        let freq = rows.freq.as_deref().map_or(Vec::new(), pick);
        let start = family.start_parameters(&pick(&rows.y), &pick(mean), &freq);
        for (target, value) in targets.iter_mut().zip(start) {
            places.iter().for_each(|&i| target[i] = value);
        }
    }
    targets
}

/// Least squares of starting values for predictor `k`, NaN where there is none, on its X.
fn least_squares(rows: &Data, k: usize, target: &[f64]) -> Vec<f64> {
    let known: Vec<u32> = (0..rows.n() as u32).filter(|&i| !target[i as usize].is_nan()).collect();
    let offset = |i: &u32| rows.predictors[k].offset.as_ref().map_or(0.0, |o| o[*i as usize]);
    let target: Vec<f64> = known.iter().map(|i| target[*i as usize] - offset(i)).collect();
    let columns: Vec<Column> = rows.predictors[k].columns.iter().map(|c| c.gather(&known)).collect();
    let (n, p) = (known.len(), columns.len());
    let ones = vec![1.0; n];
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
    // No extra zeros.
    let mut eta = vec![0.0; rows.family.predictors()];
    eta[rows.family.predictors() - 1] = if rows.family.zero_inflated() { -NEVER } else { 0.0 };
    let mean = |(i, e): (usize, f64)| {
        eta[0] = e;
        rows.family_at(i).mean(&eta)
    };
    linear_predictor(rows, psi).into_iter().enumerate().map(mean).collect()
}

/// The size of a notable change of eta: one on log- and logit-like scales; the scale of the noise
/// where eta has the units of the response.
fn effect_unit(rows: &Data, psi: &[f64]) -> f64 {
    if !rows.family.link().in_units() {
        return 1.0;
    }
    let mut block = Block::new(rows);
    let information = block.evaluate(psi, Order::Hessian, 1.0).ok().and_then(|e| e.hessian).map_or(0.0, |h| -h[0]);
    if information > 0.0 { (rows.n() as f64 / information).sqrt() } else { 1.0 }
}
