//! Elementary and special functions.
//!
//! The functions of [`elementary`] and [`stirling`] have no branches, so that a loop over rows inside
//! [`vectorized`] becomes vector code. They are made of correctly rounded operations only and
//! therefore return the same bits on every machine.

mod elementary;
mod gamma;
mod incomplete;
mod normal;

pub use elementary::{cauchy_cdf, exp, expm1, ln, log1p, log1p_unit, log1pmx, logistic, softplus};
pub(crate) use elementary::{expm1_near, log1p_or_ln, log1pmx_near, polynomial, select};
pub(crate) use gamma::HALF_LN_2PI;
pub use gamma::{digamma, lgamma, polygamma2, polygamma3, saturated_poisson, stirling, trigamma};
pub(crate) use incomplete::{NODES as GAUSS_NODES, WEIGHTS as GAUSS_WEIGHTS};
pub use incomplete::{beta_inc, gamma_inc};
pub use normal::{log_normal_cdf, log_normal_cdf_derivatives, mills, normal_cdf, normal_pdf, normal_quantile};

/// Runs `f` compiled for the best instruction set of this machine. The compiler must inline it to do
/// so: write `vectorized(#[inline(always)] || ...)` unless the closure is tiny.
#[inline(always)]
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}
