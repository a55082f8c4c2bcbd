import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.provision.__main__ import main
from services.provision.errors import ProvisionError
from services.provision.files import handed_over, kept
from services.provision.handout import Addresses, readers
from services.provision.logins import LOGINS
from services.provision.mongo_users import ROOT
from services.provision.redis_users import users_file
from services.provision.vault import Vault
from services.stack.credentials import open_credentials

ADDRESSES = Addresses(mongodb="mongo.test:27017", redis="redis.test:6379")
ME = os.geteuid()


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    folder = tmp_path / "vault"
    (folder / "keys").mkdir(parents=True)
    open_credentials(folder / "keys")
    return folder


@pytest.fixture
def out(tmp_path: Path, vault: Path) -> Path:
    folder = tmp_path / "out"
    for reader in readers(Vault(vault), ADDRESSES):
        (folder / reader.name).mkdir(parents=True, exist_ok=True)
    return folder


def hand_out(vault: Path, out: Path) -> Mapping[str, bytes]:
    """Hand everything out to this user, and return what every file says."""
    for reader in readers(Vault(vault), ADDRESSES):
        replace(reader, owner=ME).receive(out)
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_a_second_start_hands_out_the_same_secrets(vault: Path, out: Path) -> None:
    assert hand_out(vault, out) == hand_out(vault, out)


def test_a_start_that_was_cut_off_is_completed_and_what_was_made_stays(
    vault: Path, out: Path
) -> None:
    first = hand_out(vault, out)
    (vault / "redis-shop_order").unlink()
    (out / "mongodb" / "key").unlink()
    (out / "order" / "order.pem.part").write_text("half")

    second = hand_out(vault, out)

    changed = {name for name in first if first[name] != second[name]}
    assert second.keys() == first.keys()
    assert changed == {"order/shop_redis_url", "redis/users.acl"}


def test_nobody_but_its_owner_reads_a_file(vault: Path, out: Path) -> None:
    hand_out(vault, out)
    files = [path for path in out.rglob("*") if path.is_file()]
    kept_files = [path for path in vault.iterdir() if path.is_file()]
    for path in [*files, *kept_files]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_a_file_changes_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    handed_over(path, b"old", ME)
    with path.open("rb") as old:
        handed_over(path, b"new", ME)
        assert old.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_file_is_given_to_its_reader_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    def fchown(_file: int, user: int, _group: int) -> None:
        given.append(user)
        assert not (tmp_path / "secret").exists()

    monkeypatch.setattr(os, "fchown", fchown)
    handed_over(tmp_path / "secret", b"", 4711)
    assert given == [4711]


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    kept(tmp_path / "secret", lambda: "first")
    assert kept(tmp_path / "secret", lambda: "second") == "first"


def test_a_service_gets_its_own_login_and_no_other(vault: Path, out: Path) -> None:
    files = hand_out(vault, out)
    for login in LOGINS:
        mongo = urlsplit(files[f"{login.service}/shop_mongo_uri"].decode())
        redis = urlsplit(files[f"{login.service}/shop_redis_url"].decode())
        assert mongo.username == redis.username == login.name
        assert mongo.password == files[f"mongodb-users/{login.name}"].decode()
        assert f"{mongo.hostname}:{mongo.port}" == ADDRESSES.mongodb
        assert f"{redis.hostname}:{redis.port}" == ADDRESSES.redis
        assert redis.password
        assert sha256(redis.password.encode()).hexdigest() in files["redis/users.acl"].decode()
    private = {name for name in files if name.endswith(".pem")}
    assert private == {"user/user.pem", "order/order.pem"}


def test_all_passwords_differ(vault: Path, out: Path) -> None:
    hand_out(vault, out)
    passwords = [path.read_text() for path in vault.iterdir() if path.is_file()]
    assert len(passwords) >= 12
    assert len(passwords) == len(set(passwords))
    assert min(map(len, passwords)) >= 32


def test_redis_is_told_hashes_and_no_password() -> None:
    names = ["health", "operator", *(login.name for login in LOGINS)]
    passwords = {name: f"plain-{name}" for name in names}
    text = users_file(LOGINS, passwords)
    assert not any(password in text for password in passwords.values())
    assert text.startswith("user default reset off\n")


def test_missing_signing_keys_are_named_with_what_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["secrets", "--vault", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "python -m services keys init" in capsys.readouterr().err


def test_a_missing_volume_is_named(vault: Path, tmp_path: Path) -> None:
    (reader, *_) = readers(Vault(vault), ADDRESSES)
    with pytest.raises(ProvisionError, match="volume of mongodb"):
        replace(reader, owner=ME).receive(tmp_path / "nowhere")


def test_a_missing_vault_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vault = tmp_path / "elsewhere"
    assert main(["secrets", "--vault", str(vault), "--out", str(tmp_path)]) == 1
    assert f"{vault}/" in capsys.readouterr().err


def test_missing_passwords_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mongodb", "--passwords", str(tmp_path)]) == 1
    assert f"{tmp_path / ROOT}: No such file" in capsys.readouterr().err
