//! The data of a problem: responses, model matrices by column, random-effect terms.

use std::sync::Arc;

use rayon::prelude::*;

use crate::error::Error;
use crate::family::{Family, Rows};
use crate::linalg::sums;
use crate::precision::Precision;
use crate::structure::Structure;

/// Numbers that are looked at together.
const CHUNK: usize = 1024;
/// Rows from which several threads gather them.
const PARALLEL_ROWS: usize = 50_000;

/// One column of a model matrix. Constant one columns (intercepts) take no memory, and a column that has several places
/// takes it once.
#[derive(Clone)]
pub enum Column {
    One,
    Values(Arc<Vec<f64>>),
}

impl Column {
    /// A column from values, noticing a column of ones.
    pub fn new(values: Vec<f64>) -> Column {
        if values.iter().all(|&v| v == 1.0) { Column::One } else { Column::of(values) }
    }

    /// A column from values, not all of them one.
    pub fn of(values: Vec<f64>) -> Column {
        Column::Values(Arc::new(values))
    }

    /// Rows `r`, where `ones` is a slice of ones at least as long.
    #[inline(always)]
    pub fn rows<'a>(&'a self, r: std::ops::Range<usize>, ones: &'a [f64]) -> &'a [f64] {
        match self {
            Column::One => &ones[..r.len()],
            Column::Values(v) => &v[r],
        }
    }

    #[inline(always)]
    pub fn at(&self, i: usize) -> f64 {
        match self {
            Column::One => 1.0,
            Column::Values(v) => v[i],
        }
    }

    pub fn gather(&self, rows: &[u32]) -> Column {
        match self {
            Column::One => Column::One,
            Column::Values(v) => Column::of(gather(v, rows)),
        }
    }
}

/// The numbers of some rows, in their order.
pub fn gather(v: &[f64], rows: &[u32]) -> Vec<f64> {
    if rows.len() < PARALLEL_ROWS {
        return rows.iter().map(|&i| v[i as usize]).collect();
    }
    rows.par_iter().with_min_len(PARALLEL_ROWS / 2).map(|&i| v[i as usize]).collect()
}

/// Fixed effects of one linear predictor.
#[derive(Clone)]
pub struct Predictor {
    pub columns: Vec<Column>,
    pub offset: Option<Vec<f64>>,
    /// An earlier predictor with as many columns, whose coefficients are also those of this one.
    pub shares: Option<usize>,
}

impl Predictor {
    pub fn new(columns: Vec<Column>, offset: Option<Vec<f64>>) -> Predictor {
        Predictor { columns, offset, shares: None }
    }
}

/// Predictors of ordered classes: the thresholds above and below the class 1, 2, ... of each row.
pub fn thresholds(y: &[f64], classes: usize) -> [Predictor; 2] {
    let picks = |shift: usize| {
        let pick = |c: usize| y.iter().map(|y| f64::from(u8::from(*y == (c + shift) as f64))).collect();
        (1..classes).map(|c| Column::of(pick(c))).collect()
    };
    [Predictor::new(picks(0), None), Predictor { columns: picks(1), offset: None, shares: Some(1) }]
}

/// A further level that each row belongs to, with columns for the same effects.
#[derive(Clone)]
pub struct Membership {
    pub codes: Vec<u32>,
    pub columns: Vec<Column>,
}

/// One random-effect term: every level of a grouping factor has `structure.effects()` effects.
#[derive(Clone)]
pub struct Term {
    pub codes: Vec<u32>,
    pub levels: usize,
    pub columns: Vec<Column>,
    /// The linear predictor that each column belongs to.
    pub predictors: Vec<usize>,
    pub structure: Arc<dyn Structure>,
    /// The precision over levels; none: they are independent.
    pub prior: Option<Arc<Precision>>,
    /// Memberships besides `codes` and `columns`. A row without one has zeros in the columns of that of another.
    pub also: Vec<Membership>,
}

impl Term {
    /// Rows belong to one level each, and levels are independent.
    pub fn new(
        codes: Vec<u32>,
        levels: usize,
        columns: Vec<Column>,
        predictors: Vec<usize>,
        structure: Arc<dyn Structure>,
    ) -> Term {
        Term { codes, levels, columns, predictors, structure, prior: None, also: Vec::new() }
    }

    pub fn effects(&self) -> usize {
        self.columns.len()
    }

    /// Whether levels hang together beyond the rows of other terms, by their prior or by rows with several of them.
    pub fn tied(&self) -> bool {
        self.prior.is_some() || !self.also.is_empty()
    }

    /// Codes and columns of every membership.
    pub fn memberships(&self) -> impl Iterator<Item = (&[u32], &[Column])> {
        let first = (self.codes.as_slice(), self.columns.as_slice());
        std::iter::once(first).chain(self.also.iter().map(|m| (m.codes.as_slice(), m.columns.as_slice())))
    }

