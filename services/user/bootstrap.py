"""The composition root of the User service."""

from contextlib import AsyncExitStack
from typing import Final

from pydantic import SecretStr
from shop.user.v1 import user_pb2

from services.common.auth.keys import load_signing_key
from services.common.auth.reload import LiveKeys
from services.common.auth.tokens import USER_ISSUER, TokenSigner
from services.common.cache.wiring import open_cache
from services.common.hosting import host
from services.common.mongo import Mongo, open_mongo
from services.common.rpc.service import Service
from services.common.tracing.opening import open_instruments
from services.user.access import ACCESS, MAX_BYTES
from services.user.cached import USER_PROFILE, CachedUsers
from services.user.handler import UserHandler
from services.user.metrics import HashMetrics
from services.user.passwords import open_passwords
from services.user.ports import Users
from services.user.repository import USER_CHANGES, MongoSessions, MongoUsers, prepare_schema
from services.user.settings import Settings
from services.user.throttle import MongoThrottle
from services.user.tokens import SignedAccessTokens
from services.user.usecases import UserUseCases

DESCRIPTOR: Final = user_pb2.DESCRIPTOR.services_by_name["UserService"]
# How many passwords are hashed at once has a limit of its own.
HASHING_METHODS: Final = ("RegisterUser", "AuthenticateUser", "ChangePassword")
MAX_S: Final = {"GetUserProfile": 2.5}
CACHED: Final = ("GetUserProfile",)


async def run(settings: Settings) -> None:
    """Open the stores, wire the service, serve until told to stop, and close what was opened."""
    async with AsyncExitStack() as stack:
        watch = await stack.enter_async_context(open_instruments("user", settings.traces))
        signer = TokenSigner(load_signing_key(settings.user_signing_key_file), USER_ISSUER)
        keys = LiveKeys(
            settings.trusted_keys_file,
            (settings.user_signing_key_file, signer),
            service=DESCRIPTOR.full_name,
        )
        mongo = await stack.enter_async_context(
            open_mongo(settings.mongo, settings.user_database, watch.mongo_listeners)
        )
        users: Users = MongoUsers(mongo, watch.batcher)
        cache = await stack.enter_async_context(
            open_cache(USER_PROFILE, users.get_many, mongo, USER_CHANGES, settings.caching, watch)
        )
        users = CachedUsers(users, cache.values)
        passwords = stack.enter_context(open_passwords(settings.hash_workers, settings.hash_queue))
        usecases = UserUseCases(
            users=users,
            sessions=MongoSessions(mongo, settings.refresh_token_lifetime_s),
            throttle=MongoThrottle(mongo, settings.login_limits),
            passwords=passwords,
            access_tokens=SignedAccessTokens(signer, settings.access_token_lifetime_s),
        )
        await host(
            Service(
                descriptor=DESCRIPTOR,
                servicer=UserHandler(usecases),
                access=ACCESS,
                max_s=MAX_S,
                max_bytes=MAX_BYTES,
                unlimited=HASHING_METHODS,
                cached=CACHED,
            ),
            settings,
            keys=keys,
            mongo=mongo,
            cache=cache,
            prepare=lambda: _prepare(mongo, usecases, settings.admin_password),
            instruments=watch,
            collectors=[HashMetrics(passwords.figures)],
        )


async def _prepare(mongo: Mongo, usecases: UserUseCases, admin_password: SecretStr | None) -> None:
    await prepare_schema(mongo)
    if admin_password is not None:
        await usecases.ensure_admin(admin_password.get_secret_value())
