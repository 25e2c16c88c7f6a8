//! Models whose covariance is curved in its parameters: engines against each other, derivatives against differences.

mod common;

use common::{check_derivatives, evaluate, normal, relative};
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family::{self, Random};
use glimm_core::fit::{Fitted, Options, Problem};
use glimm_core::integration::{Integration, Rule};
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Order, Quadrature};
use glimm_core::structure::{REGISTRY, lookup};
use rand::{RngExt, SeedableRng};

/// Two ways to the same number.
const SAME: f64 = 1e-10;
/// Climbs stop within 1e-4 standard errors.
const FITTED: f64 = 1e-6;
const GROUPS: usize = 14;

/// A structure's name with constants for `q` effects.
fn text(name: &str, q: usize) -> String {
    let places = |d: usize| {
        let at =
            |i: usize| (0..d).map(|k| format!("{}", (i * (k + 2) % 7) as f64 + 0.3 * i as f64)).collect::<Vec<_>>();
        (0..q).flat_map(at).collect::<Vec<_>>().join(",")
    };
    match name {
        "ou" => format!("ou({})", (0..q).map(|i| (i * (i + 3)).to_string()).collect::<Vec<_>>().join(",")),
        "exp" | "gau" => format!("{name}(2,{})", places(2)),
        "mat" => format!("mat(1.5,2,{})", places(2)),
        "rr" => "rr(2)".into(),
        _ => name.into(),
    }
}

/// Rows that belong to one of `q` times each, some twice, some times missing; with an intercept of the group if `more`.
fn problem(family: &str, name: &str, q: usize, more: bool) -> Data {
    let mut rng = Random::seed_from_u64(7);
    let n = GROUPS * (q + 2);
    let codes: Vec<u32> = (0..n).map(|i| (i / (q + 2)) as u32).collect();
    let time: Vec<usize> = (0..n).map(|_| rng.random_range(0..q)).collect();
    let x: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
    let family = family::lookup(family, None).unwrap();
    let place: Vec<f64> = (0..GROUPS * q).map(|_| 0.6 * normal(&mut rng)).collect();
    let eta = |i: usize| [0.4 + 0.3 * x[i] + place[codes[i] as usize * q + time[i]], -0.2];
    let y = (0..n).map(|i| family.draw(&mut rng, 1.0, &eta(i)[..family.predictors()])).collect();
    let is = |t: usize| Column::of(time.iter().map(|s| f64::from(u8::from(*s == t))).collect());
    let structure = lookup(&text(name, q), q).unwrap();
    let term = Term {
        codes,
        levels: GROUPS,
        columns: (0..q).map(is).collect(),
        predictors: vec![0; q],
        structure,
        prior: None,
        also: Vec::new(),
    };
    let mut terms = vec![term];
    if more {
        let structure = lookup("us", 1).unwrap();
        terms.push(Term { columns: vec![Column::One], predictors: vec![0], structure, ..terms[0].clone() });
    }
    let mut predictors = vec![Predictor::new(vec![Column::One, Column::of(x)], None)];
    predictors.extend(family.parameters().iter().map(|_| Predictor::new(vec![Column::One], None)));
    Data { family, y, size: None, freq: None, predictors, terms, copies: None, constants: None }
}

fn point(data: &Data) -> Vec<f64> {
    let mut psi: Vec<f64> = (0..data.layout().total).map(|j| 0.3 - 0.05 * j as f64).collect();
    for (t, range) in data.terms.iter().zip(&data.layout().theta) {
        range
            .clone()
            .zip(t.structure.start(0.5))
            .enumerate()
            .for_each(|(k, (j, s))| psi[j] = s + 0.11 - 0.02 * k as f64);
    }
    psi
}

#[test]
fn engines_agree_for_every_structure() {
    for (name, _) in REGISTRY {
        for (family, q, more) in [("poisson", 5, false), ("nbinom2", 3, true), ("poisson", 4, true)] {
            let data = problem(family, name, q, more);
            let psi = point(&data);
            let one = evaluate(&mut Block::new(&data), &psi, Order::Hessian);
            let other = evaluate(&mut Crossed::new(&data, Engine::Sparse).unwrap(), &psi, Order::Hessian);
            assert!(relative(&[one.value], &[other.value]) < SAME, "{name} {family}");
            assert!(relative(&one.gradient, &other.gradient) < SAME, "{name} {family}");
            assert!(relative(&one.hessian.unwrap(), &other.hessian.unwrap()) < SAME, "{name} {family}");
        }
    }
}

