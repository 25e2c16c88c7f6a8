//! H of nested groups, by elimination of every group before its parent.
//!
//! With g a group, A its path above it, S_g what is left of H_gg and B_g of H_gA when all groups below are eliminated:
//!
//! ```text
//! E_g = S_g^-1 B_g          H_AA -= B_g'E_g          S_g = L_g L_g'          log|H| = sum_g log|S_g|
//! ```
//!
//! so that u given everything above it is normal around m_g - E_g (u_A - m_A) with covariance S_g^-1 = T_g T_g', T_g = L_g^-T.
//! A matrix M on the pattern that is unfolded from blocks (P_g, Q_g), parents first, has
//!
//! ```text
//! M_gA = -E_g M_AA - P_g          M_gg = E_g M_AA E_g' + Q_g
//! ```
//!
//! The inverse is P = 0, Q = S^-1; its tangent and the derivative of a quadrature rule in H are of this form too.

use std::sync::Arc;

use super::tree::{Group, Tree};
use crate::linalg::dense;
use crate::objective::crossed::Solver;

pub struct Arrow {
    tree: Arc<Tree>,
    /// E_g with S_g^-1 beside it, block by block: own effects by effects of the path.
    blocks: Vec<f64>,
    /// T_g.
    scales: Vec<f64>,
    /// The inverse on every path, when it was asked for.
    inverse: Vec<f64>,
}

impl Arrow {
    pub fn new(tree: Arc<Tree>) -> Arrow {
        let (blocks, corners) = tree.groups.last().map_or((0, 0), |g| (g.block().end, g.corner().end));
        Arrow { tree, blocks: vec![0.0; blocks], scales: vec![0.0; corners], inverse: vec![] }
    }

    /// T_g.
    pub fn scale(&self, g: &Group) -> &[f64] {
        &self.scales[g.corner()]
    }

    /// E_g x.
    pub fn slope_times(&self, g: &Group, x: &[f64], out: &mut [f64]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.slope(g, i).iter().zip(x).map(|(e, x)| e * x).sum();
        }
    }

    /// Row `i` of E_g.
    #[inline(always)]
    pub fn slope(&self, g: &Group, i: usize) -> &[f64] {
        &self.blocks[g.block + i * g.path.len()..][..g.above()]
    }

    /// Gathers the blocks of a matrix on the pattern.
    fn gather(&self, m: &[f64]) -> Vec<f64> {
        self.tree.groups.iter().flat_map(|g| g.places.iter().map(|&p| m[p])).collect()
    }

    /// Subtracts the symmetric matrix `value` over the path above `g` from the blocks of its ancestors.
    fn subtract_above(&self, g: &Group, value: impl Fn(usize, usize) -> f64, blocks: &mut [f64]) {
        let mut next = g.parent;
        while let Some(a) = next {
            let a = &self.tree.groups[a];
            let (width, first) = (a.path.len(), a.above());
            for (i, row) in blocks[a.block()].chunks_exact_mut(width).enumerate() {
                row.iter_mut().enumerate().for_each(|(j, x)| *x -= value(first + i, j));
            }
            next = a.parent;
        }
    }

    /// M on every path from the blocks (P_g, Q_g).
    pub fn unfold(&self, blocks: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.tree.groups.last().map_or(0, |g| g.square().end)];
        for g in &self.tree.groups {
            let (n, a, own) = (g.path.len(), g.above(), &blocks[g.block()]);
            let (before, square) = out.split_at_mut(g.square);
            let m = &mut square[..n * n];
            if let Some(parent) = g.parent {
                let above = &before[self.tree.groups[parent].square()];
                (0..a).for_each(|i| m[i * n..i * n + a].copy_from_slice(&above[i * a..(i + 1) * a]));
            }
            let e = &self.blocks[g.block()];
            for i in 0..g.own {
                for j in 0..a {
                    let em: f64 = (0..a).map(|k| e[i * n + k] * m[k * n + j]).sum();
                    m[(a + i) * n + j] = -em;
                }
            }
            for i in 0..g.own {
                for j in 0..g.own {
                    let eme: f64 = (0..a).map(|k| -m[(a + i) * n + k] * e[j * n + k]).sum();
                    m[(a + i) * n + a + j] = eme + own[i * n + a + j];
                }
            }
            for i in 0..g.own {
                for j in 0..a {
                    m[(a + i) * n + j] -= own[i * n + j];
                    m[j * n + a + i] = m[(a + i) * n + j];
                }
            }
        }
        out
    }

    /// Copies matrices over paths to the pattern.
    pub fn scatter(&self, paths: &[f64], out: &mut [f64]) {
        for g in &self.tree.groups {
            let own = &paths[g.square()][g.above() * g.path.len()..];
            g.places.iter().zip(own).for_each(|(&p, m)| out[p] = *m);
        }
    }

    /// The blocks (0, S_g^-1) of the inverse.
    pub fn inverse_blocks(&self) -> Vec<f64> {
        let mut blocks = self.blocks.clone();
        for g in &self.tree.groups {
            blocks[g.block()].chunks_exact_mut(g.path.len()).for_each(|row| row[..g.above()].fill(0.0));
        }
        blocks
    }
}

