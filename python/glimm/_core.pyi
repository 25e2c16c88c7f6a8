"""Types of the compiled core."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

Array = NDArray[np.float64]
_Term = tuple[str, NDArray[np.int64], int, Array, list[int]]
_Show = Callable[[str, int, float, float, int], None]

class CoreError(ValueError): ...

class Problem:
    def __init__(
        self,
        family: str,
        link: str,
        y: Array,
        trials: Array | None,
        freq: Array | None,
        x: Array,
        offset: Array | None,
        terms: list[_Term],
        reml: bool = False,
        threads: int | None = None,
        engine: str = "auto",
        laplace: bool = False,
        compress: bool | None = None,
        memory: int | None = None,
    ) -> None: ...
    def fit(self, start: Array | None = None, progress: _Show | None = None) -> dict[str, Any]: ...
    def refit(
        self, y: Array, start: Array | None = None, progress: _Show | None = None
    ) -> dict[str, Any]: ...
    def evaluate(self, parameters: Array) -> tuple[float, Array] | None: ...
    @property
    def path(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def compressed(self) -> tuple[tuple[int, int], tuple[int, int] | None] | None: ...
    @property
    def memory(self) -> int: ...
    @property
    def kept(self) -> list[int]: ...
    @property
    def aliased(self) -> list[tuple[int, str]]: ...

def families() -> list[dict[str, Any]]: ...
def error_codes() -> list[str]: ...
def inverse_link(link: str, eta: Array) -> Array: ...
def factor(name: str, effects: int, theta: list[float]) -> list[float] | None: ...
def draw_responses(
    family: str,
    link: str,
    eta: Array,
    dispersion: float | None,
    trials: Array | None,
    seed: int,
    replicate: int,
) -> Array: ...
def draw_effects(
    lambda_: list[float], effects: int, levels: int, term: int, seed: int, replicate: int
) -> Array: ...
