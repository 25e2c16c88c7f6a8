//! Maximisation of an [`Objective`](crate::objective::Objective).

mod newton;

pub use newton::{Curvature, Outcome, Reason, Settings, maximise};
