"""The `glimm` program: fit a model to a file, list the shipped studies, show or check a fit."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CODES, DataError, GlimmError

if TYPE_CHECKING:
    from .fit import Fit
    from .tables import Block

CONVERGED, TROUBLE, WRONG_INPUT, UNEXPECTED, INTERRUPTED = 0, 1, 2, 3, 130
_FORMATS = ("text", "markdown", "html", "latex", "json")
_WIDEST = 100  # longer lines are hard to read, however wide the terminal
_NEEDS = "reading {0} needs {1}, which is not installed: pip install {1}"
_EPILOG = """\
exit codes:
  0    fitted and converged (or nothing was to be fitted)
  1    fitted, but not converged: the printout says what stands in the way
  2    wrong usage, or the data or the formula cannot be used: see the message
  3    unexpected failure; --traceback shows where
  130  interrupted
"""

_EXAMPLE = """
example:
  glimm fit "seizures ~ treatment * period + (1 | patient)" dataset:epilepsy --family nbinom2
"""
_FIT_ARGUMENTS: dict[str, dict[str, Any]] = {
    "formula": {"help": 'such as "y ~ x + (1 + x | group)"; quote it'},
    "data": {
        "help": "file (.csv, .tsv, .csv.gz, .parquet), - for CSV from standard input, "
        "or dataset:NAME for a shipped study"
    },
    "--family": {"default": "gaussian", "help": "family of the response (gaussian)"},
    "--link": {"help": "link function (the family's usual one)"},
    "--zi": {"metavar": "FORMULA", "help": 'extra zeros, such as "~ x + (1 | g)"'},
    "--disp": {"metavar": "FORMULA", "help": 'dispersion, such as "~ x"'},
    "--reml": {
        "action": argparse.BooleanOptionalAction,
        "help": "restricted maximum likelihood (the default for gaussian mixed models)",
    },
    "--integration": {
        "default": "auto",
        "help": "auto, laplace, agq:K, exact, importance:N, ep: integral over random effects",
    },
    "--trials": {"metavar": "COL", "help": "column with the number of trials"},
    "--freq": {"metavar": "COL", "help": "column with frequency weights"},
    "--precision": {"metavar": "COL", "help": "column with precision weights"},
    "--offset": {"metavar": "COL", "help": "column added to the linear predictor"},
    "--missing": {
        "choices": ("drop", "error"),
        "default": "drop",
        "help": "rows with missing values: leave out and report, or stop (drop)",
    },
    "--threads": {"type": int, "metavar": "N", "help": "number of threads (all cores)"},
    "--save": {"type": Path, "metavar": "FILE", "help": "write the fit to FILE"},
}

_GEE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "formula": {"help": 'such as "y ~ x"; quote it'},
    "data": {"help": "as in glimm fit"},
    "--groups": {"required": True, "metavar": "COL", "help": "column with the clusters"},
    "--corr": {"default": "exchangeable", "help": "working correlation (exchangeable)"},
    "--time": {"metavar": "COL", "help": "column with times, where the correlation needs them"},
    "--subgroups": {"metavar": "COL", "help": "groups within clusters, for --corr nested"},
    "--covariance": {"default": "auto", "help": "of the coefficients: robust, model ... (auto)"},
    "--df": {"default": "auto", "help": "normal, clusters, satterthwaite ... (auto)"},
    "--scale": {"help": 'a number it is held at, or a formula such as "~ x"'},
    "--weights": {"metavar": "COL", "help": "column with sampling weights"},
}
_SHARED = ("family", "link", "trials", "freq", "precision", "offset", "missing", "threads")
_GEE_ARGUMENTS |= {f"--{name}": _FIT_ARGUMENTS[f"--{name}"] for name in _SHARED}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; from the command line when not given.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CONVERGED
    except GlimmError as error:
        page = f"see docs/{CODES[error.code].anchor}"
        return _complain(f"{error.message}\n{page}", WRONG_INPUT, options)
    except OSError as error:
        return _complain(str(error), WRONG_INPUT, options)
    except SystemExit:
        raise
    except BaseException as error:  # a panic of the core is no Exception
        return _complain(f"unexpected {type(error).__name__}: {error}", UNEXPECTED, options)


def _complain(message: str, code: int, options: argparse.Namespace) -> int:
    if options.traceback:
        import traceback

        traceback.print_exc()
    print(f"glimm: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glimm",
        description="Linear and generalized linear mixed models by maximum likelihood.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version)
    parser.add_argument("--traceback", action="store_true", help="show where a failure arose")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fit(commands)
    _add_gee(commands)
    _add_datasets(commands)
    _add_show(commands)
    _add_check(commands)
    return parser


class _Version(argparse.Action):
    """Print the version; looked up only when asked for, to start fast."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from importlib.metadata import version

        print(f"glimm {version('glimm')}")
        parser.exit()


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        help="fit a model to a CSV or Parquet file",
        description="Fit a mixed model to a CSV or Parquet file and print the result.",
        epilog=_EPILOG + _EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, settings in _FIT_ARGUMENTS.items():
        fit.add_argument(name, **settings)
    _add_format(fit)
    fit.set_defaults(run=_run_fit)


