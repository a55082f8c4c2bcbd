"""The users, with profiles read through the cache ``user_profile:<id>``."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from services.common.auth.principal import Role
from services.common.cache.lookup import Lookup, are_in_utc
from services.common.cache.read_through import ReadThroughCache
from services.common.snapshot import Snapshot
from services.user.model import Account, ProfileDraft, Registration, User, UserNotFound
from services.user.ports import Users

_ROLES: Final = (Role.CUSTOMER, Role.ADMIN)


def _valid(user_id: str, user: User) -> bool:
    return (
        user.user_id == user_id
        and user.role in _ROLES
        and are_in_utc(user.create_time, user.update_time)
    )


USER_PROFILE: Final = Lookup("user_profile", User, _valid)


@dataclass(frozen=True, slots=True)
class CachedUsers:
    """``Users`` whose lookups by id are cached. Accounts, which hold secrets, never are."""

    users: Users
    cache: ReadThroughCache[User]

    async def get(self, user_id: str) -> Snapshot[User]:
        """Return a user. Raises ``UserNotFound``."""
        user = await self.cache.get(user_id)
        if user is None:
            raise UserNotFound(user_id)
        return user

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Snapshot[User]]:
        """Return those of the users that exist."""
        return await self.cache.get_many(user_ids)

    async def find_account(self, user_id: str) -> Account | None:
        """Return an account, from the store of record."""
        return await self.users.find_account(user_id)

    async def find_account_named(self, login_name: str) -> Account | None:
        """Return an account by name, from the store of record."""
        return await self.users.find_account_named(login_name)

    async def find_registered(self, registration: Registration) -> Account | None:
        """Return the account that a registration made, from the store of record."""
        return await self.users.find_registered(registration)

    async def add(self, registration: Registration, role: Role, password_hash: str) -> User:
        """Store a new user, forget that there was none, and return it."""
        user = await self.users.add(registration, role, password_hash)
        await self.cache.invalidate([user.user_id])
        return user

    async def update(self, user_id: str, draft: ProfileDraft, fields: Collection[str]) -> User:
        """Change a user and forget the cached one."""
        async with self.cache.forgetting([user_id]):
            return await self.users.update(user_id, draft, fields)

    async def administrate(
        self, admin_id: str, user_id: str, draft: ProfileDraft, fields: Collection[str]
    ) -> User:
        """Change a user as an administrator and forget the cached one."""
        async with self.cache.forgetting([user_id]):
            return await self.users.administrate(admin_id, user_id, draft, fields)

    async def replace_password(self, account: Account, password_hash: str) -> bool:
        """Set another password, which changes nothing that a profile shows."""
        return await self.users.replace_password(account, password_hash)

    async def upgrade_hash(self, account: Account, password_hash: str) -> None:
        """Keep another hash, which changes nothing that a profile shows."""
        await self.users.upgrade_hash(account, password_hash)

    async def remember_setting(self, account: Account, setting_hash: str) -> None:
        """Keep the hash of the setting, which changes nothing that a profile shows."""
        await self.users.remember_setting(account, setting_hash)

    async def reinstate(self, account: Account, setting_hash: str) -> None:
        """Make the user an active administrator and forget the cached one."""
        async with self.cache.forgetting([account.user.user_id]):
            await self.users.reinstate(account, setting_hash)
