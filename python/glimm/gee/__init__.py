"""Generalized estimating equations: population-averaged effects, estimated directly."""

from __future__ import annotations

from . import effects as effects
from .beside import Beside, beside
from .criteria import QIC
from .dropout import dropout_weights
from .fit import GEEFit
from .model import GEEModel, gee

__all__ = ["QIC", "Beside", "GEEFit", "GEEModel", "beside", "dropout_weights", "gee"]
