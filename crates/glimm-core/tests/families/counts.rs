//! Families of counts: identities between them, and values computed with many digits.

use super::values_counts::{BETABINOMIAL, COMPOIS, GENPOIS, NBINOM1, TRUNCATED};
use super::{log_density, row};
use glimm_core::family::{Family, component_offset, lookup};

/// Relative, or absolute below 1.
const IDENTITY_TOLERANCE: f64 = 1e-12;
/// Relative, or absolute in nats below 1; counts reach ten million.
const VALUE_TOLERANCE: f64 = 1e-13;
/// Of a derivative.
const DERIVATIVE_TOLERANCE: f64 = 1e-11;

fn family(name: &str) -> std::sync::Arc<dyn Family> {
    lookup(name, None).unwrap()
}

#[track_caller]
fn same(at: &[f64], found: f64, expected: f64) {
    let error = (found - expected).abs() / expected.abs().max(1.0);
    assert!(error <= IDENTITY_TOLERANCE, "{at:?}: {found:e} is not {expected:e}");
}

/// Predictor of the power p, between 0 and 3.
fn power(p: f64) -> f64 {
    (p / (3.0 - p)).ln()
}

#[test]
fn nbinom_with_power_two_is_nbinom2_and_with_power_one_nbinom1() {
    let f = family("nbinom");
    for (name, p, sign) in [("nbinom1", 1.0, -1.0), ("nbinom2", 2.0, 1.0)] {
        let known = family(name);
        for y in [0.0, 1.0, 6.0, 300.0] {
            for eta in [-3.0, 0.2, 4.0] {
                for t in [-2.0, 0.4, 5.0] {
                    let (general, special) = ([eta, t, power(p)], [eta, sign * t]);
                    let at = [y, p, eta, t];
                    same(&at, log_density(&*f, y, 1.0, &general), log_density(&*known, y, 1.0, &special));
                    let (found, expected) = (row(&*f, y, 1.0, &general, 2), row(&*known, y, 1.0, &special, 2));
                    for order in 1..=4 {
                        for ones in 0..=order {
                            let index = [vec![0; order - ones], vec![1; ones]].concat();
                            let c = component_offset(2, &index);
                            same(&at, found[c], expected[c] * f64::powi(sign, ones as i32));
                        }
                    }
                    let (general, special) = (&general[..], &special[..]);
                    same(&at, f.variance(general, 1.0), known.variance(special, 1.0));
                    same(&at, f.cdf(y, 1.0, general).0, known.cdf(y, 1.0, special).0);
                    same(&at, f.cdf(y, 1.0, general).1, known.cdf(y, 1.0, special).1);
                }
            }
        }
    }
}

#[test]
fn nbinom1_without_overdispersion_is_poisson() {
    let (f, poisson) = (family("nbinom1"), family("poisson"));
    for y in [0.0, 1.0, 8.0, 1e7] {
        for eta in [-3.0, 2.0, 16.0] {
            let at = [y, eta];
            let (found, expected) = (row(&*f, y, 1.0, &[eta, -90.0], 2), row(&*poisson, y, 1.0, &[eta], 1));
            same(&at, found[0], expected[0]);
            for order in 1..=4 {
                same(&at, found[component_offset(2, &vec![0; order])], expected[order]);
            }
            assert!(found[component_offset(2, &[1])].abs() < 1e-10, "{at:?}");
        }
    }
}

/// Derivatives of which values are given.
const INDICES: [&[usize]; 8] = [&[0], &[1], &[0, 0], &[0, 1], &[1, 1], &[0, 0, 0], &[0, 0, 1, 1], &[1, 1, 1, 1]];

/// A density and its derivatives: of the value relative, or absolute below 1 nat; of derivatives relative to the
/// largest ones of that row, up to the stated share of them.
#[track_caller]
fn agree(f: &dyn Family, [y, size, eta, t]: [f64; 4], expected: &[f64], share: f64) {
    let at = [y, size, eta, t];
    let value = log_density(f, y, size, &[eta, t]);
    let error = (value - expected[0]).abs() / expected[0].abs().max(1.0);
    assert!(error <= VALUE_TOLERANCE, "{} {at:?}: {value:e} is not {:e}", f.name(), expected[0]);
    let found = row(f, y, size, &[eta, t], 2);
    // those in eta alone are of another size than those that vanish with the dispersion
    let largest = |own: &dyn Fn(&[usize]) -> bool| -> f64 {
        let own = INDICES.iter().zip(&expected[1..]).filter(|(index, _)| own(index));
        own.fold(0.0, |m, (_, d)| d.abs().max(m))
    };
    let scales = [largest(&|index| index[index.len() - 1] == 0), largest(&|index| index[index.len() - 1] == 1)];
    for (index, expected) in INDICES.iter().zip(&expected[1..]) {
        let found = found[component_offset(2, index)];
        // the fourth derivative of Stirling's remainder is good to 1e-14 where it is of order 1; six enter
        let floor = if t < 10.0 { 1e-2 } else { 0.0 };
        let scale = expected.abs().max(share * scales[index[index.len() - 1]]).max(floor);
        let error = (found - expected).abs() / scale;
        assert!(error <= DERIVATIVE_TOLERANCE, "{} {at:?} {index:?}: {found:e} is not {expected:e}", f.name());
    }
}

