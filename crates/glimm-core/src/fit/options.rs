//! What may be asked of a problem besides its data.

use std::sync::Arc;

use super::{Path, memory};
use crate::compress::{Compressed, When, compress};
use crate::control::Control;
use crate::design::Data;
use crate::error::Error;

/// How a problem is to be treated.
#[derive(Clone, Debug)]
pub struct Options {
    /// Overrides the choice of path: the closed form, the block and the sparse path agree to rounding where they apply.
    pub path: Option<Path>,
    /// Restricted maximum likelihood, for linear models.
    pub reml: bool,
    pub compress: When,
    /// Bytes that a fit may take; none: no limit.
    pub memory: Option<u64>,
    /// Asked whether to stop while data are compressed.
    pub control: Arc<Control>,
}

impl Default for Options {
    fn default() -> Options {
        Options { path: None, reml: false, compress: When::Pays, memory: None, control: Arc::default() }
    }
}

impl Options {
    /// The data to be fitted, what compression did to them, and the bytes that the whole will take.
    pub(super) fn reduce(&self, data: Data, path: Path) -> Result<(Data, Option<Compressed>, u64), Error> {
        let given = memory::bytes(&data);
        let (data, compressed) = match compress(&data, self.compress, path == Path::Block, &self.control) {
            Some((smaller, how)) => (smaller, Some(how)),
            None => (data, None),
        };
        let merging = compressed.as_ref().map_or(0, |c| memory::compression(given, c));
        let needed = memory::within(merging.max(memory::peak(&data, path)), self.memory)?;
        Ok((data, compressed, needed))
    }
}
