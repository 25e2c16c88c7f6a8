//! What passes between a supernode `J` with rows `S` and the supernodes that own these rows: what
//! its elimination takes off their columns, and the entries of the inverse on `S`, which stand there.
//!
//! A symmetric matrix over `S` is never held as a whole: [`CHUNK`] of its columns at a time are
//! made and passed on, or fetched and used. Threads share the chunks and columns, whose sums are the
//! same whoever takes them.

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::kernels::{self, Block, BlockMut};
use super::symbolic::{Node, Symbolic};

/// Columns that are treated together: enough for products at full speed, few enough for the cache.
const CHUNK: usize = 64;
/// Chunks that are made at once where threads share them.
const AT_ONCE: usize = 8;
/// Multiplications, and numbers moved, from which sharing is worth its trouble.
const SHARED: usize = 2_000_000;
const MOVED: usize = 100_000;

/// Columns of a matrix over the rows of one supernode, and where rows stand below another.
#[derive(Default)]
pub struct Passage {
    columns: Buffer,
    at: Vec<u32>,
}

impl Passage {
    pub fn reserve(&mut self, symbolic: &Symbolic) {
        self.columns.reserve(Passage::numbers(symbolic));
    }

    /// Numbers of the columns that are held at once.
    pub fn numbers(symbolic: &Symbolic) -> usize {
        let below = symbolic.largest().0;
        below * below.min(CHUNK * AT_ONCE)
    }
}

/// Successive rows of a supernode that are columns of one other.
struct Meeting<'a> {
    owner: &'a Node,
    /// Which rows; and where those end that are columns of the owner, in this chunk or not.
    range: Range<usize>,
    end: usize,
}

/// Some columns of a matrix over all rows, from the row of the first of them down.
struct Chunk<'a> {
    range: Range<usize>,
    columns: BlockMut<'a>,
}

impl Symbolic {
    /// The rows `range` of a supernode by their owners.
    fn meetings<'a>(&'a self, rows: &'a [u32], range: Range<usize>) -> impl Iterator<Item = Meeting<'a>> {
        let mut from = range.start;
        std::iter::from_fn(move || {
            let first = *rows[..range.end].get(from)?;
            let owner = &self.nodes[self.owner[first as usize] as usize];
            let end = from + rows[from..].partition_point(|&row| (row as usize) < owner.end());
            let start = std::mem::replace(&mut from, end.min(range.end));
            Some(Meeting { owner, range: start..from, end })
        })
    }
}

/// The columns `range` of a matrix over `below` rows, in chunks.
fn chunks(below: usize, range: Range<usize>, mut storage: &mut [f64]) -> Vec<Chunk<'_>> {
    let part = |from: usize| {
        let range = from..range.end.min(from + CHUNK);
        let (columns, rest) = std::mem::take(&mut storage).split_at_mut((below - from) * range.len());
        storage = rest;
        Chunk { columns: BlockMut::new(columns, below - from, range.len()), range }
    };
    range.clone().step_by(CHUNK).map(part).collect()
}

/// Whether threads share what a supernode passes. Work outside of a pool is the calling thread's.
fn shared(node: &Node) -> bool {
    node.below * node.below * node.cols >= SHARED
        && rayon::current_thread_index().is_some()
        && rayon::current_num_threads() > 1
}

