//! What can be wrong with a pattern or with values.

use std::fmt;

/// A pattern that is not the lower triangle of a symmetric matrix by columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SparseError {
    /// `col_ptr` must have `n + 1` entries, start at 0, never decrease, and end at `row_idx.len()`.
    ColumnPointers { n: usize, at: usize },
    /// Every column must begin with its diagonal entry.
    Diagonal { column: usize, first_row: Option<usize> },
    /// Rows must ascend within a column.
    RowOrder { column: usize, previous: usize, row: usize },
    /// Rows must be less than `n`.
    RowRange { column: usize, row: usize, n: usize },
    /// The factor does not fit in memory or in the index type.
    TooLarge { n: usize, nonzeros: usize },
}

impl fmt::Display for SparseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColumnPointers { n, at } => write!(
                f,
                "the column pointers of a sparse matrix with {n} columns are wrong at position \
                 {at}: expected {} values from 0 to the number of entries, none less than the \
                 one before it",
                n + 1
            ),
            Self::Diagonal { column, first_row: Some(row) } => write!(
                f,
                "column {column} of a sparse matrix begins with row {row}: expected its diagonal \
                 entry, row {column}, and rows below it"
            ),
            Self::Diagonal { column, first_row: None } => {
                write!(f, "column {column} of a sparse matrix is empty: expected at least its diagonal entry")
            }
            Self::RowOrder { column, previous, row } => write!(
                f,
                "row {row} follows row {previous} in column {column} of a sparse matrix: expected \
                 rows in ascending order, each once"
            ),
            Self::RowRange { column, row, n } => {
                write!(f, "row {row} in column {column} of a sparse matrix: expected a row less than {n}")
            }
            Self::TooLarge { n, nonzeros } => write!(
                f,
                "a sparse matrix with {n} columns and {nonzeros} entries is too large to be \
                 analysed in the memory there is"
            ),
        }
    }
}

impl std::error::Error for SparseError {}

/// The values are not those of a positive definite matrix, or are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPositiveDefinite {
    /// Column, in the caller's order, at which a pivot was not positive and finite.
    pub column: usize,
}

impl fmt::Display for NotPositiveDefinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a sparse matrix is not positive definite: the pivot of column {} is not a positive \
             finite number",
            self.column
        )
    }
}

impl std::error::Error for NotPositiveDefinite {}
