"""The docs tell the truth: examples print what they say, links and codes lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from blocks import ROOT, pages, rewritten

import glimm
from glimm.errors import CODES

ALL_PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = ["glimm", *(m.name for m in pkgutil.walk_packages(glimm.__path__, "glimm."))]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_examples_print_what_the_page_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert rewritten(text) == text


def _anchors(page: Path) -> set[str]:
    """Addresses of a page's headings, as code hosts form them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_code_has_its_section() -> None:
    for code in CODES.values():
        file, anchor = code.anchor.split("#")
        assert anchor in _anchors(ROOT / "docs" / file), code.name


def test_every_section_of_a_code_is_in_use() -> None:
    anchors = _anchors(ROOT / "docs" / "troubleshooting.md")
    prose = {
        "troubleshooting",
        "what-a-fit-can-find",
        "formulas",
        "data",
        "families-and-options",
        "estimating-equations",
        "files",
    }
    assert anchors - prose == set(CODES)


@pytest.mark.parametrize("page", ALL_PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file) if file else page
        assert goal.exists(), target
        assert not anchor or anchor in _anchors(goal), target


@pytest.mark.parametrize("name", [name for name in MODULES if name != "glimm._core"])
def test_examples_in_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_every_family_has_its_section() -> None:
    page = (ROOT / "docs" / "reference" / "families.md").read_text(encoding="utf-8")
    headings = {line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")}
    assert headings == set(glimm.families())
