//! Every family with every link, taken from the registry.

mod densities;
mod derivatives;
mod extremes;
mod reference;
#[allow(clippy::approx_constant)] // values of functions, some of which are famous
#[rustfmt::skip] // one row of arguments and values to a line
mod values;

use glimm_core::family::{Derivs, Family, Rows, Want, families, lookup};
use std::sync::Arc;

/// All families with all their links.
pub fn all() -> Vec<Arc<dyn Family>> {
    let names = families().iter().filter(|e| !e.ordered).flat_map(|e| e.links.iter().map(|link| (e.name, link.name())));
    names.map(|(family, link)| lookup(family, Some(link)).unwrap()).collect()
}

pub fn label(f: &dyn Family) -> String {
    format!("{} {}", f.name(), f.link().name())
}

/// All components up to order 4 of rows that share their predictors.
pub fn rows(f: &dyn Family, y: &[f64], size: f64, eta: &[f64], dims: usize) -> Derivs {
    let columns: Vec<Vec<f64>> = eta.iter().map(|&e| vec![e; y.len()]).collect();
    let eta: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let size = vec![size; y.len()];
    let mut out = Derivs::default();
    f.derivs(Rows { y, size: Some(&size) }, &eta, Want { dims, order: 4, value: true }, &mut out);
    out
}

/// All components up to order 4 of one row.
pub fn row(f: &dyn Family, y: f64, size: f64, eta: &[f64], dims: usize) -> Vec<f64> {
    let out = rows(f, &[y], size, eta, dims);
    (0..if dims == 1 { 5 } else { 15 }).map(|c| out.component(c)[0]).collect()
}

/// Log density with all constants.
pub fn log_density(f: &dyn Family, y: f64, size: f64, eta: &[f64]) -> f64 {
    row(f, y, size, eta, 1)[0] + f.log_constant(y, size)
}

/// Predictors where a mean is positive, finite and not extreme.
pub fn moderate(f: &dyn Family) -> Vec<Vec<f64>> {
    let means: &[f64] = match (f.name(), f.link().name()) {
        ("gamma", "inverse") => &[0.3, 2.0],
        ("gaussian", _) => &[-1.2, 0.7],
        ("binomial", _) => &[-1.5, -0.2, 0.9],
        _ => &[-1.0, 0.4, 2.1],
    };
    match f.predictors() {
        1 => means.iter().map(|&e| vec![e]).collect(),
        _ => means.iter().flat_map(|&e| [-0.9, 0.2, 1.3].map(|t| vec![e, t])).collect(),
    }
}

#[test]
fn lookup_finds_the_default_link_first() {
    for entry in families() {
        let f = lookup(entry.name, None).unwrap();
        assert_eq!((f.name(), f.link()), (entry.name, entry.links[0]));
        assert_eq!(f.parameters(), entry.parameters);
        assert_eq!(f.predictors(), if entry.ordered { 3 } else { 1 + entry.parameters.len() });
    }
    assert!(families().is_sorted_by_key(|entry| entry.name));
}

#[test]
fn unknown_names_list_what_is_allowed() {
    let family = lookup("poison", None).err().unwrap().to_string();
    assert!(family.contains("binomial, gamma, gaussian, nbinom2, poisson"), "{family}");
    let link = lookup("binomial", Some("log")).err().unwrap().to_string();
    assert!(link.contains("cauchit, cloglog, logit, probit"), "{link}");
}
