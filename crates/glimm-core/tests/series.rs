//! Groups whose effects are a Markov chain: step by step against dense blocks, which know nothing of the chain.

mod common;

use std::sync::Arc;

use common::{check_derivatives, evaluate, normal, relative};
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family::{self, Random};
use glimm_core::fit::{Fitted, Options, Path, Problem};
use glimm_core::integration::Integration;
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Objective, Order};
use glimm_core::structure::{Structure, lookup};
use rand::{RngExt, SeedableRng};

/// Two ways to the same number; a value is a sum of terms of its own size.
const VALUE: f64 = 1e-12;
const SAME: f64 = 1e-10;
/// Climbs stop within 1e-4 standard errors.
const FITTED: f64 = 1e-6;
const GROUPS: usize = 19;

/// A structure that does not say that it is a chain.
struct Dense(Arc<dyn Structure>);

impl Structure for Dense {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn effects(&self) -> usize {
        self.0.effects()
    }
    fn parameters(&self) -> usize {
        self.0.parameters()
    }
    fn start(&self, sd: f64) -> Vec<f64> {
        self.0.start(sd)
    }
    fn factor(&self, theta: &[f64], lambda: &mut [f64]) {
        self.0.factor(theta, lambda);
    }
    fn derivative(&self, theta: &[f64], j: usize, out: &mut [f64]) {
        self.0.derivative(theta, j, out);
    }
    fn second_derivative(&self, theta: &[f64], i: usize, j: usize, out: &mut [f64]) -> bool {
        self.0.second_derivative(theta, i, j, out)
    }
    fn curved(&self) -> bool {
        self.0.curved()
    }
    fn own_units(&self) -> bool {
        self.0.own_units()
    }
    fn mixes(&self) -> bool {
        self.0.mixes()
    }
    fn transform(&self, theta: &mut [f64], m: &[f64]) {
        self.0.transform(theta, m);
    }
    fn degree(&self) -> f64 {
        self.0.degree()
    }
    fn drop_small(&self, theta: &mut [f64], least: f64) -> bool {
        self.0.drop_small(theta, least)
    }
    fn raise(&self, theta: &mut [f64], least: f64) {
        self.0.raise(theta, least);
    }
    fn diagonal(&self) -> Vec<usize> {
        self.0.diagonal()
    }
    fn orient(&self, theta: &mut [f64]) -> bool {
        self.0.orient(theta)
    }
}

fn dense(data: &Data) -> Data {
    let mut data = data.clone();
    data.terms[0].structure = Arc::new(Dense(data.terms[0].structure.clone()));
    data
}

fn text(name: &str, q: usize) -> String {
    match name {
        "ou" => format!("ou({})", (0..q).map(|i| (i + i * i / 3).to_string()).collect::<Vec<_>>().join(",")),
        _ => name.into(),
    }
}

/// Subjects with some of `q` times missing and some rows twice, weights, offsets, columns of effects that are not one,
/// a predictor of the dispersion with a covariate where there is one; one subject has a single row, one level none.
fn problem(family: &str, name: &str, q: usize) -> Data {
    problem_of(family, name, q, |g| if g == 3 { 1 } else { (q + 3).min(12 + g) })
}

/// A few subjects with about as many rows as times; most levels have none.
fn long(family: &str, name: &str, q: usize) -> Data {
    problem_of(family, name, q, |g| if g < 5 { q - 7 * g } else { 0 })
}

/// The same with a number of rows for each subject.
fn problem_of(family: &str, name: &str, q: usize, rows_of: impl Fn(usize) -> usize) -> Data {
    let mut rng = Random::seed_from_u64(11);
    let (mut codes, mut time) = (Vec::new(), Vec::new());
    for g in 0..GROUPS as u32 {
        let rows = rows_of(g as usize);
        codes.extend(vec![g; rows]);
        time.extend((0..rows).map(|_| rng.random_range(0..q)));
    }
    let n = codes.len();
    let family = family::lookup(family, None).unwrap();
    let values = |rng: &mut Random| (0..n).map(|_| normal(rng)).collect::<Vec<f64>>();
    let (x, offset, z) = (values(&mut rng), values(&mut rng), values(&mut rng));
    let place: Vec<f64> = (0..GROUPS * q).map(|_| 0.6 * normal(&mut rng)).collect();
    let z: Vec<f64> = z.iter().map(|z| 0.8 + 0.1 * z).collect();
    let offset: Vec<f64> = offset.iter().map(|o| 0.1 * o).collect();
    let eta = |i: usize| [0.4 + 0.3 * x[i] + offset[i] + place[codes[i] as usize * q + time[i]], 0.5, 0.3];
    let trials = family.parameters().is_empty() && family.name() == "binomial";
    let size = if trials { 3.0 } else { 1.0 };
    let y = (0..n).map(|i| family.draw(&mut rng, size, &eta(i)[..family.predictors()])).collect();
    let is = |t: usize| (0..n).map(|i| if time[i] == t { z[i] } else { 0.0 }).collect();
    let term = Term {
        columns: (0..q).map(|t| Column::of(is(t))).collect(),
        predictors: vec![0; q],
        structure: lookup(&text(name, q), q).unwrap(),
        codes,
        levels: GROUPS + 1,
        prior: None,
        also: Vec::new(),
    };
    let freq = (0..n).map(|i| 1.0 + (i % 3) as f64).collect();
    let mut predictors = vec![Predictor::new(vec![Column::One, Column::of(x.clone())], Some(offset))];
    for k in 0..family.parameters().len() {
        let columns = if k == 0 { vec![Column::One, Column::of(x.clone())] } else { vec![Column::One] };
        predictors.push(Predictor::new(columns, None));
    }
    let size = trials.then(|| vec![size; n]);
    Data { family, y, size, freq: Some(freq), predictors, terms: vec![term], copies: None, constants: None }
}

