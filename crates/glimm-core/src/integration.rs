//! How the integral over the random effects is taken, and how wrong the result can be.
//!
//! Random effects that share no row with others form a *unit*, whose integral stands alone: a level of a single
//! grouping factor, a top level of nested ones, a connected block of crossed ones.

use crate::error::Error;

/// Most nodes per random effect that a user may ask for.
pub const MOST_NODES: usize = 201;

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Integration {
    /// The cheapest way whose error, as measured, is below the tolerance.
    #[default]
    Auto,
    Laplace,
    /// Adaptive Gauss-Hermite quadrature with this many nodes per random effect.
    Gauss(usize),
    /// Panels halved until the error is negligible, for every unit.
    Exact,
    /// Importance sampling with this many draws.
    Importance(usize),
    /// Expectation propagation.
    Propagation,
}

impl Integration {
    pub fn lookup(name: &str) -> Result<Integration, Error> {
        let number = |prefix: &str| name.strip_prefix(prefix).and_then(|k| k.parse::<usize>().ok());
        match (name, number("agq:"), number("importance:")) {
            ("auto", ..) => Ok(Integration::Auto),
            ("laplace", ..) => Ok(Integration::Laplace),
            ("exact", ..) => Ok(Integration::Exact),
            ("ep", ..) => Ok(Integration::Propagation),
            (_, Some(k), _) if (1..=MOST_NODES).contains(&k) => Ok(Integration::Gauss(k)),
            (_, _, Some(draws)) if draws >= 2 => Ok(Integration::Importance(draws)),
            _ => Err(Error::Unknown {
                what: "integration",
                name: name.to_string(),
                allowed: vec![
                    "auto".into(),
                    "laplace".into(),
                    format!("agq:k (k nodes per random effect, 1 to {MOST_NODES})"),
                    "exact".into(),
                    "importance:n (n draws, 2 or more)".into(),
                    "ep (expectation propagation)".into(),
                ],
            }),
        }
    }
}

/// How an objective takes the integral of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// A product of k Gauss-Hermite nodes per random effect about the mode, on the scale of its curvature; one node is
    /// Laplace's approximation.
    Gauss(usize),
    /// Nodes by which the log-integral of each unit is known to this error, measured against [`Rule::Reference`].
    Adaptive(f64),
    /// The rule that cannot be fooled: panels of Gauss and Kronrod, halved until the stated error of the log-integral of a
    /// unit is below this; many draws where there are too many effects for panels.
    Reference(f64),
}

/// The nodes that a rule got at one point.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Nodes of every unit (in the order of the objective's own).
    pub counts: Vec<usize>,
    /// Sum over units of the stated errors of their log-integrals; NaN where the rule states none.
    pub error: f64,
}

/// How wrong a fit's integral can be.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// "closed form", "none" (no random effects), "laplace", "quadrature", "importance", "propagation",
    /// "propagation, corrected" or "draws".
    pub method: &'static str,
    /// Units, and how many of them were integrated again by the reference rule.
    pub units: usize,
    pub checked: usize,
    /// Least, median and largest number of nodes (or draws) of a unit.
    pub nodes: [usize; 3],
    /// Estimated error of the log-likelihood at the estimates, in nats: a bound where all units were checked, with
    /// two standard errors where some were.
    pub loglik_error: f64,
    /// What Laplace's approximation adds to the log-likelihood at the estimates.
    pub laplace_error: f64,
    /// Predicted bias of every parameter, in standard errors.
    pub bias: Vec<f64>,
    /// The standard error of that bias where it was measured on a sample or by draws, in standard errors.
    pub bias_se: Vec<f64>,
    /// Least effective sample size of a unit, where draws were used.
    pub effective_size: Option<f64>,
    /// Whether the climb on Laplace's approximation ran away and the fit began again from its start.
    pub runaway: bool,
}