def _add_gee(commands: Any) -> None:
    gee = commands.add_parser(
        "gee",
        help="estimate population-averaged effects from a CSV or Parquet file",
        description="Solve generalized estimating equations and print the result.",
    )
    for name, settings in _GEE_ARGUMENTS.items():
        gee.add_argument(name, **settings)
    words = [word for word in _FORMATS if word != "json"]
    gee.add_argument("--format", choices=words, default="text", help="of the output (text)")
    gee.set_defaults(run=_run_gee)


def _add_datasets(commands: Any) -> None:
    datasets = commands.add_parser(
        "datasets",
        help="list, describe or write the shipped studies",
        description="List the shipped studies, describe one, or write it as CSV.",
    )
    datasets.add_argument("name", nargs="?", help="study to describe")
    csv = "write the study as CSV to FILE, or to standard output"
    datasets.add_argument("--csv", nargs="?", const="-", metavar="FILE", help=csv)
    datasets.set_defaults(run=_run_datasets)


def _add_show(commands: Any) -> None:
    show = commands.add_parser("show", help="print a saved fit", description="Print a saved fit.")
    show.add_argument("file", type=Path, help="file written by glimm fit --save or fit.save")
    _add_format(show)
    show.set_defaults(run=_run_show)


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="check whether a saved fit describes its data",
        description="Check every assumption of a saved fit: verdicts, and what to try next.",
        epilog="exit code 1: something was found",
    )
    check.add_argument("file", type=Path, help="file written by glimm fit --save or fit.save")
    check.add_argument("--seed", type=int, default=0, help="of draws and simulations (0)")
    check.add_argument("--time", metavar="COL", help="column along which independence is checked")
    check.add_argument("--html", type=Path, metavar="FILE", help="write the page with pictures")
    check.add_argument("--plot", type=Path, metavar="FILE", help="write the pictures: .png, .svg")
    check.set_defaults(run=_run_check)


