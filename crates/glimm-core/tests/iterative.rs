//! Conjugate gradients and stochastic Lanczos quadrature against dense algebra.

use glimm_core::linalg::iterative::{Operator, conjugate_gradients, log_determinants};
use glimm_core::linalg::spd;
use rand::{RngExt, SeedableRng};

const N: usize = 40;
/// Rounding of a solution, relative.
const SOLVED: f64 = 1e-10;

/// A dense matrix preconditioned by its diagonal.
struct Dense {
    s: Vec<f64>,
}

impl Dense {
    fn new(seed: u64) -> Dense {
        let mut rng = glimm_core::family::Random::seed_from_u64(seed);
        let b: Vec<f64> = (0..N * N).map(|_| rng.random_range(-0.15..0.15)).collect();
        let entry = |i: usize, j: usize| (0..N).map(|k| b[i * N + k] * b[j * N + k]).sum::<f64>();
        let own = |i: usize| 1.0 + i as f64 / 10.0;
        Dense { s: (0..N * N).map(|k| entry(k / N, k % N) + if k / N == k % N { own(k / N) } else { 0.0 }).collect() }
    }

    fn logdet(&self) -> f64 {
        spd::cholesky(&mut self.s.clone(), N).unwrap()
    }

    fn diagonal(&self, i: usize) -> f64 {
        self.s[i * N + i]
    }
}

impl Operator for Dense {
    fn order(&self) -> usize {
        N
    }

    fn apply(&self, x: &[f64], columns: usize, out: &mut [f64]) {
        for i in 0..N {
            for m in 0..columns {
                out[i * columns + m] = (0..N).map(|j| self.s[i * N + j] * x[j * columns + m]).sum();
            }
        }
    }

    fn precondition(&self, x: &mut [f64], columns: usize) {
        x.chunks_exact_mut(columns).enumerate().for_each(|(i, x)| x.iter_mut().for_each(|x| *x /= self.diagonal(i)));
    }

    fn unscale(&self, x: &mut [f64], columns: usize) {
        let rows = x.chunks_exact_mut(columns).enumerate();
        rows.for_each(|(i, x)| x.iter_mut().for_each(|x| *x *= self.diagonal(i).sqrt()));
    }
}

#[test]
fn solutions_match_a_cholesky_factor() {
    let s = Dense::new(1);
    for columns in [1, 3, 16] {
        let b: Vec<f64> = (0..N * columns).map(|k| ((k * 7) % 11) as f64 - 5.0).collect();
        let mut x = vec![0.5; b.len()];
        conjugate_gradients(&s, &b, &mut x, columns, 1e-12, 200).unwrap();
        let mut l = s.s.clone();
        spd::cholesky(&mut l, N).unwrap();
        for m in 0..columns {
            let mut exact: Vec<f64> = (0..N).map(|i| b[i * columns + m]).collect();
            spd::solve(&l, N, &mut exact);
            for i in 0..N {
                assert!((x[i * columns + m] - exact[i]).abs() < SOLVED, "{columns} columns");
            }
        }
    }
}

#[test]
fn a_solution_that_takes_too_long_is_none() {
    let (s, b) = (Dense::new(2), vec![1.0; N]);
    assert!(conjugate_gradients(&s, &b, &mut vec![0.0; N], 1, 1e-14, 2).is_none());
}

#[test]
fn quadrature_over_a_basis_is_the_log_determinant() {
    let s = Dense::new(3);
    let mut basis = vec![0.0; N * N];
    (0..N).for_each(|i| basis[i * N + i] = 1.0);
    let parts = log_determinants(&s, &basis, N, 1e-12, 200).unwrap();
    let scale: f64 = (0..N).map(|i| s.diagonal(i).ln()).sum();
    let (found, exact) = (parts.iter().sum::<f64>() + scale, s.logdet());
    assert!((found - exact).abs() < 1e-8, "{found} {exact}");
}

#[test]
fn random_signs_are_unbiased_for_it() {
    let s = Dense::new(4);
    let columns = 400;
    let mut rng = glimm_core::family::Random::seed_from_u64(5);
    let probes: Vec<f64> = (0..N * columns).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
    let parts = log_determinants(&s, &probes, columns, 1e-8, 200).unwrap();
    let mean = parts.iter().sum::<f64>() / columns as f64;
    let variance = parts.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (columns * (columns - 1)) as f64;
    let exact = s.logdet() - (0..N).map(|i| s.diagonal(i).ln()).sum::<f64>();
    assert!((mean - exact).abs() < 4.0 * variance.sqrt(), "{mean} {exact} +- {}", variance.sqrt());
}

#[test]
fn dense_kernels_agree_with_each_other() {
    let s = Dense::new(6);
    let mut l = s.s.clone();
    spd::cholesky(&mut l, N).unwrap();
    let mut c = vec![0.0; N * N];
    spd::inverse(&l, N, &mut c);
    // One column at a time, and all columns at once.
    let mut x = s.s.clone();
    spd::solve(&l, N, &mut x);
    for j in 0..N {
        let mut e = vec![0.0; N];
        e[j] = 1.0;
        spd::solve(&l, N, &mut e);
        for i in 0..N {
            let identity = f64::from(u8::from(i == j));
            assert!((e[i] - c[j * N + i]).abs() < SOLVED);
            assert!((x[j * N + i] - identity).abs() < SOLVED);
        }
    }
    // C S C = C
    let (mut a, mut room) = (s.s.clone(), vec![0.0; N * N]);
    spd::sandwich(&c, &mut a, N, &mut room);
    for j in 0..N {
        (j..N).for_each(|i| assert!((a[j * N + i] - c[j * N + i]).abs() < SOLVED));
    }
    assert!(spd::cholesky(&mut [-1.0], 1).is_none());
}
