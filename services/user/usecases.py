"""What the User service does, one recipe per RPC."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from services.common.auth.principal import Principal, Role
from services.common.errors import AlreadyExists
from services.common.snapshot import Snapshot
from services.common.validation import check_identifier
from services.user.model import (
    ADMIN_EMAIL,
    ADMIN_USERNAME,
    UNKNOWN_CLIENT,
    Account,
    Client,
    InvalidCredentials,
    Login,
    LoginThrottled,
    PasswordChanged,
    ProfileDraft,
    RefreshToken,
    RefreshTokenInvalid,
    Registration,
    User,
    UsernameTaken,
    attempt_key,
    check_login,
    check_password_change,
    owner_attempt_key,
)
from services.user.ports import AccessTokens, Hashing, Passwords, Sessions, Throttle, Users


@dataclass(frozen=True, slots=True)
class UserUseCases:
    """The users and their logins, as a caller may use them."""

    users: Users
    sessions: Sessions
    throttle: Throttle
    passwords: Passwords
    access_tokens: AccessTokens

    async def register_user(
        self, registration: Registration, password: str, client: Client = UNKNOWN_CLIENT
    ) -> User:
        """Add a customer, or return the one that the same registration has made before."""
        registration.check(password)
        registration.confirm_unreserved()
        with self.passwords.place(f"register {client.source}") as place:
            password_hash = await place.hash(password)
            try:
                return await self.users.add(registration, Role.CUSTOMER, password_hash)
            except AlreadyExists:
                made = await self._made_before(registration, password, client, place)
                if made is None:
                    raise
                return made

    async def authenticate_user(
        self, login_name: str, password: str, client: Client = UNKNOWN_CLIENT
    ) -> Login:
        """Begin a login with a password."""
        check_login(login_name, password)
        token = RefreshToken.new()
        with self.passwords.place(f"log in {client.source}") as place:
            found = await self.users.find_account_named(login_name)
            key = attempt_key(login_name, found)
            account = await self._prove(place, key, found, password, client, token.family)
            await self._upgrade_hash(place, account, password)
        await self.sessions.open(account, token)
        return self._login(account, token)

    async def refresh_tokens(self, refresh_token: str) -> Login:
        """Continue a login with its newest refresh token."""
        session, successor = await self.sessions.rotate(RefreshToken.parse(refresh_token))
        account = await self.users.find_account(session.user_id)
        if account is None or not session.is_open_to(account):
            await self.sessions.end(successor)
            raise RefreshTokenInvalid
        return self._login(account, successor)

    async def revoke_tokens(self, refresh_token: str) -> None:
        """End a login, by any refresh token it ever had."""
        await self.sessions.end(RefreshToken.parse(refresh_token))

    async def get_user_profile(self, user_id: str) -> Snapshot[User]:
        """Return one user."""
        check_identifier("user_id", user_id)
        return await self.users.get(user_id)

    async def update_user_profile(
        self,
        principal: Principal,
        user_id: str,
        draft: ProfileDraft,
        fields: Collection[str],
        current_password: str = "",
    ) -> User:
        """Change the named fields of a profile, as far as the caller may.

        It takes the caller's password to change their own e-mail address, with which they log in.
        """
        check_identifier("user.user_id", user_id)
        own = principal.owns(user_id)
        proves = own and "email" in fields
        draft.confirm_permitted(fields, principal)
        draft.check(fields, current_password if proves else None)
        administers = draft.is_administration(fields, own=own)
        if proves:
            with self.passwords.place(f"change {user_id}") as place:
                found = await self.users.find_account(user_id)
                await self._prove(place, owner_attempt_key(user_id), found, current_password)
        if administers:
            return await self.users.administrate(principal.subject, user_id, draft, fields)
        return await self.users.update(user_id, draft, fields)

    async def change_password(self, user_id: str, current_password: str, new_password: str) -> None:
        """Replace a password that the caller knows, and end all logins."""
        check_password_change(user_id, current_password, new_password)
        with self.passwords.place(f"change {user_id}") as place:
            found = await self.users.find_account(user_id)
            key = owner_attempt_key(user_id)
            account = await self._prove(place, key, found, current_password)
            password_hash = await place.hash(new_password)
        if not await self.users.replace_password(account, password_hash):
            raise PasswordChanged

    async def ensure_admin(self, setting: str) -> None:
        """Make the user ``admin`` be there, with the password that the setting says.

        What is changed by RPC stays until the setting changes: that makes the account an active
        administrator with the new password. Several processes may do so at once.
        """
        account = await self.users.find_account_named(ADMIN_USERNAME)
        if account is None:
            account = await self._add_admin(setting)
        if account.setting_hash is None:
            # The account is new, or older than this rule: then its password may have been changed
            # because it leaked, and must not come back.
            await self.users.remember_setting(account, await self.passwords.hash(setting))
        elif not await self.passwords.verify(setting, account.setting_hash):
            await self.users.reinstate(account, await self.passwords.hash(setting))

    async def _add_admin(self, password: str) -> Account:
        registration = Registration(ADMIN_USERNAME, ADMIN_EMAIL, "Administrator")
        password_hash = await self.passwords.hash(password)
        with suppress(UsernameTaken):  # another process was first
            await self.users.add(registration, Role.ADMIN, password_hash)
        account = await self.users.find_account_named(ADMIN_USERNAME)
        if account is None:  # no majority has it yet: the start is tried again
            raise UsernameTaken(ADMIN_USERNAME)
        return account

    async def _prove(
        self,
        place: Hashing,
        key: str,
        account: Account | None,
        password: str,
        client: Client = UNKNOWN_CLIENT,
        family: str = "",
    ) -> Account:
        """Return the account if it is active and this is its password.

        The try is counted before it is made, so that tries at the same time are all counted. The
        account knows the client from then on, and by ``family`` if a login begins.
        """
        attempt = await self.throttle.count(key, client)
        password_hash = None if account is None else account.password_hash
        right = await place.verify(password, password_hash)
        if account is None or not right or not account.user.active:
            raise InvalidCredentials
        await self.throttle.forgive(attempt, family)
        return account

    async def _made_before(
        self, registration: Registration, password: str, client: Client, place: Hashing
    ) -> User | None:
        """Return the user that this very registration made, if it did.

        The password is proved as in a login: who knows the request_id alone learns nothing.
        """
        if not registration.request_id:
            return None
        found = await self.users.find_registered(registration)
        if found is None or not registration.is_of(found.user):
            return None
        key = attempt_key(registration.username, found)
        try:
            account = await self._prove(place, key, found, password, client)
        except (InvalidCredentials, LoginThrottled):
            return None
        return account.user

    async def _upgrade_hash(self, place: Hashing, account: Account, password: str) -> None:
        if self.passwords.is_outdated(account.password_hash):
            await self.users.upgrade_hash(account, await place.hash(password))

    def _login(self, account: Account, token: RefreshToken) -> Login:
        return Login(account.user.user_id, self.access_tokens.issue(account.user), token)
