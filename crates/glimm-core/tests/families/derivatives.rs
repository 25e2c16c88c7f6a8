//! Derivatives against differences, and against each other.

use super::points::{combinations, points};
use super::{all, components, label, moderate, row};
use glimm_core::family::{Derivs, Family, Rows, Want, component_offset};
use glimm_core::link::Link;

/// Of the derivative, or of a thousandth of the largest one where it is close to a root: what
/// Richardson's extrapolation from steps of 0.04 can tell.
const TOLERANCE: f64 = 1e-8;

/// Richardson-extrapolated central differences of all components of a function.
fn differences(f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let at = |h: f64| -> Vec<f64> { f(h).iter().zip(f(-h)).map(|(up, down)| (up - down) / (2.0 * h)).collect() };
    let mut table: Vec<Vec<f64>> = (0..4).map(|i| at(0.04 * 0.5f64.powi(i))).collect();
    for order in 1..4 {
        let p = 4f64.powi(order as i32);
        for i in (order..4).rev() {
            table[i] = (0..table[i].len()).map(|c| (p * table[i][c] - table[i - 1][c]) / (p - 1.0)).collect();
        }
    }
    table.swap_remove(3)
}

fn difference(f: impl Fn(f64) -> f64) -> f64 {
    differences(|h| vec![f(h)])[0]
}

/// All sorted multi-indices of these orders.
fn indices(dims: usize, orders: std::ops::RangeInclusive<usize>) -> Vec<Vec<usize>> {
    let longer = |list: &[Vec<usize>]| -> Vec<Vec<usize>> {
        let next = |index: &Vec<usize>| index.last().copied().unwrap_or(0)..dims;
        list.iter().flat_map(|index| next(index).map(|k| [&index[..], &[k]].concat())).collect()
    };
    let mut levels = vec![vec![Vec::new()]];
    while levels.len() <= *orders.end() {
        levels.push(longer(&levels[levels.len() - 1]));
    }
    levels[orders].concat()
}

fn places(f: &dyn Family) -> Vec<(f64, f64, Vec<f64>)> {
    let grid = combinations(points(f).grid);
    let at = |&(y, size): &(f64, f64)| grid.iter().map(move |eta| (y, size, eta.clone())).collect::<Vec<_>>();
    points(f).responses.iter().flat_map(at).collect()
}

#[test]
fn every_derivative_is_the_difference_of_the_next_lower_one() {
    for f in all() {
        for (y, size, eta) in places(&*f) {
            let dims = eta.len();
            let exact = row(&*f, y, size, &eta, dims);
            let largest = exact[1..].iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let along = |k: usize| {
                differences(|h| {
                    let mut moved = eta.clone();
                    moved[k] += h;
                    row(&*f, y, size, &moved, dims)
                })
            };
            let numeric: Vec<Vec<f64>> = (0..dims).map(along).collect();
            for index in indices(dims, 1..=4) {
                let (&k, lower) = index.split_last().unwrap();
                let numeric = numeric[k][component_offset(dims, lower)];
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
        let positive = matches!(link, Link::InverseSquare | Link::Power(_) | Link::Sqrt);
        for eta in [-2.4, -1.1, 0.3, 0.9, 2.0] {
            if positive && eta < 0.0 {
                continue;
            }
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
    for link in [Link::Logit, Link::Probit, Link::Cloglog, Link::Loglog, Link::Cauchit] {
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
        let single: Vec<f64> = points(&*f).responses.iter().filter(|r| r.1 == 1.0).map(|r| r.0).collect();
        let y: Vec<f64> = single.into_iter().cycle().take(count).collect();
        let columns: Vec<Vec<f64>> =
            (0..k).map(|j| (0..count).map(|i| 0.3 + 0.11 * (i % (5 + 3 * j)) as f64).collect()).collect();
        let run = |range: std::ops::Range<usize>, size: Option<&[f64]>, want: Want| {
            let eta: Vec<&[f64]> = columns.iter().map(|c| &c[range.clone()]).collect();
            let mut out = Derivs::default();
            f.derivs(Rows { y: &y[range], size }, &eta, want, &mut out);
            out
        };
        let ones = vec![1.0; count];
        let whole = run(0..count, None, Want { dims: k, order: 4, value: true });
        for dims in 1..=k {
            let full = run(0..count, None, Want { dims, order: 4, value: true });
            for order in 1..=3 {
                for value in [false, true] {
                    let part = run(0..count, None, Want { dims, order, value });
                    for c in usize::from(!value)..components(dims, order) {
                        assert_eq!(bits(part.component(c)), bits(full.component(c)), "{}", label(&*f));
                    }
                }
            }
            let alone = run(0..count, None, Want { dims, order: 0, value: true });
            assert_eq!(bits(alone.value()), bits(full.value()), "{}", label(&*f));
            for start in [0, 1, 16, 35] {
                let tail = run(start..count, None, Want { dims, order: 4, value: true });
                assert_eq!(bits(tail.get(&[0])), bits(&full.get(&[0])[start..]), "{}", label(&*f));
                assert_eq!(bits(tail.value()), bits(&full.value()[start..]), "{}", label(&*f));
            }
            let sized = run(0..count, Some(&ones), Want { dims, order: 4, value: true });
            assert_eq!(bits(sized.get(&[0, 0])), bits(full.get(&[0, 0])), "{}", label(&*f));
            for index in indices(dims, 1..=4) {
                assert_eq!(bits(full.get(&index)), bits(whole.get(&index)), "{} {index:?}", label(&*f));
            }
        }
    }
}

#[test]
fn concordance_bounds_the_third_derivative() {
    for f in all() {
        let Some(m) = f.concordance() else { continue };
        for (y, size, eta) in places(&*f) {
            let d = row(&*f, y, size, &eta, 1);
            assert!(d[3].abs() <= m * d[2].abs() * (1.0 + 1e-12), "{} {eta:?}", label(&*f));
        }
        let (y, size) = points(&*f).responses[1];
        assert!(moderate(&*f).iter().all(|eta| row(&*f, y, size, eta, 1)[2] < 0.0));
    }
}
