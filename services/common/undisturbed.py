"""Waiting that ends when it is cancelled, for operations that must not be."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def undisturbed(work: Awaitable[Result]) -> Result:
    """Return what the work returns. Cancellation ends the waiting; the work ends by itself.

    PyMongo's asynchronous operations must not be cancelled. One that is while it connects is
    counted in its pool for ever, and two of them keep all others from connecting. Before Python
    3.12 ``asyncio.wait_for``, with which they wait, also forgets a cancellation that meets its end.
    So the work needs a timeout of its own.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(seen)
    return await asyncio.shield(task)


def seen(task: asyncio.Future[Any]) -> None:
    """Count what an ended task raised as seen, so that nobody reports it as lost."""
    if not task.cancelled():
        task.exception()
