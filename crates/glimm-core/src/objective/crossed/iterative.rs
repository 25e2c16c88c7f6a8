//! The largest factor eliminated exactly, the rest by conjugate gradients on its Schur complement; the
//! inverse on the pattern from draws.
//!
//! Draws x = H^-1 n, n with covariance H, have second moments C = H^-1. In the letters of [`super::dense`],
//! with n_S = n_2 - B'A^-1 n_1 of covariance S and j, k levels of terms of the rest, m is minus the mean of
//! an effect of the largest factor given the rest, of one of the rest given the others of the rest:
//!
//! ```text
//! m_1 = A^-1 n_1 - x_1 = E x_2            m_j = S_jj^-1 n_Sj - x_j
//! C_11 = A^-1 + E m_1 m_1'                C_jj = S_jj^-1 + E m_j m_j'
//! C_1j = -E_1j S_jj^-1 + E m_1 m_j'       C_jk = -(E m_j x_k' + E x_j m_k') / 2
//! ```
//!
//! (Rao and Blackwell's conditional moments; they hold for any n with that covariance). Directions V in
//! which effects vary together, where terms are told apart worst and chance would weigh most, are
//! taken exactly: with Y = H^-1 V and G = V'Y, the draws less Y G^-1 V'x have covariance C - Y G^-1 Y', and the
//! columns of Y G^-1/2 stand for the rest. The draws use
//! the same random signs at every parameter value, so that the estimates are smooth in the
//! parameters. (Pandolfi, Papaspiliopoulos and Zanella 2025 show that the number of iterations stays
//! bounded as crossed data grow.)

use std::ops::Range;
use std::sync::Arc;

use super::schur::{Layout, Schur};
use super::solver::Solver;
use crate::linalg::dense;
use crate::linalg::iterative::{Operator, conjugate_gradients, log_determinants};

/// Interleaved vectors for the inverse, exact directions and draws; see [`crate::linalg::iterative::by_columns`] for the number.
pub const DRAWS: usize = 16;
/// Relative residual of solutions.
const TOLERANCE: f64 = 1e-5;
/// Relative residual of draws, far below their own noise.
const TOLERANCE_DRAWS: f64 = 1e-4;
/// Relative residual of the systems whose coefficients give the log-determinant: quadrature is twice
/// as accurate as the solution.
const TOLERANCE_LOG: f64 = 1e-4;
const MAX_ITERATIONS: usize = 2_000;
/// Most directions that are taken exactly.
const EXACT: usize = DRAWS / 2;

pub struct Iterative {
    schur: Schur,
    /// S_jj^-1 of the levels of each term of the rest.
    s_inverse: Vec<Vec<f64>>,
    /// The noise n of the draws, and the draws with what they are less than their own noise implies.
    noise: Vec<f64>,
    x: Vec<f64>,
    m: Vec<f64>,
    /// The rest of the last draws, from which the next ones start.
    last: Vec<f64>,
    fresh: bool,
    /// Directions taken exactly: (first effect, effects per level, end); they are the first vectors.
    exact: Vec<(usize, usize, usize)>,
    /// Weight of each vector.
    weights: [f64; DRAWS],
}

impl Iterative {
    pub fn new(layout: Arc<Layout>) -> Iterative {
        let (border, pattern) = (&layout.border, &layout.pattern);
        let roots: Vec<Vec<f64>> = layout.blocks.iter().map(|b| vec![0.0; b.at.len() * b.q]).collect();
        let s_inverse = roots.clone();
        let rest = border.rest_len;
        let directions = |t: usize| (0..pattern.sizes[t]).map(move |c| (t, c));
        let exact = (0..pattern.sizes.len()).flat_map(directions).take(EXACT).map(|(t, c)| {
            let at = pattern.term(t);
            (at.start + c, pattern.sizes[t], at.end)
        });
        let exact: Vec<_> = exact.collect();
        let schur = Schur {
            a_inverse: vec![0.0; border.levels * border.q * border.q],
            b: vec![0.0; border.columns.len() * border.q],
            d: vec![0.0; layout.columns.len()],
            roots,
            layout,
        };
        let mut iterative = Iterative {
            exact,
            schur,
            s_inverse,
            noise: Vec::new(),
            x: Vec::new(),
            m: Vec::new(),
            last: vec![0.0; rest * DRAWS],
            fresh: false,
            weights: [1.0; DRAWS],
        };
        iterative.use_draws(0..iterative.draws());
        iterative
    }

