//! What may be asked of a problem besides its data.

use std::sync::Arc;

use super::{Path, memory};
use crate::compress::{Compressed, When, compress};
use crate::control::Control;
use crate::design::Data;
use crate::error::Error;
use crate::integration::Integration;
use crate::objective::crossed::Engine;
use crate::objective::penalty::Penalty;

/// How a problem is to be treated.
#[derive(Clone, Debug)]
pub struct Options {
    /// Linear algebra for several factors.
    pub engine: Engine,
    /// Linear models by the general path too, with which the closed form agrees to rounding.
    pub laplace: bool,
    pub integration: Integration,
    /// Restricted maximum likelihood, for linear models.
    pub reml: bool,
    pub compress: When,
    /// A prior density, added to the log-likelihood.
    pub penalty: Option<Penalty>,
    /// Bytes that a fit may take; none: no limit.
    pub memory: Option<u64>,
    /// Asked whether to stop while data are compressed.
    pub control: Arc<Control>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            engine: Engine::Auto,
            laplace: false,
            integration: Integration::Auto,
            reml: false,
            compress: When::Pays,
            penalty: None,
            memory: None,
            control: Arc::default(),
        }
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
        let integrated = if self.reml && path != Path::Lmm { memory::integrated(&data) } else { 0 };
        let needed = memory::within(merging.max(memory::peak(&data, path) + integrated), self.memory)?;
        Ok((data, compressed, needed))
    }
}
