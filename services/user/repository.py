"""Users and logins in MongoDB.

A login is good as long as its ``login_epoch`` is its user's: raising the user's ends all of
them in the same write that changes the password or deactivates the user. There is no moment,
and no crash, between the two.
"""

import secrets
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from services.common.auth.principal import Role
from services.common.batching import Batcher
from services.common.cache.watched import Changes
from services.common.clock import as_utc, utc_now
from services.common.ids import new_id
from services.common.mongo import Document, Mongo
from services.common.snapshot import Snapshot
from services.common.transaction import Session as Transaction
from services.user.model import (
    REFRESH_REPEAT_S,
    Account,
    EmailTaken,
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

_USERS: Final = "users"
_SESSIONS: Final = "sessions"
_ATTEMPTS: Final = "login_attempts"
_MOST_AT_ONCE: Final = 500

USER_CHANGES: Final = Changes(
    _USERS, shown=("username", "email", "full_name", "role", "active", "update_time")
)
"""Neither the password nor the logins are shown."""

_TEXT: Final = {"bsonType": "string"}
_TIME: Final = {"bsonType": "date"}
_COUNT: Final = {"bsonType": ["int", "long"], "minimum": 0}
_USER_PROPERTIES: Final = {
    "username": _TEXT,
    "username_key": _TEXT,
    "email": _TEXT,
    "email_key": _TEXT,
    "full_name": _TEXT,
    "role": {"enum": [Role.CUSTOMER.value, Role.ADMIN.value]},
    "active": {"bsonType": "bool"},
    "password_hash": _TEXT,
    "login_epoch": _COUNT,
    "create_time": _TIME,
    "update_time": _TIME,
}
_OF_ADMINISTRATORS: Final = {"administered": _COUNT, "setting_hash": _TEXT}
_SESSION_PROPERTIES: Final = {
    "user_id": _TEXT,
    "login_epoch": _COUNT,
    "token_hash": _TEXT,
    "create_time": _TIME,
    "expire_time": _TIME,
}
_REGISTERED_BY_NAME: Final = {"request_id": _TEXT}  # of those that repeat under this name
_ROTATION: Final = {
    "family_key": _TEXT,  # not in logins of before there were seals
    "used_hash": _TEXT,
    "used_time": _TIME,
    "salt": _TEXT,
    "repeats": _COUNT,
}
_REPEATABLE: Final = {
    "$gt": ["$used_time", {"$subtract": ["$$NOW", REFRESH_REPEAT_S * 1000]}],
}
_ATTEMPT_PROPERTIES: Final = {"failures": _COUNT, "expire_time": _TIME}
_KNOWN_CLIENTS: Final = {"bsonType": "array", "maxItems": 8}
_COUNTED_BY_CLIENT: Final = {
    "window_end": _TIME,
    "logins": _KNOWN_CLIENTS,
    "sources": _KNOWN_CLIENTS,
    "counted": _TEXT,
}
_EXPIRY: Final = IndexModel([("expire_time", ASCENDING)], expireAfterSeconds=0)


async def prepare_schema(mongo: Mongo) -> None:
    """Create the collections, validators and indexes, or bring them up to date."""
    await mongo.confirm_transactions()
    await mongo.prepare(
        _USERS,
        schema=_schema(_USER_PROPERTIES, {**_OF_ADMINISTRATORS, **_REGISTERED_BY_NAME}),
        indexes=[
            IndexModel([("username_key", ASCENDING)], unique=True),
            IndexModel([("email_key", ASCENDING)], unique=True),
        ],
    )
    await mongo.prepare(
        _SESSIONS, schema=_schema(_SESSION_PROPERTIES, _ROTATION), indexes=[_EXPIRY]
    )
    attempts = _schema(_ATTEMPT_PROPERTIES, _COUNTED_BY_CLIENT)
    await mongo.prepare(_ATTEMPTS, schema=attempts, indexes=[_EXPIRY])


def _schema(properties: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Document:
    return {
        "bsonType": "object",
        "required": list(properties),
        "properties": {"_id": _TEXT, **properties, **(optional or {})},
    }


class MongoUsers:
    """The users in MongoDB."""

    def __init__(self, mongo: Mongo, batcher: type[Batcher[Any, Any]] = Batcher) -> None:
        self._mongo = mongo
        self._users = mongo.collection(_USERS)
        self._lasting = mongo.lasting(_USERS)
        self._reads: Batcher[str, Snapshot[User]] = batcher(self.get_many, _MOST_AT_ONCE)

    async def get(self, user_id: str) -> Snapshot[User]:
        """Return a user. Raises ``UserNotFound``."""
        found = await self._reads.ask((user_id,))
        if user_id not in found:
            raise UserNotFound(user_id)
        return found[user_id]

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Snapshot[User]]:
        """Return those of the users that exist."""
        documents = await self._lasting.find(
            {"_id": {"$in": list(user_ids)}}, {"password_hash": 0, "setting_hash": 0}
        ).to_list(None)
        return {document["_id"]: Snapshot(_user(document)) for document in documents}

    async def find_account(self, user_id: str) -> Account | None:
        """Return a user's account as it is at this moment."""
        return await self._find_account({"_id": user_id})

    async def find_account_named(self, login_name: str) -> Account | None:
        """Return the account with this username or e-mail address, in any case."""
        name = name_key(login_name)
        # No username holds an "@", so that nobody's name is another one's address.
        return await self._find_account({"email_key" if "@" in name else "username_key": name})

    async def find_registered(self, registration: Registration) -> Account | None:
        """Return the account that a registration of this username and request_id made."""
        named = {"request_id": registration.request_id}
        query = {"username_key": name_key(registration.username), **named}
        # A write, though of nothing new: it is acknowledged once a majority has the account.
        await self._users.update_one(query, {"$set": named})
        return await self._find_account(query)

    async def add(self, registration: Registration, role: Role, password_hash: str) -> User:
        """Store a new active user and return it. Raises ``UsernameTaken`` and ``EmailTaken``."""
        now = utc_now()
        document: Document = {
            "_id": new_id(),
            "username": registration.username,
            "username_key": name_key(registration.username),
            "email": registration.email,
            "email_key": name_key(registration.email),
            "full_name": registration.full_name,
            "role": role.value,
            "active": True,
            "password_hash": password_hash,
            "login_epoch": 0,
            "create_time": now,
            "update_time": now,
        }
        if registration.request_id:
            document["request_id"] = registration.request_id
        try:
            await self._users.insert_one(document)
        except DuplicateKeyError as error:
            if "email_key" in (error.details or {}).get("keyPattern", {}):
                raise EmailTaken(registration.email) from None
            raise UsernameTaken(registration.username) from None
        return _user(document)

    async def update(self, user_id: str, draft: ProfileDraft, fields: Collection[str]) -> User:
        """Set the named fields and return the user."""
        return await self._update(user_id, draft, fields)

    async def administrate(
        self, admin_id: str, user_id: str, draft: ProfileDraft, fields: Collection[str]
    ) -> User:
        """Do as ``update`` if, in the same moment, the first user is an active administrator."""
        admin = {"role": Role.ADMIN.value}

        async def change(transaction: Transaction) -> User:
            # The count is written, not only the account read: so a dismissal of the administrator
            # at the same time conflicts with this, and one of the two comes first.
            counted = await self._users.update_one(
                {"_id": admin_id, "active": True, **admin},
                {"$inc": {"administered": 1}},
                session=transaction,
            )
            if not counted.matched_count:
                raise NoAdministrator
            if draft.demotes(fields):
                await self._users.update_one(
                    {"_id": user_id, **admin}, {"$inc": {"login_epoch": 1}}, session=transaction
                )
            return await self._update(user_id, draft, fields, transaction)

        return await self._mongo.in_transaction(change)

    async def _update(
        self,
        user_id: str,
        draft: ProfileDraft,
        fields: Collection[str],
        transaction: Transaction | None = None,
    ) -> User:
        try:
            document = await self._users.find_one_and_update(
                {"_id": user_id},
                {
                    "$set": _changes(draft, fields) | {"update_time": utc_now()},
                    "$inc": {"login_epoch": int(draft.deactivates(fields))},
                },
                return_document=True,
                session=transaction,
            )
        except DuplicateKeyError:
            raise EmailTaken(draft.email) from None
        if document is None:
            raise UserNotFound(user_id)
        return _user(document)

    async def replace_password(self, account: Account, password_hash: str) -> bool:
        """Set another password and end all logins, unless the password has changed."""
        return await self._set_hash(account, password_hash, ended_logins=1)

    async def upgrade_hash(self, account: Account, password_hash: str) -> None:
        """Keep another hash of the same password, unless the password has changed."""
        await self._set_hash(account, password_hash, ended_logins=0)

    async def remember_setting(self, account: Account, setting_hash: str) -> None:
        """Keep the hash of the password in the settings, unless there is one."""
        await self._users.update_one(
            {"_id": account.user.user_id, "setting_hash": {"$exists": False}},
            {"$set": {"setting_hash": setting_hash}},
        )

    async def reinstate(self, account: Account, setting_hash: str) -> None:
        """Make the user an active administrator with the password that the settings have now."""
        await self._users.update_one(
            {"_id": account.user.user_id, "setting_hash": account.setting_hash},
            {
                "$set": {
                    "password_hash": setting_hash,
                    "setting_hash": setting_hash,
                    "role": Role.ADMIN.value,
                    "active": True,
                    "update_time": utc_now(),
                },
                "$inc": {"login_epoch": 1},
            },
        )

    async def _find_account(self, query: Document) -> Account | None:
        # A token and a password are answers too: they rest on what a majority has.
        for document in await self._lasting.find(query, limit=1).to_list(1):
            return Account(
                _user(document),
                document["password_hash"],
                document["login_epoch"],
                document.get("setting_hash"),
            )
        return None

    async def _set_hash(self, account: Account, password_hash: str, ended_logins: int) -> bool:
        result = await self._users.update_one(
            {"_id": account.user.user_id, "password_hash": account.password_hash},
            {"$set": {"password_hash": password_hash}, "$inc": {"login_epoch": ended_logins}},
        )
        return bool(result.matched_count)


class MongoSessions:
    """The logins in MongoDB: one document each, with the hashes of its newest two tokens."""

    def __init__(self, mongo: Mongo, lifetime_s: float) -> None:
        self._sessions = mongo.collection(_SESSIONS)
        self._lasting = mongo.lasting(_SESSIONS)
        self._lifetime = timedelta(seconds=lifetime_s)

    async def open(self, account: Account, token: RefreshToken) -> None:
        """Begin a login with its first token."""
        now = utc_now()
        await self._sessions.insert_one(
            {
                "_id": token.family,
                "user_id": account.user.user_id,
                "login_epoch": account.login_epoch,
                "token_hash": token.digest,
                "family_key": token.family_key,
                "create_time": now,
                "expire_time": now + self._lifetime,
            }
        )

    async def rotate(self, token: RefreshToken) -> tuple[Session, RefreshToken]:
        """Put a successor in the token's place and return the login and the successor."""
        alive = {"_id": token.family, "expire_time": {"$gt": utc_now()}}
        salt = secrets.token_hex(32)
        successor = token.successor(salt)
        login = await self._sessions.find_one_and_update(
            alive | {"token_hash": token.digest},
            {
                "$set": {
                    "token_hash": successor.digest,
                    "used_hash": token.digest,
                    "salt": salt,
                },
                "$currentDate": {"used_time": True},
            },
        )
        if login is None:
            login, successor = await self._repeated(alive, token)
        key = login.get("family_key")
        return (
            Session(login["user_id"], login["login_epoch"]),
            successor if key is None else successor.sealed(key),
        )

    async def _repeated(
        self, alive: Document, token: RefreshToken
    ) -> tuple[Document, RefreshToken]:
        # A write, so that the answer waits until a majority has the rotation that it repeats.
        login = await self._sessions.find_one_and_update(
            alive | {"used_hash": token.digest, "$expr": _REPEATABLE}, {"$inc": {"repeats": 1}}
        )
        if login is not None:
            successor = token.successor(login["salt"])
            if successor.digest == login["token_hash"]:
                return login, successor
        if await self._end_of_earlier(token, alive):
            raise RefreshTokenReused
        raise RefreshTokenInvalid

    async def end(self, token: RefreshToken) -> None:
        """End the login that has or had this token, if there is one."""
        newest = {"_id": token.family, "token_hash": token.digest}
        if not (await self._sessions.delete_one(newest)).deleted_count:
            await self._end_of_earlier(token, {"_id": token.family})

    async def _end_of_earlier(self, token: RefreshToken, query: Document) -> bool:
        """End the login if it had this token, and return whether it did."""
        for login in await self._lasting.find(query, limit=1).to_list(1):
            known = token.digest in (login["token_hash"], login.get("used_hash"))
            key = login.get("family_key")
            if known or (key is not None and token.has_seal_of(key)):
                return bool((await self._sessions.delete_one(query)).deleted_count)
        return False


def _changes(draft: ProfileDraft, fields: Collection[str]) -> Document:
    values: Document = {
        "email": draft.email,
        "full_name": draft.full_name,
        "role": draft.role.value,
        "active": draft.active,
    }
    changes = {name: values[name] for name in fields}
    return changes | ({"email_key": name_key(draft.email)} if "email" in fields else {})


def _user(document: Mapping[str, Any]) -> User:
    return User(
        user_id=document["_id"],
        username=document["username"],
        email=document["email"],
        full_name=document["full_name"],
        role=Role(document["role"]),
        active=document["active"],
        create_time=as_utc(document["create_time"]),
        update_time=as_utc(document["update_time"]),
    )