    /// Solves for `columns` interleaved vectors, from `rest` as the start of the rest; returns n_2 - B'A^-1 n_1.
    fn solve_columns(&self, x: &mut [f64], columns: usize, rest: &mut [f64], tolerance: f64) -> Vec<f64> {
        let (schur, border) = (&self.schur, &self.schur.layout.border);
        let mut b = vec![0.0; border.rest_len * columns];
        border.take_rest(x, columns, &mut b);
        schur.by_size(
            columns,
            #[inline(always)]
            |q, columns| schur.eliminate(q, columns, x, &mut b),
        );
        if conjugate_gradients(schur, &b, rest, columns, tolerance, MAX_ITERATIONS).is_none() {
            // No solution: whoever asked finds out by numbers that are none.
            rest.fill(f64::NAN);
        }
        schur.by_size(
            columns,
            #[inline(always)]
            |q, columns| schur.substitute(q, columns, rest, x),
        );
        border.put_rest(rest, columns, x);
        b
    }

    /// The draws x = H^-1 n and m.
    fn draw(&mut self) {
        let mut x = self.noise.clone();
        let mut rest = std::mem::take(&mut self.last);
        let mut m_rest = self.solve_columns(&mut x, DRAWS, &mut rest, TOLERANCE_DRAWS);
        self.schur.precondition(&mut m_rest, DRAWS);
        m_rest.iter_mut().zip(&rest).for_each(|(m, x)| *m -= x);
        let mut m = self.noise.clone();
        let border = &self.schur.layout.border;
        border.put_rest(&m_rest, DRAWS, &mut m);
        let (q, mut solved) = (border.q, vec![0.0; border.q * DRAWS]);
        for g in 0..border.levels {
            let own: Vec<f64> = (0..q).flat_map(|i| row(&m, border.own(g, i))).copied().collect();
            self.schur.divide(q, DRAWS, g, &own, &mut solved);
            for i in 0..q {
                let at = border.own(g, i) * DRAWS;
                (0..DRAWS).for_each(|r| m[at + r] = solved[i * DRAWS + r] - x[at + r]);
            }
        }
        if rest.iter().any(|r| r.is_nan()) {
            rest.fill(0.0);
        }
        (self.x, self.m, self.last, self.fresh) = (x, m, rest, true);
        self.take_exactly();
    }

    /// V'x of every vector: one row per direction.
    fn along(&self, x: &[f64]) -> Vec<[f64; DRAWS]> {
        let sum = |&(first, step, end): &(usize, usize, usize)| {
            let mut sum = [0.0; DRAWS];
            for i in (first..end).step_by(step) {
                (0..DRAWS).for_each(|m| sum[m] += x[i * DRAWS + m]);
            }
            sum
        };
        self.exact.iter().map(sum).collect()
    }

    /// Turns the first vectors, Y, into Y G^-1/2, and takes Y G^-1 V'x out of the others; m likewise.
    fn take_exactly(&mut self) {
        let k = self.exact.len();
        let t = self.along(&self.x);
        let mut root: Vec<f64> = (0..k * k).map(|i| t[i / k][i % k]).collect();
        if !dense::cholesky(&mut root, k) {
            return self.x.fill(f64::NAN);
        }
        // With G = L L': the first become Y L^-T, the others lose (Y L^-T) (L^-1 t).
        let mut t = t;
        for i in 0..k {
            for j in 0..i {
                let (l, earlier) = (root[i * k + j], t[j]);
                (0..DRAWS).for_each(|m| t[i][m] -= l * earlier[m]);
            }
            (0..DRAWS).for_each(|m| t[i][m] /= root[i * k + i]);
        }
        for vectors in [&mut self.x, &mut self.m] {
            for row in vectors.chunks_exact_mut(DRAWS) {
                for i in 0..k {
                    (0..i).for_each(|j| row[i] -= root[i * k + j] * row[j]);
                    row[i] /= root[i * k + i];
                }
                for i in 0..k {
                    let own = row[i];
                    (k..DRAWS).for_each(|m| row[m] -= t[i][m] * own);
                }
            }
        }
    }

