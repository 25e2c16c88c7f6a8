//! The closed form of linear mixed models: derivatives against differences, the Laplace path, and
//! identities of the sufficient statistics.

mod common;

use common::*;
use glimm_core::design::{Column, Data};
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::lmm::{Averaged, Lmm};
use glimm_core::objective::{Objective, Order};
use glimm_core::optim::{Curvature, Reason, Settings, maximise};
use glimm_core::suffstat::{Moments, RowSums};

const ALL: [Shape; 9] = [
    Shape::None,
    Shape::Intercept,
    Shape::Slope,
    Shape::Diagonal,
    Shape::Three,
    Shape::TwoTerms,
    Shape::Nested,
    Shape::Crossed,
    Shape::CrossedSlopes,
];

fn gaussian(shape: Shape, seed: u64) -> Data {
    problem("gaussian", "identity", shape, seed)
}

fn laplace(data: &Data, shape: Shape) -> Box<dyn Objective> {
    if SPARSE.contains(&shape) {
        Box::new(Crossed::new(data, Engine::Sparse).unwrap())
    } else {
        Box::new(Block::new(data))
    }
}

/// A harmless point in tau.
fn tau(data: &Data, seed: u64) -> Vec<f64> {
    let layout = data.layout();
    point(data, seed)[layout.fixed()..].to_vec()
}

fn top(lmm: &mut Lmm) -> Vec<f64> {
    let start = lmm.start();
    let settings = Settings {
        curvature: Curvature::Exact,
        tolerance: 1e-18,
        inner_tolerance: 1.0,
        max_iterations: 60,
        reach: vec![f64::INFINITY; start.len()],
        limits: Vec::new(),
        rows: Vec::new(),
    };
    maximise(lmm, &start, settings, &mut |_, _, _| true).psi
}

#[test]
fn profile_derivatives_match_differences() {
    for shape in ALL {
        for reml in [false, true] {
            let data = gaussian(shape, 21);
            let mut lmm = Lmm::new(&data, reml).unwrap();
            check_derivatives(&mut lmm, &tau(&data, 3), &format!("{shape:?} reml {reml}"));
        }
    }
}

#[test]
fn the_closed_form_is_the_laplace_approximation_at_any_point() {
    for shape in ALL {
        let data = gaussian(shape, 22);
        let psi = point(&data, 4);
        let (value, gradient) = Lmm::new(&data, false).unwrap().evaluate_at(&psi).unwrap();
        let other = evaluate(laplace(&data, shape).as_mut(), &psi, Order::Gradient);
        assert!(relative(&[value], &[other.value]) < 1e-12, "{shape:?}: {value} {}", other.value);
        assert!(relative(&gradient, &other.gradient) < 1e-11, "{shape:?}: {gradient:?} {:?}", other.gradient);
    }
}

#[test]
fn reml_gradient_matches_differences_in_all_parameters() {
    for shape in ALL {
        let data = gaussian(shape, 23);
        let (psi, mut lmm) = (point(&data, 5), Lmm::new(&data, true).unwrap());
        let (_, gradient) = lmm.evaluate_at(&psi).unwrap();
        for j in 0..psi.len() {
            let mut value = |h: f64| {
                let mut moved = psi.clone();
                moved[j] += h;
                vec![lmm.evaluate_at(&moved).unwrap().0]
            };
            let error = (richardson(&mut value, 0.005)[0] - gradient[j]).abs();
            assert!(error < 1e-8 * (1.0 + gradient[j].abs()), "{shape:?} {j}: off by {error:e}");
        }
    }
}

