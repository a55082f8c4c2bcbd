"""Regressions made on purpose, for the gate to find.

A service process, or the server of empty calls, takes one on at its start: ``overlay`` writes a
``sitecustomize`` that goes first on the path. It changes what has a public name, and ends the
process if that is not there any more.
"""

import importlib
from pathlib import Path
from typing import Final

MUTANTS: Final = {
    "slow-chain": "an interceptor that burns 15 % of what an empty call costs",
    "slow-cache": "15 % more CPU time for what is answered from a cache",
    "extra-trip": "one more round trip to Redis with every operation",
    "lost-batch": "batches of one",
}
CHAIN_US: Final = "BENCH_SLOWER_CHAIN_US"
NEAR_US: Final = "BENCH_SLOWER_NEAR_US"
REDIS_US: Final = "BENCH_SLOWER_REDIS_US"

_SITECUSTOMIZE: Final = """
import os, sys, traceback
if any(word.startswith(("services.", "bench.rpc_server")) for word in sys.orig_argv):
    try:
        from bench.gate.mutants import take_on
        take_on({name!r})
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(2)
"""


def overlay(name: str, folder: Path) -> Path:
    """Write into the folder what makes services take the mutant on, and return the folder."""
    if name not in MUTANTS:
        raise ValueError(f"there is no mutant {name}")
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE.format(name=name))
    return folder


def take_on(name: str) -> None:
    """Change this process."""
    importlib.import_module(f"{__name__}.{name.replace('-', '_')}").mutate()
