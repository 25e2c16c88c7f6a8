//! Lossless compression: the likelihood of the compressed data is that of the data given.
//!
//! Rows of one group with equal model matrices and offsets have equal linear predictors whatever the
//! parameters. Exponential families then need their sums of responses alone, other families the number
//! of rows with each response. Groups whose rows are equal after that have equal integrals, so that one
//! stands for all of them.

mod content;
mod groups;
mod rows;

use self::content::Content;
use self::groups::Groups;
use self::rows::{Cells, Runs};
use crate::control::Control;
use crate::design::Data;
use crate::objective::Posterior;
use crate::shuffle;

/// Rows below which a fit is over before compression would pay.
const LEAST_ROWS: usize = 20_000;
/// Part of the groups that tells whether compression pays, at least this many, and rows of one looked at.
const SAMPLE_PART: f64 = 0.01;
const SAMPLE_LEAST: usize = 100;
const SAMPLE_LONGEST: usize = 2_048;
/// Ratio of rows before and after from which it pays.
const PAYS: f64 = 2.0;

/// When to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Pays,
    Always,
    Never,
}

/// What became of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Compressed {
    /// Rows before and after.
    pub rows: [usize; 2],
    /// Rows before equal groups were merged.
    pub cells: usize,
    /// Levels of the common grouping factor before and after, where groups were merged.
    pub groups: Option<[usize; 2]>,
    /// The level that each level given was merged to.
    of_level: Vec<u32>,
}

/// Fewer rows, and groups if `merge_groups` (all terms share one factor), with the same likelihood.
/// None where that does not pay, or when asked to stop.
pub fn compress(data: &Data, when: When, merge_groups: bool, control: &Control) -> Option<(Data, Compressed)> {
    if when == When::Never || excluded(data) || (when == When::Pays && data.n() < LEAST_ROWS) {
        return None;
    }
    if when == When::Pays && ratio(&sample(data), merge_groups, control)? < PAYS {
        return None;
    }
    merge(data, &Runs::new(data), merge_groups, control).filter(|(smaller, _)| smaller.n() < data.n())
}

/// Gaussian responses are served better by sums of squares; weights of zero have no mean.
fn excluded(data: &Data) -> bool {
    data.family.affine() || data.constants.is_some() || data.freq.iter().flatten().any(|w| *w <= 0.0)
}

impl Compressed {
    /// Gives every level the modes and covariances of the level it was merged to.
    pub fn expand(&self, posterior: &mut Posterior) {
        let Some([_, after]) = self.groups else { return };
        let levels = after + usize::from(self.of_level.contains(&(after as u32)));
        for values in posterior.modes.iter_mut().chain(&mut posterior.covariances) {
            let width = values.len() / levels;
            let of = |&g: &u32| &values[g as usize * width..(g as usize + 1) * width];
            *values = self.of_level.iter().flat_map(of).copied().collect();
        }
    }
}

fn merge(data: &Data, runs: &Runs, merge_groups: bool, control: &Control) -> Option<(Data, Compressed)> {
    let content = Content::new(data);
    let mut cells = Cells::new(data, &content, runs, control)?;
    if !merge_groups || data.terms.is_empty() {
        let picks: Vec<usize> = (0..cells.count()).collect();
        let rows = [data.n(), picks.len()];
        return Some((
            smaller(data, &cells, &picks),
            Compressed { rows, cells: rows[1], groups: None, of_level: Vec::new() },
        ));
    }
    let groups = Groups::new(&content, &mut cells);
    let picks: Vec<usize> = groups.level.iter().flat_map(|&l| cells.run(l as usize)).collect();
    let mut merged = smaller(data, &cells, &picks);
    renumber(&mut merged, &groups);
    let present = groups.copies.iter().sum::<f64>() as usize;
    let compressed = Compressed {
        rows: [data.n(), picks.len()],
        cells: cells.count(),
        groups: Some([present, groups.level.len()]),
        of_level: groups.of_level,
    };
    Some((merged, compressed))
}

/// The chosen cells as data; levels keep their numbers.
fn smaller(data: &Data, cells: &Cells, picks: &[usize]) -> Data {
    let rows: Vec<u32> = picks.iter().map(|&k| cells.row[k]).collect();
    let choose = |v: &[f64]| (!v.is_empty()).then(|| picks.iter().map(|&k| v[k]).collect::<Vec<f64>>());
    let mut out = data.gather(&rows);
    out.y = choose(&cells.y).unwrap_or_default();
    out.size = choose(&cells.size);
    out.freq = choose(&cells.freq);
    out.constants = choose(&cells.constants);
    out
}

/// Levels by group. Levels without rows become one more level without rows.
fn renumber(data: &mut Data, groups: &Groups) {
    for term in &mut data.terms {
        term.codes.iter_mut().for_each(|c| *c = groups.of_level[*c as usize]);
        term.levels = groups.level.len() + usize::from(groups.absent);
    }
    let mut copies = groups.copies.clone();
    copies.extend(groups.absent.then_some(0.0));
    data.copies = Some(copies);
}

/// Some of the groups, or of the rows where there are none.
fn sample(data: &Data) -> Data {
    let some = |n: usize| shuffle::sample(n, ((n as f64 * SAMPLE_PART) as usize).max(SAMPLE_LEAST).min(n));
    let Some(term) = data.terms.first() else { return data.gather(&some(data.n())) };
    // How many more rows of each level are looked at.
    let mut more = vec![0usize; term.levels];
    some(term.levels).into_iter().for_each(|level| more[level as usize] = SAMPLE_LONGEST);
    let mut rows = Vec::new();
    for (row, &level) in term.codes.iter().enumerate() {
        let more = &mut more[level as usize];
        if *more > 0 {
            *more -= 1;
            rows.push(row as u32);
        }
    }
    data.gather(&rows)
}

/// How many times fewer rows compression leaves.
fn ratio(data: &Data, merge_groups: bool, control: &Control) -> Option<f64> {
    let (smaller, _) = merge(data, &Runs::new(data), merge_groups, control)?;
    Some(data.n() as f64 / smaller.n().max(1) as f64)
}
