//! Data that have no maximum-likelihood estimate, and integrals that are not taken as asked.

use crate::design::Data;
use crate::error::Error;

/// The model reproduces the response, so that its likelihood has no bound.
pub fn perfect() -> Error {
    Error::Degenerate {
        why: "the model reproduces the response exactly, so that there is no residual variation".into(),
    }
}

/// A response that never varies has no finite estimates worth the name.
pub fn refuse_constant(data: &Data) -> Result<(), Error> {
    let value = |i: usize| data.y[i] / data.size_at(i);
    let same = (1..data.n()).all(|i| value(i) == value(0));
    let offset_varies = data.predictors[0].offset.as_ref().is_some_and(|o| o.iter().any(|x| *x != o[0]));
    if data.n() == 0 {
        return Err(Error::Degenerate { why: "there are no rows".into() });
    }
    if same && (!offset_varies || value(0) == 0.0) {
        return Err(Error::Degenerate {
            why: format!("the response is {} in every row; nothing can be estimated from it", value(0)),
        });
    }
    Ok(())
}

/// Products of nodes are for the few effects of a single factor's levels.
pub fn refuse_quadrature() -> Error {
    let why = "quadrature is for one grouping factor or nested ones, of independent levels, and at most 4 effects of a \
               structure such as ar1 in a group; with others, ask for \"auto\", \"laplace\", \"ep\" or \"importance:n\"";
    Error::Degenerate { why: why.into() }
}

/// Units of effects that share no row are drawn one after another; a relation joins them.
pub fn refuse_draws() -> Error {
    let why = "importance sampling is for independent levels, one for each row; with a known relation or several levels \
               for each row, ask for \"auto\", \"ep\" or \"laplace\"";
    Error::Degenerate { why: why.into() }
}

/// Each row is exchanged in its one linear predictor, and the rounds must end.
pub fn refuse_propagation() -> Error {
    let why = "expectation propagation is for random effects in one linear predictor of a family whose log density is \
               concave, or nearly, in it, and did not settle here; ask for \"auto\" or \"laplace\"";
    Error::Degenerate { why: why.into() }
}