def _add_format(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", choices=_FORMATS, default="text", help="of the output (text)")


def _run_fit(options: argparse.Namespace) -> int:
    import warnings

    import glimm

    data = _read(options.data)
    names = (
        "family", "link", "zi", "disp", "reml", "trials", "freq", "precision", "offset", "missing",
        "threads", "integration",
    )  # fmt: skip
    settings = {name: getattr(options, name) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)  # the printed findings say the same
        result = glimm.fit(options.formula, data, **settings)
    code = _print_fit(result, options.format)
    if options.save is not None:
        result.save(options.save)
    return code


def _run_gee(options: argparse.Namespace) -> int:
    import warnings

    import glimm

    names = [name.removeprefix("--") for name in _GEE_ARGUMENTS if name.startswith("--")]
    settings = {name: getattr(options, name) for name in names}
    if options.scale is not None and "~" not in options.scale:
        settings["scale"] = _number(options.scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)  # the printout says the same
        fit = glimm.gee(options.formula, _read(options.data), **settings)
    if options.format == "text":
        _print(fit.summary().blocks)
    else:
        print(getattr(fit.summary(), f"to_{options.format}")())
    return CONVERGED if fit.estimates.converged else TROUBLE


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        message = f"--scale {text!r} is neither a number nor a formula such as '~ x'"
        raise DataError(message, code="unknown_option") from None


def _run_show(options: argparse.Namespace) -> int:
    import glimm

    return _print_fit(glimm.load(options.file), options.format)


def _run_check(options: argparse.Namespace) -> int:
    import glimm

    page = glimm.load(options.file).check(seed=options.seed, time=options.time)
    _print(list(page.tables))
    if options.html is not None:
        options.html.write_text(page.to_html(), encoding="utf-8")
    if options.plot is not None:
        page.plot().savefig(options.plot)
    return CONVERGED if page.calm else TROUBLE


def _print_fit(fit: Fit, form: str) -> int:
    from .summary import record, summary

    if form == "json":
        import json

        print(json.dumps(record(fit), indent=2))
    elif form == "text":
        _print(summary(fit).blocks)
    else:
        print(getattr(summary(fit), f"to_{form}")())
    return CONVERGED if fit.diagnostics.converged else TROUBLE


def _run_datasets(options: argparse.Namespace) -> int:
    from . import datasets

    if options.name is None:
        if options.csv is not None:
            raise DataError(
                "--csv needs the name of a study; glimm datasets lists them", code="unknown_option"
            )
        _print(_catalogue())
    elif options.csv is None:
        _print(_description(datasets.describe(options.name)))
    elif options.csv == "-":
        sys.stdout.write(datasets.text(options.name))
    else:
        Path(options.csv).write_text(datasets.text(options.name), encoding="utf-8")
    return CONVERGED


def _catalogue() -> list[Block]:
    from . import datasets
    from .tables import Column, Table

    entries = [datasets.describe(name) for name in datasets.names()]
    rows = tuple((entry.name, entry.rows, entry.title) for entry in entries)
    columns = (Column("name"), Column("rows", "integer"), Column("study"))
    note = "glimm datasets NAME describes one; glimm fit FORMULA dataset:NAME fits a model to it."
    return [Table("Shipped studies", columns, rows, (note,))]


def _description(entry: Any) -> list[Block]:
    from .tables import Bullets, Column, Facts, Table

    facts = (
        ("Field", entry.field),
        ("Rows", f"{entry.rows:,}"),
        ("Source", entry.source),
        ("Licence", entry.licence),
    )
    columns = tuple((column.name, column.meaning) for column in entry.columns)
    first = f'glimm fit "{entry.formula}" dataset:{entry.name} --family {entry.family}'
    blocks: list[Block] = [
        Facts(entry.title, facts),
        Table("Columns", (Column("name"), Column("meaning")), columns),
    ]
    if entry.notes:
        blocks.append(Bullets("Notes", entry.notes))
    return [*blocks, Bullets("A first model", (first,))]


def _print(blocks: Sequence[Block]) -> None:
    """Blocks as text, in colour and as wide as sensible on a terminal."""
    import shutil

    from .tables import WIDTH, draw

    terminal = sys.stdout.isatty()
    width = min(shutil.get_terminal_size().columns, _WIDEST) if terminal else WIDTH
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a pipe may not know the rule's line sign
    print(draw(blocks, width=width, colour=terminal and "NO_COLOR" not in os.environ))


def _read(source: str) -> Any:
    """The frame behind what the user named: a shipped study, standard input or a file."""
    if source.startswith("dataset:"):
        from . import datasets

        return datasets.load(source.removeprefix("dataset:"))
    if source == "-":
        return _read_csv(sys.stdin, "standard input", ",")
    path = Path(source)
    if path.is_fifo():
        return _read_csv(path, source, ",")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {source!r}; dataset:NAME is a shipped study")
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return _read_parquet(path)
    if name.endswith((".csv", ".tsv", ".txt")):
        return _read_csv(path, source, "\t" if name.endswith(".tsv") else ",")
    raise DataError(
        f"{source!r}: the name does not tell the format; .csv, .tsv, .csv.gz and .parquet are read",
        code="unknown_frame",
    )


def _read_csv(file: Any, name: str, separator: str) -> Any:
    try:
        import pandas
    except ImportError:
        raise DataError(_NEEDS.format("CSV", "pandas"), code="unknown_frame") from None
    try:
        return pandas.read_csv(file, sep=separator)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        message = f"{name} is not readable as CSV: {error}"
        raise DataError(message, code="unknown_frame") from error


def _read_parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise DataError(_NEEDS.format("Parquet", "pyarrow"), code="unknown_frame") from None
    try:
        return parquet.read_table(path)
    except ArrowException as error:
        message = f"{path} is not readable as Parquet: {error}"
        raise DataError(message, code="unknown_frame") from error


if __name__ == "__main__":
    sys.exit(main())
