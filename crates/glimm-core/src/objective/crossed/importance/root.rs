//! The Cholesky factor of H = [A B; B'D], with the levels of the largest factor first, and draws with it:
//!
//! ```text
//! H = L L',  L = [L_A 0; F' L_S],  F = L_A^-1 B,  L_S L_S' = D - F'F        L'x = z:  x ~ N(0, H^-1)
//! ```

use std::sync::Arc;

use super::sampler::{LANES, Lanes};
use crate::linalg::{dense, spd};
use crate::objective::crossed::border::Border;
use crate::special::vectorized;

pub struct Root {
    border: Arc<Border>,
    /// L_A of each level, q x q row by row.
    own: Vec<f64>,
    /// F, q numbers per entry.
    f: Vec<f64>,
    /// L_S by columns.
    rest: Vec<f64>,
    pub log_determinant: f64,
}

/// x -= a y in every lane.
#[inline(always)]
fn subtract(x: &mut Lanes, a: f64, y: &Lanes) {
    for l in 0..LANES {
        x[l] -= a * y[l];
    }
}

impl Root {
    /// `None` when H is not positive definite.
    pub fn new(border: &Arc<Border>, h: &[f64]) -> Option<Root> {
        let (q, n) = (border.q, border.rest_len);
        let (mut own, mut f) = (vec![0.0; border.levels * q * q], vec![0.0; border.columns.len() * q]);
        let mut log_determinant = 0.0;
        border.gather(h, &mut f);
        for g in 0..border.levels {
            let l = &mut own[g * q * q..(g + 1) * q * q];
            border.block(h, g, q, l);
            if !dense::cholesky(l, q) {
                return None;
            }
            log_determinant += dense::cholesky_logdet(l, q);
            let entries = border.entries(g);
            f[entries.start * q..entries.end * q].chunks_exact_mut(q).for_each(|b| forward(l, q, b));
        }
        let mut rest = schur(border, h, &f);
        if n > 0 {
            log_determinant += spd::cholesky(&mut rest, n)?;
        }
        Some(Root { border: border.clone(), own, f, rest, log_determinant })
    }

    pub fn rest_len(&self) -> usize {
        self.border.rest_len
    }

    /// x = L'^-1 x for all lanes, with `rest` as room.
    pub fn spread(&self, x: &mut [Lanes], rest: &mut [Lanes]) {
        self.border.take_rest(x.as_flattened(), LANES, rest.as_flattened_mut());
        vectorized(
            #[inline(always)]
            || {
                self.spread_rest(rest);
                self.spread_own(x, rest);
            },
        );
        self.border.put_rest(rest.as_flattened(), LANES, x.as_flattened_mut());
    }

    /// x = H^-1 x for all lanes, with `rest` as room.
    pub fn solve(&self, x: &mut [Lanes], rest: &mut [Lanes]) {
        self.border.take_rest(x.as_flattened(), LANES, rest.as_flattened_mut());
        vectorized(
            #[inline(always)]
            || {
                self.reduce_own(x, rest);
                self.reduce_rest(rest);
                self.spread_rest(rest);
                self.spread_own(x, rest);
            },
        );
        self.border.put_rest(rest.as_flattened(), LANES, x.as_flattened_mut());
    }

    /// The first half of L^-1 x.
    #[inline(always)]
    fn reduce_own(&self, x: &mut [Lanes], rest: &mut [Lanes]) {
        let (border, q) = (&self.border, self.border.q);
        for g in 0..border.levels {
            let l = &self.own[g * q * q..(g + 1) * q * q];
            for i in 0..q {
                let mut sum = x[border.own(g, i)];
                for k in 0..i {
                    subtract(&mut sum, l[i * q + k], &x[border.own(g, k)]);
                }
                x[border.own(g, i)] = sum.map(|s| s / l[i * q + i]);
            }
            for k in border.entries(g) {
                for i in 0..q {
                    subtract(&mut rest[border.columns[k] as usize], self.f[k * q + i], &x[border.own(g, i)]);
                }
            }
        }
    }

    /// The second half.
    #[inline(always)]
    fn reduce_rest(&self, x: &mut [Lanes]) {
        let n = x.len();
        for j in 0..n {
            let column = &self.rest[j * n..(j + 1) * n];
            let pivot = x[j].map(|x| x / column[j]);
            x[j] = pivot;
            for i in j + 1..n {
                subtract(&mut x[i], column[i], &pivot);
            }
        }
    }

    #[inline(always)]
    fn spread_rest(&self, x: &mut [Lanes]) {
        let n = x.len();
        for j in (0..n).rev() {
            let column = &self.rest[j * n..(j + 1) * n];
            let mut sum = x[j];
            for i in j + 1..n {
                subtract(&mut sum, column[i], &x[i]);
            }
            x[j] = sum.map(|s| s / column[j]);
        }
    }

    #[inline(always)]
    fn spread_own(&self, x: &mut [Lanes], rest: &[Lanes]) {
        let (border, q) = (&self.border, self.border.q);
        for g in 0..border.levels {
            for k in border.entries(g) {
                let from = &rest[border.columns[k] as usize];
                for i in 0..q {
                    subtract(&mut x[border.own(g, i)], self.f[k * q + i], from);
                }
            }
            let l = &self.own[g * q * q..(g + 1) * q * q];
            for i in (0..q).rev() {
                let mut sum = x[border.own(g, i)];
                for k in i + 1..q {
                    subtract(&mut sum, l[k * q + i], &x[border.own(g, k)]);
                }
                x[border.own(g, i)] = sum.map(|s| s / l[i * q + i]);
            }
        }
    }
}

/// b = L^-1 b.
fn forward(l: &[f64], q: usize, b: &mut [f64]) {
    for i in 0..q {
        let sum: f64 = (0..i).map(|k| l[i * q + k] * b[k]).sum();
        b[i] = (b[i] - sum) / l[i * q + i];
    }
}

/// D - F'F, lower triangle by columns.
fn schur(border: &Border, h: &[f64], f: &[f64]) -> Vec<f64> {
    let (q, n) = (border.q, border.rest_len);
    let mut s = vec![0.0; n * n];
    for &(row, column, place) in &border.d {
        s[column as usize * n + row as usize] = h[place as usize];
    }
    for g in 0..border.levels {
        for a in border.entries(g) {
            for b in a..border.entries(g).end {
                let (x, y) = (&f[a * q..(a + 1) * q], &f[b * q..(b + 1) * q]);
                let product: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
                s[border.columns[a] as usize * n + border.columns[b] as usize] -= product;
            }
        }
    }
    s
}
