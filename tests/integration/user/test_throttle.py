"""Failed tries of passwords on a real MongoDB."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from services.common.clock import utc_now
from services.common.mongo import Document, Mongo
from services.user.model import UNKNOWN_CLIENT, Client, LoginLimits, LoginThrottled
from services.user.throttle import MongoThrottle

LIMITS: Final = LoginLimits(per_account=3, per_source=1_000, window_s=300.0, known_s=3_600.0)
HOME, STRANGER = Client("203.0.113.7"), Client("198.51.100.9")
KEY = "user:a"


@pytest.fixture
def throttle(prepared: Mongo) -> MongoThrottle:
    return MongoThrottle(prepared, LIMITS)


async def fail(
    throttle: MongoThrottle, client: Client, times: int = LIMITS.per_account, key: str = KEY
) -> None:
    """Try so many passwords that are wrong."""
    for _ in range(times):
        await throttle.count(key, client)


async def is_throttled(throttle: MongoThrottle, client: Client, key: str = KEY) -> bool:
    """Try once more, wrongly, and tell whether that was refused."""
    try:
        await throttle.count(key, client)
    except LoginThrottled:
        return True
    return False


async def log_in(throttle: MongoThrottle, client: Client, family: str, key: str = KEY) -> None:
    await throttle.forgive(await throttle.count(key, client), family)


async def document(mongo: Mongo, key: str = KEY) -> Document:
    found = await mongo.collection("login_attempts").find_one({"_id": key})
    assert found is not None
    return found


async def test_attempts_are_counted_each_key_for_itself(throttle: MongoThrottle) -> None:
    await fail(throttle, STRANGER)
    assert await is_throttled(throttle, STRANGER)
    assert not await is_throttled(throttle, STRANGER, "user:b")


async def test_attempts_at_once_are_all_counted(
    throttle: MongoThrottle, rival_mongo: Mongo
) -> None:
    sides = [throttle, MongoThrottle(rival_mongo, LIMITS)] * 10
    refused = await asyncio.gather(*(is_throttled(side, STRANGER) for side in sides))
    assert refused.count(False) == LIMITS.per_account


async def test_more_attempts_than_allowed_are_refused_until_the_window_ends(
    prepared: Mongo, throttle: MongoThrottle
) -> None:
    await fail(throttle, STRANGER)
    attempts = prepared.collection("login_attempts")
    ends = utc_now() + timedelta(seconds=LIMITS.window_s / 2)
    await attempts.update_one({}, {"$set": {"window_end": ends}})
    with pytest.raises(LoginThrottled) as refused:
        await throttle.count(KEY, STRANGER)
    assert LIMITS.window_s / 4 < refused.value.retry_delay_s <= LIMITS.window_s / 2
    await attempts.update_one({}, {"$set": {"window_end": utc_now()}})
    await fail(throttle, STRANGER)
    with pytest.raises(LoginThrottled) as refused:
        await throttle.count(KEY, STRANGER)
    assert refused.value.retry_delay_s == pytest.approx(LIMITS.window_s, abs=60)


async def test_attempts_are_forgotten_after_the_right_password(throttle: MongoThrottle) -> None:
    await fail(throttle, UNKNOWN_CLIENT, 2)
    await log_in(throttle, UNKNOWN_CLIENT, "")
    await fail(throttle, UNKNOWN_CLIENT)
    assert await is_throttled(throttle, UNKNOWN_CLIENT)


async def test_a_refused_attempt_writes_nothing(prepared: Mongo, throttle: MongoThrottle) -> None:
    await fail(throttle, STRANGER)
    assert await is_throttled(throttle, STRANGER)
    before = await prepared.operation_time()
    seen = await document(prepared)
    for _ in range(5):
        assert await is_throttled(throttle, STRANGER)
    assert await document(prepared) == seen
    written = await prepared._client["local"]["oplog.rs"].count_documents(
        {"ts": {"$gt": before}, "ns": {"$regex": "login_attempts$"}, "o2._id": KEY}
    )
    assert written == 0


async def test_a_document_of_an_earlier_release_begins_a_new_window(
    prepared: Mongo, throttle: MongoThrottle
) -> None:
    old = {"failures": 99, "expire_time": utc_now() + timedelta(seconds=LIMITS.window_s)}
    await prepared.collection("login_attempts").insert_one({"_id": KEY, **old})
    await fail(throttle, STRANGER)
    assert await is_throttled(throttle, STRANGER)


# Known clients


@pytest.mark.parametrize(
    "known", [HOME, Client("192.0.2.1", "login-1"), Client("", "login-1")], ids=str
)
async def test_a_client_that_the_account_knows_is_let_in_though_strangers_are_not(
    throttle: MongoThrottle, known: Client
) -> None:
    await log_in(throttle, HOME, "login-1")
    await fail(throttle, STRANGER)
    assert await is_throttled(throttle, STRANGER)
    assert await is_throttled(throttle, Client("192.0.2.1", "login-2"))
    assert not await is_throttled(throttle, known)


async def test_a_known_client_cannot_guess_without_end_and_locks_nobody_else(
    throttle: MongoThrottle,
) -> None:
    await log_in(throttle, HOME, "login-1")
    await fail(throttle, HOME)
    assert await is_throttled(throttle, HOME)
    assert not await is_throttled(throttle, STRANGER)
    named = replace(HOME, family="login-1")  # others may share its address, not its token
    assert not await is_throttled(throttle, named)
    await log_in(throttle, named, "login-2")
    assert not await is_throttled(throttle, HOME)


async def test_another_account_knows_nothing_of_it(throttle: MongoThrottle) -> None:
    await log_in(throttle, HOME, "login-1")
    await fail(throttle, STRANGER, key="user:b")
    assert await is_throttled(throttle, replace(HOME, family="login-1"), "user:b")


async def test_an_account_knows_the_last_clients_and_not_for_ever(
    prepared: Mongo, throttle: MongoThrottle
) -> None:
    await log_in(throttle, HOME, "login-1")
    for number in range(8):
        await log_in(throttle, Client(f"192.0.2.{number}"), f"later-{number}")
    found = await document(prepared)
    assert [len(found[name]) for name in ("logins", "sources")] == [8, 8]
    await fail(throttle, STRANGER)
    assert await is_throttled(throttle, replace(HOME, family="login-1"))
    assert not await is_throttled(throttle, Client("192.0.2.7"))
    lasts = found["expire_time"] - utc_now().replace(tzinfo=None)
    assert lasts.total_seconds() == pytest.approx(LIMITS.known_s, abs=60)
    over = {"sources.$[].known_until": utc_now()}
    await prepared.collection("login_attempts").update_one({"_id": KEY}, {"$set": over})
    assert await is_throttled(throttle, Client("192.0.2.7"))


async def test_no_address_and_no_token_can_be_read_from_the_store(
    prepared: Mongo, throttle: MongoThrottle
) -> None:
    await log_in(throttle, HOME, "login-1")
    found = str(await document(prepared))
    assert HOME.source not in found
    assert "login-1" not in found


# Sources


@pytest.fixture
def spied(prepared: Mongo) -> MongoThrottle:
    return MongoThrottle(prepared, replace(LIMITS, per_source=4))


async def test_one_password_tried_on_many_accounts_is_counted_by_source(
    prepared: Mongo, spied: MongoThrottle
) -> None:
    for number in range(4):
        await spied.count(f"user:{number}", STRANGER)
    with pytest.raises(LoginThrottled) as refused:
        await spied.count("user:next", STRANGER)
    assert refused.value.retry_delay_s == pytest.approx(LIMITS.window_s, abs=60)
    # It counts against no account, and leaves nothing behind for one.
    assert await prepared.collection("login_attempts").find_one({"_id": "user:next"}) is None
    await spied.count("user:next", HOME)
    await spied.count("user:next", UNKNOWN_CLIENT)


async def test_processes_see_what_a_source_failed_at_others(
    spied: MongoThrottle, rival_mongo: Mongo
) -> None:
    rival = MongoThrottle(rival_mongo, replace(LIMITS, per_source=4))
    for number in range(4):
        await spied.count(f"user:{number}", STRANGER)
    assert await is_throttled(rival, STRANGER, "user:next")


async def test_a_source_that_logs_in_is_not_counted(spied: MongoThrottle) -> None:
    for number in range(20):
        await log_in(spied, HOME, f"login-{number}", f"user:{number}")
    for number in range(20):
        assert not await is_throttled(spied, HOME, f"user:{number}")
    await spied.count("user:stranger", HOME)


async def test_whom_an_account_knows_is_let_in_from_a_source_that_is_throttled(
    spied: MongoThrottle,
) -> None:
    await log_in(spied, HOME, "login-1")
    for number in range(4):
        await spied.count(f"user:{number}", HOME)
    assert await is_throttled(spied, HOME, "user:next")
    assert not await is_throttled(spied, HOME)


async def test_what_is_kept_of_sources_is_bounded(
    throttle: MongoThrottle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.user.throttle._MOST_SOURCES", 3)
    for number in range(9):
        await throttle.count(f"user:{number}", Client(f"192.0.2.{number}"))
    assert list(throttle._sources) == ["192.0.2.6", "192.0.2.7", "192.0.2.8"]
