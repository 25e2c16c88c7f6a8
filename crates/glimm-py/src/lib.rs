//! Glue between Python and `glimm-core`: conversion and one seam, no arithmetic.

mod convert;
mod gee;
mod pedigree;
mod population;
mod posterior;
mod precision;
mod problem;
mod registry;
mod seam;
mod threads;

use pyo3::prelude::*;

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("CoreError", m.py().get_type::<seam::CoreError>())?;
    m.add_class::<problem::Problem>()?;
    m.add_class::<precision::Precision>()?;
    m.add_function(wrap_pyfunction!(problem::refit_many, m)?)?;
    m.add_function(wrap_pyfunction!(problem::refit_each, m)?)?;
    m.add_class::<gee::Gee>()?;
    m.add_class::<posterior::Posterior>()?;
    m.add_function(wrap_pyfunction!(posterior::quantile_residuals, m)?)?;
    m.add_class::<pedigree::Pedigree>()?;
    m.add_function(wrap_pyfunction!(pedigree::sort_descent, m)?)?;
    m.add_function(wrap_pyfunction!(pedigree::descent_precision, m)?)?;
    m.add_function(wrap_pyfunction!(pedigree::descent_down, m)?)?;
    m.add_function(wrap_pyfunction!(registry::families, m)?)?;
    m.add_function(wrap_pyfunction!(registry::error_codes, m)?)?;
    m.add_function(wrap_pyfunction!(registry::inverse_link, m)?)?;
    m.add_function(wrap_pyfunction!(registry::factor, m)?)?;
    m.add_function(wrap_pyfunction!(registry::factor_derivatives, m)?)?;
    m.add_function(wrap_pyfunction!(registry::field_correlations, m)?)?;
    m.add_function(wrap_pyfunction!(registry::draw_responses, m)?)?;
    m.add_function(wrap_pyfunction!(registry::draw_effects, m)?)?;
    m.add_function(wrap_pyfunction!(registry::means, m)?)?;
    m.add_function(wrap_pyfunction!(registry::variances, m)?)?;
    m.add_function(wrap_pyfunction!(registry::cdf, m)?)?;
    m.add_function(wrap_pyfunction!(registry::class_probabilities, m)?)?;
    m.add_function(wrap_pyfunction!(registry::accepting, m)?)?;
    m.add_function(wrap_pyfunction!(population::link, m)?)?;
    m.add_function(wrap_pyfunction!(population::population, m)?)?;
    m.add_function(wrap_pyfunction!(population::population_joint, m)?)?;
    m.add_function(wrap_pyfunction!(population::predictive, m)?)?;
    m.add_function(wrap_pyfunction!(population::row_derivatives, m)?)?;
    Ok(())
}
