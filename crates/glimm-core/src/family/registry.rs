//! The table of families.

use std::sync::Arc;

use super::beta::Beta;
use super::betabinomial::BetaBinomial;
use super::binomial::Binomial;
use super::compois::Compois;
use super::gamma::Gamma;
use super::gaussian::Gaussian;
use super::genpois::GenPois;
use super::inverse_gaussian::InverseGaussian;
use super::lognormal::Lognormal;
use super::nbinom::Nbinom;
use super::nbinom1::Nbinom1;
use super::nbinom2::Nbinom2;
use super::ordbeta::Ordbeta;
use super::ordinal::Ordinal;
use super::poisson::Poisson;
use super::skewnormal::Skewnormal;
use super::student_t::StudentT;
use super::truncated::Truncated;
use super::tweedie::Tweedie;
use super::{
    Family, Parameter, beta, betabinomial, binomial, compois, gamma, gaussian, genpois, inverse_gaussian, lognormal,
    nbinom, nbinom1, nbinom2, ordbeta, ordinal, poisson, skewnormal, student_t, tweedie,
};
use crate::error::Error;
use crate::link::Link;

/// What is known of a family before it is made.
pub struct Entry {
    pub name: &'static str,
    /// Links it is written for, the default first.
    pub links: &'static [Link],
    /// Parameters besides the mean.
    pub parameters: &'static [Parameter],
    /// True when a response counts successes out of a number of trials.
    pub trials: bool,
    /// True when a response is one of several ordered classes.
    pub ordered: bool,
    make: fn(Link) -> Arc<dyn Family>,
}

/// All families, by name.
pub const REGISTRY: &[Entry] = &[
    row("beta", beta::LINKS, beta::PARAMETERS, |link| Arc::new(Beta(link))),
    row("betabinomial", betabinomial::LINKS, betabinomial::PARAMETERS, |link| Arc::new(BetaBinomial(link))).of_trials(),
    row("binomial", binomial::LINKS, &[], |link| Arc::new(Binomial(link))).of_trials(),
    row("compois", compois::LINKS, compois::PARAMETERS, |link| Arc::new(Compois(link))),
    row("gamma", gamma::LINKS, gamma::PARAMETERS, |link| Arc::new(Gamma(link))),
    row("gaussian", gaussian::LINKS, gaussian::PARAMETERS, |link| Arc::new(Gaussian(link))),
    row("genpois", genpois::LINKS, genpois::PARAMETERS, |link| Arc::new(GenPois(link))),
    row("inverse_gaussian", inverse_gaussian::LINKS, inverse_gaussian::PARAMETERS, |link| {
        Arc::new(InverseGaussian(link))
    }),
    row("lognormal", lognormal::LINKS, lognormal::PARAMETERS, |_| Arc::new(Lognormal)),
    row("nbinom", nbinom::LINKS, nbinom::PARAMETERS, |link| Arc::new(Nbinom(link))),
    row("nbinom1", nbinom1::LINKS, nbinom1::PARAMETERS, |link| Arc::new(Nbinom1(link))),
    row("nbinom2", nbinom2::LINKS, nbinom2::PARAMETERS, |link| Arc::new(Nbinom2(link))),
    row("ordbeta", ordbeta::LINKS, ordbeta::PARAMETERS, |_| Arc::new(Ordbeta)),
    row("ordinal", ordinal::LINKS, &[], |link| Arc::new(Ordinal(link))).of_classes(),
    row("poisson", poisson::LINKS, &[], |link| Arc::new(Poisson(link))),
    row("skewnormal", skewnormal::LINKS, skewnormal::PARAMETERS, |_| Arc::new(Skewnormal)),
    row("student_t", student_t::LINKS, student_t::PARAMETERS, |link| Arc::new(StudentT(link))),
    row("truncated_compois", compois::LINKS, compois::PARAMETERS, |link| {
        truncated("truncated_compois", "a truncated_compois response must be a whole number, 1 or more", Compois(link))
    }),
    row("truncated_genpois", genpois::LINKS, genpois::PARAMETERS, |link| {
        truncated("truncated_genpois", "a truncated_genpois response must be a whole number, 1 or more", GenPois(link))
    }),
    row("truncated_nbinom1", nbinom1::LINKS, nbinom1::PARAMETERS, |link| {
        truncated("truncated_nbinom1", "a truncated_nbinom1 response must be a whole number, 1 or more", Nbinom1(link))
    }),
    row("truncated_nbinom2", nbinom2::LINKS, nbinom2::PARAMETERS, |link| {
        truncated("truncated_nbinom2", "a truncated_nbinom2 response must be a whole number, 1 or more", Nbinom2(link))
    }),
    row("truncated_poisson", LOG, &[], |link| {
        truncated("truncated_poisson", "a truncated_poisson response must be a whole number, 1 or more", Poisson(link))
    }),
    row("tweedie", tweedie::LINKS, tweedie::PARAMETERS, |_| Arc::new(Tweedie)),
];

const LOG: &[Link] = &[Link::Log];

const fn row(
    name: &'static str,
    links: &'static [Link],
    parameters: &'static [Parameter],
    make: fn(Link) -> Arc<dyn Family>,
) -> Entry {
    Entry { name, links, parameters, trials: false, ordered: false, make }
}

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
        .link(wanted)
        .ok_or_else(|| unknown("link of this family", wanted, entry.links.iter().map(|link| link.name())))?;
    Ok((entry.make)(link))
}

impl Entry {
    const fn of_trials(mut self) -> Entry {
        self.trials = true;
        self
    }

    const fn of_classes(mut self) -> Entry {
        self.ordered = true;
        self
    }

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