#[test]
fn betabinomial_up_to_the_binomial_limit() {
    for [link, y, size, eta, t, expected @ ..] in BETABINOMIAL {
        let f = lookup("betabinomial", Some(["logit", "probit", "cloglog"][link as usize])).unwrap();
        agree(&*f, [y, size, eta, t], &expected, 1e-2);
    }
}

#[test]
fn nbinom1_up_to_the_poisson_limit() {
    for [y, size, eta, t, expected @ ..] in NBINOM1 {
        agree(&*family("nbinom1"), [y, size, eta, t], &expected, 1e-2);
    }
}

#[test]
fn genpois_above_and_below_the_poisson_limit() {
    for [y, size, eta, t, expected @ ..] in GENPOIS {
        agree(&*family("genpois"), [y, size, eta, t], &expected, 1e-2);
    }
}

#[test]
fn compois_from_nearly_certain_to_nearly_geometric_counts() {
    for [y, size, eta, t, expected @ ..] in COMPOIS {
        agree(&*family("compois"), [y, size, eta, t], &expected, 1e-2);
    }
}

#[test]
fn compois_at_phi_one_is_poisson_and_at_large_phi_geometric() {
    let (f, poisson, geometric) = (family("compois"), family("poisson"), family("nbinom2"));
    for y in [0.0, 1.0, 8.0, 1000.0] {
        for eta in [-9.0, 0.2, 3.0, 6.8, 9.0] {
            let at = [y, eta];
            same(&at, log_density(&*f, y, 1.0, &[eta, 0.0]), log_density(&*poisson, y, 1.0, &[eta]));
            same(&at, f.variance(&[eta, 0.0], 1.0), poisson.mean(&[eta]));
            let (found, expected) = (row(&*f, y, 1.0, &[eta, 0.0], 1), row(&*poisson, y, 1.0, &[eta], 1));
            for order in 1..=4 {
                // the response less the mean multiplies what vanishes
                let scale = expected[order].abs().max(y).max(1.0);
                same(&at, found[order] / scale, expected[order] / scale);
            }
            let limit = log_density(&*geometric, y, 1.0, &[eta, 0.0]);
            same(&at, log_density(&*f, y, 1.0, &[eta, 80.0]), limit);
            same(&at, f.variance(&[eta, 80.0], 1.0), geometric.variance(&[eta, 0.0], 1.0));
        }
    }
}

#[test]
fn impossible_counts_of_underdispersed_genpois_are_far_below_the_feasible_ones() {
    // mean 2 and phi 1/4: counts below 4 are possible
    let f = family("genpois");
    let value = |y: f64| log_density(&*f, y, 1.0, &[2f64.ln(), 0.25f64.ln()]);
    assert!((value(3.0) - (4f64 / 6.0).ln() + 1.0).abs() < 1e-14);
    assert!(value(4.0) < value(3.0) - 10.0 && value(5.0) < value(4.0) - 1e6);
    assert_eq!(f.cdf(3.0, 1.0, &[2f64.ln(), 0.25f64.ln()]), (1.0, 0.0));
    let slope = row(&*f, 5.0, 1.0, &[2f64.ln(), 0.25f64.ln()], 2);
    assert!(slope[1] > 0.0 && slope[2] > 0.0, "points back to where it is possible");
}

#[test]
fn truncated_families_down_to_small_means() {
    for [base, y, size, eta, t, expected @ ..] in TRUNCATED {
        let f =
            family(["truncated_genpois", "truncated_nbinom1", "truncated_nbinom2", "truncated_compois"][base as usize]);
        agree(&*f, [y, size, eta, t], &expected, 1e-2);
    }
}

#[test]
fn truncated_densities_are_those_of_positive_counts() {
    for name in ["compois", "genpois", "nbinom1", "nbinom2", "poisson"] {
        let (f, base) = (family(&format!("truncated_{name}")), family(name));
        for eta in [[-1.0, 0.4], [0.7, 1.2], [4.0, 0.5]] {
            let eta = &eta[..f.predictors()];
            let zero = log_density(&*base, 0.0, 1.0, eta);
            for y in [1.0, 3.0, 40.0] {
                let expected = log_density(&*base, y, 1.0, eta) - (-zero.exp()).ln_1p();
                same(&[y, eta[0]], log_density(&*f, y, 1.0, eta), expected);
            }
            same(eta, f.mean(eta), base.mean(eta) / -zero.exp_m1());
        }
        // hardly any positive counts: all of them are 1
        let rare = &[-30.0, 0.4][..f.predictors()];
        assert!((f.mean(rare) - 1.0).abs() < if name == "poisson" || name == "nbinom2" { 1e-12 } else { 2.0 });
    }
}
