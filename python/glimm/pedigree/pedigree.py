"""Pedigrees: additive relationships, inbreeding, groups of founders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..data import Kind, Level, frame_like
from ..errors import DataError, listed, nearest_first
from ..relations import Relation
from ..tables import Facts, Printed
from .records import Records, read_records

if TYPE_CHECKING:
    from .dominance import Dominance

Array = NDArray[np.float64]
Places = NDArray[np.int64]

MOST_DENSE = 20_000
"""Animals up to which a dense matrix of relationships is made."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Pedigree(Relation, Printed):
    """Who descends from whom: ``(1 | animal, pedigree=ped)``.

    Breeding values a ~ N(0, A V_A) with A the additive relationships. Its inverse is as sparse as
    the pedigree (Henderson 1976) and takes account of inbreeding (Meuwissen and Luo 1992).

    Parameters
    ----------
    data : frame, optional
        One record per animal, in any order. Without it `animal`, `sire` and `dam` are arrays.
    animal, sire, dam : str or array_like, (n,)
        Columns (or values): text or whole numbers. Missing parents are unknown; parents without a
        record of their own are added as founders.
    unknown : str or int, optional
        A further value that stands for an unknown parent, such as 0.
    groups : sequence, optional
        Genetic groups (Quaas 1988): values of `sire` and `dam` that are no animals but the
        populations from which unknown parents come.
    group_variance : float, optional
        With it groups are random: levels of their own, independent, with this multiple of V_A as
        variance, so that the effect of an animal has that of its groups in it. Without it they
        enter as fixed effects: see `group_contributions`.
    selfing : bool
        Whether an animal may be both sire and dam, of one animal even.

    Attributes
    ----------
    animals : tuple
        Parents before their offspring, else in the order given.
    labels : tuple
        Levels: groups if they are random, then animals.
    inbreeding, mendelian : ndarray, (n,)
        Of each animal: F, and the variance of its Mendelian sample in units of V_A.
    generation : ndarray of int, (n,)
        The longest line of known ancestors.

    Raises
    ------
    DataError
        Code ``"pedigree_loop"`` with the animals on a loop, ``"pedigree_records"`` for animals with
        two records or named as sire and dam.

    References
    ----------
    Henderson, C. R. (1976). Biometrics 32, 69-83. Meuwissen, T. H. E. and Luo, Z. (1992). Genet.
    Sel. Evol. 24, 305-313. Sargolzaei, M., Iwaisaki, H. and Colleau, J.-J. (2005). J. Anim. Breed.
    Genet. 122, 325-331. Quaas, R. L. (1988). J. Dairy Sci. 71, 1338-1345.

    Examples
    --------
    A daughter mated to her father; the animals need no order.

    >>> import glimm
    >>> ped = glimm.Pedigree({"animal": ["c", "b"], "sire": ["a", "a"], "dam": ["b", None]})
    >>> ped.animals
    ('a', 'b', 'c')
    >>> ped.inbreeding.tolist(), ped.relationship("a", "c")
    ([0.0, 0.0, 0.25], 0.75)
    """

    records: Records = field(repr=False)
    groups: tuple[Level, ...]
    group_variance: float | None
    selfing: bool

    word = "pedigree"

    def __init__(
        self,
        data: Any = None,
        *,
        animal: str | ArrayLike = "animal",
        sire: str | ArrayLike = "sire",
        dam: str | ArrayLike = "dam",
        unknown: Level | None = None,
        groups: Sequence[Level] = (),
        group_variance: float | None = None,
        selfing: bool = False,
    ) -> None:
        if isinstance(groups, str):
            groups = (groups,)
        if group_variance is not None and (not groups or not group_variance > 0):
            message = f"group_variance={group_variance}; it must be above 0, and needs groups="
            raise DataError(message, code="unknown_option")
        records = read_records(data, (animal, sire, dam), unknown, groups, selfing)
        self._set(records, tuple(groups), group_variance, selfing)

    def _set(
        self,
        records: Records,
        groups: tuple[Level, ...],
        group_variance: float | None,
        selfing: bool,
    ) -> None:
        levels = groups if group_variance is not None else ()
        parts = {
            "records": records,
            "groups": groups,
            "group_variance": group_variance,
            "selfing": selfing,
            "labels": levels + records.labels,
        }
        for name, value in parts.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_core", _made(records))

    @property
    def animals(self) -> tuple[Level, ...]:
        """Animals, parents before their offspring."""
        return self.records.labels

    @cached_property
    def inbreeding(self) -> Array:
        """Inbreeding of each animal, (n,)."""
        return self._inner.inbreeding

    @cached_property
    def mendelian(self) -> Array:
        """Variance of each animal's Mendelian sample, in units of V_A, (n,)."""
        return self._inner.mendelian

    @cached_property
    def generation(self) -> Places:
        """The longest line of known ancestors of each animal, (n,)."""
        return self._inner.generation

    @property
    def _inner(self) -> _core.Pedigree:
        found: _core.Pedigree = self.__dict__["_core"]
        return found

    @property
    def founders(self) -> int:
        """Animals without a known parent."""
        return int((self.records.parents < 0).all(axis=1).sum())

    def precision(self) -> tuple[Places, Places, Array]:
        """Return the lower triangle of the precision of `labels`, by columns.

        Returns
        -------
        starts : ndarray of int, (levels + 1,)
        rows : ndarray of int
            Ascending in each column, the diagonal first.
        values : ndarray
        """
        return _core.descent_precision(*self._descent)

    @property
    def log_determinant(self) -> float:
        """Log-determinant of the precision, exactly: minus the sum of the logs of D."""
        return -float(np.sum(np.log(self._descent[2])))

    @property
    def _descent(self) -> tuple[Places, Array, Array]:
        """Parents, their weights and the variances of all levels; random groups as parents."""
        parents, own = self.records.parents, self.mendelian
        if self.group_variance is not None:
            count = len(self.groups)
            of = self.records.groups
            shifted = np.where(parents >= 0, parents + count, of)
            parents = np.vstack([np.full((count, 2), -1), shifted])
            own = np.concatenate([np.full(count, self.group_variance), own])
        weights = np.where(parents >= 0, 0.5, 0.0)
        return np.ascontiguousarray(parents), weights, own

    def relationship(self, a: Level, b: Level) -> float:
        """Return the additive relationship of two animals, twice their coefficient of kinship.

        Raises
        ------
        DataError
            For an animal that is not in the pedigree.
        """
        i, j = self._places([a, b])
        return float(self._inner.relationships([i], [j])[0, 0])

    def relationships(self, animals: Sequence[Level] | None = None) -> Array:
        """Return the additive relationships of some animals, or of all, as a dense matrix.

        Parameters
        ----------
        animals : sequence, optional
            Up to 20,000 of them.
        """
        places = list(range(len(self.animals))) if animals is None else self._places(animals)
        if len(places) > MOST_DENSE:
            message = f"{len(places):,} animals; a dense matrix takes up to {MOST_DENSE:,}"
            raise DataError(message, code="memory")
        return self._inner.relationships(places, places)

    def _places(self, animals: Iterable[Level]) -> list[int]:
        position = self._positions
        found = []
        for animal in animals:
            if animal not in position:
                near = listed(nearest_first(str(animal), [str(a) for a in self.animals[:5000]]), 5)
                message = f"animal {animal!r} is not in the pedigree; it has {near}"
                raise DataError(message, code="new_levels")
            found.append(position[animal])
        return found

    @cached_property
    def _positions(self) -> dict[Level, int]:
        return {animal: i for i, animal in enumerate(self.animals)}

    def prune(self, animals: Iterable[Level]) -> Pedigree:
        """Return the pedigree of some animals and all their ancestors.

        Nothing that concerns these animals changes: the others only make a fit slower.
        """
        parents = self.records.parents
        keep = np.zeros(len(self.animals) + 1, dtype=bool)
        keep[self._places(animals)] = True
        for i in range(len(self.animals) - 1, -1, -1):
            if keep[i]:
                keep[parents[i]] = True
        keep = keep[:-1]
        place = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)
        kept = replace(
            self.records,
            labels=tuple(self.animals[i] for i in np.flatnonzero(keep).tolist()),
            parents=np.ascontiguousarray(place[parents[keep]]),
            groups=np.ascontiguousarray(self.records.groups[keep]),
        )
        found = object.__new__(Pedigree)
        found._set(kept, self.groups, self.group_variance, self.selfing)
        return found

    def group_contributions(self) -> Any:
        """Return the part of each animal that comes from each genetic group (Quaas 1988).

        The columns, one left out, join the fixed effects of a model: the breeding value of an
        animal is then the sum of its groups' effects and its mode.

        Returns
        -------
        frame
            Of the user's kind: `animal`, then one column per group.

        Raises
        ------
        DataError
            When the pedigree has no groups.
        """
        if not self.groups:
            raise DataError("the pedigree has no groups=", code="unknown_option")
        parts = self._inner.contributions(self.records.groups, len(self.groups))
        columns = {str(g): parts[:, k] for k, g in enumerate(self.groups)}
        return frame_like(self.kind, {"animal": list(self.animals), **columns})

    def dominance(self, *, ignore_inbreeding: bool = False) -> Dominance:
        """Return the dominance relationships: ``(1 | animal, known=dominance)``.

        d_ij = (a(s_i, s_j) a(d_i, d_j) + a(s_i, d_j) a(d_i, s_j)) / 4 for parents s and d
        (Cockerham 1954), which holds without inbreeding.

        Parameters
        ----------
        ignore_inbreeding : bool
            Use the formula for inbred animals too, where it is an approximation.

        Raises
        ------
        DataError
            For inbred animals, unless asked for.
        """
        from .dominance import dominance

        return dominance(self, ignore_inbreeding)

    def to_frame(self) -> Any:
        """Return one row per animal: parents, `generation`, `inbreeding`, `mendelian`."""
        labels = np.array([*self.animals, None], dtype=object)
        sire, dam = (labels[side].tolist() for side in self.records.parents.T)
        columns = {
            "animal": list(self.animals),
            "sire": sire,
            "dam": dam,
            "generation": self.generation,
            "inbreeding": self.inbreeding,
            "mendelian": self.mendelian,
        }
        return frame_like(self.kind, columns)

    @property
    def kind(self) -> Kind:
        """The kind of frame that was read."""
        return self.records.kind

    @property
    def tables(self) -> tuple[Facts]:
        """What there is, as it is printed."""
        f, parents = self.inbreeding, self.records.parents
        counts = {
            "animals": len(self.animals),
            "founders": self.founders,
            "added, without a record": self.records.added,
            "one parent known": int(((parents >= 0).sum(axis=1) == 1).sum()),
            "sires": np.unique(parents[parents[:, 0] >= 0, 0]).size,
            "dams": np.unique(parents[parents[:, 1] >= 0, 1]).size,
            "generations": int(self.generation.max()) + 1,
            "inbred animals": int((f > 0).sum()),
        }
        lines = [(name, f"{count:,}") for name, count in counts.items()]
        lines.append(("inbreeding", f"mean {f.mean():.4f}, largest {f.max():.4f}"))
        if self.groups:
            how = "fixed" if self.group_variance is None else f"random, {self.group_variance:g} V_A"
            lines.append(("genetic groups", f"{len(self.groups)}, {how}"))
        return (Facts("Pedigree", tuple(lines)),)

    def __repr__(self) -> str:
        return f"Pedigree({len(self.animals):,} animals)"


def _made(records: Records) -> _core.Pedigree:
    try:
        return _core.Pedigree(records.parents)
    except _core.CoreError as error:
        code, message, _ = error.args
        if code != "degenerate":
            raise
        word = message.split()[1]
        named = message.replace(f"animal {word}", f"animal {records.labels[int(word)]!r}", 1)
        text = f"{named}; give such a line one level, or fewer generations of selfing"
        raise DataError(text, code="pedigree_records") from None
