//! The sparse factor against dense algebra.

#[path = "sparse/matrices.rs"]
mod matrices;

use glimm_core::linalg::sparse::{Factor, NotPositiveDefinite, SparseError, Symbolic};
use matrices::{Sparse, Uniform, apply, cases, crossed, inner, invert, multiply, overlapping};

/// Relative to the largest entry; the matrices have condition numbers up to about 1e3.
const TOLERANCE: f64 = 1e-12;
/// What Richardson extrapolation leaves of truncation and rounding.
const DIFFERENCE_TOLERANCE: f64 = 1e-8;

fn assert_close(name: &str, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let worst = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    let worst = worst.fold(0.0, |m: f64, x| if x > m || x.is_nan() { x } else { m });
    assert!(worst <= tolerance * size, "{name}: {what} off by {:e}", worst / size);
}

#[test]
fn inverse_and_logdet_equal_dense_ones() {
    for (name, matrix) in cases() {
        let mut factor = matrix.factor();
        let (inverse, logdet) = invert(&matrix.dense(&matrix.values));
        let mut selected = vec![f64::NAN; matrix.values.len()];
        factor.selected_inverse(&mut selected);
        assert_close(&name, "inverse", &selected, &matrix.on_pattern(&inverse), TOLERANCE);
        assert_close(&name, "logdet", &[factor.logdet()], &[logdet], TOLERANCE);
    }
}

#[test]
fn solves_equal_dense_ones() {
    let mut rng = Uniform(2);
    for (name, matrix) in cases() {
        let mut factor = matrix.factor();
        let (inverse, _) = invert(&matrix.dense(&matrix.values));
        // One column, some, and more than one group of columns.
        for cols in [1, 3, 70] {
            let rhs = rng.vector(matrix.n * cols);
            let mut solution = rhs.clone();
            factor.solve_in_place(&mut solution);
            let expected: Vec<f64> = rhs.chunks(matrix.n).flat_map(|column| apply(&inverse, column)).collect();
            assert_close(&name, "solution", &solution, &expected, TOLERANCE);
        }
    }
}

#[test]
fn half_solves_are_square_roots_of_the_inverse() {
    let mut rng = Uniform(3);
    for (name, matrix) in cases() {
        let n = matrix.n;
        let mut factor = matrix.factor();
        let (inverse, _) = invert(&matrix.dense(&matrix.values));
        for cols in [1, 5] {
            let (rhs, z) = (rng.vector(n * cols), rng.vector(n * cols));
            let (mut half, mut draw) = (rhs.clone(), z.clone());
            factor.half_solve_in_place(&mut half);
            factor.half_solve_transpose_in_place(&mut draw);
            for k in 0..cols {
                let column = k * n..(k + 1) * n;
                let (rhs, half) = (&rhs[column.clone()], &half[column.clone()]);
                let form = inner(rhs, &apply(&inverse, rhs));
                assert_close(&name, "quadratic form", &[inner(half, half)], &[form], TOLERANCE);
                // z' (L^-1 P r) and (P' L^-T z)' r are the same number.
                let (left, right) = (inner(&z[column.clone()], half), inner(&draw[column], rhs));
                let scale = inner(half, half).sqrt() * n as f64;
                assert!((left - right).abs() <= TOLERANCE * scale, "{name}: not transposes");
            }
        }
        let mut root = vec![0.0; n * n];
        (0..n).for_each(|j| root[j * n + j] = 1.0);
        factor.half_solve_transpose_in_place(&mut root);
        let columns: Vec<Vec<f64>> = root.chunks(n).map(<[f64]>::to_vec).collect();
        let rows: Vec<Vec<f64>> = (0..n).map(|i| columns.iter().map(|column| column[i]).collect()).collect();
        let covariance = multiply(&rows, &columns);
        let (found, expected) = (covariance.concat(), inverse.concat());
        assert_close(&name, "covariance of draws", &found, &expected, TOLERANCE);
    }
}