/// T = L^-T from the Cholesky factor.
fn inverse_transposed(l: &[f64], q: usize, out: &mut [f64]) {
    out.fill(0.0);
    for j in 0..q {
        out[j * q + j] = 1.0 / l[j * q + j];
        for i in j + 1..q {
            let sum: f64 = (j..i).map(|k| l[i * q + k] * out[j * q + k]).sum();
            out[j * q + i] = -sum / l[i * q + i];
        }
    }
}

impl Solver for Arrow {
    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        let tree = self.tree.clone();
        let (mut blocks, mut logdet) = (self.gather(h), 0.0);
        for g in tree.groups.iter().rev() {
            let (n, a, q) = (g.path.len(), g.above(), g.own);
            let own = blocks[g.block()].to_vec();
            let mut s: Vec<f64> = (0..q * q).map(|i| own[i / q * n + a + i % q]).collect();
            if !dense::cholesky(&mut s, q) {
                return None;
            }
            logdet += dense::cholesky_logdet(&s, q);
            inverse_transposed(&s, q, &mut self.scales[g.corner()]);
            let t = &self.scales[g.corner()];
            let inverse = |i: usize, j: usize| (i.max(j)..q).map(|k| t[i * q + k] * t[j * q + k]).sum::<f64>();
            let out = &mut self.blocks[g.block()];
            for i in 0..q {
                (0..a).for_each(|j| out[i * n + j] = (0..q).map(|k| inverse(i, k) * own[k * n + j]).sum());
                (0..q).for_each(|j| out[i * n + a + j] = inverse(i, j));
            }
            let e = &self.blocks[g.block()];
            self.subtract_above(g, |i, j| (0..q).map(|k| own[k * n + i] * e[k * n + j]).sum(), &mut blocks);
        }
        Some(logdet)
    }

    fn solve(&mut self, x: &mut [f64]) {
        let place = |g: &Group| g.path[g.above()..].to_vec();
        let mut room = vec![0.0; x.len()];
        for g in self.tree.groups.iter().rev() {
            let (n, a) = (g.path.len(), g.above());
            let own: Vec<f64> = place(g).iter().map(|&p| x[p]).collect();
            for (row, y) in self.blocks[g.block()].chunks_exact(n).zip(&own) {
                (0..a).for_each(|j| x[g.path[j]] -= row[j] * y);
            }
            for (row, p) in self.blocks[g.block()].chunks_exact(n).zip(place(g)) {
                room[p] = row[a..].iter().zip(&own).map(|(s, y)| s * y).sum();
            }
        }
        for g in &self.tree.groups {
            let (n, a) = (g.path.len(), g.above());
            for (row, p) in self.blocks[g.block()].chunks_exact(n).zip(place(g)) {
                x[p] = room[p] - (0..a).map(|j| row[j] * x[g.path[j]]).sum::<f64>();
            }
        }
    }

    fn inverse(&mut self, out: &mut [f64]) {
        self.inverse = self.unfold(&self.inverse_blocks());
        self.scatter(&self.inverse, out);
    }

    /// The tangents of S, B and E, from the groups at the bottom to the top, and of the inverse the other way:
    /// dH_AA -= dB'E + E'dB - E'dS E, dE = S^-1 (dB - dS E), P = dE C_AA, Q = -S^-1 dS S^-1 + dE C_AA E' + E C_AA dE'.
    fn inverse_tangent(&mut self, dh: &[f64], out: &mut [f64]) {
        let mut blocks = self.gather(dh);
        for g in self.tree.groups.iter().rev() {
            let (n, a, q) = (g.path.len(), g.above(), g.own);
            let (d, e) = (blocks[g.block()].to_vec(), &self.blocks[g.block()]);
            // dB - dS E
            let rest = |i: usize, j: usize| d[i * n + j] - (0..q).map(|k| d[i * n + a + k] * e[k * n + j]).sum::<f64>();
            let change = |i: usize, j: usize| {
                (0..q).map(|k| d[k * n + i] * e[k * n + j] + e[k * n + i] * rest(k, j)).sum::<f64>()
            };
            self.subtract_above(g, change, &mut blocks);
            let above = g.parent.map_or(&[][..], |p| &self.inverse[self.tree.groups[p].square()]);
            let de: Vec<f64> =
                (0..q * a).map(|i| (0..q).map(|k| e[i / a * n + a + k] * rest(k, i % a)).sum()).collect();
            let out = &mut blocks[g.block()];
            for i in 0..q {
                for j in 0..a {
                    out[i * n + j] = (0..a).map(|k| de[i * a + k] * above[k * a + j]).sum();
                }
            }
            let p = out.to_vec();
            let half = |i: usize, j: usize| (0..a).map(|k| p[i * n + k] * e[j * n + k]).sum::<f64>();
            for i in 0..q {
                for j in 0..q {
                    let sds =
                        (0..q * q).map(|kl| e[i * n + a + kl / q] * d[kl / q * n + a + kl % q] * e[j * n + a + kl % q]);
                    out[i * n + a + j] = half(i, j) + half(j, i) - sds.sum::<f64>();
                }
            }
        }
        self.scatter(&self.unfold(&blocks), out);
    }

    fn costly(&self) -> bool {
        false
    }
}

