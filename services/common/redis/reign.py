"""Who answers: a server, and for how long it has been the one that takes writes."""

from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError

_TOLD: Final = ("role", "run_id", "master_replid")


class StrangerError(RedisConnectionError):
    """A server answers of which nobody knows yet whether it holds something old."""


def reign_of(info: Mapping[str, Any]) -> str:
    """Return a name that no other server has, nor this one after a restart or as a replica.

    ``info`` is the answer to ``INFO server replication``. A server changes its replication id
    when it is promoted, so that a reign that has ended never comes back. Raises ConnectionError
    for a replica, which has none, and for a server that does not tell.
    """
    try:
        role, run_id, replication_id = (info[name] for name in _TOLD)
    except KeyError as missing:
        raise RedisConnectionError(f"INFO does not tell {missing}") from None
    if role != "master":
        raise RedisConnectionError("the server is a replica")
    return f"{run_id}:{replication_id}"


def read_info(answer: bytes) -> dict[str, str]:
    """Return the fields of an answer to INFO."""
    lines = (line.partition(":") for line in answer.decode().splitlines())
    return {name: value for name, colon, value in lines if colon}
