//! Ordered classes 1, 2, ..., C: P(Y <= c) = F(theta_c - eta), theta_1 < ... < theta_(C-1), F the inverse of the link.
//!
//! Of the thresholds a row needs the one above its class and the one below: they are its predictors 1 and 2, whose
//! model matrices pick them out of the same coefficients (`thresholds` of the design). The number of classes is the row's `size`.
//! (McCullagh 1980, J. R. Statist. Soc. B 42, 109-142.)

use rand::RngExt;

use super::jets::{self, Density, Jet};
use super::{Derivs, Family, Random, Rows, Want};
use crate::link::Link;
use crate::special::ln;

pub(super) const LINKS: &[Link] = &[Link::Logit, Link::Probit, Link::Cloglog, Link::Cauchit];

pub(super) struct Ordinal(pub(super) Link);

/// Starting thresholds: the shares of the classes, with half an observation in each, on the link scale.
pub fn start_thresholds(link: Link, y: &[f64], freq: &[f64], classes: usize) -> Vec<f64> {
    let mut counts = vec![0.5; classes];
    y.iter().enumerate().for_each(|(i, y)| counts[*y as usize - 1] += freq.get(i).copied().unwrap_or(1.0));
    let total: f64 = counts.iter().sum();
    let below = counts.iter().scan(0.0, |sum, c| {
        *sum += c;
        Some(*sum / total)
    });
    below.take(classes - 1).map(|p| link.link(p)).collect()
}

/// Probabilities of the classes at a linear predictor.
pub fn probabilities(link: Link, eta: f64, thresholds: &[f64]) -> Vec<f64> {
    let tails = |x: f64| (link.inverse(x), link.complement(x));
    let mut before = (0.0, 1.0);
    let mut all = Vec::with_capacity(thresholds.len() + 1);
    for tail in thresholds.iter().map(|t| tails(t - eta)).chain([(1.0, 0.0)]) {
        // From the side where both tails are small.
        all.push(if tail.0 < 0.5 { tail.0 - before.0 } else { before.1 - tail.1 });
        before = tail;
    }
    all
}

impl Ordinal {
    /// ln F and ln(1 - F).
    fn tails<const D: usize, const N: usize>(&self, x: Jet<D, N>) -> [Jet<D, N>; 2] {
        self.0.log_tails(x.value()).map(|f| x.compose(f))
    }
}

impl Density<3> for Ordinal {
    /// ln(F(a) - F(b)), from the logarithms of the smaller tails.
    fn log_density<const D: usize, const N: usize>(&self, y: f64, size: f64, eta: [Jet<D, N>; 3]) -> Jet<D, N> {
        let (above, below) = (eta[1] - eta[0], eta[2] - eta[0]);
        if y == 1.0 {
            return self.tails(above)[0];
        }
        if y == size {
            return self.tails(below)[1];
        }
        let ([f_above, g_above], [f_below, g_below]) = (self.tails(above), self.tails(below));
        if above.value() + below.value() <= 0.0 {
            f_above + (f_below - f_above).log1mexp()
        } else {
            g_below + (g_above - g_below).log1mexp()
        }
    }
}

impl Family for Ordinal {
    fn price(&self) -> f64 {
        8.0
    }

    fn name(&self) -> &'static str {
        "ordinal"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn ordered(&self) -> bool {
        true
    }

    fn predictors(&self) -> usize {
        3
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        jets::run(self, rows, eta, want, out);
    }

    fn log_constant(&self, _y: f64, _size: f64) -> f64 {
        0.0
    }

    /// The mean class, from eta and all thresholds.
    fn mean(&self, eta: &[f64]) -> f64 {
        let all = probabilities(self.0, eta[0], &eta[1..]);
        all.iter().enumerate().map(|(c, p)| (c + 1) as f64 * p).sum()
    }