impl Arrow {
    /// -2 dL/dH on every path, from the derivatives in E_g and T_g: with V this matrix,
    /// P = S^-1 dE and Q = S^-1 + 2 T sym(tril(dT'T)) T' + 2 sym(S^-1 dE E'), the diagonal of tril halved.
    /// Without such derivatives V is the inverse, as for Laplace's approximation.
    pub fn derivative_in_h(&self, changes: &[f64]) -> Vec<f64> {
        let mut blocks = self.inverse_blocks();
        for g in &self.tree.groups {
            let (n, a, q) = (g.path.len(), g.above(), g.own);
            let (d, e, t) = (&changes[g.block()], &self.blocks[g.block()], self.scale(g));
            let side = |i: usize, j: usize| (0..q).map(|k| e[i * n + a + k] * d[k * n + j]).sum::<f64>();
            let low =
                |i: usize, j: usize| 0.5 * (0..q).map(|k| d[k * n + a + i.max(j)] * t[k * q + i.min(j)]).sum::<f64>();
            let out = &mut blocks[g.block()];
            for i in 0..q {
                (0..a).for_each(|j| out[i * n + j] = side(i, j));
            }
            let half = |i: usize, j: usize| (0..a).map(|k| side(i, k) * e[j * n + k]).sum::<f64>();
            for i in 0..q {
                for j in 0..q {
                    let inner = (0..q * q).map(|kl| t[i * q + kl / q] * low(kl / q, kl % q) * t[j * q + kl % q]);
                    out[i * n + a + j] += 2.0 * inner.sum::<f64>() + half(i, j) + half(j, i);
                }
            }
        }
        self.unfold(&blocks)
    }
}
