"""How much MongoDB and Redis were asked, as they count it themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from pymongo import MongoClient
from redis import Redis


class Asked(NamedTuple):
    """Queries that MongoDB and commands that Redis have answered, whoever sent them."""

    mongo: int
    redis: int


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """The counters of two running stores."""

    mongo: MongoClient[dict[str, Any]]
    redis: Redis

    def read(self) -> Asked:
        """Return how much the stores have been asked since they began."""
        commands = self.mongo.admin.command("serverStatus")["metrics"]["commands"]
        info: Any = self.redis.info("stats")
        return Asked(
            commands["find"]["total"] + commands["aggregate"]["total"],
            info["total_commands_processed"],
        )


@contextmanager
def counted(mongo_uri: str, redis_url: str) -> Iterator[StoreCounts]:
    """Open the counters of two stores."""
    with MongoClient[dict[str, Any]](mongo_uri) as mongo, Redis.from_url(redis_url) as redis:
        yield StoreCounts(mongo, redis)
