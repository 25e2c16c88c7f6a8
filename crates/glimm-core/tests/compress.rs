//! Compressed data against the data given: the same likelihood, by independent evaluation.

mod common;

use common::{evaluate, relative};
use glimm_core::compress::{Compressed, When, compress};
use glimm_core::control::Control;
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family::{self, Derivs, Random, Want};
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Order, Posterior};
use glimm_core::structure;
use rand::{RngExt, SeedableRng};

/// Sums of the same terms in another order: rounding of some hundred terms.
const VALUE: f64 = 1e-12;
const DERIVATIVES: f64 = 1e-10;

/// What a test problem has besides a binary column x of rows and a binary column of groups.
#[derive(Clone, Copy, Default)]
struct Extras {
    trials: bool,
    freq: bool,
    offset: bool,
    slope: bool,
    crossed: bool,
}

/// Every combination that makes sense, with and without.
fn extras() -> Vec<Extras> {
    let one = Extras::default();
    vec![
        one,
        Extras { trials: true, ..one },
        Extras { freq: true, ..one },
        Extras { offset: true, ..one },
        Extras { slope: true, ..one },
        Extras { trials: true, freq: true, offset: true, slope: true, ..one },
        Extras { crossed: true, ..one },
        Extras { crossed: true, slope: true, freq: true, trials: true, offset: true },
    ]
}

const LEVELS: usize = 160;

/// Groups of 1 to 3 rows in which little varies; levels 7 and 159 have no rows.
fn problem(name: &str, link: &str, extras: Extras, seed: u64) -> Data {
    let family = family::lookup(name, Some(link)).unwrap();
    let mut rng = Random::seed_from_u64(seed);
    let mut codes = Vec::new();
    for level in (0..LEVELS as u32).filter(|l| ![7, 159].contains(l)) {
        codes.extend(vec![level; rng.random_range(1..4)]);
    }
    let n = codes.len();
    let mut pick = |values: &[f64]| (0..n).map(|_| values[rng.random_range(0..values.len())]).collect::<Vec<f64>>();
    // Zeros of both signs are one value.
    let x = pick(&[0.0, -0.0, 1.0]);
    let offset = extras.offset.then(|| pick(&[0.0, 0.25]));
    let freq = extras.freq.then(|| pick(&[1.0, 2.0]));
    let size = (extras.trials && name == "binomial").then(|| pick(&[1.0, 4.0]));
    let other: Vec<u32> = pick(&[0.0, 1.0, 2.0]).iter().map(|v| *v as u32).collect();
    let of_group: Vec<f64> = codes.iter().map(|c| f64::from(c % 2)).collect();
    let y = (0..n)
        .map(|i| {
            let eta = [0.3 + 0.2 * x[i], -0.3];
            let y = family.draw(&mut rng, size.as_ref().map_or(1.0, |s| s[i]), &eta[..family.predictors()]);
            // Responses that take few values, so that they repeat.
            if name.starts_with("ga") { y.ceil() } else { y }
        })
        .collect();
    let columns = vec![Column::One, Column::of(x.clone()), Column::of(of_group)];
    let mut predictors = vec![Predictor::new(columns, offset)];
    if !family.parameters().is_empty() {
        predictors.push(Predictor::new(vec![Column::One], None));
    }
    let mut columns = vec![Column::One];
    columns.extend(extras.slope.then_some(Column::of(x)));
    let term = |codes: Vec<u32>, levels: usize, columns: Vec<Column>| {
        let structure = structure::lookup("us", columns.len()).unwrap();
        Term { codes, levels, predictors: vec![0; columns.len()], columns, structure, prior: None, also: Vec::new() }
    };
    let mut terms = vec![term(codes, LEVELS, columns)];
    terms.extend(extras.crossed.then(|| term(other, 3, vec![Column::One])));
    Data { family, y, size, freq, predictors, terms, copies: None, constants: None }
}

const FAMILIES: [(&str, &str); 6] = [
    ("binomial", "logit"),
    ("binomial", "cloglog"),
    ("poisson", "log"),
    ("nbinom2", "log"),
    ("gamma", "log"),
    ("gaussian", "log"),
];

fn each(mut test: impl FnMut(&str, Data)) {
    for (name, link) in FAMILIES {
        for (k, extras) in extras().into_iter().enumerate() {
            test(&format!("{name} {link} {k}"), problem(name, link, extras, 3 + k as u64));
        }
    }
}

