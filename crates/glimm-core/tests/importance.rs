//! Importance sampling against closed forms, brute force and published numbers.

mod common;

use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family;
use glimm_core::fit::{Options, Problem};
use glimm_core::integration::Integration;
use glimm_core::objective::crossed::importance::Importance;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Objective, Order};
use glimm_core::structure;

/// The salamander matings of McCullagh and Nelder (1989, section 14.5).
fn salamanders() -> Data {
    let text = include_str!("../../../tests/reference/cases/salamander_mating/data.csv");
    let fields: Vec<Vec<&str>> = text.lines().skip(1).map(|l| l.split(',').collect()).collect();
    let number = |k: usize| fields.iter().map(|f| f[k].parse::<u32>().unwrap()).collect::<Vec<u32>>();
    let cross = |name: &str| Column::new(fields.iter().map(|f| f64::from(u8::from(f[1] == name))).collect());
    let term = |k: usize| Term {
        codes: number(k).iter().map(|c| c - 1).collect(),
        levels: 60,
        columns: vec![Column::One],
        predictors: vec![0],
        structure: structure::lookup("us", 1).unwrap(),
    };
    Data {
        family: family::lookup("binomial", None).unwrap(),
        y: number(4).iter().map(|y| f64::from(*y)).collect(),
        size: None,
        freq: None,
        predictors: vec![Predictor::new(["RR", "RW", "WR", "WW"].map(cross).to_vec(), None)],
        terms: vec![term(2), term(3)],
        copies: None,
        constants: None,
    }
}

#[test]
fn trial() {
    let data = salamanders();
    for integration in
        [Integration::Laplace, Integration::Auto, Integration::Importance(1000), Integration::Importance(40000)]
    {
        let t = std::time::Instant::now();
        let options = Options { integration, ..Options::default() };
        let f = Problem::new(data.clone(), &options)
            .unwrap()
            .fit(None, &mut |a, b, c, d| {
                println!("{a} {b} {c:.6} {d:.3e}");
                true
            })
            .unwrap();
        println!("{integration:?} {:?} {:.6} {:?}", t.elapsed(), f.loglik, f.psi);
        println!(
            "{:?} {:?} conv {} evals {} passes {}",
            &f.psi[4..].iter().map(|x| x * x).collect::<Vec<_>>(),
            f.certificate,
            f.verdict.converged,
            f.evaluations,
            f.passes
        );
    }
}
