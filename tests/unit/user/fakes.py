"""The ports of the User service, in memory."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.common.auth.principal import Role
from services.common.ids import new_id
from services.common.snapshot import Snapshot
from services.user.model import (
    AccessToken,
    Account,
    Attempt,
    Client,
    EmailTaken,
    LoginAttempts,
    LoginOverloaded,
    NoAdministrator,
    ProfileDraft,
    RefreshToken,
    RefreshTokenInvalid,
    RefreshTokenReused,
    Registration,
    Session,
    User,
    UsernameTaken,
    UserNotFound,
    name_key,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WINDOW_S = 300.0
MAX_FAILURES = 3


class FakeUsers:
    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.request_ids: dict[str, str] = {}
        self.asked = 0

    async def get(self, user_id: str) -> Snapshot[User]:
        if user_id not in self.accounts:
            raise UserNotFound(user_id)
        return Snapshot(self.accounts[user_id].user)

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Snapshot[User]]:
        return {
            user_id: Snapshot(self.accounts[user_id].user)
            for user_id in user_ids
            if user_id in self.accounts
        }

    async def find_account(self, user_id: str) -> Account | None:
        return self.accounts.get(user_id)

    async def find_account_named(self, login_name: str) -> Account | None:
        self.asked += 1
        return self._named(login_name)

    async def find_registered(self, registration: Registration) -> Account | None:
        found = self._named(registration.username)
        if found is None or self.request_ids[found.user.user_id] != registration.request_id:
            return None
        return found

    def _named(self, login_name: str) -> Account | None:
        key = name_key(login_name)
        for account in self.accounts.values():
            if key in {name_key(account.user.username), name_key(account.user.email)}:
                return account
        return None

    async def add(self, registration: Registration, role: Role, password_hash: str) -> User:
        if self._named(registration.username):
            raise UsernameTaken(registration.username)
        if self._named(registration.email):
            raise EmailTaken(registration.email)
        user = User(
            new_id(),
            registration.username,
            registration.email,
            registration.full_name,
            role,
            active=True,
            create_time=NOW,
            update_time=NOW,
        )
        self.accounts[user.user_id] = Account(user, password_hash, login_epoch=0)
        self.request_ids[user.user_id] = registration.request_id
        return user

    async def update(self, user_id: str, draft: ProfileDraft, fields: Collection[str]) -> User:
        account = self.accounts.get(user_id)
        if account is None:
            raise UserNotFound(user_id)
        values = {
            "email": draft.email,
            "full_name": draft.full_name,
            "role": draft.role,
            "active": draft.active,
        }
        user = replace(account.user, **{name: values[name] for name in fields})  # type: ignore[arg-type]
        was_admin = account.user.role is Role.ADMIN
        ended = draft.deactivates(fields) or (was_admin and draft.demotes(fields))
        self.accounts[user_id] = replace(
            account, user=user, login_epoch=account.login_epoch + int(ended)
        )
        return user

    async def administrate(
        self, admin_id: str, user_id: str, draft: ProfileDraft, fields: Collection[str]
    ) -> User:
        admin = self.accounts.get(admin_id)
        if admin is None or admin.user.role is not Role.ADMIN or not admin.user.active:
            raise NoAdministrator
        return await self.update(user_id, draft, fields)

    async def replace_password(self, account: Account, password_hash: str) -> bool:
        current = self.accounts[account.user.user_id]
        if current.password_hash != account.password_hash:
            return False
        self.accounts[account.user.user_id] = replace(
            current, password_hash=password_hash, login_epoch=current.login_epoch + 1
        )
        return True

    async def upgrade_hash(self, account: Account, password_hash: str) -> None:
        current = self.accounts[account.user.user_id]
        self.accounts[account.user.user_id] = replace(current, password_hash=password_hash)

    async def remember_setting(self, account: Account, setting_hash: str) -> None:
        current = self.accounts[account.user.user_id]
        if current.setting_hash is None:
            self.accounts[account.user.user_id] = replace(current, setting_hash=setting_hash)

    async def reinstate(self, account: Account, setting_hash: str) -> None:
        current = self.accounts[account.user.user_id]
        if current.setting_hash == account.setting_hash:
            self.accounts[account.user.user_id] = replace(
                current,
                user=replace(current.user, role=Role.ADMIN, active=True),
                password_hash=setting_hash,
                setting_hash=setting_hash,
                login_epoch=current.login_epoch + 1,
            )


class FakeSessions:
    """Logins with all tokens that each had, the newest last. Time does not pass."""

    def __init__(self) -> None:
        self.sessions: dict[str, tuple[Session, list[RefreshToken]]] = {}

    async def open(self, account: Account, token: RefreshToken) -> None:
        session = Session(account.user.user_id, account.login_epoch)
        self.sessions[token.family] = (session, [token])

    async def rotate(self, token: RefreshToken) -> tuple[Session, RefreshToken]:
        session, tokens = self.sessions.get(token.family, (None, []))
        if session is None or token not in tokens:
            raise RefreshTokenInvalid
        if token == tokens[-1]:
            tokens.append(token.successor("salt").sealed(tokens[0].family_key))
        elif token != tokens[-2]:
            await self.end(token)
            raise RefreshTokenReused
        return session, tokens[-1]

    async def end(self, token: RefreshToken) -> None:
        if token in self.sessions.get(token.family, (None, []))[1]:
            del self.sessions[token.family]


class FakeThrottle:
    """Counts by account, and by client for those that the account knows."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.known: set[tuple[str, str]] = set()

    async def count(self, key: str, client: Client) -> Attempt:
        marks = [mark for mark in (client.family, client.source) if (key, mark) in self.known]
        counter = f"{key} {marks[0]}" if marks else key
        self.tries[counter] += 1
        LoginAttempts(self.tries[counter], WINDOW_S).confirm_at_most(MAX_FAILURES)
        return Attempt(key, client, known=bool(marks))

    async def forgive(self, attempt: Attempt, family: str) -> None:
        for mark in filter(None, (attempt.client.source, attempt.client.family, family)):
            self.known.add((attempt.key, mark))
            del self.tries[f"{attempt.key} {mark}"]
        if not attempt.known:
            del self.tries[attempt.key]


@dataclass
class FakePasswords:
    """Hashes are ``<scheme>:<password>``; those of another scheme than the present are outdated."""

    scheme: str = "new"
    overloaded: bool = False
    verified: list[str | None] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)

    @contextmanager
    def place(self, share: str) -> Iterator["FakePasswords"]:
        self.shares.append(share)
        if self.overloaded:
            raise LoginOverloaded
        yield self

    async def hash(self, password: str) -> str:
        return f"{self.scheme}:{password}"

    async def verify(self, password: str, password_hash: str | None) -> bool:
        self.verified.append(password_hash)
        return password_hash is not None and password_hash.partition(":")[2] == password

    def is_outdated(self, password_hash: str) -> bool:
        return not password_hash.startswith(f"{self.scheme}:")


class FakeAccessTokens:
    def issue(self, user: User) -> AccessToken:
        return AccessToken(f"{user.role}:{user.user_id}", NOW)


class FakeUsersSeeing(FakeUsers):
    """The same users, read at a moment before somebody else wrote."""

    def __init__(self, users: FakeUsers, seen: Account | None) -> None:
        super().__init__()
        self.accounts = users.accounts
        self._seen = seen

    async def find_account(self, user_id: str) -> Account | None:
        return self._seen

    async def find_account_named(self, login_name: str) -> Account | None:
        return self._seen
