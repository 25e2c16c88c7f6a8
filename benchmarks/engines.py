"""Engines as rows of data: how each package is called, and where its model differs.

A session prepares outside the clock whatever is in the package's favour (its own kind of frame,
a design matrix when it has no formulas) and hands back three calls: `fit`, `read`, `refit`.
The sessions run in the package's own virtual environment, so packages are imported inside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from problems import Columns, Problem

ALL_FAMILIES = frozenset({"gaussian", "binomial", "poisson", "nbinom2"})


@dataclass(frozen=True, slots=True)
class Session:
    fit: Callable[[], Any]  # the timed call
    read: Callable[[Any], dict[str, Any]]  # loglik, beta, sd, shape, converged; not timed
    refit: Callable[[Any], Any] | None = None  # timed: the fit with the second response


Prepare = Callable[[Problem, Columns, int], Session]


def _frame(columns: Columns, response: str = "y") -> Any:
    import pandas as pd

    data = {name: values for name, values in columns.items() if name not in ("y", "y2")}
    return pd.DataFrame({"y": columns[response], **data})


def _glimm(
    problem: Problem, columns: Columns, threads: int, integration: str = "laplace"
) -> Session:
    import glimm

    frame = _frame(columns)
    options: dict[str, Any] = {"zi": problem.zi} if problem.zeros else {}
    if problem.family == "gaussian":
        options["reml"] = problem.reml
    else:
        options["integration"] = integration

    def read(fit: Any) -> dict[str, Any]:
        shape = list((fit.dispersion or {}).values())
        return {
            "loglik": fit.loglik,
            "beta": list(fit.coef.values()),
            "sd": list(fit.varcorr()["sd"]),
            "shape": shape[0] if shape else None,
            "converged": fit.diagnostics.converged,
            "evaluations": fit.diagnostics.evaluations,
            "passes": fit.diagnostics.passes,
        }

    return Session(
        lambda: glimm.fit(problem.formula, frame, problem.family, threads=threads, **options),
        read,
        lambda fit: fit.refit(columns["y2"]),
    )


def _glimm_auto(problem: Problem, columns: Columns, threads: int) -> Session:
    return _glimm(problem, columns, threads, "auto")


def _cholesky(lower: list[float]) -> list[float]:
    """Cholesky factor of a 1 x 1 or 2 x 2 covariance; both as lower triangles by column."""
    if len(lower) == 1:
        return [lower[0] ** 0.5]
    first = lower[0] ** 0.5
    across = lower[1] / first if first > 0 else 0.0
    return [first, across, max(lower[2] - across**2, 0.0) ** 0.5]


def _glmm_start(fit: Any) -> dict[str, Any]:
    """Its documented warm start: fixed effects, Cholesky factors, shape."""
    theta = [value for lower in fit.varcorr for value in _cholesky(list(lower))]
    shape = {"dispersion": fit.dispersion} if fit.family == "negativebinomial" else {}
    return {"beta": fit.beta, "theta": theta} | shape


def _glmm(problem: Problem, columns: Columns, threads: int) -> Session:
    import glmm

    del threads  # taken from RAYON_NUM_THREADS
    family = "negativebinomial" if problem.family == "nbinom2" else problem.family
    data = {name: v for name, v in columns.items() if name != "y2"}
    again = data | {"y": columns["y2"]}

    options = {"reml": problem.reml} if problem.family == "gaussian" else {}

    # "Wald" leaves out the likelihood-ratio tables, which would be further fits.
    def fit(data: Columns, **more: Any) -> Any:
        return glmm.fit(data, problem.formula, family, anova_test="Wald", **options, **more)

    def read(m: Any) -> dict[str, Any]:
        return {
            "loglik": m.loglik,
            "beta": list(m.beta),
            "sd": [s for i in range(len(m.varcorr)) for s in m.stddev_corr(i)[0]],
            "shape": m.dispersion if problem.family == "nbinom2" else None,
            "converged": bool(m.converged),
            "evaluations": m.n_eval + m.n_grad,
        }

    # Linear models have no warm start.
    warm = problem.family != "gaussian"
    return Session(
        lambda: fit(data),
        read,
        lambda m: fit(again, **({"warm_start": _glmm_start(m)} if warm else {})),
    )


def _mixedlm(problem: Problem, columns: Columns, threads: int) -> Session:
    import mixedlm

    del threads
    frame = _frame(columns)
    for bar in problem.bars:
        frame[bar.group] = frame[bar.group].astype("category")

    def fit() -> Any:
        if problem.family == "gaussian":
            return mixedlm.lmer(problem.formula, frame, REML=problem.reml)
        if problem.family == "nbinom2":
            return mixedlm.glmer_nb(problem.formula, frame)
        kinds = {"binomial": mixedlm.families.Binomial, "poisson": mixedlm.families.Poisson}
        return mixedlm.glmer(problem.formula, frame, family=kinds[problem.family]())

    def read(m: Any) -> dict[str, Any]:
        parts = [np.atleast_2d(m.VarCorr().get_cov(bar.group)) for bar in problem.bars]
        return {
            "loglik": float(m.logLik().value),
            "beta": list(m.fixef().values()),
            "sd": [s for part in parts for s in np.sqrt(np.diag(part))],
            "converged": bool(m.converged),
            "evaluations": int(m.n_iter),
        }

    return Session(fit, read, lambda m: m.refit(columns["y2"].astype(float)))


def _design(problem: Problem, columns: Columns) -> NDArray[np.float64]:
    given = [columns[name] for name in problem.covariates]
    return np.column_stack([np.ones(problem.rows), *given]).astype(float)


def _gpboost(problem: Problem, columns: Columns, threads: int, **options: Any) -> Session:
    import gpboost

    names = {"binomial": "bernoulli_logit", "nbinom2": "negative_binomial"}
    y, y2 = columns["y"].astype(float), columns["y2"].astype(float)
    x, groups = (
        _design(problem, columns),
        np.column_stack([columns[bar.group] for bar in problem.bars]),
    )
    slopes = [(i, bar.slope) for i, bar in enumerate(problem.bars, start=1) if bar.slope]
    if slopes:
        options["group_rand_coef_data"] = np.column_stack([columns[name] for _, name in slopes])
        options["ind_effect_group_rand_coef"] = [i for i, _ in slopes]
    options |= {"likelihood": names.get(problem.family, problem.family)}

    def fit() -> Any:
        model = gpboost.GPModel(group_data=groups, num_parallel_threads=threads, **options)
        return model.fit(y=y, X=x)

    def read(m: Any) -> dict[str, Any]:
        shape = m.get_aux_pars(format_pandas=False)
        return {
            "loglik": -float(m.get_current_neg_log_likelihood()),
            "beta": np.asarray(m.get_coef(format_pandas=False)).ravel()[: x.shape[1]].tolist(),
            "sd": np.sqrt(np.asarray(m.get_cov_pars(format_pandas=False)).ravel()).tolist(),
            "shape": None if shape is None else float(np.asarray(shape).ravel()[0]),
            "converged": m._get_convergence_status() == 0,
            "evaluations": int(m._get_num_optim_iter()),
        }

    return Session(fit, read, lambda m: m.fit(y=y2, X=x))


def _gpboost_cholesky(problem: Problem, columns: Columns, threads: int) -> Session:
    return _gpboost(problem, columns, threads, matrix_inversion_method="cholesky")


def _interlace(problem: Problem, columns: Columns, threads: int) -> Session:
    import interlace

    del threads
    family = "negativebinomial" if problem.family == "nbinom2" else problem.family
    frame, bars = _frame(columns), [bar.text for bar in problem.bars]

    def read(m: Any) -> dict[str, Any]:
        sd = [np.sqrt(np.diag(np.atleast_2d(v))).tolist() for v in m.variance_components.values()]
        beta = m.fe_params.to_numpy().tolist()
        sd = [s for part in sd for s in part]
        return {"loglik": float(m.llf), "beta": beta, "sd": sd, "converged": bool(m.converged)}

    method = "REML" if problem.reml else "ML"
    if problem.family == "gaussian":
        return Session(
            lambda: interlace.fit(problem.fixed, frame, random=bars, method=method), read
        )
    return Session(lambda: interlace.glmer(problem.fixed, frame, family, random=bars), read)


def _lme_python(problem: Problem, columns: Columns, threads: int) -> Session:
    import lme_python
    import polars

    del threads
    data = {name: v for name, v in columns.items() if name != "y2"}
    codes = [polars.col(bar.group).cast(polars.Utf8) for bar in problem.bars]
    frame = polars.DataFrame(data).with_columns(codes)
    linear = problem.family == "gaussian"
    kept = None if linear else lme_python.prepare_glmer(problem.formula, frame, problem.family, 1)

    def read(m: Any) -> dict[str, Any]:
        sd = [v[4] for v in m.var_corr if v[0] != "Residual" and v[1] == v[2]]
        beta, evaluations = list(m.coefficients), m.iterations
        return {"loglik": m.log_likelihood, "beta": beta, "sd": sd, "converged": m.converged,
                "evaluations": evaluations}  # fmt: skip

    if linear:
        return Session(lambda: lme_python.lmer(problem.formula, frame, problem.reml), read)
    return Session(
        lambda: lme_python.glmer(problem.formula, frame, problem.family, 1),
        read,
        lambda m: lme_python.fit_prepared_glmer(kept, y=columns["y2"].astype(float)),
    )


@dataclass(frozen=True, slots=True)
class Caveat:
    """Why an engine's numbers are not like for like on some problems."""

    kind: str  # "different model" | "not ML" | "different likelihood"
    text: str
    applies: Callable[[Problem], bool]


