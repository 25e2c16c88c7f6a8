//! One row's exact factor in place of its Gaussian one: moments of the tilted distributions.
//!
//! Where the Gaussian q gives the linear predictor of a row N(m, v) and its site is exp(nu eta - tau eta^2 / 2), the
//! tilted distribution is q with the site exchanged for the row's density exp(f):
//!
//! ```text
//! g = f - nu eta + tau eta^2 / 2       t(eta) = N(eta; m, v) exp(g) / Z      log Z: what the exchange adds
//! alpha = d log Z / dm = E_t[g']       kappa = 2 d log Z / dv - alpha^2 = E_t[g' x] / sqrt(v) - alpha^2
//! E_t[eta] = m + v alpha               Var_t[eta] = v + v^2 kappa      x = (eta - m) / sqrt(v)
//! ```
//!
//! Both are derivatives of log Z as the nodes of x have it, so that sites that change no moment make the value's
//! gradient exact, however many nodes there are. Where v is all but zero E_t[g' x] / sqrt(v) is E_t[g''] + E_t[g'^2].

use rayon::prelude::*;

use super::DEEPEST;
use crate::design::Data;
use crate::family::{Derivs, Want};
use crate::special::vectorized;

/// Rows looked at together.
const STRIP: usize = 256;
/// Variances below which differences of nodes are rounding.
const TINY: f64 = 1e-10;

/// The Gaussian factor of every row.
#[derive(Clone, Default)]
pub struct Sites {
    pub tau: Vec<f64>,
    pub nu: Vec<f64>,
}

/// Mean and variance of every row's linear predictor.
pub struct Marginals<'a> {
    pub m: &'a [f64],
    pub v: &'a [f64],
}

/// Nodes of Gauss and Hermite and their log weights.
pub struct Nodes(pub Vec<f64>, pub Vec<f64>);

/// Of every row of a strip, or of all.
#[derive(Default)]
pub struct Tilted {
    pub log_z: Vec<f64>,
    pub alpha: Vec<f64>,
    pub kappa: Vec<f64>,
    /// E_t of the derivative in each further predictor.
    pub slopes: Vec<Vec<f64>>,
    /// E_t[He_l] / sqrt(l!) of the standardised linear predictor, l = 3, 4, ...
    pub hermite: Vec<[f64; DEEPEST - 2]>,
}

/// What is wanted of the rows' tilted distributions: their moments, or also what the gradient and the remainder take.
#[derive(Clone, Copy, PartialEq)]
pub enum Depth {
    Moments,
    All,
}

/// The moments of all rows.
pub fn tilt(data: &Data, fixed: &[Vec<f64>], sites: &Sites, at: &Marginals<'_>, nodes: &Nodes, depth: Depth) -> Tilted {
    let strips = (0..data.n()).into_par_iter().step_by(STRIP);
    let parts: Vec<Tilted> = strips
        .map(|first| Strip { data, fixed, sites, at, nodes, rows: first..data.n().min(first + STRIP) }.tilt(depth))
        .collect();
    let mut all = Tilted { slopes: vec![Vec::new(); fixed.len() - 1], ..Tilted::default() };
    for part in parts {
        all.log_z.extend(part.log_z);
        all.alpha.extend(part.alpha);
        all.kappa.extend(part.kappa);
        all.slopes.iter_mut().zip(part.slopes).for_each(|(all, part)| all.extend(part));
        all.hermite.extend(part.hermite);
    }
    all
}

struct Strip<'a> {
    data: &'a Data,
    fixed: &'a [Vec<f64>],
    sites: &'a Sites,
    at: &'a Marginals<'a>,
    nodes: &'a Nodes,
    rows: std::ops::Range<usize>,
}

/// Weighted sums over the nodes, on the scale of the largest weight so far.
struct Sums {
    top: Vec<f64>,
    w: Vec<f64>,
    slope: Vec<f64>,
    /// Of g' x / sqrt(v).
    bend: Vec<f64>,
    slopes: Vec<Vec<f64>>,
    hermite: Vec<[f64; DEEPEST - 2]>,
}

