"""URLs that name several sentinels, and what they say about the servers that those watch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl, quote, urlencode

_PORT: Final = 26379
_LAST_PORT: Final = 65535
_OF_SERVERS: Final = frozenset({"db", "username", "password"})
_URL: Final = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>.*)@)?(?P<hosts>[^/?@]+)(?P<path>/[^?]*)?"
    r"(?:\?(?P<query>.*))?"
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:,]+)(?::(\d{1,5}))?")


class UnusableUrlError(ValueError):
    """A URL that names no sentinels. The message does not repeat it: it may hold a password."""


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A URL of sentinels, taken apart.

    All of it is for the servers; the scheme and most options count for the sentinels too, but not
    user, password and database.
    """

    scheme: str
    user: str = field(repr=False)
    hosts: Sequence[str]
    path: str
    query: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart. Raises UnusableUrlError."""
        found = _URL.fullmatch(url)
        if found is None:
            raise UnusableUrlError("sentinels are named as redis://host:port,host:port")
        parts = found.groupdict(default="")
        hosts = [_host(host) for host in parts["hosts"].split(",")]
        if len(set(hosts)) < len(hosts):
            raise UnusableUrlError("a sentinel is named twice")
        return cls(parts["scheme"], parts["user"], hosts, parts["path"], parts["query"])

    def sentinels(self, password: str) -> Sequence[str]:
        """Return the URL of each sentinel, with its own password, which may be empty."""
        user = f":{quote(password, safe='')}@" if password else ""
        options = [option for option in parse_qsl(self.query) if option[0] not in _OF_SERVERS]
        query = f"?{urlencode(options)}" if options else ""
        return [f"{self.scheme}://{user}{host}{query}" for host in self.hosts]

    def server(self, host: str, port: int) -> str:
        """Return the URL of a server that is watched."""
        user = f"{self.user}@" if self.user else ""
        query = f"?{self.query}" if self.query else ""
        bracketed = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{user}{bracketed}:{port}{self.path}{query}"


def names_several(url: str) -> bool:
    """Say whether a URL names more than one host."""
    found = _URL.fullmatch(url)
    return found is not None and "," in found["hosts"]


def _host(text: str) -> str:
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found[2] or _PORT) <= _LAST_PORT:
        raise UnusableUrlError("a sentinel is named as host:port")
    return f"{found[1]}:{found[2] or _PORT}"
