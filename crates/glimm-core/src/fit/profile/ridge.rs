//! The ridge of the likelihood over one goal: constrained maxima by Newton's method in the tangent space.
//!
//! With n the gradient of the goal g and lambda the multiplier, let L = l'' - lambda g'' and Q span the directions
//! orthogonal to n. A point with g = c moves by Q w to the maximum there, and with c along d:
//!
//! ```text
//! (-Q'LQ) w = Q'l'            l_p(c) = l + w'Q'l' / 2           dl_p/dc = lambda
//! d = n / n'n + Q t           (-Q'LQ) t = Q'L n / n'n           d2l_p/dc2 = d'L d
//! ```
//!
//! in coordinates scaled by the diagonal of l''. (Venzon and Moolgavkar 1988, Appl. Statist. 37, 87-94, take both steps
//! at once, and so does `ends`.)

use super::goal::{Goal, Local};
use super::surface::Surface;
use crate::linalg::dense;
use crate::linalg::sums::dot;
use crate::objective::{Evaluation, Reject};

/// Eigenvalues below this part of the largest carry no information.
const FLAT: f64 = 1e-10;
/// Negative ones beyond this part are no rounding.
const UPWARDS: f64 = 1e-6;
/// Squared distance to the ridge, in standard errors, at which its height is known from the quadratic.
pub(super) const ON_RIDGE: f64 = 1e-8;
const MOST_STEPS: usize = 60;
const MOST_HALVES: usize = 25;
/// Differences of log-likelihoods below this part of their size are rounding.
const ROUNDING: f64 = 1e-11;
/// Lengths, in standard errors by the curvature, that are tried on the way off a saddle.
const KICKS: [f64; 5] = [1.0, 0.5, 2.0, 0.25, 4.0];

/// A point over a value of the goal, and what its derivatives say.
#[derive(Clone)]
pub(super) struct Point {
    pub psi: Vec<f64>,
    pub c: f64,
    pub value: f64,
    /// Height of the ridge, its slope and curvature in c.
    pub height: f64,
    pub slope: f64,
    pub bend: f64,
    /// Squared distance to the ridge, the step to it and its direction.
    pub distance: f64,
    pub step: Vec<f64>,
    pub along: Vec<f64>,
    /// Where the likelihood still bends upwards across the ridge.
    pub upwards: Option<Vec<f64>>,
}

/// Coordinates scaled by the curvature, and the tangent space in them.
struct Frame {
    scale: Vec<f64>,
    /// n / n'n.
    normal: Vec<f64>,
    /// Q: orthonormal directions, each a row.
    tangent: Vec<Vec<f64>>,
}

impl Frame {
    fn new(e: &Evaluation, gradient: &[f64]) -> Frame {
        let p = gradient.len();
        let diagonal = |i: usize| e.hessian.as_ref().map_or(1.0, |h| h[i * p + i].abs());
        let top = (0..p).map(diagonal).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let scale: Vec<f64> = (0..p).map(|i| diagonal(i).max(1e-12 * top).sqrt()).collect();
        let n: Vec<f64> = gradient.iter().zip(&scale).map(|(n, s)| n / s).collect();
        let square = dot(&n, &n).max(f64::MIN_POSITIVE);
        Frame { tangent: orthogonal(&n), normal: n.iter().map(|x| x / square).collect(), scale }
    }

    fn unscaled(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(&self.scale).map(|(x, s)| x / s).collect()
    }

    /// Q w.
    fn combine(&self, w: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.scale.len()];
        for (row, w) in self.tangent.iter().zip(w) {
            out.iter_mut().zip(row).for_each(|(o, x)| *o += w * x);
        }
        out
    }
}