fn point(data: &Data, sd: f64, shape: f64) -> Vec<f64> {
    let layout = data.layout();
    let mut psi: Vec<f64> = (0..layout.total).map(|j| 0.3 - 0.05 * j as f64).collect();
    let theta = layout.theta[0].clone();
    psi[theta.clone()].iter_mut().enumerate().for_each(|(k, t)| *t = sd * (1.0 + 0.02 * k as f64));
    psi[theta.end - 1] = shape;
    psi
}

fn same(one: &Data, psi: &[f64], label: &str) {
    let (mut series, mut blocks) = (Block::new(one), Block::new(&dense(one)));
    let (a, b) = (evaluate(&mut series, psi, Order::Hessian), evaluate(&mut blocks, psi, Order::Hessian));
    assert!(relative(&[a.value], &[b.value]) < VALUE, "{label}: {} {}", a.value, b.value);
    assert!(relative(&a.gradient, &b.gradient) < SAME, "{label}: {:?} {:?}", a.gradient, b.gradient);
    let (a, b) = (a.hessian.unwrap(), b.hessian.unwrap());
    assert!(relative(&a, &b) < SAME, "{label}: {:e}", relative(&a, &b));
    series.accept();
    blocks.accept();
    let (a, b) = (series.posterior(), blocks.posterior());
    assert!(relative(&a.modes[0], &b.modes[0]) < SAME, "{label}");
    assert!(relative(&a.covariances[0], &b.covariances[0]) < SAME, "{label}");
}

#[test]
fn chains_are_those_of_dense_blocks() {
    for q in 1..=30 {
        let data = problem("poisson", "ar1", q);
        same(&data, &point(&data, 0.7, 0.6), &format!("{q} times"));
    }
    for family in ["binomial", "gamma", "nbinom2", "gaussian", "student_t", "tweedie"] {
        for name in ["ar1", "ou", "hetar1"] {
            let data = problem(family, name, 9);
            same(&data, &point(&data, 0.5, -0.4), &format!("{family} {name}"));
        }
    }
}

#[test]
fn long_chains_are_those_of_sparse_matrices() {
    for (family, name, q) in [("poisson", "ar1", 60), ("nbinom2", "ou", 60), ("binomial", "ar1", 200)] {
        let data = long(family, name, q);
        let psi = point(&data, 0.6, 0.5);
        let (mut series, mut sparse) = (Block::new(&data), Crossed::new(&data, Engine::Sparse).unwrap());
        let (a, b) = (evaluate(&mut series, &psi, Order::Hessian), evaluate(&mut sparse, &psi, Order::Hessian));
        assert!(relative(&[a.value], &[b.value]) < SAME, "{name} {q}: {} {}", a.value, b.value);
        assert!(relative(&a.gradient, &b.gradient) < SAME, "{name} {q}: {:?} {:?}", a.gradient, b.gradient);
        let (a, b) = (a.hessian.unwrap(), b.hessian.unwrap());
        assert!(relative(&a, &b) < SAME, "{name} {q}: {:e}", relative(&a, &b));
        series.accept();
        sparse.accept();
        let (a, b) = (series.posterior(), sparse.posterior());
        assert!(relative(&a.modes[0], &b.modes[0]) < SAME, "{name} {q}");
        assert!(relative(&a.covariances[0], &b.covariances[0]) < SAME, "{name} {q}");
    }
}

#[test]
fn long_chains_are_fitted_as_chains() {
    let data = long("poisson", "ar1", 60);
    let problem = |data: &Data| Problem::new(data.clone(), &Options::default()).unwrap();
    assert_eq!((problem(&data).path(), problem(&dense(&data)).path()), (Path::Block, Path::Dense));
    // A row of two times is none of a chain.
    let mut both = data.clone();
    both.terms[0].columns[1] = both.terms[0].columns[0].clone();
    assert_eq!(problem(&both).path(), Path::Dense);
    fits_agree(&data, "poisson ar1 60");
}

