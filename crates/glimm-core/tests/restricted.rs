//! The restricted likelihood of any family: its definition, derivatives, the closed form of linear models, and fits.

mod common;

use std::sync::Arc;

use common::*;
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::error::Error;
use glimm_core::family::{self, Random, Want, ZeroInflated};
use glimm_core::fit::{Fitted, Options, Problem};
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Engine, Restricted};
use glimm_core::objective::lmm::Lmm;
use glimm_core::objective::penalty::Penalty;
use glimm_core::objective::{Evaluation, Objective, Order, Posterior, Reject};
use glimm_core::structure;
use rand::{RngExt, SeedableRng};

const SHAPES: [Shape; 6] =
    [Shape::None, Shape::Intercept, Shape::Slope, Shape::TwoTerms, Shape::Nested, Shape::CrossedSlopes];
const FAMILIES: [(&str, &str); 5] =
    [("poisson", "log"), ("binomial", "cloglog"), ("nbinom2", "log"), ("gamma", "inverse"), ("beta", "logit")];
/// Two fits of one model stop this close, in standard errors.
const SAME: f64 = 1e-6;

fn restricted(data: &Data) -> Restricted {
    Restricted::new(&mut data.clone(), Engine::Auto).unwrap()
}

/// The restricted likelihood as a function of the parameters besides the coefficients, which begin at `beta`.
struct Alone {
    restricted: Restricted,
    beta: Vec<f64>,
}

impl Objective for Alone {
    fn evaluate(&mut self, v: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let (p, m) = (self.beta.len(), v.len());
        let mut e = self.restricted.evaluate(&[&self.beta, v].concat(), order, tolerance)?;
        e.gradient.drain(..p);
        let own = |h: Vec<f64>| (0..m * m).map(|i| h[(p + i / m) * (p + m) + p + i % m]).collect();
        e.hessian = e.hessian.map(own);
        Ok(e)
    }

    fn accept(&mut self) {
        self.restricted.accept();
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        None
    }

    fn reset(&mut self) {
        self.restricted.reset();
    }

    fn passes(&self) -> f64 {
        self.restricted.passes()
    }

    fn posterior(&self) -> Posterior {
        self.restricted.posterior()
    }
}

/// Zero-inflated counts with slopes in each predictor and effects of the mean and the zeros correlated by group.
fn zeros() -> Data {
    let mut rng = Random::seed_from_u64(5);
    let n = 160;
    let x: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
    let family: Arc<dyn family::Family> = Arc::new(ZeroInflated::new(family::lookup("nbinom2", None).unwrap()));
    let y = (0..n).map(|i| family.draw(&mut rng, 1.0, &[0.9 + 0.3 * x[i], 0.8, -0.9])).collect();
    let columns = || vec![Column::One, Column::of(x.clone())];
    let predictors = (0..3).map(|_| Predictor::new(columns(), None)).collect();
    let term = Term {
        codes: (0..n).map(|_| rng.random_range(0..12)).collect(),
        levels: 12,
        columns: vec![Column::of(x.clone()), Column::One, Column::One],
        predictors: vec![0, 0, 2],
        structure: structure::lookup("us", 3).unwrap(),
        prior: None,
        also: Vec::new(),
    };
    Data { family, y, size: None, freq: None, predictors, terms: vec![term], copies: None, constants: None }
}

fn zeros_point(data: &Data) -> Vec<f64> {
    let (layout, mut rng) = (data.layout(), Random::seed_from_u64(3));
    let mut psi: Vec<f64> = (0..layout.total).map(|_| 0.2 * normal(&mut rng)).collect();
    [0.8, 0.7, -0.8].iter().zip(&layout.beta).for_each(|(b, range)| psi[range.start] = *b);
    let range = layout.theta[0].clone();
    range.zip(data.terms[0].structure.start(0.4)).for_each(|(j, s)| psi[j] = 0.3 * psi[j] + s);
    psi
}

/// Coefficients of the mean.
fn width(data: &Data) -> usize {
    data.predictors[0].columns.len()
}

fn fit(data: &Data, options: &Options) -> Fitted {
    Problem::new(data.clone(), options).unwrap().fit(None, &mut |_, _, _, _| true).unwrap()
}

fn reml() -> Options {
    Options { reml: true, ..Options::default() }
}

/// The general path also for linear models.
fn general() -> Options {
    Options { laplace: true, ..reml() }
}

