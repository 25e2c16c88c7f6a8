//! Quadrature of one grouping factor: identities, derivatives, brute force.

mod common;

use common::*;
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::integration::Rule;
use glimm_core::objective::block::Block;
use glimm_core::objective::{Objective, Order, Quadrature, Units};

const FAMILIES: [(&str, &str); 5] =
    [("binomial", "logit"), ("poisson", "log"), ("nbinom2", "log"), ("gamma", "log"), ("beta", "logit")];

fn with_rule(data: &Data, psi: &[f64], rule: Rule) -> Block {
    let mut block = Block::new(data);
    block.choose(psi, rule).unwrap();
    block
}

#[test]
fn one_node_is_laplace() {
    for (name, link) in FAMILIES {
        for shape in ONE_FACTOR {
            let data = problem(name, link, shape, 11);
            let psi = point(&data, 5);
            let laplace = evaluate(&mut Block::new(&data), &psi, Order::Gradient);
            let one = evaluate(&mut with_rule(&data, &psi, Rule::Gauss(1)), &psi, Order::Gradient);
            assert!(relative(&[laplace.value], &[one.value]) < 1e-13, "{name} {shape:?}");
            assert!(relative(&laplace.gradient, &one.gradient) < 1e-12, "{name} {shape:?}");
        }
    }
}

#[test]
fn gradients_of_every_rule_match_differences() {
    for (name, link) in FAMILIES {
        for shape in ONE_FACTOR {
            let data = problem(name, link, shape, 11);
            let psi = point(&data, 5);
            let rules = [Rule::Gauss(3), Rule::Gauss(4), Rule::Adaptive(1e-3)];
            for rule in rules.into_iter().filter(|r| shape != Shape::Three || *r != Rule::Adaptive(1e-3)) {
                let mut block = with_rule(&data, &psi, rule);
                check_gradient(&mut block, &psi, &format!("{name} {shape:?} {rule:?}"));
            }
        }
    }
}

/// Second derivatives at fixed nodes are those of the objective once the rule has converged.
#[test]
fn hessians_of_converged_rules_match_differences() {
    for (name, link) in FAMILIES {
        for shape in [Shape::Intercept, Shape::Slope, Shape::Diagonal, Shape::TwoTerms] {
            let data = problem(name, link, shape, 11);
            let psi = point(&data, 5);
            let mut block = with_rule(&data, &psi, Rule::Adaptive(1e-11));
            check_derivatives(&mut block, &psi, &format!("{name} {shape:?}"));
        }
    }
}

fn check_gradient(objective: &mut dyn Objective, psi: &[f64], label: &str) {
    let at = evaluate(objective, psi, Order::Gradient);
    let error = |step: f64| {
        let differences: Vec<f64> = (0..psi.len())
            .map(|j| {
                let mut value = |h: f64| {
                    let mut moved = psi.to_vec();
                    moved[j] += h;
                    vec![evaluate(objective, &moved, Order::Gradient).value]
                };
                richardson(&mut value, step)[0]
            })
            .collect();
        relative(&at.gradient, &differences)
    };
    let least = [0.005, 0.002].map(error).into_iter().fold(f64::INFINITY, f64::min);
    assert!(least < 1e-8, "{label}: {least:e}");
}

/// One cluster with a random intercept of standard deviation `sd`.
fn cluster(family: &str, rows: f64, sum: f64, offset: f64) -> Data {
    let counts = family == "poisson";
    let (y, freq) = if counts { (vec![sum / rows], vec![rows]) } else { (vec![1.0, 0.0], vec![sum, rows - sum]) };
    let kept: Vec<usize> = (0..y.len()).filter(|&i| freq[i] > 0.0).collect();
    let pick = |v: &[f64]| kept.iter().map(|&i| v[i]).collect::<Vec<f64>>();
    let n = kept.len();
    Data {
        family: glimm_core::family::lookup(family, None).unwrap(),
        y: pick(&y),
        size: (!counts).then(|| vec![1.0; n]),
        freq: Some(pick(&freq)),
        predictors: vec![Predictor::new(vec![], Some(vec![offset; n]))],
        terms: vec![Term {
            codes: vec![0; n],
            levels: 1,
            predictors: vec![0],
            columns: vec![Column::One],
            structure: glimm_core::structure::lookup("us", 1).unwrap(),
            prior: None,
            also: Vec::new(),
        }],
        copies: None,
        constants: None,
    }
}

