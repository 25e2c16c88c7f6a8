//! Derivatives against differences, and against each other.

use super::{all, label, moderate, row};
use glimm_core::family::{Derivs, Family, Rows, Want, component_offset};
use glimm_core::link::Link;

/// Of the derivative, or of a thousandth of the largest one where it is close to a root: what
/// Richardson's extrapolation from steps of 0.04 can tell.
const TOLERANCE: f64 = 1e-8;

/// Richardson-extrapolated central difference.
fn difference(f: impl Fn(f64) -> f64) -> f64 {
    let at = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    let mut table: Vec<f64> = (0..4).map(|i| at(0.04 * 0.5f64.powi(i))).collect();
    for order in 1..4 {
        for i in (order..4).rev() {
            let p = 4f64.powi(order as i32);
            table[i] = (p * table[i] - table[i - 1]) / (p - 1.0);
        }
    }
    table[3]
}

/// All sorted multi-indices of orders 1 to 4.
fn indices(dims: usize) -> Vec<Vec<usize>> {
    let mut list = Vec::new();
    for order in 1..=4 {
        for ones in 0..=(if dims == 2 { order } else { 0 }) {
            let mut index = vec![0; order - ones];
            index.extend(vec![1; ones]);
            list.push(index);
        }
    }
    list
}

fn points(f: &dyn Family) -> Vec<(f64, f64, Vec<f64>)> {
    let responses: &[(f64, f64)] = match f.name() {
        "binomial" => &[(0.0, 1.0), (1.0, 1.0), (3.0, 10.0), (0.0, 5.0), (40.0, 41.0)],
        "poisson" | "nbinom2" => &[(0.0, 1.0), (1.0, 1.0), (7.0, 1.0), (60.0, 1.0), (1000.0, 1.0)],
        "gamma" => &[(0.2, 1.0), (1.0, 1.0), (8.0, 1.0)],
        _ => &[(-1.3, 1.0), (0.0, 1.0), (2.5, 1.0)],
    };
    let mut list = Vec::new();
    for &(y, size) in responses {
        for e0 in [-6.0, -2.3, -0.4, 0.3, 0.9, 2.0, 3.7, 7.0] {
            if f.link() == Link::Inverse && e0 < 0.3 {
                continue;
            }
            for e1 in [-2.0, -0.3, 0.8, 2.2, 6.0] {
                let eta = if f.predictors() == 2 { vec![e0, e1] } else { vec![e0] };
                list.push((y, size, eta));
            }
        }
    }
    list
}

#[test]
fn every_derivative_is_the_difference_of_the_next_lower_one() {
    for f in all() {
        for (y, size, eta) in points(&*f) {
            let dims = eta.len();
            let exact = row(&*f, y, size, &eta, dims);
            let largest = exact[1..].iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for index in indices(dims) {
                let (&k, lower) = index.split_last().unwrap();
                let c = component_offset(dims, lower);
                let numeric = difference(|h| {
                    let mut moved = eta.clone();
                    moved[k] += h;
                    row(&*f, y, size, &moved, dims)[c]
                });
                let found = exact[component_offset(dims, &index)];
                let scale = found.abs().max(1e-3 * largest).max(1e-6);
                let error = (found - numeric).abs() / scale;
                let at = format!("{} y={y}/{size} eta={eta:?} {index:?}", label(&*f));
                assert!(error <= TOLERANCE, "{at}: {found:e} is not {numeric:e}");
            }
        }
    }
}

#[test]
fn inverse_links_differentiate_to_fourth_order() {
    for link in Link::ALL {
        for eta in [-2.4, -1.1, 0.3, 0.9, 2.0] {
            let exact = link.inverse_derivatives(eta);
            assert!((exact[0] - link.inverse(eta)).abs() <= 1e-15 * exact[0].abs().max(1.0));
            for k in 1..5 {
                let numeric = difference(|h| link.inverse_derivatives(eta + h)[k - 1]);
                let scale = exact[k].abs().max(1e-2);
                assert!((exact[k] - numeric).abs() <= TOLERANCE * scale, "{link:?} {eta} {k}");
            }
            if exact[0] > 0.0 && (link != Link::Inverse || eta > 0.0) {
                assert!((link.link(exact[0]) - eta).abs() <= 1e-13, "{link:?} {eta}");
            }
        }
    }
}

