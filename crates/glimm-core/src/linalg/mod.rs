//! Linear algebra: sums, small dense blocks, large dense matrices, and the sparse factorisation of crossed
//! and nested models.

mod clean;
pub mod dense;
pub mod iterative;
pub mod sparse;
pub mod spd;
pub mod sums;
