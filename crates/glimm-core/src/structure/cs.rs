//! Compound symmetry: one correlation between all effects.
//!
//! The correlation runs from -1/(q-1) to 1 with the sine of an angle phi, and with v = pi/4 - phi/2
//!
//! ```text
//! 1 - rho = k (1 - sin phi) = 2 k sin^2 v,   1 + (q-1) rho = 2 (q-1) k cos^2 v,   k = q / (2 (q-1))
//! ```
//!
//! so that the root of the correlation matrix is smooth up to and beyond both ends.

use super::dual::Number;
use super::scaled::{Correlation, fold_angle};
use std::f64::consts::FRAC_PI_4;

pub struct CompoundSymmetry {
    pub name: &'static str,
    pub q: usize,
}

impl CompoundSymmetry {
    fn spread(&self) -> f64 {
        self.q as f64 / (2.0 * (self.q as f64 - 1.0))
    }
}

impl Correlation for CompoundSymmetry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn effects(&self) -> usize {
        self.q
    }

    /// A correlation of zero.
    fn start(&self) -> Vec<f64> {
        vec![(1.0 - 1.0 / self.spread()).asin()]
    }

    /// Column j has d_j on the diagonal and l_j below it, with A_j = 1 + j rho:
    /// d_j = sqrt((1 - rho) A_j / A_(j-1)),  l_j = rho sqrt((1 - rho) / (A_(j-1) A_j)).
    fn root<T: Number>(&self, shape: &[T], c: &mut [T]) {
        let (q, k) = (self.q, self.spread());
        let v = T::of(FRAC_PI_4) - shape[0] * T::of(0.5);
        let rho = T::of(1.0) - v.sin() * v.sin() * T::of(2.0 * k);
        let less = v.sin() * T::of((2.0 * k).sqrt());
        let last = v.cos() * T::of((2.0 * (q as f64 - 1.0) * k).sqrt());
        let sum = |j: usize| T::of(1.0) + rho * T::of(j as f64);
        c[0] = T::of(1.0);
        (1..q).for_each(|i| c[i * q] = rho);
        for j in 1..q {
            let before = sum(j - 1).sqrt();
            let root = if j == q - 1 { last } else { sum(j).sqrt() };
            c[j * q + j] = less * root / before;
            (j + 1..q).for_each(|i| c[i * q + j] = less * rho / (before * root));
        }
    }

    fn fold(&self, shape: &mut [f64]) -> bool {
        fold_angle(&mut shape[0])
    }
}
