//! Engines for crossed factors: exact ones against each other, the iterative one against them.

use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::error::Error;
use glimm_core::family::{self, Random};
use glimm_core::fit::{Fitted, Options, Problem};
use glimm_core::integration::Integration;
use glimm_core::objective::Objective;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::structure;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Promised error of an iterative fit, in standard errors.
const PROMISED: f64 = 0.05;
/// Stated errors are standard errors: differences beyond four times as much are not chance.
const CHANCE: f64 = 4.0;
/// What the stated error of a log-likelihood leaves out: the estimates are not quite the maximum, and
/// the quadrature has its own tolerance.
const LOGLIK_FLOOR: f64 = 0.01;
/// Two exact fits of one model stop this close, in standard errors.
const SAME: f64 = 1e-4;

/// Standard deviation of true slopes, relative to the intercepts'.
const SLOPE: f64 = 0.4;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Two,
    Three,
    Slopes,
    SharedFactor,
}

fn normal(rng: &mut Random) -> f64 {
    StandardNormal.sample(rng)
}

/// Crossed factors of 240, 60 and 12 levels; slopes in x on the first two.
fn crossed(family: &str, shape: Shape, seed: u64) -> Data {
    let (n, levels, sds) = (6000, [240, 60, 12], [0.7, 0.5, 0.4]);
    let mut rng = Random::seed_from_u64(seed);
    let x: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
    let factors = if shape == Shape::Three { 3 } else { 2 };
    let slopes = |f: usize| shape == Shape::Slopes || shape == Shape::SharedFactor && f == 1;
    let mut eta: Vec<f64> = x.iter().map(|x| 0.2 + 0.4 * x).collect();
    let mut terms = Vec::new();
    for f in 0..factors {
        let codes: Vec<u32> = (0..n).map(|_| rng.random_range(0..levels[f] as u32)).collect();
        let effects: Vec<f64> = (0..levels[f] * 2).map(|_| sds[f] * normal(&mut rng)).collect();
        for i in 0..n {
            let own = &effects[codes[i] as usize * 2..];
            eta[i] += own[0] + if slopes(f) { SLOPE * own[1] * x[i] } else { 0.0 };
        }
        let both = shape == Shape::Slopes;
        let columns = if both { vec![Column::of(x.clone()), Column::One] } else { vec![Column::One] };
        let structure = structure::lookup("us", columns.len()).unwrap();
        terms.push(Term {
            codes,
            levels: levels[f],
            predictors: vec![0; columns.len()],
            columns,
            structure,
            prior: None,
            also: Vec::new(),
        });
    }
    if shape == Shape::SharedFactor {
        // Independent slopes on the smaller factor: two terms that share it.
        let structure = structure::lookup("us", 1).unwrap();
        terms.push(Term { columns: vec![Column::of(x.clone())], structure, ..terms[1].clone() });
    }
    let family = family::lookup(family, None).unwrap();
    let y = eta.iter().map(|&e| family.draw(&mut rng, 1.0, &[e, 0.3][..family.predictors()])).collect();
    let mut predictors = vec![Predictor::new(vec![Column::One, Column::of(x)], None)];
    if !family.parameters().is_empty() {
        predictors.push(Predictor::new(vec![Column::One], None));
    }
    Data { family, y, size: None, freq: None, predictors, terms, copies: None, constants: None }
}

fn with(engine: Engine) -> Options {
    Options { engine, integration: Integration::Laplace, ..Options::default() }
}

fn fit(data: &Data, engine: Engine) -> Fitted {
    Problem::new(data.clone(), &with(engine)).unwrap().fit(None, &mut |_, _, _, _| true).unwrap()
}

/// Largest difference of two fits in the first one's standard errors.
fn gap(a: &Fitted, b: &Fitted) -> f64 {
    let p = a.psi.len();
    (0..p).map(|j| (a.psi[j] - b.psi[j]).abs() / a.verdict.covariance[j * p + j].sqrt()).fold(0.0, f64::max)
}

fn each_problem(mut test: impl FnMut(&'static str, Shape)) {
    for family in ["poisson", "binomial", "gaussian"] {
        for shape in [Shape::Two, Shape::Three, Shape::Slopes, Shape::SharedFactor] {
            test(family, shape);
        }
    }
}

#[test]
fn dense_and_sparse_engines_give_one_fit() {
    each_problem(|family, shape| {
        let data = crossed(family, shape, 41);
        let (a, b) = (fit(&data, Engine::Dense), fit(&data, Engine::Sparse));
        let label = format!("{family} {shape:?}");
        assert!(a.verdict.converged && b.verdict.converged, "{label}");
        assert!(gap(&a, &b) < SAME, "{label}: {} standard errors", gap(&a, &b));
        assert!((a.loglik - b.loglik).abs() < 1e-7, "{label}: {} {}", a.loglik, b.loglik);
        assert_eq!((a.draws_se, a.loglik_se), (0.0, 0.0));
    });
}

#[test]
fn iterative_fits_are_as_close_to_exact_ones_as_they_say() {
    each_problem(|family, shape| {
        let data = crossed(family, shape, 42);
        let (exact, drawn) = (fit(&data, Engine::Dense), fit(&data, Engine::Iterative));
        let label = format!("{family} {shape:?}");
        assert!(drawn.verdict.converged, "{label}: {:?}, {} left", drawn.reason, drawn.verdict.loglik_left);
        assert!(drawn.draws_se > 0.0 && drawn.loglik_se > 0.0, "{label}");
        let found = gap(&exact, &drawn);
        // Where few rows weigh most, the fit itself says that the draws do not suffice.
        assert!(found < PROMISED || drawn.draws_se > PROMISED, "{label}: {found} standard errors");
        assert!(found < CHANCE * drawn.draws_se, "{label}: {found}, stated {}", drawn.draws_se);
        let (left, stated) = ((exact.loglik - drawn.loglik).abs(), drawn.loglik_se);
        assert!(left < CHANCE * stated + LOGLIK_FLOOR, "{label}: log-likelihood off by {left}, stated {stated}");
        for (a, b) in exact.posterior.modes.iter().zip(&drawn.posterior.modes) {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.01), "{label}");
        }
    });
}

