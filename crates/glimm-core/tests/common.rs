//! Data and numerical derivatives for the tests.
#![allow(dead_code)]

use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family::{self, Random};
use glimm_core::objective::{Evaluation, Objective, Order};
use glimm_core::structure;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Which random effects a test problem has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    None,
    Intercept,
    Slope,
    Diagonal,
    Three,
    TwoTerms,
    Nested,
    Crossed,
    CrossedSlopes,
}

pub const ONE_FACTOR: [Shape; 5] = [Shape::Intercept, Shape::Slope, Shape::Diagonal, Shape::Three, Shape::TwoTerms];
pub const SPARSE: [Shape; 3] = [Shape::Nested, Shape::Crossed, Shape::CrossedSlopes];

/// The salamander matings of McCullagh and Nelder (1989, section 14.5).
pub fn salamanders() -> Data {
    let text = include_str!("../../../tests/reference/cases/salamander_mating/data.csv");
    let fields: Vec<Vec<&str>> = text.lines().skip(1).map(|l| l.split(',').collect()).collect();
    let number = |k: usize| fields.iter().map(|f| f[k].parse::<u32>().unwrap()).collect::<Vec<u32>>();
    let cross = |name: &str| Column::new(fields.iter().map(|f| f64::from(u8::from(f[1] == name))).collect());
    let term = |k: usize| Term {
        codes: number(k).iter().map(|c| c - 1).collect(),
        levels: 60,
        columns: vec![Column::One],
        predictors: vec![0],
        structure: structure::lookup("us", 1).unwrap(),
        prior: None,
        also: Vec::new(),
    };
    Data {
        family: family::lookup("binomial", None).unwrap(),
        y: number(4).iter().map(|y| f64::from(*y)).collect(),
        size: None,
        freq: None,
        predictors: vec![Predictor::new(["RR", "RW", "WR", "WW"].map(cross).to_vec(), None)],
        terms: vec![term(2), term(3)],
        copies: None,
        constants: None,
    }
}

pub fn normal(rng: &mut Random) -> f64 {
    StandardNormal.sample(rng)
}

fn term(codes: &[u32], levels: usize, columns: Vec<Column>, name: &str) -> Term {
    let structure = structure::lookup(name, columns.len()).unwrap();
    Term {
        codes: codes.to_vec(),
        levels,
        predictors: vec![0; columns.len()],
        columns,
        structure,
        prior: None,
        also: Vec::new(),
    }
}

fn terms(shape: Shape, x: &[f64], w: &[f64], rng: &mut Random) -> Vec<Term> {
    let n = x.len();
    let g: Vec<u32> = (0..n).map(|_| rng.random_range(0..9)).collect();
    let h: Vec<u32> = (0..n).map(|_| rng.random_range(0..6)).collect();
    let within: Vec<u32> = g.iter().map(|g| g * 3 + rng.random_range(0..3)).collect();
    let (one, slope) = (|| vec![Column::One], || vec![Column::One, Column::of(x.to_vec())]);
    match shape {
        Shape::None => vec![],
        Shape::Intercept => vec![term(&g, 9, one(), "us")],
        Shape::Slope => vec![term(&g, 9, slope(), "us")],
        Shape::Diagonal => vec![term(&g, 9, slope(), "diag")],
        Shape::Three => {
            let mut columns = slope();
            columns.push(Column::of(w.to_vec()));
            vec![term(&g, 9, columns, "us")]
        }
        Shape::TwoTerms => {
            vec![term(&g, 9, one(), "us"), term(&g, 9, vec![Column::of(x.to_vec())], "us")]
        }
        Shape::Nested => vec![term(&g, 9, one(), "us"), term(&within, 27, one(), "us")],
        Shape::Crossed => vec![term(&g, 9, one(), "us"), term(&h, 6, one(), "us")],
        Shape::CrossedSlopes => {
            let third: Vec<u32> = (0..n).map(|_| rng.random_range(0..4)).collect();
            vec![
                term(&g, 9, slope(), "us"),
                term(&h, 6, slope(), "diag"),
                term(&third, 4, vec![Column::of(w.to_vec())], "us"),
            ]
        }
    }
}

/// A predictor of a harmless mean: away from zero where that is the end of the range.
fn base(name: &str, link: &str) -> f64 {
    let positive = !matches!(name, "gaussian" | "student_t" | "skewnormal");
    match link {
        "inverse" | "1/mu^2" | "sqrt" => 2.0,
        "identity" if positive => 2.0,
        _ if link.starts_with("power") => 2.0,
        _ => 0.2,
    }
}

