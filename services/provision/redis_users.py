"""Who may do what in Redis: the file that its option ``aclfile`` names."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from services.common.cache.adoption import mark_of
from services.provision.logins import Login

HEALTH: Final = "health"
OPERATOR: Final = "operator"

_COMMANDS: Final = (
    # In the scripts of common/cache/shared.py, and EVAL for them.
    *("eval", "get", "set", "del", "publish"),
    # Hearing of invalidations, forgetting everything, and knowing which server answers.
    *("subscribe", "scan", "unlink", "ping", "info", "client|setinfo"),
)


def users_file(logins: Sequence[Login], passwords: Mapping[str, str]) -> str:
    """Return the file. It holds hashes of the passwords, which are by the users' names.

    A service reaches its own keys and channel only. Nobody gets in without a name.
    """
    lines = [
        "user default reset off",
        f"user {HEALTH} reset on {_hashed(passwords[HEALTH])} +ping",
        f"user {OPERATOR} reset on {_hashed(passwords[OPERATOR])} ~* &* +@all",
        *(_service(login, passwords[login.name]) for login in logins),
    ]
    return "\n".join(lines) + "\n"


def _service(login: Login, password: str) -> str:
    keys = f"~{login.prefix}:* ~{{{login.prefix}:*}}:lease ~{mark_of(login.prefix)}"
    commands = " ".join(f"+{command}" for command in _COMMANDS)
    channel = f"&invalidated:{login.prefix}"
    return f"user {login.name} reset on {_hashed(password)} {keys} {channel} {commands}"


def _hashed(password: str) -> str:
    return f"#{sha256(password.encode()).hexdigest()}"
