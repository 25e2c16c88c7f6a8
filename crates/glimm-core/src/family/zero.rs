//! A family with more zeros than it has by itself: with probability p a response is zero, otherwise it
//! comes from the family. The last predictor is z = logit p.
//!
//! ```text
//! y > 0:  log f = log f(y) - log(1 + e^z)
//! y = 0:  log f = log(e^z + f(0)) - log(1 + e^z)
//! ```
//!
//! (Lambert 1992, Technometrics 34, 1-14.) Where the family itself has no zeros (truncated counts,
//! positive amounts) this is the hurdle model: the two parts then have nothing in common.

use std::sync::Arc;

use rand::RngExt;

use super::derivs::places;
use super::jets::{Jet, order, softplus_derivatives};
use super::{Derivs, Family, Parameter, Random, Rows, Want, component_offset};
use crate::link::Link;
use crate::special::{ln, logistic};

/// Differences of logarithms beyond which the smaller of two numbers does not show in their sum.
const APART: f64 = 745.0;
/// Range of the probability to start from.
const START: [f64; 2] = [0.02, 0.9];

pub struct ZeroInflated {
    base: Arc<dyn Family>,
}

impl ZeroInflated {
    pub fn new(base: Arc<dyn Family>) -> ZeroInflated {
        ZeroInflated { base }
    }

    fn split<'e>(&self, eta: &'e [f64]) -> (&'e [f64], f64) {
        let (own, z) = eta.split_at(self.base.predictors());
        (own, z[0])
    }

    /// Whether the family itself has zeros.
    fn has_zeros(&self, size: f64) -> bool {
        self.base.check(0.0, size).is_ok()
    }

    fn fill<const D: usize, const N: usize>(&self, rows: Rows<'_>, z: &[f64], own: &Derivs, out: &mut Derivs) {
        let order = order(D, N);
        out.reshape(D, order, z.len());
        let places = places(own.dims(), D, order);
        let columns = &mut out.columns::<N>();
        columns.iter_mut().for_each(|column| column.fill(0.0));
        for (c, &place) in places.iter().enumerate() {
            columns[place].copy_from_slice(own.component(c));
        }
        // Derivatives in z alone; only the value where z is no variable.
        let alone: Vec<usize> = match own.dims() < D {
            true => (0..=order).map(|length| component_offset(D, &[D - 1; 4][..length])).collect(),
            false => vec![0],
        };
        for (i, &z) in z.iter().enumerate() {
            if rows.y[i] == 0.0 {
                self.zero::<D, N>(rows.size(i), z, own.dims(), i, columns);
                continue;
            }
            let q = softplus_derivatives(z);
            alone.iter().zip(q).for_each(|(&place, q)| columns[place][i] -= q);
        }
    }

    /// Row `i`, a zero, from the family's own derivatives that stand there.
    fn zero<const D: usize, const N: usize>(
        &self,
        size: f64,
        z: f64,
        dims: usize,
        i: usize,
        columns: &mut [&mut [f64]; N],
    ) {
        let z = if dims < D { Jet::<D, N>::variable(D - 1, z) } else { Jet::constant(z) };
        let found = if self.has_zeros(size) {
            let mut own: [f64; N] = std::array::from_fn(|c| columns[c][i]);
            own[0] += self.base.log_constant(0.0, size);
            log_sum(z, Jet::from_derivatives(own)) - z.softplus()
        } else {
            -(-z).softplus()
        };
        let found = found.derivatives();
        for c in 0..N {
            columns[c][i] = found[c];
        }
    }
}

/// ln(exp(a) + exp(b)).
fn log_sum<const D: usize, const N: usize>(a: Jet<D, N>, b: Jet<D, N>) -> Jet<D, N> {
    let gap = a.value() - b.value();
    if gap > APART {
        a
    } else if gap < -APART {
        b
    } else if gap > 0.0 {
        a + (b - a).softplus()
    } else {
        b + (a - b).softplus()
    }
}

impl Family for ZeroInflated {
    fn price(&self) -> f64 {
        5.0 + self.base.price()
    }

