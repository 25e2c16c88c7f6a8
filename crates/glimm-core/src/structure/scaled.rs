//! Covariances of standard deviations and a correlation matrix: Lambda = diag(sd) C with CC' the correlations.
//!
//! The correlations are a formula of angles or logs, whose derivatives follow from hyper-dual numbers. One standard
//! deviation for all effects is a parameter as it stands. One for each effect is the square of a parameter: the sign of
//! a single one would turn correlations around, which leaves the structure.

use super::dual::{Dual, Number};
use super::{Step, Structure};

/// A correlation matrix, written once.
pub trait Correlation: Send + Sync {
    fn name(&self) -> &'static str;

    /// Number of effects.
    fn effects(&self) -> usize;

    /// Parameters of independent effects, or of those least dependent.
    fn start(&self) -> Vec<f64>;

    /// Writes the lower-triangular C, row by row, over zeros.
    fn root<T: Number>(&self, shape: &[T], c: &mut [T]);

    /// Where effects are a Markov chain: what each takes over of the one before, and the size of what is new in it.
    fn transitions<T: Number>(&self, _shape: &[T]) -> Option<Vec<[T; 2]>> {
        None
    }

    /// Correlations of effects at other points with these, point by point; `None` where effects have no points.
    fn between<T: Number>(&self, _shape: &[T], _points: &[f64]) -> Option<Vec<T>> {
        None
    }

    /// The same correlations in the usual range of the parameters; true when they changed.
    fn fold(&self, shape: &mut [f64]) -> bool;
}

/// Correlations with standard deviations.
pub struct Scaled<C> {
    correlation: C,
    /// One standard deviation for all effects.
    common: bool,
}

impl<C: Correlation> Scaled<C> {
    pub fn common(correlation: C) -> Self {
        Scaled { correlation, common: true }
    }

    pub fn each(correlation: C) -> Self {
        Scaled { correlation, common: false }
    }

    /// Parameters that are standard deviations.
    fn scales(&self) -> usize {
        if self.common { 1 } else { self.correlation.effects() }
    }

    fn write<T: Number>(&self, theta: &[T], lambda: &mut [T]) {
        let q = self.correlation.effects();
        let (scales, shape) = theta.split_at(self.scales());
        lambda.fill(T::of(0.0));
        self.correlation.root(shape, lambda);
        for r in 0..q {
            let sd = self.sd(scales, r);
            lambda[r * q..=r * q + r].iter_mut().for_each(|x| *x = *x * sd);
        }
    }

    fn duals(&self, theta: &[f64], i: usize, j: usize) -> Vec<Dual> {
        let q = self.correlation.effects();
        let mut out = vec![Dual::of(0.0); q * q];
        self.write(&Self::moving(theta, i, j), &mut out);
        out
    }

    /// Parameters that carry the derivatives along `i` and `j`.
    fn moving(theta: &[f64], i: usize, j: usize) -> Vec<Dual> {
        let mut at: Vec<Dual> = theta.iter().map(|&t| Dual::of(t)).collect();
        at[i].one = 1.0;
        at[j].other = 1.0;
        at
    }

    /// The standard deviation of effect `r`.
    fn sd<T: Number>(&self, scales: &[T], r: usize) -> T {
        if self.common { scales[0] } else { scales[r] * scales[r] }
    }

    /// The parameter of a standard deviation.
    fn parameter(&self, sd: f64) -> f64 {
        if self.common { sd } else { sd.sqrt() }
    }
}

impl<C: Correlation> Structure for Scaled<C> {
    fn name(&self) -> &'static str {
        self.correlation.name()
    }

    fn effects(&self) -> usize {
        self.correlation.effects()
    }

    fn parameters(&self) -> usize {
        self.scales() + self.correlation.start().len()
    }

    fn start(&self, sd: f64) -> Vec<f64> {
        let scales = vec![self.parameter(sd); self.scales()];
        scales.into_iter().chain(self.correlation.start()).collect()
    }

    fn factor(&self, theta: &[f64], lambda: &mut [f64]) {
        self.write(theta, lambda);
    }

    fn derivative(&self, theta: &[f64], j: usize, out: &mut [f64]) {
        out.iter_mut().zip(self.duals(theta, j, j)).for_each(|(out, x)| *out = x.one);
    }

    fn second_derivative(&self, theta: &[f64], i: usize, j: usize, out: &mut [f64]) -> bool {
        out.iter_mut().zip(self.duals(theta, i, j)).for_each(|(out, x)| *out = x.both);
        true
    }

    fn steps(&self, theta: &[f64], i: usize, j: usize) -> Option<Vec<Step<Dual>>> {
        let at = Self::moving(theta, i, j);
        let (scales, shape) = at.split_at(self.scales());
        let step = |(r, [carry, fresh]): (usize, [Dual; 2])| Step { carry, fresh, scale: self.sd(scales, r) };
        Some(self.correlation.transitions(shape)?.into_iter().enumerate().map(step).collect())
    }

    fn between(&self, theta: &[f64], j: usize, points: &[f64]) -> Option<Vec<Dual>> {
        let at = Self::moving(theta, j, j);
        self.correlation.between(&at[self.scales()..], points)
    }

    fn curved(&self) -> bool {
        true
    }

    fn degree(&self) -> f64 {
        if self.common { 1.0 } else { 2.0 }
    }

    fn own_units(&self) -> bool {
        !self.common
    }

    fn mixes(&self) -> bool {
        false
    }

    fn transform(&self, theta: &mut [f64], m: &[f64]) {
        let q = self.correlation.effects();
        let n = self.scales();
        theta[..n].iter_mut().enumerate().for_each(|(r, t)| *t *= self.parameter(m[r * q + r]));
    }

    fn drop_small(&self, theta: &mut [f64], least: f64) -> bool {
        let (n, least) = (self.scales(), self.parameter(least));
        let small = |t: &f64| *t != 0.0 && t.abs() < least;
        let any = theta[..n].iter().any(small);
        theta[..n].iter_mut().filter(|t| small(t)).for_each(|t| *t = 0.0);
        any
    }

    fn raise(&self, theta: &mut [f64], least: f64) {
        let (n, least) = (self.scales(), self.parameter(least));
        theta[..n].iter_mut().filter(|t| t.abs() < least).for_each(|t| *t = least);
    }

    fn diagonal(&self) -> Vec<usize> {
        (0..self.scales()).collect()
    }

    fn orient(&self, theta: &mut [f64]) -> bool {
        let (scales, shape) = theta.split_at_mut(self.scales());
        let flipped = scales.iter().any(|t| *t < 0.0);
        scales.iter_mut().for_each(|t| *t = t.abs());
        self.correlation.fold(shape) || flipped
    }
}

/// An angle brought to [-pi/2, pi/2] with the same sine; true when it changed.
pub fn fold_angle(angle: &mut f64) -> bool {
    let folded = angle.sin().asin();
    let changed = (folded - *angle).abs() > 1e-12;
    if changed {
        *angle = folded;
    }
    changed
}

/// C of a Markov chain: each row is what it takes over of the one before, with what is new on the diagonal.
pub fn chain_root<T: Number>(transitions: Option<Vec<[T; 2]>>, c: &mut [T]) {
    let transitions = transitions.unwrap_or_default();
    let q = transitions.len();
    for (i, [carry, fresh]) in transitions.into_iter().enumerate() {
        c[i * q + i] = fresh;
        (0..i).for_each(|j| c[i * q + j] = carry * c[(i - 1) * q + j]);
    }
}
