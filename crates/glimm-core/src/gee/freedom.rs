//! Degrees of freedom of t for a contrast c'beta, from how variable its estimated variance is: 2 E(V)^2 / var(V).

use super::State;
use super::covariance::{Bread, Kind, product, transposed};
use super::equations::{Share, Task};
use super::moments::Roots;
use crate::error::Error;
use crate::linalg::dense::matvec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freedom {
    /// The variance among clusters of (c'A u_i)^2 (Pan and Wall 2002, Statistics in Medicine 21, 1429-1441).
    PanWall,
    /// var(u_i) taken as (K_i u_i)(K_i u_i)' (Fay and Graubard 2001, Biometrics 57, 1198-1206).
    FayGraubard,
    /// var(u_i) taken as M_i, as if the working correlation were true (Bell and McCaffrey 2002, Survey Methodology 28, 169-181).
    Satterthwaite,
}

impl Freedom {
    pub const ALL: [(&str, Freedom); 3] = [
        ("fay-graubard", Freedom::FayGraubard),
        ("pan-wall", Freedom::PanWall),
        ("satterthwaite", Freedom::Satterthwaite),
    ];

    pub fn parse(name: &str) -> Result<Freedom, Error> {
        let found = Freedom::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| Error::Unknown {
            what: "degrees of freedom",
            name: name.to_owned(),
            allowed: Freedom::ALL.iter().map(|(n, _)| (*n).to_owned()).collect(),
        })
    }
}

/// Sums over clusters of one contrast. The estimated variance is sum e_i^2 with e_i = a_i'(u_i - M_i A sum u_j); with
/// x_i = Psi_i a_i, y_i = A M_i a_i and S = sum Psi_j the covariances of the e_i are
/// C_ik = d_i [i = k] - x_i'y_k - y_i'x_k + y_i'S y_k. Then E = tr C and var = 2 tr C^2.
#[derive(Clone)]
struct Sums {
    d: f64,
    d2: f64,
    /// sum z z' and sum d z z' with z = (x, y).
    w: Vec<f64>,
    wd: Vec<f64>,
    /// sum Psi.
    s: Vec<f64>,
    /// sum q and sum q^2, q = (a_i'u_i)^2.
    q: f64,
    q2: f64,
}

impl Sums {
    fn new(p: usize) -> Sums {
        let z = 4 * p * p;
        Sums { d: 0.0, d2: 0.0, w: vec![0.0; z], wd: vec![0.0; z], s: vec![0.0; p * p], q: 0.0, q2: 0.0 }
    }

    fn add(&mut self, copies: f64, d: f64, z: &[f64], psi: &[f64], q: f64) {
        let width = z.len();
        self.d += copies * d;
        self.d2 += copies * d * d;
        self.q += copies * q;
        self.q2 += copies * q * q;
        for i in 0..width * width {
            let product = copies * z[i / width] * z[i % width];
            self.w[i] += product;
            self.wd[i] += d * product;
        }
        self.s.iter_mut().zip(psi).for_each(|(s, v)| *s += copies * v);
    }

    fn merge(&mut self, other: &Sums) {
        (self.d, self.d2) = (self.d + other.d, self.d2 + other.d2);
        (self.q, self.q2) = (self.q + other.q, self.q2 + other.q2);
        for (a, b) in [(&mut self.w, &other.w), (&mut self.wd, &other.wd), (&mut self.s, &other.s)] {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
    }

    /// (tr C)^2 / tr C^2 with C = diag(d) + Z Q Z', Q = (0, -I; -I, S).
    fn satterthwaite(&self, p: usize) -> f64 {
        let width = 2 * p;
        let mut q = vec![0.0; width * width];
        for i in 0..p {
            q[i * width + p + i] = -1.0;
            q[(p + i) * width + i] = -1.0;
            (0..p).for_each(|j| q[(p + i) * width + p + j] = self.s[i * p + j]);
        }
        let trace = |m: &[f64]| (0..width).map(|i| m[i * width + i]).sum::<f64>();
        let qw = product(&q, &self.w, width);
        let first = self.d + trace(&qw);
        let second = self.d2 + 2.0 * trace(&product(&q, &self.wd, width)) + trace(&product(&qw, &qw, width));
        first * first / second
    }

    /// 2 V^2 / (G s^2) with the sample variance s^2 of q.
    fn pan_wall(&self, clusters: f64) -> f64 {
        let variance = (self.q2 - self.q * self.q / clusters) / (clusters - 1.0);
        2.0 * self.q * self.q / (clusters * variance)
    }
}

impl Task<'_> {
    /// Degrees of freedom of each contrast (rows of p numbers, user's units), for a covariance of this kind.
    pub fn freedom(&self, state: &State, kind: Kind, freedom: Freedom, contrasts: &[f64]) -> Result<Vec<f64>, Error> {
        let (rows, p) = (self.rows(state)?, self.data.width());
        let bread = Bread::new(self, self.sums(&rows, state, false)?.m)?;
        let roots = Roots::new(self.data, &state.scale);
        let map = transposed(&self.data.standard.map(), p);
        // A c in standard units.
        let directions: Vec<Vec<f64>> = contrasts
            .chunks_exact(p)
            .map(|c| {
                let (mut own, mut out) = (vec![0.0; p], vec![0.0; p]);
                matvec(&map, c, p, &mut own);
                matvec(&bread.a, &own, p, &mut out);
                out
            })
            .collect();
        let parts = self.chunks(|chunk| {
            let (mut sums, mut trouble) = (vec![Sums::new(p); directions.len()], None);
            self.visit(&rows, &roots, &state.alpha, chunk, |share: Share<'_>| match bread.correction(kind, share.m) {
                Ok(k) => {
                    let kt = transposed(&k, p);
                    sums.iter_mut()
                        .zip(&directions)
                        .for_each(|(s, c)| of_cluster(s, c, &share, &k, &kt, &bread, freedom));
                }
                Err(error) => trouble = Some(error),
            })?;
            trouble.map_or(Ok(sums), Err)
        })?;
        let mut all = vec![Sums::new(p); directions.len()];
        parts.iter().for_each(|part| all.iter_mut().zip(part).for_each(|(a, b)| a.merge(b)));
        Ok(all
            .iter()
            .map(|sums| match freedom {
                Freedom::PanWall => sums.pan_wall(self.data.count()),
                _ => sums.satterthwaite(p),
            })
            .collect())
    }
}

fn of_cluster(
    sums: &mut Sums,
    direction: &[f64],
    share: &Share<'_>,
    k: &[f64],
    kt: &[f64],
    bread: &Bread,
    freedom: Freedom,
) {
    let p = direction.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut a, mut ma, mut z) = (vec![0.0; p], vec![0.0; p], vec![0.0; 2 * p]);
    matvec(kt, direction, p, &mut a);
    matvec(share.m, &a, p, &mut ma);
    matvec(&bread.a, &ma, p, &mut z[p..]);
    let q = dot(&a, share.u).powi(2);
    if freedom == Freedom::FayGraubard {
        let mut v = vec![0.0; p];
        matvec(k, share.u, p, &mut v);
        let along = dot(&v, &a);
        (0..p).for_each(|j| z[j] = v[j] * along);
        let psi: Vec<f64> = (0..p * p).map(|i| v[i / p] * v[i % p]).collect();
        sums.add(share.copies, along * along, &z, &psi, q);
    } else {
        z[..p].copy_from_slice(&ma);
        sums.add(share.copies, dot(&a, &ma), &z, share.m, q);
    }
}