    fn name(&self) -> &'static str {
        self.base.name()
    }

    fn link(&self) -> Link {
        self.base.link()
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.base.parameters()
    }

    fn zero_inflated(&self) -> bool {
        true
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let k = self.base.predictors();
        let mut own = Derivs::default();
        // Jets hold second or fourth order.
        let order = if want.order <= 2 { 2 } else { 4 };
        self.base.derivs(rows, &eta[..k], Want { dims: want.dims.min(k), order, value: true }, &mut own);
        match (want.dims, order) {
            (1, 2) => self.fill::<1, 3>(rows, eta[k], &own, out),
            (1, _) => self.fill::<1, 5>(rows, eta[k], &own, out),
            (2, 2) => self.fill::<2, 6>(rows, eta[k], &own, out),
            (2, _) => self.fill::<2, 15>(rows, eta[k], &own, out),
            (3, 2) => self.fill::<3, 10>(rows, eta[k], &own, out),
            (3, _) => self.fill::<3, 35>(rows, eta[k], &own, out),
            (_, 2) => self.fill::<4, 15>(rows, eta[k], &own, out),
            _ => self.fill::<4, 70>(rows, eta[k], &own, out),
        }
    }

    /// That of a zero is in the density, where it is added to another number.
    fn log_constant(&self, y: f64, size: f64) -> f64 {
        if y == 0.0 { 0.0 } else { self.base.log_constant(y, size) }
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        let (own, z) = self.split(eta);
        logistic(-z).0 * self.base.mean(own)
    }

    /// (1 - p) (v + p m^2).
    fn variance(&self, eta: &[f64], size: f64) -> f64 {
        let (own, z) = self.split(eta);
        let ((p, q), mean) = (logistic(z), self.base.mean(own));
        q * (self.base.variance(own, size) + p * mean * mean)
    }

    fn cdf(&self, y: f64, size: f64, eta: &[f64]) -> (f64, f64) {
        let (own, z) = self.split(eta);
        let ((p, q), (lower, upper)) = (logistic(z), self.base.cdf(y, size, own));
        if y >= 0.0 { (q.mul_add(lower, p), q * upper) } else { (q * lower, q.mul_add(upper, p)) }
    }

    fn draw(&self, rng: &mut Random, size: f64, eta: &[f64]) -> f64 {
        let (own, z) = self.split(eta);
        if rng.random::<f64>() < logistic(z).0 { 0.0 } else { self.base.draw(rng, size, own) }
    }

    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        if y == 0.0 { Ok(()) } else { self.base.check(y, size) }
    }

    /// Zeros say nothing of the mean of a family without them.
    fn start(&self, y: f64, size: f64) -> f64 {
        if y == 0.0 && !self.has_zeros(size) { f64::NAN } else { self.base.start(y, size) }
    }

    /// The family's own, from responses it can have; half of the zeros for p, or all if it has none.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let kept: Vec<usize> = (0..y.len()).filter(|&i| y[i] != 0.0 || self.has_zeros(1.0)).collect();
        let pick = |v: &[f64]| kept.iter().filter_map(|&i| v.get(i).copied()).collect::<Vec<f64>>();
        let mut start = self.base.start_parameters(&pick(y), &pick(mean), &pick(freq));
        let zeros = super::weighted_mean(freq, y.iter().map(|y| f64::from(u8::from(*y == 0.0))));
        let share = if self.has_zeros(1.0) { 0.5 * zeros } else { zeros };
        let p = share.clamp(START[0], START[1]);
        start.push(ln(p / (1.0 - p)));
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::lookup;
    use crate::special::exp;

    /// With p = 0 the family itself, and the density of zero is p + (1 - p) f(0).
    #[test]
    fn limits_and_zeros() {
        let base = lookup("poisson", None).unwrap();
        let zi = ZeroInflated::new(base.clone());
        let at = |f: &dyn Family, y: f64, eta: &[f64]| {
            let columns: Vec<[f64; 1]> = eta.iter().map(|e| [*e]).collect();
            let eta: Vec<&[f64]> = columns.iter().map(|c| &c[..]).collect();
            let mut out = Derivs::default();
            let want = Want { dims: eta.len(), order: 4, value: true };
            f.derivs(Rows { y: &[y], size: None }, &eta, want, &mut out);
            out.value()[0] + f.log_constant(y, 1.0)
        };
        for y in [0.0, 3.0] {
            assert!((at(&zi, y, &[0.7, -60.0]) - at(&*base, y, &[0.7])).abs() < 1e-14);
        }
        let p = logistic(-0.4).0;
        let zero = p + (1.0 - p) * exp(-exp(0.7));
        assert!((at(&zi, 0.0, &[0.7, -0.4]) - ln(zero)).abs() < 1e-14);
    }
}
