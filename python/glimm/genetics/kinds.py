"""What the family of a trait's rows means for its variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..effects.shares import LATENT
from ..errors import FitError, listed
from ..mixed import FamilyBy
from .parts import Trait

if TYPE_CHECKING:
    from ..fit import Fit


@dataclass(frozen=True, slots=True)
class Kind:
    """The family of a trait.

    Parameters
    ----------
    family : str
    plain : bool
        Whether the linear predictor is the expected response, so that there is one scale.
    liability : float, optional
        The variance of the link, where responses are of two or of ordered classes.
    has_response : bool
        Whether responses have a mean.
    trials : bool
    """

    family: str
    plain: bool
    liability: float | None
    has_response: bool
    trials: bool


def kind_of(fit: Fit, trait: Trait) -> Kind:
    """Return the family of a trait.

    Raises
    ------
    FitError
        When rows of several families share the effect, so that there is no one scale.
    """
    family, link = fit.model.family, fit.model.link
    if isinstance(family, FamilyBy):
        codes = fit.design.parts[-1].offset
        assert codes is not None
        seen = np.unique(codes[trait.rows]).astype(int).tolist()
        if len(seen) > 1:
            names = listed([family.members[code].level for code in seen])
            message = (
                f"the heritable effects are shared by rows of several families ({names}), whose "
                f"variances are on different scales; write (0 + {family.column} | ...) for an "
                f"effect of each {family.column}"
            )
            raise FitError(message, code="no_heritability")
        family, link = family.members[seen[0]].family, family.members[seen[0]].link
    binary = family.ordered or family.trials
    return Kind(
        family.name,
        link == "identity" and not family.ordered,
        LATENT.get(link) if binary else None,
        not family.ordered,
        family.trials,
    )
