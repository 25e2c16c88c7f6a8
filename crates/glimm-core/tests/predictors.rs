//! Several linear predictors: random effects in each, effects correlated across them, ordered classes.

mod common;

use std::sync::Arc;

use common::*;
use glimm_core::design::{Column, Data, Predictor, Term, thresholds};
use glimm_core::family::{self, Family, Random, ZeroInflated};
use glimm_core::fit::{Options, Problem};
use glimm_core::integration::Integration;
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Objective, Order};
use glimm_core::structure;
use rand::{RngExt, SeedableRng};

/// Zero-inflated nbinom2: a slope in each predictor, effects of the mean and of the zeros correlated by
/// group `g`, and effects of the dispersion by `h`.
fn mixed(crossed: bool) -> Data {
    let mut rng = Random::seed_from_u64(5);
    let n = 160;
    let x: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
    let family: Arc<dyn Family> = Arc::new(ZeroInflated::new(family::lookup("nbinom2", None).unwrap()));
    let y = (0..n).map(|i| family.draw(&mut rng, 1.0, &[0.9 + 0.3 * x[i], 0.8, -0.9])).collect();
    let columns = || vec![Column::One, Column::of(x.clone())];
    let predictors = (0..3).map(|_| Predictor::new(columns(), None)).collect();
    let g: Vec<u32> = (0..n).map(|_| rng.random_range(0..12)).collect();
    let h: Vec<u32> = (0..n).map(|_| rng.random_range(0..7)).collect();
    let joint = Term {
        codes: g.clone(),
        levels: 12,
        columns: vec![Column::of(x.clone()), Column::One, Column::One],
        predictors: vec![0, 0, 2],
        structure: structure::lookup("us", 3).unwrap(),
        prior: None,
        also: Vec::new(),
    };
    let (codes, levels) = if crossed { (h, 7) } else { (g, 12) };
    let dispersion = Term {
        codes,
        levels,
        columns: vec![Column::One],
        predictors: vec![1],
        structure: structure::lookup("us", 1).unwrap(),
        prior: None,
        also: Vec::new(),
    };
    let freq = Some((0..n).map(|_| f64::from(rng.random_range(1..3))).collect());
    Data { family, y, size: None, freq, predictors, terms: vec![joint, dispersion], copies: None, constants: None }
}

/// Four ordered classes with a slope by group, and a second factor.
fn classes(crossed: bool, link: &str) -> Data {
    let mut rng = Random::seed_from_u64(9);
    let n = 150;
    let x: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
    let family = family::lookup("ordinal", Some(link)).unwrap();
    let y: Vec<f64> = (0..n).map(|i| family.draw(&mut rng, 4.0, &[0.5 * x[i], -1.0, 0.1, 1.2])).collect();
    let mut predictors = vec![Predictor::new(vec![Column::of(x.clone())], None)];
    predictors.extend(thresholds(&y, 4));
    let mut terms = Vec::new();
    for (levels, q) in [(11, 2), (6, 1)].into_iter().take(if crossed { 2 } else { 1 }) {
        let codes = (0..n).map(|_| rng.random_range(0..levels)).collect();
        let columns: Vec<Column> = vec![Column::of(x.clone()), Column::One].split_off(2 - q);
        let structure = structure::lookup("us", q).unwrap();
        terms.push(Term {
            codes,
            levels: levels as usize,
            predictors: vec![0; q],
            columns,
            structure,
            prior: None,
            also: Vec::new(),
        });
    }
    Data { family, y, size: Some(vec![4.0; n]), freq: None, predictors, terms, copies: None, constants: None }
}

