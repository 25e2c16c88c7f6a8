"""Run the examples of README and docs; compare, or rewrite, the output printed under them.

A `python` block followed by a `text` block must print that text; a `console` block holds a command
after `$` and its output. Blocks of a page run in order and share their names.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(python|console)\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.M | re.S)


def pages() -> list[Path]:
    """README and all pages of the docs that hold an example."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if _FENCE.search(page.read_text(encoding="utf-8"))]


def rewritten(text: str) -> str:
    """The page's text with every output replaced by what its example prints now."""
    names: dict[str, Any] = {"__name__": "__docs__"}
    pieces, end = [], 0
    for match in _FENCE.finditer(text):
        pieces += [text[end : match.start()], _block(match, names)]
        end = match.end()
    return "".join([*pieces, text[end:]])


def _block(match: re.Match[str], names: dict[str, Any]) -> str:
    language, code, output = match.groups()
    if language == "console":
        return f"```console\n{''.join(_console(code))}```\n" + _text(output)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "example", "exec"), names)
    return f"```python\n{code}```\n" + _text(None if output is None else printed.getvalue())


def _text(output: str | None) -> str:
    return "" if output is None else f"\n```text\n{output}```\n"


def _console(code: str) -> Iterator[str]:
    """The commands of a block, each followed by what it prints."""
    from glimm import cli

    for command in re.findall(r"^\$ (.*)$", code, re.M):
        program, *arguments = shlex.split(command)
        assert program == "glimm", f"cannot run {program}"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            cli.main(arguments)
        yield f"$ {command}\n{printed.getvalue()}"


if __name__ == "__main__":
    for page in pages():
        new = rewritten(page.read_text(encoding="utf-8"))
        if sys.argv[1:] == ["--write"]:
            page.write_text(new, encoding="utf-8")
        else:
            print(new)