#[test]
fn derivatives_are_exact_for_every_structure() {
    for (name, _) in REGISTRY {
        let data = problem("poisson", name, 4, false);
        check_derivatives(&mut Block::new(&data), &point(&data), name);
    }
}

#[test]
fn gradients_by_nodes_are_exact() {
    for name in ["ar1", "cs", "homtoep", "ou", "exp"] {
        let data = problem("poisson", name, 3, false);
        let psi = point(&data);
        let mut block = Block::new(&data);
        block.choose(&psi, Rule::Gauss(3)).unwrap();
        let at = evaluate(&mut block, &psi, Order::Gradient);
        for j in 0..psi.len() {
            let mut value = |h: f64| {
                let mut moved = psi.clone();
                moved[j] += h;
                vec![evaluate(&mut block, &moved, Order::Gradient).value]
            };
            let slope = common::richardson(&mut value, 0.005)[0];
            assert!((slope - at.gradient[j]).abs() < 1e-8 * (1.0 + slope.abs()), "{name} {j}");
        }
    }
}

fn fit(data: &Data, options: Options) -> Fitted {
    Problem::new(data.clone(), &options).unwrap().fit(None, &mut |_, _, _, _| true).unwrap()
}

#[test]
fn gaussian_fits_in_closed_form_are_those_of_the_general_path() {
    for reml in [false, true] {
        for (name, _) in REGISTRY {
            let data = problem("gaussian", name, 4, false);
            let laplace = Integration::Laplace;
            let one = fit(&data, Options { reml, ..Options::default() });
            let general = Options { reml, laplace: true, integration: laplace, ..Options::default() };
            let other = fit(&data, general);
            assert!(one.certificate.method == "closed form" && one.verdict.converged, "{name}");
            assert!((one.loglik - other.loglik).abs() < FITTED, "{name} {reml}: {} {}", one.loglik, other.loglik);
            if !other.verdict.converged || other.verdict.identified != one.verdict.identified {
                continue;
            }
            // Restricted fits in closed form take covariances as known in the errors of coefficients.
            let (p, first) = (one.psi.len(), if reml { data.layout().beta[0].len() } else { 0 });
            for j in first..p {
                let (a, b) = (one.verdict.covariance[j * p + j], other.verdict.covariance[j * p + j]);
                assert!(a.is_nan() && b.is_nan() || (a - b).abs() < 1e-3 * b, "{name} {reml} {j}: {a} {b}");
            }
        }
    }
}

#[test]
fn parameters_that_are_held_or_shared_are_not_climbed() {
    use glimm_core::fit::Tie;
    for family in ["poisson", "gaussian", "nbinom2"] {
        let data = problem(family, "ar1", 5, true);
        let laplace = || Options { integration: Integration::Laplace, laplace: true, ..Options::default() };
        let free = fit(&data, laplace());
        let theta = data.layout().theta;
        // Held where it is best, nothing changes.
        let best = free.psi[theta[0].start + 1];
        let tie = Tie { parameter: (0, 1), to: None, value: best };
        let held = fit(&data, Options { ties: vec![tie], ..laplace() });
        assert!((held.loglik - free.loglik).abs() < FITTED, "{family}: {} {}", held.loglik, free.loglik);
        assert!(held.verdict.covariance[(theta[0].start + 1) * (held.psi.len() + 1)] == 0.0);
        // Shared: the best of all fits with both held at one value.
        let share = Tie { parameter: (1, 0), to: Some((0, 0)), value: 0.0 };
        let shared = fit(&data, Options { ties: vec![share], ..laplace() });
        let sd = shared.psi[theta[0].start];
        assert!((sd - shared.psi[theta[1].start]).abs() < 1e-12, "{family}");
        let both = |x: f64| {
            let hold = |t: usize| Tie { parameter: (t, 0), to: None, value: x };
            fit(&data, Options { ties: vec![hold(0), hold(1)], ..laplace() }).loglik
        };
        assert!((both(sd) - shared.loglik).abs() < FITTED, "{family}");
        assert!(both(sd * 1.01) < shared.loglik + 1e-9 && both(sd * 0.99) < shared.loglik + 1e-9, "{family}");
        assert!(shared.loglik < free.loglik + 1e-9, "{family}");
    }
}
