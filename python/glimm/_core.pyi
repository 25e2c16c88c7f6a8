"""Types of the compiled core."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

Array = NDArray[np.float64]
_Codes = NDArray[np.signedinteger[Any]]
_Ties = tuple["Precision | None", list[tuple[_Codes, Array]]]
_Term = tuple[str, _Codes, int, Array, list[int], list[int], _Ties]
_Predictor = tuple[Array | None, Array | None, float | None]
_Name = tuple[Any, ...]
_Show = Callable[[str, int, float, float, int], None]

class CoreError(ValueError): ...

class Posterior:
    def __init__(
        self,
        family: _Name,
        y: Array,
        size: Array | None,
        freq: Array | None,
        predictors: list[_Predictor],
        terms: list[_Term],
        engine: str = "auto",
        threads: int | None = None,
    ) -> None: ...
    def draw(self, y: Array, psi: Array, seed: int, replicate: int) -> list[Array]: ...

def quantile_residuals(
    name: _Name, y: Array, eta: list[Array], size: Array | None, seed: int, replicate: int
) -> tuple[Array, Array]: ...

class Precision:
    def __init__(
        self,
        starts: NDArray[np.int64],
        rows: NDArray[np.int64],
        values: Array,
        sets: list[list[int]] = ...,
    ) -> None: ...
    @property
    def levels(self) -> int: ...
    @property
    def log_determinant(self) -> float: ...
    def solve(self, x: Array, effects: int) -> Array: ...
    def variances(self) -> Array: ...

class Problem:
    def __init__(
        self,
        family: _Name,
        y: Array,
        size: Array | None,
        freq: Array | None,
        predictors: list[_Predictor],
        terms: list[_Term],
        reml: bool = False,
        threads: int | None = None,
        engine: str = "auto",
        laplace: bool = False,
        integration: str = "auto",
        compress: bool | None = None,
        memory: int | None = None,
        penalty: tuple[list[list[float]], float, float] | None = None,
        ties: list[tuple[tuple[int, int], tuple[int, int] | None, float]] = ...,
    ) -> None: ...
    def fit(self, start: Array | None = None, progress: _Show | None = None) -> dict[str, Any]: ...
    def refit(
        self, y: Array, start: Array | None = None, progress: _Show | None = None
    ) -> dict[str, Any]: ...
    def scores(
        self, parameters: Array, hessian: bool = False
    ) -> tuple[Array, Array | None, NDArray[np.uint32]]: ...
    def profile(
        self,
        parameters: Array,
        goals: list[tuple[str, list[float], list[int], list[int]]],
        numbers: list[list[float]],
        roots: bool = True,
        progress: _Show | None = None,
    ) -> list[dict[str, Any]]: ...
    def evaluate(self, parameters: Array) -> tuple[float, Array] | None: ...
    def evaluate_twice(self, parameters: Array) -> tuple[float, Array, Array] | None: ...
    @property
    def path(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def compressed(self) -> tuple[tuple[int, int], tuple[int, int] | None] | None: ...
    @property
    def memory(self) -> int: ...
    @property
    def kept(self) -> list[list[int]]: ...
    @property
    def aliased(self) -> list[tuple[int, int, str]]: ...

def refit_many(
    problems: list[Problem],
    ys: Array,
    n: int,
    start: Array,
    nodes: int,
    progress: _Show | None = None,
) -> dict[str, Any]: ...
def refit_each(
    problems: list[Problem],
    ys: list[Array],
    start: Array,
    nodes: int,
    threads: int,
    progress: _Show | None = None,
) -> dict[str, Any]: ...

_State = tuple[list[float], list[float], list[float]]

class Gee:
    def __init__(
        self,
        family: _Name,
        extra: list[float],
        y: Array,
        size: Array | None,
        classes: int,
        x: Array,
        offset: Array | None,
        precision: Array | None,
        weights: Array | None,
        copies: Array | None,
        groups: _Codes,
        clusters: int,
        structure: str,
        extent: tuple[int, list[float], list[tuple[str, int]], bool, bool],
        time: Array | None = None,
        place: _Codes | None = None,
        sub: _Codes | None = None,
        columns: Array | None = None,
        scale: Array | None = None,
        threads: int | None = None,
    ) -> None: ...
    @property
    def kept(self) -> list[int]: ...
    def fit(
        self,
        scale: float | None,
        less: bool,
        iterations: int,
        tolerance: float,
        start: _State | None = None,
    ) -> dict[str, Any]: ...
    def covariance(self, state: _State, kind: str) -> Array: ...
    def freedom(self, state: _State, kind: str, freedom: str, contrasts: list[float]) -> Array: ...
    def scores(self, state: _State) -> Array: ...
    def moments(self, state: _State) -> Array: ...
    def without_each(
        self, state: _State, scale: float | None, less: bool, iterations: int, tolerance: float
    ) -> tuple[Array, bool]: ...

_Places = NDArray[np.int64]
_Triangle = tuple[_Places, _Places, Array]

class Pedigree:
    def __init__(self, parents: _Places) -> None: ...
    @property
    def inbreeding(self) -> Array: ...
    @property
    def mendelian(self) -> Array: ...
    @property
    def generation(self) -> _Places: ...
    def relationships(self, rows: list[int], columns: list[int]) -> Array: ...
    def contributions(self, groups: _Places, count: int) -> Array: ...

def sort_descent(parents: _Places) -> tuple[_Places, _Places]: ...
def descent_precision(parents: _Places, weights: Array, variance: Array) -> _Triangle: ...
def descent_down(parents: _Places, weights: Array, own: Array) -> Array: ...
def families() -> list[dict[str, Any]]: ...
def error_codes() -> list[str]: ...
def inverse_link(link: str, eta: Array) -> Array: ...
def link(link: str, mean: Array) -> Array: ...
def population(link: str, eta: Array, sd: Array) -> tuple[Array, Array, Array]: ...
def population_joint(
    name: _Name, what: str, eta: Array, root: Array, slopes: bool = True
) -> tuple[Array, Array, Array, Array]: ...
def predictive(
    name: _Name,
    eta: Array,
    root: Array,
    size: Array | None,
    p: list[float],
    each: bool = False,
) -> Array: ...
def row_derivatives(
    name: _Name, y: Array, eta: list[Array], size: Array | None
) -> tuple[Array, Array]: ...
def factor(name: str, effects: int, theta: list[float]) -> list[float] | None: ...
def factor_derivatives(
    name: str, effects: int, theta: list[float]
) -> tuple[list[float], list[float]] | None: ...
def field_correlations(
    name: str, effects: int, theta: list[float], points: Array
) -> list[Array] | None: ...
def draw_responses(
    name: _Name, eta: list[Array], size: Array | None, seed: int, replicate: int
) -> Array: ...
def means(name: _Name, eta: list[Array]) -> Array: ...
def variances(name: _Name, eta: list[Array], size: Array | None) -> Array: ...
def cdf(name: _Name, y: Array, eta: list[Array], size: Array | None) -> list[Array]: ...
def class_probabilities(link: str, eta: Array, thresholds: list[float]) -> Array: ...
def accepting(name: _Name, y: Array, size: Array | None) -> tuple[list[str], list[int]]: ...
def draw_effects(
    lambda_: list[float],
    effects: int,
    levels: int,
    term: int,
    seed: int,
    replicate: int,
    prior: Precision | None = None,
) -> Array: ...