    /// An orthonormal basis, interleaved, of L times the vectors that are one for one effect of a term in all
    /// its levels: along these the terms are told apart worst, and chance would weigh most.
    fn smooth_vectors(&self) -> (Vec<f64>, usize) {
        let (n, blocks) = (self.schur.order(), &self.schur.layout.blocks);
        let count: usize = blocks.iter().map(|b| b.q).sum();
        let mut basis = vec![0.0; n * count];
        let mut m = 0;
        for b in blocks {
            b.at.clone().for_each(|i| basis[i * count + m + (i - b.at.start) % b.q] = 1.0);
            m += b.q;
        }
        self.schur.unscale(&mut basis, count);
        // Modified Gram-Schmidt; the vectors are independent, as each has entries of its own.
        for m in 0..count {
            for k in 0..m {
                let along: f64 = basis.chunks_exact(count).map(|v| v[k] * v[m]).sum();
                basis.chunks_exact_mut(count).for_each(|v| v[m] -= along * v[k]);
            }
            let length = basis.chunks_exact(count).map(|v| v[m] * v[m]).sum::<f64>().sqrt();
            basis.chunks_exact_mut(count).for_each(|v| v[m] /= length);
        }
        (basis, count)
    }

    /// The weighted mean over draws of x_i y_j.
    #[inline(always)]
    fn moment(&self, x: &[f64], i: usize, y: &[f64], j: usize) -> f64 {
        let (x, y) = (row(x, i), row(y, j));
        let mut lanes = [0.0; 8];
        for r in (0..DRAWS).step_by(8) {
            for l in 0..8 {
                lanes[l] += self.weights[r + l] * x[r + l] * y[r + l];
            }
        }
        lanes.iter().sum()
    }

    /// C_11, level by level.
    #[inline(always)]
    fn put_own(&self, q: usize, out: &mut [f64]) {
        let border = &self.schur.layout.border;
        let (mut small, mut large) = ([0.0; 16], Vec::new());
        let block = dense::scratch(q * q, &mut small, &mut large);
        for g in 0..border.levels {
            block.copy_from_slice(&self.schur.a_inverse[g * q * q..(g + 1) * q * q]);
            for i in 0..q {
                for j in 0..q {
                    block[i * q + j] += self.moment(&self.m, border.own(g, i), &self.m, border.own(g, j));
                }
            }
            border.put_block(block, g, out);
        }
    }

    /// C_1j where they meet.
    #[inline(always)]
    fn put_border(&self, q: usize, out: &mut [f64]) {
        let (layout, border) = (&self.schur.layout, &self.schur.layout.border);
        let (mut small, mut large) = ([0.0; 16], Vec::new());
        let (sum, e) = dense::scratch(2 * q, &mut small, &mut large).split_at_mut(q);
        let mut c = vec![0.0; self.schur.b.len()];
        for g in 0..border.levels {
            let a_inverse = &self.schur.a_inverse[g * q * q..(g + 1) * q * q];
            for k in border.entries(g) {
                let (own, at) = layout.block_of(border.columns[k] as usize);
                let (size, d) = (layout.blocks[own].q, at % layout.blocks[own].q);
                let inverse = &self.s_inverse[own][(at - d) * size..(at - d + size) * size];
                sum.fill(0.0);
                for b in 0..size {
                    let numbers = &self.schur.b[(k - d + b) * q..(k - d + b + 1) * q];
                    (0..q).for_each(|i| sum[i] += numbers[i] * inverse[b * size + d]);
                }
                dense::matvec(a_inverse, sum, q, e);
                let place = layout.pattern.term(layout.blocks[own].term).start + at;
                for i in 0..q {
                    c[k * q + i] = self.moment(&self.m, border.own(g, i), &self.m, place) - e[i];
                }
            }
        }
        border.scatter(&c, out);
    }

    /// C_jj and C_jk.
    #[inline(always)]
    fn put_rest(&self, out: &mut [f64]) {
        let (layout, pattern) = (&self.schur.layout, &self.schur.layout.pattern);
        for pair in pattern.pairs.iter().filter(|p| pattern.grouping_of[p.s] > 0 && pattern.grouping_of[p.t] > 0) {
            let (qs, qt) = pair.size;
            let own = layout.blocks.iter().position(|b| b.term == pair.s && pair.s == pair.t);
            for (cell, out) in out[pair.range()].chunks_exact_mut(qs * qt).enumerate() {
                let (g, h) = pattern.levels(pair, cell);
                let (i, j) = (pattern.term(pair.s).start + g * qs, pattern.term(pair.t).start + h * qt);
                for c in 0..qs {
                    for d in 0..qt {
                        let (i, j) = (i + c, j + d);
                        out[c * qt + d] = match own {
                            Some(own) => {
                                self.s_inverse[own][(g * qs + c) * qs + d] + self.moment(&self.m, i, &self.m, j)
                            }
                            None => -0.5 * (self.moment(&self.m, i, &self.x, j) + self.moment(&self.x, i, &self.m, j)),
                        };
                    }
                }
            }
        }
    }
}

