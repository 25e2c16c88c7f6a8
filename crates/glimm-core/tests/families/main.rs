//! Every family with every link, taken from the registry.

mod amounts;
mod counts;
mod densities;
mod derivatives;
mod extremes;
mod points;
mod powers;
mod reference;
mod reference_amounts;
mod shifts;
#[allow(clippy::approx_constant)] // values of functions, some of which are famous
#[rustfmt::skip] // one row of arguments and values to a line
mod values;
#[allow(clippy::approx_constant)]
#[rustfmt::skip]
mod values_amounts;
#[rustfmt::skip]
mod values_counts;

use glimm_core::family::{Derivs, Family, Rows, Want, component_count, families, lookup};
use points::{combinations, points};
use std::sync::Arc;

/// All families with all their links.
pub fn all() -> Vec<Arc<dyn Family>> {
    let names = families().iter().filter(|e| !e.ordered).flat_map(|e| e.links.iter().map(|link| (e.name, link.name())));
    names.map(|(family, link)| lookup(family, Some(&link)).unwrap()).collect()
}

pub fn label(f: &dyn Family) -> String {
    format!("{} {}", f.name(), f.link().name())
}

/// Number of components up to an order.
pub fn components(dims: usize, order: usize) -> usize {
    (0..=order).map(|o| component_count(dims, o)).sum()
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
    (0..components(dims, 4)).map(|c| out.component(c)[0]).collect()
}

/// Log density with all constants.
pub fn log_density(f: &dyn Family, y: f64, size: f64, eta: &[f64]) -> f64 {
    row(f, y, size, eta, 1)[0] + f.log_constant(y, size)
}

/// Predictors of distributions that sums and draws can tell.
pub fn moderate(f: &dyn Family) -> Vec<Vec<f64>> {
    combinations(points(f).moderate)
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
    let names: Vec<_> = families().iter().map(|entry| entry.name).collect();
    assert!(family.contains(&names.join(", ")), "{family}");
    let link = lookup("binomial", Some("log")).err().unwrap().to_string();
    assert!(link.contains("cauchit, cloglog, logit, loglog, probit"), "{link}");
}