/// log |X'V^-1 X| and the rest of the definition, by dense algebra on small data.
#[test]
fn reml_is_maximum_likelihood_integrated_over_the_coefficients() {
    // With a flat prior the integral over beta of exp(L(beta)) is exp(L) (2 pi)^(p/2) |M_xx / sigma^2|^(-1/2).
    for shape in ALL {
        let data = gaussian(shape, 24);
        let psi = point(&data, 6);
        let p = data.predictors[0].columns.len();
        let (mut ml, mut reml) = (Lmm::new(&data, false).unwrap(), Lmm::new(&data, true).unwrap());
        // The likelihood is quadratic in beta: its maximum and curvature from gradients.
        let slope = |psi: &[f64], ml: &mut Lmm| ml.evaluate_at(psi).unwrap().1[..p].to_vec();
        let at = slope(&psi, &mut ml);
        let mut curvature = vec![0.0; p * p];
        for j in 0..p {
            let mut moved = psi.clone();
            moved[j] += 1.0;
            slope(&moved, &mut ml).iter().zip(&at).enumerate().for_each(|(i, (a, b))| curvature[i * p + j] = b - a);
        }
        let determinant = curvature[0] * curvature[3] - curvature[1] * curvature[2];
        let step = [
            (curvature[3] * at[0] - curvature[1] * at[1]) / determinant,
            (curvature[0] * at[1] - curvature[2] * at[0]) / determinant,
        ];
        let mut best = psi.clone();
        best[0] += step[0];
        best[1] += step[1];
        let half_log = 0.5 * (p as f64 * (2.0 * std::f64::consts::PI).ln() - determinant.ln());
        let expected = ml.evaluate_at(&best).unwrap().0 + half_log;
        let found = reml.evaluate_at(&psi).unwrap().0;
        assert!((found - expected).abs() < 1e-9 * (1.0 + found.abs()), "{shape:?}: {found} {expected}");
    }
}

#[test]
fn the_joint_hessian_at_the_top_is_that_of_the_laplace_path() {
    for shape in ALL {
        let data = gaussian(shape, 25);
        let mut lmm = Lmm::new(&data, false).unwrap();
        let best = top(&mut lmm);
        let joint = lmm.joint(&best).unwrap();
        let other = evaluate(laplace(&data, shape).as_mut(), &joint.psi, Order::Hessian);
        let size = other.hessian.as_ref().unwrap().iter().fold(0.0_f64, |m, h| m.max(h.abs()));
        assert!(other.gradient.iter().all(|g| g.abs() < 1e-7 * size), "{shape:?}: {:?}", other.gradient);
        assert!(relative(&[joint.evaluation.value], &[other.value]) < 1e-12);
        let error = relative(&joint.evaluation.hessian.unwrap(), &other.hessian.unwrap());
        assert!(error < 1e-8, "{shape:?}: Hessian off by {error:e}");
    }
}

#[test]
fn the_posterior_is_that_of_the_laplace_path() {
    for shape in ALL.into_iter().filter(|s| *s != Shape::None) {
        let data = gaussian(shape, 26);
        let mut lmm = Lmm::new(&data, false).unwrap();
        let best = top(&mut lmm);
        let joint = lmm.joint(&best).unwrap();
        let mut other = laplace(&data, shape);
        evaluate(other.as_mut(), &joint.psi, Order::Gradient);
        other.accept();
        let (a, b) = (lmm.posterior(), other.posterior());
        for t in 0..data.terms.len() {
            assert!(relative(&a.modes[t], &b.modes[t]) < 1e-8, "{shape:?}");
            assert!(relative(&a.covariances[t], &b.covariances[t]) < 1e-8, "{shape:?}");
        }
    }
}

/// Rows of one grouping factor with a column of its own, summed plainly.
struct Plain {
    codes: Vec<u32>,
    z: Vec<f64>,
}

impl RowSums for Plain {
    fn vector_len(&self) -> usize {
        9
    }

    fn matrix_len(&self) -> usize {
        9
    }

    fn sum(&self, row: &[f64], out: &mut [f64]) {
        self.codes.iter().zip(&self.z).zip(row).for_each(|((&g, z), r)| out[g as usize] += z * r);
    }

    fn sum_outer(&self, row: &[f64], out: &mut [f64]) {
        self.codes.iter().zip(&self.z).zip(row).for_each(|((&g, z), r)| out[g as usize] += z * z * r);
    }
}

