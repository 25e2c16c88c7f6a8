//! Quantiles of a new response when the linear predictors themselves are uncertain: those of the mixture
//!
//!   F(y) = E F(y | eta + root t),   t ~ N(0, I).
//!
//! One by one they are sought by evaluations of F. Many rows that differ in the first predictor and its standard deviation
//! alone have quantiles that are a smooth function of the two, which is solved for at few points and checked at others;
//! rows for which that is not certain are sought one by one.

mod amounts;
mod chebyshev;
mod counts;
mod curve;
mod mixture;
mod pieces;
mod rule;
mod support;

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::family::Family;
use mixture::Mixture;
use support::Support;

/// Distinct rows up to which each is sought by itself, and the same for each count that a response may be.
const FEW: usize = 1024;
const FEW_PER_COUNT: f64 = 32.0;

/// What rows have in common that differ in the first predictor and its standard deviation alone.
struct Line<'a> {
    family: &'a dyn Family,
    size: f64,
    support: Support,
    others: &'a [f64],
}

impl Line<'_> {
    fn predictors(&self, eta: f64) -> Vec<f64> {
        std::iter::once(eta).chain(self.others.iter().copied()).collect()
    }

    fn mixture(&self, eta: f64, sd: f64) -> Mixture<'_> {
        let predictors = self.predictors(eta);
        let mut root = vec![0.0; predictors.len()];
        root[0] = sd;
        Mixture::new(self.family, &predictors, &root, self.size, self.support)
    }
}

/// The rows asked for.
struct Asked<'a> {
    family: &'a dyn Family,
    eta: &'a [f64],
    root: &'a [f64],
    k: usize,
    r: usize,
    size: Option<&'a [f64]>,
    p: &'a [f64],
}

/// The quantiles `p` of each row, rows x quantiles. `eta`: rows x predictors; `root`: rows x predictors x directions.
/// Of whole responses the least y with F(y) >= p. With `each`, all rows are sought one by one.
pub fn quantiles(
    family: &dyn Family,
    eta: &[f64],
    root: &[f64],
    [k, r]: [usize; 2],
    size: Option<&[f64]>,
    p: &[f64],
    each: bool,
) -> Vec<f64> {
    let asked = Asked { family, eta, root, k, r, size, p };
    let n = eta.len() / k.max(1);
    let mut out = vec![f64::NAN; n * p.len()];
    let mut left: Vec<usize> = Vec::new();
    if each {
        left.extend(0..n);
    } else {
        for group in asked.groups(n, &mut left) {
            asked.together(&group, &mut out, &mut left);
        }
    }
    asked.one_by_one(&left, &mut out);
    out
}

impl Asked<'_> {
    fn eta(&self, i: usize) -> &[f64] {
        &self.eta[i * self.k..(i + 1) * self.k]
    }

    fn root(&self, i: usize) -> &[f64] {
        &self.root[i * self.k * self.r..(i + 1) * self.k * self.r]
    }

    fn size(&self, i: usize) -> f64 {
        self.size.map_or(1.0, |s| s[i])
    }

    /// The standard deviation of the first predictor, where that alone moves, along one direction.
    fn sd(&self, i: usize) -> Option<f64> {
        let (first, others) = self.root(i).split_at(self.r);
        let mut moving = first.iter().filter(|&&x| x != 0.0);
        let sd = moving.next().map_or(0.0, |x| x.abs());
        let alone = moving.next().is_none() && others.iter().all(|&x| x == 0.0);
        (alone && sd.is_finite() && self.eta(i)[0].is_finite()).then_some(sd)
    }

    /// Rows that differ in the first predictor and its standard deviation alone; others go to `left`.
    fn groups(&self, n: usize, left: &mut Vec<usize>) -> Vec<Vec<usize>> {
        let alike = |a: usize, b: usize| {
            self.size(a).to_bits() == self.size(b).to_bits() && same(&self.eta(a)[1..], &self.eta(b)[1..])
        };
        let key = |i: usize| bits([&self.eta(i)[1..], &[self.size(i)], &[]]);
        let (mut places, mut groups) = (HashMap::new(), Vec::<Vec<usize>>::new());
        let mut last = None;
        for i in 0..n {
            if self.sd(i).is_none() {
                left.push(i);
                continue;
            }
            let place = match last {
                Some((before, place)) if alike(before, i) => place,
                _ => *places.entry(key(i)).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                }),
            };
            last = Some((i, place));
            groups[place].push(i);
        }
        groups
    }

    /// The quantiles of a group; rows that have none yet go to `left`.
    fn together(&self, group: &[usize], out: &mut [f64], left: &mut Vec<usize>) {
        let (eta, sd): (Vec<f64>, Vec<f64>) =
            group.iter().map(|&i| (self.eta(i)[0], self.sd(i).unwrap_or(f64::NAN))).unzip();
        let first = group[0];
        let (size, others) = (self.size(first), &self.eta(first)[1..]);
        let line = Line { family: self.family, size, support: Support::of(self.family, size), others };
        let few = if line.support.whole { FEW.min((FEW_PER_COUNT * line.support.high) as usize) } else { FEW };
        let mut distinct = HashSet::new();
        let pairs = eta.iter().zip(&sd).map(|(e, s)| (e.to_bits(), s.to_bits()));
        if !pairs.into_iter().any(|pair| distinct.insert(pair) && distinct.len() > few) {
            left.extend(group);
            return;
        }
        let of = |&p: &f64| match line.support.whole {
            true => counts::quantiles(&line, &eta, &sd, p),
            false => amounts::quantiles(&line, &eta, &sd, p),
        };
        let found: Vec<Vec<f64>> = self.p.par_iter().map(of).collect();
        for (at, &i) in group.iter().enumerate() {
            if found.iter().any(|column| column[at].is_nan()) {
                left.push(i);
                continue;
            }
            for (j, column) in found.iter().enumerate() {
                out[i * self.p.len() + j] = column[at];
            }
        }
    }

    /// By a search of their own; rows that are alike once.
    fn one_by_one(&self, rows: &[usize], out: &mut [f64]) {
        let size = |i: usize| self.size.map_or(&[][..], |s| &s[i..=i]);
        let key = |i: usize| bits([self.eta(i), self.root(i), size(i)]);
        let (mut kinds, mut firsts) = (HashMap::new(), Vec::new());
        let place = |&i: &usize| {
            *kinds.entry(key(i)).or_insert_with(|| {
                firsts.push(i);
                firsts.len() - 1
            })
        };
        let places: Vec<usize> = rows.iter().map(place).collect();
        let one = |&i: &usize| {
            let size = self.size(i);
            let support = Support::of(self.family, size);
            Mixture::new(self.family, self.eta(i), self.root(i), size, support).quantiles(self.p)
        };
        let found: Vec<Vec<f64>> = firsts.par_iter().with_min_len(16).map(one).collect();
        for (&i, &place) in rows.iter().zip(&places) {
            out[i * self.p.len()..(i + 1) * self.p.len()].copy_from_slice(&found[place]);
        }
    }
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn bits(parts: [&[f64]; 3]) -> Vec<u64> {
    parts.iter().flat_map(|part| part.iter().map(|x| x.to_bits())).collect()
}
