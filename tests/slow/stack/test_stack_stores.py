"""The embedded stores, and the secrets kept beside them."""

import stat
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.common.auth.keys import load_signing_key, load_trusted_keys
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import TokenSigner, TokenVerifier
from services.common.mongo import Mongo, MongoDriver, MongoOptions, open_mongo
from services.keyring.ring import Ring
from services.stack import stores
from services.stack.credentials import open_credentials
from services.stack.errors import PortTakenError, StackError
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports, require_free
from services.stack.stores import require_transactions, running_mongod, running_redis
from tests.integration.conftest import PATIENT_MS


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def keep(mongo: Mongo, name: str) -> None:
    async def work(session: object) -> None:
        await mongo.collection("things").insert_one({"_id": name}, session=session)  # type: ignore[arg-type]

    await mongo.in_transaction(work)


async def test_mongodb_keeps_its_data_over_a_restart_on_another_port(folder: DataFolder) -> None:
    with claimed_ports(2) as ports:
        for start, port in enumerate(ports):
            async with running_mongod(folder, port) as store:
                options = MongoOptions(store.uri, MongoDriver.PYMONGO, PATIENT_MS)
                async with open_mongo(options, "shop") as mongo:
                    await keep(mongo, str(start))
                    kept = await mongo.collection("things").find({}).to_list(None)
            assert {document["_id"] for document in kept} == {str(n) for n in range(start + 1)}
            assert store.child.process.returncode == 0


async def test_mongodb_keeps_what_it_acknowledged_when_it_is_killed(folder: DataFolder) -> None:
    for start in range(2):
        async with running_mongod(folder) as store:
            options = MongoOptions(store.uri, MongoDriver.PYMONGO, PATIENT_MS)
            async with open_mongo(options, "shop") as mongo:
                kept = await mongo.collection("things").find({}).to_list(None)
                await keep(mongo, str(start))
            store.child.process.kill()
            await store.child.process.wait()
        assert [document["_id"] for document in kept] == [str(n) for n in range(start)]


async def test_redis_is_a_cache_that_begins_empty_and_forgets_the_least_used(
    folder: DataFolder,
) -> None:
    for _ in range(2):
        async with running_redis(folder) as store, Redis.from_url(store.uri) as redis:
            assert await redis.dbsize() == 0
            await redis.set("key", "value")
            assert (await redis.config_get("maxmemory-policy")) == {
                "maxmemory-policy": "allkeys-lru"
            }


async def test_a_port_in_use_is_named_with_the_variable_that_chooses_another(
    folder: DataFolder,
) -> None:
    with claimed_ports(1) as (port,):
        async with running_redis(folder, port):
            with pytest.raises(PortTakenError, match=f"{port}.*SHOP_STACK_REDIS_PORT"):
                require_free(port, "SHOP_STACK_REDIS_PORT")
        assert require_free(port, "SHOP_STACK_REDIS_PORT") == port


async def test_a_mongodb_that_is_no_replica_set_is_refused_and_the_variable_named(
    lone_mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_ATTEMPT_WITHIN_MS", 30_000)
    with pytest.raises(StackError, match=r"must be a replica set.*SHOP_MONGO_URI"):
        await require_transactions(lone_mongo_uri)


async def test_a_mongodb_that_is_a_replica_set_is_taken(mongo_uri: str) -> None:
    await require_transactions(mongo_uri)


async def test_a_mongodb_that_is_not_there_yet_is_left_to_the_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "_ATTEMPT_WITHIN_MS", 100)
    await require_transactions("mongodb://127.0.0.1:1/")


def test_two_claims_never_name_one_port() -> None:
    with claimed_ports(50) as ports, claimed_ports(50) as others:
        assert len({*ports, *others}) == 100


def test_secrets_are_for_their_owner_only_and_stay_the_same(folder: DataFolder) -> None:
    first = open_credentials(folder.secrets)
    files = {path.name: path.read_bytes() for path in folder.secrets.iterdir()}
    assert len(files) == 5
    for path in folder.secrets.iterdir():
        assert mode(path) == (0o644 if path == first.trusted_keys else 0o600)
    assert mode(folder.path) == mode(folder.secrets) == 0o700
    assert open_credentials(folder.secrets) == first
    assert {path.name: path.read_bytes() for path in folder.secrets.iterdir()} == files


def test_a_lost_secret_is_replaced_and_the_others_stay(folder: DataFolder) -> None:
    first = open_credentials(folder.secrets)
    first.order_key.unlink()
    user_key = first.user_key.read_bytes()
    second = open_credentials(folder.secrets)
    assert second.user_key.read_bytes() == user_key
    assert second.admin_password == first.admin_password
    assert load_signing_key(second.order_key).key_id in load_trusted_keys(second.trusted_keys)


def test_a_start_keeps_the_keys_that_are_being_rolled(folder: DataFolder) -> None:
    first = open_credentials(folder.secrets)
    before = load_trusted_keys(first.trusted_keys)
    staged = Ring(folder.secrets).add("user")
    open_credentials(folder.secrets)
    assert load_trusted_keys(first.trusted_keys).keys() == before.keys() | {staged.key_id}


def test_a_file_of_keys_that_is_none_keeps_the_stack_from_starting(folder: DataFolder) -> None:
    open_credentials(folder.secrets).user_key.write_text("no key")
    with pytest.raises(StackError, match=r"user\.pem"):
        open_credentials(folder.secrets)


def test_two_folders_have_no_secret_in_common(folder: DataFolder, tmp_path: Path) -> None:
    other = DataFolder(tmp_path / "other")
    other.prepare()
    ours, theirs = open_credentials(folder.secrets), open_credentials(other.secrets)
    assert ours.admin_password != theirs.admin_password
    assert ours.demo_password != ours.admin_password
    assert load_signing_key(ours.user_key).key_id != load_signing_key(theirs.user_key).key_id


def test_the_generated_keys_prove_users_and_services_each_by_its_own(folder: DataFolder) -> None:
    credentials = open_credentials(folder.secrets)
    verifier = TokenVerifier(load_trusted_keys(credentials.trusted_keys), service="shop.Test")
    ada = Principal("a" * 24, Role.CUSTOMER)
    user = TokenSigner(load_signing_key(credentials.user_key), "user")
    order = TokenSigner(load_signing_key(credentials.order_key), "order")
    assert verifier.verify(user.sign(ada, 60)[0]) == ada
    service = Principal("order", Role.SERVICE)
    assert verifier.verify(order.sign(service, 60, "shop.Test")[0]) == service
