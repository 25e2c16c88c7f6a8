"""Effects in terms of the response: means, comparisons, slopes."""

from .comparisons import comparisons
from .means import means
from .result import Effects
from .slopes import slopes

__all__ = ["Effects", "comparisons", "means", "slopes"]
