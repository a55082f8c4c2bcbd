"""``python -m loadtests run``: a load without anybody watching, and what is said of it."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc

from loadtests import PROJECT, options, pages, thresholds
from loadtests.goods import reason_of
from loadtests.progress import Progress
from loadtests.results import Comparison, Report, Stock, Threshold
from loadtests.shops import UnusableShopError
from loadtests.trial import NothingMeasuredError, Trial

_FAILED: Final = 1
_UNUSABLE: Final = 2
_INTERRUPTED: Final = 130


def main(argv: Sequence[str], *, master: bool = False) -> int:
    """Run and return the exit code. A master leaves the load to workers elsewhere.

    0 is a run that kept its limits, 1 one that did not or whose stock is wrong, 2 one that could
    not be made, 130 one that was interrupted before anything was measured.
    """
    given = options.of_master(argv) if master else options.of_run(argv)
    logging.basicConfig(level=logging.WARNING)
    progress = Progress()
    try:
        report = Trial(given, argv, progress).report()
    except UnusableShopError as error:
        progress.end()
        sys.stderr.write(f"{error}\n")
        return _UNUSABLE
    except grpc.RpcError as error:
        progress.end()
        sys.stderr.write(f"the shop cannot be reached or prepared: {reason_of(error)}\n")
        return _UNUSABLE
    except OSError as error:
        progress.end()
        sys.stderr.write(f"the services' figures cannot be read: {error}\n")
        return _UNUSABLE
    except NothingMeasuredError:
        progress.end()
        sys.stderr.write("interrupted before anything was measured\n")
        return _INTERRUPTED
    report = replace(report, thresholds=thresholds.judge(report, thresholds.limits_of(given)))
    folder = given.out or PROJECT / "out/load" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    written = pages.write(report, folder)
    progress.end()
    _tell(report, written)
    return _exit_code(report)


def _tell(report: Report, written: Sequence[Path]) -> None:
    lines = [_speedup(each) for each in report.comparisons]
    lines += [*report.notes, *(_threshold(each) for each in report.thresholds)]
    if report.stock is not None:
        lines.append(_stock(report.stock))
    lines += [str(path) for path in written]
    sys.stdout.write("\n".join(lines) + "\n")


def _speedup(found: Comparison) -> str:
    return (
        f"{found.method} {found.arm}: {found.speedup:.2f} times faster than {found.base} "
        f"({found.low:.2f} to {found.high:.2f})"
    )


def _threshold(judged: Threshold) -> str:
    verdict = "kept" if judged.passed else "NOT KEPT"
    return f"{judged.name}: {judged.measured:g}, limit {judged.limit:g}: {verdict}"


def _stock(stock: Stock) -> str:
    if stock.open_orders:
        return f"The stock cannot be checked: {stock.open_orders} checkouts ended unknown."
    found = f"{stock.pieces_sold:,} pieces sold of {stock.products:,} products"
    if stock.wrong:
        return f"The stock is WRONG for {len(stock.wrong)} products ({found})."
    return f"The stock is right: {found}."


def _exit_code(report: Report) -> int:
    wrong = report.stock is not None and report.stock.wrong and not report.stock.open_orders
    return _FAILED if wrong or not all(each.passed for each in report.thresholds) else 0
