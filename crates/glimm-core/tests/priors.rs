//! Known precision over levels, and rows that belong to several: identities, an equivalent dense model, derivatives.

mod common;

use std::sync::Arc;

use common::{check_derivatives, evaluate, normal, relative};
use glimm_core::design::{Column, Data, Membership, Predictor, Term};
use glimm_core::family::{self, Random};
use glimm_core::objective::crossed::{Crossed, Engine, Restricted};
use glimm_core::objective::lmm::Lmm;
use glimm_core::objective::{Objective, Order};
use glimm_core::precision::Precision;
use glimm_core::structure;
use rand::{RngExt, SeedableRng};

/// Two ways to the same number, both in double precision.
const SAME: f64 = 1e-10;
const LEVELS: usize = 14;
const N: usize = 60;

type Triangle = (Vec<usize>, Vec<usize>, Vec<f64>);

/// I + sum of dyads of a few levels: sparse and positive definite.
fn dense(rng: &mut Random) -> Vec<f64> {
    let mut p: Vec<f64> = (0..LEVELS * LEVELS).map(|k| f64::from(u8::from(k / LEVELS == k % LEVELS)) * 0.7).collect();
    for j in 2..LEVELS {
        let (a, b) = (rng.random_range(0..j), rng.random_range(0..j));
        let mut x = [0.0; LEVELS];
        (x[j], x[a]) = (1.0, -0.5);
        x[b] -= 0.4;
        (0..LEVELS * LEVELS).for_each(|k| p[k] += 1.3 * x[k / LEVELS] * x[k % LEVELS]);
    }
    p
}

fn triangle(p: &[f64]) -> Triangle {
    let (mut starts, mut rows, mut values) = (vec![0], Vec::new(), Vec::new());
    for j in 0..LEVELS {
        for i in j..LEVELS {
            if i == j || p[i * LEVELS + j] != 0.0 {
                rows.push(i);
                values.push(p[i * LEVELS + j]);
            }
        }
        starts.push(rows.len());
    }
    (starts, rows, values)
}

fn precision(p: &[f64]) -> Arc<Precision> {
    let (starts, rows, values) = triangle(p);
    Arc::new(Precision::new(LEVELS, starts, rows, values, Vec::new()).unwrap())
}

fn identity() -> Vec<f64> {
    (0..LEVELS * LEVELS).map(|k| f64::from(u8::from(k / LEVELS == k % LEVELS))).collect()
}

struct Rows {
    codes: Vec<u32>,
    other: Vec<u32>,
    x: Vec<f64>,
    rng: Random,
}

/// Levels 10 and above have no rows.
fn rows(seed: u64) -> Rows {
    let mut rng = Random::seed_from_u64(seed);
    let codes = (0..N).map(|_| rng.random_range(0..10)).collect();
    let other = (0..N).map(|_| rng.random_range(2..12)).collect();
    let x = (0..N).map(|_| normal(&mut rng)).collect();
    Rows { codes, other, x, rng }
}

fn data(name: &str, terms: Vec<Term>, rows: &mut Rows) -> Data {
    let family = family::lookup(name, None).unwrap();
    let size = (name == "binomial").then(|| vec![4.0; N]);
    let y =
        (0..N).map(|i| family.draw(&mut rows.rng, 4.0, &[0.4 + 0.2 * rows.x[i], 0.3][..family.predictors()])).collect();
    let mut predictors = vec![Predictor::new(vec![Column::One, Column::of(rows.x.clone())], None)];
    family.parameters().iter().for_each(|_| predictors.push(Predictor::new(vec![Column::One], None)));
    Data { family, y, size, freq: None, predictors, terms, copies: None, constants: None }
}

fn us(codes: &[u32], columns: Vec<Column>, predictors: Vec<usize>) -> Term {
    let structure = structure::lookup("us", columns.len()).unwrap();
    Term::new(codes.to_vec(), LEVELS, columns, predictors, structure)
}

fn point(data: &Data) -> Vec<f64> {
    let total = data.layout().total;
    (0..total).map(|j| 0.3 + 0.05 * j as f64 * if j % 2 == 0 { 1.0 } else { -1.0 }).collect()
}

fn sparse(data: &Data) -> Crossed {
    Crossed::new(data, Engine::Sparse).unwrap()
}

