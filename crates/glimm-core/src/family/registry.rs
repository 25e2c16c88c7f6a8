//! The table of families.

use super::beta::Beta;
use super::binomial::Binomial;
use super::gamma::Gamma;
use super::gaussian::Gaussian;
use super::inverse_gaussian::InverseGaussian;
use super::lognormal::Lognormal;
use super::nbinom2::Nbinom2;
use super::ordbeta::Ordbeta;
use super::poisson::Poisson;
use super::skewnormal::Skewnormal;
use super::student_t::StudentT;
use super::tweedie::Tweedie;
use super::{
    Family, Parameter, beta, binomial, gamma, gaussian, inverse_gaussian, lognormal, nbinom2, ordbeta, poisson,
    skewnormal, student_t, tweedie,
};
use crate::error::Error;
use crate::link::Link;
use std::sync::Arc;

/// What is known of a family before it is made.
pub struct Entry {
    pub name: &'static str,
    /// Links it is written for, the default first.
    pub links: &'static [Link],
    /// Parameters besides the mean.
    pub parameters: &'static [Parameter],
    /// True when a response counts successes out of a number of trials.
    pub trials: bool,
    make: fn(Link) -> Arc<dyn Family>,
}

/// All families, by name.
pub const REGISTRY: &[Entry] = &[
    Entry {
        name: "beta",
        links: beta::LINKS,
        parameters: beta::PARAMETERS,
        trials: false,
        make: |link| Arc::new(Beta(link)),
    },
    Entry {
        name: "binomial",
        links: binomial::LINKS,
        parameters: &[],
        trials: true,
        make: |link| Arc::new(Binomial(link)),
    },
    Entry {
        name: "gamma",
        links: gamma::LINKS,
        parameters: gamma::PARAMETERS,
        trials: false,
        make: |link| Arc::new(Gamma(link)),
    },
    Entry {
        name: "gaussian",
        links: gaussian::LINKS,
        parameters: gaussian::PARAMETERS,
        trials: false,
        make: |link| Arc::new(Gaussian(link)),
    },
    Entry {
        name: "inverse_gaussian",
        links: inverse_gaussian::LINKS,
        parameters: inverse_gaussian::PARAMETERS,
        trials: false,
        make: |link| Arc::new(InverseGaussian(link)),
    },
    Entry {
        name: "lognormal",
        links: lognormal::LINKS,
        parameters: lognormal::PARAMETERS,
        trials: false,
        make: |_| Arc::new(Lognormal),
    },
    Entry {
        name: "nbinom2",
        links: nbinom2::LINKS,
        parameters: nbinom2::PARAMETERS,
        trials: false,
        make: |link| Arc::new(Nbinom2(link)),
    },
    Entry {
        name: "ordbeta",
        links: ordbeta::LINKS,
        parameters: ordbeta::PARAMETERS,
        trials: false,
        make: |_| Arc::new(Ordbeta),
    },
    Entry {
        name: "poisson",
        links: poisson::LINKS,
        parameters: &[],
        trials: false,
        make: |link| Arc::new(Poisson(link)),
    },
    Entry {
        name: "skewnormal",
        links: skewnormal::LINKS,
        parameters: skewnormal::PARAMETERS,
        trials: false,
        make: |_| Arc::new(Skewnormal),
    },
    Entry {
        name: "student_t",
        links: student_t::LINKS,
        parameters: student_t::PARAMETERS,
        trials: false,
        make: |link| Arc::new(StudentT(link)),
    },
    Entry {
        name: "tweedie",
        links: tweedie::LINKS,
        parameters: tweedie::PARAMETERS,
        trials: false,
        make: |_| Arc::new(Tweedie),
    },
];

/// All families, sorted by name.
pub fn families() -> &'static [Entry] {
    REGISTRY
}

/// The family of this name with this link (its default link for `None`).
pub fn lookup(name: &str, link: Option<&str>) -> Result<Arc<dyn Family>, Error> {
    let entry = REGISTRY.iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| unknown("family", name, REGISTRY.iter().map(|entry| entry.name)))?;
    let Some(wanted) = link else {
        return Ok((entry.make)(entry.links[0]));
    };
    let link = entry
        .link(wanted)
        .ok_or_else(|| unknown("link of this family", wanted, entry.links.iter().map(|link| link.name())))?;
    Ok((entry.make)(link))
}

impl Entry {
    /// The link of this name; a power among the links stands for all powers.
    fn link(&self, name: &str) -> Option<Link> {
        let wanted = Link::parse(name)?;
        let power = |link: &Link| matches!(link, Link::Power(_));
        let fits = |link: &Link| *link == wanted || (power(link) && power(&wanted));
        self.links.iter().any(fits).then_some(wanted)
    }
}

fn unknown<T: Into<String>>(what: &'static str, name: &str, allowed: impl Iterator<Item = T>) -> Error {
    let mut allowed: Vec<String> = allowed.map(T::into).collect();
    allowed.sort_unstable();
    Error::Unknown { what, name: name.to_owned(), allowed }
}
