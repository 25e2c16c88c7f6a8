//! Rows of several families in one model: the last predictor of a row is the number of its family, which is known.
//!
//! Predictor 0 is the mean on the scale of the row's own link, predictor 1 the logarithm of the parameter that its
//! family has besides (none: it does not matter there; left out where no family has one). All derivatives in the
//! last predictor are zero.

use std::sync::Arc;

use super::derivs::{component_count, places};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::error::Error;
use crate::link::Link;

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "dispersion",
    meaning: "the parameter that the family of the row has besides the mean",
    scale: Scale::Log,
    dispersion: true,
    precision: 0.0,
}];

pub struct Mixed {
    members: Vec<Arc<dyn Family>>,
    parameters: &'static [Parameter],
}

impl Mixed {
    /// # Errors
    /// [`Error::Unknown`] for a family that has more than one parameter besides the mean, one that is not on the log
    /// scale, classes, or zeros of its own.
    pub fn new(members: Vec<Arc<dyn Family>>) -> Result<Mixed, Error> {
        for member in &members {
            let simple = matches!(member.parameters(), [] | [Parameter { scale: Scale::Log, .. }]);
            if !simple || member.ordered() || member.zero_inflated() || member.member(0.0).is_some() {
                return Err(Error::Unknown {
                    what: "family among several",
                    name: member.name().to_owned(),
                    allowed: vec!["families with at most one parameter besides the mean".to_owned()],
                });
            }
        }
        let any = members.iter().any(|member| !member.parameters().is_empty());
        Ok(Mixed { members, parameters: if any { PARAMETERS } else { &[] } })
    }

    /// Numbers that were averaged over equal rows are off by rounding.
    fn place(&self, code: f64) -> usize {
        (code.round() as usize).min(self.members.len() - 1)
    }

    /// The family of a row, and its own predictors.
    fn own<'e>(&self, eta: &'e [f64]) -> (&dyn Family, &'e [f64]) {
        let member = self.members[self.place(eta[self.predictors() - 1])].as_ref();
        (member, &eta[..member.predictors()])
    }
}

/// Some of the rows, one after another.
struct Gathered {
    y: Vec<f64>,
    size: Option<Vec<f64>>,
    eta: Vec<Vec<f64>>,
}

impl Gathered {
    fn new(rows: Rows<'_>, eta: &[&[f64]], places: &[usize]) -> Gathered {
        let pick = |v: &[f64]| places.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        Gathered { y: pick(rows.y), size: rows.size.map(pick), eta: eta.iter().map(|e| pick(e)).collect() }
    }

    fn derivs(&self, family: &dyn Family, want: Want) -> Derivs {
        let (mut out, eta) = (Derivs::default(), self.eta.iter().map(Vec::as_slice).collect::<Vec<&[f64]>>());
        family.derivs(Rows { y: &self.y, size: self.size.as_deref() }, &eta, want, &mut out);
        out
    }
}

impl Family for Mixed {
    fn price(&self) -> f64 {
        1.0 + self.members.iter().map(|member| member.price()).fold(0.0, f64::max)
    }