fn compare(a: &mut dyn Objective, b: &mut dyn Objective, psi: &[f64], label: &str) {
    let (a, b) = (evaluate(a, psi, Order::Hessian), evaluate(b, psi, Order::Hessian));
    assert!((a.value - b.value).abs() < SAME * a.value.abs(), "{label}: {} {}", a.value, b.value);
    assert!(relative(&a.gradient, &b.gradient) < SAME, "{label}: gradient {:?} {:?}", a.gradient, b.gradient);
    let both = (a.hessian.unwrap(), b.hessian.unwrap());
    assert!(relative(&both.0, &both.1) < 100.0 * SAME, "{label}: Hessian {:?} {:?}", both.0, both.1);
}

#[test]
fn the_identity_is_no_prior() {
    for name in ["poisson", "binomial", "gaussian"] {
        let mut rows = rows(1);
        let slope = vec![Column::of(rows.x.clone()), Column::One];
        let plain = us(&rows.codes, slope, vec![0, 0]);
        let tied = Term { prior: Some(precision(&identity())), ..plain.clone() };
        let data = data(name, vec![plain], &mut rows);
        let prior = Data { terms: vec![tied], ..data.clone() };
        let psi = point(&data);
        compare(&mut sparse(&data), &mut sparse(&prior), &psi, name);
        if name == "gaussian" {
            for reml in [false, true] {
                let (mut a, mut b) = (Lmm::new(&data, reml).unwrap(), Lmm::new(&prior, reml).unwrap());
                compare(&mut a, &mut b, &psi[3..], "linear");
            }
        }
    }
}

/// L^-T of P = L L', by columns of effects: Z L^-T are columns of independent effects.
fn whitened(p: &[f64], z: &dyn Fn(usize, usize) -> f64) -> Vec<Column> {
    let mut l = p.to_vec();
    assert!(glimm_core::linalg::dense::cholesky(&mut l, LEVELS));
    let mut columns = vec![vec![0.0; N]; LEVELS];
    for i in 0..N {
        // x'L^-T = (L^-1 x)'
        let mut x: Vec<f64> = (0..LEVELS).map(|g| z(i, g)).collect();
        for r in 0..LEVELS {
            let below: f64 = (0..r).map(|k| l[r * LEVELS + k] * x[k]).sum();
            x[r] = (x[r] - below) / l[r * LEVELS + r];
        }
        x.iter().enumerate().for_each(|(g, x)| columns[g][i] = *x);
    }
    columns.into_iter().map(Column::of).collect()
}

fn one_level(columns: Vec<Column>) -> Term {
    let q = columns.len();
    Term::new(vec![0; N], 1, columns, vec![0; q], structure::lookup("homdiag", q).unwrap())
}

#[test]
fn a_precision_is_a_change_of_columns() {
    for name in ["poisson", "binomial", "gaussian"] {
        let mut rows = rows(2);
        let p = dense(&mut rows.rng);
        let codes = rows.codes.clone();
        let whitened = one_level(whitened(&p, &|i, g| f64::from(u8::from(codes[i] as usize == g))));
        let term = Term { prior: Some(precision(&p)), ..us(&codes, vec![Column::One], vec![0]) };
        let data = data(name, vec![term], &mut rows);
        let dense = Data { terms: vec![whitened], ..data.clone() };
        compare(&mut sparse(&data), &mut sparse(&dense), &point(&data), name);
        if name == "gaussian" {
            let (mut a, mut b) = (Lmm::new(&data, true).unwrap(), Lmm::new(&dense, true).unwrap());
            compare(&mut a, &mut b, &[0.8], "linear");
        }
    }
}

fn several(rows: &Rows, prior: Option<Arc<Precision>>) -> Term {
    let weights: Vec<f64> = (0..N).map(|i| 0.2 + 0.1 * (i % 5) as f64).collect();
    let also = vec![Membership { codes: rows.other.clone(), columns: vec![Column::of(weights)] }];
    Term { also, prior, ..us(&rows.codes, vec![Column::One], vec![0]) }
}

#[test]
fn several_memberships_are_columns() {
    for known in [false, true] {
        let mut rows = rows(3);
        let p = if known { dense(&mut rows.rng) } else { identity() };
        let (codes, other) = (rows.codes.clone(), rows.other.clone());
        let z = |i: usize, g: usize| {
            let is = |c: u32| f64::from(u8::from(c as usize == g));
            is(codes[i]) + is(other[i]) * (0.2 + 0.1 * (i % 5) as f64)
        };
        let wide = one_level(whitened(&p, &z));
        let term = several(&rows, known.then(|| precision(&p)));
        for name in ["poisson", "gaussian"] {
            let data = data(name, vec![term.clone()], &mut rows);
            let dense = Data { terms: vec![wide.clone()], ..data.clone() };
            compare(&mut sparse(&data), &mut sparse(&dense), &point(&data), name);
            if name == "gaussian" {
                let (mut a, mut b) = (Lmm::new(&data, false).unwrap(), Lmm::new(&dense, false).unwrap());
                compare(&mut a, &mut b, &[0.8], "linear");
            }
        }
    }
}

