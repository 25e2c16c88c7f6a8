//! Generalized estimating equations: sum_i D_i' V_i^-1 (y_i - mu_i) = 0 over clusters i, with
//! V_i = phi A_i^(1/2) R(alpha) A_i^(1/2) (Liang and Zeger 1986, Biometrika 73, 13-22).
//!
//! Everything is written in rows that have been made uncorrelated and of variance one: with W a square root
//! of V_i^-1, a cluster enters through M_i = (W D)'(W D) and u_i = (W D)'(W r) alone ([`equations`]). What a
//! working correlation is and how it makes rows uncorrelated is one file in [`working`]; its parameters and
//! the scale are moments ([`moments`]); `fit` alternates between them; `covariance` and `freedom` are
//! functions of all (u_i, M_i), taken in one pass over clusters, none of which is kept.

mod covariance;
mod data;
mod equations;
mod fit;
mod freedom;
mod moments;
mod rows;
mod standard;
pub mod working;

pub use covariance::Kind;
pub use data::{Data, Source};
pub use equations::Task;
pub use fit::{Found, Options, without_each};
pub use freedom::Freedom;
pub use moments::{Scale, contributions};
pub use rows::Rows;
pub use working::{Places, Working};

/// Parameters of all three equations, coefficients in standard units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub beta: Vec<f64>,
    /// The scale phi itself, or coefficients of its logarithm.
    pub scale: Vec<f64>,
    pub alpha: Vec<f64>,
}
