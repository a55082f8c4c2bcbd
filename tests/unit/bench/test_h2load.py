"""What h2load is asked to do, and what is made of what it says; a script stands in for it."""

import sys
from pathlib import Path

import pytest

from bench import h2load
from bench.load import CallsFailedError, Target

TARGET = Target("127.0.0.1:50052", "/shop.inventory.v1.InventoryService/GetProduct", [b"\x0a\x01x"])
FINISHED = "finished in 306.75ms, 19559.84 req/s, 5.62MB/s\n"
ANSWERED = (
    "requests: 6000 total, 6000 started, 6000 done, {} succeeded, {} failed, 0 errored, 0 timeout\n"
)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> Path:
    """Put a program named h2load on the path; return where it keeps what it was called with."""
    kept, program = folder / "kept", folder / "h2load"
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "sent = pathlib.Path(sys.argv[sys.argv.index('-d') + 1]).read_bytes()\n"
        f"pathlib.Path({str(kept)!r}).write_text(repr((sys.argv[1:], sent)))\n"
        f"sys.stdout.write({said!r})\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return kept


def test_it_makes_as_many_calls_as_it_is_told_and_as_many_at_once_as_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stand_in(tmp_path, monkeypatch, FINISHED + ANSWERED.format(6000, 0))
    assert h2load.is_installed()
    assert h2load.calls_per_second(TARGET, 6000) == 19_559.84
    arguments, sent = eval(kept.read_text())  # noqa: S307 (written by the line above)
    assert arguments[:6] == ["-n", "6000", "-c", "4", "-m", "16"]
    assert arguments[-1] == f"http://{TARGET.address}{TARGET.method}"
    assert sent == b"\x00\x00\x00\x00\x03\x0a\x01x"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(FINISHED + ANSWERED.format(5999, 1), id="one failed"),
        pytest.param("could not connect to the host\n", id="none was made"),
    ],
)
def test_calls_that_are_not_answered_end_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    stand_in(tmp_path, monkeypatch, said)
    with pytest.raises(CallsFailedError):
        h2load.calls_per_second(TARGET, 6000)


def test_where_it_is_not_on_the_path_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not h2load.is_installed()