#[test]
fn a_variance_of_zero_is_found_by_every_engine() {
    let mut data = crossed("poisson", Shape::Three, 49);
    // A factor that has nothing to do with the response.
    let mut rng = Random::seed_from_u64(58);
    data.terms[2].codes.iter_mut().for_each(|c| *c = rng.random_range(0..12));
    for engine in [Engine::Dense, Engine::Iterative] {
        let found = fit(&data, engine);
        assert!(found.verdict.converged, "{engine:?}: {:?}", found.reason);
        assert!(found.psi[4].abs() < 1e-3, "{engine:?}: {:?}", found.psi);
        assert!(found.draws_se < PROMISED, "{engine:?}: {}", found.draws_se);
    }
}

#[test]
fn iterative_fits_repeat_bit_for_bit() {
    let data = crossed("poisson", Shape::Two, 43);
    let mut problem = Problem::new(data, &with(Engine::Iterative)).unwrap();
    let mut run = || problem.fit(None, &mut |_, _, _, _| true).unwrap();
    let (a, b) = (run(), run());
    assert_eq!((a.psi, a.loglik, a.draws_se), (b.psi, b.loglik, b.draws_se));
}

#[test]
fn the_order_of_terms_does_not_matter() {
    let data = crossed("binomial", Shape::Three, 44);
    let mut turned = data.clone();
    turned.terms.rotate_left(1);
    for engine in [Engine::Dense, Engine::Sparse] {
        let (a, b) = (fit(&data, engine), fit(&turned, engine));
        assert!((a.loglik - b.loglik).abs() < 1e-7, "{engine:?}: {} {}", a.loglik, b.loglik);
    }
}

#[test]
fn small_models_are_dense_and_large_ones_iterative() {
    let plan = |data: &Data| Crossed::new(data, Engine::Auto).unwrap().plan().engine();
    let mut data = crossed("poisson", Shape::Two, 45);
    assert_eq!(plan(&data), Engine::Dense);
    let mut rng = Random::seed_from_u64(46);
    let n = 60_000;
    for (term, levels) in data.terms.iter_mut().zip([8_000, 6_000]) {
        term.codes = (0..n).map(|_| rng.random_range(0..levels as u32)).collect();
        term.levels = levels;
    }
    data.y = vec![1.0; n];
    data.predictors[0].columns.truncate(1);
    assert_eq!(plan(&data), Engine::Iterative);
    // Nested: the same sizes, but a sparse factor has no fill.
    let within: Vec<u32> = data.terms[0].codes.iter().map(|g| g * 3 / 4).collect();
    data.terms[1].codes = within;
    assert_eq!(plan(&data), Engine::Sparse);
}

#[test]
fn engines_that_do_not_apply_are_refused_with_the_reason() {
    let why = |data: &Data| match Problem::new(data.clone(), &with(Engine::Iterative)).map(|_| ()) {
        Err(Error::Engine { name: "iterative", why }) => why,
        other => panic!("{other:?}"),
    };
    let mut data = crossed("poisson", Shape::Two, 47);
    data.family = family::lookup("binomial", Some("cauchit")).unwrap();
    data.y.iter_mut().for_each(|y| *y = y.min(1.0));
    assert!(why(&data).contains("concave"));
    data.terms.truncate(1);
    assert!(why(&data).contains("one grouping factor"));
    data.terms.clear();
    assert!(why(&data).contains("no random effects"));
}

#[test]
fn objectives_of_all_exact_engines_have_one_posterior() {
    let data = crossed("poisson", Shape::Slopes, 48);
    let psi: Vec<f64> = {
        let layout = data.layout();
        let mut psi = vec![0.1; layout.total];
        for (term, range) in data.terms.iter().zip(&layout.theta) {
            psi[range.clone()].copy_from_slice(&term.structure.start(0.4));
        }
        psi
    };
    let posterior = |engine| {
        let mut objective = Crossed::new(&data, engine).unwrap();
        objective.evaluate(&psi, glimm_core::objective::Order::Gradient, 1e-20).unwrap();
        objective.accept();
        objective.posterior()
    };
    let (a, b) = (posterior(Engine::Dense), posterior(Engine::Sparse));
    for (a, b) in a.covariances.iter().chain(&a.modes).zip(b.covariances.iter().chain(&b.modes)) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
