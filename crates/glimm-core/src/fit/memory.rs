//! How much memory a fit takes, before it is taken.

use std::sync::Arc;

use super::Path;
use crate::compress::Compressed;
use crate::design::{Column, Data, Term};
use crate::error::Error;
use crate::objective::block::Block;
use crate::precision::Precision;

const NUMBER: u64 = 8;
const CODE: u64 = 4;
/// A cell of the compression: its row, its hash, response, weight and constant.
const CELL: u64 = CODE + 4 * NUMBER;
/// Numbers for each row that the sparse path works with: linear predictors, derivatives to fourth
/// order in one predictor and in two, three, four, variances, residuals.
const WORK: [u64; 4] = [24, 48, 80, 130];

/// Matrices that an exact Hessian of crossed effects works with.
const MATRICES: u64 = 12;

/// Bytes at the peak of a fit: the data in standard units, which the engine for one factor takes over column by
/// column and others copy; the modes with their tangents and covariances. Crossed effects add the factor of their
/// matrix, whose size shows only once it is ordered (`Engine::storage`).
pub fn peak(data: &Data, path: Path) -> u64 {
    let (n, parameters) = (data.n() as u64, data.layout().total as u64);
    let rows = match path {
        // One column twice, weights, and where every row stands; ones beside them where there is little else.
        Path::Glm => bytes(data) + n * (3 * NUMBER + CODE),
        Path::Block => bytes(data) + n * (2 * NUMBER + CODE),
        Path::Lmm => 2 * bytes(data) + n * (NUMBER + CODE),
        Path::Dense | Path::Sparse | Path::Iterative => 2 * bytes(data) + NUMBER * n,
    };
    let effects: u64 = data.terms.iter().map(|t| (t.levels * t.effects()) as u64).sum();
    match path {
        Path::Glm => rows,
        Path::Block => {
            let q: u64 = data.terms.iter().map(|t| t.effects() as u64).sum();
            let tangents = (effects * parameters).min(4 * n);
            // Chains keep two numbers for every effect until covariances are reported.
            let kept = if Block::chains(data) { 2 } else { q };
            // Modes twice, tangents twice, covariances as evaluated, kept, and reported with the modes.
            rows + NUMBER * (2 * effects + 2 * tangents + 2 * effects * kept + effects * q + effects)
        }
        Path::Lmm => {
            // Z'Z, Z'X and Z'y as summed, as worked on, and their inverses and products.
            let widest: u64 = data.terms.iter().map(|t| t.effects() as u64).sum();
            let columns = data.predictors[0].columns.len() as u64;
            rows + NUMBER * 3 * effects * (widest + columns + 1) + tied(data)
        }
        Path::Dense | Path::Sparse | Path::Iterative => {
            let work = WORK[data.predictors.len().min(WORK.len()) - 1] * n;
            rows + NUMBER * (work + 2 * effects * parameters + 4 * effects) + tied(data)
        }
    }
}

/// Bytes of the matrices in which levels that a known relation joins meet, and of the relation's factor.
fn tied(data: &Data) -> u64 {
    let of_term = |t: &Term| {
        let of_prior =
            |p: &Arc<Precision>| NUMBER * MATRICES * (p.entries().count() * t.effects().pow(2)) as u64 + p.bytes();
        t.prior.as_ref().map_or(0, of_prior)
    };
    data.terms.iter().map(of_term).sum()
}

/// Bytes of the matrices in which every effect meets all coefficients of the mean.
pub fn integrated(data: &Data) -> u64 {
    let effects: u64 = data.terms.iter().map(|t| (t.levels * t.effects()) as u64).sum();
    NUMBER * MATRICES * effects * data.predictors[0].columns.len() as u64
}

/// Bytes of the arrays of `data`.
pub fn bytes(data: &Data) -> u64 {
    let n = data.n() as u64;
    let columns = data.predictors.iter().flat_map(|p| &p.columns).chain(data.terms.iter().flat_map(|t| &t.columns));
    let stored = columns.filter(|c| matches!(c, Column::Values(_))).count();
    let offsets = data.predictors.iter().filter(|p| p.offset.is_some()).count();
    let others = [&data.size, &data.freq, &data.constants].into_iter().flatten().count();
    n * (NUMBER * (1 + stored + offsets + others) as u64 + CODE * data.terms.len() as u64)
}

/// Bytes at the peak of a compression of `given` bytes of data: their order and their cells, gathered
/// by task and then together.
pub fn compression(given: u64, compressed: &Compressed) -> u64 {
    given + CODE * compressed.rows[0] as u64 + 2 * CELL * compressed.cells as u64
}

/// `needed`, or an error when it is more than `limit` bytes.
pub fn within(needed: u64, limit: Option<u64>) -> Result<u64, Error> {
    match limit {
        Some(available) if needed > available => Err(Error::Memory { needed, available }),
        _ => Ok(needed),
    }
}