/// An orthonormal basis of what is orthogonal to `n`: the reflection that takes n to its largest axis, without that.
fn orthogonal(n: &[f64]) -> Vec<Vec<f64>> {
    let (p, size) = (n.len(), dot(n, n).sqrt());
    let axis = (0..p).fold(0, |best, i| if n[i].abs() > n[best].abs() { i } else { best });
    let mut v = n.to_vec();
    v[axis] += size.copysign(n[axis]);
    let square = dot(&v, &v).max(f64::MIN_POSITIVE);
    let reflected = |i: usize| (0..p).map(|j| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / square).collect();
    (0..p).filter(|&i| i != axis).map(reflected).collect()
}

/// The eigenvalues of -Q'LQ and what solves with it.
struct Spectrum {
    values: Vec<f64>,
    vectors: Vec<f64>,
    top: f64,
}

impl Spectrum {
    fn new(w: &[f64], m: usize) -> Option<Spectrum> {
        let (values, vectors) = if m == 0 { (Vec::new(), Vec::new()) } else { dense::eigen(w, m)? };
        let top = values.iter().fold(0.0_f64, |t, v| t.max(v.abs()));
        Some(Spectrum { values, vectors, top })
    }

    fn coordinate(&self, j: usize, b: &[f64]) -> f64 {
        let m = b.len();
        (0..m).map(|i| self.vectors[i * m + j] * b[i]).sum()
    }

    /// Solves with absolute eigenvalues, leaving flat directions alone; the solution and b'x.
    fn solve(&self, b: &[f64]) -> (Vec<f64>, f64) {
        let (m, mut x, mut square) = (b.len(), vec![0.0; b.len()], 0.0);
        for j in (0..m).filter(|&j| self.values[j].abs() > FLAT * self.top) {
            let along = self.coordinate(j, b);
            square += along * along / self.values[j].abs();
            (0..m).for_each(|i| x[i] += self.vectors[i * m + j] * along / self.values[j].abs());
        }
        (x, square)
    }

    /// The direction in which the matrix is most negative, one standard error long.
    fn upwards(&self) -> Option<Vec<f64>> {
        let m = self.values.len();
        let least = *self.values.first()?;
        let size = 1.0 / least.abs().sqrt();
        (least < -UPWARDS * self.top).then(|| (0..m).map(|i| self.vectors[i * m] * size).collect())
    }
}

/// Reads the derivatives at `psi`.
pub(super) fn read(psi: Vec<f64>, e: Evaluation, local: Local) -> Option<Point> {
    let p = psi.len();
    let frame = Frame::new(&e, &local.gradient);
    let g: Vec<f64> = e.gradient.iter().zip(&frame.scale).map(|(g, s)| g / s).collect();
    let first = dot(&frame.normal, &g);
    let mut l = e.hessian?;
    for i in 0..p * p {
        l[i] -= local.hessian.as_ref().map_or(0.0, |h| first * h[i]);
        l[i] /= frame.scale[i / p] * frame.scale[i % p];
    }
    let times = |x: &[f64]| -> Vec<f64> { l.chunks_exact(p).map(|row| dot(row, x)).collect() };
    let m = p - 1;
    let rows: Vec<Vec<f64>> = frame.tangent.iter().map(|q| times(q)).collect();
    let w: Vec<f64> = (0..m * m).map(|i| -dot(&frame.tangent[i / m], &rows[i % m])).collect();
    let spectrum = Spectrum::new(&w, m)?;
    let across = |x: &[f64]| -> Vec<f64> { frame.tangent.iter().map(|q| dot(q, x)).collect() };
    let (w, distance) = spectrum.solve(&across(&g));
    let step = frame.combine(&w);
    let bent = times(&frame.normal);
    let (t, _) = spectrum.solve(&across(&bent));
    let along: Vec<f64> = frame.combine(&t).iter().zip(&frame.normal).map(|(a, b)| a + b).collect();
    Some(Point {
        c: local.value,
        value: e.value,
        height: e.value + 0.5 * distance,
        slope: first + dot(&bent, &step),
        bend: dot(&times(&along), &along),
        distance,
        step: frame.unscaled(&step),
        along: frame.unscaled(&along),
        upwards: spectrum.upwards().map(|v| frame.unscaled(&frame.combine(&v))),
        psi,
    })
}

