"""The profile `load`: a master that understands what it is told, and the workers it waits for."""

import re
from argparse import Namespace

import pytest

from loadtests.options import of_master
from loadtests.worker import MASTER_PORT
from tests.compose_file import containers

CONTAINERS = containers()
CHOICE = re.compile(r"\$\{\w+:-([^}]*)\}")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """What the master makes of its command and its environment when nobody chose anything else."""
    master = CONTAINERS["load"]
    for name, value in master["environment"].items():
        monkeypatch.setenv(name, value)
    command, *options = master["command"]
    assert command == "master"
    return of_master([CHOICE.sub(r"\1", option) for option in options])


def test_the_master_puts_load_on_the_replicas_of_all_services(told: Namespace) -> None:
    for service in ("user", "inventory", "order"):
        assert (
            getattr(told, service)
            == CONTAINERS["load"]["environment"][f"SHOP_{service.upper()}_TARGET"]
        )


def test_it_waits_for_as_many_workers_as_there_are_where_they_look_for_it(told: Namespace) -> None:
    workers = CONTAINERS["load-worker"]
    assert told.processes == workers["deploy"]["replicas"]
    assert workers["command"] == ["worker", "--master=load"]
    assert told.master_port == MASTER_PORT
    assert set(workers["networks"]) <= set(CONTAINERS["load"]["networks"])
