//! The Laplace approximation of a tile's groups with its exact gradient and Hessian, from moments.
//!
//! The formulas are those of [`crate::objective::laplace`] and [`crate::objective::tangent`]. Within a group every
//! change of eta is w'D for some D, so that sums over rows of tangents are moments times D: the Hessian needs no loop
//! over rows of its own. With E = Lambda C, B = E Lambda' and K = I - S B it is written without solves.

use super::lanes::{self, LANES, Lanes};
use super::work::{Work, tri, width};
use crate::objective::{Order, Reject};

/// A direction in parameter space: the coefficient of one column, or dLambda.
pub enum Direction {
    Column(usize),
    Factor(Vec<Lanes>),
}

/// Value, derivatives in the columns' coefficients, derivatives in Lambda; or a derivative of these.
#[derive(Clone)]
pub struct Sums {
    pub value: Lanes,
    pub columns: Vec<Lanes>,
    pub lambda: Vec<Lanes>,
}

impl Sums {
    pub fn new(p: usize, q: usize) -> Sums {
        Sums { value: Lanes::ZERO, columns: vec![Lanes::ZERO; p], lambda: vec![Lanes::ZERO; q * q] }
    }

    /// Adds `other` times the number of groups that each lane stands for.
    #[inline(always)]
    pub fn add(&mut self, q: usize, copies: Lanes, other: &Sums) {
        self.value = copies.fma(other.value, self.value);
        for a in 0..self.columns.len() {
            self.columns[a] = copies.fma(other.columns[a], self.columns[a]);
        }
        let (mine, others) = (&mut self.lambda[..q * q], &other.lambda[..q * q]);
        for i in 0..q * q {
            mine[i] = copies.fma(others[i], mine[i]);
        }
    }
}

/// What the gradient leaves behind for the Hessian, and room for both.
pub struct Point {
    /// S = Z'WZ, the Cholesky factor of H, C = H^-1, E, B, K and S E.
    pub(super) s: Vec<Lanes>,
    pub(super) chol: Vec<Lanes>,
    pub c: Vec<Lanes>,
    pub(super) e: Vec<Lanes>,
    pub(super) b: Vec<Lanes>,
    pub(super) k: Vec<Lanes>,
    pub(super) se: Vec<Lanes>,
    /// Z'r, Z's, Z'q, a, Lambda a and Z's - S Lambda a.
    pub(super) zr: Vec<Lanes>,
    pub(super) zs: Vec<Lanes>,
    pub(super) zq: Vec<Lanes>,
    pub(super) a: Vec<Lanes>,
    pub(super) la: Vec<Lanes>,
    pub(super) zc: Vec<Lanes>,
    /// Tangents: dS, dB, du, da, d = the change of eta in Z, dc = that of c in Z.
    pub(super) ds: Vec<Lanes>,
    pub(super) db: Vec<Lanes>,
    pub du: Vec<Lanes>,
    pub(super) da: Vec<Lanes>,
    pub(super) d: Vec<Lanes>,
    pub(super) dc: Vec<Lanes>,
    pub(super) x: Vec<Lanes>,
    pub(super) y: Vec<Lanes>,
    pub(super) room: [Vec<Lanes>; 2],
    pub sums: Sums,
}

impl Point {
    pub fn new(p: usize, q: usize) -> Point {
        let (m, v) = (|| vec![Lanes::ZERO; q * q], || vec![Lanes::ZERO; q]);
        Point {
            s: m(),
            chol: m(),
            c: m(),
            e: m(),
            b: m(),
            k: m(),
            se: m(),
            zr: v(),
            zs: v(),
            zq: v(),
            a: v(),
            la: v(),
            zc: v(),
            ds: m(),
            db: m(),
            du: v(),
            da: v(),
            d: v(),
            dc: v(),
            x: v(),
            y: v(),
            room: [m(), m()],
            sums: Sums::new(p, q),
        }
    }
}

