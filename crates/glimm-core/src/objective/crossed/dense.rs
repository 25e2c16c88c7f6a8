//! The largest factor eliminated exactly, the rest by a dense Schur complement:
//!
//! ```text
//! H = [A B; B'D]    E = A^-1 B    S = D - B'E    log|H| = log|A| + log|S|
//! C_22 = S^-1       C_12 = -E C_22               C_11 = A^-1 - C_12 E'
//! ```
//!
//! and its tangent, with W = dB - dA E / 2 and dE = A^-1 (dB - dA E):
//!
//! ```text
//! dS   = dD - W'E - E'W             dC_22 = -C_22 dS C_22
//! dC_12 = -dE C_22 - E dC_22        dC_11 = -A^-1 dA A^-1 - dC_12 E' - C_12 dE'
//! ```
//!
//! Only the entries of C_12 that stand in the pattern of B are formed: a level of the largest factor
//! needs C_22 for the effects it meets.

use std::sync::Arc;

use super::border::Border;
use super::solver::Solver;
use crate::linalg::{dense, spd};
use crate::special::vectorized;

pub struct Dense {
    border: Arc<Border>,
    a_inverse: Vec<f64>,
    b: Vec<f64>,
    e: Vec<f64>,
    /// Cholesky factor of S, by columns.
    l: Vec<f64>,
    /// C_22, both triangles.
    c: Vec<f64>,
    /// dS, then dC_22.
    ds: Vec<f64>,
    /// C_12, dC_12 and other numbers per entry of B.
    c12: Vec<f64>,
    room: [Vec<f64>; 3],
    rest: Vec<f64>,
    has_inverse: bool,
}

impl Dense {
    pub fn new(border: Arc<Border>) -> Dense {
        let (n, entries) = (border.rest_len, border.columns.len() * border.q);
        Dense {
            a_inverse: vec![0.0; border.levels * border.q * border.q],
            b: vec![0.0; entries],
            e: vec![0.0; entries],
            l: vec![0.0; n * n],
            c: Vec::new(),
            ds: Vec::new(),
            c12: vec![0.0; entries],
            room: [vec![0.0; entries], vec![0.0; entries], Vec::new()],
            rest: vec![0.0; n],
            has_inverse: false,
            border,
        }
    }

    /// S = D - B'E, lower triangle.
    fn schur(&mut self, h: &[f64]) {
        let n = self.border.rest_len;
        self.l.fill(0.0);
        for &(row, column, place) in &self.border.d {
            self.l[column as usize * n + row as usize] = h[place as usize];
        }
        subtract_products::<false>(&self.border, &self.b, &self.e, &mut self.l);
    }

    fn invert(&mut self) {
        if !self.has_inverse {
            let n = self.border.rest_len;
            self.c.resize(n * n, 0.0);
            spd::inverse(&self.l, n, &mut self.c);
            self.has_inverse = true;
        }
        multiply(&self.border, [&self.e], [&self.c], &mut self.c12);
    }
}

/// Numbers of entry k, `q` of them.
#[inline(always)]
fn at(x: &[f64], k: usize, q: usize) -> &[f64] {
    &x[k * q..(k + 1) * q]
}

/// Runs `level(q, entries)` for every level of the largest factor, compiled for small q.
#[inline(always)]
fn each_level(border: &Border, mut level: impl FnMut(usize, std::ops::Range<usize>)) {
    vectorized(
        #[inline(always)]
        || {
            dense::by_size(
                border.q,
                #[inline(always)]
                |q| {
                    // A plain loop: a library function that is not inlined would forget q.
                    for g in 0..border.levels {
                        level(q, border.entries(g));
                    }
                },
            )
        },
    );
}

/// Lower triangle of S -= X'Y, which is symmetric; of S -= X'Y + Y'X when `BOTH`.
fn subtract_products<const BOTH: bool>(border: &Border, x: &[f64], y: &[f64], s: &mut [f64]) {
    let n = border.rest_len;
    each_level(
        border,
        #[inline(always)]
        |q, entries| {
            let rows = &border.columns[entries.clone()];
            let (x, y) = (&x[entries.start * q..entries.end * q], &y[entries.start * q..entries.end * q]);
            for (k, &column) in rows.iter().enumerate() {
                let (xk, yk) = (at(x, k, q), at(y, k, q));
                let s = &mut s[column as usize * n..(column as usize + 1) * n];
                let others = x[k * q..].chunks_exact(q).zip(y[k * q..].chunks_exact(q));
                for ((x, y), &row) in others.zip(&rows[k..]) {
                    let mut sum = 0.0;
                    for i in 0..q {
                        sum += x[i] * yk[i];
                        if BOTH {
                            sum += y[i] * xk[i];
                        }
                    }
                    s[row as usize] -= sum;
                }
            }
        },
    );
}

/// out = -sum_p E_p C_p on the pattern of E, for symmetric C_p of which the lower triangles are read.
fn multiply<const N: usize>(border: &Border, e: [&[f64]; N], c: [&[f64]; N], out: &mut [f64]) {
    let n = border.rest_len;
    out.fill(0.0);
    each_level(
        border,
        #[inline(always)]
        |q, entries| {
            let (mut small, mut large) = ([0.0; 16], Vec::new());
            let sum = dense::scratch(q, &mut small, &mut large);
            let rows = &border.columns[entries.clone()];
            let numbers = entries.start * q..entries.end * q;
            let out = &mut out[numbers.clone()];
            for p in 0..N {
                let e = &e[p][numbers.clone()];
                for (k, &column) in rows.iter().enumerate() {
                    let c = &c[p][column as usize * n..(column as usize + 1) * n];
                    let own = at(e, k, q);
                    for i in 0..q {
                        sum[i] = own[i] * c[column as usize];
                    }
                    let (head, tail) = out.split_at_mut((k + 1) * q);
                    let others = tail.chunks_exact_mut(q).zip(e[(k + 1) * q..].chunks_exact(q));
                    for ((o, e), &row) in others.zip(&rows[k + 1..]) {
                        let c = c[row as usize];
                        for i in 0..q {
                            sum[i] += e[i] * c;
                            o[i] -= own[i] * c;
                        }
                    }
                    for i in 0..q {
                        head[k * q + i] -= sum[i];
                    }
                }
            }
        },
    );
}

