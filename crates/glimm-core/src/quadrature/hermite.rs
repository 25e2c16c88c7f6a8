//! Gauss-Hermite nodes.

use std::sync::OnceLock;

use crate::linalg::dense;

/// Steps of Newton's method that polish a node.
const POLISH: usize = 3;
/// Rules with fewer nodes are made once.
const KEPT: usize = 64;

/// Nodes x and log weights of the rule with `k` nodes: the integral of g is about sum_i exp(w_i) g(x_i), exactly where
/// g is the standard normal density times a polynomial of degree below 2k.
///
/// Nodes are eigenvalues of the Jacobi matrix (Golub and Welsch 1969, Math. Comp. 23, 221-230), polished as zeros of
/// the orthonormal polynomial p_k; weights are 1 / (k p_{k-1}(x)^2).
pub fn hermite(k: usize) -> (Vec<f64>, Vec<f64>) {
    static MADE: [OnceLock<(Vec<f64>, Vec<f64>)>; KEPT] = [const { OnceLock::new() }; KEPT];
    MADE.get(k).map_or_else(|| make(k), |made| made.get_or_init(|| make(k)).clone())
}

fn make(k: usize) -> (Vec<f64>, Vec<f64>) {
    let mut jacobi = vec![0.0; k * k];
    for i in 1..k {
        let off = (i as f64).sqrt();
        (jacobi[i * k + i - 1], jacobi[(i - 1) * k + i]) = (off, off);
    }
    let mut nodes = dense::eigen(&jacobi, k).map_or_else(|| vec![0.0; k], |(values, _)| values);
    nodes.sort_by(f64::total_cmp);
    for x in &mut nodes {
        for _ in 0..POLISH {
            let (value, before) = orthonormal(k, *x);
            *x -= value / ((k as f64).sqrt() * before);
        }
    }
    let symmetric: Vec<f64> = (0..k).map(|i| 0.5 * (nodes[i] - nodes[k - 1 - i])).collect();
    let log_weight = |x: &f64| {
        let (_, before) = orthonormal(k, *x);
        0.5 * x * x + 0.5 * std::f64::consts::TAU.ln() - (k as f64).ln() - 2.0 * before.abs().ln()
    };
    let weights = symmetric.iter().map(log_weight).collect();
    (symmetric, weights)
}

/// p_k(x) and p_{k-1}(x), orthonormal under the standard normal density.
fn orthonormal(k: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (0.0, 1.0);
    for n in 0..k {
        (before, value) = (value, (x * value - (n as f64).sqrt() * before) / ((n + 1) as f64).sqrt());
    }
    (value, before)
}
