"""Trees: reading them, and the covariance of their tips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from families_of_animals import dense

from glimm import DataError, Phylogeny
from glimm.pedigree.newick import read_newick

EXACT = 1e-12
TREE = "((a:1,b:1.5)ab:2,(c:1,d:0.5,'e f':2e0)[a comment]:0.5,g:3)root;"
# Lengths of the paths that tips share, by hand.
SHARED = np.array(
    [
        [3, 2, 0, 0, 0, 0],
        [2, 3.5, 0, 0, 0, 0],
        [0, 0, 1.5, 0.5, 0.5, 0],
        [0, 0, 0.5, 1, 0.5, 0],
        [0, 0, 0.5, 0.5, 2.5, 0],
        [0, 0, 0, 0, 0, 3],
    ]
)


@pytest.mark.parametrize("scale", [True, False])
def test_covariance_of_tips(scale: bool) -> None:
    tree = Phylogeny(TREE, scale=scale)
    assert tree.tips == ("a", "b", "c", "d", "e f", "g")
    assert tree.height == 3.5
    assert not tree.ultrametric
    expected = SHARED / 3.5 if scale else SHARED
    np.testing.assert_allclose(tree.covariance(), expected, atol=EXACT)
    whole = np.linalg.inv(dense(tree))
    place = [tree.labels.index(tip) for tip in tree.tips]
    np.testing.assert_allclose(whole[np.ix_(place, place)], expected, atol=EXACT)
    assert tree.log_determinant == pytest.approx(np.linalg.slogdet(dense(tree))[1], abs=EXACT)
    few = Phylogeny(TREE, scale=scale, nodes="tips")
    assert few.labels == tree.tips
    np.testing.assert_allclose(np.linalg.inv(dense(few)), expected, atol=EXACT)
    assert few.log_determinant == pytest.approx(-np.linalg.slogdet(expected)[1], abs=EXACT)


def test_inner_nodes_have_names_of_their_own() -> None:
    tree = Phylogeny("((a:1,b:1)0.97:1,(c:1,d:1)a:1);")
    assert tree.ultrametric
    assert set(tree.labels) - set(tree.tips) == {"node 1", "node 4"}


def test_inner_branches_of_no_length_are_polytomies() -> None:
    tree = Phylogeny("((a:1,b:1):0,c:1);")
    assert tree.labels == ("a", "b", "c")
    np.testing.assert_allclose(tree.covariance(), np.eye(3))


def test_files_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "tree.nwk"
    path.write_text("[&R] ( 'it''s':1 [x[y]],\n b_c : 2 ) ; \n")
    assert Phylogeny(path).tips == Phylogeny(str(path)).tips == ("it's", "b_c")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("((a:1,b:1):1,c:2)", "the ; at the end"),
        ("((a:1,b:1):1,c:2;", "1 parentheses are still open"),
        ("(a:1,b:1):1,c:2);", "outside of all parentheses"),
        ("(a:1,,b:1);", "a label is missing"),
        ("(a:1,b);", "'b' has no branch length"),
        ("(a:1,b:-1);", "not negative"),
        ("(a:1,b:x);", "'x' is no branch length"),
        ("(a:1,b:0);", "tip 'b' is at no distance"),
        ("(a:1,a:1);", "two tips are named 'a'"),
        ("(a b:1,c:1);", "quote labels with spaces"),
        ("(a:1,b:1);(c:1,d:1);", "text after the tree"),
        ("(a:1[oh,b:1);", "comment that is not closed"),
        ("(a:1);", "two tips"),
        ("no-such-file.nwk", "neither Newick text"),
    ],
)
def test_errors_tell_the_place(text: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        Phylogeny(text)
    assert caught.value.code == "newick"
    assert words in str(caught.value), str(caught.value)
    assert "neither" in words or "character" in str(caught.value)


def test_a_deep_tree_needs_no_deep_stack() -> None:
    depth = 20_000
    text = "(" * depth + "t0:1" + "".join(f",t{k}:1):1" for k in range(1, depth + 1)) + ";"
    tree = read_newick(text)
    assert len(tree.label) == 2 * depth + 1
    assert len(Phylogeny(text).tips) == depth + 1