#[test]
fn links_of_proportions_agree_with_their_logarithms() {
    for link in [Link::Logit, Link::Probit, Link::Cloglog, Link::Cauchit] {
        for eta in [-5.0, -0.4, 0.0, 1.3] {
            let [p, q] = link.log_tails(eta);
            assert!((p[0].exp() / link.inverse(eta) - 1.0).abs() <= 1e-14, "{link:?} {eta}");
            assert!((q[0].exp() / link.complement(eta) - 1.0).abs() <= 1e-14, "{link:?} {eta}");
            let d = link.inverse_derivatives(eta);
            assert!((p[1] * d[0] / d[1] - 1.0).abs() <= 1e-13, "{link:?} {eta}");
            assert!((-q[1] * link.complement(eta) / d[1] - 1.0).abs() <= 1e-13, "{link:?} {eta}");
        }
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// What is wanted, how many rows there are and where a row stands must not change a row's numbers.
#[test]
fn a_row_has_the_same_bits_in_every_call() {
    for f in all() {
        let (k, count) = (f.predictors(), 37);
        let y: Vec<f64> =
            (0..count).map(|i| f64::from(i % 2)).map(|v| v.max(0.5 * f64::from(f.name() == "gamma"))).collect();
        let columns: Vec<Vec<f64>> =
            (0..k).map(|j| (0..count).map(|i| 0.3 + 0.11 * f64::from(i % (5 + 3 * j as i32))).collect()).collect();
        let run = |range: std::ops::Range<usize>, size: Option<&[f64]>, want: Want| {
            let eta: Vec<&[f64]> = columns.iter().map(|c| &c[range.clone()]).collect();
            let mut out = Derivs::default();
            f.derivs(Rows { y: &y[range], size }, &eta, want, &mut out);
            out
        };
        let ones = vec![1.0; count as usize];
        let all_rows = 0..count as usize;
        for dims in 1..=k {
            let full = run(all_rows.clone(), None, Want { dims, order: 4, value: true });
            for (order, components) in
                [(1, 1 + dims), (2, if dims == 1 { 3 } else { 6 }), (3, if dims == 1 { 4 } else { 10 })]
            {
                for value in [false, true] {
                    let part = run(all_rows.clone(), None, Want { dims, order, value });
                    for c in usize::from(!value)..components {
                        assert_eq!(bits(part.component(c)), bits(full.component(c)), "{}", label(&*f));
                    }
                }
            }
            for start in [0, 1, 16, 35] {
                let tail = run(start..count as usize, None, Want { dims, order: 4, value: true });
                assert_eq!(bits(tail.get(&[0])), bits(&full.get(&[0])[start..]), "{}", label(&*f));
                assert_eq!(bits(tail.value()), bits(&full.value()[start..]), "{}", label(&*f));
            }
            let sized = run(all_rows.clone(), Some(&ones), Want { dims, order: 4, value: true });
            assert_eq!(bits(sized.get(&[0, 0])), bits(full.get(&[0, 0])), "{}", label(&*f));
        }
        if k == 2 {
            let one = run(all_rows.clone(), None, Want { dims: 1, order: 4, value: true });
            let two = run(all_rows.clone(), None, Want { dims: 2, order: 4, value: true });
            for index in [&[0][..], &[0, 0], &[0, 0, 0], &[0, 0, 0, 0]] {
                assert_eq!(bits(one.get(index)), bits(two.get(index)), "{}", label(&*f));
            }
        }
    }
}

#[test]
fn concordance_bounds_the_third_derivative() {
    for f in all() {
        let Some(m) = f.concordance() else { continue };
        for (y, size, eta) in points(&*f) {
            let d = row(&*f, y, size, &eta, 1);
            assert!(d[3].abs() <= m * d[2].abs() * (1.0 + 1e-12), "{} {eta:?}", label(&*f));
        }
        let close = |eta: &Vec<f64>| row(&*f, 1.0, 1.0, eta, 1)[2] < 0.0;
        assert!(moderate(&*f).iter().all(close));
    }
}
