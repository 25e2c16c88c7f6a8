//! Log densities and derivatives against values computed with many digits.

use super::values::{BINARY, BINOMIAL, GAMMA, NBINOM2, POISSON};
use super::{log_density, row};
use glimm_core::family::{component_offset, lookup};

/// Relative, or absolute in nats below 1; counts reach ten million.
const VALUE_TOLERANCE: f64 = 1e-13;
/// Of a derivative.
const DERIVATIVE_TOLERANCE: f64 = 1e-11;

#[track_caller]
fn close(at: &[f64], found: f64, expected: f64, scale: f64, tolerance: f64) {
    let error = ((found - expected) / scale).abs();
    assert!(error <= tolerance, "{at:?}: {found:e} is not {expected:e} (error {error:.1e})");
}

#[test]
fn poisson() {
    let f = lookup("poisson", None).unwrap();
    for [y, eta, value] in POISSON {
        let found = log_density(&*f, y, 1.0, &[eta]);
        close(&[y, eta], found, value, value.abs().max(1.0), VALUE_TOLERANCE);
    }
}

#[test]
fn binomial_logit() {
    let f = lookup("binomial", None).unwrap();
    for [y, size, eta, value] in BINOMIAL {
        let found = log_density(&*f, y, size, &[eta]);
        close(&[y, size, eta], found, value, value.abs().max(1.0), VALUE_TOLERANCE);
    }
    // relative in the far tail
    close(&[40.0], log_density(&*f, 1.0, 1.0, &[40.0]), -4.248354255291589e-18, 4.2e-18, 1e-14);
}

#[test]
fn nbinom2_up_to_the_poisson_limit() {
    let f = lookup("nbinom2", None).unwrap();
    for [y, eta, t, value, d1, d2, d3, d4, mixed] in NBINOM2 {
        let at = [y, eta, t];
        let found = log_density(&*f, y, 1.0, &[eta, t]);
        close(&at, found, value, value.abs().max(1.0), VALUE_TOLERANCE);
        let found = row(&*f, y, 1.0, &[eta, t], 2);
        let get = |index: &[usize]| found[component_offset(2, index)];
        for (index, expected) in
            [(&[1][..], d1), (&[1, 1], d2), (&[1, 1, 1], d3), (&[1, 1, 1, 1], d4), (&[0, 1], mixed)]
        {
            // at tiny theta the higher derivatives are small differences of numbers of order 1
            let scale = expected.abs().max(1e-2 * d1.abs());
            close(&at, get(index), expected, scale, DERIVATIVE_TOLERANCE);
        }
    }
}

#[test]
fn gamma() {
    let f = lookup("gamma", None).unwrap();
    for [y, eta, t, value, d1, d2, d3, d4] in GAMMA {
        let at = [y, eta, t];
        let found = log_density(&*f, y, 1.0, &[eta, t]);
        close(&at, found, value, value.abs().max(1.0), VALUE_TOLERANCE);
        let found = row(&*f, y, 1.0, &[eta, t], 2);
        for (order, expected) in [d1, d2, d3, d4].into_iter().enumerate() {
            let c = component_offset(2, &vec![1; order + 1]);
            close(&at, found[c], expected, expected.abs(), DERIVATIVE_TOLERANCE);
        }
    }
}

#[test]
fn other_links_of_proportions() {
    for [link, y, eta, expected @ ..] in BINARY {
        let name = ["probit", "cloglog", "cauchit"][link as usize - 1];
        let f = lookup("binomial", Some(name)).unwrap();
        let found = row(&*f, y, 1.0, &[eta], 1);
        for k in 0..5 {
            let scale = expected[k].abs().max(1e-290);
            close(&[link, y, eta, k as f64], found[k], expected[k], scale, DERIVATIVE_TOLERANCE);
        }
    }
}