#[test]
fn moments_of_two_parts_are_those_of_the_whole() {
    let data = gaussian(Shape::Intercept, 30);
    let x: Vec<Vec<f64>> =
        data.predictors[0].columns.iter().map(|c| (0..data.n()).map(|i| c.at(i)).collect()).collect();
    let of = |rows: std::ops::Range<usize>| {
        let part = Plain { codes: data.terms[0].codes[rows.clone()].to_vec(), z: x[1][rows.clone()].to_vec() };
        let columns: Vec<Vec<f64>> = x.iter().map(|c| c[rows.clone()].to_vec()).collect();
        let weights = &data.freq.as_ref().unwrap()[rows.clone()];
        let mut moments = Moments::of(&part, &columns, weights);
        let y = &data.y[rows];
        let xy: Vec<f64> = columns.iter().map(|c| (0..y.len()).map(|i| weights[i] * c[i] * y[i]).sum()).collect();
        moments.set_response(&part, y, &xy, weights);
        moments
    };
    let (whole, merged) = (of(0..data.n()), of(0..25).merge(&of(25..data.n())));
    assert_eq!(whole.n, merged.n);
    assert!(relative(&whole.ww, &merged.ww) < 1e-13);
    assert!(relative(&whole.zw, &merged.zw) < 1e-13);
    assert!(relative(&whole.zz, &merged.zz) < 1e-13);
}

#[test]
fn a_new_response_is_a_new_fit() {
    for shape in ALL {
        let data = gaussian(shape, 31);
        let mut other = data.clone();
        other.y.iter_mut().enumerate().for_each(|(i, y)| *y += (i as f64).sin());
        let mut lmm = Lmm::new(&data, true).unwrap();
        lmm.set_response(&other);
        let at = tau(&data, 8);
        let a = evaluate(&mut lmm, &at, Order::Hessian);
        let b = evaluate(&mut Lmm::new(&other, true).unwrap(), &at, Order::Hessian);
        assert_eq!(a.value, b.value, "{shape:?}");
        assert_eq!(a.hessian, b.hessian, "{shape:?}");
    }
}

/// The climb's curvature is the Hessian but for the average of observed and expected information, which
/// agree where the residuals are what the model expects of them.
#[test]
fn the_climb_by_average_information_needs_few_steps_and_ends_at_the_top() {
    for shape in ALL {
        for seed in 0..50 {
            let mut data = gaussian(shape, 100 + seed);
            let sd = [0.0, 0.3, 1.0, 3.0, 30.0][seed as usize % 5];
            add_effects(&mut data, sd, seed as f64);
            let mut lmm = Lmm::new(&data, seed % 2 == 0).unwrap();
            let start = lmm.start();
            let settings = |tolerance: f64| Settings {
                curvature: Curvature::Exact,
                tolerance,
                inner_tolerance: 1.0,
                max_iterations: 100,
                reach: vec![f64::INFINITY; start.len()],
                limits: Vec::new(),
                rows: Vec::new(),
            };
            let near = maximise(&mut Averaged(&mut lmm), &start, settings(1e-2), &mut |_, _, _| true);
            let top = maximise(&mut lmm, &near.psi, settings(1e-8), &mut |_, _, _| true);
            assert_eq!(top.reason, Reason::Converged, "{shape:?} {seed}");
            let steps = near.iterations + top.iterations;
            assert!(steps <= 20, "{shape:?} {seed}: {steps} steps");
        }
    }
}

/// Adds effects of about the given standard deviation, without a generator.
fn add_effects(data: &mut Data, sd: f64, seed: f64) {
    for (t, term) in data.terms.iter().enumerate() {
        for (c, column) in term.columns.iter().enumerate() {
            for i in 0..data.y.len() {
                let phase = f64::from(term.codes[i]) * 12.9898 + seed * 3.1 + t as f64 * 7.7 + c as f64 * 1.3;
                data.y[i] += sd * 1.7 * (phase.sin() * 43758.5453).fract() * column.at(i);
            }
        }
    }
}

