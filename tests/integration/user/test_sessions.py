"""Logins on a real MongoDB, through both drivers."""

import asyncio
from datetime import timedelta

import pytest

from services.common.clock import utc_now
from services.common.mongo import Mongo
from services.user.model import (
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
        successor = token.successor()
        session = await sessions.rotate(token, successor)
        assert session == Session(account.user.user_id, account.login_epoch)
        assert session.is_open_to(account)
        token = successor


async def test_a_token_used_twice_ends_its_login(
    sessions: MongoSessions, account: Account, token: RefreshToken
) -> None:
    other = RefreshToken.new()
    await sessions.open(account, other)
    newest = token.successor()
    await sessions.rotate(token, newest)
    with pytest.raises(RefreshTokenReused):
        await sessions.rotate(token, token.successor())
    for dead in (newest, token):
        with pytest.raises(RefreshTokenInvalid):
            await sessions.rotate(dead, dead.successor())
    await sessions.rotate(other, other.successor())


async def test_a_token_used_many_times_at_once_goes_on_at_most_once_and_then_ends(
    sessions: MongoSessions, rival_mongo: Mongo, token: RefreshToken
) -> None:
    sides = [sessions, MongoSessions(rival_mongo, LIFETIME_S)] * 10
    successors = [token.successor() for _ in sides]
    outcomes = await asyncio.gather(
        *(side.rotate(token, successor) for side, successor in zip(sides, successors, strict=True)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Session) for outcome in outcomes) <= 1
    assert sum(isinstance(outcome, RefreshTokenReused) for outcome in outcomes) == 1
    for successor in successors:
        with pytest.raises(RefreshTokenInvalid):
            await sessions.rotate(successor, successor.successor())


async def test_an_unknown_token_is_not_valid(sessions: MongoSessions, token: RefreshToken) -> None:
    unknown = RefreshToken.new()
    with pytest.raises(RefreshTokenInvalid):
        await sessions.rotate(unknown, unknown.successor())
    await sessions.rotate(token, token.successor())


async def test_a_login_that_was_ended_does_not_go_on(
    sessions: MongoSessions, token: RefreshToken
) -> None:
    for _ in range(2):
        await sessions.end(token.family)
    with pytest.raises(RefreshTokenInvalid):
        await sessions.rotate(token, token.successor())


async def test_a_login_is_over_after_its_lifetime_however_often_it_went_on(
    prepared: Mongo, sessions: MongoSessions, token: RefreshToken
) -> None:
    for _ in range(2):
        successor = token.successor()
        await sessions.rotate(token, successor)
        token = successor
    (login,) = await prepared.collection("sessions").find({}).to_list(None)
    assert login["expire_time"] - login["create_time"] == timedelta(seconds=LIFETIME_S)
    await prepared.collection("sessions").update_one({}, {"$set": {"expire_time": utc_now()}})
    with pytest.raises(RefreshTokenInvalid):
        await sessions.rotate(token, token.successor())


async def test_no_token_can_be_read_from_the_store(prepared: Mongo, token: RefreshToken) -> None:
    documents = await prepared.collection("sessions").find({}).to_list(None)
    assert len(documents) == 1
    assert token.secret not in str(documents)
    assert documents[0]["token_hash"] == token.digest


@pytest.mark.parametrize("collection", ["sessions", "login_attempts"])
async def test_mongodb_deletes_what_is_over(prepared: Mongo, collection: str) -> None:
    answer = await prepared._database.command({"listIndexes": collection})
    expiries = {
        tuple(index["key"]): index["expireAfterSeconds"]
        for index in answer["cursor"]["firstBatch"]
        if "expireAfterSeconds" in index
    }
    assert expiries == {("expire_time",): 0}
