//! Families of continuous responses against values computed with many digits.

use super::values_amounts as values;
use super::{log_density, row};
use glimm_core::family::{component_offset, lookup};

/// Relative, or absolute in nats below 1.
const VALUE_TOLERANCE: f64 = 1e-12;
/// Of a derivative, or of a thousandth of the largest one of its row.
const DERIVATIVE_TOLERANCE: f64 = 1e-10;

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
