"""Two runs side by side: ``python -m loadtests compare A.json B.json``."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests.changes import changes, sample_name
from loadtests.compared import Compared, as_json, as_markdown, as_text
from loadtests.encoded_histogram import UnreadableHistogramError
from loadtests.machine_drift import LOAD_AVERAGE, cautions
from loadtests.report_file import UnreadableReportError, read_report
from loadtests.results import Report, Run

FLOOR: Final = 0.10
_ABOUT_THE_RUN: Final = (
    "scenario",
    "model",
    "shape",
    "users",
    "rate_per_s",
    "duration_s",
    "warmup_s",
    "zipf_exponent",
    "seed",
)
_UNCOMPARABLE: Final = ("scenario", "model")


class NotComparableError(Exception):
    """The runs measured different things; says which."""


def main(argv: Sequence[str]) -> int:
    """Print what has changed from the first run to the second.

    Returns 0, or 1 if ``--fail-on-regression`` was given and something got worse, or 2 if a file
    cannot be read or the runs cannot be compared.
    """
    options = _parser().parse_args(argv)
    try:
        before, after = read_report(options.before), read_report(options.after)
        compared = compare(before, after, options.noise, anyway=options.anyway)
    except (UnreadableReportError, UnreadableHistogramError, NotComparableError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(_rendered(compared, options))
    return 1 if options.fail_on_regression and compared.worse else 0


def compare(
    before: Report, after: Report, floor: float = FLOOR, *, anyway: bool = False
) -> Compared:
    """Return what has changed, and in what the runs differed to begin with.

    ``floor`` is the share by which runs on the machine differ anyhow. Raises
    ``NotComparableError`` for runs of different scenarios or models, unless it is wanted
    ``anyway``, and for runs that have no method in common.
    """
    different = [
        name for name in _UNCOMPARABLE if getattr(before.run, name) != getattr(after.run, name)
    ]
    if different and not anyway:
        raise NotComparableError(
            f"the runs differ in {' and '.join(different)} and so measure different things; "
            "--anyway compares them"
        )
    only_before, only_after = _only_in(before, after), _only_in(after, before)
    if len(only_before) == len(before.samples):
        raise NotComparableError("the runs have no method in common")
    found = changes(before, after, floor)
    return Compared(
        differences=differences(before.run, after.run),
        only_before=only_before,
        only_after=only_after,
        floor=floor,
        cautions=cautions(before.run, after.run, found),
        changes=found,
    )


def differences(before: Run, after: Run) -> dict[str, tuple[str, str]]:
    """Return in what two runs differ that may change what they measure, with both values."""
    first, second = _facts(before), _facts(after)
    names = [*first, *(name for name in second if name not in first)]
    pairs = {name: (first.get(name, "none"), second.get(name, "none")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _facts(run: Run) -> dict[str, str]:
    plain = {name: getattr(run, name) for name in _ABOUT_THE_RUN}
    shown = {
        name: f"{value:g}" if isinstance(value, float) else str(value or "none")
        for name, value in plain.items()
    }
    # The load average is of no two runs the same, and nothing that anyone has set.
    facts = {**shown, **run.settings, **run.machine, **run.versions}
    return {name: value for name, value in facts.items() if name != LOAD_AVERAGE}


def _only_in(one: Report, other: Report) -> list[str]:
    others = {sample_name(sample) for sample in other.samples}
    return [name for sample in one.samples if (name := sample_name(sample)) not in others]


def _rendered(compared: Compared, options: Namespace) -> str:
    names = (str(options.before), str(options.after))
    if options.json:
        return as_json(compared, names)
    return as_markdown(compared, names) if options.markdown else as_text(compared, names)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m loadtests compare",
        description="Say what has changed from one run to another, beyond the noise.",
    )
    parser.add_argument("before", type=Path, metavar="A.json", help="report.json of the run before")
    parser.add_argument("after", type=Path, metavar="B.json", help="and of the one after")
    parser.add_argument(
        "--noise",
        type=_share,
        default=FLOOR,
        metavar="SHARE",
        help="by how much runs of the same code differ on this machine; %(default)s if not given",
    )
    parser.add_argument(
        "--fail-on-regression", action="store_true", help="exit with 1 if something got worse"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="compare runs of different scenarios or models too"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    form.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a number") from error
    if not 0 <= value < 10:
        raise ArgumentTypeError(f"{text!r} is not a share: 0.1 stands for a tenth")
    return value
