//! The rows of a problem at their places in tiles.

use std::ops::Range;
use std::sync::Arc;

use super::tiles::{self, Tile};
use crate::design::{Column, Data, Predictor, Term, gather};
use crate::family::{Family, Rows};

/// Effects from which it is worth knowing which of them meet.
const MANY: usize = 4;

#[derive(Clone)]
pub struct Store {
    pub family: Arc<dyn Family>,
    y: Vec<f64>,
    size: Option<Vec<f64>>,
    /// Frequency weights; zero at repeats. Absent where all are one.
    weight: Option<Vec<f64>>,
    has_freq: bool,
    offset: Vec<Option<Vec<f64>>>,
    /// The distinct columns of X and Z, by linear predictor: those of X first.
    pub columns: Vec<Column>,
    /// Columns of each linear predictor.
    pub spans: Vec<Range<usize>>,
    /// The linear predictor of each column, and its coefficient if it has one.
    pub predictor: Vec<usize>,
    pub coefficient: Vec<Option<usize>>,
    /// The column of each effect of a group, over all terms.
    pub z: Vec<usize>,
    /// Number of leading predictors with random effects.
    pub random: usize,
    /// Whether each column is in some row nonzero together with each effect's (column x effect); empty where all are.
    meets: Vec<bool>,
    /// Whether no two effects meet, as where each row belongs to one of many times.
    pub selects: bool,
}

impl Store {
    /// Takes the columns of `data` one by one, so that no two copies of all are held at a time.
    pub fn take(data: &mut Data, layout: &tiles::Layout) -> Store {
        let (coefficients, random) = (data.layout().beta, data.random_predictors());
        let (sources, spans, z) = distinct(data);
        let mut coefficient = vec![None; sources.len()];
        let mut predictor = vec![0; sources.len()];
        for (k, (span, beta)) in spans.iter().zip(&coefficients).enumerate() {
            span.clone().for_each(|a| predictor[a] = k);
            span.clone().zip(beta.clone()).for_each(|(a, b)| coefficient[a] = Some(b));
        }
        for c in data
            .terms
            .iter_mut()
            .flat_map(|t| &mut t.columns)
            .enumerate()
            .filter(|(e, _)| !sources.contains(&Source::Z(*e)))
        {
            *c.1 = Column::One;
        }
        let columns = sources.iter().map(|s| s.take(data).gather(&layout.row)).collect();
        let at = |v: &Vec<f64>| gather(v, &layout.row);
        let mut store = Store {
            family: data.family.clone(),
            y: at(&data.y),
            size: data.size.as_ref().map(at),
            weight: data.freq.as_ref().map(at),
            has_freq: data.freq.is_some(),
            offset: data.predictors.iter().map(|p| p.offset.as_ref().map(at)).collect(),
            columns,
            spans,
            predictor,
            coefficient,
            z,
            random,
            meets: Vec::new(),
            selects: false,
        };
        if store.has_freq || layout.repeats.contains(&true) {
            let weights = store.weight.get_or_insert_with(|| vec![1.0; layout.row.len()]);
            weights.iter_mut().zip(&layout.repeats).filter(|(_, r)| **r).for_each(|(w, _)| *w = 0.0);
        }
        if store.z.len() >= MANY {
            store.find_meetings();
        }
        store
    }

    /// Looks which effects meet in some row, so that products of those that never do are left out.
    fn find_meetings(&mut self) {
        let (p, q) = (self.columns.len(), self.z.len());
        let mut meets = vec![false; p * q];
        let mut present = Vec::with_capacity(q);
        for i in 0..self.y.len() {
            present.clear();
            present.extend((0..q).filter(|&c| self.columns[self.z[c]].at(i) != 0.0));
            for &c in &present {
                present.iter().for_each(|&d| meets[self.z[c] * q + d] = true);
            }
        }
        let apart = |c: usize, d: usize| c == d || !meets[self.z[c] * q + d];
        self.selects = (0..q * q).all(|i| apart(i / q, i % q));
        for a in (0..p).filter(|a| self.coefficient[*a].is_some() && !self.z.contains(a)) {
            meets[a * q..(a + 1) * q].fill(true);
        }
        self.meets = if meets.contains(&false) { meets } else { Vec::new() };
    }

    /// Whether column `a` and effect `c` meet.
    #[inline(always)]
    pub fn meet(&self, a: usize, c: usize) -> bool {
        self.meets.is_empty() || self.meets[a * self.z.len() + c]
    }

    /// The effect that column `a` belongs to, where it matters which it meets.
    #[inline(always)]
    pub fn effect(&self, a: usize) -> Option<usize> {
        if self.meets.is_empty() { None } else { self.z.iter().position(|&z| z == a) }
    }

    /// Whether all columns may meet all effects.
    #[inline(always)]
    pub fn all_meet(&self) -> bool {
        self.meets.is_empty()
    }

