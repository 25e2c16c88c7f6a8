//! Linear algebra: sums, small dense blocks, and the sparse factorisation of crossed and nested models.

pub mod dense;
pub mod sparse;
pub mod sums;