impl Strip<'_> {
    fn tilt(&self, depth: Depth) -> Tilted {
        let (n, further) = (self.rows.len(), if depth == Depth::All { self.fixed.len() - 1 } else { 0 });
        let flat = self.rows.clone().any(|i| self.at.v[i] < TINY);
        let want = Want { dims: 1 + further, order: if flat { 2 } else { 1 }, value: true };
        let mut derivs = Derivs::default();
        derivs.reshape(want.dims, want.order, n);
        let (mut eta, zeros) = (vec![0.0; n], || vec![0.0; n]);
        let mut sums = Sums {
            top: vec![f64::NEG_INFINITY; n],
            w: zeros(),
            slope: zeros(),
            bend: zeros(),
            slopes: vec![zeros(); further],
            hermite: vec![[0.0; DEEPEST - 2]; if depth == Depth::All { n } else { 0 }],
        };
        for (x, log_weight) in self.nodes.0.iter().zip(&self.nodes.1) {
            for (eta, i) in eta.iter_mut().zip(self.rows.clone()) {
                *eta = self.at.m[i] + x * self.at.v[i].sqrt();
            }
            self.differentiate(&eta, want, &mut derivs);
            vectorized(
                #[inline(always)]
                || self.add([*x, *log_weight], &eta, &derivs, flat, &mut sums),
            );
        }
        sums.moments()
    }

    fn differentiate(&self, eta: &[f64], want: Want, derivs: &mut Derivs) {
        let others = self.fixed.iter().skip(1).map(|f| &f[self.rows.clone()]);
        let eta: Vec<&[f64]> = std::iter::once(eta).chain(others).collect();
        self.data.family.derivs(self.data.rows(self.rows.clone()), &eta, want, derivs);
        if let Some(freq) = &self.data.freq {
            derivs.weigh(&freq[self.rows.clone()], want);
        }
    }

    /// Adds a node of every row; one without weight may be without derivatives too.
    #[inline(always)]
    fn add(&self, [x, log_weight]: [f64; 2], eta: &[f64], derivs: &Derivs, flat: bool, sums: &mut Sums) {
        let (f, f1) = (derivs.value(), derivs.get(&[0]));
        for (k, i) in self.rows.clone().enumerate() {
            let (tau, nu, v) = (self.sites.tau[i], self.sites.nu[i], self.at.v[i]);
            let log_w = log_weight + f[k] - nu * eta[k] + 0.5 * tau * eta[k] * eta[k];
            // A NaN has no weight either.
            let weighs = log_w > f64::NEG_INFINITY;
            if !weighs {
                continue;
            }
            if log_w > sums.top[k] {
                sums.raise(k, log_w);
            }
            let (w, g1) = ((log_w - sums.top[k]).exp(), f1[k] - nu + tau * eta[k]);
            let bend = match flat && v < TINY {
                true => derivs.get(&[0, 0])[k] + tau + g1 * g1,
                false => g1 * x / v.sqrt(),
            };
            sums.w[k] += w;
            sums.slope[k] += w * g1;
            sums.bend[k] += w * bend;
            sums.slopes.iter_mut().enumerate().for_each(|(j, s)| s[k] += w * derivs.get(&[j + 1])[k]);
            if let Some(hermite) = sums.hermite.get_mut(k) {
                add_hermite(x, w, hermite);
            }
        }
    }
}

impl Sums {
    /// Brings the sums of a row to the scale of a larger weight.
    fn raise(&mut self, k: usize, top: f64) {
        let by = (self.top[k] - top).exp();
        self.top[k] = top;
        for sums in [&mut self.w, &mut self.slope, &mut self.bend].into_iter().chain(&mut self.slopes) {
            sums[k] *= by;
        }
        self.hermite.iter_mut().skip(k).take(1).flatten().for_each(|h| *h *= by);
    }

    fn moments(mut self) -> Tilted {
        let mean = |sums: &[f64]| -> Vec<f64> { sums.iter().zip(&self.w).map(|(s, w)| s / w).collect() };
        let (alpha, bend) = (mean(&self.slope), mean(&self.bend));
        let kappa = bend.iter().zip(&alpha).map(|(bend, alpha)| bend - alpha * alpha).collect();
        let slopes = self.slopes.iter().map(|s| mean(s)).collect();
        let log_z = self.top.iter().zip(&self.w).map(|(top, w)| top + w.ln()).collect();
        self.hermite.iter_mut().zip(&self.w).for_each(|(h, w)| h.iter_mut().for_each(|h| *h /= w));
        Tilted { log_z, alpha, kappa, slopes, hermite: self.hermite }
    }
}

/// sums += w He_l(x) / sqrt(l!), l = 3, 4, ...
#[inline(always)]
fn add_hermite(x: f64, w: f64, sums: &mut [f64; DEEPEST - 2]) {
    let (mut before, mut value) = (x, (x * x - 1.0) * std::f64::consts::FRAC_1_SQRT_2);
    for (l, sum) in (3..).zip(sums) {
        let l = f64::from(l);
        (before, value) = (value, (x * value - (l - 1.0).sqrt() * before) / l.sqrt());
        *sum += w * value;
    }
}
