"""The User's repositories."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from services.common.auth.principal import Role
from services.common.ids import new_id
from services.common.mongo import Mongo
from services.common.redis.servers import RedisServers
from services.user.cached import USER_PROFILE, CachedUsers
from services.user.model import Account, Registration, User
from services.user.ports import Users
from services.user.repository import MongoUsers, prepare_schema
from tests.integration.caches import opened_cache
from tests.integration.conftest import emptied, new_database

ADA = Registration("Ada.L", "Ada@Example.com", "Ada Lovelace")


def someone() -> Registration:
    """Return a registration that nobody else has."""
    name = new_id()
    return Registration(name, f"{name}@example.com", "Some One")


@dataclass(frozen=True)
class People:
    users: Users
    mongo: Mongo

    async def registered(self, registration: Registration) -> User:
        return await self.users.add(registration, Role.CUSTOMER, "hash-1")

    async def account(self, user: User) -> Account:
        account = await self.users.find_account(user.user_id)
        assert account is not None
        return account


@asynccontextmanager
async def people_on(mongo: Mongo, redis: RedisServers) -> AsyncIterator[People]:
    users = MongoUsers(mongo)
    async with opened_cache(redis, USER_PROFILE, users.get_many) as cache:
        yield People(CachedUsers(users, cache.values), mongo)


@pytest.fixture(scope="package")
def database() -> str:
    return new_database()


@pytest.fixture
async def prepared(mongo: Mongo) -> Mongo:
    await prepare_schema(mongo)
    return await emptied(mongo, "users", "sessions", "login_attempts")


@pytest.fixture
async def people(prepared: Mongo, servers: RedisServers) -> AsyncIterator[People]:
    async with people_on(prepared, servers) as opened:
        yield opened


@pytest.fixture
async def rival(
    people: People, rival_mongo: Mongo, rival_servers: RedisServers
) -> AsyncIterator[People]:
    """The same people in another process."""
    async with people_on(rival_mongo, rival_servers) as opened:
        yield opened


@pytest.fixture
async def ada(people: People) -> User:
    return await people.registered(ADA)