    /// The given rows, in the given order; levels keep their numbers.
    pub fn gather(&self, rows: &[u32]) -> Term {
        let codes = |codes: &[u32]| rows.iter().map(|&i| codes[i as usize]).collect();
        let columns = |columns: &[Column]| columns.iter().map(|c| c.gather(rows)).collect();
        let also = |m: &Membership| Membership { codes: codes(&m.codes), columns: columns(&m.columns) };
        Term {
            codes: codes(&self.codes),
            levels: self.levels,
            columns: columns(&self.columns),
            predictors: self.predictors.clone(),
            structure: self.structure.clone(),
            prior: self.prior.clone(),
            also: self.also.iter().map(also).collect(),
        }
    }

    fn check(&self, n: usize) -> Result<(), Error> {
        for (codes, columns) in self.memberships() {
            check_columns("random-effect column", columns, n)?;
            same_length("random-effect columns", columns.len(), self.effects())?;
            same_length("group codes", codes.len(), n)?;
            if codes.iter().any(|&c| c as usize >= self.levels) {
                return Err(Error::Degenerate { why: format!("a group code is not below {}", self.levels) });
            }
        }
        self.prior.as_ref().map_or(Ok(()), |p| same_length("precision of the levels", p.levels(), self.levels))
    }
}

/// Whether all rows' levels come from one factor of independent levels.
pub fn one_factor(terms: &[Term]) -> bool {
    terms.windows(2).all(|t| t[0].codes == t[1].codes) && !terms.iter().any(Term::tied)
}

/// Everything a likelihood is a function of, besides its parameters.
#[derive(Clone)]
pub struct Data {
    pub family: Arc<dyn Family>,
    pub y: Vec<f64>,
    pub size: Option<Vec<f64>>,
    pub freq: Option<Vec<f64>>,
    pub predictors: Vec<Predictor>,
    pub terms: Vec<Term>,
    /// How many equal groups each level of the common grouping factor stands for; none: one each.
    pub copies: Option<Vec<f64>>,
    /// Terms of the log density that depend on the responses alone, summed over all the rows that a
    /// row stands for, its group's copies included; none: the family's own.
    pub constants: Option<Vec<f64>>,
}

impl Data {
    pub fn n(&self) -> usize {
        self.y.len()
    }

