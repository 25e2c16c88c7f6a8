"""What relations refuse, and what neighbours are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dense import gaussian
from scipy import sparse

import glimm


def raises(code: str, words: str):
    return pytest.raises(glimm.DataError, match=words)


@pytest.mark.parametrize(
    ("matrix", "labels", "words"),
    [
        ([[1.0, 0.5]], None, "shape"),
        ([[1.0, 0.5], [0.4, 1.0]], ["a", "b"], "not symmetric: 0.5 for levels 'a' and 'b'"),
        ([[1.0, 2.0], [2.0, 1.0]], None, "least eigenvalue is -1"),
        ([[1.0, np.nan], [np.nan, 1.0]], None, "not finite"),
        (np.eye(2), ["a"], "2 levels and 1 labels"),
        (np.eye(2), ["a", "a"], "'a' stands twice, in places 0 and 1"),
        ([["x", 1], [1, 2]], None, "must hold numbers"),
    ],
)
def test_matrices_that_are_no_relation(matrix, labels, words: str) -> None:
    with pytest.raises(glimm.DataError, match=words) as caught:
        glimm.Relationship(matrix, labels)
    assert caught.value.code.startswith("relation_")


def test_a_precision_must_be_definite() -> None:
    with pytest.raises(glimm.DataError, match="not positive definite"):
        glimm.Relationship(sparse.csr_array([[1.0, 2.0], [2.0, 1.0]]), precision=True)


def test_labels_of_a_frame() -> None:
    frame = pd.DataFrame(np.eye(3), index=["x", "y", "z"], columns=["x", "y", "z"])
    assert glimm.Relationship(frame).labels == ("x", "y", "z")


DATA = {"y": [1.0, 2.0, 2.5, 0.3, 1.1, 2.2], "g": ["a", "b", "c", "a", "b", "c"]}


@pytest.mark.parametrize(
    ("formula", "relations", "words"),
    [
        ("y ~ (1 | g, known=K)", {}, "relations= has none"),
        ("y ~ (1 | g, known=K)", {"L": glimm.Relationship(np.eye(2))}, "has 'L'"),
        ("y ~ (1 | g, known=K)", {"K": np.eye(3)}, "goes into\n?.*glimm.Relationship"),
        ("y ~ (1 | g, graph=K)", {"K": glimm.Relationship(np.eye(2))}, "write known=K"),
        (
            "y ~ (1 | g, known=K)",
            {"K": glimm.Relationship(np.eye(2), ["a", "b"])},
            "does not have: 'c' in rows 2, 5",
        ),
    ],
)
def test_relations_that_do_not_fit(formula: str, relations: dict, words: str) -> None:
    with pytest.raises(glimm.DataError, match=words) as caught:
        glimm.fit(formula, DATA, relations=relations)
    assert caught.value.code == "unknown_relation"


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("(1 | g, pedigre=K)", "one known relation"),
        ("(1 | g, known=)", "behind the comma"),
        ("(1 | g, known=K, graph=M)", "one known relation"),
        ("(1 | mm(a))", "mm"),
        ("(1 | mm(a, b + c))", "columns that hold groups"),
        ("(1 | mm(a, b, weights=(v)))", "mm"),
        ("(1, x)", "cannot stand here"),
    ],
)
def test_terms_that_cannot_be_read(term: str, words: str) -> None:
    with pytest.raises(glimm.FormulaError, match=words):
        glimm.fit(f"y ~ {term}", DATA)


def test_numbers_and_text_are_one_level() -> None:
    data = {"y": np.arange(12.0) ** 0.5 + np.tile([0.3, -0.2, 0.1], 4), "g": np.tile([7, 8, 9], 4)}
    k = np.array([[1.0, 0.3, 0.1], [0.3, 1.0, 0.3], [0.1, 0.3, 1.0]])
    known = glimm.Relationship(k, ["7", "8", "9"])
    fit = glimm.fit("y ~ 1 + (1 | g, known=K)", data, relations={"K": known})
    assert fit.design.terms[0].levels == (7, 8, 9)
    np.testing.assert_array_equal(fit.design.terms[0].codes, np.tile([0, 1, 2], 4))


def pinv(graph: glimm.Graph, weights: np.ndarray) -> np.ndarray:
    laplacian = np.diag(weights.sum(axis=1)) - weights
    return np.linalg.pinv(laplacian, hermitian=True)


def ring_and_chain() -> np.ndarray:
    w = np.zeros((9, 9))
    for i in range(5):
        w[i, (i + 1) % 5] = w[(i + 1) % 5, i] = 1.0 + i
    for i in range(5, 7):
        w[i, i + 1] = w[i + 1, i] = 2.0
    return w


def test_neighbours_have_the_pseudo_inverse() -> None:
    w = ring_and_chain()
    graph = glimm.Graph(w)
    assert repr(graph) == "Graph of 9 levels, 7 edges, 2 parts, 1 without neighbours"
    k = pinv(graph, w)
    k[8, 8] = 1.0
    found = graph.core.solve(np.eye(9).ravel(), 9).reshape(9, 9)
    np.testing.assert_allclose(found, k, atol=1e-12)
    np.testing.assert_allclose(graph.variances, np.diag(k), atol=1e-12)
    np.testing.assert_allclose(graph.root() @ graph.root().T, k, atol=1e-12)
    values = np.linalg.eigvalsh(np.linalg.pinv(k))
    assert graph.log_determinant == pytest.approx(np.log(values[values > 1e-9]).sum(), abs=1e-10)


def test_neighbours_in_a_model() -> None:
    rng = np.random.default_rng(3)
    w = ring_and_chain()
    g = rng.integers(0, 9, 90)
    data = {"y": rng.standard_normal(90) + 0.8 * np.sin(g), "g": g}
    fit = glimm.fit("y ~ 1 + (1 | g, graph=map)", data, relations={"map": glimm.Graph(w)})
    k = pinv(glimm.Graph(w), w)
    k[8, 8] = 1.0
    sigma, sd = np.exp(fit.estimates.parameters[1]), fit.estimates.parameters[2]
    z = np.eye(9)[g]
    v = gaussian(data["y"], np.ones((90, 1)), z, sd**2 * k, sigma**2, True)
    assert fit.loglik == pytest.approx(v, rel=1e-10)
    modes = fit.estimates.modes[0][:, 0]
    assert abs(modes[:5].sum()) < 1e-12
    assert abs(modes[5:8].sum()) < 1e-12
    # Henderson's equations on the effects that sum to zero.
    cov = sd**2 * k
    whole = np.linalg.inv(z @ cov @ z.T + sigma**2 * np.eye(90))
    phi = 1 / whole.sum()
    joint = cov - cov @ z.T @ (whole - phi * np.outer(whole.sum(0), whole.sum(0))) @ z @ cov
    se = fit.predict({"g": np.arange(9)}, interval="confidence", scale="link")["se"]
    assert np.isfinite(se).all()
    assert np.isfinite(joint).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"adjacency": np.zeros((3, 3))}, "no edges"),
        ({"adjacency": [[0, 1], [2, 0]]}, "not symmetric"),
        ({"adjacency": [[0, -1], [-1, 0]]}, "weight of -1"),
        ({"edges": [("a", "a")]}, "joins a level to itself"),
        ({"edges": [("a", "b")], "labels": ["a"]}, "not among the labels"),
        ({"edges": [("a", "b", "c")]}, "3 ends"),
        ({}, "one of them"),
    ],
)
def test_graphs_that_are_none(arguments: dict, words: str) -> None:
    with pytest.raises(glimm.DataError, match=words):
        glimm.Graph(**arguments)
