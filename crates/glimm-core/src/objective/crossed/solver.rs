//! Ways to factorise H and to invert it on its pattern.

use std::ops::Range;

/// A factorisation of H, where matrices are blocks on a [`super::pattern::Pattern`].
pub trait Solver: Send + Sync {
    /// Factorises H and returns log|H| (less [`Solver::log_remainder`]); `None` when H is not positive definite.
    fn factorise(&mut self, h: &[f64]) -> Option<f64>;
    /// x = H^-1 x with the last factor.
    fn solve(&mut self, x: &mut [f64]);
    /// The same for several vectors of length `n`, one after the other.
    fn solve_all(&mut self, x: &mut [f64], n: usize) {
        x.chunks_exact_mut(n).for_each(|x| self.solve(x));
    }
    /// H^-1 on the pattern.
    fn inverse(&mut self, out: &mut [f64]);
    /// -C dH C on the pattern, where C is the last inverse.
    fn inverse_tangent(&mut self, dh: &[f64], out: &mut [f64]);
    /// Whether a factorisation costs much more than a solution.
    fn costly(&self) -> bool {
        true
    }

    /// Forgets what earlier points would lend to the next.
    fn forget(&mut self) {}

    /// Number of draws on which the inverse rests; zero when it is exact.
    fn draws(&self) -> usize {
        0
    }

    /// Interleaved vectors of covariance H from which the next inverse is drawn.
    fn set_noise(&mut self, _noise: Vec<f64>) {}

    /// The draws that enter the inverse.
    fn use_draws(&mut self, _draws: Range<usize>) {}

    /// What `factorise` leaves out of log|H|, and its standard error.
    fn log_remainder(&self, _signs: &[u64]) -> Option<(f64, f64)> {
        Some((0.0, 0.0))
    }
}
