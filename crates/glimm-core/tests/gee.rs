//! Working correlations against their matrices: W'W R = I for any rows, and moments that are means over pairs.

use glimm_core::gee::working::{Covariate, Extent, Places, Room, Working, lookup};

/// Five rows with gaps: times 0, 1, 3, 4, 7 in two subclusters of two and three.
fn places() -> Places {
    Places {
        time: vec![0.0, 1.0, 3.0, 4.0, 7.0],
        place: vec![0, 1, 3, 4, 7],
        sub: vec![0, 0, 1, 1, 1],
        columns: vec![0.0, 1.0, 3.0, 4.0, 7.0],
        width: 1,
    }
}

/// Largest difference of W R W' from the identity, with R told by its entries.
fn distance(working: &dyn Working, alpha: &[f64], entry: impl Fn(usize, usize) -> f64) -> f64 {
    let (n, places) = (5, places());
    let r = |i: usize, j: usize| if i == j { 1.0 } else { entry(i.max(j), i.min(j)) };
    let mut w: Vec<f64> = (0..n * n).map(|k| f64::from(k / n == k % n)).collect();
    assert!(working.whiten(alpha, places.of(0..n), &mut w, n, &mut Room::default()));
    let mut most = 0.0f64;
    for i in 0..n {
        for j in 0..n {
            let sum: f64 = (0..n * n).map(|k| w[i * n + k / n] * r(k / n, k % n) * w[j * n + k % n]).sum();
            most = most.max((sum - f64::from(i == j)).abs());
        }
    }
    most
}

fn of(name: &str, extent: Extent) -> Box<dyn Working> {
    lookup(name, extent).unwrap()
}

#[test]
fn rows_are_made_uncorrelated() {
    let p = places();
    let lag = |i: usize, j: usize| p.place[i].abs_diff(p.place[j]) as usize;
    let plain = Extent::default;
    assert_eq!(distance(of("independence", plain()).as_ref(), &[], |_, _| 0.0), 0.0);
    for a in [-0.2, 0.0, 0.6, 0.999] {
        assert!(distance(of("exchangeable", plain()).as_ref(), &[a], |_, _| a) < 1e-11);
    }
    for (a, whole) in [(0.7, false), (0.7, true), (-0.6, true)] {
        let working = of("ar1", Extent { whole, ..plain() });
        assert!(distance(working.as_ref(), &[a], |i, j| f64::powi(a, lag(i, j) as i32)) < 1e-12);
    }
    for (same, between) in [(0.5, 0.2), (0.3, 0.3), (0.4, -0.1)] {
        let entry = |i: usize, j: usize| if p.sub[i] == p.sub[j] { same } else { between };
        assert!(distance(of("nested", plain()).as_ref(), &[same, between], entry) < 1e-12);
    }
    let alpha = [0.5, 0.3, 0.2, 0.1, 0.05, 0.0, -0.1];
    let toeplitz = of("toeplitz", Extent { size: 7, ..plain() });
    assert!(distance(toeplitz.as_ref(), &alpha, |i, j| alpha[lag(i, j) - 1]) < 1e-12);
    let banded = of("m_dependent", Extent { size: 2, ..plain() });
    assert!(
        distance(banded.as_ref(), &alpha[..2], |i, j| if lag(i, j) < 3 { alpha[lag(i, j) - 1] } else { 0.0 }) < 1e-12
    );
    let pairs = Extent { covariates: vec![Covariate::One, Covariate::Distance(0)], bounded: true, ..plain() };
    let entry = |i: usize, j: usize| (0.5 - 0.1 * lag(i, j) as f64).tanh();
    assert!(distance(of("pairwise", pairs).as_ref(), &[0.5, -0.1], entry) < 1e-12);
}

#[test]
fn matrices_that_are_not_positive_definite_are_refused() {
    let (n, p) = (5, places());
    let refused = |name: &str, alpha: &[f64], extent: Extent| {
        !of(name, extent).whiten(alpha, p.of(0..n), &mut vec![0.0; n], 1, &mut Room::default())
    };
    assert!(refused("exchangeable", &[-0.3], Extent::default()));
    assert!(refused("exchangeable", &[1.0], Extent::default()));
    assert!(refused("nested", &[0.1, 0.9], Extent::default()));
    assert!(refused("ar1", &[1.0], Extent::default()));
}

#[test]
fn names_are_known() {
    for name in glimm_core::gee::working::NAMES {
        assert!(lookup(name, Extent { size: 2, ..Extent::default() }).is_ok(), "{name}");
    }
    let Err(error) = lookup("compound", Extent::default()) else { panic!("no such structure") };
    assert!(error.to_string().contains("exchangeable"));
}
