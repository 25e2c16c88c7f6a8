//! Every family with every link against numeric derivatives, sums, integrals and draws.

use glimm_core::family::{Derivs, Family, Rows, Want, component_offset, families, lookup};
use std::sync::Arc;

fn all() -> Vec<Arc<dyn Family>> {
    let mut list = Vec::new();
    for entry in families() {
        for link in entry.links {
            list.push(lookup(entry.name, Some(link.name())).unwrap());
        }
    }
    list
}

/// All components of one row.
fn row(f: &dyn Family, y: f64, size: f64, eta: &[f64], dims: usize) -> Vec<f64> {
    let mut out = Derivs::default();
    let columns: Vec<[f64; 1]> = eta.iter().map(|&e| [e]).collect();
    let eta: Vec<&[f64]> = columns.iter().map(|c| c.as_slice()).collect();
    let (y, size) = ([y], [size]);
    let rows = Rows { y: &y, size: Some(&size) };
    f.derivs(rows, &eta, Want { dims, order: 4, value: true }, &mut out);
    let count = if dims == 1 { 5 } else { 15 };
    (0..count).map(|c| out.component(c)[0]).collect()
}

/// Richardson-extrapolated central difference of component `c` along predictor `k`.
fn difference(f: &dyn Family, y: f64, size: f64, eta: &[f64], k: usize, c: usize) -> f64 {
    let dims = eta.len();
    let at = |h: f64| {
        let side = |s: f64| {
            let mut moved = eta.to_vec();
            moved[k] += s * h;
            row(f, y, size, &moved, dims)[c]
        };
        (side(1.0) - side(-1.0)) / (2.0 * h)
    };
    let mut table: Vec<f64> = (0..4).map(|i| at(0.04 * 0.5f64.powi(i))).collect();
    for order in 1..4 {
        for i in (order..4).rev() {
            let p = 4f64.powi(order as i32);
            table[i] = (p * table[i] - table[i - 1]) / (p - 1.0);
        }
    }
    table[3]
}

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

/// Responses and predictors in the interior.
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
            if f.link().name() == "inverse" && e0 < 0.3 {
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
fn derivatives_agree_with_differences() {
    let mut worst: Vec<(f64, String)> = Vec::new();
    for f in all() {
        let mut max: (f64, String) = (0.0, String::new());
        for (y, size, eta) in points(&*f) {
            let dims = eta.len();
            let exact = row(&*f, y, size, &eta, dims);
            for index in indices(dims) {
                let k = *index.last().unwrap();
                let lower = &index[..index.len() - 1];
                let d = difference(&*f, y, size, &eta, k, component_offset(dims, lower));
                let e = exact[component_offset(dims, &index)];
                let floor = exact.iter().skip(1).fold(0.0f64, |m, v| m.max(v.abs())) * 1e-3;
                let error = (d - e).abs() / e.abs().max(floor).max(1e-6);
                if error > max.0 {
                    max =
                        (error, format!("{} {} y={y}/{size} eta={eta:?} {index:?} {e} {d}", f.name(), f.link().name()));
                }
            }
        }
        worst.push(max);
    }
    for (e, s) in &worst {
        println!("{e:.2e} {s}");
    }
    assert!(worst.iter().all(|w| w.0 < 1e-8));
}
