//! Fields over coordinates: the correlation of two places falls with their distance.
//!
//! ```text
//! exp   exp(-d / r)                    gau   exp(-(d / r)^2)
//! mat   with smoothness 1/2, 3/2 or 5/2 and s = d sqrt(2 nu) / r:
//!       exp(-s)      (1 + s) exp(-s)      (1 + s + s^2 / 3) exp(-s)
//! ```
//!
//! (Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, section 4.2.) The parameter is the log of the
//! range r in units of the mean distance of a place to its nearest neighbour. Smooth fields are so nearly determined by
//! few places that their matrices are singular to rounding: all but the roughest have a nugget.

use super::dual::Number;
use super::scaled::Correlation;

/// Variance, relative to the field's, that each place has of its own.
const NUGGET: f64 = 1e-8;

#[derive(Clone, Copy, PartialEq)]
pub enum Kernel {
    Gaussian,
    /// By twice its smoothness: 1, 3 or 5.
    Matern(u32),
}

impl Kernel {
    /// The Matern correlation of smoothness `nu`, if it has a closed form here.
    pub fn matern(nu: f64) -> Option<Kernel> {
        [1, 3, 5].into_iter().find(|&k| f64::from(k) == 2.0 * nu).map(Kernel::Matern)
    }

    fn at<T: Number>(self, apart: T) -> T {
        let (one, scaled) = (T::of(1.0), |k: f64| apart * T::of(k.sqrt()));
        match self {
            Kernel::Gaussian => (-(apart * apart)).exp(),
            Kernel::Matern(1) => (-apart).exp(),
            Kernel::Matern(3) => (one + scaled(3.0)) * (-scaled(3.0)).exp(),
            Kernel::Matern(_) => {
                let s = scaled(5.0);
                (one + s + s * s * T::of(1.0 / 3.0)) * (-s).exp()
            }
        }
    }

    fn nugget(self) -> f64 {
        if self == Kernel::Matern(1) { 0.0 } else { NUGGET }
    }
}

pub struct Field {
    name: &'static str,
    kernel: Kernel,
    q: usize,
    /// Coordinates of a place.
    d: usize,
    /// One place after the other.
    places: Vec<f64>,
    /// Mean distance of a place to its nearest neighbour.
    unit: f64,
    /// Distances of all pairs of places, q x q, in the unit of the range.
    distances: Vec<f64>,
}

impl Field {
    /// From the number of coordinates and those of `q` distinct places, one place after the other.
    pub fn new(name: &'static str, kernel: Kernel, q: usize, constants: &[f64]) -> Option<Field> {
        let (&d, places) = constants.split_first()?;
        let d = d as usize;
        if d == 0 || q < 2 || places.len() != q * d || places.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let of = |i: usize| &places[i * d..(i + 1) * d];
        let mut distances: Vec<f64> = (0..q * q).map(|k| apart(of(k / q), of(k % q))).collect();
        let nearest = |i: usize| (0..q).filter(|&j| j != i).map(|j| distances[i * q + j]).fold(f64::INFINITY, f64::min);
        let unit = (0..q).map(nearest).sum::<f64>() / q as f64;
        if (0..q).any(|i| nearest(i) <= 0.0) {
            return None;
        }
        distances.iter_mut().for_each(|x| *x /= unit);
        Some(Field { name, kernel, q, d, places: places.to_vec(), unit, distances })
    }
}

fn apart(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

impl Correlation for Field {
    fn name(&self) -> &'static str {
        self.name
    }

    fn effects(&self) -> usize {
        self.q
    }

    /// A range of two steps.
    fn start(&self) -> Vec<f64> {
        vec![std::f64::consts::LN_2]
    }

    /// The Cholesky factor of the correlations.
    fn root<T: Number>(&self, shape: &[T], c: &mut [T]) {
        let (q, rate) = (self.q, (-shape[0]).exp());
        let share = T::of(1.0 - self.kernel.nugget());
        for i in 0..q {
            for j in 0..=i {
                let mut sum = match i == j {
                    true => T::of(1.0),
                    false => self.kernel.at(rate * T::of(self.distances[i * q + j])) * share,
                };
                for k in 0..j {
                    sum = sum - c[i * q + k] * c[j * q + k];
                }
                c[i * q + j] = if i == j { sum.sqrt() } else { sum / c[j * q + j] };
            }
        }
    }

    fn between<T: Number>(&self, shape: &[T], points: &[f64]) -> Option<Vec<T>> {
        let (rate, share) = ((-shape[0]).exp(), T::of(1.0 - self.kernel.nugget()));
        let pairs = points.chunks_exact(self.d).flat_map(|s| self.places.chunks_exact(self.d).map(move |p| (s, p)));
        Some(pairs.map(|(s, p)| self.kernel.at(rate * T::of(apart(s, p) / self.unit)) * share).collect())
    }

    fn fold(&self, _shape: &mut [f64]) -> bool {
        false
    }
}
