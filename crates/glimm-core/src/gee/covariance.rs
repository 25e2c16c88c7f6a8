//! Covariances of the coefficients, A = (sum M_i)^-1: A sum_i (K_i u_i)(K_i u_i)' A with K_i = I for the sandwich of
//! Liang and Zeger. Corrections for few clusters blow up u_i by what the fit takes from the residuals of its own cluster,
//! H_i = D_i A D_i' V_i^-1; since D_i'V_i^-1 f(H_i) = f(M_i A) D_i'V_i^-1, all of them are p x p.

use super::equations::{Share, Task};
use super::moments::Roots;
use super::rows::Rows;
use super::standard::{inverse, sandwich};
use super::{State, working};
use crate::error::Error;
use crate::linalg::dense::{cholesky, eigen, matvec};

/// Shares of information nearer to one than this belong to the cluster alone.
const WHOLE: f64 = 1e-9;
/// Bound of the correction of Fay and Graubard.
const FAY_GRAUBARD: f64 = 0.75;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A: as if the working correlation were true.
    Model,
    /// K = I (Liang and Zeger 1986).
    Robust,
    /// K = (I - M A)^-1 (Mancl and DeRouen 2001).
    ManclDeRouen,
    /// K = (I - M A)^(-1/2) (Kauermann and Carroll 2001).
    KauermannCarroll,
    /// K = diag(1 - min(0.75, (M A)_jj))^(-1/2) (Fay and Graubard 2001).
    FayGraubard,
    /// Inflated, and a share of the model's added (Morel, Bokossa and Neerchal 2003).
    Morel,
    /// Mancl and DeRouen's times (G - p) / G: one step of scoring without each cluster (Paik 1988).
    OneStep,
    /// Inverse of sum M_i under independence at the same coefficients.
    Independence,
}

impl Kind {
    pub const ALL: [(&str, Kind); 8] = [
        ("fay-graubard", Kind::FayGraubard),
        ("independence", Kind::Independence),
        ("jackknife-onestep", Kind::OneStep),
        ("kauermann-carroll", Kind::KauermannCarroll),
        ("mancl-derouen", Kind::ManclDeRouen),
        ("model", Kind::Model),
        ("morel", Kind::Morel),
        ("robust", Kind::Robust),
    ];

    pub fn parse(name: &str) -> Result<Kind, Error> {
        let found = Kind::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| Error::Unknown {
            what: "covariance",
            name: name.to_owned(),
            allowed: Kind::ALL.iter().map(|(n, _)| (*n).to_owned()).collect(),
        })
    }
}

/// sum M_i = L L', its inverse A, and the map to the user's units.
pub(super) struct Bread {
    pub l: Vec<f64>,
    pub a: Vec<f64>,
    map: Vec<f64>,
    back: Vec<f64>,
    p: usize,
}

impl Bread {
    pub fn new(task: &Task<'_>, m: Vec<f64>) -> Result<Bread, Error> {
        let (p, mut l) = (task.data.width(), m);
        if !cholesky(&mut l, p) {
            return Err(Error::Degenerate { why: "the data do not tell the coefficients".into() });
        }
        let a = inverse(&l, p);
        let standard = &task.data.standard;
        Ok(Bread { l, a, map: standard.map(), back: standard.inverse_map(), p })
    }

    /// K_i as a matrix, row by row.
    pub fn correction(&self, kind: Kind, m: &[f64]) -> Result<Vec<f64>, Error> {
        let p = self.p;
        match kind {
            Kind::ManclDeRouen | Kind::OneStep => self.power(m, |rest| 1.0 / rest),
            Kind::KauermannCarroll => self.power(m, |rest| 1.0 / rest.sqrt()),
            Kind::FayGraubard => {
                // In the user's units, as the diagonal depends on them: u_user = T^-T u.
                let ma = product(m, &self.a, p);
                let user = product(&product(&transposed(&self.back, p), &ma, p), &transposed(&self.map, p), p);
                let mut k = vec![0.0; p * p];
                (0..p).for_each(|j| k[j * p + j] = 1.0 / (1.0 - user[j * p + j].min(FAY_GRAUBARD)).sqrt());
                Ok(product(&product(&transposed(&self.map, p), &k, p), &transposed(&self.back, p), p))
            }
            _ => Ok((0..p * p).map(|i| f64::from(i / p == i % p)).collect()),
        }
    }

    /// f(I - M A) = L Q f(1 - lambda) Q' L^-1 with L^-1 M L^-T = Q lambda Q'; zero where a direction is told by the
    /// cluster alone, whose residual there is zero.
    fn power(&self, m: &[f64], f: impl Fn(f64) -> f64) -> Result<Vec<f64>, Error> {
        let p = self.p;
        let mut white = m.to_vec();
        super::rows::forward(&self.l, p, &mut white, p);
        let mut white = transposed(&white, p);
        super::rows::forward(&self.l, p, &mut white, p);
        let failed = || Error::Degenerate { why: "a cluster's share of the information has no eigenvalues".into() };
        let (values, vectors) = eigen(&white, p).ok_or_else(failed)?;
        let change = |v: f64| if 1.0 - v > WHOLE { f(1.0 - v) } else { 0.0 };
        let lower: Vec<f64> = (0..p * p).map(|i| if i % p <= i / p { self.l[i] } else { 0.0 }).collect();
        let left = product(&lower, &vectors, p);
        // L^-1 Q stands as (Q' L^-1)' = solve(L', Q)': from Q' by columns.
        let mut right = vec![0.0; p * p];
        for k in 0..p {
            // row k of Q' L^-1: solve L' y = q_k
            let mut y: Vec<f64> = (0..p).map(|i| vectors[i * p + k]).collect();
            for i in (0..p).rev() {
                for j in i + 1..p {
                    y[i] -= self.l[j * p + i] * y[j];
                }
                y[i] /= self.l[i * p + i];
            }
            (0..p).for_each(|j| right[k * p + j] = change(values[k]) * y[j]);
        }
        Ok(product(&left, &right, p))
    }
}

