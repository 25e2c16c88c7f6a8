//! Exact derivatives against differences, and one path against the other.

mod common;

use common::*;
use glimm_core::family;
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Objective, Order};

fn each_family(mut test: impl FnMut(&'static str, &str)) {
    for entry in family::families().iter().filter(|e| !e.ordered) {
        for link in entry.links {
            test(entry.name, &link.name());
        }
    }
}

#[test]
fn block_derivatives_match_differences_for_every_family_and_structure() {
    each_family(|name, link| {
        for shape in ONE_FACTOR.into_iter().chain([Shape::None]) {
            let data = problem(name, link, shape, 11);
            let psi = point(&data, 5);
            check_derivatives(&mut Block::new(&data), &psi, &format!("{name} {link} {shape:?}"));
        }
    });
}

#[test]
fn dense_derivatives_match_differences_for_every_family_and_structure() {
    each_family(|name, link| {
        for shape in SPARSE {
            let data = problem(name, link, shape, 12);
            let psi = point(&data, 6);
            let mut dense = Crossed::new(&data, Engine::Dense).unwrap();
            check_derivatives(&mut dense, &psi, &format!("{name} {link} {shape:?}"));
        }
    });
}

#[test]
fn sparse_derivatives_match_differences_for_every_family_and_structure() {
    each_family(|name, link| {
        for shape in SPARSE {
            let data = problem(name, link, shape, 12);
            let psi = point(&data, 6);
            let mut sparse = Crossed::new(&data, Engine::Sparse).unwrap();
            check_derivatives(&mut sparse, &psi, &format!("{name} {link} {shape:?}"));
        }
    });
}

#[test]
fn derivatives_match_differences_where_rows_are_of_several_families() {
    for shape in ONE_FACTOR.into_iter().chain([Shape::None]) {
        let data = mixed(shape, 13);
        check_derivatives(&mut Block::new(&data), &point(&data, 5), &format!("mixed {shape:?}"));
    }
    for shape in SPARSE {
        let data = mixed(shape, 13);
        let mut sparse = Crossed::new(&data, Engine::Sparse).unwrap();
        check_derivatives(&mut sparse, &point(&data, 6), &format!("mixed {shape:?}"));
    }
}

#[test]
fn dense_and_sparse_engines_agree_for_every_family_and_structure() {
    each_family(|name, link| {
        for shape in SPARSE.into_iter().chain(ONE_FACTOR) {
            let data = problem(name, link, shape, 12);
            let psi = point(&data, 6);
            let of = |engine| evaluate(&mut Crossed::new(&data, engine).unwrap(), &psi, Order::Hessian);
            let (a, b) = (of(Engine::Dense), of(Engine::Sparse));
            let label = format!("{name} {link} {shape:?}");
            assert!(relative(&[a.value], &[b.value]) < 1e-12, "{label}");
            assert!(relative(&a.gradient, &b.gradient) < 1e-10, "{label}: {:?} {:?}", a.gradient, b.gradient);
            let (a, b) = (a.hessian.unwrap(), b.hessian.unwrap());
            assert!(relative(&a, &b) < 1e-10, "{label}: {a:?} {b:?}");
        }
    });
}

#[test]
fn block_and_sparse_paths_agree() {
    each_family(|name, link| {
        for shape in ONE_FACTOR {
            let data = problem(name, link, shape, 13);
            let psi = point(&data, 7);
            let a = evaluate(&mut Block::new(&data), &psi, Order::Hessian);
            let b = evaluate(&mut Crossed::new(&data, Engine::Sparse).unwrap(), &psi, Order::Hessian);
            assert!(relative(&[a.value], &[b.value]) < 1e-12, "{name} {link} {shape:?}");
            assert!(relative(&a.gradient, &b.gradient) < 1e-10, "{name} {link} {shape:?}");
            assert!(relative(&a.hessian.unwrap(), &b.hessian.unwrap()) < 1e-10, "{name} {link} {shape:?}");
        }
    });
}

#[test]
fn both_paths_give_the_same_modes() {
    let data = problem("binomial", "logit", Shape::Slope, 14);
    let psi = point(&data, 8);
    let (mut block, mut sparse) = (Block::new(&data), Crossed::new(&data, Engine::Sparse).unwrap());
    evaluate(&mut block, &psi, Order::Gradient);
    evaluate(&mut sparse, &psi, Order::Gradient);
    block.accept();
    sparse.accept();
    let (a, b) = (block.posterior(), sparse.posterior());
    assert!(relative(&a.modes[0], &b.modes[0]) < 1e-10);
    assert!(relative(&a.covariances[0], &b.covariances[0]) < 1e-10);
}

#[test]
fn value_at_loose_modes_is_corrected_to_second_order() {
    let data = problem("poisson", "log", Shape::Slope, 15);
    let psi = point(&data, 9);
    let mut block = Block::new(&data);
    let exact = evaluate(&mut block, &psi, Order::Gradient).value;
    block.reset();
    let loose = block.evaluate(&psi, Order::Gradient, 1e-2).unwrap().value;
    assert!((loose - exact).abs() < 1e-7, "{loose} {exact}");
}

#[test]
fn large_groups_beside_small_ones_agree_with_the_other_layout() {
    for (name, link) in [("binomial", "logit"), ("nbinom2", "log"), ("gaussian", "identity")] {
        let few = problem(name, link, Shape::Slope, 31);
        // One group of 700 rows, one of 65, and small ones of unequal sizes.
        let rows: Vec<u32> = (0..840).map(|i| i % 70).collect();
        let mut data = few.gather(&rows);
        let code = |i: u32| match i {
            0..700 => 0,
            700..765 => 1,
            _ => 2 + (i * i) % 13,
        };
        data.terms[0].codes = (0..840).map(code).collect();
        data.terms[0].levels = 15;
        let psi = point(&data, 32);
        let a = evaluate(&mut Block::new(&data), &psi, Order::Hessian);
        let b = evaluate(&mut Crossed::new(&data, Engine::Sparse).unwrap(), &psi, Order::Hessian);
        assert!((a.value - b.value).abs() < 1e-11 * b.value.abs(), "{name}: {} {}", a.value, b.value);
        assert!(relative(&a.gradient, &b.gradient) < 1e-10, "{name}");
        assert!(relative(&a.hessian.unwrap(), &b.hessian.unwrap()) < 1e-10, "{name}");
    }
}
