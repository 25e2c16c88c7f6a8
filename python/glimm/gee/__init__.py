"""Generalized estimating equations: population-averaged effects, estimated directly."""

from __future__ import annotations

from .beside import Beside, beside
from .criteria import QIC
from .dropout import dropout_weights
from .fit import GEEFit
from .model import GEEModel, gee
from .testing import WaldTest

__all__ = ["QIC", "Beside", "GEEFit", "GEEModel", "WaldTest", "beside", "dropout_weights", "gee"]
