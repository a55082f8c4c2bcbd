"""Stores that hang: they take connections and answer nothing."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.stack.stores import Store
from tests.integration.patience import until


async def hang(store: Store) -> None:
    """Let a store answer nothing from now on."""
    process = store.child.process
    process.send_signal(signal.SIGSTOP)
    options = os.WSTOPPED | os.WNOHANG
    await until(lambda: os.waitid(os.P_PID, process.pid, options) is not None)


def go_on(store: Store) -> None:
    """Let a store answer again, if it has not ended."""
    if store.child.process.returncode is None:
        store.child.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def hung(store: Store) -> AsyncIterator[None]:
    """Let a store answer nothing until the end of the block."""
    try:
        await hang(store)
        yield
    finally:
        go_on(store)
