//! Sparse symmetric positive definite matrices whose pattern is fixed and whose values change.
//!
//! The posterior precision of crossed or nested random effects is such a matrix. [`Symbolic`] is
//! made once per pattern; [`Factor`] owns all storage and is used again at each evaluation:
//!
//! * factorisation `P H P' = L L'`, log-determinant, solves, half solves (for sampling),
//! * `C = H^-1` on the pattern of `H` (the recursion of Takahashi, Fagan and Chen),
//! * the exact directional derivative `-C dH C` on that pattern.
//!
//! Columns of `L` with (nearly) one pattern form a supernode `J` with rows `S` below it. When `J` is
//! eliminated, what that takes off the matrix over `S` goes straight to the supernodes that own these
//! rows ([`ancestors::subtract`]). The inverse runs the other way: `C_SS`, all that is needed for
//! the columns `J` of `C`, is fetched from the same places ([`ancestors::add_product`]). Nothing is
//! stored but the columns of `L`, those of `C` and, once they are asked for, those of the
//! derivative; what dense algebra of one supernode works on is small beside them.
//!
//! Values are always aligned with the caller's pattern: the lower triangle with the diagonal, by
//! columns, rows ascending. Sums run in a fixed order, in storage of fixed alignment: equal input
//! gives equal bits on any number of threads.

mod ancestors;
mod buffer;
mod error;
mod factor;
mod inverse;
mod kernels;
mod order;
mod solve;
mod symbolic;
mod tangent;

pub use error::{NotPositiveDefinite, SparseError};
pub use factor::Factor;
pub use symbolic::Symbolic;