fn always(data: &Data, groups: bool) -> (Data, Compressed) {
    compress(data, When::Always, groups, &Control::default()).expect("rows that repeat")
}

/// Number of trials in all; of observations where there are no trials.
fn count(data: &Data) -> f64 {
    (0..data.n()).map(|i| data.freq_at(i) * data.copies_at(i) * data.size_at(i)).sum()
}

#[test]
fn merged_rows_have_the_likelihood_of_the_rows_given() {
    each(|label, data| {
        let (smaller, how) = always(&data, false);
        assert!(smaller.n() < data.n(), "{label}");
        assert_eq!(how.rows, [data.n(), smaller.n()], "{label}");
        assert_eq!(count(&smaller), count(&data), "{label}");
        let psi = common::point(&data, 5);
        let at = |data: &Data| {
            if data.terms.len() == 1 {
                return evaluate(&mut Block::new(data), &psi, Order::Hessian);
            }
            evaluate(&mut Crossed::new(data, Engine::Auto).unwrap(), &psi, Order::Hessian)
        };
        let (a, b) = (at(&data), at(&smaller));
        assert!(relative(&[a.value], &[b.value]) < VALUE, "{label}: {} {}", a.value, b.value);
        assert!(relative(&a.gradient, &b.gradient) < DERIVATIVES, "{label}");
        assert!(relative(&a.hessian.unwrap(), &b.hessian.unwrap()) < DERIVATIVES, "{label}");
    });
}

/// sum over levels of copies * log int exp(sum_i freq_i f_i) phi(u) du, by the trapezoidal rule, which
/// converges geometrically for such integrands. One random intercept with standard deviation `sd`.
fn brute_force(data: &Data, beta: &[f64], log_dispersion: f64, sd: f64) -> f64 {
    const POINTS: usize = 400;
    const REACH: f64 = 12.0;
    let fixed = |i: usize| {
        let p = &data.predictors[0];
        let x: f64 = p.columns.iter().zip(beta).map(|(c, b)| c.at(i) * b).sum();
        x + p.offset.as_ref().map_or(0.0, |o| o[i])
    };
    let width = 2.0 * REACH / POINTS as f64;
    let mut rows = vec![Vec::new(); data.terms[0].levels];
    data.terms[0].codes.iter().enumerate().for_each(|(i, &c)| rows[c as usize].push(i));
    let mut total = data.log_constant();
    for (level, rows) in rows.iter().enumerate() {
        let logs: Vec<f64> = (0..=POINTS)
            .map(|k| {
                let u = -REACH + width * k as f64;
                let of_row = |&i: &usize| data.freq_at(i) * log_density(data, i, fixed(i) + sd * u, log_dispersion);
                rows.iter().map(of_row).sum::<f64>() - 0.5 * u * u - 0.5 * std::f64::consts::TAU.ln()
            })
            .collect();
        let top = logs.iter().fold(f64::NEG_INFINITY, |m, l| m.max(*l));
        let integral = top + (width * logs.iter().map(|l| (l - top).exp()).sum::<f64>()).ln();
        total += data.copies.as_ref().map_or(1.0, |c| c[level]) * integral;
    }
    total
}

/// Without the part that depends on the response alone.
fn log_density(data: &Data, i: usize, eta: f64, log_dispersion: f64) -> f64 {
    let mut derivs = Derivs::default();
    let predictors = [[eta], [log_dispersion]];
    let dims = data.family.predictors();
    let eta: Vec<&[f64]> = predictors[..dims].iter().map(|e| e.as_slice()).collect();
    derivs.reshape(dims, 1, 1);
    data.family.derivs(data.rows(i..i + 1), &eta, Want { dims, order: 1, value: true }, &mut derivs);
    derivs.value()[0]
}

#[test]
fn merged_groups_have_the_likelihood_of_the_groups_given() {
    each(|label, data| {
        if data.terms.len() > 1 || data.terms[0].effects() > 1 {
            return;
        }
        let (smaller, how) = always(&data, true);
        let [before, after] = how.groups.expect("one grouping factor");
        assert_eq!(before, LEVELS - 2, "{label}");
        assert!(after < before, "{label}: {after}");
        assert_eq!(smaller.copies.as_ref().unwrap().iter().sum::<f64>(), before as f64, "{label}");
        assert_eq!(count(&smaller), count(&data), "{label}");
        let beta = [0.2, -0.4, 0.3];
        let (a, b) = (brute_force(&data, &beta, -0.2, 0.8), brute_force(&smaller, &beta, -0.2, 0.8));
        assert!(relative(&[a], &[b]) < VALUE, "{label}: {a} {b}");
    });
}