#[test]
fn tangent_equals_dense_one() {
    let mut rng = Uniform(4);
    for (name, matrix) in cases() {
        let mut factor = matrix.factor();
        let (inverse, _) = invert(&matrix.dense(&matrix.values));
        let mut out = vec![f64::NAN; matrix.values.len()];
        factor.selected_inverse(&mut out);
        for _ in 0..2 {
            let direction = rng.vector(matrix.values.len());
            factor.selected_inverse_tangent(&direction, &mut out);
            let change = multiply(&multiply(&inverse, &matrix.dense(&direction)), &inverse);
            let expected: Vec<f64> = matrix.on_pattern(&change).iter().map(|x| -x).collect();
            assert_close(&name, "tangent", &out, &expected, TOLERANCE);
        }
        let before = matrix.factor_inverse();
        factor.selected_inverse(&mut out);
        assert_eq!(out, before, "{name}: a tangent must not disturb the inverse");
    }
}

#[test]
fn tangent_equals_differences_of_the_inverse() {
    let mut rng = Uniform(5);
    for (name, matrix) in cases() {
        let direction = rng.vector(matrix.values.len());
        let mut tangent = vec![f64::NAN; direction.len()];
        let mut factor = matrix.factor();
        factor.selected_inverse_tangent(&direction, &mut tangent);
        let central = |step: f64| -> Vec<f64> {
            let up = matrix.moved(&direction, step).factor_inverse();
            let down = matrix.moved(&direction, -step).factor_inverse();
            up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * step)).collect()
        };
        let step = 1e-3;
        let (whole, half, quarter) = (central(step), central(step / 2.0), central(step / 4.0));
        let refine = |coarse: &[f64], fine: &[f64], order: f64| -> Vec<f64> {
            let pairs = coarse.iter().zip(fine);
            pairs.map(|(c, f)| (order * f - c) / (order - 1.0)).collect()
        };
        let twice = refine(&refine(&whole, &half, 4.0), &refine(&half, &quarter, 4.0), 16.0);
        assert_close(&name, "difference", &tangent, &twice, DIFFERENCE_TOLERANCE);
    }
}

#[test]
fn same_input_gives_same_bits() {
    let mut rng = Uniform(6);
    let pairs = crossed(300, 80, 4_000, &mut rng);
    let mut matrix = Sparse::new(380, pairs, &mut rng);
    let first = matrix.values.clone();
    let direction = rng.vector(first.len());
    let rhs = rng.vector(matrix.n * 3);
    let symbolic = matrix.symbolic();
    let run = |factor: &mut Factor| {
        let mut all = vec![0.0; 2 * first.len()];
        factor.refactor(&first).unwrap();
        let (inverse, tangent) = all.split_at_mut(first.len());
        factor.selected_inverse(inverse);
        factor.selected_inverse_tangent(&direction, tangent);
        let mut solution = rhs.clone();
        factor.solve_in_place(&mut solution);
        all.extend(solution);
        all.push(factor.logdet());
        all.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let mut factor = Factor::new(symbolic.clone());
    let reference = run(&mut factor);
    matrix.fill(&mut rng);
    // Other storage at other addresses, other matrices in between, and a failure.
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for k in 0..6 {
        kept.push(vec![1.0; 1 + 3 * k]);
        assert_eq!(run(&mut Factor::new(symbolic.clone())), reference);
        factor.refactor(&matrix.values).unwrap();
        let negative: Vec<f64> = first.iter().map(|x| -x).collect();
        factor.refactor(&negative).unwrap_err();
        factor.refactor(&vec![f64::NAN; first.len()]).unwrap_err();
        assert_eq!(run(&mut factor), reference);
    }
}

/// Supernodes so large that threads share what they pass on.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let mut rng = Uniform(8);
    let matrix = Sparse::new(2_300, overlapping([0..1_900, 1_800..2_300]), &mut rng);
    let direction = rng.vector(matrix.values.len());
    let run = || {
        let mut factor = matrix.factor();
        let (mut inverse, mut tangent) = (direction.clone(), direction.clone());
        factor.selected_inverse(&mut inverse);
        factor.selected_inverse_tangent(&direction, &mut tangent);
        let all = [inverse, tangent, vec![factor.logdet()]].concat();
        all.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let alone = run();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(run) == alone, "{threads} threads");
    }
}

