"""What the schema of compose files cannot know."""

import re
from pathlib import Path
from typing import Any

import pytest

from services.demo.settings import DemoSettings
from services.inventory.settings import Settings as InventorySettings
from services.order.settings import Settings as OrderSettings
from services.user.settings import Settings as UserSettings
from tests.compose_file import (
    COMPOSE,
    PROJECT,
    STORES_ONLY,
    Container,
    containers,
    loaded,
    mounts,
    runs_on,
)

CONTAINERS = containers()
LASTING = [name for name, container in CONTAINERS.items() if runs_on(container)]
ONCE = [name for name, container in CONTAINERS.items() if not runs_on(container)]
SETTINGS: dict[str, Any] = {
    "user": UserSettings,
    "inventory": InventorySettings,
    "order": OrderSettings,
    "demo": DemoSettings,
}
SERVICES = ("user", "inventory", "order")
MAKES_SECRETS = {"keys", "secrets"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|_KEY|_URI|_URL")
SECRET_FILE = re.compile(r"(_FILE|_DIR)$")
BYTES = {"M": 2**20, "G": 2**30, "mb": 2**20}


def named(name: str) -> Container:
    return CONTAINERS[name]


def size(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * BYTES[unit]


def limits(name: str) -> Any:
    return named(name)["deploy"]["resources"]["limits"]


def environment(name: str) -> dict[str, str]:
    return dict(named(name).get("environment", {}))


def option(name: str, option_name: str) -> str:
    command = list(named(name)["command"])
    return str(command[command.index(option_name) + 1])


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_no_right_and_no_writable_file_that_it_does_not_need(name: str) -> None:
    container = named(name)
    assert container["cap_drop"] == ["ALL"]
    assert container.get("cap_add", []) == (["CHOWN"] if name == "secrets" else [])
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["read_only"] is True
    assert "privileged" not in container


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_is_bounded_in_processor_memory_processes_and_logs(name: str) -> None:
    assert {"cpus", "memory", "pids"} <= limits(name).keys()
    assert {"max-size", "max-file"} <= named(name)["logging"]["options"].keys()
    assert all("size=" in mount for mount in named(name)["tmpfs"])


@pytest.mark.parametrize("name", CONTAINERS)
def test_only_what_makes_the_secrets_is_root_and_that_has_no_network(name: str) -> None:
    container = named(name)
    is_root = str(container["user"]).startswith("0")
    assert is_root == (name in MAKES_SECRETS)
    assert (container.get("network_mode") == "none") == is_root


@pytest.mark.parametrize("name", LASTING)
def test_what_runs_on_is_started_again_and_says_how_it_is(name: str) -> None:
    assert named(name)["restart"] == "unless-stopped"
    health = named(name)["healthcheck"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= health.keys()


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_must_be_there_first_is_waited_for_until_it_is_ready(name: str) -> None:
    for other, wanted in named(name).get("depends_on", {}).items():
        match wanted["condition"]:
            case "service_healthy":
                assert other in LASTING
            case "service_completed_successfully":
                assert other in ONCE
            case started:
                # The replica set is made from outside before MongoDB can be healthy; a master
                # of Locust waits for its workers.
                assert started == "service_started"
                assert (name, other) in {("mongodb-users", "mongodb"), ("load-worker", "load")}


@pytest.mark.parametrize("name", [name for name in ONCE if "profiles" not in CONTAINERS[name]])
def test_what_ends_is_waited_for_by_something_or_up_would_take_its_end_for_a_failure(
    name: str,
) -> None:
    waiting = [
        other
        for other, container in CONTAINERS.items()
        if container.get("depends_on", {}).get(name, {}).get("condition")
        == "service_completed_successfully"
    ]
    assert waiting


@pytest.mark.parametrize("name", LASTING)
def test_whoever_reads_secrets_waits_until_they_are_made(name: str) -> None:
    if any(mount.target == "/run/shop" for mount in mounts(named(name))):
        assert "secrets" in named(name)["depends_on"]


@pytest.mark.parametrize("path", [COMPOSE, STORES_ONLY], ids=["shop", "stores"])
def test_ports_are_published_on_loopback_and_none_twice(path: Path) -> None:
    taken: list[int] = []
    for container in loaded(path)["services"].values():
        for published in container.get("ports", ()):
            host, ports, _ = published.split(":")
            assert host == "127.0.0.1"
            first, _, last = ports.partition("-")
            taken.extend(range(int(first), int(last or first) + 1))
    assert taken
    assert len(taken) == len(set(taken))


def test_only_services_and_what_people_watch_them_with_are_published() -> None:
    published = {name for name in CONTAINERS if "ports" in named(name)}
    assert published == {*SERVICES, "grafana", "prometheus"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_published_port_for_each_replica(name: str) -> None:
    (published,) = named(name)["ports"]
    _, ports, target = published.split(":")
    first, last = map(int, ports.split("-"))
    assert last - first + 1 == named(name)["deploy"]["replicas"] == 2
    assert int(target) == SETTINGS[name].model_fields[f"{name}_port"].default


@pytest.mark.parametrize("path", [COMPOSE, STORES_ONLY], ids=["shop", "stores"])
def test_an_image_from_elsewhere_has_a_version(path: Path) -> None:
    for container in loaded(path)["services"].values():
        if "build" not in container:
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?", container["image"])


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_secret_stands_in_a_file_and_the_environment_names_it_at_most(name: str) -> None:
    for variable, value in environment(name).items():
        if SECRET.search(variable):
            assert SECRET_FILE.search(variable), variable
            assert value.startswith("/run/shop")


def test_no_address_in_the_file_holds_a_password() -> None:
    assert not re.search(r"://[^\s/@]*:[^\s/@]*@", COMPOSE.read_text())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_variable_is_a_setting_of_its_service(name: str) -> None:
    known = {f"SHOP_{field.upper()}" for field in SETTINGS[name].model_fields}
    assert environment(name).keys() <= {*known, "SHOP_SECRETS_DIR"}


@pytest.mark.parametrize("name", ["order", "demo", "load"])
def test_services_are_called_by_names_that_stand_for_all_replicas(name: str) -> None:
    for service in SERVICES:
        target = environment(name).get(f"SHOP_{service.upper()}_TARGET")
        port = SETTINGS[service].model_fields[f"{service}_port"].default
        assert target == (
            f"dns:///{service}:{port}" if (name, service) != ("order", "order") else None
        )


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_mounted_from_the_project_is_there_and_cannot_be_changed(name: str) -> None:
    for mount in mounts(named(name)):
        if not mount.is_volume:
            assert (PROJECT / mount.source).is_dir()
            assert mount.read_only


def test_every_volume_and_network_that_is_declared_is_used_and_no_other() -> None:
    content = loaded(COMPOSE)
    used = {m.source for c in CONTAINERS.values() for m in mounts(c) if m.is_volume}
    assert used == content["volumes"].keys()
    joined = {network for c in CONTAINERS.values() for network in c.get("networks", ())}
    assert joined == content["networks"].keys()


def test_only_the_services_reach_the_stores() -> None:
    reaching = {name for name in CONTAINERS if "stores" in named(name).get("networks", ())}
    assert reaching == {"mongodb", "redis", *SERVICES}
    assert loaded(COMPOSE)["networks"]["stores"]["internal"] is True
    sharing = {name for name in CONTAINERS if ":" in named(name).get("network_mode", "")}
    assert sharing == {"mongodb-users"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_is_told_to_stop_is_given_the_time_it_may_take(name: str) -> None:
    drain_s = SETTINGS[name].model_fields["drain_timeout_s"].default
    grace_s = int(named(name)["stop_grace_period"].removesuffix("s"))
    assert grace_s >= drain_s + 10


def test_the_stores_take_less_for_their_data_than_their_containers_have() -> None:
    assert float(option("mongodb", "--wiredTigerCacheSizeGB")) <= size(
        limits("mongodb")["memory"]
    ) / (2 * 2**30)
    assert size(option("redis", "--maxmemory")) <= size(limits("redis")["memory"]) * 2 / 3
