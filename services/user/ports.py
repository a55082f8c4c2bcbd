"""What the use cases need from outside."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from services.common.auth.principal import Role
from services.common.snapshot import Snapshot
from services.user.model import (
    AccessToken,
    Account,
    Attempt,
    Client,
    ProfileDraft,
    RefreshToken,
    Registration,
    Session,
    User,
)


class Users(Protocol):
    """The users. Usernames and e-mail addresses are unique whatever their case."""

    async def get(self, user_id: str) -> Snapshot[User]:
        """Return a user. Raises ``UserNotFound``."""
        ...

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Snapshot[User]]:
        """Return those of the users that exist."""
        ...

    async def find_account(self, user_id: str) -> Account | None:
        """Return a user's account as it is at this moment."""
        ...

    async def find_account_named(self, login_name: str) -> Account | None:
        """Return the account with this username or e-mail address, in any case."""
        ...

    async def find_registered(self, registration: Registration) -> Account | None:
        """Return the account that a registration of this username and request_id made."""
        ...

    async def add(self, registration: Registration, role: Role, password_hash: str) -> User:
        """Store a new active user and return it. Raises ``UsernameTaken`` and ``EmailTaken``."""
        ...

    async def update(self, user_id: str, draft: ProfileDraft, fields: Collection[str]) -> User:
        """Set the named fields to the draft's values and return the user.

        Raises ``UserNotFound`` and ``EmailTaken``.
        """
        ...

    async def administrate(
        self, admin_id: str, user_id: str, draft: ProfileDraft, fields: Collection[str]
    ) -> User:
        """Do as ``update`` if, in the same moment, the first user is an active administrator.

        Deactivating a user ends all their logins, as does making an administrator a customer.
        Raises ``NoAdministrator`` too.
        """
        ...

    async def replace_password(self, account: Account, password_hash: str) -> bool:
        """Set another password and end all logins, in one step.

        Returns False, and does nothing, if the password is no longer the account's.
        """
        ...

    async def upgrade_hash(self, account: Account, password_hash: str) -> None:
        """Keep another hash of the same password, unless the password has changed."""
        ...

    async def remember_setting(self, account: Account, setting_hash: str) -> None:
        """Keep the hash of the password in the settings, unless there is one."""
        ...

    async def reinstate(self, account: Account, setting_hash: str) -> None:
        """Make the user an active administrator with the password that the settings have now.

        All logins end in the same step. Does nothing if another process has changed the hash of
        the setting.
        """
        ...


class Sessions(Protocol):
    """The logins that refresh tokens continue, of limited life however often continued."""

    async def open(self, account: Account, token: RefreshToken) -> None:
        """Begin a login with its first token."""
        ...

    async def rotate(self, token: RefreshToken) -> tuple[Session, RefreshToken]:
        """Put a successor in the token's place and return the login and the successor.

        The token just used up gets the same successor again, for ``REFRESH_REPEAT_S`` and as long
        as that is unused. Any other token that the login had before ends it. Raises
        ``RefreshTokenInvalid`` and ``RefreshTokenReused``.
        """
        ...

    async def end(self, token: RefreshToken) -> None:
        """End the login that has or had this token, if there is one."""
        ...


class Throttle(Protocol):
    """Counts failed tries of passwords by account and by source, over a limited window.

    A client that the account knows has a counter of its own.
    """

    async def count(self, key: str, client: Client) -> Attempt:
        """Count a try as failed before it is made. Raises ``LoginThrottled``."""
        ...

    async def forgive(self, attempt: Attempt, family: str) -> None:
        """Forget the failures counted where the attempt was, for it was right.

        Its client is known from then on, by its source and by ``family``, the login that begins.
        """
        ...


class Hashing(Protocol):
    """One-way hashes of passwords."""

    async def hash(self, password: str) -> str:
        """Return a new hash of a password."""
        ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the hash is one of this password. None takes as long, and never is."""
        ...


class Passwords(Hashing, Protocol):
    """The place where passwords are hashed. What it hashes itself may raise ``LoginOverloaded``."""

    def place(self, share: str) -> AbstractContextManager[Hashing]:
        """Hold a place, one of those that the share may have. Raises ``LoginOverloaded``."""
        ...

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made in a way that is no longer ours."""
        ...


class AccessTokens(Protocol):
    """Tokens that prove to every service who is calling."""

    def issue(self, user: User) -> AccessToken:
        """Return a token for the user."""
        ...
