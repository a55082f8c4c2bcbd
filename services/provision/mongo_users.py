"""A new MongoDB made a replica set of one, with users who may do what they must and no more."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from services.provision.errors import ProvisionError
from services.provision.logins import Login

ROOT: Final = "root"
REPLICA_SET: Final = "rs0"
ACTIONS: Final = (
    *("find", "insert", "update", "remove"),
    # What Mongo.prepare does at a service's start, and the backstop of the cache afterwards.
    *("listCollections", "collMod", "createIndex", "changeStream"),
)
_POLL_S: Final = 0.2
_ATTEMPT_MS: Final = 2_000
_UNAUTHORIZED: Final = 13
_AUTHENTICATION_FAILED: Final = 18
_ALREADY_INITIALIZED: Final = 23
_ROLE_EXISTS: Final = 51002
_USER_EXISTS: Final = 51003

Client = MongoClient[dict[str, Any]]


def prepare_mongodb(
    port: int,
    member: str,
    logins: Sequence[Login],
    passwords: Mapping[str, str],
    within_s: float = 60.0,
) -> None:
    """Make the MongoDB on this port of this host a replica set with a user for each login.

    ``member`` is the address at which clients shall find it. Passwords are by users' names. What is
    there already stays, and users get these rights and passwords again. Until MongoDB has a user,
    it lets whoever comes over loopback make the first one: this must run on its host. Raises
    ``ProvisionError`` if it is not writable within ``within_s`` seconds, or has other passwords.
    """
    try:
        with _connected(port) as stranger:
            _become_primary(stranger, member, within_s)
            _ensure_root(stranger, port, passwords[ROOT])
        with _connected(port, passwords[ROOT]) as root:
            for login in logins:
                _grant(root, login, passwords[login.name])
    except PyMongoError as error:
        raise ProvisionError(f"MongoDB on port {port} could not be prepared: {error}") from error


@contextmanager
def _connected(port: int, password: str | None = None) -> Iterator[Client]:
    client: Client = MongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=_ATTEMPT_MS,
        username=None if password is None else ROOT,
        password=password,
    )
    with client:
        yield client


def _become_primary(client: Client, member: str, within_s: float) -> None:
    end = monotonic() + within_s
    while not _is_primary(client, member):
        if monotonic() > end:
            raise ProvisionError(f"MongoDB is not a primary after {within_s:g} s")
        sleep(_POLL_S)


def _is_primary(client: Client, member: str) -> bool:
    """Tell whether it is writable, and have it become a replica set if it is none."""
    try:
        state = client.admin.command("hello")
        if "setName" not in state:
            _initiate(client, member)
    except PyMongoError:  # it is still starting
        return False
    return bool(state["isWritablePrimary"])


def _initiate(client: Client, member: str) -> None:
    config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": member}]}
    try:
        client.admin.command("replSetInitiate", config)
    except OperationFailure as error:
        # It was one all along and has only now read so.
        if error.code not in {_ALREADY_INITIALIZED, _UNAUTHORIZED}:
            raise ProvisionError(f"MongoDB does not become a replica set: {error}") from error


def _ensure_root(stranger: Client, port: int, password: str) -> None:
    try:
        stranger.admin.command("createUser", ROOT, pwd=password, roles=["root"])
    except OperationFailure as error:
        if error.code not in {_UNAUTHORIZED, _USER_EXISTS}:
            raise
        _prove_root(port, password)


def _prove_root(port: int, password: str) -> None:
    try:
        with _connected(port, password) as root:
            root.admin.command("ping")
    except OperationFailure as error:
        if error.code != _AUTHENTICATION_FAILED:
            raise
        raise ProvisionError(
            f"MongoDB's data knows another password of {ROOT} than the vault: the volumes of both "
            "belong together; bring the old vault back, or remove the data as well"
        ) from error


def _grant(root: Client, login: Login, password: str) -> None:
    everything = {"db": login.database, "collection": ""}
    privileges = [{"resource": everything, "actions": list(ACTIONS)}]
    _put(root, _ROLE_EXISTS, "Role", login.name, privileges=privileges, roles=[])
    _put(root, _USER_EXISTS, "User", login.name, pwd=password, roles=[login.name])


def _put(root: Client, exists: int, kind: str, name: str, **content: Any) -> None:
    try:
        root.admin.command(f"create{kind}", name, **content)
    except OperationFailure as error:
        if error.code != exists:
            raise
        root.admin.command(f"update{kind}", name, **content)