#[test]
fn bad_pivot_names_the_callers_column() {
    for (name, matrix) in cases() {
        let mut factor = Factor::new(matrix.symbolic());
        for column in (0..matrix.n).step_by(7) {
            for bad in [-1e6, f64::NAN, f64::INFINITY] {
                let mut values = matrix.values.clone();
                values[matrix.col_ptr[column]] = bad;
                let error = factor.refactor(&values).unwrap_err();
                assert_eq!(error, NotPositiveDefinite { column }, "{name} {bad}");
                assert!(error.to_string().contains(&format!("column {column} ")));
            }
        }
        factor.refactor(&matrix.values).unwrap();
    }
}

#[test]
fn bad_patterns_are_named() {
    let error = |n, col_ptr: &[usize], row_idx: &[usize]| Symbolic::new(n, col_ptr, row_idx).unwrap_err();
    assert_eq!(error(2, &[0, 1], &[0]), SparseError::ColumnPointers { n: 2, at: 2 });
    assert_eq!(error(2, &[1, 1, 2], &[0, 1]), SparseError::ColumnPointers { n: 2, at: 0 });
    assert_eq!(error(2, &[0, 1, 3], &[0, 1]), SparseError::ColumnPointers { n: 2, at: 2 });
    assert_eq!(error(3, &[0, 2, 1, 3], &[0, 1, 2]), SparseError::ColumnPointers { n: 3, at: 2 });
    let missing = SparseError::Diagonal { column: 1, first_row: None };
    assert_eq!(error(2, &[0, 1, 1], &[0]), missing);
    let upper = SparseError::Diagonal { column: 1, first_row: Some(0) };
    assert_eq!(error(2, &[0, 1, 3], &[0, 0, 1]), upper);
    let twice = SparseError::RowOrder { column: 0, previous: 1, row: 1 };
    assert_eq!(error(2, &[0, 3, 4], &[0, 1, 1, 1]), twice);
    let range = SparseError::RowRange { column: 0, row: 2, n: 2 };
    assert_eq!(error(2, &[0, 2, 3], &[0, 2, 1]), range);
    assert!(range.to_string().contains("row 2 in column 0"));
}

#[test]
fn an_empty_matrix_has_determinant_one() {
    let mut factor = Factor::new(Symbolic::new(0, &[0], &[]).unwrap());
    factor.refactor(&[]).unwrap();
    assert_eq!(factor.logdet(), 0.0);
    factor.selected_inverse(&mut []);
    factor.selected_inverse_tangent(&[], &mut []);
    factor.solve_in_place(&mut []);
}

/// Two crossed factors: eliminating the levels of the larger one first fills in the smaller one
/// only, and no order does better.
#[test]
fn crossed_factors_fill_in_the_smaller_one_only() {
    let mut rng = Uniform(7);
    let (a, b) = (400, 60);
    let matrix = Sparse::new(a + b, crossed(a, b, 4_000, &mut rng), &mut rng);
    let symbolic = matrix.symbolic();
    let cells = matrix.values.len() - a - b;
    let ideal = a + cells + b * (b + 1) / 2;
    assert_eq!(symbolic.n(), a + b);
    // Supernodes may store a few zeros.
    assert!((symbolic.factor_nonzeros() as f64) < 1.05 * ideal as f64);
    assert!(symbolic.factor_nonzeros() >= ideal);
    assert!(symbolic.flops() >= (b * b * b) as f64 / 3.0);
}

#[test]
fn an_analysis_ends_where_the_factorisation_would_take_too_long() {
    for (name, a) in cases() {
        let analysed = |most: f64| Symbolic::within(a.n, &a.col_ptr, &a.row_idx, most).unwrap();
        let whole = analysed(f64::INFINITY).unwrap();
        assert_eq!(whole.flops(), Symbolic::new(a.n, &a.col_ptr, &a.row_idx).unwrap().flops());
        // Without off-diagonal numbers there is nothing to multiply.
        let multiplies = a.row_idx.len() > a.n;
        assert_eq!(analysed(0.0).is_none(), multiplies, "{name}");
        assert!(analysed(10.0 * whole.flops() + 1.0).is_some(), "{name}");
    }
}
