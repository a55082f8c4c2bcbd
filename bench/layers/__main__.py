"""Measures what each layer costs: ``python -m bench.layers``.

Saves the figures in pytest-benchmark's format, and prints them as one table.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

import pytest

from bench.layers.contest import QUICK, USUAL
from bench.layers.reporting import Plugin
from bench.layers.table import EXPLANATION, table

_ROOT: Final = Path(__file__).parents[2]
_ALL: Final = Path(__file__).with_name("test_layers.py")
_WARNING: Final = "pytest_benchmark.logger.PytestBenchmarkWarning"
_GROUP_WITHIN_S: Final = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; return 0 if every benchmark has figures, and 1 if not."""
    given = _parser().parse_args(arguments)
    options = [
        *map(str, given.files or [_ALL]),
        *("-c", str(_ROOT / "pyproject.toml"), "--rootdir", str(_ROOT)),
        *("-p", "no:xdist", "-p", "no:cacheprovider"),
        *("-q", "-s", "--tb", "short", "--timeout", str(_GROUP_WITHIN_S)),
        *("-W", f"default::{_WARNING}", "-W", f"ignore:Benchmark fixture was not used:{_WARNING}"),
        *(_comparing(given.compare) if given.compare else ["--benchmark-quiet"]),
        *("--benchmark-autosave", "--benchmark-save-data"),
        *("--benchmark-storage", f"file://{given.storage}"),
        *(("-k", given.k) if given.k else ()),
    ]
    plugin = Plugin(QUICK if given.quick else USUAL)
    with redirect_stdout(sys.stderr):  # what pytest says is no result
        code = pytest.main(options, plugins=[plugin])
    if plugin.saved:
        sys.stdout.write(f"{table(plugin.saved)}\n\n{EXPLANATION}\n")
        sys.stderr.write(f"saved in {given.storage}\n")
    return 0 if code is pytest.ExitCode.OK else 1


def _comparing(run: str) -> list[str]:
    """Return what makes pytest-benchmark show these figures beside those of a saved run."""
    return [
        *("--benchmark-compare", run),
        *("--benchmark-group-by", "fullname", "--benchmark-columns", "median,iqr,ops,rounds"),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.layers", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="of benchmarks, instead of all layers")
    parser.add_argument("-k", metavar="EXPRESSION", help="which benchmarks, as pytest selects")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, under a minute")
    parser.add_argument("--storage", type=Path, default=Path(".benchmarks"), help="where to save")
    parser.add_argument("--compare", metavar="RUN", help="a saved run to show too, such as 0001")
    return parser


if __name__ == "__main__":
    sys.exit(main())
