"""What the URL of a Redis server may say.

The client lets options of a URL win over its arguments: one of them may end the cache, or the
bound of its waits. So only those are taken that change neither.
"""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from services.common.redis.sentinel_urls import UnusableUrlError

_OPTIONS: Final = frozenset({"db", "username", "password"})
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_TAKEN: Final = ", ".join(sorted(_OPTIONS | _TLS_OPTIONS))
_NAME: Final = re.compile(r"[a-z_]{1,40}")  # what is none may be part of a password
_DATABASE: Final = re.compile(r"[0-9]{1,9}")
_EXAMPLE: Final = "must be like redis://:password@host:6379/0"


def check_url(url: str, *, cluster: bool = False) -> None:
    """Raise UnusableUrlError, whose message repeats no secret, unless it works as it reads."""
    try:
        parts = urlsplit(url)
        port = parts.port
        arguments: dict[str, Any] = {**parse_url(url)}
    except ValueError:
        raise UnusableUrlError(_EXAMPLE) from None
    if port == 0 or (parts.scheme == "unix" and not parts.path):
        raise UnusableUrlError(_EXAMPLE)
    options = parse_qsl(parts.query, keep_blank_values=True)
    _check_options(parts.scheme, options)
    _check_database(parts, dict(options))
    if cluster and (arguments.get("db") or parts.scheme == "unix"):
        raise UnusableUrlError("a cluster has ports, and database 0 alone")
    _check_tls(arguments)


def _check_options(scheme: str, options: Sequence[tuple[str, str]]) -> None:
    names = [name for name, _ in options]
    for name, value in options:
        if name not in _OPTIONS | _TLS_OPTIONS:
            shown = name if _NAME.fullmatch(name) else "something else"
            raise UnusableUrlError(f"takes the options {_TAKEN}, and not {shown}")
        if name in _TLS_OPTIONS and scheme != "rediss":
            raise UnusableUrlError(f"the option {name} needs rediss://")
        if not value or names.count(name) > 1:
            raise UnusableUrlError(f"the option {name} needs one value")


def _check_database(parts: SplitResult, options: dict[str, str]) -> None:
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    if path and "db" in options:
        raise UnusableUrlError("names the database twice")
    if not _DATABASE.fullmatch(path or options.get("db", "0")):
        raise UnusableUrlError("the database must be a number")


def _check_tls(arguments: dict[str, Any]) -> None:
    kind = arguments.pop("connection_class", Connection)
    if kind is not SSLConnection:
        return
    try:
        SSLConnection(**arguments).ssl_context.get()
    except (RedisError, OSError, ValueError) as error:
        raise UnusableUrlError(f"an option for TLS cannot be used: {error}") from None
