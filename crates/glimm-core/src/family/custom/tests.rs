//! Every operation against differences; parts against the whole.

use super::ops::Op;
use super::*;
use crate::family::{component_offset, lookup};

/// Step and error of the extrapolated differences.
const STEP: f64 = 0.02;
const TOLERANCE: f64 = 2e-7;

fn step(name: &str, args: &[usize]) -> Step {
    (name.to_owned(), args.to_vec(), 0.0)
}

fn constant(value: f64) -> Step {
    ("constant".to_owned(), Vec::new(), value)
}

fn predictor(k: usize) -> Step {
    ("predictor".to_owned(), Vec::new(), k as f64)
}

fn family(density: Vec<Step>, parameters: usize) -> Custom {
    let parameter = |k: usize| (format!("p{k}"), String::new(), "identity".to_owned(), 0.0, 0.0, false, 0.0);
    Custom::new(&Spec {
        name: "test".into(),
        link: "log".into(),
        parameters: (0..parameters).map(parameter).collect(),
        allowed: String::new(),
        tapes: BTreeMap::from([("density".to_owned(), density)]),
    })
    .unwrap()
}

fn row(f: &dyn Family, y: f64, eta: &[f64], dims: usize, order: usize) -> Vec<f64> {
    let eta: Vec<[f64; 1]> = eta.iter().map(|e| [*e]).collect();
    let eta: Vec<&[f64]> = eta.iter().map(|e| &e[..]).collect();
    let mut out = Derivs::default();
    f.derivs(Rows { y: &[y], size: Some(&[7.0]) }, &eta, Want { dims, order, value: true }, &mut out);
    let count: usize = (0..=order).map(|o| crate::family::component_count(dims, o)).sum();
    (0..count).map(|c| out.component(c)[0]).collect()
}

/// Every component in all predictors against the Richardson-extrapolated difference of the next lower one.
fn check(name: &str, f: &Custom, y: f64, at: &[f64]) {
    let k = at.len();
    let sorted = |order: usize| {
        (0..k.pow(order as u32))
            .map(move |n| (0..order).map(|d| n / k.pow(d as u32) % k).collect::<Vec<_>>())
            .filter(|i| i.is_sorted())
    };
    let all = row(f, y, at, k, 4);
    assert!(all.iter().all(|v| v.is_finite()), "{name} {all:?}");
    let largest = all[1..].iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for index in (1..=4).flat_map(sorted) {
        let (&last, lower) = index.split_last().unwrap();
        let moved = |h: f64| {
            let mut eta = at.to_vec();
            eta[last] += h;
            row(f, y, &eta, k, 4)[component_offset(k, lower)]
        };
        let d = |h: f64| (moved(h) - moved(-h)) / (2.0 * h);
        let (a, b, c) = (d(STEP), d(STEP / 2.0), d(STEP / 4.0));
        let (ab, bc) = ((4.0 * b - a) / 3.0, (4.0 * c - b) / 3.0);
        let (numeric, exact) = ((16.0 * bc - ab) / 15.0, all[component_offset(k, &index)]);
        let error = (exact - numeric).abs() / exact.abs().max(1e-2 * largest);
        assert!(error < TOLERANCE, "{name} {index:?} {exact} {numeric}");
    }
    // Fewer predictors and a lower order give the same numbers.
    for dims in 1..=k {
        let fewer = row(f, y, at, dims, 2);
        for index in (0..=2).flat_map(sorted).filter(|i| i.iter().all(|&i| i < dims)) {
            let (a, b) = (fewer[component_offset(dims, &index)], all[component_offset(k, &index)]);
            assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{name} {dims} {index:?} {a} {b}");
        }
    }
}

/// Functions of two predictors that stay between 0 and 1, then an operation of them, times y.
#[test]
fn derivatives_of_every_operation_are_differences() {
    for name in &Op::names() {
        let (_, count) = Op::parse(name).unwrap();
        let mut tape = vec![predictor(0), predictor(1), step("multiply", &[0, 1]), step("expit", &[2])];
        tape.extend([step("add", &[0, 1]), step("expit", &[4]), step("y", &[])]);
        let args: &[usize] = if count == 3 { &[0, 3, 5] } else { &[3, 5][..count] };
        // Of both, of one predictor, and of a plain number: each has work of its own.
        tape.extend([step(name, args), step("expit", &[0]), step("expit", &[1]), constant(0.3)]);
        let single: [&[usize]; 3] = [&[8], &[8, 8], &[0, 8, 9]];
        let mixed: [&[usize]; 3] = [&[9], &[8, 10], &[6, 8, 10]];
        let swapped: [&[usize]; 3] = [&[9], &[10, 9], &[1, 10, 9]];
        tape.extend([single, mixed, swapped].map(|args| step(name, args[count - 1])));
        tape.extend([step("multiply", &[7, 11]), step("add", &[12, 13]), step("add", &[14, 15])]);
        // steps without derivatives need predictors besides
        tape.extend([step("square", &[4]), step("multiply", &[16, 6]), step("add", &[17, 18])]);
        check(name, &family(tape, 1), 1.7, &[0.4, -0.9]);
    }
}

