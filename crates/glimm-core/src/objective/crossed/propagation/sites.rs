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
//! Both are derivatives of log Z as the nodes of x have it. At sites that change no moment the value's gradient is then as
//! good as the nodes are. Where v is all but zero E_t[g' x] / sqrt(v) is E_t[g''] + E_t[g'^2].

use rayon::prelude::*;

use super::DEEPEST;
use crate::design::Data;
use crate::family::{Derivs, Want};
use crate::quadrature;
use crate::special::{exp, select, vectorized};

/// Rows looked at together.
const STRIP: usize = 256;
/// Variances below which differences of nodes are rounding.
const TINY: f64 = 1e-10;
/// By how much a log weight may exceed that to which sums are relative.
const ROOM: f64 = 200.0;

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
pub struct Nodes(Vec<f64>, Vec<f64>);

const LOG_ROOT_TAU: f64 = 0.918_938_533_204_672_8;

impl Nodes {
    pub fn new(count: usize) -> Nodes {
        let (x, log_w) = quadrature::hermite(count);
        Nodes(x.clone(), log_w.iter().zip(&x).map(|(w, x)| w - 0.5 * x * x - LOG_ROOT_TAU).collect())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Nodes and log weights; that in the middle, where densities are usually largest, comes first.
    fn outwards(&self) -> impl Iterator<Item = [f64; 2]> {
        let (count, middle) = (self.0.len(), self.0.len() / 2);
        std::iter::once(middle).chain((0..count).filter(move |k| *k != middle)).map(|k| [self.0[k], self.1[k]])
    }
}

/// Of every row of a strip, or of all.
#[derive(Default)]
pub struct Tilted {
    pub log_z: Vec<f64>,
    pub alpha: Vec<f64>,
    pub kappa: Vec<f64>,
    /// E_t of the derivative in each further predictor.
    pub slopes: Vec<Vec<f64>>,
    /// E_t[He_l] / sqrt(l!) of the standardised linear predictor, l = 3, 4, ...
    pub hermite: [Vec<f64>; DEEPEST - 2],
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
        all.hermite.iter_mut().zip(part.hermite).for_each(|(all, part)| all.extend(part));
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

/// Weighted sums over the nodes, relative to the weight of the first one or, where others are far larger, to theirs.
struct Sums {
    /// Of the last node: its log weights, then its weights.
    last: Vec<f64>,
    top: Vec<f64>,
    w: Vec<f64>,
    slope: Vec<f64>,
    /// Of g' x / sqrt(v).
    bend: Vec<f64>,
    slopes: Vec<Vec<f64>>,
    hermite: [Vec<f64>; DEEPEST - 2],
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
            last: zeros(),
            top: vec![f64::NEG_INFINITY; n],
            w: zeros(),
            slope: zeros(),
            bend: zeros(),
            slopes: vec![zeros(); further],
            hermite: std::array::from_fn(|_| if depth == Depth::All { zeros() } else { Vec::new() }),
        };
        let sd: Vec<f64> = self.at.v[self.rows.clone()].iter().map(|v| v.sqrt()).collect();
        for [x, log_weight] in self.nodes.outwards() {
            for ((eta, m), sd) in eta.iter_mut().zip(&self.at.m[self.rows.clone()]).zip(&sd) {
                *eta = m + x * sd;
            }
            self.differentiate(&eta, want, &mut derivs);
            vectorized(
                #[inline(always)]
                || self.add([x, log_weight], [&eta, &sd], &derivs, flat, &mut sums),
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
    fn add(&self, [x, log_weight]: [f64; 2], [eta, sd]: [&[f64]; 2], derivs: &Derivs, flat: bool, sums: &mut Sums) {
        let n = eta.len();
        let (tau, nu) = (&self.sites.tau[self.rows.clone()][..n], &self.sites.nu[self.rows.clone()][..n]);
        let (f, f1, sd) = (&derivs.value()[..n], &derivs.get(&[0])[..n], &sd[..n]);
        for k in 0..n {
            sums.last[k] = log_weight + f[k] - nu[k] * eta[k] + 0.5 * tau[k] * eta[k] * eta[k];
        }
        sums.weigh();
        let g1 = |k: usize| f1[k] - nu[k] + tau[k] * eta[k];
        if flat {
            let (f2, v) = (&derivs.get(&[0, 0])[..n], &self.at.v[self.rows.clone()][..n]);
            let level = |k: usize| f2[k] + tau[k] + g1(k) * g1(k);
            sums.add_moments(n, g1, |k| if v[k] < TINY { level(k) } else { g1(k) * x / sd[k] });
        } else {
            sums.add_moments(n, g1, |k| g1(k) * x / sd[k]);
        }
        for j in 0..sums.slopes.len() {
            let slope = &derivs.get(&[j + 1])[..n];
            add_weighted(&sums.last[..n], &mut sums.slopes[j][..n], |k| slope[k]);
        }
        if !sums.hermite[0].is_empty() {
            let values = hermite(x);
            for (sum, value) in sums.hermite.iter_mut().zip(values) {
                add_weighted(&sums.last[..n], &mut sum[..n], |_| value);
            }
        }
    }
}

/// sums += weight value where there is a weight.
#[inline(always)]
fn add_weighted(w: &[f64], sums: &mut [f64], value: impl Fn(usize) -> f64) {
    for k in 0..sums.len() {
        sums[k] += select(w[k] > 0.0, w[k] * value(k), 0.0);
    }
}

impl Sums {
    /// From the last log weights to weights; NaN has none.
    #[inline(always)]
    fn weigh(&mut self) {
        let n = self.last.len();
        for k in 0..n {
            if self.last[k] > self.top[k] + ROOM {
                self.raise(k);
            }
        }
        let (last, top) = (&mut self.last[..n], &self.top[..n]);
        for k in 0..n {
            last[k] = select(last[k] > f64::NEG_INFINITY, exp(last[k] - top[k]), 0.0);
        }
        add_weighted(last, &mut self.w[..n], |_| 1.0);
    }

    #[inline(always)]
    fn add_moments(&mut self, n: usize, slope: impl Fn(usize) -> f64, bend: impl Fn(usize) -> f64) {
        add_weighted(&self.last[..n], &mut self.slope[..n], slope);
        add_weighted(&self.last[..n], &mut self.bend[..n], bend);
    }

    /// Brings the sums of a row to the scale of its last weight.
    #[cold]
    fn raise(&mut self, k: usize) {
        let by = if self.top[k] > f64::NEG_INFINITY { exp(self.top[k] - self.last[k]) } else { 0.0 };
        self.top[k] = self.last[k];
        for sums in [&mut self.w, &mut self.slope, &mut self.bend].into_iter().chain(&mut self.slopes) {
            sums[k] *= by;
        }
        self.hermite.iter_mut().filter_map(|h| h.get_mut(k)).for_each(|h| *h *= by);
    }

    fn moments(self) -> Tilted {
        let mean = |sums: &[f64]| -> Vec<f64> { sums.iter().zip(&self.w).map(|(s, w)| s / w).collect() };
        let (alpha, bend) = (mean(&self.slope), mean(&self.bend));
        let kappa = bend.iter().zip(&alpha).map(|(bend, alpha)| bend - alpha * alpha).collect();
        let slopes = self.slopes.iter().map(|s| mean(s)).collect();
        let log_z = self.top.iter().zip(&self.w).map(|(top, w)| top + w.ln()).collect();
        let hermite =
            std::array::from_fn(|l| if self.hermite[l].is_empty() { Vec::new() } else { mean(&self.hermite[l]) });
        Tilted { log_z, alpha, kappa, slopes, hermite }
    }
}

/// He_l(x) / sqrt(l!), l = 3, 4, ...
fn hermite(x: f64) -> [f64; DEEPEST - 2] {
    let (mut before, mut value) = (x, (x * x - 1.0) * std::f64::consts::FRAC_1_SQRT_2);
    std::array::from_fn(|l| {
        let l = (l + 3) as f64;
        (before, value) = (value, (x * value - (l - 1.0).sqrt() * before) / l.sqrt());
        value
    })
}
