//! What can be wrong with a request to the core. Trouble inside a fit is a diagnostic, not an error.

use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A family, link or structure that is not in its registry.
    Unknown { what: &'static str, name: String, allowed: Vec<String> },
    /// Arrays whose lengths disagree.
    Length { what: String, expected: usize, found: usize },
    /// A response the family cannot produce; `row` counts from zero in the rows given.
    Response { row: usize, value: f64, size: f64, why: String },
    /// A number that is not finite.
    NotFinite { what: String, row: usize },
    /// A problem that has no maximum-likelihood estimate, or none that can be told.
    Degenerate { why: String },
    /// A fit that takes more memory than there is, in bytes.
    Memory { needed: u64, available: u64 },
    /// An engine that was asked for and does not apply.
    Engine { name: &'static str, why: String },
    /// A working correlation that is not positive definite for the rows of a cluster.
    Working { cluster: usize },
    /// The user asked to stop.
    Interrupted,
}

/// Every code, for the documentation and its tests.
pub const CODES: [&str; 9] = [
    "unknown_name",
    "length_mismatch",
    "response_domain",
    "not_finite",
    "degenerate",
    "memory",
    "engine",
    "working",
    "interrupted",
];

impl Error {
    /// A short stable name, one for each kind.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Unknown { .. } => "unknown_name",
            Error::Length { .. } => "length_mismatch",
            Error::Response { .. } => "response_domain",
            Error::NotFinite { .. } => "not_finite",
            Error::Degenerate { .. } => "degenerate",
            Error::Memory { .. } => "memory",
            Error::Engine { .. } => "engine",
            Error::Working { .. } => "working",
            Error::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unknown { what, name, allowed } => {
                write!(f, "unknown {what} {name:?}; available: {}", allowed.join(", "))
            }
            Error::Length { what, expected, found } => {
                write!(f, "{what} has {found} values where {expected} are needed")
            }
            Error::Response { row, value, size, why } if *size != 1.0 => {
                write!(f, "response {value} of {size} trials in row {row}: {why}")
            }
            Error::Response { row, value, why, .. } => {
                write!(f, "response {value} in row {row}: {why}")
            }
            Error::NotFinite { what, row } => write!(f, "{what} is not finite in row {row}"),
            Error::Degenerate { why } => f.write_str(why),
            Error::Memory { needed, available } => {
                let gigabytes = |bytes: u64| bytes as f64 / 1e9;
                write!(
                    f,
                    "the fit takes about {:.1} GB of memory where {:.1} GB are available",
                    gigabytes(*needed),
                    gigabytes(*available)
                )
            }
            Error::Engine { name, why } => write!(f, "engine {name:?} does not apply here: {why}; use engine=\"auto\""),
            Error::Working { cluster } => {
                write!(f, "the working correlation is not positive definite for the rows of cluster {cluster}")
            }
            Error::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}
