"""What the client library lets happen, made into what its callers can rely on."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisClusterException


@contextmanager
def lost_connections() -> Iterator[None]:
    """Raise ConnectionError where the client lets something else through.

    uvloop raises RuntimeError when something is written to a connection that was just lost, and
    the client's errors of a cluster that cannot be used are no RedisError.
    """
    try:
        with kept_cancellations():
            yield
    except (RuntimeError, RedisClusterException) as error:
        raise ConnectionError(str(error)) from error


@contextmanager
def kept_cancellations() -> Iterator[None]:
    """Raise CancelledError at the end of a block that lost one.

    The client writes through ``asyncio.wait_for``, which in Python 3.11 forgets a cancellation
    that comes just when the write is done: a timeout would not end, nor a loop.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