#[test]
fn four_predictors() {
    let mut tape: Vec<Step> = (0..4).map(predictor).collect();
    tape.extend([step("y", &[]), step("size", &[]), step("multiply", &[0, 4]), step("exp", &[1])]);
    tape.extend([step("logaddexp", &[6, 2]), step("multiply", &[8, 7]), step("tanh", &[3])]);
    tape.extend([step("add", &[9, 10]), step("expit", &[11]), step("multiply", &[12, 10])]);
    tape.extend([step("subtract", &[13, 5]), step("subtract", &[14, 7]), step("negative", &[15])]);
    check("four", &family(tape, 3), 0.8, &[0.3, -0.2, 0.1, 0.5]);
}

/// x^3 at zero, and the logarithm of a sum with nothing in it.
#[test]
fn edges_are_finite() {
    let cube = family(vec![predictor(0), constant(3.0), step("power", &[0, 1])], 0);
    assert_eq!(row(&cube, 1.0, &[0.0], 1, 4), [0.0, 0.0, 0.0, 6.0, 0.0]);
    let sum = family(vec![predictor(0), step("y", &[]), step("log", &[1]), step("logaddexp", &[0, 2])], 0);
    assert_eq!(row(&sum, 0.0, &[0.4], 1, 4), [0.4, 1.0, 0.0, 0.0, 0.0]);
    for name in ["log", "log1p", "lgamma", "sqrt", "digamma"] {
        let f = family(vec![predictor(0), step(name, &[0])], 0);
        assert!(row(&f, 1.0, &[-2.5], 1, 4)[0].is_nan(), "{name}");
    }
}

/// Rows in blocks, the last of them not full, are those of one row at a time; and those of the built-in family.
#[test]
fn poisson_in_blocks() {
    let tape = vec![
        step("y", &[]),
        predictor(0),
        step("multiply", &[0, 1]),
        step("exp", &[1]),
        step("subtract", &[2, 3]),
        constant(1.0),
        step("add", &[0, 5]),
        step("lgamma", &[6]),
        step("subtract", &[4, 7]),
    ];
    let (f, known) = (family(tape, 0), lookup("poisson", None).unwrap());
    let y: Vec<f64> = (0..37).map(|i| f64::from(i % 5)).collect();
    let eta: Vec<f64> = (0..37).map(|i| 0.1 * f64::from(i) - 1.5).collect();
    let run = |f: &dyn Family| {
        let mut out = Derivs::default();
        f.derivs(Rows { y: &y, size: None }, &[&eta], Want { dims: 1, order: 4, value: true }, &mut out);
        out
    };
    let (a, b) = (run(&f), run(&*known));
    for i in 0..37 {
        let constants = [f.log_constant(y[i], 1.0), known.log_constant(y[i], 1.0)];
        assert!((a.value()[i] + constants[0] - b.value()[i] - constants[1]).abs() < 1e-13);
        let one = row(&f, y[i], &eta[i..=i], 1, 4);
        for c in 0..5 {
            assert_eq!(a.component(c)[i], one[c]);
            assert!(c == 0 || (a.component(c)[i] - b.component(c)[i]).abs() < 1e-13);
        }
    }
}

#[test]
fn texts_are_kept_once() {
    let (a, b) = (family(vec![predictor(0)], 2), family(vec![predictor(0)], 2));
    assert!(std::ptr::eq(a.name(), b.name()) && std::ptr::eq(a.parameters(), b.parameters()));
}

#[test]
fn tapes_that_make_no_sense_are_refused() {
    let refused = |tape: Vec<Step>| Tape::new(&tape, 1).is_err();
    assert!(refused(vec![]) && refused(vec![predictor(1)]) && refused(vec![step("gamma", &[])]));
    assert!(refused(vec![predictor(0), step("exp", &[1])]) && refused(vec![predictor(0), step("add", &[0])]));
}