/// A pedigree's kind of terms: correlated effects of a row's own level and of another, one covariance.
fn direct_and_maternal(rows: &Rows, prior: Option<Arc<Precision>>) -> Term {
    let none = || Column::of(vec![0.0; N]);
    let also = vec![Membership { codes: rows.other.clone(), columns: vec![none(), Column::One] }];
    Term { also, prior, ..us(&rows.codes, vec![Column::One, none()], vec![0, 0]) }
}

#[test]
fn derivatives_are_exact() {
    for name in ["poisson", "binomial", "gaussian", "nbinom2"] {
        let mut rows = rows(4);
        let known = precision(&dense(&mut rows.rng));
        let slope = vec![Column::of(rows.x.clone()), Column::One];
        let slopes = Term { prior: Some(known.clone()), ..us(&rows.codes, slope, vec![0, 0]) };
        let plain = us(&rows.other, vec![Column::One], vec![0]);
        let crossed = vec![slopes.clone(), plain, several(&rows, None)];
        for (label, terms) in [
            ("slopes", vec![slopes]),
            ("crossed", crossed),
            ("memberships", vec![direct_and_maternal(&rows, Some(known.clone()))]),
        ] {
            let data = data(name, terms, &mut rows);
            check_derivatives(&mut sparse(&data), &point(&data), &format!("{name}, {label}"));
            if name == "gaussian" {
                let count = data.layout().total - 3;
                let psi: Vec<f64> = point(&data)[3..3 + count].to_vec();
                for reml in [false, true] {
                    check_derivatives(&mut Lmm::new(&data, reml).unwrap(), &psi, label);
                }
            }
        }
    }
}

#[test]
fn derivatives_are_exact_in_two_predictors() {
    let mut rows = rows(5);
    let known = precision(&dense(&mut rows.rng));
    let joint = us(&rows.codes, vec![Column::of(rows.x.clone()), Column::One, Column::One], vec![0, 0, 1]);
    let apart = direct_and_maternal(&rows, Some(known.clone()));
    let apart = Term { predictors: vec![0, 1], ..apart };
    for term in [Term { prior: Some(known), ..joint }, apart] {
        let data = data("nbinom2", vec![term], &mut rows);
        check_derivatives(&mut sparse(&data), &point(&data), "two predictors");
    }
}

/// The dense engine eliminates another factor and agrees with the sparse one; the restricted likelihood of gaussian
/// responses is that of the closed form.
#[test]
fn engines_agree() {
    let mut rows = rows(6);
    let known = precision(&dense(&mut rows.rng));
    let related = Term { prior: Some(known), ..us(&rows.codes, vec![Column::One], vec![0]) };
    let plain = us(&rows.other, vec![Column::One], vec![0]);
    let data = data("poisson", vec![related, plain], &mut rows);
    compare(&mut sparse(&data), &mut Crossed::new(&data, Engine::Dense).unwrap(), &point(&data), "engines");
    let alone = Data { terms: data.terms[..1].to_vec(), ..data };
    assert!(Crossed::new(&alone, Engine::Dense).is_err());
    assert!(Crossed::new(&alone, Engine::Iterative).is_err());
}

#[test]
fn restricted_likelihoods_have_exact_derivatives() {
    let mut rows = rows(7);
    let known = precision(&dense(&mut rows.rng));
    let related = Term { prior: Some(known), ..us(&rows.codes, vec![Column::One], vec![0]) };
    let mut data = data("poisson", vec![related, several(&rows, None)], &mut rows);
    let psi = point(&data);
    let mut objective = Restricted::new(&mut data, Engine::Auto).unwrap();
    let gradient = evaluate(&mut objective, &psi, Order::Gradient).gradient;
    for j in 2..psi.len() {
        let mut moved = |h: f64| {
            let mut psi = psi.clone();
            psi[j] += h;
            vec![evaluate(&mut objective, &psi, Order::Gradient).value]
        };
        let d = common::richardson(&mut moved, 0.01)[0];
        assert!((d - gradient[j]).abs() < 1e-8 * (1.0 + d.abs()), "{j}: {d} {}", gradient[j]);
    }
}