/// The block of A^-1 of level g minus X E', the part of C_11 that B adds.
fn add_outer(border: &Border, g: usize, times: f64, x: &[f64], y: &[f64], block: &mut [f64]) {
    let q = border.q;
    for k in border.entries(g) {
        let (x, y) = (at(x, k, q), at(y, k, q));
        for i in 0..q {
            for j in 0..q {
                block[i * q + j] += times * x[i] * y[j];
            }
        }
    }
}

impl Dense {
    /// dB - dA E into `room[0]`, W = dB - dA E / 2 into `room[1]`, dA^-1 = -A^-1 dA A^-1 into `room[2]`.
    fn differentials(&mut self, dh: &[f64]) {
        let (q, border) = (self.border.q, &self.border);
        let [db, w, da_inverse] = &mut self.room;
        border.gather(dh, db);
        da_inverse.resize(self.a_inverse.len(), 0.0);
        let (mut da, mut dae) = (vec![0.0; q * q], vec![0.0; q]);
        for g in 0..border.levels {
            border.block(dh, g, q, &mut da);
            let levels = g * q * q..(g + 1) * q * q;
            dense::minus_sandwiches(q, &self.a_inverse[levels.clone()], &da, &mut da_inverse[levels]);
            for k in border.entries(g) {
                dense::matvec(&da, at(&self.e, k, q), q, &mut dae);
                for i in 0..q {
                    let b = db[k * q + i];
                    w[k * q + i] = b - 0.5 * dae[i];
                    db[k * q + i] = b - dae[i];
                }
            }
        }
    }

    /// dC_22 = -C_22 dS C_22 into `ds`, lower triangle.
    fn schur_tangent(&mut self, dh: &[f64]) {
        let n = self.border.rest_len;
        self.ds.resize(n * n, 0.0);
        self.ds.fill(0.0);
        for &(row, column, place) in &self.border.d {
            self.ds[column as usize * n + row as usize] = dh[place as usize];
        }
        subtract_products::<true>(&self.border, &self.room[1], &self.e, &mut self.ds);
        spd::mirror(&mut self.ds, n);
        let mut product = vec![0.0; n * n];
        spd::sandwich(&self.c, &mut self.ds, n, &mut product);
        self.ds.iter_mut().for_each(|x| *x = -*x);
    }

    /// Writes (C_11, C_12, C_22) to a matrix, where `c11` gives the block of a level.
    fn put(border: &Border, c12: &[f64], c22: &[f64], out: &mut [f64], mut c11: impl FnMut(usize, &mut [f64])) {
        let mut block = vec![0.0; border.q * border.q];
        for g in 0..border.levels {
            c11(g, &mut block);
            border.put_block(&block, g, out);
        }
        border.scatter(c12, out);
        let n = border.rest_len;
        for &(row, column, place) in &border.d {
            out[place as usize] = c22[column as usize * n + row as usize];
        }
    }
}

impl Solver for Dense {
    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        self.has_inverse = false;
        let border = self.border.clone();
        let log_a = border.invert_a(h, &mut self.a_inverse)?;
        border.gather(h, &mut self.b);
        border.divide(&self.a_inverse, &self.b, &mut self.e);
        self.schur(h);
        Some(log_a + spd::cholesky(&mut self.l, border.rest_len)?)
    }

    fn solve(&mut self, x: &mut [f64]) {
        let (border, rest) = (&self.border, &mut self.rest);
        border.take_rest(x, 1, rest);
        border.eliminate(&self.a_inverse, &self.e, x, rest);
        spd::solve(&self.l, border.rest_len, rest);
        border.substitute(&self.e, rest, x);
        border.put_rest(rest, 1, x);
    }

    fn inverse(&mut self, out: &mut [f64]) {
        self.invert();
        let size = self.border.q * self.border.q;
        Dense::put(&self.border, &self.c12, &self.c, out, |g, block| {
            block.copy_from_slice(&self.a_inverse[g * size..(g + 1) * size]);
            add_outer(&self.border, g, -1.0, &self.c12, &self.e, block);
        });
    }

    fn inverse_tangent(&mut self, dh: &[f64], out: &mut [f64]) {
        self.invert();
        self.differentials(dh);
        self.schur_tangent(dh);
        let border = self.border.clone();
        let [db, dc12, da_inverse] = &mut self.room;
        // dE takes the place of W's complement: dB - dA E is no longer needed.
        let mut de = vec![0.0; db.len()];
        border.divide(&self.a_inverse, db, &mut de);
        multiply(&border, [&de, &self.e], [&self.c, &self.ds], dc12);
        let size = border.q * border.q;
        Dense::put(&border, dc12, &self.ds, out, |g, block| {
            block.copy_from_slice(&da_inverse[g * size..(g + 1) * size]);
            add_outer(&border, g, -1.0, dc12, &self.e, block);
            add_outer(&border, g, -1.0, &self.c12, &de, block);
        });
    }
}
