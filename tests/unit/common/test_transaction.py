"""Transactions whose commit fails in every way, on a session that does as it is told."""

import asyncio
import gc
from collections.abc import Sequence

import pytest
from pymongo import _csot
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.common.transaction import Session, Transactions
from tests.patience import PATIENCE_S

WITHIN_S = 60.0
SOON_S = 0.2


def failure(label: str) -> PyMongoError:
    return OperationFailure("no", 1, {"errorLabels": [label] if label else []})


UNKNOWN = failure("UnknownTransactionCommitResult")
TRANSIENT = failure("TransientTransactionError")
FINAL = failure("")


class ScriptedSession:
    """A session whose commits fail as scripted; the last entry goes on for ever."""

    def __init__(self, commits: Sequence[PyMongoError | None]) -> None:
        self.script = list(commits)
        self.calls: list[str] = []
        self.in_transaction = False
        self.left_s: list[float | None] = []
        self.may_commit, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_commit.set()
        self.may_end.set()
        self.committing = asyncio.Event()

    def start_transaction(self, *, read_concern: ReadConcern, write_concern: WriteConcern) -> None:
        self.in_transaction = True

    async def commit_transaction(self) -> None:
        self.calls.append("commit")
        self.committing.set()
        await self.may_commit.wait()
        self.in_transaction = False
        error = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if error is not None:
            raise error

    async def abort_transaction(self) -> None:
        self.calls.append("abort")
        self.in_transaction = False

    async def end_session(self) -> None:
        self.calls.append("end")
        await self.may_end.wait()


class OneSession:
    def __init__(self, session: ScriptedSession) -> None:
        self.session = session

    def start_session(self) -> ScriptedSession:
        return self.session


async def run(session: ScriptedSession, within_s: float = WITHIN_S) -> str:
    async def work(_session: Session) -> str:
        session.calls.append("work")
        session.left_s.append(_csot.remaining())
        return "done"

    transactions = Transactions(OneSession(session), WriteConcern("majority"))
    try:
        return await transactions.run(work, within_s)
    finally:
        await transactions.drain()


async def done_at_once(_session: Session) -> str:
    return "done"


async def test_a_commit_is_made_once() -> None:
    session = ScriptedSession([None])
    assert await run(session) == "done"
    assert session.calls == ["work", "commit", "end"]


async def test_a_commit_of_unknown_outcome_is_repeated_and_the_work_is_not() -> None:
    session = ScriptedSession([UNKNOWN, UNKNOWN, None])
    assert await run(session) == "done"
    assert session.calls == ["work", "commit", "commit", "commit", "end"]


async def test_work_whose_commit_was_in_the_way_of_another_is_repeated() -> None:
    session = ScriptedSession([TRANSIENT, UNKNOWN, TRANSIENT, None])
    assert await run(session) == "done"
    expected = ["work", "commit", "work", "commit", "commit", "work", "commit", "end"]
    assert session.calls == expected


async def test_a_commit_that_failed_for_good_is_not_repeated() -> None:
    session = ScriptedSession([FINAL])
    with pytest.raises(OperationFailure):
        await run(session)
    assert session.calls == ["work", "commit", "end"]


async def test_a_commit_still_unknown_when_its_caller_is_gone_is_made_once_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Left alone, it would keep its documents locked in MongoDB for a minute."""
    session = ScriptedSession([UNKNOWN])
    session.may_commit.clear()
    caller = asyncio.create_task(run(session))
    await session.committing.wait()
    caller.cancel()
    await asyncio.sleep(0)
    session.may_commit.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert session.calls == ["work", "commit", "commit", "end"]
    gc.collect()
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert UNKNOWN not in told  # nobody saw it, and nobody need


async def test_nobody_waits_for_an_end_longer_than_for_the_work() -> None:
    session = ScriptedSession([FINAL])
    session.may_end.clear()
    transactions = Transactions(OneSession(session), WriteConcern("majority"))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ExecutionTimeout):
            await transactions.run(done_at_once, SOON_S)
    session.may_end.set()
    await transactions.drain()
    assert session.calls[-1] == "end"


async def test_every_operation_of_the_work_must_end_in_the_time_of_all() -> None:
    session = ScriptedSession([TRANSIENT, None])
    assert await run(session) == "done"
    first, second = session.left_s
    assert first is not None
    assert second is not None
    assert WITHIN_S >= first > second > 0


async def test_work_in_the_way_of_another_is_repeated_until_the_time_is_up() -> None:
    session = ScriptedSession([TRANSIENT])
    with pytest.raises((ExecutionTimeout, OperationFailure)):
        await run(session, SOON_S)
    assert session.calls.count("end") == 1
    assert session.calls.count("work") > 1
