//! Families of continuous responses against values computed with many digits.

use super::values_amounts as values;
use super::{log_density, row};
use glimm_core::family::{component_offset, lookup};

/// Relative, or absolute in nats below 1.
const VALUE_TOLERANCE: f64 = 1e-12;
/// Of a derivative, or of a thousandth of the largest one of its row.
const DERIVATIVE_TOLERANCE: f64 = 1e-10;

/// Of each tail. The upper one of the inverse Gaussian is a difference, which loses as many digits as the response over
/// its mean has.
const TAIL_TOLERANCE: f64 = 1e-9;

/// The multi-indices of the derivatives in a row of values.
fn indices(predictors: usize) -> Vec<Vec<usize>> {
    let further = 1..predictors;
    let first = (0..predictors).map(|k| vec![k]);
    let second = further.clone().map(|k| vec![k, k]);
    let mixed = further.map(|k| vec![0, k]);
    let cross = (predictors > 2).then(|| vec![1, 2]);
    first.chain(second).chain(mixed).chain([vec![1, 1, 1]]).chain(cross).collect()
}

/// Differences of a family from its values.
fn differences<const N: usize>(family: &str, link: &str, table: &[[f64; N]]) -> Vec<String> {
    let f = lookup(family, Some(link)).unwrap();
    let k = f.predictors();
    let mut found = Vec::new();
    for row_of_values in table {
        let (at, expected) = row_of_values.split_at(1 + k);
        let (y, eta) = (at[0], &at[1..]);
        let value = log_density(&*f, y, 1.0, eta);
        let error = (value - expected[0]).abs() / expected[0].abs().max(1.0);
        if error > VALUE_TOLERANCE {
            found.push(format!("{family} {at:?}: {value:e} is not {:e} ({error:.1e})", expected[0]));
        }
        let derivatives = row(&*f, y, 1.0, eta, k);
        let largest = expected[1..].iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (index, expected) in indices(k).iter().zip(&expected[1..]) {
            let value = derivatives[component_offset(k, index)];
            let error = (value - expected).abs() / expected.abs().max(1e-3 * largest);
            if error > DERIVATIVE_TOLERANCE {
                found.push(format!("{family} {at:?} {index:?}: {value:e} is not {expected:e} ({error:.1e})"));
            }
        }
    }
    found
}

#[test]
fn densities_and_derivatives_have_their_values() {
    let found = [
        differences("beta", "logit", &values::BETA),
        differences("beta", "cloglog", &values::BETA_CLOGLOG),
        differences("beta", "loglog", &values::BETA_LOGLOG),
        differences("inverse_gaussian", "log", &values::INVERSE_GAUSSIAN),
        differences("lognormal", "log", &values::LOGNORMAL),
        differences("ordbeta", "logit", &values::ORDBETA),
        differences("skewnormal", "identity", &values::SKEWNORMAL),
        differences("student_t", "identity", &values::STUDENT_T),
        differences("tweedie", "log", &values::TWEEDIE),
    ]
    .concat();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Both tails, relative to each.
fn tail_differences<const N: usize>(family: &str, link: &str, table: &[[f64; N]]) -> Vec<String> {
    let f = lookup(family, Some(link)).unwrap();
    let mut found = Vec::new();
    for row_of_values in table {
        let (at, expected) = row_of_values.split_at(1 + f.predictors());
        let (lower, upper) = f.cdf(at[0], 1.0, &at[1..]);
        let error = (lower / expected[0] - 1.0).abs().max((upper / expected[1] - 1.0).abs());
        if error > TAIL_TOLERANCE {
            found.push(format!("{family} {at:?}: {lower:e}, {upper:e} are not {expected:?} ({error:.1e})"));
        }
    }
    found
}

#[test]
fn tails_have_their_values() {
    let found = [
        tail_differences("inverse_gaussian", "log", &values::INVERSE_GAUSSIAN_TAILS),
        tail_differences("skewnormal", "identity", &values::SKEWNORMAL_TAILS),
        tail_differences("student_t", "identity", &values::STUDENT_T_TAILS),
        tail_differences("tweedie", "log", &values::TWEEDIE_TAILS),
    ]
    .concat();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn tweedie_zeros_have_the_probability_of_no_term() {
    let f = lookup("tweedie", None).unwrap();
    let eta = [0.7, 0.2, -0.3];
    let density = log_density(&*f, 0.0, 1.0, &eta);
    assert!((density.exp() / f.cdf(0.0, 1.0, &eta).0 - 1.0).abs() < 1e-14);
}

/// A normal response is a limit of these families.
#[test]
fn the_normal_limit_is_reached() {
    let normal = lookup("gaussian", None).unwrap();
    for (name, last) in [("student_t", 60.0), ("skewnormal", 0.0)] {
        let f = lookup(name, None).unwrap();
        let (found, expected) = (row(&*f, 1.3, 1.0, &[0.4, -0.2, last], 2), row(&*normal, 1.3, 1.0, &[0.4, -0.2], 2));
        for c in 1..15 {
            assert!((found[c] - expected[c]).abs() <= 1e-13 * expected[c].abs().max(1.0), "{name} {c}");
        }
        let difference = log_density(&*f, 1.3, 1.0, &[0.4, -0.2, last]) - log_density(&*normal, 1.3, 1.0, &[0.4, -0.2]);
        assert!(difference.abs() < 1e-14, "{name}");
    }
}
