//! What may be asked of a problem besides its data.

use std::sync::Arc;

use super::path::series;
use super::{Path, memory};
use crate::compress::{Compressed, When, compress};
use crate::control::Control;
use crate::design::Data;
use crate::error::Error;
use crate::integration::Integration;
use crate::objective::crossed::Engine;
use crate::objective::penalty::Penalty;

/// A parameter of a term, by the number of the term and its own, that equals another one or is held at a value; in the
/// user's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tie {
    pub parameter: (usize, usize),
    pub to: Option<(usize, usize)>,
    pub value: f64,
}

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
    /// Parameters of terms that are not estimated for themselves.
    pub ties: Vec<Tie>,
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
            ties: Vec::new(),
            memory: None,
            control: Arc::default(),
        }
    }
}

impl Options {
    /// Whether each term has parameters that are tied, whose effects then keep the user's units.
    pub(super) fn tied_terms(&self, terms: usize) -> Vec<bool> {
        let holds = |t: usize, tie: &Tie| tie.parameter.0 == t || tie.to.is_some_and(|to| to.0 == t);
        (0..terms).map(|t| self.ties.iter().any(|tie| holds(t, tie))).collect()
    }

    /// Ties must be of parameters that there are, and not of ones that are tied themselves.
    pub(super) fn check_ties(&self, data: &Data) -> Result<(), Error> {
        let known = |(t, j): (usize, usize)| data.terms.get(t).is_some_and(|term| j < term.structure.parameters());
        let own = |tie: &Tie| self.ties.iter().filter(|other| other.parameter == tie.parameter).count() == 1;
        let free = |to: (usize, usize)| known(to) && self.ties.iter().all(|other| other.parameter != to);
        let good = |tie: &Tie| known(tie.parameter) && own(tie) && tie.to.is_none_or(free) && tie.value.is_finite();
        match self.ties.iter().all(good) {
            true if self.reml && !self.ties.is_empty() => Err(Error::Degenerate {
                why: "restricted maximum likelihood (reml) knows no parameters that are held or shared".into(),
            }),
            true => Ok(()),
            false => Err(Error::Degenerate {
                why: "a parameter that is held or shared does not exist or is tied twice".into(),
            }),
        }
    }

    /// The data to be fitted, what compression did to them, and the bytes that the whole will take.
    pub(super) fn reduce(&self, data: Data, path: Path) -> Result<(Data, Option<Compressed>, u64), Error> {
        let given = memory::bytes(&data);
        // Draws know each group by itself.
        let groups = path == Path::Block && !series(&data);
        let (data, compressed) = match compress(&data, self.compress, groups, &self.control) {
            Some((smaller, how)) => (smaller, Some(how)),
            None => (data, None),
        };
        let merging = compressed.as_ref().map_or(0, |c| memory::compression(given, c));
        let integrated = if self.reml && path != Path::Lmm { memory::integrated(&data) } else { 0 };
        let needed = memory::within(merging.max(memory::peak(&data, path) + integrated), self.memory)?;
        Ok((data, compressed, needed))
    }
}
