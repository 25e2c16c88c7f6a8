//! Dense algebra on column-major blocks: plain loops for little work, faer's kernels for much.
//! Which of the two is taken depends on sizes only.

mod block;
mod product;
mod triangle;
mod vector;

pub use block::{Block, BlockMut};
pub use product::{
    add_inner, add_symmetric, lower_columns, negative_sandwich, product, product_transposed, subtract_product,
};
pub use triangle::{cholesky, inverse, memory, mirror, solve_right, solve_transposed_right};

/// Multiply-adds below which a call into a blocked kernel costs more than it saves. Measured; times
/// hardly depend on it from a third of this to three times as much.
const SMALL: usize = 1_000;
/// Order up to which a triangle is treated by plain loops; measured in the same way.
const SMALL_ORDER: usize = 8;
