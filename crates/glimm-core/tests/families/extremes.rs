//! The edges: far predictors, impossible responses, starting values.

use super::points::{Support, combinations, points};
use super::{all, label, log_density, row};
use glimm_core::family::{Random, lookup};
use glimm_core::link::Link;
use rand::SeedableRng;

const FAR: [f64; 9] = [-700.0, -350.0, -40.0, -1e-9, 0.0, 1e-9, 40.0, 350.0, 700.0];

/// For third and further predictors.
const FEWER: [f64; 3] = [-700.0, 0.3, 700.0];

#[test]
fn everything_is_finite_at_far_predictors() {
    for f in all() {
        let lists: Vec<&[f64]> = (0..f.predictors()).map(|k| if k < 2 { &FAR[..] } else { &FEWER[..] }).collect();
        for eta in combinations(&lists) {
            for &(y, size) in points(&*f).far {
                let at = format!("{} y={y}/{size} {eta:?}", label(&*f));
                for dims in 1..=eta.len() {
                    let found = row(&*f, y, size, &eta, dims);
                    assert!(found.iter().all(|v| v.is_finite()), "{at}: {found:?}");
                }
                let (lower, upper) = f.cdf(y, size, &eta);
                assert!((0.0..=1.0).contains(&lower) && (0.0..=1.0).contains(&upper), "{at}: {lower:e} {upper:e}");
                let draw = f.draw(&mut Random::seed_from_u64(1), size, &eta);
                assert!(draw.is_finite() && f.check(draw, size).is_ok(), "{at}: drew {draw}");
                let (mean, variance) = (f.mean(&eta), f.variance(&eta, size));
                assert!(mean.is_finite() && !variance.is_nan() && variance >= 0.0, "{at}: {mean} {variance}");
            }
        }
    }
}

#[test]
fn far_tails_keep_their_slope() {
    let slope = |family: &str, link: &str, y: f64, eta: f64| {
        let f = lookup(family, Some(link)).unwrap();
        row(&*f, y, 1.0, &vec![eta; f.predictors()][..], 1)[1]
    };
    assert!((slope("binomial", "logit", 1.0, -700.0) - 1.0).abs() < 1e-15);
    assert!((slope("binomial", "probit", 1.0, -700.0) / 700.001_428_565_598_2 - 1.0).abs() < 1e-14);
    assert!((slope("binomial", "cloglog", 1.0, -700.0) - 1.0).abs() < 1e-15);
    assert!((slope("binomial", "cauchit", 1.0, -700.0) * 700.0 - 1.0).abs() < 1e-5);
    assert!((slope("binomial", "logit", 1.0, 40.0) / (-40f64).exp() - 1.0).abs() < 1e-14);
    assert!((slope("poisson", "log", 3.0, -700.0) - 3.0).abs() < 1e-15);
}

#[test]
fn an_impossible_inverse_predictor_is_far_below_the_feasible_ones() {
    let f = lookup("gamma", Some("inverse")).unwrap();
    let value = |eta: f64| log_density(&*f, 2.0, 1.0, &[eta, 0.0]);
    assert!(value(-1e-3) < value(1e-6) - 100.0);
    assert!(value(-1.0) < value(-1e-3));
    let d = row(&*f, 2.0, 1.0, &[-1.0, 0.0], 1);
    assert!(d[1] > 0.0 && d[2] < 0.0, "points back to where eta is positive");
}

#[test]
fn responses_outside_the_domain_are_refused_in_words() {
    for f in all() {
        let p = points(&*f);
        assert!(!p.refused.is_empty(), "{}", p.family);
        for &(y, size, words) in p.refused {
            let message = f.check(y, size).unwrap_err();
            assert!(message.contains(words), "{} {y}/{size}: {message}", p.family);
        }
        assert!(p.far.iter().chain(p.responses).all(|&(y, size)| f.check(y, size).is_ok()), "{}", p.family);
    }
}

#[test]
fn starting_values_are_near_the_response() {
    for f in all() {
        let p = points(&*f);
        for &(y, size) in p.far {
            let start = f.start(y, size);
            assert!(start.is_finite(), "{} {y}/{size}", label(&*f));
            let possible = f.link() == Link::Identity || p.support == Support::Positive;
            if possible {
                let mut eta = vec![0.0; f.predictors()];
                eta[0] = start;
                assert!((f.mean(&eta) / y - 1.0).abs() < 1e-12 || y == 0.0, "{}", label(&*f));
            }
        }
    }
}

#[test]
fn starting_parameters_are_usable_when_nothing_varies() {
    for f in all() {
        for y in points(&*f).support.levels() {
            let start = f.start_parameters(&[y, y], &[y, y], &[]);
            assert_eq!(start.len(), f.parameters().len());
            assert!(start.iter().all(|s| s.abs() < 30.0), "{}: {start:?}", label(&*f));
        }
    }
    assert_eq!(lookup("gaussian", None).unwrap().start_parameters(&[0.0], &[0.0], &[]), [0.0]);
}

#[test]
fn starting_parameters_recover_the_truth_from_draws() {
    for f in all() {
        let (eta, recovered) = points(&*f).truth;
        let mut rng = Random::seed_from_u64(5);
        let y: Vec<f64> = (0..20_000).map(|_| f.draw(&mut rng, 1.0, eta)).collect();
        let mean = vec![f.mean(eta); y.len()];
        let found = f.start_parameters(&y, &mean, &[]);
        for k in 0..recovered {
            assert!((found[k] - eta[1 + k]).abs() < 0.15, "{}: {found:?}", label(&*f));
        }
        // a frequency weight of two is the row twice
        let weighted = f.start_parameters(&y[..2], &mean[..2], &[2.0, 1.0]);
        let repeated = f.start_parameters(&[y[0], y[0], y[1]], &mean[..3], &[]);
        let same = weighted.iter().zip(&repeated).all(|(w, r)| (w - r).abs() < 1e-12);
        assert!(same, "{}: {weighted:?} {repeated:?}", label(&*f));
    }
}