/// The same data with every row as often as its weight says.
fn apart(data: &Data) -> Data {
    let freq = data.freq.as_ref().unwrap();
    let each = |v: &[f64]| v.iter().zip(freq).flat_map(|(v, f)| vec![*v; *f as usize]).collect::<Vec<f64>>();
    let column = |c: &Column| match c {
        Column::One => Column::One,
        Column::Values(v) => Column::of(each(v)),
    };
    let (term, predictor) = (&data.terms[0], &data.predictors[0]);
    let n = freq.iter().sum::<f64>() as usize;
    Data {
        family: data.family.clone(),
        y: each(&data.y),
        size: None,
        freq: None,
        predictors: vec![Predictor::new(vec![], predictor.offset.as_deref().map(each))],
        terms: vec![Term {
            codes: vec![0; n],
            columns: term.columns.iter().map(column).collect(),
            predictors: term.predictors.clone(),
            structure: term.structure.clone(),
            prior: None,
            also: Vec::new(),
            ..*term
        }],
        copies: None,
        constants: None,
    }
}

/// Weighted rows and rows one by one take different ways through an integrand.
#[test]
fn weights_are_repeated_rows_for_every_rule() {
    for (family, intercept_first) in [("binomial", true), ("binomial", false), ("poisson", true)] {
        let mut data = cluster(family, 12.0, 5.0, -0.7);
        let counts = family == "poisson";
        (data.y, data.freq) = (vec![1.0, 0.0, 0.0, 1.0], Some(vec![3.0, 2.0, 3.0, 4.0]));
        data.size = (!counts).then(|| vec![1.0; 4]);
        data.predictors = vec![Predictor::new(vec![], Some(vec![-0.7, 0.1, 0.4, -1.2]))];
        let slope = Column::of(vec![0.3, -1.1, 0.8, 1.9]);
        data.terms[0].codes = vec![0; 4];
        data.terms[0].columns = if intercept_first { vec![Column::One, slope] } else { vec![slope, Column::One] };
        data.terms[0].predictors = vec![0, 0];
        data.terms[0].structure = glimm_core::structure::lookup("us", 2).unwrap();
        let same = apart(&data);
        for psi in [[1.2, 0.5, 0.9], [4.0, -3.0, 0.0], [2.0, 0.0, 1e-3]] {
            for rule in [Rule::Reference(1e-9), Rule::Adaptive(1e-7)] {
                let value = |data: &Data| {
                    let mut block = Block::new(data);
                    let stated = block.choose(&psi, rule).unwrap().error;
                    (block.evaluate(&psi, Order::Gradient, 1e-14).unwrap().value, stated)
                };
                let ((one, e1), (two, e2)) = (value(&data), value(&same));
                assert!((one - two).abs() <= e1 + e2 && e1 + e2 < 1e-5, "{family} {psi:?} {rule:?}: {one} {two}");
            }
        }
    }
}

const RULES: [Rule; 3] = [Rule::Reference(1e-10), Rule::Adaptive(1e-10), Rule::Adaptive(1e-6)];
/// Rows that are also integrated one by one.
const MOST_SINGLE: f64 = 1000.0;

/// Cases of `tests/reference/integrals`, in 50-digit arithmetic: no stated error may be below the true one.
#[test]
fn stated_errors_hold_against_fifty_digits() {
    let table = include_str!("../../../tests/reference/integrals/integrals.csv");
    let (mut cases, mut worst) = (0, 0.0_f64);
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [rows, sum, sd, offset, truth] = [1, 2, 3, 4, 5].map(|i| fields[i].parse::<f64>().unwrap());
        let counts = fields[0] == "poisson";
        let factorials = if counts { rows * glimm_core::special::lgamma(sum / rows + 1.0) } else { 0.0 };
        let merged = cluster(fields[0], rows, sum, offset);
        let single = (rows <= MOST_SINGLE).then(|| apart(&merged));
        for (data, rule) in std::iter::once(&merged).chain(&single).flat_map(|data| RULES.map(|rule| (data, rule))) {
            let mut block = Block::new(data);
            let stated = block.choose(&[sd], rule).unwrap_or_else(|e| panic!("{line}: {e:?}")).error;
            let value = block.evaluate(&[sd], Order::Gradient, 1e-14).unwrap().value + factorials;
            let error = (value - truth).abs();
            assert!(error <= stated, "{line} {rule:?}: {value}, off by {error:e}, stated {stated:e}");
            assert!(stated < 1e-5 + 1e-13 * truth.abs(), "{line} {rule:?}: stated {stated:e}");
            worst = worst.max(error / (1.0 + truth.abs()));
            // The reference is kept with nodes that were held against it, and given once.
            let kept = block.by_reference(&[sd]).map(Result::unwrap);
            assert_eq!(kept.is_some(), matches!(rule, Rule::Adaptive(_)), "{line} {rule:?}");
            if let Some((reference, stated)) = kept {
                let error = (reference.value + factorials - truth).abs();
                assert!(error <= stated, "{line} {rule:?}: the reference is off by {error:e}, stated {stated:e}");
                assert!(block.by_reference(&[sd]).is_none());
            }
        }
        cases += 1;
    }
    println!("{cases} integrals, largest relative error {worst:e}");
    assert!(cases > 500);
}
