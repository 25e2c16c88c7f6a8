//! Adaptive quadrature of the integral of each group, and its exact gradient.
//!
//! Nodes x_k keep their places relative to the mode and the scale of the group, u_k = mode + S x_k with S = R^-T and
//! H = RR'. With log weights w_k and p_k proportional to exp(w_k - h(u_k)):
//!
//! ```text
//! L    = log sum_k exp(w_k - h(u_k)) - log|R| - (q/2) log 2 pi
//! m    = -sum p_k h'(u_k)           Sbar = -sum p_k h'(u_k) x_k'           derivatives in the mode and in S
//! Hbar = -C/2 - S sym(tril(Sbar'S)) S'                                     the derivative in H (diagonal halved)
//! V    = -2 Lambda Hbar Lambda'     s = -F''' z'V z / 2                     a = C (Lambda'Z's - m)
//! dL/dbeta   = X'(sum p_k r_k - s - F'' Z Lambda a)
//! dL/dLambda = sum p_k (Z'r_k) u_k' - (Z's + Z'F''Z Lambda a) u' - (Z'r) a' + 2 Z'WZ Lambda Hbar
//! ```
//!
//! Laplace's approximation is the case of one node at zero, where m = 0, V = Lambda C Lambda' (Pinheiro and Bates 1995, J.
//! Comput. Graph. Stat. 4, 12-35, for the rule). Second derivatives are those at fixed u_k (Louis 1982, J. R. Stat. Soc.
//! B 44, 226-233): what they leave out is of the size of the rule's error.

use super::lanes::{self, LANES, Lanes};
use super::laplace::{Direction, Point, Sums};
use super::work::Work;
use crate::family::Want;
use crate::objective::{Order, Reject};
use crate::special;

/// Log weight of a place in a lane without a node.
pub const NO_NODE: f64 = -1e30;

/// Log weight from which a node counts.
const LEAST: f64 = -700.0;

/// Nodes of the groups of one tile: standard coordinates (node x effect) and log weights.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub x: Vec<Lanes>,
    pub log_weight: Vec<Lanes>,
}

/// Means over the nodes of one tile, and room for one node.
pub struct Mean {
    /// S = R^-T.
    scale: Vec<Lanes>,
    u: Vec<Lanes>,
    b: Vec<Lanes>,
    /// h'(u_k).
    slope: Vec<Lanes>,
    /// Sums of the weights, of W'r_k, h'(u_k), h'(u_k) x_k' and (Z'r_k) u_k'.
    total: Lanes,
    columns: Vec<Lanes>,
    slopes: Vec<Lanes>,
    dyads: Vec<Lanes>,
    zu: Vec<Lanes>,
    /// Per direction: the sum of its scores, and of the rows of Louis' matrix, in columns and in Lambda.
    scores: Vec<Lanes>,
    rows: Vec<Lanes>,
    /// F'W'd for one direction.
    along: Vec<Lanes>,
    hbar: Vec<Lanes>,
    v: Vec<Lanes>,
    room: [Vec<Lanes>; 2],
}

impl Mean {
    pub fn new(p: usize, q: usize, directions: usize) -> Mean {
        let zeros = |n: usize| vec![Lanes::ZERO; n];
        Mean {
            scale: zeros(q * q),
            u: zeros(q),
            b: zeros(q),
            slope: zeros(q),
            total: Lanes::ZERO,
            columns: zeros(p),
            slopes: zeros(q),
            dyads: zeros(q * q),
            zu: zeros(q * q),
            scores: zeros(directions),
            rows: zeros(directions * (p + q * q)),
            along: zeros(p),
            hbar: zeros(q * q),
            v: zeros(q * q),
            room: [zeros(q * q), zeros(q * q)],
        }
    }

    fn clear(&mut self) {
        self.total = Lanes::ZERO;
        let sums =
            [&mut self.columns, &mut self.slopes, &mut self.dyads, &mut self.zu, &mut self.scores, &mut self.rows];
        sums.into_iter().for_each(|s| s.fill(Lanes::ZERO));
    }

    /// From sums to means.
    fn divide(&mut self) {
        let mut inverse = Lanes::ONE;
        (0..LANES).for_each(|l| inverse.0[l] = 1.0 / self.total.0[l]);
        let sums =
            [&mut self.columns, &mut self.slopes, &mut self.dyads, &mut self.zu, &mut self.scores, &mut self.rows];
        sums.into_iter().flatten().for_each(|s| *s = *s * inverse);
    }
}

