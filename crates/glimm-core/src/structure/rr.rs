//! Reduced rank: covariance of a factor model, Lambda with as many columns as there are factors.

use super::Structure;
use super::us::Us;
use std::ops::Range;

/// Lower-trapezoidal loadings; of full rank it is any covariance.
pub struct ReducedRank {
    q: usize,
    rank: usize,
    us: Us,
}

impl ReducedRank {
    pub fn new(q: usize, rank: usize) -> Option<Self> {
        (1..=q).contains(&rank).then(|| ReducedRank { q, rank, us: Us::new(q) })
    }

    /// Places of the parameters among those of any covariance.
    fn places(&self) -> Vec<usize> {
        let columns = |r: usize| 0..(r + 1).min(self.rank);
        (0..self.q).flat_map(|r| columns(r).map(move |c| r * (r + 1) / 2 + c)).collect()
    }

    fn widened(&self, theta: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; self.us.parameters()];
        self.places().into_iter().zip(theta).for_each(|(place, t)| all[place] = *t);
        all
    }

    /// Lets an operation on any covariance, which keeps columns of zeros, change the loadings.
    fn through<T>(&self, theta: &mut [f64], op: impl FnOnce(&mut [f64]) -> T) -> T {
        let mut all = self.widened(theta);
        let found = op(&mut all);
        theta.iter_mut().zip(self.places()).for_each(|(t, place)| *t = all[place]);
        found
    }
}

impl Structure for ReducedRank {
    fn name(&self) -> &'static str {
        "rr"
    }

    fn effects(&self) -> usize {
        self.q
    }

    fn parameters(&self) -> usize {
        self.places().len()
    }

    /// Rows beyond the rank, which have no factor of their own, load on the first ones alike.
    fn start(&self, sd: f64) -> Vec<f64> {
        let loading = |r: usize, c: usize| match r < self.rank {
            true => f64::from(u8::from(r == c)) * sd,
            false => sd * if (r + c).is_multiple_of(2) { 0.5 } else { -0.2 },
        };
        (0..self.q).flat_map(|r| (0..(r + 1).min(self.rank)).map(move |c| loading(r, c))).collect()
    }

    fn factor(&self, theta: &[f64], lambda: &mut [f64]) {
        self.us.factor(&self.widened(theta), lambda);
    }

    fn derivative(&self, theta: &[f64], j: usize, out: &mut [f64]) {
        self.us.derivative(theta, self.places()[j], out);
    }

    fn mixes(&self) -> bool {
        true
    }

    fn transform(&self, theta: &mut [f64], m: &[f64]) {
        self.through(theta, |all| self.us.transform(all, m));
    }

    fn drop_small(&self, theta: &mut [f64], least: f64) -> bool {
        self.through(theta, |all| self.us.drop_small(all, least))
    }

    fn raise(&self, theta: &mut [f64], least: f64) {
        self.through(theta, |all| self.us.raise(all, least));
    }

    fn diagonal(&self) -> Vec<usize> {
        let all = self.us.diagonal();
        (0..self.parameters()).filter(|&j| all.contains(&self.places()[j])).collect()
    }

    fn rows(&self) -> Vec<Range<usize>> {
        let width = |r: usize| (r + 1).min(self.rank);
        let starts = (0..self.q).scan(0, |at, r| {
            *at += width(r);
            Some(*at - width(r)..*at)
        });
        starts.filter(|row| row.len() > 1).collect()
    }

    fn orient(&self, theta: &mut [f64]) -> bool {
        self.through(theta, |all| self.us.orient(all))
    }
}
