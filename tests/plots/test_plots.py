"""Pictures show the numbers of their results, with every label there."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import glimm

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")


@functools.cache
def cbpp() -> glimm.Fit:
    data = glimm.datasets.load("cbpp")
    return glimm.fit("incidence / size ~ C(period) + (1 | herd)", data, family="binomial")


@functools.cache
def sleep() -> glimm.Fit:
    data = glimm.datasets.load("sleepstudy")
    return glimm.fit("reaction ~ days + (1 + days | subject)", data)


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    matplotlib.pyplot.close("all")


def texts(ax: Any) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def drawn(ax: Any) -> None:
    """Labels, titles and captions lie inside of the figure."""
    figure = ax.figure
    figure.canvas.draw()
    box = figure.bbox
    words = [*ax.get_yticklabels(), *ax.texts, ax.xaxis.label, ax.yaxis.label, ax.title]
    for text in words:
        if text.get_text().strip():
            extent = text.get_window_extent()
            assert extent.x0 >= box.x0 - 2, text.get_text()
            assert extent.x1 <= box.x1 + 2, text.get_text()


def test_forest_of_effects() -> None:
    ax = glimm.plots.effects(cbpp())
    assert texts(ax) == list(cbpp().names[1:])
    (line,) = (line for line in ax.lines if line.get_marker() == "o")
    assert_allclose(line.get_xdata(), list(cbpp().coef.values())[1:])
    ratio = glimm.plots.effects(cbpp(), ratio=True, intercept=True)
    assert ratio.get_xlabel() == "odds ratio"
    assert ratio.get_xscale() == "log"
    with pytest.raises(glimm.DataError, match="is for the links 'logit'"):
        glimm.plots.effects(sleep(), ratio=True)
    drawn(ax)
    drawn(ratio)


def test_caterpillar() -> None:
    axes = glimm.plots.caterpillar(sleep())
    assert len(axes) == 2
    modes = sleep().estimates.modes[0]
    for j, ax in enumerate(axes):
        (line,) = (line for line in ax.lines if line.get_marker() == "o")
        assert_allclose(line.get_xdata(), np.sort(modes[:, j]))
        # An interval for each level, wider than with the parameters taken as known.
        (bars,) = ax.collections
        ends = np.array([path.vertices[:, 0] for path in bars.get_paths()])
        given = np.sqrt(sleep().estimates.covariances[0][:, j, j])[np.argsort(modes[:, j])]
        assert np.all(np.diff(ends)[:, 0] / 2 > 1.96 * given)
        drawn(ax)
    with pytest.raises(glimm.DataError, match="'herd'"):
        glimm.plots.caterpillar(cbpp(), "cow")


def test_curves_show_both_estimands_and_the_data() -> None:
    data = glimm.datasets.load("cbpp")
    fit = glimm.fit("incidence / size ~ period + (1 | herd)", data, family="binomial")
    (ax,) = glimm.plots.curves(fit, "period")
    one, other = (line for line in ax.lines)
    for line, effect in ((one, "subject"), (other, "population")):
        at = {"period": list(line.get_xdata())}
        expected = glimm.means(fit, at=at, effect=effect).estimate
        assert_allclose(line.get_ydata(), expected)
    points = ax.collections[0].get_offsets()
    first = data[data["period"] == 1]
    assert_allclose(points[0], [1.0, first["incidence"].sum() / first["size"].sum()])
    drawn(ax)
    with pytest.raises(glimm.DataError, match="is a factor"):
        glimm.plots.curves(cbpp(), "period")


def test_curves_have_a_panel_for_each_value() -> None:
    data = glimm.datasets.load("epilepsy")
    fit = glimm.fit("seizures ~ treatment * period + (1 | patient)", data, family="poisson")
    axes = glimm.plots.curves(fit, "period", by="treatment")
    assert [ax.get_title() for ax in axes] == ["treatment placebo", "treatment progabide"]
    drawn(axes[0])


def test_results_draw_themselves() -> None:
    found = glimm.comparisons(cbpp(), "period", type="ratio", adjust="bonferroni")
    ax = found.plot()
    assert texts(ax) == found.labels["contrast"]
    assert "simultaneous" in ax.get_title(loc="left")
    means = glimm.means(cbpp(), "period").plot()
    assert texts(means)[0] == "period 1"
    drawn(ax)
    given = matplotlib.pyplot.subplots()[1]
    assert glimm.means(cbpp(), "period").plot(ax=given) is given


def test_power_curve() -> None:
    curve = glimm.power_curve(
        "y ~ drug + (1 | subject)",
        {"subject": np.repeat(np.arange(8), 3), "drug": np.repeat(np.arange(8) % 2, 3)},
        {"(Intercept)": 0.0, "drug": 1.0},
        sizes={"subject": [8, 16]},
        random={"subject": 0.5},
        parameters={"sigma": 1.0},
        n=10,
    )
    ax = curve.plot()
    assert ax.get_xlabel() == "levels of subject"
    drawn(ax)


def test_profiles_and_bootstraps() -> None:
    x = np.linspace(-3, 3, 41)
    axes = glimm.plots.profile(dict.fromkeys(("a", "b", "sd of c", "d"), (x + 1, x)))
    assert [ax.get_title() for ax in axes] == ["a", "b", "sd of c", "d"]
    draws = {"a": np.random.default_rng(1).normal(size=200)}
    (ax,) = glimm.plots.bootstrap(draws, estimates={"a": 0.0}, intervals={"a": (-2.0, 2.0)})
    assert ax.get_xlabel() == "200 data sets"


def test_a_profile_and_a_bootstrap_draw_themselves() -> None:
    found = sleep().profile()
    axes = found.plot()
    assert [ax.get_title() for ax in axes] == [curve.name for curve in found.curves]
    draws = cbpp().bootstrap(30, seed=1)
    axes = draws.plot()
    assert [ax.get_title() for ax in axes] == list(draws.names)


def test_influence_names_the_groups_that_stand_out() -> None:
    found = glimm.influence(sleep())
    for measure in ("displacement", "cooks", "covariance_ratio", "leverage"):
        ax = glimm.plots.influence(found, measure=measure)
        drawn(ax)
        assert_allclose(ax.lines[0].get_ydata(), getattr(found, measure))
    ax = found.plot()
    assert str(found.labels[int(np.argmax(found.displacement))]) in {t.get_text() for t in ax.texts}
    with pytest.raises(glimm.DataError, match="measure"):
        glimm.plots.influence(found, measure="size")


def test_a_band_holds_all_of_a_uniform_sample_at_its_level() -> None:
    from glimm.plots.checks import simultaneous_band

    ranks, low, high = simultaneous_band(80)
    rng = np.random.default_rng(3)
    sample = np.sort(rng.random((2000, 80)), axis=1)[:, ranks - 1]
    inside = ((sample >= low) & (sample <= high)).all(axis=1).mean()
    assert 0.93 < inside < 0.97


def test_curves_of_quartiles_lie_at_the_quartiles() -> None:
    from glimm.plots.checks import quantile_curves

    rng = np.random.default_rng(4)
    u, x = rng.random(20000), rng.normal(size=20000)
    for given in (x, np.round(x)):
        at, curves = quantile_curves(u, given)
        middle = np.abs(at) < 1.5
        assert_allclose(curves[:, middle] - [[0.25], [0.5], [0.75]], 0, atol=0.05)


def test_a_page_has_a_panel_for_each_question() -> None:
    data = glimm.datasets.load("epilepsy")
    formula = "seizures ~ baseline + treatment + (1 | patient)"
    page = glimm.fit(formula, data, family="poisson").check(n=39, null="exact", try_next=False)
    figure = page.plot()
    names = [ax.get_xlabel() for ax in figure.axes]
    assert {"fitted", "baseline", "treatment", "mean squared Pearson residual"} <= set(names)
    assert len(names) == 7
    figure.canvas.draw()
    foreign = glimm.checks.foreign(np.zeros(60), np.random.default_rng(1).normal(size=(60, 99)))
    assert glimm.checks.page(foreign).plot().axes


def test_residuals_against_a_predictor() -> None:
    rng = np.random.default_rng(5)
    u = rng.random(300)
    ax = glimm.plots.against(u, rng.lognormal(size=300) ** 2, "size")
    assert ax.get_xscale() == "log"
    ax = glimm.plots.against(u, np.array(list("abc") * 100), "kind", notable=True)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    drawn(glimm.plots.normal_quantiles(rng.normal(size=50)))
    drawn(glimm.plots.under_model(rng.poisson(3, 100), 9, "zeros", notable=True))
