//! One-dimensional integrals: nodes of Gauss and Hermite, and panels of Gauss and Kronrod that are halved as needed.
//!
//! Integrands are given by their logarithms, and so are weights: integrals over random effects span hundreds of orders
//! of magnitude.

mod adaptive;
mod hermite;

pub use adaptive::{Line, Node, line};
pub use hermite::hermite;
