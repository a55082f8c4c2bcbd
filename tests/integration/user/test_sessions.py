"""Logins on a real MongoDB."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.common.clock import utc_now
from services.common.mongo import Mongo
from services.user.model import (
    REFRESH_REPEAT_S,
    Account,
    RefreshToken,
    RefreshTokenInvalid,
    RefreshTokenReused,
    Session,
)
from services.user.repository import MongoSessions, MongoUsers
from tests.integration.user.conftest import ADA, People

LIFETIME_S = 3600.0


@pytest.fixture
def sessions(prepared: Mongo) -> MongoSessions:
    return MongoSessions(prepared, LIFETIME_S)


@pytest.fixture
async def account(prepared: Mongo) -> Account:
    people = People(MongoUsers(prepared), prepared)
    return await people.account(await people.registered(ADA))


@pytest.fixture
async def token(sessions: MongoSessions, account: Account) -> RefreshToken:
    opened = RefreshToken.new()
    await sessions.open(account, opened)
    return opened


async def test_a_login_goes_on_from_token_to_token(
    sessions: MongoSessions, account: Account, token: RefreshToken
) -> None:
    for _ in range(3):
        session, token = await sessions.rotate(token)
        assert session == Session(account.user.user_id, account.login_epoch)
        assert session.is_open_to(account)


async def test_a_rotation_whose_answer_was_lost_is_repeated(
    sessions: MongoSessions, rival_mongo: Mongo, token: RefreshToken
) -> None:
    rival = MongoSessions(rival_mongo, LIFETIME_S)
    session, successor = await sessions.rotate(token)
    for side in (rival, sessions):
        assert await side.rotate(token) == (session, successor)
    _, newest = await rival.rotate(successor)
    assert (await sessions.rotate(successor))[1] == newest


async def test_a_token_used_many_times_at_once_has_one_successor(
    sessions: MongoSessions, rival_mongo: Mongo, token: RefreshToken
) -> None:
    sides = [sessions, MongoSessions(rival_mongo, LIFETIME_S)] * 10
    outcomes = await asyncio.gather(*(side.rotate(token) for side in sides))
    (successor,) = {successor for _, successor in outcomes}
    await sessions.rotate(successor)


async def confirm_over(sessions: MongoSessions, *tokens: RefreshToken) -> None:
    for token in tokens:
        with pytest.raises(RefreshTokenInvalid):
            await sessions.rotate(token)


async def test_any_other_use_of_an_old_token_ends_its_login_alone(
    prepared: Mongo, sessions: MongoSessions, account: Account, token: RefreshToken
) -> None:
    async def late(_newest: RefreshToken) -> None:
        seconds_ago = {"$subtract": ["$used_time", REFRESH_REPEAT_S * 1000]}
        await prepared.collection("sessions").find_one_and_update(
            {"_id": token.family}, [{"$set": {"used_time": seconds_ago}}]
        )

    async def used(newest: RefreshToken) -> None:
        await sessions.rotate(newest)

    async def long_gone(newest: RefreshToken) -> None:
        for _ in range(5):
            _, newest = await sessions.rotate(newest)

    other = RefreshToken.new()
    await sessions.open(account, other)
    for become in (late, used, long_gone):
        token = RefreshToken.new()
        await sessions.open(account, token)
        _, newest = await sessions.rotate(token)
        await become(newest)
        with pytest.raises(RefreshTokenReused):
            await sessions.rotate(token)
        await confirm_over(sessions, newest, token)
    await sessions.rotate(other)


async def test_what_was_never_a_token_ends_no_login(
    sessions: MongoSessions, token: RefreshToken
) -> None:
    _, newest = await sessions.rotate(token)
    unknown = RefreshToken.new()
    never = [
        unknown,
        replace(unknown, family=token.family),
        RefreshToken.parse(f"{token.family}.guessed"),
        RefreshToken.parse(token.text[:-1]),
        replace(newest, secret=newest.secret[::-1]),
    ]
    await confirm_over(sessions, *never)
    for guess in never:
        await sessions.end(guess)
    await sessions.rotate(newest)


@pytest.mark.parametrize("age", range(4))
async def test_any_token_that_a_login_has_or_had_ends_it(
    sessions: MongoSessions, token: RefreshToken, age: int
) -> None:
    newest = token
    for _ in range(age):
        _, newest = await sessions.rotate(newest)
    for _ in range(2):
        await sessions.end(token)
    await confirm_over(sessions, newest, token)


async def test_a_login_of_before_there_were_seals_goes_on(
    prepared: Mongo, sessions: MongoSessions, token: RefreshToken
) -> None:
    logins = prepared.collection("sessions")
    await logins.update_one({"_id": token.family}, {"$unset": {"family_key": ""}})
    first = RefreshToken.parse(f"{token.family}.{token.secret}")
    _, second = await sessions.rotate(first)
    _, third = await sessions.rotate(RefreshToken.parse(second.text))
    assert await sessions.rotate(second) == await sessions.rotate(RefreshToken.parse(second.text))
    await sessions.end(replace(third, secret="guessed"))
    await sessions.end(second)
    await confirm_over(sessions, third)


async def test_a_login_is_over_after_its_lifetime_however_often_it_went_on(
    prepared: Mongo, sessions: MongoSessions, token: RefreshToken
) -> None:
    for _ in range(2):
        _, token = await sessions.rotate(token)
    (login,) = await prepared.collection("sessions").find({}).to_list(None)
    assert login["expire_time"] - login["create_time"] == timedelta(seconds=LIFETIME_S)
    await prepared.collection("sessions").update_one({}, {"$set": {"expire_time": utc_now()}})
    await confirm_over(sessions, token)


async def test_no_token_can_be_read_from_the_store(
    prepared: Mongo, sessions: MongoSessions, token: RefreshToken
) -> None:
    _, newest = await sessions.rotate(token)
    documents = await prepared.collection("sessions").find({}).to_list(None)
    assert len(documents) == 1
    for secret in (token.secret, token.seal, newest.secret, newest.seal):
        assert secret not in str(documents)
    assert documents[0]["token_hash"] == newest.digest


@pytest.mark.parametrize("collection", ["sessions", "login_attempts"])
async def test_mongodb_deletes_what_is_over(prepared: Mongo, collection: str) -> None:
    answer = await prepared._database.command({"listIndexes": collection})
    expiries = {
        tuple(index["key"]): index["expireAfterSeconds"]
        for index in answer["cursor"]["firstBatch"]
        if "expireAfterSeconds" in index
    }
    assert expiries == {("expire_time",): 0}