#[test]
fn every_level_gets_the_modes_of_its_equals() {
    let data = problem("binomial", "logit", Extras { slope: true, ..Extras::default() }, 8);
    let (smaller, how) = always(&data, true);
    let posterior = |data: &Data, psi: &[f64]| -> Posterior {
        let mut sparse = Crossed::new(data, Engine::Auto).unwrap();
        evaluate(&mut sparse, psi, Order::Gradient);
        glimm_core::objective::Objective::accept(&mut sparse);
        glimm_core::objective::Objective::posterior(&sparse)
    };
    let psi = common::point(&data, 5);
    // Modes do not depend on how often a group counts.
    let (all, mut expanded) = (posterior(&data, &psi), posterior(&smaller, &psi));
    how.expand(&mut expanded);
    assert_eq!(expanded.modes[0].len(), 2 * LEVELS);
    assert!(relative(&all.modes[0], &expanded.modes[0]) < DERIVATIVES);
    assert!(relative(&all.covariances[0], &expanded.covariances[0]) < DERIVATIVES);
}

#[test]
fn the_order_of_rows_and_names_of_levels_do_not_matter() {
    let data = problem("poisson", "log", Extras { offset: true, ..Extras::default() }, 4);
    let backwards: Vec<u32> = (0..data.n() as u32).rev().collect();
    let (a, b) = (always(&data, true).0, always(&data.gather(&backwards), true).0);
    let sorted = |data: &Data| {
        let mut rows: Vec<[u64; 3]> = (0..data.n())
            .map(|i| [data.y[i].to_bits(), data.freq_at(i).to_bits(), data.copies_at(i).to_bits()])
            .collect();
        rows.sort_unstable();
        rows
    };
    assert_eq!(sorted(&a), sorted(&b));
}

#[test]
fn groups_of_single_trials_and_a_column_of_groups_come_in_460_kinds() {
    let mut rng = Random::seed_from_u64(1);
    let (mut codes, mut x, mut y) = (Vec::new(), Vec::new(), Vec::new());
    let groups = 200_000;
    for g in 0..groups {
        let (rows, treated) = (rng.random_range(1..21), f64::from(rng.random_range(0..2)));
        let p: f64 = rng.random_range(0.0..1.0);
        for _ in 0..rows {
            codes.push(g);
            x.push(treated);
            y.push(f64::from(u8::from(rng.random_range(0.0..1.0) < p)));
        }
    }
    let structure = structure::lookup("us", 1).unwrap();
    let data = Data {
        family: family::lookup("binomial", None).unwrap(),
        y,
        size: None,
        freq: None,
        predictors: vec![Predictor::new(vec![Column::One, Column::of(x)], None)],
        terms: vec![Term {
            codes,
            levels: groups as usize,
            columns: vec![Column::One],
            predictors: vec![0],
            structure,
            prior: None,
            also: Vec::new(),
        }],
        copies: None,
        constants: None,
    };
    let (smaller, how) = compress(&data, When::Pays, true, &Control::default()).expect("it pays");
    // 2 treatments times the pairs of 1 to 20 rows and 0 to as many successes.
    assert_eq!(how.groups, Some([groups as usize, 460]));
    assert_eq!(smaller.n(), 460);
    assert_eq!(smaller.weight(), data.weight());
}

#[test]
fn data_that_do_not_repeat_stay_as_they_are() {
    let data = common::problem("poisson", "log", common::Shape::Slope, 3);
    let control = Control::default();
    assert!(compress(&data, When::Always, true, &control).is_none());
    let repeated = problem("poisson", "log", Extras::default(), 3);
    assert!(compress(&repeated, When::Pays, true, &control).is_none(), "too few rows for it to matter");
    assert!(compress(&repeated, When::Never, true, &control).is_none());
    control.stop();
    assert!(compress(&repeated, When::Always, true, &control).is_none(), "asked to stop");
}
