"""What continuous integration runs, and what it makes of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parents[2]


def examples(profile: str) -> list[int]:
    """What Hypothesis tries under a profile."""
    tried: list[int] = []

    @settings(settings.get_profile(profile), database=None)
    @given(st.integers(0, 2**60))
    def try_it(number: int) -> None:
        tried.append(number)

    try_it()
    return tried


def test_examples_are_the_same_in_the_fast_tier_and_random_and_more_in_the_slow_one() -> None:
    assert examples("fixed") == examples("fixed")
    first, second = examples("random"), examples("random")
    assert len(set(first) & set(second)) < 100
    assert len(first) > 5 * len(examples("fixed"))


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("gate", "test", "slow", "code", "said"),
    [
        pytest.param("exit 0", 0, 0, 0, "", id="passed"),
        pytest.param("exit 3", 0, 0, 3, "bench gate ended with 3, red", id="red"),
        pytest.param("exit 4", 0, 0, 4, "bench gate ended with 4, not measured", id="not measured"),
        pytest.param("exit 1", 0, 0, 1, "bench gate ended with 1, a crash", id="exception"),
        pytest.param("kill -9 $$", 0, 0, 137, "bench gate ended with 137, a crash", id="killed"),
        pytest.param("exit 0", 2, 0, 2, "", id="tests failed"),
        pytest.param("exit 0", 0, 2, 2, "", id="slow tests failed"),
        pytest.param("exit 3", 2, 0, 2, "bench gate ended with 3, red", id="both failed"),
    ],
)
def test_continuous_integration_passes_only_what_gate_and_tests_let_through(
    tmp_path: Path, gate: str, test: int, slow: int, code: int, said: str
) -> None:
    for script in (".ci/run", "scripts/gate.sh"):
        (tmp_path / script).parent.mkdir()
        shutil.copy(HERE / script, tmp_path / script)
    program(tmp_path / ".venv/bin/python", gate)
    # Real make: a failed recipe ends it with 2, whatever the recipe ended with.
    (tmp_path / "Makefile").write_text(
        "lint:\n\t@true\n"
        "bench-gate:\n\t@.venv/bin/python -m bench gate\n"
        f"test:\n\t@echo tested; exit {test}\n"
        f"test-slow:\n\t@echo tested slowly; exit {slow}\n"
    )
    done = subprocess.run(  # noqa: S603
        [tmp_path / ".ci/run"],
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (
        code,
        "tested\n" if test else "tested\ntested slowly\n",
    )
    assert said in done.stderr
    assert bool(said) == ("bench gate ended" in done.stderr)
