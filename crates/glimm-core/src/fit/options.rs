//! What may be asked of a problem besides its data.

use std::sync::Arc;

use super::Path;
use crate::compress::When;
use crate::control::Control;

/// How a problem is to be treated.
#[derive(Clone, Debug)]
pub struct Options {
    /// Overrides the choice between the block and the sparse path, which agree to rounding where both apply.
    pub path: Option<Path>,
    pub compress: When,
    /// Bytes that a fit may take; none: no limit.
    pub memory: Option<u64>,
    /// Asked whether to stop while data are compressed.
    pub control: Arc<Control>,
}

impl Default for Options {
    fn default() -> Options {
        Options { path: None, compress: When::Pays, memory: None, control: Arc::default() }
    }
}
