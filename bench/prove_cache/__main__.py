"""``python -m bench prove``: the cache's promises, checked read by read, under faults.

Two processes of each service run on stores of their own. Client processes write and read through
both, most of all from one what the other has just written, and note every read and write. After the
run each read is checked against the writes acknowledged before it started. The exit code
is 3 if a read was older than promised, or failed, and 4 if that was not measured: the time was over
before all was seen, too few reads were held to a bound, or the shop did not do as it should.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson
import uvloop

from bench.gate.verdict import Exit
from bench.prove_cache.checker import Promise, Verdict, check
from bench.prove_cache.faults import KINDS
from bench.prove_cache.history import History
from bench.prove_cache.report import figures, report
from bench.prove_cache.run import ClientEndedError, Options, run
from services.stack.errors import StackError

_LEAST_JUDGED: Final = 0.8


def main(argv: Sequence[str]) -> int:
    """Make a run, check it, say what was found, and return the exit code."""
    arguments = _parser().parse_args(argv)
    lease = {"SHOP_NEAR_LEASE_MS": str(round(arguments.near_bound_s * 1000))}
    options = Options(
        reads=arguments.reads,
        clients=arguments.processes,
        readers=arguments.readers,
        seed=arguments.seed,
        faults=arguments.faults,
        limit_s=arguments.limit_s,
        settings=lease | dict(arguments.set),
        folder=arguments.folder,
    )
    promise = Promise(arguments.near_bound_s)
    try:
        history = uvloop.run(run(options, _tell))
    except (ClientEndedError, StackError, TimeoutError) as error:
        _tell(f"not measured: {error!r}")
        return Exit.NOT_MEASURED
    verdict = check(history, promise)
    sys.stdout.write(report(history, verdict, promise) + "\n")
    if arguments.json is not None:
        found = orjson.dumps(figures(history, verdict), option=orjson.OPT_INDENT_2)
        arguments.json.write_bytes(found)
    return judged(options, history, verdict)


def judged(options: Options, history: History, verdict: Verdict) -> Exit:
    """Return what the run shows, and say why if that is nothing."""
    if not verdict.kept:
        return Exit.RED
    if verdict.reads < options.reads or not _all_seen(options, history):
        _tell("not measured: the time was over before the run was")
    elif verdict.judged_share < _LEAST_JUDGED:
        _tell(f"not measured: fewer than {_LEAST_JUDGED:.0%} of the reads were held to a bound")
    else:
        return Exit.PASSED
    return Exit.NOT_MEASURED


def _all_seen(options: Options, history: History) -> bool:
    return {fault.kind for fault in history.faults} >= set(options.faults)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench prove",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--reads", type=int, default=200_000, help="how many at least")
    add("--faults", type=_kinds, default="all", help=f"all, none, or some of {', '.join(KINDS)}")
    add("--processes", type=int, default=2, help="client processes")
    add("--readers", type=int, default=16, help="readers in each client process")
    add("--seed", type=int, default=1, help="of all that is left to chance")
    add("--near-bound-s", type=float, default=1.0, help="what a near read may miss")
    add("--limit-s", type=float, default=600.0, help="how long to read at most")
    add("--set", type=_setting, action="append", default=[], help="NAME=VALUE for the services")
    add("--folder", type=Path, help="a new one, for logs, data and histories to be kept")
    add("--json", type=Path, help="a file for the figures")
    return parser


def _kinds(text: str) -> list[str]:
    kinds = {"all": list(KINDS), "none": []}.get(text, text.split(","))
    if unknown := set(kinds) - set(KINDS):
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(sorted(unknown))}")
    return kinds


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"not NAME=VALUE: {text}")
    return name, value


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
