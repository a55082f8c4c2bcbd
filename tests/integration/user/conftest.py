"""The User's repositories."""

from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from services.common.auth.principal import Role
from services.common.cache.lookup import ReadThroughCache
from services.common.ids import new_id
from services.common.mongo import Mongo
from services.user.cached import USER_PROFILE, CachedUsers
from services.user.model import Account, Registration, User
from services.user.ports import Users
from services.user.repository import MongoUsers, prepare_schema
from tests.integration.conftest import Wiring, emptied, new_database

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


def people_on(mongo: Mongo, redis: Redis, wiring: Wiring) -> People:
    users = MongoUsers(mongo)
    if wiring is Wiring.PLAIN:
        return People(users, mongo)
    return People(CachedUsers(users, ReadThroughCache(redis, USER_PROFILE)), mongo)


@pytest.fixture(scope="package")
def database() -> str:
    return new_database()


@pytest.fixture
async def prepared(mongo: Mongo) -> Mongo:
    await prepare_schema(mongo)
    return await emptied(mongo, "users", "sessions", "login_attempts")


@pytest.fixture
def people(prepared: Mongo, redis: Redis, wiring: Wiring) -> People:
    return people_on(prepared, redis, wiring)


@pytest.fixture
def rival(people: People, rival_mongo: Mongo, redis: Redis, wiring: Wiring) -> People:
    """The same people in another process."""
    return people_on(rival_mongo, redis, wiring)


@pytest.fixture
async def ada(people: People) -> User:
    return await people.registered(ADA)
