//! The integrand of one group at given parameters, about its mode.
//!
//! In standard coordinates x, u = mode + S x with S = R^-T and H = RR', the integrand is exp(-h(u)) / |R| and its curvature
//! at zero the identity. Where there are two effects and one of them is an intercept, panels use coordinates that are turned
//! such that the first moves all rows alike: families that have a short way along such a line ([`Family::add_shifted`])
//! then take it.

use std::sync::Arc;

use crate::family::{Derivs, Family, Rows, Want};
use crate::linalg::dense;

/// Rows times points that are evaluated together, if a group has fewer rows.
const BATCH: usize = 1024;

/// The rows of one group at given parameters, and its mode.
pub struct Integrand {
    family: Arc<dyn Family>,
    y: Vec<f64>,
    size: Option<Vec<f64>>,
    weight: Option<Vec<f64>>,
    /// X beta + offset of each predictor at the mode.
    fixed: Vec<Vec<f64>>,
    /// Z Lambda S by effect.
    effects: Vec<Effect>,
    mode: Vec<f64>,
    scale: Vec<f64>,
    derivs: Derivs,
    /// Every row as often as there are points.
    ys: Vec<f64>,
    sizes: Vec<f64>,
    eta: Vec<Vec<f64>>,
    /// The rotation from turned to standard coordinates.
    turn: Option<[f64; 4]>,
    /// How far coordinate 0 moves predictor 0, where it moves every row alike and nothing else.
    level: Option<f64>,
    /// The size of what was rounded besides the integrand itself.
    rounded: f64,
}

/// How one standard coordinate moves one predictor.
struct Effect {
    coordinate: usize,
    predictor: usize,
    column: Vec<f64>,
}

/// What it is made of.
pub struct Parts {
    pub family: Arc<dyn Family>,
    pub y: Vec<f64>,
    pub size: Option<Vec<f64>>,
    pub weight: Option<Vec<f64>>,
    /// X beta + offset of each predictor.
    pub fixed: Vec<Vec<f64>>,
    /// Columns of Z with the predictor that each enters.
    pub z: Vec<(usize, Vec<f64>)>,
    pub lambda: Vec<f64>,
    pub mode: Vec<f64>,
    pub scale: Vec<f64>,
}