/// Take a symmetric matrix over the rows of `node` off the panels after it; `make` gives some of
/// its columns, from their first diagonal entry down.
pub fn subtract(
    symbolic: &Symbolic,
    node: &Node,
    later: &mut [f64],
    passage: &mut Passage,
    make: impl Fn(Range<usize>, BlockMut<'_>) + Sync,
) {
    let (rows, shared) = (&symbolic.rows[node.row_range()], shared(node));
    let together = if shared { CHUNK * AT_ONCE } else { CHUNK };
    for from in (0..node.below).step_by(together) {
        let mut made = chunks(node.below, from..node.below.min(from + together), passage.columns.get_mut());
        let fill = |chunk: &mut Chunk<'_>| make(chunk.range.clone(), chunk.columns.reborrow());
        match shared {
            true => made.par_iter_mut().for_each(fill),
            false => made.iter_mut().for_each(fill),
        }
        for chunk in &made {
            for meeting in symbolic.meetings(rows, chunk.range.clone()) {
                locate(&rows[meeting.end..], &symbolic.rows[meeting.owner.row_range()], &mut passage.at);
                let blocks = meeting.owner.split_later_mut(later, node.panel().end);
                meeting.take_off(rows, chunk, &passage.at, blocks, shared);
            }
        }
    }
}

impl Meeting<'_> {
    /// Take the columns of a chunk off those of the owner.
    fn take_off(
        &self,
        rows: &[u32],
        chunk: &Chunk<'_>,
        at: &[u32],
        (mut top, mut bottom): (BlockMut<'_>, BlockMut<'_>),
        shared: bool,
    ) {
        let (owner, from) = (self.owner, chunk.range.start);
        let columns = chunk.columns.as_block();
        let column = |j: usize, top: &mut [f64], bottom: &mut [f64]| {
            let (own, below) = columns.col(j - from)[j - from..].split_at(self.end - j);
            subtract_at(top, &rows[j..self.end], owner.start, own);
            subtract_at(bottom, at, 0, below);
        };
        if !shared || owner.below == 0 || self.range.len() * (rows.len() - from) < MOVED {
            for j in self.range.clone() {
                let to = rows[j] as usize - owner.start;
                column(j, top.col_mut(to), bottom.col_mut(to));
            }
            return;
        }
        let own = &rows[self.range.clone()];
        let both = top.data.par_chunks_exact_mut(owner.cols).zip(bottom.data.par_chunks_exact_mut(owner.below));
        both.enumerate().for_each(|(to, (top, bottom))| {
            if let Ok(k) = own.binary_search(&((owner.start + to) as u32)) {
                column(self.range.start + k, top, bottom);
            }
        });
    }

    /// Fetch the columns of a chunk from those of the owner.
    fn fetch(
        &self,
        rows: &[u32],
        chunk: &mut Chunk<'_>,
        at: &[u32],
        (top, bottom): (Block<'_>, Block<'_>),
        shared: bool,
    ) {
        let (owner, from, n) = (self.owner, chunk.range.start, chunk.columns.rows);
        let column = |(k, to): (usize, &mut [f64])| {
            let j = self.range.start + k;
            let (own, below) = to[j - from..].split_at_mut(self.end - j);
            let place = rows[j] as usize - owner.start;
            take_at(top.col(place), &rows[j..self.end], owner.start, own);
            take_at(bottom.col(place), at, 0, below);
        };
        let columns = &mut chunk.columns.data[(self.range.start - from) * n..(self.range.end - from) * n];
        if shared && columns.len() >= MOVED {
            columns.par_chunks_exact_mut(n).enumerate().for_each(column);
        } else {
            columns.chunks_exact_mut(n).enumerate().for_each(column);
        }
    }
}

/// `D += alpha M B` for the symmetric `M` over the rows of `node` that stands in the panels after it.
pub fn add_product(
    symbolic: &Symbolic,
    node: &Node,
    later: &[f64],
    passage: &mut Passage,
    alpha: f64,
    b: Block<'_>,
    d: BlockMut<'_>,
) {
    let (rows, shared, n) = (&symbolic.rows[node.row_range()], shared(node), node.below);
    for from in (0..n).step_by(CHUNK) {
        for mut chunk in chunks(n, from..n.min(from + CHUNK), passage.columns.get_mut()) {
            for meeting in symbolic.meetings(rows, chunk.range.clone()) {
                locate(&rows[meeting.end..], &symbolic.rows[meeting.owner.row_range()], &mut passage.at);
                let blocks = meeting.owner.split_later(later, node.panel().end);
                meeting.fetch(rows, &mut chunk, &passage.at, blocks, shared);
            }
            let columns = chunk.columns.as_block();
            let some = |(d, b): (&mut [f64], &[f64])| {
                let (cols, d) = (d.len() / n, BlockMut::new(d, n, d.len() / n));
                kernels::add_symmetric(d, alpha, columns, Block::new(b, n, cols), from);
            };
            match shared {
                true => d.data.par_chunks_mut(n * CHUNK).zip(b.data.par_chunks(n * CHUNK)).for_each(some),
                false => d.data.chunks_mut(n * CHUNK).zip(b.data.chunks(n * CHUNK)).for_each(some),
            }
        }
    }
}

/// Indices of `wanted` in `rows`; both ascend and `rows` contains `wanted`.
fn locate(wanted: &[u32], rows: &[u32], index: &mut Vec<u32>) {
    index.clear();
    let mut at = 0;
    for &row in wanted {
        // Nearly always the next one.
        let mut step = 1;
        while rows[at] < row {
            let far = rows.len().min(at + step);
            at += if far < rows.len() && rows[far] <= row { step } else { rows[at..far].partition_point(|&r| r < row) };
            step *= 2;
        }
        debug_assert_eq!(rows[at], row, "the rows above a supernode's are among those of their owner");
        index.push(at as u32);
    }
}

/// If ascending indices have no gaps, their first one.
fn run(index: &[u32]) -> Option<usize> {
    let (first, last) = (*index.first()? as usize, *index.last()? as usize);
    (last - first + 1 == index.len()).then_some(first)
}

/// Entries `index - origin` of `to` lose `from`.
#[inline]
fn subtract_at(to: &mut [f64], index: &[u32], origin: usize, from: &[f64]) {
    if let Some(first) = run(index) {
        for (to, from) in to[first - origin..].iter_mut().zip(from) {
            *to -= from;
        }
    } else {
        for (&i, from) in index.iter().zip(from) {
            to[i as usize - origin] -= from;
        }
    }
}

#[inline]
fn take_at(from: &[f64], index: &[u32], origin: usize, to: &mut [f64]) {
    if let Some(first) = run(index) {
        to.copy_from_slice(&from[first - origin..][..to.len()]);
    } else {
        for (&i, to) in index.iter().zip(to) {
            *to = from[i as usize - origin];
        }
    }
}
