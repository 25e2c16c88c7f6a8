"""Phylogenies: species as relatives."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DataError, listed
from ..relations import Relation
from ..tables import Facts, Printed
from .newick import Tree, read_newick, wrong

Array = NDArray[np.float64]
Places = NDArray[np.int64]

ULTRAMETRIC = 1e-6
"""Relative difference of heights up to which tips count as of one height."""
MOST_TIPS = 5000
"""Tips up to which a dense covariance is made."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Phylogeny(Relation, Printed):
    """A tree of species: ``(1 | species, phylogeny=tree)``.

    Under Brownian motion from the root the values of two species have as covariance the length of
    the path that they share. With the inner nodes as levels of their own the precision is sparse
    (Hadfield and Nakagawa 2010): each node is its parent's value plus N(0, branch length).

    Parameters
    ----------
    tree : str or path
        Newick text, or a file with it: branch lengths, polytomies, labels in quotes, comments.
        Labels are taken as written, with underscores.
    scale : bool
        Whether lengths are divided by the height of the tree (its largest distance from root to
        tip), so that the variance is that of a tip.
    nodes : {"all", "tips"}
        Whether inner nodes are levels too (sparse; the model of the tips is the same) or integrated
        out (dense).

    Attributes
    ----------
    labels : tuple of str
        Levels, parents first; nodes without a name are ``node 1``, ``node 2``, ...
    tips : tuple of str
    height : float
        Of the tree as written.
    ultrametric : bool
        Whether all tips have that height.

    Raises
    ------
    DataError
        Code ``"newick"`` with the position in the text.

    References
    ----------
    Hadfield, J. D. and Nakagawa, S. (2010). J. Evol. Biol. 23, 494-508. Felsenstein, J. (1985).
    Am. Nat. 125, 1-15.

    Examples
    --------
    >>> import glimm
    >>> tree = glimm.Phylogeny("((cat:1,dog:1):2,eel:3);")
    >>> tree.tips, tree.height
    (('cat', 'dog', 'eel'), 3.0)
    >>> tree.covariance().round(2).tolist()
    [[1.0, 0.67, 0.0], [0.67, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    tips: tuple[str, ...]
    height: float
    ultrametric: bool
    nodes: str
    scale: bool
    _parents: Places = field(repr=False)
    _lengths: Array = field(repr=False)
    _names: tuple[str, ...] = field(repr=False)

    word = "phylogeny"

    def __init__(
        self, tree: str | os.PathLike[str], scale: bool = True, nodes: str = "all"
    ) -> None:
        if nodes not in ("all", "tips"):
            raise DataError(f"nodes={nodes!r}; use 'all', 'tips'", code="unknown_option")
        text = _text(tree)
        read = read_newick(text)
        parents, lengths, names, is_tip = _branches(read, text)
        heights = _down(parents, lengths)
        tops = heights[is_tip]
        height = float(tops.max())
        tips = tuple(name for name, tip in zip(names, is_tip.tolist(), strict=True) if tip)
        if nodes == "tips" and len(tips) > MOST_TIPS:
            message = f"{len(tips):,} tips; a dense covariance takes up to {MOST_TIPS:,}"
            raise DataError(message, code="memory")
        parts = {
            "labels": tuple(names) if nodes == "all" else tips,
            "tips": tips,
            "height": height,
            "ultrametric": bool(np.ptp(tops) <= ULTRAMETRIC * height),
            "nodes": nodes,
            "scale": scale,
            "_parents": parents,
            "_lengths": lengths / height if scale else lengths,
            "_names": tuple(names),
        }
        for name, value in parts.items():
            object.__setattr__(self, name, value)

    def precision(self) -> tuple[Places, Places, Array]:
        """Return the lower triangle of the precision of `labels`, by columns."""
        if self.nodes == "all":
            return _core.descent_precision(*_descent(self._parents, self._lengths))
        n = len(self.tips)
        inverse = np.linalg.inv(self.covariance())
        starts = np.concatenate([[0], np.cumsum(np.arange(n, 0, -1))]).astype(np.int64)
        rows = np.concatenate([np.arange(j, n) for j in range(n)]).astype(np.int64)
        return starts, rows, np.concatenate([inverse[j:, j] for j in range(n)])

    @property
    def log_determinant(self) -> float:
        """Log-determinant of the precision."""
        if self.nodes == "all":
            return -float(np.sum(np.log(self._lengths)))
        return -float(np.linalg.slogdet(self.covariance())[1])

    def covariance(self) -> Array:
        """Return the covariance of the tips: lengths of shared paths, (tips, tips)."""
        if len(self.tips) > MOST_TIPS:
            message = f"{len(self.tips):,} tips; a dense covariance takes up to {MOST_TIPS:,}"
            raise DataError(message, code="memory")
        position = {name: i for i, name in enumerate(self._names)}
        place = [position[tip] for tip in self.tips]
        found = np.zeros((len(self._names), len(place)))
        found[place, np.arange(len(place))] = 1.0
        # Each branch adds its length to all pairs of tips below it.
        for i in range(len(self._names) - 1, -1, -1):
            if self._parents[i] >= 0:
                found[self._parents[i]] += found[i]
        return np.asarray(found.T @ (self._lengths[:, None] * found))

    @cached_property
    def depth(self) -> Array:
        """Distance of each tip from the root in the units of the model, (tips,)."""
        return np.diag(self.covariance())

    @property
    def tables(self) -> tuple[Facts]:
        """What there is, as it is printed."""
        lines = (
            ("tips", f"{len(self.tips):,}"),
            ("inner nodes below the root", f"{len(self._names) - len(self.tips):,}"),
            ("height", f"{self.height:g}"),
            ("all tips at one height", "yes" if self.ultrametric else "no"),
            ("unit of the variance", "the height" if self.scale else "1, as written"),
        )
        return (Facts("Phylogeny", lines),)

    def __repr__(self) -> str:
        return f"Phylogeny({len(self.tips):,} tips)"


def _text(tree: str | os.PathLike[str]) -> str:
    if isinstance(tree, str) and ("(" in tree or ";" in tree):
        return tree
    path = Path(tree)
    if not path.is_file():
        message = f"{str(tree)!r} is neither Newick text, which has ( and ;, nor a file"
        raise DataError(message, code="newick")
    return path.read_text(encoding="utf-8")


def _branches(read: Tree, text: str) -> tuple[Places, Array, list[str], NDArray[np.bool_]]:
    """Nodes below the root: parents (-1 for the root), lengths, names, whether a tip.

    An inner node at no distance from its parent is the parent: a polytomy.
    """
    count = len(read.parent)
    children = np.bincount(np.array(read.parent[1:], dtype=np.int64), minlength=count)
    if count < 3 or not children[0]:
        raise wrong(text, 0, "a tree needs two tips at least")
    _check_names(read, children, text)
    place, parents = [-1], list[int]()
    lengths, names, tips = list[float](), list[str](), list[bool]()
    taken = {read.label[i] for i in range(count) if not children[i]}
    for i in range(1, count):
        length, tip = read.length[i], not children[i]
        if np.isnan(length):
            raise wrong(text, read.place[i], f"node {read.label[i]!r} has no branch length")
        above = place[read.parent[i]]
        if length == 0 and not tip:
            place.append(above)
            continue
        if length == 0:
            what = f"tip {read.label[i]!r} is at no distance from its parent node: give it a length"
            raise wrong(text, read.place[i], what)
        place.append(len(parents))
        parents.append(above)
        lengths.append(length)
        tips.append(tip)
        names.append(read.label[i] if tip else _free_name(read.label[i], taken, len(parents)))
    return np.array(parents), np.array(lengths), names, np.array(tips)


def _free_name(label: str, taken: set[str], number: int) -> str:
    """The name of an inner node: its own, unless empty, a number (a support) or taken."""
    plain = label.replace(".", "", 1).replace("/", "").isdigit()
    name = f"node {number}" if not label or plain or label in taken else label
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _check_names(read: Tree, children: Places, text: str) -> None:
    seen: dict[str, int] = {}
    for i in np.flatnonzero(children == 0).tolist():
        name = read.label[i]
        if name in seen:
            raise wrong(text, read.place[i], f"two tips are named {listed([name])}")
        seen[name] = i


def _descent(parents: Places, lengths: Array) -> tuple[Places, Array, Array]:
    both = np.column_stack([parents, np.full(parents.size, -1)]).astype(np.int64)
    weights = np.column_stack([(parents >= 0).astype(float), np.zeros(parents.size)])
    return both, weights, np.ascontiguousarray(lengths, dtype=np.float64)


def _down(parents: Places, lengths: Array) -> Array:
    """Distance of each node from the root."""
    return _core.descent_down(*_descent(parents, lengths))