    pub fn rows(&self, places: Range<usize>) -> Rows<'_> {
        Rows { y: &self.y[places.clone()], size: self.size.as_ref().map(|s| &s[places]) }
    }

    /// Weights of a tile's places, where they are not all one.
    pub fn weights(&self, tile: &Tile) -> Option<&[f64]> {
        let needed = self.has_freq || tile.has_repeats();
        self.weight.as_ref().filter(|_| needed).map(|w| &w[tile.places()])
    }

    pub fn offset(&self, k: usize, places: Range<usize>) -> Option<&[f64]> {
        self.offset[k].as_ref().map(|o| &o[places])
    }

    /// Responses, sizes and weights at some places.
    pub fn responses(&self, places: &[usize]) -> (Vec<f64>, Option<Vec<f64>>, Option<Vec<f64>>) {
        let pick = |v: &Vec<f64>| places.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        (pick(&self.y), self.size.as_ref().map(pick), self.weight.as_ref().map(pick))
    }

    pub fn column_at(&self, a: usize, places: &[usize]) -> Vec<f64> {
        places.iter().map(|&i| self.columns[a].at(i)).collect()
    }

    /// X beta + offset of predictor `k` at some places.
    pub fn fixed_at(&self, k: usize, psi: &[f64], places: &[usize]) -> Vec<f64> {
        let offset = |i: usize| self.offset[k].as_ref().map_or(0.0, |o| o[i]);
        let term = |a: usize, i: usize| self.coefficient[a].map_or(0.0, |j| psi[j] * self.columns[a].at(i));
        places.iter().map(|&i| offset(i) + self.spans[k].clone().map(|a| term(a, i)).sum::<f64>()).collect()
    }

    /// Whether x'V x is above `limit` in some row, x its columns of predictor 0.
    pub fn any_variance_above(&self, v: &[f64], p: usize, limit: f64) -> bool {
        let columns = || self.spans[0].clone().filter(|&a| self.coefficient[a].is_some());
        (0..self.y.len()).any(|place| {
            let x: Vec<f64> = columns().map(|a| self.columns[a].at(place)).collect();
            let k = x.len();
            (0..k * k).map(|i| x[i / k] * x[i % k] * v[i / k * p + i % k]).sum::<f64>() > limit
        })
    }

    /// New responses, in the order of the rows given first, of which `row` stands at each place.
    pub fn set_response(&mut self, y: &[f64], row: &[u32]) {
        self.y.iter_mut().zip(row).for_each(|(a, &i)| *a = y[i as usize]);
    }

    /// Sum of the terms of the log density that depend on the responses alone, but for places that repeat others.
    pub fn log_constant(&self, repeats: &[bool]) -> f64 {
        let weight = |i: usize| self.weight.as_ref().map_or(1.0, |w| w[i]);
        let size = |i: usize| self.size.as_ref().map_or(1.0, |s| s[i]);
        let places = (0..self.y.len()).filter(|&i| !repeats[i]);
        let codes = self.offset.last().and_then(Option::as_ref);
        let family = |i: usize| codes.and_then(|c| self.family.member(c[i])).unwrap_or(self.family.as_ref());
        places.map(|i| weight(i) * family(i).log_constant(self.y[i], size(i))).sum()
    }

    /// The rows at some places as data of their own, with the shape of `shape` and new group codes.
    pub fn gather(&self, places: &[usize], codes: Vec<u32>, levels: usize, shape: &Data) -> Data {
        let pick = |v: &Vec<f64>| places.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        let column = |a: usize| match &self.columns[a] {
            Column::One => Column::One,
            Column::Values(v) => Column::of(pick(v)),
        };
        let predictor = |(k, p): (usize, &Predictor)| Predictor {
            columns: self.spans[k].clone().take(p.columns.len()).map(column).collect(),
            offset: self.offset[k].as_ref().map(pick),
            shares: p.shares,
        };
        let mut z = self.z.iter();
        let term = |t: &Term| {
            let columns = z.by_ref().take(t.effects()).map(|&a| column(a)).collect();
            Term::new(codes.clone(), levels, columns, t.predictors.clone(), t.structure.clone())
        };
        Data {
            family: self.family.clone(),
            y: pick(&self.y),
            size: self.size.as_ref().map(pick),
            freq: self.weight.as_ref().filter(|_| self.has_freq).map(pick),
            predictors: shape.predictors.iter().enumerate().map(predictor).collect(),
            terms: shape.terms.iter().map(term).collect(),
            copies: None,
            constants: None,
        }
    }
}

/// Where a column is found in the data given.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    /// Predictor and column of X.
    X(usize, usize),
    /// Effect of a group, over all terms.
    Z(usize),
}

impl Source {
    fn take(self, data: &mut Data) -> Column {
        let column = match self {
            Source::X(k, j) => &mut data.predictors[k].columns[j],
            Source::Z(e) => data.terms.iter_mut().flat_map(|t| &mut t.columns).nth(e).expect("an effect of the data"),
        };
        std::mem::replace(column, Column::One)
    }
}

/// The columns of X and, where they are not among them, of Z; the columns of each predictor; the column
/// of each effect.
fn distinct(data: &Data) -> (Vec<Source>, Vec<Range<usize>>, Vec<usize>) {
    let (mut columns, mut sources): (Vec<&Column>, Vec<Source>) = Default::default();
    let mut spans = Vec::new();
    let effects: Vec<(usize, &Column)> =
        data.terms.iter().flat_map(|t| t.predictors.iter().copied().zip(&t.columns)).collect();
    let mut z = vec![0; effects.len()];
    for (k, p) in data.predictors.iter().enumerate() {
        let first = columns.len();
        columns.extend(&p.columns);
        sources.extend((0..p.columns.len()).map(|j| Source::X(k, j)));
        for (e, (_, column)) in effects.iter().enumerate().filter(|(_, e)| e.0 == k) {
            let known = columns[first..].iter().position(|c| same(c, column));
            z[e] = first + known.unwrap_or(columns.len() - first);
            if known.is_none() {
                columns.push(column);
                sources.push(Source::Z(e));
            }
        }
        spans.push(first..columns.len());
    }
    (sources, spans, z)
}

fn same(a: &Column, b: &Column) -> bool {
    match (a, b) {
        (Column::One, Column::One) => true,
        (Column::Values(a), Column::Values(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => false,
    }
}