@dataclass(frozen=True, slots=True)
class Engine:
    name: str
    language: str  # "python" | "R"
    package: str  # distribution or R package, for its version
    prepare: Prepare | None = None  # None: `engine_r.R` has the calls
    env: str = ""  # folder of the virtual environment; "" is the running interpreter
    requirements: tuple[str, ...] = ()
    families: frozenset[str] = ALL_FAMILIES
    caveats: tuple[Caveat, ...] = ()
    call: str = "defaults"
    only: Callable[[Problem], bool] = lambda problem: True
    zeros: bool = False  # whether it fits extra zeros

    def caveat(self, problem: Problem) -> Caveat | None:
        return next((c for c in self.caveats if c.applies(problem)), None)

    def covers(self, problem: Problem) -> bool:
        zeros = self.zeros or problem.zeros is None
        return zeros and problem.family in self.families and self.only(problem)


def _slopes(problem: Problem) -> bool:
    return any(bar.slope for bar in problem.bars)


def _several(problem: Problem) -> bool:
    return sum(len(bar.sd) for bar in problem.bars) > 1


def _nbinom2(problem: Problem) -> bool:
    return problem.family == "nbinom2"


def _poisson(problem: Problem) -> bool:
    return problem.family == "poisson"


def _generalized(problem: Problem) -> bool:
    return problem.family != "gaussian"


