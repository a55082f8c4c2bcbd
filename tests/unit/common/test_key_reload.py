import os
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from services.common.auth import reload
from services.common.auth.keys import SigningKey, UnusableKeyError, as_jwk
from services.common.auth.metrics import KeyMetrics
from services.common.auth.principal import Principal, Role
from services.common.auth.reload import LiveKeys
from services.common.auth.tokens import ServiceIdentity, TokenSigner
from services.common.errors import Unauthenticated
from tests.unit.common.fakes import new_signing_key

OLD, NEW, ORDER = new_signing_key(), new_signing_key(), new_signing_key()
PEER = "shop.inventory.v1.InventoryService"
ANNA = Principal("5" * 24, Role.CUSTOMER)


def key_set(*users: SigningKey) -> bytes:
    own = [as_jwk(key.private.public_key(), "user") for key in users]
    return orjson.dumps({"keys": [*own, as_jwk(ORDER.private.public_key(), "order")]})


def pem(key: SigningKey) -> bytes:
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Process:
    """A process with its key files, as a service has them."""

    def __init__(self, folder: Path) -> None:
        self.trusted = folder / "trusted-keys.json"
        self.signing = folder / "user.pem"
        self.trusted.write_bytes(key_set(OLD))
        self.signing.write_bytes(pem(OLD))
        self.signer = TokenSigner(OLD, "user")
        self.keys = LiveKeys(self.trusted, (self.signing, self.signer))

    def believes(self, key: SigningKey) -> bool:
        token, _ = TokenSigner(key, "user").sign(ANNA, 60)
        try:
            return self.keys.verifier.verify(token) == ANNA
        except Unauthenticated:
            return False

    def figures(self) -> str:
        registry = CollectorRegistry()
        registry.register(KeyMetrics(self.keys))
        return generate_latest(registry).decode()


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(reload, "log", structlog.get_logger())  # one that nobody has bound yet
    return Process(tmp_path)


def swap(path: Path, content: bytes) -> None:
    """Put another file in the place of this one."""
    other = path.with_suffix(".other")
    other.write_bytes(content)
    other.replace(path)


async def test_a_key_that_is_added_is_trusted_and_the_others_stay_so(process: Process) -> None:
    swap(process.trusted, key_set(OLD, NEW))
    assert not process.believes(NEW)
    await process.keys.refresh()
    assert process.believes(NEW)
    assert process.believes(OLD)


async def test_a_key_that_is_taken_out_is_trusted_no_more(process: Process) -> None:
    assert process.believes(OLD)
    swap(process.trusted, key_set(NEW))
    await process.keys.refresh()
    assert not process.believes(OLD)


async def test_a_signer_takes_the_new_key_over(process: Process) -> None:
    swap(process.trusted, key_set(OLD, NEW))
    swap(process.signing, pem(NEW))
    await process.keys.refresh()
    assert process.signer.key_id == NEW.key_id


async def test_a_service_proves_itself_with_the_new_key_at_once(
    process: Process, tmp_path: Path
) -> None:
    path = tmp_path / "order.pem"
    identity = ServiceIdentity("order", ORDER)
    keys = LiveKeys(process.trusted, (path, identity), service=PEER)
    old_token = identity.token(PEER)
    jwks = [as_jwk(key.private.public_key(), "order") for key in (ORDER, NEW)]
    swap(process.trusted, orjson.dumps({"keys": jwks}))
    path.write_bytes(pem(NEW))
    await keys.refresh()
    assert identity.token(PEER) != old_token
    assert keys.verifier.verify(identity.token(PEER)).is_service


