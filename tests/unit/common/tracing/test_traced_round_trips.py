import asyncio
from collections.abc import Collection, Mapping

from services.common.tracing.flights import TracedBatcher
from services.common.tracing.waiting import store_span
from tests.spans import Spans, id_of, linked_ids, parent_id


class Store:
    """A store, each question to which is a span."""

    def __init__(self, spans: Spans, name: str = "trip") -> None:
        self._spans = spans
        self._name = name
        self.trips: list[list[str]] = []

    async def run(self, keys: Collection[str]) -> Mapping[str, str]:
        self.trips.append(list(keys))
        span = store_span(self._spans.tracer, self._name, {})
        await asyncio.sleep(0)
        if span is not None:
            span.end()
        return {key: key for key in keys}


async def test_a_round_trip_for_one_is_part_of_their_span(spans: Spans) -> None:
    batcher = TracedBatcher(Store(spans).run, 10)
    with spans.asking() as asker:
        await batcher.ask(["a", "b"])
    assert parent_id(spans.only) == id_of(asker)
    assert not spans.only.links


async def test_a_round_trip_for_several_is_part_of_the_first_ones_and_linked_to_the_others(
    spans: Spans,
) -> None:
    store = Store(spans)
    batcher = TracedBatcher(store.run, 10)
    with spans.asking() as first:
        joined = [batcher.join(["a"])]
    with spans.asking() as second:
        joined += [batcher.join(["b"]), batcher.join(["a"])]
    await asyncio.gather(*(batch.answers() for batch in joined))
    assert store.trips == [["a", "b"]]
    assert parent_id(spans.only) == id_of(first)
    assert linked_ids(spans.only) == [id_of(second)]


async def test_each_round_trip_knows_only_those_who_asked_for_it(spans: Spans) -> None:
    batcher = TracedBatcher(Store(spans).run, 1)
    with spans.asking() as first:
        joined = [batcher.join(["a"])]
    with spans.asking() as second:
        joined.append(batcher.join(["b"]))
    await asyncio.gather(*(batch.answers() for batch in joined))
    await batcher.drain()
    assert [parent_id(span) for span in spans.ended] == [id_of(first), id_of(second)]
    assert not any(span.links for span in spans.ended)


async def test_what_a_round_trip_asks_for_is_part_of_the_span_that_waits_for_its_keys(
    spans: Spans,
) -> None:
    behind = TracedBatcher(Store(spans, "behind").run, 10)

    async def ask_behind_for_b(keys: Collection[str]) -> Mapping[str, str]:
        await behind.ask(["b"])
        return dict.fromkeys(keys, "")

    batcher = TracedBatcher(ask_behind_for_b, 10)
    with spans.asking():
        joined = [batcher.join(["a"])]
    with spans.asking() as second:
        joined.append(batcher.join(["b"]))
    await asyncio.gather(*(batch.answers() for batch in joined))
    assert parent_id(spans.only) == id_of(second)
    assert not spans.only.links


async def test_what_is_asked_for_one_who_is_not_traced_is_no_span_of_another(
    spans: Spans,
) -> None:
    behind = TracedBatcher(Store(spans, "behind").run, 10)

    async def ask_behind_for_b(keys: Collection[str]) -> Mapping[str, str]:
        await behind.ask(["b"])
        return dict.fromkeys(keys, "")

    batcher = TracedBatcher(ask_behind_for_b, 10)
    with spans.asking():
        joined = [batcher.join(["a"])]
    joined.append(batcher.join(["b"]))
    await asyncio.gather(*(batch.answers() for batch in joined))
    assert not spans.ended


async def test_what_a_round_trip_asks_for_by_other_keys_is_for_all_who_wait(spans: Spans) -> None:
    behind = TracedBatcher(Store(spans, "behind").run, 10)

    async def ask_behind(keys: Collection[str]) -> Mapping[str, str]:
        await behind.ask(["something else"])
        return dict.fromkeys(keys, "")

    batcher = TracedBatcher(ask_behind, 10)
    with spans.asking() as first:
        joined = [batcher.join(["a"])]
    with spans.asking() as second:
        joined.append(batcher.join(["b"]))
    await asyncio.gather(*(batch.answers() for batch in joined))
    assert parent_id(spans.only) == id_of(first)
    assert linked_ids(spans.only) == [id_of(second)]


async def test_those_who_are_not_traced_neither_get_a_span_nor_lead_one(spans: Spans) -> None:
    batcher = TracedBatcher(Store(spans).run, 10)
    unsampled = Spans(sample_ratio=0)
    with unsampled.asking():
        await batcher.ask(["a"])
    await batcher.ask(["a"])
    assert not spans.ended

    with unsampled.asking():
        joined = [batcher.join(["a"])]
    with spans.asking() as traced:
        joined.append(batcher.join(["b"]))
    await asyncio.gather(*(batch.answers() for batch in joined))
    assert parent_id(spans.only) == id_of(traced)


async def test_nothing_is_remembered_of_a_round_trip_that_has_begun(spans: Spans) -> None:
    batcher = TracedBatcher(Store(spans).run, 1)
    with spans.asking():
        joined = [batcher.join([key]) for key in "abc"]
    await asyncio.gather(*(batch.answers() for batch in joined))
    assert not batcher._waiting_for