#[test]
fn derivatives_match_differences() {
    for shape in SHAPES {
        for (name, link) in FAMILIES {
            let data = problem(name, link, shape, 61);
            let psi = point(&data, 7);
            let (beta, v) = psi.split_at(width(&data));
            let mut objective = Alone { restricted: restricted(&data), beta: beta.to_vec() };
            check_derivatives(&mut objective, v, &format!("{name} {shape:?}"));
        }
    }
    let data = zeros();
    let psi = zeros_point(&data);
    let (beta, v) = psi.split_at(width(&data));
    for engine in [Engine::Dense, Engine::Sparse] {
        let restricted = Restricted::new(&mut data.clone(), engine).unwrap();
        check_derivatives(&mut Alone { restricted, beta: beta.to_vec() }, v, "zero-inflated");
    }
}

#[test]
fn the_closed_form_is_the_restricted_likelihood_of_a_gaussian_at_any_point() {
    for shape in SHAPES {
        let data = problem("gaussian", "identity", shape, 62);
        let psi = point(&data, 8);
        let (value, gradient) = Lmm::new(&data, true).unwrap().evaluate_at(&psi).unwrap();
        let other = evaluate(&mut restricted(&data), &psi, Order::Gradient);
        assert!(relative(&[value], &[other.value]) < 1e-12, "{shape:?}: {value} {}", other.value);
        assert!(relative(&gradient, &other.gradient) < 1e-11, "{shape:?}: {gradient:?} {:?}", other.gradient);
    }
}

/// [Z X] row by row, where Z has the columns of all terms level by level.
fn whole_design(data: &Data) -> (Vec<Vec<f64>>, usize) {
    let effects: usize = data.terms.iter().map(|t| t.levels * t.effects()).sum();
    let row = |i: usize| {
        let mut row = vec![0.0; effects];
        let mut first = 0;
        for term in &data.terms {
            let at = first + term.codes[i] as usize * term.effects();
            term.columns.iter().enumerate().for_each(|(c, z)| row[at + c] = z.at(i));
            first += term.levels * term.effects();
        }
        row.extend(data.predictors[0].columns.iter().map(|x| x.at(i)));
        row
    };
    ((0..data.n()).map(row).collect(), effects)
}

/// log|A| by elimination.
fn log_determinant(mut a: Vec<Vec<f64>>) -> f64 {
    let mut sum = 0.0;
    for k in 0..a.len() {
        sum += a[k][k].ln();
        for i in k + 1..a.len() {
            let factor = a[i][k] / a[k][k];
            let pivot = a[k].clone();
            a[i].iter_mut().zip(&pivot).skip(k).for_each(|(x, p)| *x -= factor * p);
        }
    }
    sum
}

/// With b for u, H_b = [S^-1 + Z'WZ, Z'WX; ., X'WX] and |H| = |H_b| |S|; with independent intercepts S is diagonal.
#[test]
fn the_value_is_that_of_the_definition() {
    for (name, link) in FAMILIES {
        let data = problem(name, link, Shape::Crossed, 63);
        let (psi, layout) = (point(&data, 9), data.layout());
        let mut objective = restricted(&data);
        let found = evaluate(&mut objective, &psi, Order::Gradient).value;
        objective.accept();
        let modes = objective.posterior().modes.concat();
        let all = [modes.as_slice(), objective.coefficients()].concat();
        let (rows, effects) = whole_design(&data);
        let (offset, p) = (data.predictors[0].offset.clone().unwrap(), width(&data));
        let eta: Vec<f64> =
            rows.iter().zip(&offset).map(|(r, o)| o + r.iter().zip(&all).map(|(z, b)| z * b).sum::<f64>()).collect();
        let others: Vec<Vec<f64>> = layout.beta[1..].iter().map(|r| vec![psi[r.start]; data.n()]).collect();
        let etas: Vec<&[f64]> = std::iter::once(eta.as_slice()).chain(others.iter().map(Vec::as_slice)).collect();
        let mut derivs = family::Derivs::default();
        let want = Want { dims: 1, order: 2, value: true };
        derivs.reshape(1, 2, data.n());
        data.family.derivs(data.rows(0..data.n()), &etas, want, &mut derivs);
        derivs.weigh(data.freq.as_ref().unwrap(), want);
        let variance = |e: usize| psi[layout.theta[usize::from(e >= data.terms[0].levels)].start].powi(2);
        let size = effects + p;
        let mut h = vec![vec![0.0; size]; size];
        for (i, row) in rows.iter().enumerate() {
            for a in 0..size {
                (0..size).for_each(|b| h[a][b] -= derivs.get(&[0, 0])[i] * row[a] * row[b]);
            }
        }
        let mut value: f64 = derivs.value().iter().sum::<f64>() + data.log_constant();
        for e in 0..effects {
            h[e][e] += 1.0 / variance(e);
            value -= 0.5 * (modes[e].powi(2) / variance(e) + variance(e).ln());
        }
        value += 0.5 * p as f64 * std::f64::consts::TAU.ln() - 0.5 * log_determinant(h);
        assert!(relative(&[found], &[value]) < 1e-12, "{name}: {found} {value}");
    }
}