/// A small problem with offsets, frequency weights and trials where the family takes them.
pub fn problem(name: &str, link: &str, shape: Shape, seed: u64) -> Data {
    let family = family::lookup(name, Some(link)).unwrap();
    let mut rng = Random::seed_from_u64(seed);
    let n = 70;
    let x: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
    let w: Vec<f64> = (0..n).map(|_| rng.random_range(0.0..1.0)).collect();
    let trials = family::families().iter().any(|f| f.name == name && f.trials);
    let size: Option<Vec<f64>> = trials.then(|| (0..n).map(|_| f64::from(rng.random_range(1..6))).collect());
    let base = base(name, link);
    let y = (0..n)
        .map(|i| {
            let eta = [base + 0.1 * x[i], -0.3, 0.3, 0.2];
            let s = size.as_ref().map_or(1.0, |s| s[i]);
            family.draw(&mut rng, s, &eta[..family.predictors()])
        })
        .collect();
    let offset = Some((0..n).map(|_| 0.1 * normal(&mut rng)).collect());
    let mut predictors = vec![Predictor::new(vec![Column::One, Column::of(x.clone())], offset)];
    for _ in family.parameters() {
        predictors.push(Predictor::new(vec![Column::One], None));
    }
    let freq = Some((0..n).map(|_| f64::from(rng.random_range(1..4))).collect());
    let terms = terms(shape, &x, &w, &mut rng);
    Data { family, y, size, freq, predictors, terms, copies: None, constants: None }
}

/// The same with rows of three families in turn.
pub fn mixed(shape: Shape, seed: u64) -> Data {
    let mut data = problem("nbinom2", "log", shape, seed);
    let members = ["nbinom2", "poisson", "gaussian"].map(|name| family::lookup(name, None).unwrap());
    data.family = Arc::new(family::Mixed::new(members.to_vec()).unwrap());
    let codes = (0..data.n()).map(|i| (i % 3) as f64).collect();
    data.predictors.push(Predictor::new(Vec::new(), Some(codes)));
    data
}

/// A point near which the problem is well behaved.
pub fn point(data: &Data, seed: u64) -> Vec<f64> {
    let mut rng = Random::seed_from_u64(seed);
    let layout = data.layout();
    let base = base(data.family.name(), &data.family.link().name());
    let scale = if base > 1.0 { 0.05 } else { 0.3 };
    let mut psi: Vec<f64> = (0..layout.total).map(|_| scale * normal(&mut rng)).collect();
    psi[0] += base;
    for (t, range) in data.terms.iter().zip(&layout.theta) {
        let start = t.structure.start(scale);
        range.clone().zip(start).for_each(|(j, s)| psi[j] = 0.5 * psi[j] + s);
    }
    psi
}

/// The fourth-order Richardson extrapolation of central differences of a vector function.
pub fn richardson(f: &mut dyn FnMut(f64) -> Vec<f64>, h: f64) -> Vec<f64> {
    let mut central = |h: f64| -> Vec<f64> {
        let (up, down) = (f(h), f(-h));
        up.iter().zip(&down).map(|(a, b)| (a - b) / (2.0 * h)).collect()
    };
    let (a, b, c) = (central(h), central(h / 2.0), central(h / 4.0));
    (0..a.len())
        .map(|i| {
            let (ab, bc) = ((4.0 * b[i] - a[i]) / 3.0, (4.0 * c[i] - b[i]) / 3.0);
            (16.0 * bc - ab) / 15.0
        })
        .collect()
}

/// Largest difference relative to the largest size.
pub fn relative(a: &[f64], b: &[f64]) -> f64 {
    let size = a.iter().chain(b).fold(1.0_f64, |m, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0_f64, |m, (x, y)| m.max((x - y).abs())) / size
}

pub fn evaluate(objective: &mut dyn Objective, psi: &[f64], order: Order) -> Evaluation {
    objective.reset();
    objective.evaluate(psi, order, 1e-22).expect("a value at a harmless point")
}

/// Gradient against differences of the value, Hessian against differences of the gradient. Where the first steps are
/// too long for the function's higher derivatives, shorter ones must agree.
pub fn check_derivatives(objective: &mut dyn Objective, psi: &[f64], label: &str) {
    let at = evaluate(objective, psi, Order::Hessian);
    let hessian = at.hessian.expect("asked for");
    let mut errors = [f64::INFINITY; 2];
    for step in [0.005, 0.002] {
        let (g, h) = differences(objective, psi, step);
        errors[0] = errors[0].min(relative(&at.gradient, &g));
        errors[1] = errors[1].min(relative(&hessian, &h));
        if errors.iter().all(|e| *e < 1e-8) {
            return;
        }
    }
    panic!("{label}: gradient off by {:e}, Hessian by {:e}", errors[0], errors[1]);
}

/// Gradient and Hessian by Richardson-extrapolated differences.
fn differences(objective: &mut dyn Objective, psi: &[f64], step: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut gradient, mut hessian) = (Vec::new(), Vec::new());
    for j in 0..psi.len() {
        let mut both = |h: f64| {
            let mut moved = psi.to_vec();
            moved[j] += h;
            let e = evaluate(objective, &moved, Order::Gradient);
            [vec![e.value], e.gradient].concat()
        };
        let d = richardson(&mut both, step);
        gradient.push(d[0]);
        hessian.extend_from_slice(&d[1..]);
    }
    (gradient, hessian)
}