fn repeated(data: &Data) -> Data {
    let freq = data.freq.clone().unwrap();
    let rows: Vec<u32> = (0..data.n()).flat_map(|i| std::iter::repeat_n(i as u32, freq[i] as usize)).collect();
    Data { freq: None, ..data.gather(&rows) }
}

#[test]
fn a_row_of_weight_two_is_the_row_twice() {
    for shape in ALL {
        for reml in [false, true] {
            let data = gaussian(shape, 27);
            let at = tau(&data, 7);
            let a = evaluate(&mut Lmm::new(&data, reml).unwrap(), &at, Order::Hessian);
            let b = evaluate(&mut Lmm::new(&repeated(&data), reml).unwrap(), &at, Order::Hessian);
            assert!(relative(&[a.value], &[b.value]) < 1e-13, "{shape:?}");
            assert!(relative(&a.gradient, &b.gradient) < 1e-11, "{shape:?}");
            assert!(relative(&a.hessian.unwrap(), &b.hessian.unwrap()) < 1e-11, "{shape:?}");
        }
    }
}

/// A balanced study: every group sees the same values of x.
fn balanced(groups: usize, rows: usize) -> Data {
    let mut data = gaussian(Shape::Slope, 28);
    let n = groups * rows;
    let x: Vec<f64> = (0..n).map(|i| (i % rows) as f64).collect();
    let noise = |i: usize| (i as f64 * 12.9898).sin() * 2.0 + (i as f64 * 78.233).cos();
    data.y = (0..n).map(|i| noise(i) + noise(i / rows + 7) * (1.0 + 0.3 * x[i])).collect();
    data.freq = None;
    data.predictors[0].offset = None;
    data.predictors[0].columns[1] = Column::of(x.clone());
    data.terms[0].columns[1] = Column::of(x);
    data.terms[0].codes = (0..n).map(|i| (i / rows) as u32).collect();
    data.terms[0].levels = groups;
    data
}

#[test]
fn groups_brought_together_change_nothing() {
    let data = balanced(40, 6);
    for reml in [false, true] {
        let mut together = Lmm::new(&data, reml).unwrap();
        // A row order of its own for each group: Z'Z then differ in their last bits, or not at all.
        let mut apart = data.clone();
        let x: Vec<f64> = (0..240).map(|i| ((i % 6 + i / 6) % 6) as f64 * (1.0 + 1e-13 * (i / 6) as f64)).collect();
        let order = |i: usize| i / 6 * 6 + (i % 6 + i / 6) % 6;
        apart.y = (0..240).map(|i| data.y[order(i)]).collect();
        apart.predictors[0].columns[1] = Column::of(x.clone());
        apart.terms[0].columns[1] = Column::of(x);
        let mut apart = Lmm::new(&apart, reml).unwrap();
        assert!(together.numbers() * 5 < apart.numbers(), "{} {}", together.numbers(), apart.numbers());
        for at in [[0.5, 0.1, 0.3], [1.5, -0.4, 0.0]] {
            let (a, b) = (evaluate(&mut together, &at, Order::Hessian), evaluate(&mut apart, &at, Order::Hessian));
            assert!(relative(&[a.value], &[b.value]) < 1e-11);
            assert!(relative(&a.gradient, &b.gradient) < 1e-9);
            assert!(relative(&a.hessian.unwrap(), &b.hessian.unwrap()) < 1e-9);
        }
    }
}

#[test]
fn an_evaluation_works_on_as_many_numbers_for_ten_times_the_rows() {
    // The same cells ten times.
    for shape in [Shape::Slope, Shape::Crossed] {
        let data = gaussian(shape, 29);
        let rows: Vec<u32> = (0..10).flat_map(|_| 0..data.n() as u32).collect();
        let many = Lmm::new(&data.gather(&rows), true).unwrap();
        assert_eq!(many.numbers(), Lmm::new(&data, true).unwrap().numbers(), "{shape:?}");
    }
    // More groups of a balanced study.
    let numbers = |groups: usize| Lmm::new(&balanced(groups, 6), true).unwrap().numbers();
    assert_eq!(numbers(400), numbers(40));
}