    pub fn rows(&self, r: std::ops::Range<usize>) -> Rows<'_> {
        Rows { y: &self.y[r.clone()], size: self.size.as_ref().map(|s| &s[r]) }
    }

    pub fn size_at(&self, i: usize) -> f64 {
        self.size.as_ref().map_or(1.0, |s| s[i])
    }

    /// The family that row `i` comes from.
    pub fn family_at(&self, i: usize) -> &dyn Family {
        let code = self.predictors.last().and_then(|p| p.offset.as_ref()).map(|o| o[i]);
        code.and_then(|code| self.family.member(code)).unwrap_or(self.family.as_ref())
    }

    /// The families that rows come from, with their rows.
    pub fn families(&self) -> Vec<(&dyn Family, Vec<usize>)> {
        let members: Vec<&dyn Family> = (0..).map_while(|code| self.family.member(f64::from(code))).collect();
        let codes = self.predictors.last().and_then(|p| p.offset.as_ref()).filter(|_| !members.is_empty());
        let Some(codes) = codes else {
            return vec![(self.family.as_ref(), (0..self.n()).collect())];
        };
        let rows = |m: usize| (0..self.n()).filter(|&i| codes[i] == m as f64).collect::<Vec<usize>>();
        let all = members.into_iter().enumerate().map(|(m, family)| (family, rows(m)));
        all.filter(|(_, rows)| !rows.is_empty()).collect()
    }

    pub fn freq_at(&self, i: usize) -> f64 {
        self.freq.as_ref().map_or(1.0, |w| w[i])
    }

    /// How many equal groups the group of row `i` stands for.
    pub fn copies_at(&self, i: usize) -> f64 {
        self.copies.as_ref().map_or(1.0, |c| c[self.terms[0].codes[i] as usize])
    }

    /// Sum of the frequency weights over all copies of groups: the number of observations.
    pub fn weight(&self) -> f64 {
        if self.freq.is_none() && self.copies.is_none() {
            return self.n() as f64;
        }
        (0..self.n()).map(|i| self.freq_at(i) * self.copies_at(i)).sum()
    }

    /// What the constants of the random effects' prior densities add to the log-likelihood: q log|P| / 2.
    pub fn log_priors(&self) -> f64 {
        let of = |t: &Term| t.prior.as_ref().map_or(0.0, |p| 0.5 * t.effects() as f64 * p.log_determinant());
        self.terms.iter().map(of).sum()
    }

    /// Number of leading predictors that random effects enter.
    pub fn random_predictors(&self) -> usize {
        self.terms.iter().flat_map(|t| &t.predictors).map(|k| k + 1).max().unwrap_or(0)
    }

    /// Sum of the terms of the log density that depend on the responses alone.
    pub fn log_constant(&self) -> f64 {
        if let Some(constants) = &self.constants {
            return constants.iter().sum();
        }
        let constant = |i: usize| self.family_at(i).log_constant(self.y[i], self.size_at(i));
        (0..self.n()).map(|i| self.freq_at(i) * constant(i)).sum()
    }

    /// The given rows, in the given order, without random effects; copies of groups become weights.
    pub fn gather_fixed(&self, rows: &[u32]) -> Data {
        let pick = |v: &Vec<f64>| rows.iter().map(|&i| v[i as usize]).collect::<Vec<f64>>();
        let weigh = |&i: &u32| self.freq_at(i as usize) * self.copies_at(i as usize);
        let weighted = self.freq.is_some() || self.copies.is_some();
        Data {
            family: self.family.clone(),
            y: pick(&self.y),
            size: self.size.as_ref().map(pick),
            freq: weighted.then(|| rows.iter().map(weigh).collect()),
            predictors: self
                .predictors
                .iter()
                .map(|p| Predictor {
                    columns: p.columns.iter().map(|c| c.gather(rows)).collect(),
                    offset: p.offset.as_ref().map(pick),
                    shares: p.shares,
                })
                .collect(),
            terms: Vec::new(),
            copies: None,
            constants: self.constants.as_ref().map(pick),
        }
    }

    /// The given rows, in the given order, with their terms; levels keep their numbers.
    pub fn gather(&self, rows: &[u32]) -> Data {
        let mut data = self.gather_fixed(rows);
        data.freq = self.freq.as_ref().map(|w| rows.iter().map(|&i| w[i as usize]).collect());
        data.copies = self.copies.clone();
        data.terms = self.terms.iter().map(|t| t.gather(rows)).collect();
        data
    }

    pub fn layout(&self) -> Layout {
        Layout::new(self)
    }

    /// Lengths, finiteness and the family's domain, before anything is computed.
    pub fn check(&self) -> Result<(), Error> {
        let n = self.n();
        let optional = [("trials", &self.size), ("frequency weights", &self.freq)];
        for (what, values) in optional {
            if let Some(v) = values {
                same_length(what, v.len(), n)?;
                finite(what, v)?;
            }
        }
        for p in &self.predictors {
            check_columns("fixed-effect column", &p.columns, n)?;
            if let Some(o) = &p.offset {
                same_length("offset", o.len(), n)?;
                finite("offset", o)?;
            }
        }
        for t in &self.terms {
            t.check(n)?;
        }
        // Which family a row is of is one of the offsets.
        self.check_response(&self.y)
    }

    /// Finiteness and domain of responses for these rows.
    pub fn check_response(&self, y: &[f64]) -> Result<(), Error> {
        same_length("response", y.len(), self.n())?;
        finite("response", y)?;
        let refused = |i: usize| self.family_at(i).check(y[i], self.size_at(i)).err();
        let first = match self.family.member(0.0) {
            None => self.family.first_refused(y, self.size.as_deref()),
            Some(_) => (0..y.len()).find_map(|i| refused(i).map(|why| (i, why))),
        };
        match first {
            None => Ok(()),
            Some((row, why)) => Err(Error::Response { row, value: y[row], size: self.size_at(row), why: why.into() }),
        }
    }
}

fn same_length(what: &str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Length { what: what.to_string(), expected, found })
}

fn finite(what: &str, values: &[f64]) -> Result<(), Error> {
    // Whole chunks at a time, which becomes vector code: anything else times zero is not a number.
    let all = |chunk: &[f64]| sums::of(chunk, |v| v * 0.0) == 0.0;
    if values.chunks(CHUNK).all(all) {
        return Ok(());
    }
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::NotFinite { what: what.to_string(), row }),
    }
}

fn check_columns(what: &str, columns: &[Column], n: usize) -> Result<(), Error> {
    for (j, column) in columns.iter().enumerate() {
        if let Column::Values(v) = column {
            let what = format!("{what} {j}");
            same_length(&what, v.len(), n)?;
            finite(&what, v)?;
        }
    }
    Ok(())
}

/// Where each block of parameters stands in psi = (beta of predictor 0, beta of predictor 1, ..., theta by term).
/// Predictors that share their coefficients have the same range.
#[derive(Clone, Debug)]
pub struct Layout {
    pub beta: Vec<std::ops::Range<usize>>,
    pub theta: Vec<std::ops::Range<usize>>,
    pub total: usize,
}

impl Layout {
    fn new(data: &Data) -> Layout {
        let mut at = 0;
        let mut next = |len: usize| {
            at += len;
            at - len..at
        };
        let mut beta: Vec<std::ops::Range<usize>> = Vec::new();
        for p in &data.predictors {
            let range = match p.shares {
                Some(k) => beta[k].clone(),
                None => next(p.columns.len()),
            };
            beta.push(range);
        }
        let theta = data.terms.iter().map(|t| next(t.structure.parameters())).collect();
        Layout { beta, theta, total: at }
    }

    /// Number of fixed-effect parameters of all predictors.
    pub fn fixed(&self) -> usize {
        self.beta.iter().map(|r| r.end).max().unwrap_or(0)
    }
}