    /// That of the class, from eta and all thresholds.
    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        let mean = self.mean(eta);
        let all = probabilities(self.0, eta[0], &eta[1..]);
        all.iter().enumerate().map(|(c, p)| ((c + 1) as f64 - mean).powi(2) * p).sum()
    }

    /// From eta and all thresholds.
    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        if y < 1.0 {
            return (0.0, 1.0);
        }
        match eta[1..].get(y as usize - 1) {
            Some(t) => (self.0.inverse(t - eta[0]), self.0.complement(t - eta[0])),
            None => (1.0, 0.0),
        }
    }

    /// From eta and all thresholds.
    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let u: f64 = rng.random();
        let below = eta[1..].iter().take_while(|&&t| self.0.inverse(t - eta[0]) <= u);
        (1 + below.count()) as f64
    }

    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        let class = y >= 1.0 && y <= size && y == y.floor();
        if class { Ok(()) } else { Err("an ordinal response must be the number of a class, from 1") }
    }

    /// The middle of the class's share of an even scale.
    fn start(&self, y: f64, size: f64) -> f64 {
        ln((y - 0.5) / (size - y + 0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::component_offset;

    fn row(f: &Ordinal, y: f64, eta: [f64; 3]) -> Vec<f64> {
        let eta: Vec<[f64; 1]> = eta.iter().map(|e| [*e]).collect();
        let eta: Vec<&[f64]> = eta.iter().map(|e| &e[..]).collect();
        let mut out = Derivs::default();
        f.derivs(Rows { y: &[y], size: Some(&[4.0]) }, &eta, Want { dims: 3, order: 4, value: true }, &mut out);
        (0..35).map(|c| out.component(c)[0]).collect()
    }

    #[test]
    fn densities_are_the_probabilities_of_the_classes() {
        let thresholds = [-1.3, 0.2, 2.0];
        for &link in LINKS {
            let f = Ordinal(link);
            for eta in [-40.0, -2.0, 0.3, 9.0] {
                let all = probabilities(link, eta, &thresholds);
                assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-14);
                for y in 1..=4 {
                    let above = thresholds.get(y - 1).copied().unwrap_or(0.0);
                    let below = if y > 1 { thresholds[y - 2] } else { 0.0 };
                    let found = row(&f, y as f64, [eta, above, below])[0];
                    let expected = ln(all[y - 1]);
                    assert!(found.is_finite());
                    assert!(
                        all[y - 1] < 1e-300 || (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
                        "{link:?} {eta} {y} {found} {expected}"
                    );
                }
            }
        }
    }

    /// Every component against the Richardson-extrapolated difference of the next lower one.
    #[test]
    fn derivatives_are_differences() {
        let sorted = |order: usize| {
            (0..3usize.pow(order as u32))
                .map(move |n| (0..order).map(|d| n / 3usize.pow(d as u32) % 3).collect::<Vec<_>>())
                .filter(|i| i.is_sorted())
        };
        for &link in LINKS {
            let f = Ordinal(link);
            for y in [1.0, 2.0, 3.0, 4.0] {
                for at in [[0.4, 1.1, -0.3], [2.0, -1.0, -2.5], [-1.0, 1.5, 1.2]] {
                    for index in (1..=4).flat_map(sorted) {
                        let (&k, lower) = index.split_last().unwrap();
                        let moved = |h: f64| {
                            let mut eta = at;
                            eta[k] += h;
                            row(&f, y, eta)[component_offset(3, lower)]
                        };
                        let d = |h: f64| (moved(h) - moved(-h)) / (2.0 * h);
                        let (a, b, c) = (d(0.02), d(0.01), d(0.005));
                        let (ab, bc) = ((4.0 * b - a) / 3.0, (4.0 * c - b) / 3.0);
                        let numeric = (16.0 * bc - ab) / 15.0;
                        let all = row(&f, y, at);
                        let largest = all[1..].iter().fold(1.0, |m: f64, v| m.max(v.abs()));
                        let exact = all[component_offset(3, &index)];
                        let error = (exact - numeric).abs() / exact.abs().max(1e-3 * largest);
                        assert!(error < 1e-7, "{link:?} {y} {at:?} {index:?} {exact} {numeric}");
                    }
                }
            }
        }
    }
}