/// Moves `psi` to where the goal is `c`, by the shortest way in the scaled coordinates of `frame`'s derivatives.
pub(super) fn restore(surface: &Surface<'_>, goal: &Goal, mut psi: Vec<f64>, c: f64) -> Option<Vec<f64>> {
    for _ in 0..40 {
        let local = surface.local(goal, &psi);
        let left = c - local.value;
        if left.abs() <= 1e-13 * (1.0 + c.abs()) {
            return Some(psi);
        }
        let square = dot(&local.gradient, &local.gradient);
        if !(square > 0.0 && square.is_finite()) {
            return None;
        }
        psi.iter_mut().zip(&local.gradient).for_each(|(x, n)| *x += n * left / square);
    }
    let left = c - surface.value(goal, &psi);
    (left.abs() <= 1e-9 * (1.0 + c.abs())).then_some(psi)
}

/// All that is known at `psi`.
pub(super) fn look(surface: &mut Surface<'_>, goal: &Goal, psi: Vec<f64>) -> Result<Point, Reject> {
    let e = surface.at(&psi)?;
    let local = surface.local(goal, &psi);
    read(psi, e, local).ok_or(Reject::NotPositiveDefinite)
}

/// The maximum of the likelihood where the goal is that of `here`, to a distance of `tolerance`.
pub(super) fn climb(
    surface: &mut Surface<'_>,
    goal: &Goal,
    mut here: Point,
    tolerance: f64,
) -> Result<Point, Reject> {
    for _ in 0..MOST_STEPS {
        if here.distance < tolerance {
            match leave_saddle(surface, goal, &here, tolerance)? {
                Some(higher) => here = higher,
                None => return Ok(here),
            }
            continue;
        }
        let Some(next) = advance(surface, goal, &here)? else {
            // Rounding is all that is left, or the derivatives are wrong.
            return if here.distance < 1e-3 { Ok(here) } else { Err(Reject::NoMode) };
        };
        here = next;
    }
    Err(Reject::NoMode)
}

/// One step towards the ridge that raises the likelihood.
fn advance(surface: &mut Surface<'_>, goal: &Goal, here: &Point) -> Result<Option<Point>, Reject> {
    let reach = surface.problem.reach();
    let excess = here.step.iter().zip(&reach).map(|(s, r)| s.abs() / r).fold(1.0, f64::max);
    let mut part = 1.0 / excess;
    for _ in 0..MOST_HALVES {
        let moved = here.psi.iter().zip(&here.step).map(|(x, s)| x + part * s).collect();
        if let Some(psi) = restore(surface, goal, moved, here.c) {
            match look(surface, goal, psi) {
                Err(Reject::Interrupted) => return Err(Reject::Interrupted),
                Ok(next) if next.value > here.value - ROUNDING * here.value.abs() => return Ok(Some(next)),
                _ => {}
            }
        }
        part *= 0.4;
    }
    Ok(None)
}

/// A higher point where `here` is a saddle, as a variance of zero is once it should be more.
fn leave_saddle(
    surface: &mut Surface<'_>,
    goal: &Goal,
    here: &Point,
    tolerance: f64,
) -> Result<Option<Point>, Reject> {
    let Some(direction) = here.upwards.clone().filter(|_| tolerance <= ON_RIDGE) else { return Ok(None) };
    for size in KICKS {
        let moved = here.psi.iter().zip(&direction).map(|(x, s)| x + size * s).collect();
        let Some(psi) = restore(surface, goal, moved, here.c) else { continue };
        match look(surface, goal, psi) {
            Err(Reject::Interrupted) => return Err(Reject::Interrupted),
            Ok(next) if next.value > here.value + 1e-9 * (1.0 + here.value.abs()) => return Ok(Some(next)),
            _ => {}
        }
    }
    Ok(None)
}