fn at(data: &Data) -> Vec<f64> {
    let (layout, mut rng) = (data.layout(), Random::seed_from_u64(3));
    let mut psi: Vec<f64> = (0..layout.total).map(|_| 0.2 * normal(&mut rng)).collect();
    if data.family.ordered() {
        layout.beta[1].clone().zip([-1.0, 0.2, 1.1]).for_each(|(j, t)| psi[j] = t);
    } else {
        [0.8, 0.7, -0.8].iter().zip(&layout.beta).for_each(|(b, range)| psi[range.start] = *b);
    }
    for (t, range) in data.terms.iter().zip(&layout.theta) {
        range.clone().zip(t.structure.start(0.4)).for_each(|(j, s)| psi[j] = 0.3 * psi[j] + s);
    }
    psi
}

fn all() -> Vec<(&'static str, bool, Data)> {
    let mut list = vec![("zero inflated", false, mixed(false)), ("zero inflated", true, mixed(true))];
    for link in ["logit", "probit", "cloglog"] {
        list.push((link, false, classes(false, link)));
    }
    list.push(("logit", true, classes(true, "logit")));
    list
}

#[test]
fn derivatives_match_differences() {
    for (label, crossed, data) in all() {
        let psi = at(&data);
        if crossed {
            check_derivatives(&mut Crossed::new(&data, Engine::Dense).unwrap(), &psi, &format!("dense {label}"));
        } else {
            check_derivatives(&mut Block::new(&data), &psi, &format!("block {label}"));
        }
        check_derivatives(&mut Crossed::new(&data, Engine::Sparse).unwrap(), &psi, &format!("sparse {label}"));
    }
}

#[test]
fn engines_agree() {
    for (label, crossed, data) in all() {
        let psi = at(&data);
        let mut one: Box<dyn Objective> =
            if crossed { Box::new(Crossed::new(&data, Engine::Dense).unwrap()) } else { Box::new(Block::new(&data)) };
        let a = evaluate(one.as_mut(), &psi, Order::Hessian);
        let b = evaluate(&mut Crossed::new(&data, Engine::Sparse).unwrap(), &psi, Order::Hessian);
        assert!(relative(&[a.value], &[b.value]) < 1e-12, "{label} {} {}", a.value, b.value);
        assert!(relative(&a.gradient, &b.gradient) < 1e-10, "{label}");
        assert!(relative(&a.hessian.unwrap(), &b.hessian.unwrap()) < 1e-9, "{label}");
    }
}

/// One column in two predictors with one coefficient is the sum of two directions.
#[test]
fn shared_coefficients_are_one_parameter() {
    let data = classes(false, "logit");
    let layout = data.layout();
    assert_eq!(layout.beta[1], layout.beta[2]);
    assert_eq!(layout.fixed(), 1 + 3);
}

#[test]
fn fits_reach_the_maximum() {
    for (label, _, data) in all() {
        let options = Options { integration: Integration::Laplace, ..Options::default() };
        let mut problem = Problem::new(data, &options).unwrap();
        let fitted = problem.fit(None, &mut |_, _, _, _| true).unwrap();
        assert!(fitted.verdict.converged, "{label} {:?} {}", fitted.reason, fitted.verdict.se_moved);
        let (value, gradient) = problem.evaluate(&fitted.psi).unwrap().unwrap();
        assert!((value - fitted.loglik).abs() < 1e-9 * value.abs(), "{label} {value} {}", fitted.loglik);
        let p = gradient.len();
        for (j, g) in gradient.iter().enumerate() {
            let se = fitted.verdict.covariance[j * p + j].sqrt();
            assert!((g * se).abs() < 1e-3 || !se.is_finite(), "{label} {j} {g} {se}");
        }
    }
}

/// The same to the maximum of the likelihood itself, with effects in up to three predictors.
#[test]
fn corrected_fits_say_how_sure_they_are() {
    for (label, _, data) in all().into_iter().filter(|(_, crossed, _)| *crossed) {
        let fitted = Problem::new(data, &Options::default()).unwrap().fit(None, &mut |_, _, _, _| true).unwrap();
        assert!(fitted.verdict.converged, "{label}");
        assert!(fitted.certificate.loglik_error < 0.5, "{label} {:?}", fitted.certificate);
    }
}
