//! Rows sorted by group, cut into chunks.

use std::ops::Range;

use super::CHUNK_ROWS;

/// A stable order of rows by code, the start of each non-empty group, its level, and the number of levels.
pub fn sort_by_group(codes: &[u32], levels: usize) -> (Vec<u32>, Vec<usize>, Vec<u32>, usize) {
    let mut counts = vec![0usize; levels + 1];
    codes.iter().for_each(|&c| counts[c as usize + 1] += 1);
    for l in 0..levels {
        counts[l + 1] += counts[l];
    }
    let mut next = counts.clone();
    let mut order = vec![0u32; codes.len()];
    for (i, &c) in codes.iter().enumerate() {
        order[next[c as usize]] = i as u32;
        next[c as usize] += 1;
    }
    let level: Vec<u32> = (0..levels).filter(|&l| counts[l + 1] > counts[l]).map(|l| l as u32).collect();
    let starts = level.iter().map(|&l| counts[l as usize]).chain([codes.len()]).collect();
    (order, starts, level, levels)
}

/// Consecutive groups of about `CHUNK_ROWS` rows.
pub fn cut(starts: &[usize]) -> Vec<Range<usize>> {
    let (mut chunks, mut first) = (Vec::new(), 0);
    for g in 1..starts.len() {
        if starts[g] - starts[first] >= CHUNK_ROWS || g + 1 == starts.len() {
            chunks.push(first..g);
            first = g;
        }
    }
    chunks
}

/// Copies a small square matrix onto the diagonal of a larger one.
pub fn place(small: &[f64], size: usize, first: usize, q: usize, out: &mut [f64]) {
    for i in 0..size {
        for j in 0..size {
            out[(first + i) * q + first + j] = small[i * size + j];
        }
    }
}
