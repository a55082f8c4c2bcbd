"""Waiting that ends when it is cancelled, for operations that may take no notice."""

import asyncio
from collections.abc import Coroutine
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


def seen(task: asyncio.Task[Any]) -> None:
    """Count what an ended task raised as seen, so that nobody reports it as lost."""
    if not task.cancelled():
        task.exception()
