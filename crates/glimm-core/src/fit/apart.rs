//! A start for crossed effects: what each term says by itself, on a sample of its levels.
//!
//! Effects that are left out flatten the others where the link is curved: with V_s the variances of the linear
//! predictor by the other terms, coefficients and standard deviations are 1 / sqrt(1 + c^2 sum_s V_s) of what they are
//! beside them (Zeger, Liang and Albert 1988, Biometrics 44, 1049-1060, section 3). That is undone.

use super::{INNER, Observer, Problem, SAMPLE_ROWS};
use crate::design::{Data, Term};
use crate::link::Link;
use crate::objective::block::Block;
use crate::optim::{Curvature, Reason, Settings, maximise};
use crate::shuffle;

/// Part of the rows in the sample of a term, and the most of them.
const PART: f64 = 0.1;
const MOST_ROWS: usize = 10_000;
/// Fewer levels tell nothing of a variance.
const LEAST_LEVELS: usize = 50;
/// A sample's maximum need not be closer than this, as a squared distance in its standard errors.
const CLOSE: f64 = 0.1;
const ROUNDS: usize = 10;
/// The most by which anything grows.
const MOST_GROWTH: f64 = 3.0;

/// What a term says by itself.
struct Alone {
    psi: Vec<f64>,
    /// Mean variance of the linear predictor by the term.
    variance: f64,
}

impl Problem {
    /// Coefficients and covariances from fits with one term each, put together; `None` for data that are small, or whose
    /// terms do not stand by themselves.
    pub(super) fn climb_apart(&self, start: &[f64], observe: Observer<'_>) -> Option<Vec<f64>> {
        let plain = |t: &Term| !t.tied() && t.predictors.iter().all(|&k| k == 0);
        if self.data.n() < SAMPLE_ROWS || self.prior.is_some() || !self.data.terms.iter().all(plain) {
            return None;
        }
        let found: Vec<Alone> =
            (0..self.data.terms.len()).map(|t| self.alone(t, start, observe)).collect::<Option<_>>()?;
        let grown = growth(self.data.family.link(), &found.iter().map(|f| f.variance).collect::<Vec<f64>>());
        let (fixed, mut psi) = (self.layout.fixed(), vec![0.0; start.len()]);
        for (alone, times) in found.iter().zip(&grown) {
            for (j, b) in alone.psi[..fixed].iter().enumerate() {
                let times = if self.layout.beta[0].contains(&j) { *times } else { 1.0 };
                psi[j] += times * b / found.len() as f64;
            }
        }
        for (((term, range), alone), times) in self.data.terms.iter().zip(&self.layout.theta).zip(&found).zip(&grown) {
            let (q, theta) = (term.effects(), &mut psi[range.clone()]);
            theta.copy_from_slice(&alone.psi[fixed..]);
            let scale: Vec<f64> = (0..q * q).map(|i| if i / q == i % q { *times } else { 0.0 }).collect();
            term.structure.transform(theta, &scale);
        }
        Some(self.lift(psi))
    }

    /// The maximum with one term only.
    fn alone(&self, t: usize, start: &[f64], observe: Observer<'_>) -> Option<Alone> {
        let (fixed, theta) = (self.layout.fixed(), self.layout.theta[t].clone());
        let data = self.sample_of(t)?;
        let pick = |all: &[f64]| [&all[..fixed], &all[theta.clone()]].concat();
        let settings = Settings {
            curvature: Curvature::Exact,
            tolerance: CLOSE,
            inner_tolerance: INNER,
            max_iterations: 30,
            reach: pick(&self.reach()),
            limits: Vec::new(),
            rows: Vec::new(),
        };
        let mut block = Block::new(&data);
        let found = maximise(&mut block, &pick(start), settings, &mut |i, v, d| observe("sample", i, v, d));
        (found.reason == Reason::Converged).then(|| Alone { variance: variance(&data, &found.psi), psi: found.psi })
    }

    /// Rows of some levels of a term, with that term only.
    fn sample_of(&self, t: usize) -> Option<Data> {
        let (term, n) = (&self.data.terms[t], self.data.n());
        let wanted = ((PART * n as f64) as usize).min(MOST_ROWS);
        let count = (term.levels * wanted / n).max(LEAST_LEVELS).min(term.levels);
        let mut code = vec![None; term.levels];
        for (new, level) in shuffle::sample(term.levels, count).into_iter().enumerate() {
            code[level as usize] = Some(new as u32);
        }
        let mut rows: Vec<u32> = (0..n as u32).filter(|&i| code[term.codes[i as usize] as usize].is_some()).collect();
        if rows.len() > 2 * wanted {
            rows = shuffle::sample(rows.len(), wanted).into_iter().map(|k| rows[k as usize]).collect();
        }
        let mut data = self.data.gather_fixed(&rows);
        let mut own = term.gather(&rows);
        own.codes = own.codes.iter().map(|&c| code[c as usize]).collect::<Option<_>>()?;
        own.levels = count;
        data.terms = vec![own];
        Some(data)
    }
}

/// The mean of z'Lambda Lambda'z over rows.
fn variance(data: &Data, psi: &[f64]) -> f64 {
    let (term, theta) = (&data.terms[0], data.layout().theta[0].clone());
    let (q, mut lambda) = (term.effects(), vec![0.0; term.effects().pow(2)]);
    term.structure.factor(&psi[theta], &mut lambda);
    let of_row = |i: usize| -> f64 {
        let along = |d: usize| (0..q).map(|c| term.columns[c].at(i) * lambda[c * q + d]).sum::<f64>();
        (0..q).map(|d| along(d).powi(2)).sum()
    };
    (0..data.n()).map(of_row).sum::<f64>() / data.n() as f64
}

/// By how much each term's fit is to grow, from the variances that each of them found.
fn growth(link: Link, found: &[f64]) -> Vec<f64> {
    let c = match link {
        // 16 sqrt(3) / (15 pi)
        Link::Logit => 0.588,
        Link::Probit => 1.0,
        _ => return vec![1.0; found.len()],
    };
    let mut grown = vec![1.0; found.len()];
    for _ in 0..ROUNDS {
        let variances: Vec<f64> = found.iter().zip(&grown).map(|(v, g)| v * g * g).collect();
        let total: f64 = variances.iter().sum();
        grown = variances.iter().map(|v| (1.0 + c * c * (total - v)).sqrt().min(MOST_GROWTH)).collect();
    }
    grown
}