#[test]
fn a_precision_knows_its_inverse() {
    let mut rng = Random::seed_from_u64(8);
    let p = dense(&mut rng);
    let known = precision(&p).scaled(4.0);
    let mut x: Vec<f64> = (0..2 * LEVELS).map(|_| normal(&mut rng)).collect();
    let before = x.clone();
    known.times(&mut x, 2);
    known.solve(&mut x, 2);
    assert!(relative(&x, &before) < 1e-12);
    let mut unit = vec![0.0; LEVELS];
    unit[3] = 1.0;
    known.solve(&mut unit, 1);
    assert!((unit[3] - known.variances()[3]).abs() < 1e-13);
    let mut l = p;
    assert!(glimm_core::linalg::dense::cholesky(&mut l, LEVELS));
    let logdet = glimm_core::linalg::dense::cholesky_logdet(&l, LEVELS) + LEVELS as f64 * 4.0_f64.ln();
    assert!((known.log_determinant() - logdet).abs() < 1e-12);
}

/// A ring of levels 0 to 7 and a chain of 8 to 13, whose effects sum to zero each: the precision of differences between
/// neighbours, and what makes it definite without a change to such effects.
fn neighbours() -> Arc<Precision> {
    let mut p = vec![0.0; LEVELS * LEVELS];
    let mut edge = |a: usize, b: usize| {
        (p[a * LEVELS + a], p[b * LEVELS + b]) = (p[a * LEVELS + a] + 1.0, p[b * LEVELS + b] + 1.0);
        (p[a * LEVELS + b], p[b * LEVELS + a]) = (-1.0, -1.0);
    };
    (0..8).for_each(|a| edge(a.min((a + 1) % 8), a.max((a + 1) % 8)));
    (8..13).for_each(|a| edge(a, a + 1));
    for (first, last) in [(0, 8), (8, 14)] {
        for j in first..last {
            p[j * LEVELS + first] += 0.05;
            p[first * LEVELS + j] += 0.05;
        }
    }
    let (starts, rows, values) = triangle(&p);
    Arc::new(Precision::new(LEVELS, starts, rows, values, vec![(0..8).collect(), (8..14).collect()]).unwrap())
}

#[test]
fn effects_of_neighbours_sum_to_zero() {
    for name in ["poisson", "gaussian"] {
        let mut rows = rows(9);
        let known = neighbours();
        let slope = vec![Column::of(rows.x.clone()), Column::One];
        let slopes = Term { prior: Some(known.clone()), ..us(&rows.codes, slope, vec![0, 0]) };
        let plain = us(&rows.other, vec![Column::One], vec![0]);
        let data = data(name, vec![slopes, plain], &mut rows);
        let psi = point(&data);
        let mut objective = sparse(&data);
        check_derivatives(&mut objective, &psi, &format!("{name}, neighbours"));
        let modes = &objective.posterior().modes[0];
        for (set, c) in known.sets().iter().flat_map(|set| [(set, 0), (set, 1)]) {
            let sum: f64 = set.iter().map(|&g| modes[g as usize * 2 + c]).sum();
            assert!(sum.abs() < 1e-12, "{sum}");
        }
        if name == "gaussian" {
            check_derivatives(&mut Lmm::new(&data, true).unwrap(), &psi[3..], "neighbours");
        }
    }
}

/// The independent effects of the eigenvectors without those that the sums exclude, with their variances in the columns.
#[test]
fn sums_leave_out_what_has_no_precision() {
    let known = neighbours();
    let mut k: Vec<f64> = (0..LEVELS * LEVELS).map(|i| f64::from(u8::from(i / LEVELS == i % LEVELS))).collect();
    known.solve(&mut k, LEVELS);
    // A ridge makes K definite without a visible change to the likelihood of its columns.
    let mut root = k.clone();
    (0..LEVELS).for_each(|j| root[j * LEVELS + j] += 1e-13);
    assert!(glimm_core::linalg::dense::cholesky(&mut root, LEVELS));
    let mut rows = rows(10);
    let codes = rows.codes.clone();
    let column = |c: usize| {
        let entry = |&g: &u32| if g as usize >= c { root[g as usize * LEVELS + c] } else { 0.0 };
        Column::of(codes.iter().map(entry).collect())
    };
    let wide = one_level((0..LEVELS).map(column).collect());
    let term = Term { prior: Some(known), ..us(&codes, vec![Column::One], vec![0]) };
    let data = data("poisson", vec![term], &mut rows);
    let dense = Data { terms: vec![wide], ..data.clone() };
    let psi = point(&data);
    let (a, b) =
        (evaluate(&mut sparse(&data), &psi, Order::Gradient), evaluate(&mut sparse(&dense), &psi, Order::Gradient));
    assert!((a.value - b.value).abs() < 1e-9, "{} {}", a.value, b.value);
    assert!(relative(&a.gradient, &b.gradient) < 1e-8);
}
