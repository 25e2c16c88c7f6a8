//! Covariance structures: their algebra, and derivatives against differences.

use glimm_core::structure::{REGISTRY, Structure, lookup};
use std::sync::Arc;

const Q: usize = 4;
/// Two coordinates of four places.
const PLACES: &str = "2,0,0,1,0,0.5,2,3,1";

fn all() -> Vec<Arc<dyn Structure>> {
    let text = |name: &str| match name {
        "ou" => "ou(0,0.5,2,2.25)".to_string(),
        "exp" | "gau" => format!("{name}({PLACES})"),
        "mat" => format!("mat(2.5,{PLACES})"),
        _ => name.to_string(),
    };
    REGISTRY.iter().map(|(name, _)| lookup(&text(name), Q).unwrap()).collect()
}

fn theta(structure: &dyn Structure) -> Vec<f64> {
    (0..structure.parameters()).map(|j| 0.9 - 0.23 * j as f64 + 0.01 * (j * j) as f64).collect()
}

fn factor(structure: &dyn Structure, theta: &[f64]) -> Vec<f64> {
    let mut out = vec![f64::NAN; Q * Q];
    structure.factor(theta, &mut out);
    out
}

fn covariance(structure: &dyn Structure, theta: &[f64]) -> Vec<f64> {
    let l = factor(structure, theta);
    (0..Q * Q).map(|i| (0..Q).map(|k| l[i / Q * Q + k] * l[i % Q * Q + k]).sum()).collect()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{a:?}\n{b:?}");
    }
}

/// Richardson's central differences of f in parameter j.
fn difference(f: &dyn Fn(&[f64]) -> Vec<f64>, at: &[f64], j: usize) -> Vec<f64> {
    let central = |h: f64| {
        let (mut up, mut down) = (at.to_vec(), at.to_vec());
        up[j] += h;
        down[j] -= h;
        f(&up).iter().zip(f(&down)).map(|(a, b)| (a - b) / (2.0 * h)).collect::<Vec<f64>>()
    };
    central(1e-3).iter().zip(central(2e-3)).map(|(near, far)| (4.0 * near - far) / 3.0).collect()
}

#[test]
fn derivatives_are_those_of_the_factor() {
    for structure in all() {
        let at = theta(structure.as_ref());
        for j in 0..at.len() {
            let mut found = vec![f64::NAN; Q * Q];
            structure.derivative(&at, j, &mut found);
            close(&found, &difference(&|t| factor(structure.as_ref(), t), &at, j), 1e-9);
            for i in 0..at.len() {
                let first = |t: &[f64]| {
                    let mut out = vec![0.0; Q * Q];
                    structure.derivative(t, i, &mut out);
                    out
                };
                let mut second = vec![0.0; Q * Q];
                let any = structure.second_derivative(&at, i, j, &mut second);
                assert!(any == structure.curved());
                close(&second, &difference(&first, &at, j), 1e-9);
            }
        }
    }
}

#[test]
fn factors_are_lower_triangular_and_oriented_ones_have_the_same_covariance() {
    for structure in all() {
        let mut at = theta(structure.as_ref());
        at.iter_mut().step_by(2).for_each(|t| *t *= -2.3);
        let before = covariance(structure.as_ref(), &at);
        structure.orient(&mut at);
        close(&before, &covariance(structure.as_ref(), &at), 1e-12);
        let l = factor(structure.as_ref(), &at);
        assert!((0..Q * Q).all(|i| i % Q <= i / Q || l[i] == 0.0), "{}", structure.name());
        assert!(!structure.orient(&mut at), "{}", structure.name());
    }
}

#[test]
fn other_units_multiply_the_factor() {
    for structure in all() {
        let mut at = theta(structure.as_ref());
        let unit = |r: usize| if structure.own_units() { 0.5 + r as f64 } else { 3.0 };
        let m: Vec<f64> = (0..Q * Q).map(|i| if i / Q == i % Q { unit(i / Q) } else { 0.0 }).collect();
        let before = factor(structure.as_ref(), &at);
        structure.transform(&mut at, &m);
        let wanted: Vec<f64> = before.iter().enumerate().map(|(i, x)| unit(i / Q) * x).collect();
        close(&factor(structure.as_ref(), &at), &wanted, 1e-12);
    }
}

/// Correlations and standard deviations, by a rule.
fn matrix(sd: &[f64], rho: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..Q * Q).map(|i| sd[i / Q] * sd[i % Q] * if i / Q == i % Q { 1.0 } else { rho(i / Q, i % Q) }).collect()
}

#[test]
fn covariances_are_those_of_the_textbook() {
    let sd = [1.5; Q];
    let angle: f64 = 0.7;
    let rho = angle.sin();
    let of = |name: &str, theta: &[f64]| covariance(lookup(name, Q).unwrap().as_ref(), theta);
    close(&of("ar1", &[1.5, angle]), &matrix(&sd, |i, j| rho.powi(i.abs_diff(j) as i32)), 1e-14);
    close(&of("homdiag", &[1.5]), &matrix(&sd, |_, _| 0.0), 1e-14);
    let own = [0.3_f64, 1.1, 0.8, 1.4];
    let variances: Vec<f64> = own.iter().map(|t| t * t).collect();
    let with = |shape: &[f64]| own.iter().chain(shape).copied().collect::<Vec<f64>>();
    close(&of("hetar1", &with(&[angle])), &matrix(&variances, |i, j| rho.powi(i.abs_diff(j) as i32)), 1e-14);
    // An autoregression has one partial autocorrelation.
    close(&of("homtoep", &[1.5, angle, 0.0, 0.0]), &of("ar1", &[1.5, angle]), 1e-14);
    let times: [f64; Q] = [0.0, 0.5, 2.0, 2.25];
    let range = 0.75 * 0.4_f64.exp();
    close(
        &of("ou(0,0.5,2,2.25)", &[1.5, 0.4]),
        &matrix(&sd, |i, j| (-(times[i] - times[j]).abs() / range).exp()),
        1e-13,
    );
}