async def test_a_file_written_in_place_with_the_same_time_and_size_is_noticed(
    process: Process,
) -> None:

    await process.keys.refresh()
    before = process.trusted.stat()
    process.trusted.write_bytes(key_set(NEW))
    os.utime(process.trusted, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert process.trusted.stat().st_size == before.st_size
    await process.keys.refresh()
    assert process.believes(NEW)
    assert not process.believes(OLD)


async def test_a_folder_swapped_behind_a_link_is_noticed(tmp_path: Path) -> None:
    """As Kubernetes puts a changed Secret in place of the old one."""
    for name, users in (("..1", (OLD,)), ("..2", (OLD, NEW))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trusted-keys.json").write_bytes(key_set(*users))
        (tmp_path / name / "user.pem").write_bytes(pem(users[-1]))
    data = tmp_path / "..data"
    data.symlink_to("..1")
    for name in ("trusted-keys.json", "user.pem"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    signer = TokenSigner(OLD, "user")
    keys = LiveKeys(tmp_path / "trusted-keys.json", (tmp_path / "user.pem", signer))
    await keys.refresh()
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(data)
    await keys.refresh()
    assert NEW.key_id in keys.verifier.trusted
    assert signer.key_id == NEW.key_id


BROKEN = {
    "half written": key_set(OLD, NEW)[:-20],
    "empty": b"",
    "of no keys": b'{"keys": []}',
    "no key set": pem(NEW),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_trusted_keys_change_nothing_until_they_are_mended(
    process: Process, content: bytes
) -> None:
    assert process.believes(OLD)
    process.trusted.write_bytes(content)
    await process.keys.refresh()
    assert process.believes(OLD)
    assert not process.believes(NEW)
    process.trusted.write_bytes(key_set(NEW))
    await process.keys.refresh()
    assert process.believes(NEW)
    assert not process.believes(OLD)


@pytest.mark.parametrize("content", [b"", pem(NEW)[:40], key_set(NEW)], ids=["empty", "half", "no"])
async def test_a_broken_signing_key_changes_nothing_until_it_is_mended(
    process: Process, content: bytes
) -> None:
    swap(process.trusted, key_set(OLD, NEW))
    process.signing.write_bytes(content)
    await process.keys.refresh()
    assert process.signer.key_id == OLD.key_id
    process.signing.write_bytes(pem(NEW))
    await process.keys.refresh()
    assert process.signer.key_id == NEW.key_id


async def test_files_that_are_gone_change_nothing(process: Process) -> None:
    await process.keys.refresh()
    process.trusted.unlink()
    process.signing.unlink()
    await process.keys.refresh()
    assert process.believes(OLD)
    assert process.signer.key_id == OLD.key_id


async def test_a_key_does_not_sign_before_this_process_trusts_it(process: Process) -> None:
    swap(process.signing, pem(NEW))
    await process.keys.refresh()
    assert process.signer.key_id == OLD.key_id
    swap(process.trusted, key_set(OLD, NEW))
    await process.keys.refresh()
    assert process.signer.key_id == NEW.key_id


async def test_a_key_that_is_trusted_as_another_issuers_does_not_sign(process: Process) -> None:
    swap(process.signing, pem(ORDER))
    await process.keys.refresh()
    assert process.signer.key_id == OLD.key_id


def test_a_process_whose_own_key_is_not_trusted_does_not_start(process: Process) -> None:
    with pytest.raises(UnusableKeyError, match=r"user\.pem.*not among the trusted keys of user"):
        LiveKeys(process.trusted, (process.signing, TokenSigner(NEW, "user")))


def events(logs: Sequence[object]) -> list[str]:
    return [entry["event"] for entry in logs]  # type: ignore[index]


async def test_a_broken_file_is_logged_once_counted_every_time_and_told_when_mended(
    process: Process,
) -> None:
    with capture_logs() as logs:
        await process.keys.refresh()
        assert events(logs) == []
        process.trusted.write_bytes(b"{")
        for _ in range(3):
            await process.keys.refresh()
        process.trusted.unlink()
        await process.keys.refresh()
        process.trusted.write_bytes(key_set(OLD))
        await process.keys.refresh()
    assert events(logs) == [
        "key file not usable, the old keys stay",
        "key file not usable, the old keys stay",
        "key file usable again",
    ]
    assert 'shop_keys_reload_failures_total{file="trusted keys"} 4.0' in process.figures()
    assert 'shop_keys_reload_failures_total{file="signing key"} 0.0' in process.figures()


async def test_a_change_is_logged_with_the_ids_of_the_keys_and_without_the_keys(
    process: Process,
) -> None:
    swap(process.trusted, key_set(NEW))
    swap(process.signing, pem(NEW))
    with capture_logs() as logs:
        await process.keys.refresh()
    assert events(logs) == [
        "keys trusted from now on",
        "keys no longer trusted",
        "another key signs from now on",
    ]
    assert NEW.key_id in str(logs)
    assert OLD.key_id in str(logs)
    assert pem(NEW).decode().splitlines()[1] not in str(logs)


async def test_the_figures_name_the_keys_that_are_trusted_and_the_one_that_signs(
    process: Process,
) -> None:
    swap(process.trusted, key_set(OLD, NEW))
    swap(process.signing, pem(NEW))
    await process.keys.refresh()
    page = process.figures()
    for key, issuer in ((OLD, "user"), (NEW, "user"), (ORDER, "order")):
        assert f'shop_trusted_keys{{issuer="{issuer}",key_id="{key.key_id}"}} 1.0' in page
    assert f'shop_signing_key_info{{issuer="user",key_id="{NEW.key_id}"}} 1.0' in page
    assert page.count("shop_signing_key_info{") == 1
