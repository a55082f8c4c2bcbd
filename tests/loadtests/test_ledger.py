"""What processes record meets in one ledger."""

from collections import Counter
from typing import Any

import orjson
import pytest

from loadtests.arrivals import Punctuality
from loadtests.ledger import Ledger, Window, quantile_ms
from loadtests.recorder import LONGEST_US, Recorder, rounded, unpacked
from loadtests.shares import shares

GET = ("GetProduct", "near")
LIST = ("ListUserOrders", "")


def sent(recorder: Recorder) -> Any:
    """Return what arrives of a report that travelled as plain data."""
    return unpacked(orjson.loads(orjson.dumps(recorder.drain())))


def test_calls_of_several_processes_add_up() -> None:
    ledger = Ledger(Window(100, 110))
    for _ in range(2):
        recorder = Recorder()
        recorder.add(GET, 100.5, 1_000, "", "near")
        recorder.add(GET, 101.5, 2_000, "", "redis")
        recorder.add(GET, 101.6, 9_000, "UNAVAILABLE", "")
        recorder.started(100.2, 0.5, unattended=True)
        recorder.sold("lamp", 3)
        recorder.left_open()
        recorder.skipped(2)
        ledger.add(sent(recorder))
        recorder.sold("lamp", -1)
        ledger.add(sent(recorder))
    total = ledger.totals[GET]
    assert total.latencies_us == Counter({1_000: 2, 2_000: 2, 9_000: 2})
    assert total.count == 6
    assert total.errors == {"UNAVAILABLE": 2}
    assert total.sources == {"near": 2, "redis": 2}
    assert ledger.punctuality == Punctuality(2, 2, 2, 0.5)
    assert ledger.sold == {"lamp": 4}
    assert (ledger.open_orders, ledger.skipped) == (2, 4)


def test_nothing_is_reported_twice() -> None:
    recorder, ledger = Recorder(), Ledger(Window())
    recorder.add(GET, 5.0, 10, "", "")
    ledger.add(sent(recorder))
    ledger.add(sent(recorder))
    assert ledger.totals[GET].count == 1


def test_the_warm_up_and_what_ends_too_late_are_not_measured_but_stock_is() -> None:
    ledger = Ledger(Window(100, 102))
    recorder = Recorder()
    for ended in (99.9, 100.0, 101.9, 102.0):
        recorder.add(GET, ended, 10, "", "")
        recorder.sold("lamp", 1)
    ledger.add(sent(recorder))
    assert ledger.totals[GET].count == 2
    assert ledger.sold == {"lamp": 4}


def test_the_timeline_has_each_second_with_calls() -> None:
    ledger = Ledger(Window(100, 110))
    recorder = Recorder()
    recorder.add(GET, 100.5, 1_000, "", "near")
    recorder.add(GET, 100.6, 3_000, "INTERNAL", "")
    recorder.add(LIST, 103.0, 5_000, "", "")
    ledger.note_users(100, 7)
    ledger.add(sent(recorder))
    first, last = ledger.timeline()
    assert (first.at_s, first.method, first.arm) == (0.0, *GET)
    assert (first.users, first.count, first.errors) == (7, 2, 1)
    assert (first.p50_ms, first.p99_ms) == (1.0, 3.0)
    assert (last.at_s, last.method, last.count, last.users) == (3.0, "ListUserOrders", 1, 0)


def test_a_long_run_keeps_few_blocks_and_every_call() -> None:
    ledger = Ledger(Window(0, 10_000))
    recorder = Recorder()
    for second in range(1_000):
        recorder.add(GET, second + 0.5, 100 + second, "", "")
        if second >= 500:
            recorder.add(LIST, second + 0.5, 1, "", "")
        if second % 100 == 99:
            ledger.add(sent(recorder))
    blocks, others = ledger.blocks(GET), ledger.blocks(LIST)
    assert len(blocks) == len(others) <= 128
    assert sum(block.total() for block in blocks) == 1_000
    assert sum(block.total() for block in others) == 500
    assert sum(moment.count for moment in ledger.timeline()) == 1_500
    # The same stretches: the second method begins where half of the first has passed.
    assert not any(others[: len(others) // 2 - 1])


@pytest.mark.parametrize(
    ("us", "kept"), [(0, 1), (1, 1), (16_383, 16_383), (16_385, 16_384), (10**9, LONGEST_US)]
)
def test_latencies_are_exact_up_to_sixteen_milliseconds(us: int, kept: int) -> None:
    assert rounded(us) == rounded(kept)
    assert kept == LONGEST_US or rounded(us) == kept


def test_latencies_are_kept_to_four_digits() -> None:
    for us in (20_011, 333_333, 7_654_321, 59_999_999):
        assert 0 <= us - rounded(us) <= us / 8_192


def test_quantiles_are_values_that_were_measured() -> None:
    assert quantile_ms({1_000: 98, 5_000: 1, 9_000: 1}, 0.5) == 1.0
    assert quantile_ms({1_000: 98, 5_000: 1, 9_000: 1}, 0.99) == 5.0
    assert quantile_ms({}, 0.5) is None


def test_shares_are_by_layer_and_a_read_around_the_caches_is_one_of_mongodb() -> None:
    ledger = Ledger(Window(100, 200))
    recorder = Recorder()
    for source in ("near", "near", "redis", "bypass", ""):
        recorder.add(GET, 100.5, 10, "", source)
    recorder.add(("ListProducts", ""), 101.5, 10, "", "")
    recorder.add(("GetProduct", "mongo"), 102.5, 10, "", "mongo")
    ledger.add(sent(recorder))
    found = shares(ledger)
    assert found["total"] == {"calls": 5, "near": 0.4, "redis": 0.2, "mongo": 0.4}
    assert set(found["methods"]) == {"GetProduct"}
    assert [second["at_s"] for second in found["recent"]] == [0, 2]
    assert found["recent"][0] == {"at_s": 0, "calls": 4, "near": 0.5, "redis": 0.25, "mongo": 0.25}
