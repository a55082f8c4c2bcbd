"""`make up` and `make down`, with something else in Docker's place."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.compose_file import PROJECT, containers

SCRIPT = PROJECT / "scripts/containers.sh"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with what the script needs, and no Docker."""
    for name in ("sh", "cat", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    return tmp_path


def docker(tools: Path, says: str = "exit 0") -> Path:
    """Put a docker there that notes what it is told, and return its notes."""
    notes = tools / "notes"
    (tools / "docker").write_text(f'#!/bin/sh\necho "$*" >> {notes}\n{says}\n')
    (tools / "docker").chmod(0o755)
    return notes


def run(tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own script)
        [SCRIPT, *arguments],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["up", "down"])
def test_without_docker_it_says_what_is_needed_and_what_does_without(
    tools: Path, command: str
) -> None:
    done = run(tools, command)
    assert done.returncode == 1
    assert "needs Docker" in done.stderr
    assert "make run" in done.stderr


def test_without_a_running_engine_nothing_is_begun(tools: Path) -> None:
    notes = docker(tools, '[ "$1" != info ]')
    done = run(tools, "up")
    assert done.returncode == 1
    assert "'docker info' fails" in done.stderr
    assert notes.read_text().splitlines() == ["compose version", "info"]


def test_up_waits_until_all_is_well_and_says_where_everything_is(tools: Path) -> None:
    notes = docker(tools)
    done = run(tools, "up")
    assert done.returncode == 0
    assert "compose up --detach --build --wait" in notes.read_text()
    published = [port for c in containers().values() for port in c.get("ports", ())]
    for text in published:
        host, ports, _ = text.split(":")
        for port in ports.split("-"):
            assert f"{host}:{port}" in done.stdout


def test_what_up_tells_to_read_is_handed_out(tools: Path) -> None:
    docker(tools)
    told = re.findall(r"docker compose exec (\w+) cat (\S+)", run(tools, "up").stdout)
    assert {name for name, _ in told} == {"grafana", "user"}
    assert (
        containers()["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
        in dict(told).values()
    )


def test_up_that_fails_says_nothing_of_addresses(tools: Path) -> None:
    docker(tools, '[ "$2" != up ]')
    done = run(tools, "up")
    assert done.returncode == 1
    assert "127.0.0.1" not in done.stdout


def test_down_keeps_the_data(tools: Path) -> None:
    notes = docker(tools)
    assert run(tools, "down").returncode == 0
    assert notes.read_text().splitlines()[-1].endswith(" down")


def test_anything_else_is_refused(tools: Path) -> None:
    docker(tools)
    assert run(tools, "sideways").returncode == 2
