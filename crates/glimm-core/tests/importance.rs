//! Importance sampling against closed forms, brute force and published numbers.

mod common;

use std::sync::Arc;

use glimm_core::control::Control;
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family;
use glimm_core::objective::crossed::importance::Importance;
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
    let psi = [1.018, 0.321, -1.940, 0.996, 1.382f64.sqrt(), 1.236f64.sqrt()];
    let mut sampler = Importance::new(&data, &psi, &Arc::new(Control::default())).unwrap();
    println!("units {} cost {:?}", sampler.units(), sampler.cost());
    for draws in [512, 2000, 20000, 200000] {
        sampler.set_draws(draws);
        let t = std::time::Instant::now();
        let e = sampler.evaluate(&psi, Order::Gradient, 1e-12).unwrap();
        let t1 = t.elapsed();
        let e = sampler.evaluate(&psi, Order::Hessian, 1e-12).unwrap();
        let noise = sampler.noise();
        let p = psi.len();
        let se: Vec<f64> = (0..p).map(|j| noise.score[j * p + j].sqrt()).collect();
        println!("{draws}: {:.5} +- {:.5} ess {:.0} {:?} {:?} {:?}/{:?}", e.value, noise.value_se, noise.effective, e.gradient, se, t1, t.elapsed());
        println!("{:?}", e.hessian.unwrap().iter().map(|x| (x * 1000.0).round() / 1000.0).collect::<Vec<_>>());
    }
}
