"""Commands to MongoDB as spans, through either driver."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from pymongo.errors import DuplicateKeyError, OperationFailure

from services.common.mongo import Mongo, MongoDriver, MongoOptions, open_mongo
from services.common.tracing.mongo import TracedCommands
from services.common.transaction import Session
from tests.integration.conftest import EACH_DRIVER, PATIENT_MS
from tests.spans import Spans, id_of, parent_id

SECRET = "somebody@example.com"

pytestmark = EACH_DRIVER


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
async def traced(
    mongo_uri: str, driver: MongoDriver, database: str, spans: Spans
) -> AsyncIterator[Mongo]:
    options = MongoOptions(mongo_uri, driver, PATIENT_MS)
    async with open_mongo(options, database, [TracedCommands(spans.tracer)]) as opened:
        yield opened


async def test_a_command_is_a_span_of_whoever_waits_for_it(
    traced: Mongo, spans: Spans, database: str
) -> None:
    people = traced.collection("people")

    async def ask(number: int) -> int:
        with spans.asking() as asker:
            await people.find_one({"_id": number, "email": SECRET})
            return id_of(asker)

    askers = await asyncio.gather(*(ask(number) for number in range(5)))
    assert sorted(parent_id(span) for span in spans.ended) == sorted(askers)
    span = spans.ended[0]
    assert (span.name, span.kind) == ("find people", SpanKind.CLIENT)
    attributes = dict(span.attributes or {})
    assert attributes.pop("server.address") == "127.0.0.1"
    assert attributes.pop("server.port")
    assert attributes == {
        "db.system.name": "mongodb",
        "db.namespace": database,
        "db.collection.name": "people",
        "db.operation.name": "find",
        "db.query.text": '{"filter":{"_id":"?","email":"?"}}',
    }


async def test_a_command_that_nobody_who_is_traced_waits_for_is_no_span(
    traced: Mongo, spans: Spans
) -> None:
    await traced.ping()
    with Spans(sample_ratio=0).asking():
        await traced.collection("people").find_one({})
    with spans.asking() as asker:
        asker.end()
        await traced.collection("people").find_one({})
    assert spans.ended[1:] == []


async def test_all_commands_of_a_transaction_are_spans_of_its_caller(
    traced: Mongo, spans: Spans
) -> None:
    people = traced.collection("people")
    await people.insert_one(
        {"_id": "first"}
    )  # a transaction that has to create what it needs may be repeated

    async def insert_two(session: Session) -> None:
        for number in range(2):
            await people.insert_one({"_id": number, "email": SECRET}, session=session)

    with spans.asking() as asker:
        await traced.in_transaction(insert_two)
    assert [span.name for span in spans.ended] == [
        *["insert people"] * 2,
        "commitTransaction admin",
    ]
    assert {parent_id(span) for span in spans.ended} == {id_of(asker)}


async def test_a_command_that_is_refused_tells_the_code_and_not_the_reason(
    traced: Mongo, spans: Spans
) -> None:
    with spans.asking(), pytest.raises(OperationFailure):
        await traced.collection("people").aggregate([{f"${SECRET}": 1}])
    assert spans.only.attributes is not None
    assert spans.only.attributes["db.response.status_code"] == "40324"
    assert spans.only.status.status_code is StatusCode.ERROR
    assert spans.only.status.description is None
    assert not spans.only.events


async def test_no_span_tells_what_was_there_twice(traced: Mongo, spans: Spans) -> None:
    people = traced.collection("people")
    with spans.asking():
        await people.insert_one({"_id": SECRET})
        with pytest.raises(DuplicateKeyError):
            await people.insert_one({"_id": SECRET})
    assert len(spans.ended) == 2
    assert not [span for span in spans.ended if SECRET in span.to_json()]


async def test_a_command_that_is_given_up_takes_no_other_s_end_for_its_own(
    traced: Mongo, spans: Spans
) -> None:
    people = traced.collection("people")
    await people.insert_one({"_id": 1})
    slow = [{"$match": {"$expr": {"$function": _SLEEP}}}]
    with spans.asking():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await people.aggregate(slow)
        await people.find_one({"_id": 1})
    assert "find people" in [span.name for span in spans.ended]
    assert all((span.end_time or 0) > (span.start_time or 0) for span in spans.ended)


_SLEEP = {"body": "function() { sleep(1000); return true }", "args": [], "lang": "js"}