def _maximum_likelihood(problem: Problem) -> bool:
    return not problem.reml


INDEPENDENT = Caveat("different model", "intercept and slope independent", _slopes)
SHAPE_HELD = Caveat("different model", "negative binomial shape held at 1", _nbinom2)
MODE = Caveat("not ML", "fixed effects from the penalised mode", _generalized)
NO_CONSTANTS = Caveat(
    "not ML", "fixed effects from the penalised mode; log-likelihood without constants", _poisson
)
PROBES = Caveat("different likelihood", "log determinant estimated with random probes", _several)
EXPECTED = Caveat("different likelihood", "Laplace with expected information", _nbinom2)
CERTIFIED = Caveat("different likelihood", "the integral, certified", _generalized)
QUADRATURE = Caveat("different likelihood", "adaptive quadrature, 11 points", _generalized)

_ROWS = (
    Engine("glimm", "python", "glimm", _glimm, zeros=True, call='integration="laplace"'),
    Engine("glimm auto", "python", "glimm", _glimm_auto, caveats=(CERTIFIED,), zeros=True,
           only=_generalized),
    Engine("glmm", "python", "glmm", _glmm, "glmm", ("glmm",), call='anova_test="Wald"'),
    Engine("gpboost", "python", "gpboost", _gpboost, "gpboost", ("gpboost", "pandas"),
           caveats=(INDEPENDENT, PROBES), only=_maximum_likelihood),
    Engine("gpboost cholesky", "python", "gpboost", _gpboost_cholesky, "gpboost",
           caveats=(INDEPENDENT,), call='matrix_inversion_method="cholesky"',
           only=lambda problem: _several(problem) and not problem.reml),
    Engine("mixedlm", "python", "mixedlm", _mixedlm, "mixedlm", ("mixedlm", "pandas"),
           caveats=(SHAPE_HELD,)),
    Engine("interlace", "python", "interlace-lme", _interlace, "interlace",
           ("interlace-lme", "pandas"), caveats=(SHAPE_HELD,)),
    Engine("lme-python", "python", "lme-python", _lme_python, "lme-python",
           ("lme-python", "polars", "numpy"), frozenset({"gaussian", "binomial", "poisson"}),
           (NO_CONSTANTS, MODE)),
    Engine("lme4", "R", "lme4", caveats=(EXPECTED,)),
    Engine("lme4 nAGQ=0", "R", "lme4", caveats=(MODE,), call="nAGQ = 0", only=_generalized),
    Engine("glmmTMB", "R", "glmmTMB", zeros=True),
    Engine("GLMMadaptive", "R", "GLMMadaptive", caveats=(QUADRATURE,),
           only=lambda problem: len(problem.bars) == 1 and _generalized(problem)),
)  # fmt: skip
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ROWS}

LEFT_OUT = {
    "statsmodels": "its binomial and Poisson mixed models are Bayesian, by variational "
    "approximation or posterior mode under priors: another objective, no marginal likelihood",
    "MixedModels.jl": "needs a Julia installation, which this harness does not drive",
}