#[test]
fn chains_go_to_the_edge() {
    let right = std::f64::consts::FRAC_PI_2;
    for family in ["poisson", "student_t"] {
        for name in ["ar1", "hetar1"] {
            let data = problem(family, name, 12);
            for shape in [0.0, right, right - 1e-9, right - 1e-4, -right, 1e-4 - right] {
                for sd in [0.0, 1e-8, 0.6] {
                    same(&data, &point(&data, sd, shape), &format!("{family} {name} {sd} {shape}"));
                }
            }
        }
    }
}

#[test]
fn derivatives_are_those_of_the_value() {
    for (family, name) in [("poisson", "ar1"), ("gamma", "ou"), ("nbinom2", "hetar1"), ("binomial", "ar1")] {
        let data = problem(family, name, 7);
        check_derivatives(&mut Block::new(&data), &point(&data, 0.6, 0.5), &format!("{family} {name}"));
    }
}

#[test]
fn parts_are_those_of_dense_blocks() {
    let data = problem("gamma", "ar1", 8);
    let psi = point(&data, 0.5, 0.7);
    let (mut series, mut blocks) = (Block::new(&data), Block::new(&dense(&data)));
    let by_group = |block: &mut Block| {
        let mut parts = block.contributions(&psi, Order::Hessian, 1e-22).unwrap();
        parts.iter_mut().for_each(|p| p.0.sort_unstable());
        parts.sort_by_key(|p| p.0[0]);
        parts
    };
    for ((rows, a), (same_rows, b)) in by_group(&mut series).iter().zip(&by_group(&mut blocks)) {
        assert_eq!(rows, same_rows);
        assert!(relative(&[a.value], &[b.value]) < SAME && relative(&a.gradient, &b.gradient) < SAME);
        assert!(relative(a.hessian.as_ref().unwrap(), b.hessian.as_ref().unwrap()) < SAME);
    }
    // All rows of all groups, as data and as a part of the whole.
    let whole = evaluate(&mut series, &psi, Order::Gradient);
    let groups: Vec<usize> = (0..series.groups()).rev().collect();
    let again = [
        evaluate(&mut Block::new(&series.data()), &psi, Order::Gradient).value,
        evaluate(&mut series.subset(&groups), &psi, Order::Gradient).value,
    ];
    // New data count the constants of the responses anew, or know them for all together.
    assert!(again.iter().all(|value| (value - whole.value).abs() < 1e-9 * whole.value.abs()), "{again:?} {whole:?}");
}

#[test]
fn threads_change_no_bit() {
    let mut data = problem("poisson", "ar1", 10);
    let (rows, copies) = (data.n(), 12_000 / data.n() + 1);
    let all: Vec<u32> = (0..copies).flat_map(|_| 0..rows as u32).collect();
    data = data.gather(&all);
    data.terms[0].codes.iter_mut().enumerate().for_each(|(i, c)| *c += (i / rows * (GROUPS + 1)) as u32);
    data.terms[0].levels = copies * (GROUPS + 1);
    let psi = point(&data, 0.5, 0.7);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| evaluate(&mut Block::new(&data), &psi, Order::Hessian))
    };
    let (one, three) = (run(1), run(3));
    assert_eq!(one.value, three.value);
    assert_eq!(one.gradient, three.gradient);
    assert_eq!(one.hessian, three.hessian);
}

fn fit(data: &Data) -> Fitted {
    let options = Options { integration: Integration::Laplace, laplace: true, ..Options::default() };
    Problem::new(data.clone(), &options).unwrap().fit(None, &mut |_, _, _, _| true).unwrap()
}

fn fits_agree(data: &Data, label: &str) {
    let (one, other) = (fit(data), fit(&dense(data)));
    assert!((one.loglik - other.loglik).abs() < FITTED, "{label}: {} {}", one.loglik, other.loglik);
    assert_eq!(one.verdict.identified, other.verdict.identified);
    let p = one.psi.len();
    for j in (0..p).filter(|j| other.verdict.covariance[j * p + j] > 0.0) {
        let se = other.verdict.covariance[j * p + j].sqrt();
        assert!((one.psi[j] - other.psi[j]).abs() < 1e-4 * se, "{label} {j}");
        assert!((one.verdict.covariance[j * p + j].sqrt() - se).abs() < 1e-4 * se, "{label} {j}");
    }
}

#[test]
fn fits_are_those_of_dense_blocks() {
    for (family, name) in [("poisson", "ar1"), ("nbinom2", "ou"), ("gaussian", "ar1"), ("gamma", "ar1")] {
        fits_agree(&problem(family, name, 8), &format!("{family} {name}"));
    }
}