/// The numbers of effect i in all vectors.
#[inline(always)]
fn row(x: &[f64], i: usize) -> &[f64] {
    &x[i * DRAWS..(i + 1) * DRAWS]
}

/// Makes every probe orthogonal to `count` orthonormal vectors, interleaved.
fn project_out(basis: &[f64], count: usize, probes: &mut [f64]) {
    for k in 0..count {
        let mut along = [0.0; DRAWS];
        for (v, probe) in basis.chunks_exact(count).zip(probes.chunks_exact(DRAWS)) {
            (0..DRAWS).for_each(|m| along[m] += v[k] * probe[m]);
        }
        for (v, probe) in basis.chunks_exact(count).zip(probes.chunks_exact_mut(DRAWS)) {
            (0..DRAWS).for_each(|m| probe[m] -= along[m] * v[k]);
        }
    }
}

impl Solver for Iterative {
    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        let layout = self.schur.layout.clone();
        let border = &layout.border;
        let log_a = border.invert_a(h, &mut self.schur.a_inverse)?;
        border.gather(h, &mut self.schur.b);
        self.schur.d.iter_mut().zip(&layout.places).for_each(|(d, &place)| *d = h[place as usize]);
        let log_p = self.schur.precondition_by(h)?;
        for ((blocks, roots), inverse) in layout.blocks.iter().zip(&self.schur.roots).zip(&mut self.s_inverse) {
            let q = blocks.q;
            let blocks = roots.chunks_exact(q * q).zip(inverse.chunks_exact_mut(q * q));
            blocks.for_each(|(root, inverse)| dense::cholesky_inverse(root, q, inverse));
        }
        Some(log_a + log_p)
    }

    fn solve(&mut self, x: &mut [f64]) {
        self.solve_columns(x, 1, &mut vec![0.0; self.schur.order()], TOLERANCE);
    }

    fn inverse(&mut self, out: &mut [f64]) {
        if !self.fresh {
            self.draw();
        }
        self.schur.by_size(
            DRAWS,
            #[inline(always)]
            |q, _| {
                self.put_own(q, out);
                self.put_border(q, out);
                self.put_rest(out);
            },
        );
    }

    /// Not known from draws: the Hessian of an iterative fit is average information.
    fn inverse_tangent(&mut self, _dh: &[f64], out: &mut [f64]) {
        out.fill(f64::NAN);
    }

    fn costly(&self) -> bool {
        false
    }

    fn forget(&mut self) {
        self.last.fill(0.0);
    }

    fn draws(&self) -> usize {
        DRAWS - self.exact.len()
    }

    fn set_noise(&mut self, mut noise: Vec<f64>) {
        for (m, &(first, step, end)) in self.exact.iter().enumerate() {
            noise.chunks_exact_mut(DRAWS).for_each(|n| n[m] = 0.0);
            (first..end).step_by(step).for_each(|i| noise[i * DRAWS + m] = 1.0);
        }
        (self.noise, self.fresh) = (noise, false);
    }

    fn use_draws(&mut self, draws: Range<usize>) {
        let (exact, weight) = (self.exact.len(), 1.0 / draws.len() as f64);
        self.weights = std::array::from_fn(|m| match m.checked_sub(exact) {
            None => 1.0,
            Some(draw) if draws.contains(&draw) => weight,
            Some(_) => 0.0,
        });
    }

    fn log_remainder(&self, signs: &[u64]) -> Option<(f64, f64)> {
        let n = self.schur.order();
        let (smooth, count) = self.smooth_vectors();
        let exact = log_determinants(&self.schur, &smooth, count, TOLERANCE_LOG, MAX_ITERATIONS)?;
        let exact: f64 = exact.iter().sum();
        let bits = signs[..n].iter().flat_map(|s| (0..DRAWS).map(move |m| s >> (DRAWS + m) & 1));
        let mut probes: Vec<f64> = bits.map(|bit| 1.0 - 2.0 * bit as f64).collect();
        project_out(&smooth, count, &mut probes);
        let values = log_determinants(&self.schur, &probes, DRAWS, TOLERANCE_LOG, MAX_ITERATIONS)?;
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (count - 1.0);
        Some((exact + mean, (variance / count).sqrt()))
    }
}
