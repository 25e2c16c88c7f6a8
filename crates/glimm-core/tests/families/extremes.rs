//! The edges: far predictors, impossible responses, starting values.

use super::{all, label, log_density, row};
use glimm_core::family::{Family, Random, lookup};
use glimm_core::link::Link;
use rand::SeedableRng;

const FAR: [f64; 9] = [-700.0, -350.0, -40.0, -1e-9, 0.0, 1e-9, 40.0, 350.0, 700.0];

fn responses(f: &dyn Family) -> &'static [(f64, f64)] {
    match f.name() {
        "binomial" => &[(0.0, 1.0), (1.0, 1.0), (3.0, 10.0), (10.0, 10.0), (5e6, 1e7)],
        "gamma" => &[(1e-8, 1.0), (1.0, 1.0), (1e8, 1.0)],
        "gaussian" => &[(-1e8, 1.0), (0.0, 1.0), (3.0, 1.0)],
        _ => &[(0.0, 1.0), (1.0, 1.0), (17.0, 1.0), (1e7, 1.0)],
    }
}

#[test]
fn everything_is_finite_at_far_predictors() {
    for f in all() {
        for &(y, size) in responses(&*f) {
            for e0 in FAR {
                for e1 in FAR {
                    let eta = if f.predictors() == 2 { vec![e0, e1] } else { vec![e0] };
                    let at = format!("{} y={y}/{size} {eta:?}", label(&*f));
                    for dims in 1..=eta.len() {
                        let found = row(&*f, y, size, &eta, dims);
                        assert!(found.iter().all(|v| v.is_finite()), "{at}: {found:?}");
                    }
                    let (lower, upper) = f.cdf(y, size, &eta);
                    assert!((0.0..=1.0).contains(&lower) && (0.0..=1.0).contains(&upper), "{at}: {lower:e} {upper:e}");
                    let draw = f.draw(&mut Random::seed_from_u64(1), size, &eta);
                    assert!(draw.is_finite() && f.check(draw, size).is_ok(), "{at}: drew {draw}");
                }
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
    let refused: &[(&str, f64, f64, &str)] = &[
        ("poisson", -1.0, 1.0, "whole number"),
        ("poisson", 0.5, 1.0, "whole number"),
        ("poisson", f64::NAN, 1.0, "whole number"),
        ("nbinom2", f64::INFINITY, 1.0, "whole number"),
        ("nbinom2", 2.25, 1.0, "whole number"),
        ("gamma", 0.0, 1.0, "above 0"),
        ("gamma", -2.0, 1.0, "above 0"),
        ("gamma", f64::INFINITY, 1.0, "finite"),
        ("gaussian", f64::NAN, 1.0, "finite"),
        ("gaussian", f64::NEG_INFINITY, 1.0, "finite"),
        ("binomial", 3.0, 2.0, "exceed"),
        ("binomial", -1.0, 2.0, "0 or more"),
        ("binomial", 0.5, 2.0, "whole number"),
        ("binomial", f64::NAN, 2.0, "whole number"),
        ("binomial", 0.0, 0.0, "trials"),
        ("binomial", 1.0, 2.5, "trials"),
        ("binomial", 1.0, f64::NAN, "trials"),
    ];
    for &(name, y, size, words) in refused {
        let message = lookup(name, None).unwrap().check(y, size).unwrap_err();
        assert!(message.contains(words), "{name} {y}/{size}: {message}");
    }
    for f in all() {
        assert!(responses(&*f).iter().all(|&(y, size)| f.check(y, size).is_ok()));
    }
}

#[test]
fn starting_values_are_near_the_response() {
    for f in all() {
        for &(y, size) in responses(&*f) {
            let eta = f.start(y, size);
            assert!(eta.is_finite(), "{} {y}/{size}", label(&*f));
            let possible = f.link() == Link::Identity || f.name() == "gamma";
            if possible {
                assert!((f.mean(&[eta, 0.0]) / y - 1.0).abs() < 1e-12 || y == 0.0, "{}", label(&*f));
            }
        }
    }
}

#[test]
fn starting_dispersions_are_usable_when_nothing_varies() {
    for f in all().iter().filter(|f| !f.parameters().is_empty()) {
        for y in [1.0, 1e6] {
            let start = f.start_parameters(&[y, y], &[y, y], &[])[0];
            assert!(start.abs() < 30.0, "{}: {start}", label(&**f));
        }
    }
    assert_eq!(lookup("gaussian", None).unwrap().start_parameters(&[0.0], &[0.0], &[]), [0.0]);
}

#[test]
fn starting_dispersions_recover_the_truth_from_draws() {
    for f in all().iter().filter(|f| !f.parameters().is_empty()) {
        let eta = [0.8, 0.3];
        let mut rng = Random::seed_from_u64(5);
        let y: Vec<f64> = (0..20_000).map(|_| f.draw(&mut rng, 1.0, &eta)).collect();
        let mean = vec![f.mean(&eta); y.len()];
        let found = f.start_parameters(&y, &mean, &[])[0];
        assert!((found - eta[1]).abs() < 0.15, "{}: {found}", label(&**f));
        // a frequency weight of two is the row twice
        let weighted = f.start_parameters(&y[..2], &mean[..2], &[2.0, 1.0])[0];
        let repeated = f.start_parameters(&[y[0], y[0], y[1]], &mean[..3], &[])[0];
        assert!((weighted - repeated).abs() < 1e-12, "{}", label(&**f));
    }
}
