//! The table of families.

use super::betabinomial::BetaBinomial;
use super::binomial::Binomial;
use super::gamma::Gamma;
use super::gaussian::Gaussian;
use super::genpois::GenPois;
use super::nbinom::Nbinom;
use super::nbinom1::Nbinom1;
use super::nbinom2::Nbinom2;
use super::poisson::Poisson;
use super::truncated::Truncated;
use super::{Family, Parameter, betabinomial, binomial, gamma, gaussian, genpois, nbinom, nbinom1, nbinom2, poisson};
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
        name: "betabinomial",
        links: betabinomial::LINKS,
        parameters: betabinomial::PARAMETERS,
        trials: true,
        make: |link| Arc::new(BetaBinomial(link)),
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
        name: "genpois",
        links: genpois::LINKS,
        parameters: genpois::PARAMETERS,
        trials: false,
        make: |link| Arc::new(GenPois(link)),
    },
    Entry {
        name: "nbinom",
        links: nbinom::LINKS,
        parameters: nbinom::PARAMETERS,
        trials: false,
        make: |link| Arc::new(Nbinom(link)),
    },
    Entry {
        name: "nbinom1",
        links: nbinom1::LINKS,
        parameters: nbinom1::PARAMETERS,
        trials: false,
        make: |link| Arc::new(Nbinom1(link)),
    },
    Entry {
        name: "nbinom2",
        links: nbinom2::LINKS,
        parameters: nbinom2::PARAMETERS,
        trials: false,
        make: |link| Arc::new(Nbinom2(link)),
    },
    Entry {
        name: "poisson",
        links: poisson::LINKS,
        parameters: &[],
        trials: false,
        make: |link| Arc::new(Poisson(link)),
    },
    Entry {
        name: "truncated_genpois",
        links: genpois::LINKS,
        parameters: genpois::PARAMETERS,
        trials: false,
        make: |link| {
            truncated(
                "truncated_genpois",
                "a truncated_genpois response must be a whole number, 1 or more",
                GenPois(link),
            )
        },
    },
    Entry {
        name: "truncated_nbinom1",
        links: nbinom1::LINKS,
        parameters: nbinom1::PARAMETERS,
        trials: false,
        make: |link| {
            truncated(
                "truncated_nbinom1",
                "a truncated_nbinom1 response must be a whole number, 1 or more",
                Nbinom1(link),
            )
        },
    },
    Entry {
        name: "truncated_nbinom2",
        links: nbinom2::LINKS,
        parameters: nbinom2::PARAMETERS,
        trials: false,
        make: |link| {
            truncated(
                "truncated_nbinom2",
                "a truncated_nbinom2 response must be a whole number, 1 or more",
                Nbinom2(link),
            )
        },
    },
    Entry {
        name: "truncated_poisson",
        links: poisson::LINKS,
        parameters: &[],
        trials: false,
        make: |link| {
            truncated(
                "truncated_poisson",
                "a truncated_poisson response must be a whole number, 1 or more",
                Poisson(link),
            )
        },
    },
];

fn truncated(name: &'static str, message: &'static str, base: impl Family + 'static) -> Arc<dyn Family> {
    Arc::new(Truncated { name, message, base })
}

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
        .links
        .iter()
        .find(|link| link.name() == wanted)
        .ok_or_else(|| unknown("link of this family", wanted, entry.links.iter().map(|link| link.name())))?;
    Ok((entry.make)(*link))
}

fn unknown(what: &'static str, name: &str, allowed: impl Iterator<Item = &'static str>) -> Error {
    let mut allowed: Vec<String> = allowed.map(str::to_owned).collect();
    allowed.sort_unstable();
    Error::Unknown { what, name: name.to_owned(), allowed }
}
