//! Rows of one group with equal content merge to one cell.

use rayon::prelude::*;

use super::content::{Content, Table, bits, mix};
use crate::control::Control;
use crate::design::Data;
use crate::family::{Derivs, Family, Rows, Want};

/// Rows that one task merges: its arrays then stay in the second-level cache.
const CHUNK_ROWS: usize = 4_096;

/// Rows by level of the first grouping factor, one run for each level; without factors one run.
pub struct Runs {
    pub order: Vec<u32>,
    /// Start of each run, and the end of the last. Runs may be empty.
    pub starts: Vec<usize>,
}

impl Runs {
    pub fn new(data: &Data) -> Runs {
        let Some(term) = data.terms.first() else {
            return Runs { order: (0..data.n() as u32).collect(), starts: vec![0, data.n()] };
        };
        let mut starts = vec![0usize; term.levels + 1];
        term.codes.iter().for_each(|&c| starts[c as usize + 1] += 1);
        (0..term.levels).for_each(|l| starts[l + 1] += starts[l]);
        let (mut next, mut order) = (starts.clone(), vec![0u32; data.n()]);
        for (i, &c) in term.codes.iter().enumerate() {
            order[next[c as usize]] = i as u32;
            next[c as usize] += 1;
        }
        Runs { order, starts }
    }

    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn rows(&self, run: usize) -> &[u32] {
        &self.order[self.starts[run]..self.starts[run + 1]]
    }

    /// Consecutive runs of about `CHUNK_ROWS` rows.
    fn chunks(&self) -> Vec<std::ops::Range<usize>> {
        let (mut chunks, mut first) = (Vec::new(), 0);
        for end in 1..=self.count() {
            if self.starts[end] - self.starts[first] >= CHUNK_ROWS || end == self.count() {
                chunks.push(first..end);
                first = end;
            }
        }
        chunks
    }
}

/// Merged rows, run by run.
#[derive(Default)]
pub struct Cells {
    /// A row with the content of each cell.
    pub row: Vec<u32>,
    pub y: Vec<f64>,
    /// Trials; empty where the data have none.
    pub size: Vec<f64>,
    /// Frequency weights; empty where all are one, as in sums over trials.
    pub freq: Vec<f64>,
    /// What the log density of the cell lacks to be the sum over its rows.
    pub constants: Vec<f64>,
    pub hash: Vec<u64>,
    /// End of each run.
    pub ends: Vec<usize>,
}

impl Cells {
    /// Merges the rows of every run. Cells stand in an order that depends on their contents alone.
    /// None when asked to stop.
    pub fn new(data: &Data, content: &Content<'_>, runs: &Runs, control: &Control) -> Option<Cells> {
        let one = |chunk| (!control.stopped()).then(|| merge(data, content, runs, chunk));
        let chunks = runs.chunks();
        let merged: Option<Vec<Cells>> = if chunks.len() > 1 {
            chunks.into_par_iter().map(one).collect()
        } else {
            chunks.into_iter().map(one).collect()
        };
        let merged = merged?;
        let mut all = Cells::with_capacity(merged.iter().map(Cells::count).sum(), runs.count());
        merged.into_iter().for_each(|part| all.append(part));
        Some(all)
    }

    pub fn count(&self) -> usize {
        self.row.len()
    }

    pub fn run(&self, run: usize) -> std::ops::Range<usize> {
        (if run == 0 { 0 } else { self.ends[run - 1] })..self.ends[run]
    }

    fn with_capacity(cells: usize, runs: usize) -> Cells {
        let numbers = || Vec::with_capacity(cells);
        Cells {
            row: Vec::with_capacity(cells),
            y: numbers(),
            size: Vec::new(),
            freq: numbers(),
            constants: numbers(),
            hash: Vec::with_capacity(cells),
            ends: Vec::with_capacity(runs),
        }
    }

    fn append(&mut self, other: Cells) {
        let before = self.count();
        self.row.extend(other.row);
        self.y.extend(other.y);
        self.size.extend(other.size);
        self.freq.extend(other.freq);
        self.constants.extend(other.constants);
        self.hash.extend(other.hash);
        self.ends.extend(other.ends.iter().map(|e| e + before));
    }

    /// A hash of the responses and weights of cell `k`, and of its content.
    pub fn hash_all(&self, k: usize) -> u64 {
        self.numbers(k).iter().fold(self.hash[k], |h, v| mix(h, bits(*v)))
    }

    pub fn same_numbers(&self, a: usize, b: usize) -> bool {
        self.numbers(a).iter().zip(self.numbers(b)).all(|(x, y)| bits(*x) == bits(y))
    }

    fn numbers(&self, k: usize) -> [f64; 3] {
        let or_one = |v: &[f64]| v.get(k).copied().unwrap_or(1.0);
        [self.y[k], or_one(&self.size), or_one(&self.freq)]
    }
}

/// The cells of some runs.
fn merge(data: &Data, content: &Content<'_>, runs: &Runs, chunk: std::ops::Range<usize>) -> Cells {
    let rows = &runs.order[runs.starts[chunk.start]..runs.starts[chunk.end]];
    let hashes: Vec<u64> = rows.iter().map(|&i| content.hash(i as usize)).collect();
    let (mut cells, mut cell_of) = (Cells::default(), vec![0u32; rows.len()]);
    let mut sorter = Sorter { content, table: Table::new(), found: Vec::new(), order: Vec::new(), place: Vec::new() };
    let mut done = 0;
    for run in chunk {
        let at = done..done + runs.rows(run).len();
        done = at.end;
        sorter.find_cells(&rows[at.clone()], &hashes[at.clone()], &mut cell_of[at.clone()]);
        sorter.put_in_order(&mut cells, &mut cell_of[at]);
    }
    sum_responses(data, rows, &cell_of, &mut cells);
    cells.constants = constants(data, rows, &cell_of, &cells);
    cells
}

