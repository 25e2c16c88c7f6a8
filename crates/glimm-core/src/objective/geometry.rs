//! How random effects are laid out and which of them meet in a row.
//!
//! The Laplace approximation needs only the operations below. They are implemented twice: for the
//! independent groups of one factor ([`super::block`]) and for crossed and nested factors
//! ([`super::crossed`]). Vectors hold one number per random effect. Matrices hold only the blocks of
//! effects that meet in some row, which is the pattern of Z'WZ and of H.

/// One factor matrix (q x q, row by row) per kind of effect.
pub type Factors = Vec<Vec<f64>>;

/// Operations that no longer see rows.
pub trait Effects {
    fn vector_len(&self) -> usize;
    fn matrix_len(&self) -> usize;
    /// Effects per level of each kind.
    fn sizes(&self) -> Vec<usize>;

    /// out = F x and out = F'x, level by level.
    fn apply(&self, f: &Factors, x: &[f64], out: &mut [f64]);
    fn apply_transpose(&self, f: &Factors, x: &[f64], out: &mut [f64]);
    /// out += L' M R and out += L M R' on the pattern.
    fn add_inner(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]);
    fn add_outer(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]);
    /// out += P, the prior precision of u.
    fn add_precision(&self, out: &mut [f64]);
    /// x = P x.
    fn weigh(&self, x: &mut [f64]);
    /// x = P^-1 x, for effects with a proper prior.
    fn unweigh(&self, _x: &mut [f64]) {}
    /// out_t += sum over the levels of kind t of x y'.
    fn add_dyads(&self, x: &[f64], y: &[f64], out: &mut Factors);
    /// out_t -= the sum of the diagonal blocks of S L C that belong to kind t.
    fn subtract_product(&self, s: &[f64], l: &Factors, c: &[f64], out: &mut Factors);

    /// Factorises H and returns log|H|; `None` when H is not positive definite.
    fn factorise(&mut self, h: &[f64]) -> Option<f64>;
    /// x = H^-1 x with the last factor.
    fn solve(&mut self, x: &mut [f64]);
    /// H^-1 on the pattern.
    fn inverse(&mut self, out: &mut [f64]);
    /// -C dH C on the pattern, where C is the last inverse.
    fn inverse_tangent(&mut self, c: &[f64], dh: &[f64], out: &mut [f64]);
}

/// Operations between rows and random effects.
pub trait Geometry: Effects {
    /// out_i += z_i^k' x over rows.
    fn expand(&self, k: usize, x: &[f64], out: &mut [f64]);
    /// out += Z^k' row.
    fn sum(&self, k: usize, row: &[f64], out: &mut [f64]);
    /// out += Z^k' diag(row) Z^l on the pattern, with its transpose when k < l.
    fn sum_outer(&self, k: usize, l: usize, row: &[f64], out: &mut [f64]);
    /// out_i = z_i^k' M z_i^l.
    fn quadratic(&self, k: usize, l: usize, m: &[f64], out: &mut [f64]);
}
