//! The loop over rows, in blocks of lanes that become vector registers.
//!
//! A block is copied to the stack first: the compiler then knows that nothing overlaps, and the last,
//! shorter block takes the same path (padded), so that a row's numbers never depend on its position.

use super::{Derivs, Want};
use crate::special::vectorized;

pub(super) const LANES: usize = 16;

/// What a family computes from one row of `IN` inputs: the log density and its derivatives, in the
/// layout of [`Derivs`]. Components nobody asked for are removed by the compiler.
pub(super) trait Kernel<const IN: usize, const OUT: usize> {
    /// Called before the rows of each block. Costly functions of one input go here, one loop for each:
    /// their long chains of dependent operations then overlap.
    fn prepare(&mut self, _block: &[[f64; LANES]; IN]) {}

    fn row(&self, lane: usize, input: [f64; IN]) -> [f64; OUT];
}

/// Functions of one input that is usually the same in all rows, recomputed when it changes.
pub(super) struct Cache<const N: usize> {
    key: [f64; LANES],
    terms: [[f64; LANES]; N],
}

impl<const N: usize> Cache<N> {
    pub(super) fn new() -> Self {
        Cache { key: [f64::NAN; LANES], terms: [[0.0; LANES]; N] }
    }

    /// Term `k` of all lanes.
    #[inline(always)]
    pub(super) fn term(&self, k: usize) -> &[f64; LANES] {
        &self.terms[k]
    }

    /// All terms of one lane.
    #[inline(always)]
    pub(super) fn at(&self, lane: usize) -> [f64; N] {
        let mut terms = [0.0; N];
        for (term, lanes) in terms.iter_mut().zip(&self.terms) {
            *term = lanes[lane];
        }
        terms
    }

    #[inline(always)]
    pub(super) fn update(&mut self, key: &[f64; LANES], terms: impl Fn(f64) -> [f64; N]) {
        if self.key == *key {
            return;
        }
        self.key = *key;
        if key.iter().all(|k| *k == key[0]) {
            let row = terms(key[0]);
            for (lanes, term) in self.terms.iter_mut().zip(row) {
                *lanes = [term; LANES];
            }
            return;
        }
        for (lane, key) in key.iter().enumerate() {
            for (lanes, term) in self.terms.iter_mut().zip(terms(*key)) {
                lanes[lane] = term;
            }
        }
    }
}

/// Fills components FIRST..LAST of `out`.
#[inline(always)]
fn fill<const IN: usize, const OUT: usize, const FIRST: usize, const LAST: usize, K>(
    mut kernel: K,
    input: [&[f64]; IN],
    out: &mut Derivs,
) where
    K: Kernel<IN, OUT>,
{
    let columns = out.columns::<LAST>();
    for start in (0..input[0].len()).step_by(LANES) {
        // Plain loops: a library function that is not inlined would leave the vector code.
        let mut block = [[0.0; LANES]; IN];
        for k in 0..IN {
            block[k] = load(&input[k][start..]);
        }
        kernel.prepare(&block);
        let mut results = [[0.0; LANES]; LAST];
        for lane in 0..LANES {
            let mut inputs = [0.0; IN];
            for k in 0..IN {
                inputs[k] = block[k][lane];
            }
            let row = kernel.row(lane, inputs);
            for c in FIRST..LAST {
                results[c][lane] = row[c];
            }
        }
        for c in FIRST..LAST {
            store(&results[c], &mut columns[c][start..]);
        }
    }
}

/// The first lanes of a column; a last, shorter block repeats its last row.
#[inline(always)]
fn load(column: &[f64]) -> [f64; LANES] {
    match column.first_chunk() {
        Some(full) => *full,
        None => load_part(column),
    }
}

// Apart and cold: the compiler would otherwise make one copy of variable length, a call, of both cases.
#[cold]
#[inline(never)]
fn load_part(column: &[f64]) -> [f64; LANES] {
    let mut lanes = [column[column.len() - 1]; LANES];
    lanes[..column.len()].copy_from_slice(column);
    lanes
}

#[inline(always)]
fn store(lanes: &[f64; LANES], column: &mut [f64]) {
    match column.first_chunk_mut() {
        Some(full) => *full = *lanes,
        None => store_part(lanes, column),
    }
}

#[cold]
#[inline(never)]
fn store_part(lanes: &[f64; LANES], column: &mut [f64]) {
    column.copy_from_slice(&lanes[..column.len()]);
}

/// Rows with derivatives in one predictor.
pub(super) fn run1<const IN: usize, K: Kernel<IN, 5>>(kernel: K, input: [&[f64]; IN], want: Want, out: &mut Derivs) {
    out.reshape(1, want.order.max(2), input[0].len());
    vectorized(
        #[inline(always)]
        || match (want.order, want.value) {
            (0, _) => fill::<IN, 5, 0, 1, K>(kernel, input, out),
            (..=2, false) => fill::<IN, 5, 1, 3, K>(kernel, input, out),
            (..=2, true) => fill::<IN, 5, 0, 3, K>(kernel, input, out),
            (3, false) => fill::<IN, 5, 1, 4, K>(kernel, input, out),
            (3, true) => fill::<IN, 5, 0, 4, K>(kernel, input, out),
            (_, false) => fill::<IN, 5, 1, 5, K>(kernel, input, out),
            (_, true) => fill::<IN, 5, 0, 5, K>(kernel, input, out),
        },
    )
}

/// Rows with derivatives in two predictors.
pub(super) fn run2<const IN: usize, K: Kernel<IN, 15>>(kernel: K, input: [&[f64]; IN], want: Want, out: &mut Derivs) {
    out.reshape(2, want.order.max(2), input[0].len());
    vectorized(
        #[inline(always)]
        || match (want.order, want.value) {
            (0, _) => fill::<IN, 15, 0, 1, K>(kernel, input, out),
            (..=2, false) => fill::<IN, 15, 1, 6, K>(kernel, input, out),
            (..=2, true) => fill::<IN, 15, 0, 6, K>(kernel, input, out),
            (3, false) => fill::<IN, 15, 1, 10, K>(kernel, input, out),
            (3, true) => fill::<IN, 15, 0, 10, K>(kernel, input, out),
            (_, false) => fill::<IN, 15, 1, 15, K>(kernel, input, out),
            (_, true) => fill::<IN, 15, 0, 15, K>(kernel, input, out),
        },
    )
}
