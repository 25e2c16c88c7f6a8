//! Ways to factorise H and to invert it on its pattern.

/// A factorisation of H, where matrices are blocks on a [`super::pattern::Pattern`].
pub trait Solver: Send {
    /// Factorises H and returns log|H|; `None` when H is not positive definite.
    fn factorise(&mut self, h: &[f64]) -> Option<f64>;
    /// x = H^-1 x with the last factor.
    fn solve(&mut self, x: &mut [f64]);
    /// H^-1 on the pattern.
    fn inverse(&mut self, out: &mut [f64]);
    /// -C dH C on the pattern, where C is the last inverse.
    fn inverse_tangent(&mut self, dh: &[f64], out: &mut [f64]);
    /// Whether a factorisation costs much more than a solution.
    fn costly(&self) -> bool {
        true
    }
}
