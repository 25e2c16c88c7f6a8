//! Relationships, inbreeding and precisions against the tabular method.

use glimm_core::control::Control;
use glimm_core::pedigree::{Pedigree, UNKNOWN, sorted};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rounding only.
const EXACT: f64 = 1e-12;

/// A by the tabular method (Emik and Terrill 1949): the independent oracle.
fn tabular(parents: &[[u32; 2]]) -> Vec<Vec<f64>> {
    let n = parents.len();
    let mut a = vec![vec![0.0; n]; n];
    for i in 0..n {
        let [s, d] = parents[i];
        let of = |a: &Vec<Vec<f64>>, p: u32, j: usize| if p == UNKNOWN { 0.0 } else { a[p as usize][j] };
        for j in 0..i {
            a[i][j] = 0.5 * (of(&a, s, j) + of(&a, d, j));
            a[j][i] = a[i][j];
        }
        a[i][i] = 1.0 + if d == UNKNOWN { 0.0 } else { 0.5 * of(&a, s, d as usize) };
    }
    a
}

/// Few ancestors of many, selfing among them: inbreeding of any depth.
fn random(n: usize, selfing: bool, rng: &mut impl Rng) -> Vec<[u32; 2]> {
    (0..n as u32)
        .map(|i| {
            let mut pick =
                || if i == 0 || rng.random_bool(0.15) { UNKNOWN } else { rng.random_range(i.saturating_sub(12)..i) };
            let (s, d) = (pick(), pick());
            if s == d && !selfing { [s, UNKNOWN] } else { [s, d] }
        })
        .collect()
}

fn made(parents: &[[u32; 2]]) -> Pedigree {
    Pedigree::new(parents.to_vec(), &Control::default()).expect("a pedigree")
}

fn dense(p: &Pedigree) -> Vec<Vec<f64>> {
    let (n, lower) = (p.len(), p.descent().precision());
    let mut q = vec![vec![0.0; n]; n];
    for j in 0..n {
        for k in lower.starts[j]..lower.starts[j + 1] {
            let i = lower.rows[k] as usize;
            q[i][j] = lower.values[k];
            q[j][i] = lower.values[k];
        }
    }
    q
}

#[test]
fn random_pedigrees_match_the_tabular_method() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..40 {
        let parents = random(90, round % 2 == 0, &mut rng);
        let (found, a) = (made(&parents), tabular(&parents));
        let q = dense(&found);
        for i in 0..a.len() {
            assert!((1.0 + found.inbreeding[i] - a[i][i]).abs() < EXACT, "{round} {i}");
            for j in 0..a.len() {
                let product: f64 = (0..a.len()).map(|k| a[i][k] * q[k][j]).sum();
                let one = f64::from(u8::from(i == j));
                assert!((product - one).abs() < 1e-9, "{round} {i} {j}: {product}");
            }
        }
        let all: Vec<u32> = (0..a.len() as u32).collect();
        let columns = found.relationships(&all, &all);
        assert!(columns.iter().zip(a.iter().flatten()).all(|(x, y)| (x - y).abs() < EXACT));
    }
}

#[test]
fn the_triangle_has_its_diagonal_first_and_ascends() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let lower = made(&random(500, true, &mut rng)).descent().precision();
    for j in 0..500 {
        let rows = &lower.rows[lower.starts[j]..lower.starts[j + 1]];
        assert!(rows[0] as usize == j && rows.windows(2).all(|w| w[0] < w[1]));
    }
}

/// Threads and the generation's size change no bit.
#[test]
fn threads_change_no_bit() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let parents: Vec<[u32; 2]> = (0..6000u32)
        .map(|i| {
            if i < 1000 {
                [UNKNOWN; 2]
            } else {
                [0, 500].map(|k| i / 1000 * 1000 - 1000 + k + rng.random_range(0..500))
            }
        })
        .collect();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| made(&parents)).inbreeding
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn selfing_halves_what_is_left() {
    let parents: Vec<[u32; 2]> = (0..8u32).map(|i| if i == 0 { [UNKNOWN; 2] } else { [i - 1; 2] }).collect();
    let found = made(&parents);
    for (k, f) in found.inbreeding.iter().enumerate() {
        assert_eq!(*f, 1.0 - 0.5f64.powi(k as i32));
    }
}

#[test]
fn what_is_lost_wholly_is_refused() {
    let parents: Vec<[u32; 2]> = (0..80u32).map(|i| if i == 0 { [UNKNOWN; 2] } else { [i - 1; 2] }).collect();
    assert!(Pedigree::new(parents, &Control::default()).is_err());
    assert!(Pedigree::new(vec![[1, UNKNOWN], [UNKNOWN; 2]], &Control::default()).is_err());
}

#[test]
fn contributions_of_groups_add_up() {
    let parents = [[UNKNOWN; 2], [UNKNOWN; 2], [0, 1], [2, UNKNOWN]];
    let groups = [[0, 0], [1, 1], [UNKNOWN; 2], [UNKNOWN, 0]];
    assert_eq!(made(&parents).contributions(&groups, 2), [1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.75, 0.25]);
}

#[test]
fn any_order_can_be_sorted() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let parents = random(200, true, &mut rng);
    // Reversed: every parent comes after its offspring.
    let turned = |p: u32| if p == UNKNOWN { UNKNOWN } else { 199 - p };
    let reversed: Vec<[u32; 2]> = parents.iter().rev().map(|p| p.map(turned)).collect();
    let order = sorted(&reversed).expect("no loop");
    let mut place = vec![0; 200];
    order.iter().enumerate().for_each(|(k, &i)| place[i as usize] = k);
    for (i, both) in reversed.iter().enumerate() {
        assert!(both.iter().all(|&p| p == UNKNOWN || place[p as usize] < place[i]));
    }
}