impl Integrand {
    pub fn new(parts: Parts) -> Integrand {
        let (q, predictors) = (parts.mode.len(), parts.fixed.len());
        let mut moves = vec![0.0; q * q];
        dense::matmul(&parts.lambda, &parts.scale, q, &mut moves);
        let mut scale = parts.scale;
        let turn = turn(&parts.z, &moves);
        if let Some((other, turn)) = turn {
            (scale, moves) = (product(&scale, &turn), product(&moves, &turn));
            moves[2 * other] = 0.0;
        }
        let effects = effects(&parts.z, &moves, predictors);
        let mut b = vec![0.0; q];
        dense::matvec(&parts.lambda, &parts.mode, q, &mut b);
        let mut fixed = parts.fixed;
        for (b, (k, z)) in b.iter().zip(&parts.z) {
            fixed[*k].iter_mut().zip(z).for_each(|(e, z)| *e += b * z);
        }
        Integrand {
            turn: turn.map(|(_, turn)| turn),
            level: level(&effects),
            rounded: 0.0,
            y: parts.y,
            size: parts.size,
            weight: parts.weight,
            eta: vec![Vec::new(); predictors],
            fixed,
            family: parts.family,
            effects,
            mode: parts.mode,
            scale,
            derivs: Derivs::default(),
            ys: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// The size of all that was rounded, given the integrand at the mode.
    pub fn size(&self, at_mode: f64) -> f64 {
        at_mode.abs() + self.rounded
    }

    pub fn q(&self) -> usize {
        self.mode.len()
    }

    /// -h at some points, given in standard coordinates one after the other.
    pub fn log_integrand(&mut self, x: &[f64]) -> Vec<f64> {
        let Some([a, b, c, d]) = self.turn else { return self.log_integrand_turned(x) };
        let turned = |x: &[f64; 2]| [a * x[0] + c * x[1], b * x[0] + d * x[1]];
        let x: Vec<f64> = x.as_chunks::<2>().0.iter().flat_map(turned).collect();
        self.row_by_row(&x)
    }

    /// The same in turned coordinates, in which lines along the first are cheap.
    pub fn log_integrand_turned(&mut self, x: &[f64]) -> Vec<f64> {
        self.along_lines(x).unwrap_or_else(|| self.row_by_row(x))
    }

    /// A point in turned coordinates in standard ones.
    pub fn turned_back(&self, x: &[f64]) -> [f64; 2] {
        match (self.turn, x) {
            (Some([a, b, c, d]), [x, y]) => [a * x + b * y, c * x + d * y],
            _ => [x[0], x.get(1).copied().unwrap_or(0.0)],
        }
    }

    fn row_by_row(&mut self, x: &[f64]) -> Vec<f64> {
        let together = self.q() * (BATCH / self.y.len().max(1)).max(1);
        let mut found = Vec::with_capacity(x.len() / self.q());
        x.chunks(together).for_each(|some| self.log_integrand_of_some(some, &mut found));
        found
    }

    /// Where the family has a short way points that differ in coordinate 0 alone are taken together.
    fn along_lines(&mut self, x: &[f64]) -> Option<Vec<f64>> {
        let (step, rows) = (self.level?, Rows { y: &self.y, size: self.size.as_deref() });
        let q = self.q();
        let mut found = vec![0.0; x.len() / q];
        let (mut left, mut sums) = (x, found.as_mut_slice());
        while !left.is_empty() {
            let same = |x: &&[f64]| x[1..] == left[1..q];
            let count = 1 + left.chunks_exact(q).skip(1).take_while(same).count();
            let (line, next) = left.split_at(q * count);
            let (here, rest) = sums.split_at_mut(line.len() / q);
            self.eta.iter_mut().zip(&self.fixed).for_each(|(eta, fixed)| eta.clone_from(fixed));
            for effect in self.effects.iter().filter(|effect| effect.coordinate > 0) {
                add_products(&effect.column, &line[effect.coordinate..][..1], &mut self.eta[effect.predictor]);
            }
            let eta: Vec<&[f64]> = self.eta.iter().map(Vec::as_slice).collect();
            let shifts: Vec<f64> = line.iter().step_by(q).map(|x| step * x).collect();
            let rounded = self.family.add_shifted(rows, self.weight.as_deref(), &eta, &shifts, here)?;
            self.rounded = self.rounded.max(rounded);
            here.iter_mut().zip(line.chunks_exact(q)).for_each(|(f, x)| *f -= 0.5 * self.squared_length(x));
            (left, sums) = (next, rest);
        }
        Some(found)
    }

    /// Row after row, each at all points, so that loops over the points of a small group vectorise.
    fn log_integrand_of_some(&mut self, x: &[f64], found: &mut Vec<f64>) {
        let (q, n) = (self.q(), self.y.len());
        let count = x.len() / q;
        repeat(&self.y, count, &mut self.ys);
        self.size.iter().for_each(|size| repeat(size, count, &mut self.sizes));
        for (eta, fixed) in self.eta.iter_mut().zip(&self.fixed) {
            repeat(fixed, count, eta);
        }
        for effect in &self.effects {
            let along: Vec<f64> = x.iter().skip(effect.coordinate).step_by(q).copied().collect();
            add_products(&effect.column, &along, &mut self.eta[effect.predictor]);
        }
        let rows = Rows { y: &self.ys, size: self.size.as_ref().map(|_| self.sizes.as_slice()) };
        let eta: Vec<&[f64]> = self.eta.iter().map(Vec::as_slice).collect();
        let want = Want { dims: eta.len(), order: 0, value: true };
        self.derivs.reshape(want.dims, want.order, count * n);
        self.family.derivs(rows, &eta, want, &mut self.derivs);
        let sums = weighted_sums(&self.derivs.value()[..count * n], self.weight.as_deref(), count);
        found.extend(sums.into_iter().zip(x.chunks_exact(q)).map(|(f, x)| f - 0.5 * self.squared_length(x)));
    }

    /// u'u at u = mode + S x.
    fn squared_length(&self, x: &[f64]) -> f64 {
        let q = self.q();
        (0..q)
            .map(|c| {
                let u: f64 = self.mode[c] + (0..q).map(|d| self.scale[c * q + d] * x[d]).sum::<f64>();
                u * u
            })
            .sum()
    }
}

/// For two effects, of which one is an intercept: the other one, and the rotation after which coordinate 0 does not move it.
fn turn(z: &[(usize, Vec<f64>)], moves: &[f64]) -> Option<(usize, [f64; 4])> {
    let [first, second] = z else { return None };
    let common = |(predictor, z): &(usize, Vec<f64>)| *predictor == 0 && constant(z).is_some();
    let other = if common(first) { 1 } else { Some(0).filter(|_| common(second))? };
    let (one, two) = (moves[2 * other], moves[2 * other + 1]);
    let length = one.hypot(two);
    (length > 0.0).then(|| (other, [two / length, one / length, -one / length, two / length]))
}

fn product(a: &[f64], b: &[f64; 4]) -> Vec<f64> {
    let mut out = vec![0.0; 4];
    dense::matmul(a, b, 2, &mut out);
    out
}

/// How coordinates move predictors, from how they move the effects.
fn effects(z: &[(usize, Vec<f64>)], moves: &[f64], predictors: usize) -> Vec<Effect> {
    let (q, rows) = (z.len(), z.first().map_or(0, |(_, z)| z.len()));
    let mut effects = Vec::new();
    for coordinate in 0..q {
        for predictor in 0..predictors {
            let mut column = vec![0.0; rows];
            for (c, (_, z)) in z.iter().enumerate().filter(|(_, z)| z.0 == predictor) {
                let times = moves[c * q + coordinate];
                column.iter_mut().zip(z).for_each(|(x, z)| *x += times * z);
            }
            if column.iter().any(|x| *x != 0.0) {
                effects.push(Effect { coordinate, predictor, column });
            }
        }
    }
    effects
}

/// How far coordinate 0 moves all rows in predictor 0, if it moves nothing else.
fn level(effects: &[Effect]) -> Option<f64> {
    let mut first = effects.iter().filter(|effect| effect.coordinate == 0);
    match (first.next(), first.next()) {
        (Some(Effect { predictor: 0, column, .. }), None) => constant(column),
        _ => None,
    }
}

fn constant(column: &[f64]) -> Option<f64> {
    let first = *column.first()?;
    column.iter().all(|x| *x == first).then_some(first)
}

/// Every value so many times.
fn repeat(values: &[f64], count: usize, into: &mut Vec<f64>) {
    into.resize(values.len() * count, 0.0);
    into.chunks_exact_mut(count).zip(values).for_each(|(all, v)| all.fill(*v));
}

/// Adds z_i x_j where row i stands at point j.
fn add_products(z: &[f64], x: &[f64], to: &mut [f64]) {
    if let [x] = x {
        return to.iter_mut().zip(z).for_each(|(t, z)| *t += x * z);
    }
    for (to, z) in to.chunks_exact_mut(x.len()).zip(z) {
        to.iter_mut().zip(x).for_each(|(t, x)| *t += x * z);
    }
}

/// Sums over the rows at every point. Rows of weight zero add nothing even where their density is not finite.
fn weighted_sums(f: &[f64], weight: Option<&[f64]>, count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for (i, f) in f.chunks_exact(count).enumerate() {
        let w = weight.map_or(1.0, |w| w[i]);
        if w != 0.0 {
            sums.iter_mut().zip(f).for_each(|(s, f)| *s += w * f);
        }
    }
    sums
}
