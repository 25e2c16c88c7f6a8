//! Toeplitz: a correlation for each lag.
//!
//! The parameters are angles whose sines are the partial autocorrelations; any are allowed, and every Toeplitz
//! correlation matrix has its own (Barndorff-Nielsen and Schou 1973, J. Multivariate Analysis 3).

use super::dual::Number;
use super::scaled::{Correlation, fold_angle};

pub struct Toeplitz {
    pub name: &'static str,
    pub q: usize,
}

impl Correlation for Toeplitz {
    fn name(&self) -> &'static str {
        self.name
    }

    fn effects(&self) -> usize {
        self.q
    }

    fn start(&self) -> Vec<f64> {
        vec![0.0; self.q - 1]
    }

    /// Row i of C predicts effect i from those before it by the Durbin-Levinson recursion: with a the coefficients of
    /// the best prediction from the last i - 1, the partial autocorrelation s = sin(phi_i) and c = cos(phi_i),
    /// a_k <- a_k - s a_(i-k), a_i = s, and the standard deviation of what is new is multiplied by c.
    fn root<T: Number>(&self, shape: &[T], c: &mut [T]) {
        let q = self.q;
        let (mut a, mut fresh): (Vec<T>, T) = (Vec::new(), T::of(1.0));
        c[0] = fresh;
        for i in 1..q {
            let (s, before) = (shape[i - 1].sin(), a.clone());
            for k in 0..before.len() {
                a[k] = before[k] - s * before[before.len() - 1 - k];
            }
            a.push(s);
            fresh = fresh * shape[i - 1].cos();
            c[i * q + i] = fresh;
            for (lag, &weight) in (1..).zip(&a) {
                let earlier = i - lag;
                (0..=earlier).for_each(|j| c[i * q + j] = c[i * q + j] + weight * c[earlier * q + j]);
            }
        }
    }

    fn fold(&self, shape: &mut [f64]) -> bool {
        shape.iter_mut().filter_map(|angle| fold_angle(angle).then_some(())).count() > 0
    }
}