/// Finds the cells of one run after another.
struct Sorter<'a> {
    content: &'a Content<'a>,
    table: Table,
    /// Hash and first row of each cell of the run, as they come.
    found: Vec<(u64, u32)>,
    order: Vec<u32>,
    place: Vec<u32>,
}

impl Sorter<'_> {
    /// The number of each row's cell, counted as they come.
    fn find_cells(&mut self, rows: &[u32], hashes: &[u64], cell_of: &mut [u32]) {
        self.table.clear(rows.len());
        self.found.clear();
        for ((&row, &hash), cell) in rows.iter().zip(hashes).zip(cell_of) {
            let (new, found) = (self.found.len(), &self.found);
            let same = |k: usize| found[k].0 == hash && self.content.equal(found[k].1 as usize, row as usize);
            let number = self.table.find(hash, new, same);
            *cell = number as u32;
            if number == new {
                self.found.push((hash, row));
            }
        }
    }

    /// Adds the cells found in an order that depends on their contents alone.
    fn put_in_order(&mut self, cells: &mut Cells, cell_of: &mut [u32]) {
        let (before, found) = (cells.count(), &self.found);
        self.order.clear();
        self.order.extend(0..found.len() as u32);
        self.order.sort_unstable_by(|&a, &b| {
            let ((ha, a), (hb, b)) = (found[a as usize], found[b as usize]);
            ha.cmp(&hb).then_with(|| self.content.compare(a as usize, b as usize))
        });
        self.place.resize(found.len(), 0);
        for (to, &from) in self.order.iter().enumerate() {
            self.place[from as usize] = (before + to) as u32;
            cells.hash.push(found[from as usize].0);
            cells.row.push(found[from as usize].1);
        }
        cell_of.iter_mut().for_each(|c| *c = self.place[*c as usize]);
        cells.ends.push(cells.count());
    }
}

/// Exponential families remember sums of responses and trials, as a mean with a weight where there are
/// no trials; others the common response with a weight.
fn sum_responses(data: &Data, rows: &[u32], cell_of: &[u32], cells: &mut Cells) {
    let count = cells.count();
    let (mut y, mut size, mut freq) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
    for (&row, &cell) in rows.iter().zip(cell_of) {
        let (i, c) = (row as usize, cell as usize);
        let weight = data.freq_at(i);
        freq[c] += weight;
        y[c] += weight * data.y[i];
        size[c] += weight * data.size_at(i);
    }
    let at = |v: &[f64]| cells.row.iter().map(|&i| v[i as usize]).collect();
    match (&data.size, data.family.exponential()) {
        (Some(_), true) => (cells.y, cells.size) = (y, size),
        (None, true) => {
            y.iter_mut().zip(&freq).for_each(|(y, w)| *y /= w);
            (cells.y, cells.freq) = (y, freq);
        }
        (trials, false) => {
            cells.size = trials.as_deref().map_or(Vec::new(), at);
            (cells.y, cells.freq) = (at(&data.y), freq);
        }
    }
}

/// What the cells' densities lack to be the sums over their rows. As that depends on the responses
/// alone it can be had at any eta; near the maximum of each cell nothing cancels.
fn constants(data: &Data, rows: &[u32], cell_of: &[u32], cells: &Cells) -> Vec<f64> {
    let mut lacking = vec![0.0; cells.count()];
    let family = data.family.as_ref();
    for (&row, &cell) in rows.iter().zip(cell_of) {
        let i = row as usize;
        lacking[cell as usize] += data.freq_at(i) * data.family_at(i).log_constant(data.y[i], data.size_at(i));
    }
    if !family.exponential() {
        return lacking;
    }
    let sizes = |k: usize| cells.size.get(k).copied().unwrap_or(1.0);
    let eta: Vec<f64> = (0..cells.count()).map(|k| family.start(cells.y[k], sizes(k))).collect();
    let pick = |v: &[f64]| rows.iter().map(|&i| v[i as usize]).collect::<Vec<f64>>();
    let (y, size) = (pick(&data.y), data.size.as_deref().map(pick));
    let eta_of: Vec<f64> = cell_of.iter().map(|&c| eta[c as usize]).collect();
    let of_rows = log_densities(family, Rows { y: &y, size: size.as_deref() }, &eta_of);
    for ((&row, &cell), f) in rows.iter().zip(cell_of).zip(&of_rows) {
        lacking[cell as usize] += data.freq_at(row as usize) * f;
    }
    let size = (!cells.size.is_empty()).then_some(cells.size.as_slice());
    let of_cells = log_densities(family, Rows { y: &cells.y, size }, &eta);
    for (k, (lacking, f)) in lacking.iter_mut().zip(&of_cells).enumerate() {
        *lacking -= cells.freq.get(k).copied().unwrap_or(1.0) * f;
    }
    lacking
}

fn log_densities(family: &dyn Family, rows: Rows<'_>, eta: &[f64]) -> Vec<f64> {
    let mut derivs = Derivs::default();
    derivs.reshape(1, 1, eta.len());
    family.derivs(rows, &[eta], Want { dims: 1, order: 1, value: true }, &mut derivs);
    derivs.value().to_vec()
}