/// beta(v) by searches at neighbouring v, against the slopes that the joint Hessian holds.
#[test]
fn the_joint_hessian_has_the_slopes_of_the_coefficients() {
    let data = problem("nbinom2", "log", Shape::Slope, 64);
    let (psi, p) = (point(&data, 10), width(&data));
    let mut objective = restricted(&data);
    let mut h = evaluate(&mut objective, &psi, Order::Hessian).hessian.unwrap();
    objective.accept();
    let apart = h.clone();
    objective.join(&mut h);
    let total = psi.len();
    for v in p..total {
        let mut beta = |step: f64| {
            let mut moved = psi.clone();
            moved[v] += step;
            evaluate(&mut objective, &moved, Order::Gradient);
            objective.accept();
            objective.coefficients().to_vec()
        };
        let slope = richardson(&mut beta, 0.005);
        // L_bv = -L_bb B.
        let expected: Vec<f64> = (0..p).map(|i| -(0..p).map(|j| h[i * total + j] * slope[j]).sum::<f64>()).collect();
        let found: Vec<f64> = (0..p).map(|i| h[i * total + v]).collect();
        assert!(relative(&found, &expected) < 1e-8, "{v}: {found:?} {expected:?}");
        // L_vv + L_vb B = L_R''.
        for w in p..total {
            let own: f64 = h[w * total + v] + (0..p).map(|i| h[w * total + i] * slope[i]).sum::<f64>();
            assert!((own - apart[w * total + v]).abs() < 1e-8 * (1.0 + own.abs()));
        }
    }
}

/// Given the coefficients, modes and covariances are those of the likelihood.
#[test]
fn the_posterior_is_that_given_the_coefficients() {
    for shape in [Shape::Slope, Shape::TwoTerms] {
        let data = problem("poisson", "log", shape, 65);
        let mut psi = point(&data, 11);
        let mut objective = restricted(&data);
        evaluate(&mut objective, &psi, Order::Gradient);
        objective.accept();
        psi[..width(&data)].copy_from_slice(objective.coefficients());
        let mut likelihood = Block::new(&data);
        evaluate(&mut likelihood, &psi, Order::Hessian);
        likelihood.accept();
        let flat = |p: Posterior| (p.modes.concat(), p.covariances.concat());
        let (a, b) = (flat(objective.posterior()), flat(likelihood.posterior()));
        assert!(relative(&a.0, &b.0) < 1e-10 && relative(&a.1, &b.1) < 1e-10, "{shape:?}");
    }
}

#[test]
fn fits_of_linear_models_are_those_of_the_closed_form() {
    for shape in SHAPES {
        let data = problem("gaussian", "identity", shape, 66);
        let (closed, ours) = (fit(&data, &reml()), fit(&data, &general()));
        assert!(ours.verdict.converged, "{shape:?}");
        assert!((closed.loglik - ours.loglik).abs() < 1e-8, "{shape:?}: {} {}", closed.loglik, ours.loglik);
        let total = closed.psi.len();
        for j in 0..total {
            let se = closed.verdict.covariance[j * total + j].sqrt();
            // A variance of zero has no error to speak of.
            let moved = (closed.psi[j] - ours.psi[j]).abs() / if closed.psi[j] == 0.0 { 1.0 } else { se };
            assert!(moved < SAME, "{shape:?} {j}: {moved:e}");
        }
        let (a, b) = (closed.posterior.modes.concat(), ours.posterior.modes.concat());
        assert!(relative(&a, &b) < 1e-6, "{shape:?}");
        let (a, b) = (closed.posterior.covariances.concat(), ours.posterior.covariances.concat());
        assert!(relative(&a, &b) < 1e-6, "{shape:?}");
    }
}

/// Estimates that stay, and coefficients per unit of their column.
#[test]
fn the_unit_of_a_covariate_shifts_the_value_by_its_logarithm() {
    for (name, link) in [("poisson", "log"), ("beta", "logit"), ("gaussian", "log")] {
        let data = problem(name, link, Shape::Intercept, 67);
        let mut other = data.clone();
        if let Column::Values(x) = &mut other.predictors[0].columns[1] {
            std::sync::Arc::make_mut(x).iter_mut().for_each(|x| *x = 1000.0 * *x + 5000.0);
        }
        let (a, b) = (fit(&data, &reml()), fit(&other, &reml()));
        assert!((a.loglik - 1000f64.ln() - b.loglik).abs() < 1e-9, "{name}: {} {}", a.loglik, b.loglik);
        assert!((a.psi[1] / 1000.0 / b.psi[1] - 1.0).abs() < 1e-7, "{name}");
        assert!(relative(&a.psi[2..], &b.psi[2..]) < 1e-7, "{name}");
    }
}

