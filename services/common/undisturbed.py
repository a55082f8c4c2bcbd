"""Waiting that ends when it is cancelled, for operations that may take no notice."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def undisturbed(work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work returns. Who stops waiting leaves it to end by itself, unheard.

    PyMongo's asynchronous operations wait with ``asyncio.wait_for``, which before Python 3.12
    forgets a cancellation that meets its end: the operation goes on, and so does its caller.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(seen)
    return await asyncio.shield(task)


async def abandonable(work: Awaitable[Result]) -> Result:
    """Return what the work returns. Who stops waiting has it cancelled, and does not wait for that.

    Work that takes no notice, as PyMongo's at times, ends by itself, unheard.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(seen)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        raise


def seen(task: asyncio.Future[Any]) -> None:
    """Count what an ended task raised as seen, so that nobody reports it as lost."""
    if not task.cancelled():
        task.exception()