impl Work<'_> {
    /// Value, gradient and, if wanted, second derivatives of the tile's groups by the nodes of `grid` are added to
    /// `parts`, as [`Work::contribute`] does for Laplace's approximation. The row derivatives are to be those at `u`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn contribute_by_nodes(
        &mut self,
        q: usize,
        u: &[Lanes],
        copies: Lanes,
        grid: &Grid,
        at: &mut Point,
        mean: &mut Mean,
        parts: &mut [Sums],
        tangents: &mut [Lanes],
    ) -> Result<(), Reject> {
        self.first_moments(q);
        self.covariance(q, at)?;
        (0..q).for_each(|c| at.zr[c] = self.m1(q, self.store.z[c]));
        let at_mode = lanes::dot(q, u, u) * 0.5 - self.total();
        lanes::inverse_transposed(q, &at.chol, &mut mean.scale);
        mean.clear();
        for (x, log_weight) in grid.x.chunks_exact(q).zip(&grid.log_weight) {
            self.visit(q, u, x, *log_weight + at_mode, mean);
        }
        mean.divide();
        self.adjoint_of_nodes(q, u, at, mean);
        let mut value = -at_mode - lanes::logdet(q, &at.chol) * 0.5;
        (0..LANES).for_each(|l| value.0[l] += special::ln(mean.total.0[l]));
        lanes::matvec(q, true, &self.job.lambda, &at.zr, &mut at.y);
        (0..q).for_each(|c| at.y[c] = u[c] - at.y[c]);
        // What the value still lacks because u is not exactly the mode.
        at.sums.value = value + lanes::dot(q, &at.a, &at.y);
        if !at.sums.value.sum().is_finite() {
            return Err(Reject::NoMode);
        }
        parts[0].add(q, copies, &at.sums);
        if self.job.order == Order::Hessian {
            self.add_louis(q, u, copies, at, mean, parts, tangents);
        }
        Ok(())
    }

    /// One node: its weight and what it adds to the sums.
    #[inline(always)]
    fn visit(&mut self, q: usize, u: &[Lanes], x: &[Lanes], log_weight: Lanes, mean: &mut Mean) {
        let hessian = self.job.order == Order::Hessian;
        lanes::matvec(q, false, &mean.scale, x, &mut mean.u);
        (0..q).for_each(|c| mean.u[c] += u[c]);
        lanes::matvec(q, false, &self.job.lambda, &mean.u, &mut mean.b);
        self.predict(q, &mean.b);
        self.derive(Want { dims: self.store.spans.len(), order: if hessian { 2 } else { 1 }, value: true });
        self.node_moments(hessian);
        let h = lanes::dot(q, &mean.u, &mean.u) * 0.5 - self.total();
        let weight = self.node_weight(log_weight - h);
        mean.total += weight;
        let score = &self.node_score;
        for (sum, score) in mean.columns.iter_mut().zip(score) {
            *sum = weight.fma(*score, *sum);
        }
        for c in 0..q {
            mean.b[c] = score[self.store.z[c]];
        }
        lanes::matvec(q, true, &self.job.lambda, &mean.b, &mut mean.slope);
        for c in 0..q {
            mean.slope[c] = (mean.u[c] - mean.slope[c]) * weight;
            mean.slopes[c] += mean.slope[c];
            mean.b[c] = mean.b[c] * weight;
        }
        lanes::add_dyad(q, 1.0, &mean.slope, x, &mut mean.dyads);
        lanes::add_dyad(q, 1.0, &mean.b, &mean.u, &mut mean.zu);
        if hessian {
            self.visit_directions(q, weight, mean);
        }
    }

    /// exp(x). What a lane finds where the integrand vanishes may overflow and is forgotten.
    #[inline(always)]
    fn node_weight(&mut self, x: Lanes) -> Lanes {
        let mut weight = Lanes::ZERO;
        for l in 0..LANES {
            weight.0[l] = special::select(x.0[l] > LEAST, special::exp(x.0[l]), 0.0);
        }
        if weight.0.contains(&0.0) {
            for l in (0..LANES).filter(|&l| weight.0[l] == 0.0) {
                self.node_score.iter_mut().chain(&mut self.node_curvature).for_each(|s| s.0[l] = 0.0);
            }
        }
        weight
    }

    /// Adds p_k s_j and p_k (F''W'd_j + s_j W'r), s_j = r'W'd_j, where eta moves by w'd_j along direction j.
    #[inline(always)]
    fn visit_directions(&self, q: usize, weight: Lanes, mean: &mut Mean) {
        let (p, z, score) = (self.store.columns.len(), &self.store.z[..q], &self.node_score);
        let width = p + q * q;
        for (j, (_, direction)) in self.job.directions.iter().enumerate() {
            let mut s = Lanes::ZERO;
            match direction {
                Direction::Column(a) => {
                    s = score[*a];
                    mean.along.copy_from_slice(&self.node_curvature[a * p..(a + 1) * p]);
                }
                Direction::Factor(m) => {
                    lanes::matvec(q, false, m, &mean.u, &mut mean.b);
                    mean.along.fill(Lanes::ZERO);
                    for c in 0..q {
                        s = score[z[c]].fma(mean.b[c], s);
                        let row = &self.node_curvature[z[c] * p..(z[c] + 1) * p];
                        for (sum, f) in mean.along.iter_mut().zip(row) {
                            *sum = f.fma(mean.b[c], *sum);
                        }
                    }
                }
            }
            mean.scores[j] = weight.fma(s, mean.scores[j]);
            let (columns, lambda) = mean.rows[j * width..(j + 1) * width].split_at_mut(p);
            for a in 0..p {
                mean.along[a] = s.fma(score[a], mean.along[a]) * weight;
                columns[a] += mean.along[a];
            }
            for c in 0..q {
                mean.b[c] = mean.along[z[c]];
            }
            lanes::add_dyad(q, 1.0, &mean.b, &mean.u, lambda);
        }
    }

    /// The gradient, in `at.sums`, from the means.
    #[inline(always)]
    fn adjoint_of_nodes(&self, q: usize, u: &[Lanes], at: &mut Point, mean: &mut Mean) {
        let (lambda, z) = (&self.job.lambda, &self.store.z[..q]);
        // P = sym(tril(Sbar'S)), Sbar = -mean.dyads.
        let [one, two] = &mut mean.room;
        lanes::product(q, (&mean.dyads, true), (&mean.scale, false), one);
        for i in 0..q {
            for j in 0..=i {
                let half = one[i * q + j] * -0.5;
                (two[i * q + j], two[j * q + i]) = (half, half);
            }
        }
        lanes::product(q, (&mean.scale, false), (two, false), one);
        lanes::product(q, (one, false), (&mean.scale, true), two);
        for i in 0..q * q {
            mean.hbar[i] = at.c[i] * -0.5 - two[i];
        }
        lanes::product(q, (lambda, false), (&mean.hbar, false), one);
        lanes::product(q, (one, false), (lambda, true), &mut mean.v);
        // 2 Z'WZ Lambda Hbar
        lanes::product(q, (&at.s, false), (one, false), two);
        for i in 0..q * q {
            mean.v[i] = mean.v[i] * -2.0;
            at.sums.lambda[i] = two[i] * 2.0 + mean.zu[i];
        }
        for c in 0..q {
            at.zs[c] = self.pairs(q, self.m3(q, z[c]), &mean.v) * -0.5;
        }
        lanes::matvec(q, true, lambda, &at.zs, &mut at.x);
        (0..q).for_each(|c| at.x[c] += mean.slopes[c]);
        lanes::matvec(q, false, &at.c, &at.x, &mut at.a);
        lanes::matvec(q, false, lambda, &at.a, &mut at.la);
        for a in 0..self.store.columns.len() {
            let s = self.pairs(q, self.m3(q, a), &mean.v) * 0.5;
            at.sums.columns[a] = mean.columns[a] + s - lanes::dot(q, self.m2(q, a), &at.la);
        }
        for c in 0..q {
            at.zq[c] = at.sums.columns[z[c]] - mean.columns[z[c]];
        }
        lanes::add_dyad(q, 1.0, &at.zq, u, &mut at.sums.lambda);
        lanes::add_dyad(q, -1.0, &at.zr, &at.a, &mut at.sums.lambda);
    }

    /// Adds Louis' matrix, the mean of the second derivatives plus the covariance of the scores, and the tangents of the
    /// modes.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn add_louis(
        &self,
        q: usize,
        u: &[Lanes],
        copies: Lanes,
        at: &mut Point,
        mean: &Mean,
        parts: &mut [Sums],
        tangents: &mut [Lanes],
    ) {
        let (p, width) = (self.store.columns.len(), self.store.columns.len() + q * q);
        at.sums.value = Lanes::ZERO;
        for (j, (parameter, direction)) in self.job.directions.iter().enumerate() {
            let (columns, lambda) = mean.rows[j * width..(j + 1) * width].split_at(p);
            let score = -mean.scores[j];
            for a in 0..p {
                at.sums.columns[a] = score.fma(mean.columns[a], columns[a]);
            }
            for i in 0..q * q {
                at.sums.lambda[i] = score.fma(mean.zu[i], lambda[i]);
            }
            parts[1 + parameter].add(q, copies, &at.sums);
            if !tangents.is_empty() {
                self.mode_tangent(q, u, direction, at);
                tangents[parameter * q..(parameter + 1) * q].iter_mut().zip(&at.du).for_each(|(t, du)| *t += *du);
            }
        }
    }

    /// The change of the modes along a direction, in `at.du`.
    #[inline(always)]
    fn mode_tangent(&self, q: usize, u: &[Lanes], direction: &Direction, at: &mut Point) {
        match direction {
            Direction::Column(a) => lanes::matvec(q, true, &at.e, self.m2(q, *a), &mut at.du),
            Direction::Factor(m) => {
                lanes::matvec(q, false, m, u, &mut at.d);
                lanes::matvec(q, false, &at.s, &at.d, &mut at.x);
                (0..q).for_each(|c| at.x[c] = -at.x[c]);
                lanes::matvec(q, true, m, &at.zr, &mut at.y);
                lanes::matvec(q, true, &at.e, &at.x, &mut at.du);
                lanes::add_matvec(q, false, &at.c, &at.y, &mut at.du);
            }
        }
    }

    /// W'r and, if wanted, W'F''W at a node.
    #[inline(always)]
    fn node_moments(&mut self, curvature: bool) {
        let (mut score, mut second) = (std::mem::take(&mut self.node_score), std::mem::take(&mut self.node_curvature));
        let mut products = std::mem::take(&mut self.products);
        self.score_moments(&mut score);
        if curvature {
            self.curvature_moments(&mut products, &mut second);
        }
        (self.node_score, self.node_curvature, self.products) = (score, second, products);
    }
}
