"""Relatives: pedigrees and phylogenies as the precision of what is handed down."""

from __future__ import annotations

from .dominance import Dominance
from .pedigree import Pedigree
from .phylogeny import Phylogeny

__all__ = ["Dominance", "Pedigree", "Phylogeny"]