pub(super) fn product(a: &[f64], b: &[f64], p: usize) -> Vec<f64> {
    let mut out = vec![0.0; p * p];
    crate::linalg::dense::matmul(a, b, p, &mut out);
    out
}

pub(super) fn transposed(a: &[f64], p: usize) -> Vec<f64> {
    (0..p * p).map(|i| a[i % p * p + i / p]).collect()
}

impl Task<'_> {
    /// A covariance of the coefficients, in the user's units, row by row.
    pub fn covariance(&self, state: &State, kind: Kind) -> Result<Vec<f64>, Error> {
        let single = working::lookup("independence", Default::default())?;
        let task = if kind == Kind::Independence { Task { working: single.as_ref(), ..*self } } else { *self };
        let rows = task.rows(state)?;
        let plain = matches!(kind, Kind::Robust | Kind::Morel);
        let sums = task.sums(&rows, state, plain)?;
        let bread = Bread::new(&task, sums.m)?;
        let p = task.data.width();
        let found = match kind {
            Kind::Model | Kind::Independence => bread.a,
            _ => {
                let meat = if plain { sums.meat } else { task.meat(&rows, state, &bread, kind)? };
                let robust = sandwich(&bread.a, &meat, p);
                match kind {
                    Kind::OneStep => {
                        let clusters = task.data.count();
                        robust.iter().map(|v| v * (clusters - p as f64) / clusters).collect()
                    }
                    Kind::Morel => task.morel(&robust, &meat, &bread),
                    _ => robust,
                }
            }
        };
        Ok(task.data.standard.covariance_to_user(&found))
    }

    /// Residuals and slopes of all rows.
    pub fn rows(&self, state: &State) -> Result<Rows, Error> {
        let outside = || Error::Degenerate { why: "a mean lies outside of the range of the family".into() };
        Rows::new(self.data, &state.beta).ok_or_else(outside)
    }

    /// sum (K_i u_i)(K_i u_i)' with K_i other than I.
    fn meat(&self, rows: &Rows, state: &State, bread: &Bread, kind: Kind) -> Result<Vec<f64>, Error> {
        let p = self.data.width();
        let roots = Roots::new(self.data, &state.scale);
        let parts = self.chunks(|chunk| {
            let (mut meat, mut v, mut trouble) = (vec![0.0; p * p], vec![0.0; p], None);
            self.visit(rows, &roots, &state.alpha, chunk, |share: Share<'_>| {
                match bread.correction(kind, share.m) {
                    Ok(k) => matvec(&k, share.u, p, &mut v),
                    Err(error) => trouble = Some(error),
                }
                (0..p * p).for_each(|i| meat[i] += share.copies * v[i / p] * v[i % p]);
            })?;
            trouble.map_or(Ok(meat), Err)
        })?;
        let mut all = vec![0.0; p * p];
        parts.iter().for_each(|part| all.iter_mut().zip(part).for_each(|(a, b)| *a += b));
        Ok(all)
    }

    /// c V + delta phi A with c = (N - 1) / (N - p) G / (G - 1), delta = min(1/2, p / (G - p)) and
    /// phi = max(1, c tr(A meat) / p).
    fn morel(&self, robust: &[f64], meat: &[f64], bread: &Bread) -> Vec<f64> {
        let p = self.data.width();
        let (clusters, q) = (self.data.count(), p as f64);
        let n: f64 = (0..self.data.clusters()).map(|c| self.data.copies(c) * self.data.rows(c).len() as f64).sum();
        let c = (n - 1.0) / (n - q) * clusters / (clusters - 1.0);
        let delta = if clusters > q { (q / (clusters - q)).min(0.5) } else { 0.5 };
        let trace: f64 = (0..p * p).map(|i| bread.a[i] * meat[i]).sum();
        let phi = (c * trace / q).max(1.0);
        robust.iter().zip(&bread.a).map(|(v, a)| c * v + delta * phi * a).collect()
    }

    /// u_i of every cluster in the user's units, (clusters, p), times the square root of its copies.
    pub fn scores(&self, state: &State) -> Result<Vec<f64>, Error> {
        let (rows, p) = (self.rows(state)?, self.data.width());
        let roots = Roots::new(self.data, &state.scale);
        let back = transposed(&self.data.standard.inverse_map(), p);
        let parts = self.chunks(|chunk| {
            let (mut out, mut v) = (Vec::with_capacity(chunk.len() * p), vec![0.0; p]);
            self.visit(&rows, &roots, &state.alpha, chunk, |share: Share<'_>| {
                matvec(&back, share.u, p, &mut v);
                out.extend(v.iter().map(|v| v * share.copies.sqrt()));
            })?;
            Ok(out)
        })?;
        Ok(parts.concat())
    }
}
