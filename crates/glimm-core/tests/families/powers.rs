//! Links that are powers of the mean, and the log-log link.

use super::{log_density, row};
use glimm_core::family::lookup;
use glimm_core::link::Link;

#[test]
fn powers_are_named_and_found_by_their_exponent() {
    for p in [0.5, -2.0, 1.0 / 3.0] {
        let link = Link::Power(p);
        assert_eq!(Link::parse(&link.name()), Some(link));
        assert_eq!(lookup("gamma", Some(&link.name())).unwrap().link(), link);
    }
    assert_eq!(Link::parse("power( 0.5 )"), Some(Link::Power(0.5)));
    for wrong in ["power", "power()", "power(0)", "power(x)", "power(inf)", "power(NaN)"] {
        assert_eq!(Link::parse(wrong), None, "{wrong}");
    }
    let refused = lookup("beta", Some("power(0.5)")).err().unwrap().to_string();
    assert!(refused.contains("cloglog, logit"), "{refused}");
}

/// A power that is another link gives the same density.
#[test]
fn powers_are_the_links_they_equal() {
    for (family, link, p) in [
        ("gamma", "identity", 1.0),
        ("gamma", "inverse", -1.0),
        ("gaussian", "identity", 1.0),
        ("inverse_gaussian", "1/mu^2", -2.0),
        ("inverse_gaussian", "inverse", -1.0),
        ("inverse_gaussian", "identity", 1.0),
    ] {
        let (named, power) =
            (lookup(family, Some(link)).unwrap(), lookup(family, Some(&Link::Power(p).name())).unwrap());
        for eta in [0.3, 1.7] {
            let eta = [eta, -0.4];
            assert!((power.mean(&eta) / named.mean(&eta) - 1.0).abs() < 1e-14, "{family} {link}");
            let (found, expected) = (row(&*power, 1.3, 1.0, &eta, 2), row(&*named, 1.3, 1.0, &eta, 2));
            for c in 0..15 {
                let close = (found[c] - expected[c]).abs() <= 1e-12 * expected[c].abs().max(1.0);
                assert!(close, "{family} {link} {c}: {} {}", found[c], expected[c]);
            }
        }
    }
}

#[test]
fn an_impossible_predictor_is_far_below_the_feasible_ones() {
    let pairs =
        [("gamma", "identity"), ("gamma", "power(-2)"), ("inverse_gaussian", "1/mu^2"), ("poisson", "identity")];
    for (family, link) in pairs.into_iter().chain([("inverse_gaussian", "identity"), ("poisson", "sqrt")]) {
        let f = lookup(family, Some(link)).unwrap();
        let at = |eta: f64| [eta, 0.0][..f.predictors()].to_vec();
        let value = |eta: f64| log_density(&*f, 2.0, 1.0, &at(eta));
        assert!(value(-1e-3) < value(0.5) - 100.0, "{family} {link}");
        assert!(value(-1.0) < value(-1e-3), "{family} {link}");
        let d = row(&*f, 2.0, 1.0, &at(-1.0), 1);
        assert!(d[1] > 0.0 && d[2] < 0.0, "{family} {link} points back to where eta is positive");
    }
    // a count of zero too
    let f = lookup("poisson", Some("identity")).unwrap();
    assert!(log_density(&*f, 0.0, 1.0, &[-1e-3]) < -100.0);
}

#[test]
fn the_log_log_link_is_the_mirror_image_of_the_complementary_one() {
    let (f, mirrored) = (lookup("binomial", Some("loglog")).unwrap(), lookup("binomial", Some("cloglog")).unwrap());
    for (y, n, eta) in [(0.0, 1.0, 0.3), (1.0, 1.0, -2.0), (3.0, 10.0, 1.4), (1.0, 1.0, 30.0), (0.0, 1.0, -5.0)] {
        let (found, expected) = (row(&*f, y, n, &[eta], 1), row(&*mirrored, n - y, n, &[-eta], 1));
        for k in 0..5 {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            assert!((found[k] - sign * expected[k]).abs() <= 1e-13 * expected[k].abs(), "{y}/{n} {eta} {k}");
        }
    }
}