/// sum_cd m_cd b_cd over all pairs of effects, m given for c <= d.
#[inline(always)]
fn pairs(q: usize, m: &[Lanes], b: &[Lanes]) -> Lanes {
    let (m, b, mut sum) = (&m[..q * (q + 1) / 2], &b[..q * q], Lanes::ZERO);
    for c in 0..q {
        sum = m[tri(c, c)].fma(b[c * q + c], sum);
        for d in 0..c {
            sum = (m[tri(d, c)] * 2.0).fma(b[c * q + d], sum);
        }
    }
    sum
}

impl Work<'_> {
    /// out = D B for a D between effects that meet.
    #[inline(always)]
    pub(super) fn among_effects(&self, q: usize, d: &[Lanes], b: &[Lanes], out: &mut [Lanes]) {
        match self.store.selects {
            true => lanes::diagonal_times(q, d, b, out),
            false => lanes::product(q, (d, false), (b, false), out),
        }
    }

    /// sum_cd m_cd b_cd over effects that meet.
    #[inline(always)]
    pub(super) fn pairs(&self, q: usize, m: &[Lanes], b: &[Lanes]) -> Lanes {
        if !self.store.selects {
            return pairs(q, m, b);
        }
        let mut sum = Lanes::ZERO;
        for c in 0..q {
            sum = m[tri(c, c)].fma(b[c * q + c], sum);
        }
        sum
    }

    /// sum F' w_a.
    #[inline(always)]
    pub(super) fn m1(&self, q: usize, a: usize) -> Lanes {
        self.first[a * width(q)]
    }

    /// sum F'' w_a z_c for every c.
    #[inline(always)]
    pub(super) fn m2(&self, q: usize, a: usize) -> &[Lanes] {
        &self.first[a * width(q) + 1..][..q]
    }

    /// sum F''' w_a z_c z_d for every c <= d.
    #[inline(always)]
    pub(super) fn m3(&self, q: usize, a: usize) -> &[Lanes] {
        &self.first[a * width(q) + 1 + q..][..q * (q + 1) / 2]
    }

    /// Value and gradient at the modes `u`:
    ///
    /// ```text
    /// L = -h(u) - log|H| / 2        dL/dbeta = X'q        dL/dLambda = (Z'q) u' - (Z'r) a' - S Lambda C
    /// q = F' + F''' v / 2 - F'' c   a = C Lambda'Z's      s = -F''' v / 2
    /// ```
    #[inline(always)]
    pub fn gradient(&mut self, q: usize, u: &[Lanes], at: &mut Point) -> Result<(), Reject> {
        self.first_moments(q);
        self.covariance(q, at)?;
        for c in 0..q {
            at.zr[c] = self.m1(q, self.store.z[c]);
            at.zs[c] = self.pairs(q, self.m3(q, self.store.z[c]), &at.b) * -0.5;
        }
        lanes::matvec(q, true, &at.e, &at.zs, &mut at.a);
        lanes::matvec(q, false, &at.b, &at.zs, &mut at.la);
        for a in 0..self.store.columns.len() {
            let s = self.pairs(q, self.m3(q, a), &at.b) * 0.5;
            at.sums.columns[a] = self.m1(q, a) + s - lanes::dot(q, self.m2(q, a), &at.la);
        }
        for c in 0..q {
            at.zq[c] = at.sums.columns[self.store.z[c]];
        }
        for i in 0..q * q {
            at.sums.lambda[i] = -at.se[i];
        }
        lanes::add_dyad(q, 1.0, &at.zq, u, &mut at.sums.lambda);
        lanes::add_dyad(q, -1.0, &at.zr, &at.a, &mut at.sums.lambda);

        let value = self.total() - lanes::dot(q, u, u) * 0.5 - lanes::logdet(q, &at.chol) * 0.5;
        at.sums.value = value + self.mode_correction(q, u, at);
        if at.sums.value.sum().is_finite() { Ok(()) } else { Err(Reject::NoMode) }
    }

    /// S, H = I + Lambda'S Lambda, its inverse, and the products that the Hessian uses again.
    #[inline(always)]
    pub(super) fn covariance(&self, q: usize, at: &mut Point) -> Result<(), Reject> {
        let lambda = &self.job.lambda;
        for c in 0..q {
            for d in 0..q {
                at.s[c * q + d] = -self.m2(q, self.store.z[c])[d];
            }
        }
        self.among_effects(q, &at.s, lambda, &mut at.room[0]);
        lanes::symmetric_lower_times(q, lambda, &at.room[0], &mut at.chol);
        for c in 0..q {
            at.chol[c * q + c] += Lanes::ONE;
        }
        if lanes::cholesky(q, &mut at.chol).contains(&false) {
            return Err(Reject::NotPositiveDefinite);
        }
        lanes::cholesky_inverse(q, &at.chol, &mut at.c);
        lanes::lower_times(q, (lambda, false), (&at.c, false), &mut at.e);
        lanes::times_upper(q, &at.e, lambda, &mut at.b);
        self.among_effects(q, &at.s, &at.e, &mut at.se);
        Ok(())
    }

    /// What the value still lacks because u is not exactly the mode: with g = u - Lambda'Z'r, g'Cg/2 for the
    /// integrand and a'g for log|H|; the error left is of second order.
    #[inline(always)]
    fn mode_correction(&self, q: usize, u: &[Lanes], at: &mut Point) -> Lanes {
        lanes::matvec(q, true, &self.job.lambda, &at.zr, &mut at.y);
        for c in 0..q {
            at.y[c] = u[c] - at.y[c];
        }
        lanes::matvec(q, false, &at.c, &at.y, &mut at.d);
        lanes::dot(q, &at.y, &at.d) * 0.5 + lanes::dot(q, &at.a, &at.y)
    }

    /// K = I - S B and Z's - S Lambda a.
    #[inline(always)]
    fn prepare_tangents(&self, q: usize, at: &mut Point) {
        self.among_effects(q, &at.s, &at.b, &mut at.room[0]);
        lanes::matvec(q, false, &at.s, &at.la, &mut at.y);
        for c in 0..q {
            for d in 0..q {
                at.k[c * q + d] = -at.room[0][c * q + d];
            }
            at.k[c * q + c] += Lanes::ONE;
            at.zc[c] = at.zs[c] - at.y[c];
        }
    }

    /// The derivative of the gradient along the coefficient of column `a`, in `at.sums`, and of the modes, in `at.du`:
    ///
    /// ```text
    /// eta moves by w_a + z'd:  d = B Z'F''w_a     du = E'Z'F''w_a        dS = -Z'(F''' deta)Z     dB = -B dS B
    /// x = Z'ds - dS Lambda a                      da = E'x               dc = z'B x
    /// W'dq = A D + F''' dv / 2 - F'' dc
    /// ```
    #[inline(always)]
    fn column_row(&self, q: usize, u: &[Lanes], a: usize, at: &mut Point) {
        lanes::matvec(q, false, &at.b, self.m2(q, a), &mut at.d);
        lanes::matvec(q, true, &at.e, self.m2(q, a), &mut at.du);
        self.curvature_tangent(q, Some(a), at);
        self.score_tangent(q, Some(a), at);
        lanes::matvec(q, true, &at.e, &at.x, &mut at.da);
        lanes::matvec(q, false, &at.b, &at.x, &mut at.dc);
        self.collect(q, u, Some(a), at);
    }

    /// The same along dLambda =: M:
    ///
    /// ```text
    /// d = M u - B S M u + E M'Z'r       du = -E'S M u + C M'Z'r        dB = -B dS B + G + G',  G = K'M E'
    /// x = Z'ds - dS Lambda a - S M a    da = E'x + C M'(Z's - S Lambda a)
    /// dc = z'(B x + E M'(Z's - S Lambda a) + M a)
    /// ```
    #[inline(always)]
    fn factor_row(&self, q: usize, u: &[Lanes], m: &[Lanes], at: &mut Point) {
        lanes::matvec(q, false, m, u, &mut at.d);
        lanes::matvec(q, false, &at.s, &at.d, &mut at.x);
        for c in 0..q {
            at.x[c] = -at.x[c];
        }
        lanes::matvec(q, true, m, &at.zr, &mut at.y);
        lanes::matvec(q, true, &at.e, &at.x, &mut at.du);
        lanes::add_matvec(q, false, &at.c, &at.y, &mut at.du);
        lanes::add_matvec(q, false, &at.b, &at.x, &mut at.d);
        lanes::add_matvec(q, false, &at.e, &at.y, &mut at.d);

        self.curvature_tangent(q, None, at);
        let [one, two] = &mut at.room;
        lanes::lower_times(q, (m, false), (&at.e, true), one);
        if self.store.selects {
            for c in 0..q {
                for k in 0..q {
                    at.db[c * q + c] = (at.k[k * q + c] * 2.0).fma(one[k * q + c], at.db[c * q + c]);
                }
            }
        } else {
            lanes::product(q, (&at.k, true), (one, false), two);
            lanes::add(q, 1.0, (two, false), &mut at.db);
            lanes::add(q, 1.0, (two, true), &mut at.db);
        }

        self.score_tangent(q, None, at);
        lanes::matvec(q, false, m, &at.a, &mut at.dc);
        lanes::matvec(q, false, &at.s, &at.dc, &mut at.y);
        for c in 0..q {
            at.x[c] = at.x[c] - at.y[c];
        }
        lanes::matvec(q, true, m, &at.zc, &mut at.y);
        lanes::matvec(q, true, &at.e, &at.x, &mut at.da);
        lanes::add_matvec(q, false, &at.c, &at.y, &mut at.da);
        lanes::add_matvec(q, false, &at.b, &at.x, &mut at.dc);
        lanes::add_matvec(q, false, &at.e, &at.y, &mut at.dc);

        self.collect(q, u, None, at);
        // -K S M C + S E M'S E
        let [one, two] = &mut at.room;
        lanes::lower_times(q, (m, false), (&at.c, false), one);
        self.among_effects(q, &at.s, one, two);
        lanes::product(q, (&at.k, false), (two, false), one);
        lanes::add(q, -1.0, (one, false), &mut at.sums.lambda);
        lanes::lower_times(q, (m, true), (&at.se, false), one);
        lanes::product(q, (&at.se, false), (one, false), two);
        lanes::add(q, 1.0, (two, false), &mut at.sums.lambda);
    }

    /// dS = -sum F''' (w'D) z z' and -B dS B.
    #[inline(always)]
    fn curvature_tangent(&self, q: usize, column: Option<usize>, at: &mut Point) {
        if self.store.selects {
            return self.diagonal_tangent(q, column, at);
        }
        let d = &at.d[..q];
        for c in 0..q {
            for f in 0..=c {
                let mut sum = match column {
                    Some(a) => self.m3(q, a)[tri(f, c)],
                    None => Lanes::ZERO,
                };
                for e in 0..q {
                    sum = self.m3(q, self.store.z[e])[tri(f, c)].fma(d[e], sum);
                }
                at.ds[c * q + f] = -sum;
                at.ds[f * q + c] = -sum;
            }
        }
        let [one, two] = &mut at.room;
        lanes::product(q, (&at.b, false), (&at.ds, false), one);
        lanes::product(q, (one, false), (&at.b, false), two);
        for i in 0..q * q {
            at.db[i] = -two[i];
        }
    }

    /// The same where dS is diagonal; of -B dS B then only the diagonal is of use.
    #[inline(always)]
    fn diagonal_tangent(&self, q: usize, column: Option<usize>, at: &mut Point) {
        at.ds[..q * q].fill(Lanes::ZERO);
        for c in 0..q {
            let of = |a: usize| self.m3(q, a)[tri(c, c)];
            let fixed = column.map_or(Lanes::ZERO, of);
            at.ds[c * q + c] = -of(self.store.z[c]).fma(at.d[c], fixed);
        }
        for c in 0..q {
            let mut sum = Lanes::ZERO;
            for f in 0..q {
                let b = at.b[c * q + f];
                sum = (b * b).fma(at.ds[f * q + f], sum);
            }
            at.db[c * q + c] = -sum;
        }
    }

    /// x = Z'ds - dS Lambda a, with Z'ds = -sum (F'''' v (w'D) + F''' dv) z / 2.
    #[inline(always)]
    fn score_tangent(&self, q: usize, column: Option<usize>, at: &mut Point) {
        let p = self.store.columns.len();
        lanes::matvec(q, false, &at.ds, &at.la, &mut at.y);
        for c in 0..q {
            let fourth = &self.fourth[c * p..(c + 1) * p];
            let mut sum = self.pairs(q, self.m3(q, self.store.z[c]), &at.db);
            if let Some(a) = column {
                sum += fourth[a];
            }
            for e in 0..q {
                sum = fourth[self.store.z[e]].fma(at.d[e], sum);
            }
            at.x[c] = sum * -0.5 - at.y[c];
        }
    }

    /// W'dq, and of the tangent of (Z'q) u' - (Z'r) a' - S Lambda C all that does not hold dLambda:
    /// (Z'dq) u' + (Z'q) du' - (Z'dr) a' - (Z'r) da' - K dS E.
    #[inline(always)]
    fn collect(&self, q: usize, u: &[Lanes], column: Option<usize>, at: &mut Point) {
        let (p, z) = (self.store.columns.len(), &self.store.z[..q]);
        for b in 0..p {
            let second = &self.second[b * p..(b + 1) * p];
            let mut sum = self.pairs(q, self.m3(q, b), &at.db) * 0.5 - lanes::dot(q, self.m2(q, b), &at.dc);
            if let Some(a) = column {
                sum += second[a];
            }
            for e in 0..q {
                sum = second[z[e]].fma(at.d[e], sum);
            }
            at.sums.columns[b] = sum;
        }
        for c in 0..q {
            at.x[c] = at.sums.columns[z[c]];
            at.y[c] = match column {
                Some(a) => self.m2(q, a)[c],
                None => Lanes::ZERO,
            };
            for e in 0..q {
                at.y[c] = self.m2(q, z[e])[c].fma(at.d[e], at.y[c]);
            }
        }
        let [one, two] = &mut at.room;
        self.among_effects(q, &at.ds, &at.e, one);
        lanes::product(q, (&at.k, false), (one, false), two);
        let out = &mut at.sums.lambda[..q * q];
        for i in 0..q * q {
            out[i] = -two[i];
        }
        lanes::add_dyad(q, 1.0, &at.x, u, out);
        lanes::add_dyad(q, 1.0, &at.zq, &at.du, out);
        lanes::add_dyad(q, -1.0, &at.y, &at.a, out);
        lanes::add_dyad(q, -1.0, &at.zr, &at.da, out);
    }

    /// Value, gradient and, if wanted, second derivatives of the tile's groups are added to `parts`: the objective
    /// itself first, then one row per direction, with the tangents of the modes in `tangents`.
    #[inline(always)]
    pub fn contribute(
        &mut self,
        q: usize,
        u: &[Lanes],
        copies: Lanes,
        at: &mut Point,
        parts: &mut [Sums],
        tangents: &mut [Lanes],
    ) -> Result<(), Reject> {
        self.gradient(q, u, at)?;
        parts[0].add(q, copies, &at.sums);
        if self.job.order != Order::Hessian {
            return Ok(());
        }
        self.second_moments(q, &at.b, &at.la);
        self.prepare_tangents(q, at);
        at.sums.value = Lanes::ZERO;
        for (j, direction) in &self.job.directions {
            match direction {
                Direction::Column(a) => self.column_row(q, u, *a, at),
                Direction::Factor(m) => self.factor_row(q, u, m, at),
            }
            parts[1 + j].add(q, copies, &at.sums);
            if !tangents.is_empty() {
                tangents[j * q..(j + 1) * q].iter_mut().zip(&at.du).for_each(|(t, du)| *t += *du);
            }
        }
        Ok(())
    }
}

/// How many groups each lane stands for: none where it is empty or repeats another.
pub fn lane_copies(groups: usize, copies: impl Fn(usize) -> f64) -> Lanes {
    let mut lanes = [0.0; LANES];
    (0..groups).for_each(|l| lanes[l] = copies(l));
    Lanes(lanes)
}
