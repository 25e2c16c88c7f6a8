//! Tangents along one direction, and second derivatives along two, by the equations at the head of [`super::laplace`].

use super::laplace::{Along, Point, Through};
use super::steps::Coefficients;
use super::{Direction, Series, filter};
use crate::objective::block::lanes::{self, Lanes};
use crate::objective::block::moments::{dot_lanes, multiply};
use crate::objective::laplace::pair;

impl Through {
    /// y'd2Lambda x, where `ds` and `ds2` are the changes of s along both.
    #[inline(always)]
    fn second(&self, [d, d2, dd]: [&[Coefficients]; 3], [ds, ds2]: [&[Lanes]; 2]) -> Lanes {
        let (mut sum, mut before) = (Lanes::ZERO, [Lanes::ZERO; 3]);
        for t in 0..self.x.len() {
            let now = [self.s[t], ds[t], ds2[t]];
            let last = now[0] * dd[t].c + now[2] * d[t].c + now[1] * d2[t].c;
            let step = before[0] * dd[t].r + before[2] * d[t].r + before[1] * d2[t].r + self.x[t] * dd[t].f;
            sum = self.y[t].fma(last, self.w[t].fma(step, sum));
            before = now;
        }
        sum
    }
}

impl Series<'_> {
    /// How two filter tangents meet in log|H|.
    #[inline(always)]
    pub fn prepare(&self, at: &mut Point) {
        let mut before = Lanes::ZERO;
        for (t, x) in self.steps.at.iter().enumerate() {
            let square = at.inverse[t] * at.inverse[t];
            let carried = before * at.inverse[t] * (-2.0 * x.rr * x.ff);
            at.bend[t] = square * (carried - Lanes::all(x.ff * x.ff));
            before = at.v[t];
        }
    }

    /// All tangents along a direction.
    #[inline(always)]
    pub fn tangent(&self, direction: &Direction, at: &mut Point, along: &mut Along) {
        let (steps, n) = (&self.steps.at, self.powers[0].len());
        let derivs = &self.work.derivs;
        along.db.fill(Lanes::ZERO);
        match direction {
            Direction::Columns(columns) => {
                along.pr.fill(Lanes::ZERO);
                at.room.fill(Lanes::ZERO);
                let row = &mut at.row[0];
                for &a in columns {
                    row.fill(0.0);
                    self.add_column(a, row);
                    let second = derivs.get(&[0, self.work.store.predictor[a]]);
                    row.iter_mut().zip(second).for_each(|(r, f)| *r *= f);
                    self.sum(1, row, &mut at.room);
                }
            }
            Direction::Chain(j) => {
                let d = &self.steps.first[*j];
                filter::run_tangent(steps, d, &at.u.x, &at.u.s, &mut along.su);
                filter::run_tangent(steps, d, &at.a.x, &at.a.s, &mut along.sa);
                for (t, (x, d)) in steps.iter().zip(d).enumerate() {
                    along.db[t] = along.su[t] * x.c + at.u.s[t] * d.c;
                    along.dc[t] = along.sa[t] * x.c + at.a.s[t] * d.c;
                    at.room[t] = -(at.s[t] * along.db[t]);
                }
            }
        }
        filter::pull(steps, &at.room, &mut along.du);
        for (t, x) in steps.iter().enumerate() {
            along.du[t] = along.du[t] * x.f + along.pr[t];
        }
        filter::solve(steps, [&at.j, &at.inverse], &mut along.du, &mut at.room);
        filter::run(steps, &along.du, &mut at.room);
        for (t, x) in steps.iter().enumerate() {
            along.db[t] = at.room[t].fma(Lanes::all(x.c), along.db[t]);
        }
        self.row_tangents(direction, n, at, along);
        let d = if let Direction::Chain(j) = direction { Some(&self.steps.first[*j][..]) } else { None };
        let out = [&mut along.dj[..], &mut along.dg[..]];
        filter::filter_tangent(steps, d, [&at.s, &at.j, &at.inverse], &along.ds, out);
    }

    /// y, A y, dS and Z'(F'' y).
    #[inline(always)]
    fn row_tangents(&self, direction: &Direction, n: usize, at: &mut Point, along: &mut Along) {
        let (derivs, k_all) = (&self.work.derivs, at.q.len());
        along.y.resize(n * k_all, 0.0);
        along.ay.resize(n * k_all, 0.0);
        along.y[n..].fill(0.0);
        along.ay.fill(0.0);
        self.spread(1, &along.db, &mut along.y[..n]);
        if let Direction::Columns(columns) = direction {
            for &a in columns {
                self.add_column(a, &mut along.y[self.work.store.predictor[a] * n..][..n]);
            }
        }
        along.ds.fill(Lanes::ZERO);
        along.n.fill(Lanes::ZERO);
        for k in 0..k_all {
            let y = &along.y[k * n..][..n];
            let row = &mut at.row[0];
            multiply(derivs.get(&[0, k]), y, row);
            self.sum(1, row, &mut along.n);
            multiply(derivs.get(&[0, 0, k]), y, row);
            self.sum(2, row, &mut along.ds);
            for l in 0..k_all {
                let a = &at.bends[pair(k.min(l), k.max(l), k_all)];
                let out = &mut along.ay[l * n..][..n];
                for i in 0..n {
                    out[i] = a[i].mul_add(y[i], out[i]);
                }
            }
        }
        along.ds.iter_mut().for_each(|s| *s = -*s);
    }

    /// The second derivative of L along two directions.
    #[inline(always)]
    pub fn second(&self, directions: [&Direction; 2], [one, two]: [&Along; 2], at: &Point) -> Lanes {
        let q = self.steps.at.len();
        let mut sum = dot_lanes(&one.ay, &two.y) - lanes::dot(q, &one.du, &two.du);
        match directions {
            [Direction::Columns(_), Direction::Columns(_)] => {
                for t in 0..q {
                    sum = (at.bend[t] * one.dj[t] * -0.5).fma(two.dj[t], sum);
                }
            }
            [Direction::Chain(i), Direction::Columns(_)] => {
                sum += mixed(one, two) - self.second_determinant([Some(*i), None], [one, two], at) * 0.5;
            }
            [Direction::Columns(_), Direction::Chain(j)] => {
                sum += mixed(two, one) - self.second_determinant([Some(*j), None], [two, one], at) * 0.5;
            }
            [Direction::Chain(i), Direction::Chain(j)] => {
                let d = [&self.steps.first[*i][..], &self.steps.first[*j], self.steps.second(*i, *j)];
                sum += mixed(one, two) + mixed(two, one);
                sum += at.u.second(d, [&one.su, &two.su]) + at.a.second(d, [&one.sa, &two.sa]);
                sum += self.second_determinant([Some(*i), Some(*j)], [one, two], at) * -0.5;
            }
        }
        sum
    }

    /// d2 log|H| with d2 S = 0, where V is the derivative of log|H| in J.
    #[inline(always)]
    fn second_determinant(&self, chain: [Option<usize>; 2], [one, two]: [&Along; 2], at: &Point) -> Lanes {
        let of = |j: Option<usize>, t: usize| j.map_or(Coefficients::default(), |j| self.steps.first[j][t]);
        let (mut sum, mut before) = (Lanes::ZERO, Lanes::ZERO);
        for t in 0..self.steps.at.len() {
            let (x, d, e) = (self.steps.at[t], of(chain[0], t), of(chain[1], t));
            let both = match chain {
                [Some(i), Some(j)] => self.steps.second(i, j)[t],
                _ => Coefficients::default(),
            };
            let (j, inverse, g, dj, ej) = (at.j[t], at.inverse[t], at.g[t], one.dj[t], two.dj[t]);
            let square = inverse * inverse;
            let cross = dj * e.ff + ej * d.ff;
            // g = J / d, d = 1 + f^2 J, twice differentiated.
            let curve = (j * j * j) * (d.ff * e.ff) - dj * ej * x.ff - j * cross;
            let bent = square * inverse * curve * 2.0 - g * g * both.ff;
            let carried = g * both.rr + two.dg[t] * d.rr + one.dg[t] * e.rr + bent * x.rr;
            let own = at.s[t] * both.cc + two.ds[t] * d.cc + one.ds[t] * e.cc;
            let (dd, ed) = (j * d.ff + dj * x.ff, j * e.ff + ej * x.ff);
            sum = before.fma(carried, at.v[t].fma(own, sum));
            sum += inverse * (j * both.ff + cross) - square * dd * ed;
            before = at.v[t];
        }
        sum
    }
}

/// What the tangent of the coefficients and that of the modes make together: (dLambda'Z'q)'du* + (F'' y*)'dc.
#[inline(always)]
fn mixed(chain: &Along, other: &Along) -> Lanes {
    let q = other.du.len();
    lanes::dot(q, &chain.pq, &other.du) + lanes::dot(q, &chain.dc, &other.n)
}
