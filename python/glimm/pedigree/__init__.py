"""Relatives: pedigrees and phylogenies as the precision of what is handed down."""

from __future__ import annotations

from .pedigree import Pedigree
from .phylogeny import Phylogeny
from .dominance import Dominance

__all__ = ["Dominance", "Pedigree", "Phylogeny"]
