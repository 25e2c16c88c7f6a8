"""The program: what it prints, where, and its exit codes."""

from __future__ import annotations

import gzip
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import glimm
from glimm import cli, datasets

FORMULA = "incidence / size ~ C(period) + (1 | herd)"
FIT = ["fit", FORMULA, "dataset:cbpp", "--family", "binomial"]


def test_fit_prints_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(FIT) == 0
    out, err = capsys.readouterr()
    assert out.index("Formula") < out.index("Converged") < out.index("Random effects")
    assert FORMULA in out
    assert "logLik -91.983" in out
    assert err == ""
    assert "\x1b" not in out


@pytest.mark.parametrize("name", ["cbpp.csv", "cbpp.csv.gz", "cbpp.tsv", "cbpp.parquet"])
def test_files_of_every_format_give_the_same_fit(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    text = datasets.text("cbpp")
    if name.endswith(".parquet"):
        datasets.load("cbpp").to_parquet(file)
    elif name.endswith(".gz"):
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text.replace(",", "\t") if name.endswith(".tsv") else text)
    assert cli.main(FIT) == 0
    expected = capsys.readouterr().out
    assert cli.main(["fit", FORMULA, str(file), "--family", "binomial"]) == 0
    assert capsys.readouterr().out == expected


def test_csv_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(datasets.text("cbpp")))
    assert cli.main(["fit", FORMULA, "-", "--family", "binomial"]) == 0
    assert "-91.983" in capsys.readouterr().out


def test_what_cannot_be_saved_is_printed_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*FIT, "--save", str(tmp_path / "nosuch" / "file")]) == 2
    out, err = capsys.readouterr()
    assert "logLik" in out
    assert "nosuch" in err


def test_json_is_the_fit_in_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*FIT, "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["converged"] is True
    assert record["groups"] == {"herd": 15}
    assert record["loglik"] == pytest.approx(-91.9834, abs=1e-4)
    names = [row["name"] for row in record["fixed_effects"]]
    assert names == ["(Intercept)", "C(period)[T.2]", "C(period)[T.3]", "C(period)[T.4]"]


@pytest.mark.parametrize(
    ("form", "sign"), [("markdown", "| :-- |"), ("html", "<table>"), ("latex", r"\toprule")]
)
def test_other_formats(form: str, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*FIT, "--format", form]) == 0
    assert sign in capsys.readouterr().out


def test_a_saved_fit_is_shown_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cbpp.glimm"
    assert cli.main([*FIT, "--save", str(file)]) == 0
    printed = capsys.readouterr().out
    assert cli.main(["show", str(file)]) == 0
    assert capsys.readouterr().out == printed


def test_trials_and_offset_name_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = datasets.load("cbpp")
    data["shift"] = 1.0
    file = tmp_path / "data.csv"
    data.to_csv(file, index=False)
    command = ["fit", "incidence ~ 1 + (1 | herd)", str(file), "--family", "binomial"]
    intercepts = []
    for options in ([], ["--offset", "shift"]):
        assert cli.main([*command, "--trials", "size", "--format", "json", *options]) == 0
        record = json.loads(capsys.readouterr().out)
        intercepts.append(record["fixed_effects"][0]["estimate"])
    assert intercepts[0] - intercepts[1] == pytest.approx(1.0, abs=1e-5)


def test_not_converged_is_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = glimm.fit(FORMULA, datasets.load("cbpp"), "binomial")
    limit = "the step limit was reached"
    estimates = replace(fit.estimates, converged=False, reason=limit)
    stuck = replace(fit, estimates=estimates)
    monkeypatch.setattr(glimm, "fit", lambda *_, **__: stuck)
    assert cli.main(FIT) == 1
    assert f"NO: {limit}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "incidence ~ nosuch + (1 | herd)", "dataset:cbpp"], "nosuch"),
        (["fit", "incidence ~ (1 | herd", "dataset:cbpp"], "^"),
        (["fit", FORMULA, "dataset:cbp"], "'cbpp'"),
        (["fit", FORMULA, "nosuch.csv"], "nosuch.csv"),
        (["fit", FORMULA, "dataset:cbpp", "--family", "binomal"], "binomial"),
        (["datasets", "cbp"], "'cbpp'"),
        (["datasets", "--csv"], "name of a study"),
        (["show", "nosuch.glimm"], "nosuch.glimm"),
    ],
)
def test_wrong_input_is_one_message_and_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("glimm: ")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["data.xlsx", "bad.csv", "bad.parquet"])
def test_unreadable_files_are_code_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.write_bytes(b'a,b\n1,2,3\n"4')
    assert cli.main(["fit", "a ~ 1", str(file)]) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize(("name", "library"), [("data.csv", "pandas"), ("data.parquet", "pyarrow")])
def test_a_missing_library_is_named(
    name: str,
    library: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / name).write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, library, None)
    assert cli.main(["fit", "a ~ 1", str(tmp_path / name)]) == 2
    assert f"pip install {library}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fit"], ["nosuch"], [*FIT, "--format", "pdf"]])
def test_wrong_usage_is_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def _raise(error: BaseException) -> Any:
    def run(*_: Any, **__: Any) -> Any:
        raise error

    return run


def test_interruption_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(glimm, "fit", _raise(KeyboardInterrupt()))
    assert cli.main(FIT) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("traceback", [True, False])
def test_the_unexpected_is_code_3(
    traceback: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(glimm, "fit", _raise(ZeroDivisionError("deep inside")))
    assert cli.main([*(["--traceback"] if traceback else []), *FIT]) == 3
    err = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: deep inside" in err
    assert ("Traceback" in err) is traceback


def test_help_documents_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for code in (cli.CONVERGED, cli.TROUBLE, cli.WRONG_INPUT, cli.UNEXPECTED, cli.INTERRUPTED):
        assert f"\n  {code} " in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"glimm {glimm.__version__}\n"


def test_datasets_lists_describes_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["datasets"]) == 0
    listing = capsys.readouterr().out
    assert all(name in listing for name in datasets.names())
    assert cli.main(["datasets", "epilepsy"]) == 0
    assert "Thall PF, Vail SC (1990)" in capsys.readouterr().out
    assert cli.main(["datasets", "cbpp", "--csv"]) == 0
    assert capsys.readouterr().out == datasets.text("cbpp")
    file = tmp_path / "cbpp.csv"
    assert cli.main(["datasets", "cbpp", "--csv", str(file)]) == 0
    assert file.read_text() == datasets.text("cbpp")


def test_a_saved_fit_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib").use("agg")
    file, page, picture = (tmp_path / name for name in ("s.glimm", "s.html", "s.png"))
    fit = ["fit", "reaction ~ days + (1 | subject)", "dataset:sleepstudy", "--save", str(file)]
    assert cli.main(fit) == 0
    capsys.readouterr()
    command = ["check", str(file), "--seed", "1", "--html", str(page), "--plot", str(picture)]
    assert cli.main(command) == 1
    assert "(1 + days | subject)" in capsys.readouterr().out
    assert "<svg" in page.read_text(encoding="utf-8")
    assert picture.stat().st_size > 1000
