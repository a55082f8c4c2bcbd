"""``python -m bench mutations``: whether the gate sees what it is there for.

The gate runs on this code, where it must not be red, and then on each mutant: services whose chain
or whose cached reads are slower, that ask Redis once too often, or have lost their batches. With
``--compare`` each mutant is also compared with this code, arm by arm. What turned red is printed.
The exit code is 3 if the gate was red without a mutant or a mutant was not caught, and 4 if it
could not be measured. Only a verdict counts: where the gate crashes, so does this.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import orjson

from bench.arms import NotWhatItClaimsError
from bench.cache_report import ECHO_ARM
from bench.gate.command import add_pace
from bench.gate.compare import changes
from bench.gate.duel import Bout, fought
from bench.gate.mutants import CHAIN_US, MUTANTS, NEAR_US, REDIS_US, overlay
from bench.gate.race import Pace
from bench.gate.trees import HERE, NoTreeError, Tree
from bench.gate.verdict import Exit
from bench.load import CallsFailedError

_PART: Final = 0.15
_LIMIT_S: Final = 900


class NoVerdictError(Exception):
    """The gate could not be measured."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the gate is run in: a mutant first on the path, or none, and a folder of its own."""

    folder: Path
    before: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of the process."""
        tree = Tree("mutant", before=self.before, settings=self.settings)
        return {**os.environ, **tree.variables}


def main(argv: Sequence[str]) -> int:
    """Run the gate on everything, say what it caught, and return the exit code."""
    given = _parser().parse_args(argv)
    pace = [
        word for each in fields(Pace) for word in (f"--{each.name}", str(getattr(given, each.name)))
    ]
    try:
        with tempfile.TemporaryDirectory() as name:
            return _caught_all(Path(name), pace, given.only or list(MUTANTS), given.compare)
    except (NoVerdictError, NoTreeError, NotWhatItClaimsError, CallsFailedError) as error:
        sys.stderr.write(f"\nnot measured: {error}\n")
        return Exit.NOT_MEASURED


def red_checks(verdict: Mapping[str, Any]) -> list[str]:
    """Return what is red, with what was measured and the limit."""
    return [
        f"{check['name']}: {check['measured']} ({check['limit']}) {check['detail']}".rstrip()
        for check in verdict["checks"]
        if check["verdict"] == "red"
    ]


def slower_by(cpu_us: Mapping[str, float]) -> dict[str, str]:
    """Return the settings that make slow mutants: 15 % of what was measured of an empty call, and
    of what a cache answers.

    It is made of the cheapest arm of each layer, so that none becomes dearer by more.
    """
    least = {
        layer: min(time for arm, time in cpu_us.items() if arm.endswith(f" {layer}"))
        for layer in ("near", "redis")
    }
    costs = {CHAIN_US: cpu_us[ECHO_ARM], NEAR_US: least["near"], REDIS_US: least["redis"]}
    return {name: f"{_PART * cost:.3f}" for name, cost in costs.items()}


def _caught_all(folder: Path, pace: Sequence[str], names: Sequence[str], compare: bool) -> int:  # noqa: FBT001
    control = _verdict(Environment(folder / "this code"), pace)
    _say("this code", red_checks(control))
    missed = ["this code, which is red"] if red_checks(control) else []
    settings = slower_by(control["cpu_us"])
    for name in names:
        before = folder / name
        before.mkdir()
        environment = Environment(before / "out", overlay(name, before), settings)
        caught = red_checks(_verdict(environment, pace))
        if compare:
            caught += _dearer(environment)
        _say(f"{name} ({MUTANTS[name]})", caught)
        if not caught:
            missed.append(name)
    sys.stdout.write(
        f"\n{'not as it should be: ' + ', '.join(missed) if missed else 'all caught'}\n"
    )
    return Exit.RED if missed else Exit.PASSED


def _verdict(environment: Environment, pace: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench", "gate", "--out", str(environment.folder), *pace]
    done = subprocess.run(  # noqa: S603
        command,
        check=False,
        env=environment.variables,
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        timeout=_LIMIT_S,
    )
    if done.returncode == Exit.NOT_MEASURED:
        raise NoVerdictError("the gate says above why")
    if done.returncode not in {Exit.PASSED, Exit.RED}:
        raise subprocess.CalledProcessError(done.returncode, command)
    verdict: dict[str, Any] = orjson.loads((environment.folder / "verdict.json").read_bytes())
    return verdict


def _dearer(environment: Environment) -> list[str]:
    mutant = Tree("mutant", before=environment.before, settings=environment.settings)
    found = changes(fought(Tree("this code"), mutant, Bout()))
    return [f"compared: {change.arm} {change.words}" for change in found if change.dearer(0.05)]


def _say(what: str, red: Sequence[str]) -> None:
    sys.stdout.write(f"\n{what}: {'red' if red else 'nothing is red'}\n")
    sys.stdout.writelines(f"  {line}\n" for line in red)
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench mutations",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=list(MUTANTS), help="one mutant")
    parser.add_argument("--compare", action="store_true", help="compare with this code as well")
    add_pace(parser)
    return parser
