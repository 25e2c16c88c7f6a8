//! Maximisation of an [`Objective`](crate::objective::Objective).

mod newton;
mod polar;
mod stationary;

pub use newton::{Curvature, Outcome, Reason, Settings, maximise, maximise_from};
pub use stationary::stationary;