    fn name(&self) -> &'static str {
        "mixed"
    }

    /// One without units, as responses with units are brought to standard ones.
    fn link(&self) -> Link {
        self.members.iter().map(|member| member.link()).find(|link| !link.in_units()).unwrap_or(Link::Identity)
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    fn predictors(&self) -> usize {
        2 + self.parameters.len()
    }

    fn member(&self, code: f64) -> Option<&dyn Family> {
        self.members.get(code.round() as usize).map(AsRef::as_ref)
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let n = rows.y.len();
        out.reshape(want.dims, want.order, n);
        let components: usize = (0..=want.order).map(|o| component_count(want.dims, o)).sum();
        (0..components).for_each(|c| out.component_mut(c).fill(0.0));
        let codes = eta[self.predictors() - 1];
        for (m, member) in self.members.iter().enumerate() {
            let found: Vec<usize> = (0..n).filter(|&i| self.place(codes[i]) == m).collect();
            if found.is_empty() {
                continue;
            }
            let dims = want.dims.min(member.predictors());
            let own = Gathered::new(rows, &eta[..member.predictors()], &found);
            let own = own.derivs(member.as_ref(), Want { dims, ..want });
            for (c, place) in places(dims, want.dims, want.order).into_iter().enumerate() {
                let to = out.component_mut(place);
                found.iter().zip(own.component(c)).for_each(|(&i, d)| to[i] = *d);
            }
        }
    }

    /// That of a row is its member's.
    fn log_constant(&self, _y: f64, _size: f64) -> f64 {
        f64::NAN
    }

    fn concordance(&self) -> Option<f64> {
        self.members.iter().map(|member| member.concordance()).try_fold(0.0, |most: f64, m| Some(most.max(m?)))
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        let (member, own) = self.own(eta);
        member.mean(own)
    }

    fn variance(&self, eta: &[f64], size: f64) -> f64 {
        let (member, own) = self.own(eta);
        member.variance(own, size)
    }

    fn cdf(&self, y: f64, size: f64, eta: &[f64]) -> (f64, f64) {
        let (member, own) = self.own(eta);
        member.cdf(y, size, own)
    }

    fn draw(&self, rng: &mut Random, size: f64, eta: &[f64]) -> f64 {
        let (member, own) = self.own(eta);
        member.draw(rng, size, own)
    }

    /// Whether any member can have this response.
    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        let any = self.members.iter().any(|member| member.check(y, size).is_ok());
        if any { Ok(()) } else { Err("a response must be one that the family of its row can have") }
    }

    /// That of a row is its member's.
    fn start(&self, _y: f64, _size: f64) -> f64 {
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::lookup;

    fn members() -> Vec<Arc<dyn Family>> {
        ["gaussian", "poisson", "nbinom2", "binomial"].into_iter().map(|name| lookup(name, None).unwrap()).collect()
    }

    /// Rows have the derivatives of their own family, in whatever order they stand, and none in the number of it.
    #[test]
    fn rows_are_those_of_their_family() {
        let mixed = Mixed::new(members()).unwrap();
        let (y, size) = ([1.5, 2.0, 4.0, 1.0, 0.0, -0.7, 3.0], [1.0, 1.0, 1.0, 3.0, 1.0, 1.0, 1.0]);
        let (mean, spread) = ([0.3, 0.5, 1.2, -0.4, 0.1, -1.0, 2.0], [0.2, 0.9, 0.4, 0.0, -0.3, 0.6, 1.1]);
        let codes = [0.0, 1.0, 2.0, 3.0, 1.0, 0.0, 2.0];
        for (dims, order) in [(1, 2), (2, 2), (3, 4), (3, 1), (2, 3)] {
            let want = Want { dims, order, value: true };
            let mut out = Derivs::default();
            mixed.derivs(Rows { y: &y, size: Some(&size) }, &[&mean, &spread, &codes], want, &mut out);
            for i in 0..y.len() {
                let member = mixed.member(codes[i]).unwrap();
                let own = dims.min(member.predictors());
                let mut alone = Derivs::default();
                let rows = Rows { y: &y[i..=i], size: Some(&size[i..=i]) };
                member.derivs(rows, &[&mean[i..=i], &spread[i..=i]], Want { dims: own, ..want }, &mut alone);
                let mut expected: Vec<f64> = vec![0.0; (0..=order).map(|o| component_count(dims, o)).sum()];
                for (c, place) in places(own, dims, order).into_iter().enumerate() {
                    expected[place] = alone.component(c)[0];
                }
                let found: Vec<f64> = (0..expected.len()).map(|c| out.component(c)[i]).collect();
                assert_eq!(found, expected, "{dims} {order} {i}");
            }
        }
    }

    #[test]
    fn families_with_more_parameters_are_refused() {
        for name in ["ordinal", "student_t", "tweedie"] {
            let refused = Mixed::new(vec![lookup("poisson", None).unwrap(), lookup(name, None).unwrap()]);
            assert!(refused.is_err_and(|error| error.to_string().contains(name)));
        }
    }
}