#[test]
fn a_row_of_weight_two_is_the_row_twice() {
    let mut data = problem("poisson", "log", Shape::Crossed, 68);
    data.freq = Some(vec![2.0; data.n()]);
    let rows: Vec<u32> = (0..data.n() as u32).flat_map(|i| [i, i]).collect();
    let mut twice = data.gather(&rows);
    twice.freq = None;
    let (a, b) = (fit(&data, &reml()), fit(&twice, &reml()));
    assert!((a.loglik - b.loglik).abs() < 1e-9);
    assert!(relative(&a.psi, &b.psi) < 1e-8);
}

#[test]
fn engines_agree() {
    let data = problem("binomial", "logit", Shape::CrossedSlopes, 69);
    let with = |engine| fit(&data, &Options { engine, ..reml() });
    let (dense, sparse) = (with(Engine::Dense), with(Engine::Sparse));
    assert!((dense.loglik - sparse.loglik).abs() < 1e-9);
    assert!(relative(&dense.verdict.covariance, &sparse.verdict.covariance) < 1e-6);
}

/// Poisson counts of ten groups with two covariates of their own: variances by maximum likelihood are too small.
#[test]
fn variances_are_less_biased_than_those_of_maximum_likelihood() {
    let (groups, each, replicates, truth) = (10, 8, 400, 0.5_f64);
    let (mut sums, mut rng) = ([0.0; 2], Random::seed_from_u64(72));
    for _ in 0..replicates {
        let effects: Vec<f64> = (0..groups).map(|_| truth.sqrt() * normal(&mut rng)).collect();
        let n = groups * each;
        let codes: Vec<u32> = (0..n as u32).map(|i| i / each as u32).collect();
        // Two covariates of the groups leave eight degrees of freedom between them.
        let of_group: Vec<[f64; 2]> = (0..groups).map(|_| [normal(&mut rng), normal(&mut rng)]).collect();
        let column = |c: usize| Column::of(codes.iter().map(|&g| of_group[g as usize][c]).collect());
        let family = family::lookup("poisson", None).unwrap();
        let y = codes.iter().map(|&g| family.draw(&mut rng, 1.0, &[1.0 + effects[g as usize]])).collect();
        let predictors = vec![Predictor::new(vec![Column::One, column(0), column(1)], None)];
        let structure = structure::lookup("us", 1).unwrap();
        let term = Term {
            codes,
            levels: groups,
            columns: vec![Column::One],
            predictors: vec![0],
            structure,
            prior: None,
            also: Vec::new(),
        };
        let data =
            Data { family, y, size: None, freq: None, predictors, terms: vec![term], copies: None, constants: None };
        for (sum, options) in sums.iter_mut().zip([Options::default(), reml()]) {
            *sum += fit(&data, &options).psi[3].powi(2) / f64::from(replicates);
        }
    }
    let [ml, reml] = sums;
    assert!(ml < 0.8 * truth, "{ml}");
    assert!((reml - truth).abs() < 0.5 * (ml - truth).abs(), "ML {ml}, REML {reml}");
}

#[test]
fn what_cannot_be_integrated_is_refused_with_the_reason() {
    let why = |data: &Data, options: &Options| match Problem::new(data.clone(), options).map(|_| ()) {
        Err(Error::Degenerate { why } | Error::Engine { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let data = problem("poisson", "log", Shape::Crossed, 70);
    let penalty = Penalty { scales: vec![vec![1.0, 1.0]], df: 1.0, power: 0.0 };
    assert!(why(&data, &Options { penalty: Some(penalty), ..reml() }).contains("penalty"));
    assert!(why(&data, &Options { engine: Engine::Iterative, ..reml() }).contains("integrated out"));
    let mut bare = data.clone();
    bare.predictors[0].columns.clear();
    assert!(why(&bare, &reml()).contains("the mean has none"));
}

/// The covariate tells the response apart.
#[test]
fn separation_is_an_error() {
    let mut data = problem("binomial", "logit", Shape::Intercept, 71);
    let Column::Values(x) = &data.predictors[0].columns[1] else { panic!("a covariate") };
    data.y = x.iter().map(|x| f64::from(u8::from(*x > 0.1))).collect();
    (data.size, data.predictors[0].offset) = (None, None);
    let found = Problem::new(data, &reml()).unwrap().fit(None, &mut |_, _, _, _| true).map(|f| (f.psi, f.loglik));
    match found {
        Err(Error::Degenerate { why }) => assert!(why.contains("separation"), "{why}"),
        other => panic!("{other:?}"),
    }
}
