"""What the provisioner hands out, and what the containers of compose.yml look for."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.provision.handout import Addresses, readers
from services.provision.vault import Vault
from services.stack.credentials import open_credentials
from tests.compose_file import Container, containers, mounts

CONTAINERS = containers()
FOLDER = "/run/shop"


def folders(container: Container) -> set[str]:
    return {m.source.removeprefix("for-") for m in mounts(container) if m.target == FOLDER}


def handed_out(tmp_path: Path) -> tuple[Mapping[str, set[str]], Mapping[str, set[int]]]:
    """The names of each reader's files, and the users they belong to."""
    open_credentials(tmp_path / "keys")
    files: dict[str, set[str]] = {}
    owners: dict[str, set[int]] = {}
    for reader in readers(Vault(tmp_path), Addresses("mongodb:27017", "redis:6379")):
        files.setdefault(reader.name, set()).update(reader.files)
        owners.setdefault(reader.name, set()).add(reader.owner)
    return files, owners


@pytest.fixture(autouse=True)
def keys_folder(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)


def test_each_reader_is_a_container_with_a_volume_of_its_own(tmp_path: Path) -> None:
    files, _ = handed_out(tmp_path)
    reading = {name: folders(c) for name, c in CONTAINERS.items() if folders(c)}
    assert reading == {name: {name} for name in files}
    receiving = {
        mount.source: mount.target
        for mount in mounts(CONTAINERS["secrets"])
        if mount.source != "vault"
    }
    assert receiving == {f"for-{name}": f"/out/{name}" for name in files}


def test_a_reader_cannot_change_what_it_gets_and_the_vault_is_open_to_its_keepers_only() -> None:
    for name, container in CONTAINERS.items():
        for mount in mounts(container):
            if mount.target == FOLDER:
                assert mount.read_only
            if mount.source == "vault":
                assert name in {"keys", "secrets"}


def test_files_belong_to_the_user_that_their_reader_runs_as(tmp_path: Path) -> None:
    _, owners = handed_out(tmp_path)
    for name, ids in owners.items():
        assert {int(CONTAINERS[name]["user"].split(":")[0])} == ids


def test_each_file_that_a_container_is_told_of_is_handed_out_to_it(tmp_path: Path) -> None:
    files, _ = handed_out(tmp_path)
    told = 0
    for name, container in CONTAINERS.items():
        texts = [
            *container.get("environment", {}).values(),
            *container.get("command", ()),
            *container.get("healthcheck", {}).get("test", ()),
        ]
        for text in texts:
            for file in re.findall(rf"{FOLDER}/([\w.-]+)", str(text)):
                assert file in files[name]
                told += 1
    assert told >= 9
