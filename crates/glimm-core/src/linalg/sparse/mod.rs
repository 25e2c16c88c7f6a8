//! Sparse symmetric positive definite matrices whose pattern is fixed and whose values change.
//!
//! The posterior precision of crossed or nested random effects is such a matrix. [`Symbolic`] is
//! made once per pattern; [`Factor`] owns all storage and is used again at each evaluation:
//!
//! * factorisation `P H P' = L L'`, log-determinant, solves, half solves (for sampling),
//! * `C = H^-1` on the pattern of `H` (the recursion of Takahashi, Fagan and Chen),
//! * the exact directional derivative `-C dH C` on that pattern.
//!
//! The factorisation is multifrontal. Columns of `L` with (nearly) one pattern form a supernode
//! `J` with rows `S` below it. Its dense *front* over `J` and `S` collects what its children in the
//! elimination tree leave over, `J` is eliminated, and the Schur complement on `S` is added to the
//! front of its parent, which contains `S`. The inverse runs the other way, from the parents down:
//! a parent's front of `C` contains `C_SS`, all that is needed for the columns `J` of `C`. Hence
//! every pass is either [`fronts::extend_add`] upwards or [`fronts::gather`] downwards, and dense
//! algebra in between.
//!
//! Values are always aligned with the caller's pattern: the lower triangle with the diagonal, by
//! columns, rows ascending. Sums run in a fixed order on one thread, in storage of fixed
//! alignment: equal input gives equal bits.

mod buffer;
mod error;
mod factor;
mod fronts;
mod inverse;
mod kernels;
mod order;
mod solve;
mod symbolic;
mod tangent;

pub use error::{NotPositiveDefinite, SparseError};
pub use factor::Factor;
pub use symbolic::Symbolic;