#[test]
fn fields_are_those_of_the_textbook() {
    let at: [[f64; 2]; Q] = [[0.0, 0.0], [1.0, 0.0], [0.5, 2.0], [3.0, 1.0]];
    let apart = |i: usize, j: usize| (at[i][0] - at[j][0]).hypot(at[i][1] - at[j][1]);
    let nearest = |i: usize| (0..Q).filter(|&j| j != i).map(|j| apart(i, j)).fold(f64::INFINITY, f64::min);
    let range = 0.4_f64.exp() * (0..Q).map(nearest).sum::<f64>() / Q as f64;
    let of = |name: &str| covariance(lookup(name, Q).unwrap().as_ref(), &[1.5, 0.4]);
    let d = |i: usize, j: usize| apart(i, j) / range;
    close(&of(&format!("exp({PLACES})")), &matrix(&[1.5; Q], |i, j| (-d(i, j)).exp()), 1e-13);
    close(&of(&format!("mat(0.5,{PLACES})")), &of(&format!("exp({PLACES})")), 1e-13);
    // All but the roughest have a nugget of 1e-8.
    close(&of(&format!("gau({PLACES})")), &matrix(&[1.5; Q], |i, j| (-d(i, j).powi(2)).exp()), 2e-8);
    let three = |i, j| (1.0 + 3f64.sqrt() * d(i, j)) * (-3f64.sqrt() * d(i, j)).exp();
    close(&of(&format!("mat(1.5,{PLACES})")), &matrix(&[1.5; Q], three), 2e-8);
    let five = |i, j| {
        let s = 5f64.sqrt() * d(i, j);
        (1.0 + s + s * s / 3.0) * (-s).exp()
    };
    close(&of(&format!("mat(2.5,{PLACES})")), &matrix(&[1.5; Q], five), 2e-8);
}

#[test]
fn fields_have_limits() {
    for name in [format!("exp({PLACES})"), format!("gau({PLACES})"), format!("mat(2.5,{PLACES})")] {
        let structure = lookup(&name, Q).unwrap();
        close(&covariance(structure.as_ref(), &[1.5, -9.0]), &matrix(&[1.5; Q], |_, _| 0.0), 1e-12);
        close(&covariance(structure.as_ref(), &[1.5, 16.0]), &matrix(&[1.5; Q], |_, _| 1.0), 1e-6);
    }
    let line = lookup("exp(1,0,0.5,2,2.25)", Q).unwrap();
    // The units of the ranges: nearest neighbours here, neighbours in time there.
    let shift = (0.75_f64 / ((0.5 + 0.5 + 0.25 + 0.25) / 4.0)).ln();
    let ou = covariance(lookup("ou(0,0.5,2,2.25)", Q).unwrap().as_ref(), &[0.8, 0.3]);
    close(&covariance(line.as_ref(), &[0.8, 0.3 + shift]), &ou, 1e-13);
}

#[test]
fn compound_symmetry_reaches_both_ends() {
    use std::f64::consts::FRAC_PI_2;
    for (angle, rho) in [(-FRAC_PI_2, -1.0 / 3.0), (FRAC_PI_2, 1.0), (-0.5_f64, f64::NAN)] {
        let rho = if rho.is_nan() { 1.0 - 4.0 / 3.0 * 0.5 * (1.0 - angle.sin()) } else { rho };
        let found = covariance(lookup("homcs", Q).unwrap().as_ref(), &[2.0, angle]);
        close(&found, &matrix(&[2.0; Q], |_, _| rho), 1e-12);
    }
    let start = lookup("homcs", Q).unwrap().start(2.0);
    close(&covariance(lookup("homcs", Q).unwrap().as_ref(), &start), &matrix(&[2.0; Q], |_, _| 0.0), 1e-12);
}

#[test]
fn partial_autocorrelations_make_a_toeplitz_matrix() {
    let found = covariance(lookup("homtoep", Q).unwrap().as_ref(), &[1.0, 0.5, -0.3, 1.1]);
    for i in 1..Q {
        for j in 1..=i {
            close(&[found[i * Q + j]], &[found[(i - 1) * Q + j - 1]], 1e-13);
        }
    }
}

#[test]
fn full_rank_is_any_covariance_and_constants_that_do_not_fit_are_refused() {
    let any = theta(lookup("us", Q).unwrap().as_ref());
    close(&factor(lookup("rr(4)", Q).unwrap().as_ref(), &any), &factor(lookup("us", Q).unwrap().as_ref(), &any), 0.0);
    assert!(lookup("rr(5)", Q).is_none() && lookup("ou(0,1)", Q).is_none() && lookup("ou(0,0,1,2)", Q).is_none());
    assert!(lookup("exp(2,0,0,1,1)", Q).is_none() && lookup("exp(1,0,0,1,2)", Q).is_none());
    assert!(lookup("mat(1,2,0,0,1,1)", 2).is_none() && lookup("exp", Q).is_none());
    assert!(lookup("nothing", Q).is_none() && lookup("rr(x)", Q).is_none());
}
