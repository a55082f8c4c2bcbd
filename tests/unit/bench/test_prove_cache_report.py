from collections.abc import Sequence

import pytest

from bench.gate.verdict import Exit
from bench.prove_cache.__main__ import judged
from bench.prove_cache.checker import Promise, check
from bench.prove_cache.creator import next_ids
from bench.prove_cache.history import HANG, Fault, History, Read, Write
from bench.prove_cache.report import figures, percentile, report, upper_bound
from bench.prove_cache.run import Options

PROMISE = Promise()
WRITES = [Write("product:1", 1, 0.0, 1.0), Write("product:1", 2, 9.0, 10.0)]


def read(shown: int, start: float, source: str = "redis") -> Read:
    return Read("product:1", shown, start, start + 0.1, source, "", "inventory-1", "OK")


def test_no_stale_read_among_many_bounds_their_share_by_the_rule_of_three() -> None:
    assert upper_bound(200_000) == 0.000015
    assert upper_bound(0) is None


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([], 0.99) == 0


def test_a_kept_promise_is_reported_with_its_bound_and_what_near_reads_missed() -> None:
    history = History(WRITES, [read(2, 11.0), read(1, 10.25, "near")])
    text = report(history, check(history, PROMISE), PROMISE)
    assert "stale reads         0" in text
    assert "fewer than 3e+06 in a million" in text
    assert "1 reads: staleness p50 250.0 ms, p99 250.0 ms, greatest 250.0 ms" in text


def test_a_stale_read_is_reported_with_all_that_is_known_of_it() -> None:
    history = History(WRITES, [read(1, 10.25)])
    verdict = check(history, PROMISE)
    text = report(history, verdict, PROMISE)
    assert "stale reads         1" in text
    assert "product:1 at 0.0000 s from inventory-1 (redis): showed 1, owed 2" in text
    assert "acknowledged 250.0 ms before" in text
    assert "at 95 %" not in text
    (first,) = figures(history, verdict)["first_stale"]
    assert (first["shown"], first["owed"], first["by"]) == (1, 2, "inventory-1")


def test_a_failed_read_is_reported_with_its_code() -> None:
    failed = read(0, 11.0)._replace(shown=None, code="INTERNAL")
    history = History(WRITES, [failed])
    text = report(history, check(history, PROMISE), PROMISE)
    assert "failed reads        INTERNAL 1" in text
    assert "product:1 at 0.0000 s from inventory-1 (redis): INTERNAL after 100.0 ms" in text


def test_the_reads_around_the_faults_of_redis_are_reported_by_kind() -> None:
    fault = Fault(HANG, 9.5, 10.25)
    history = History(WRITES, [read(1, 10.5)], [fault])
    text = report(history, check(history, PROMISE), PROMISE)
    assert "redis-hang          1 times: 1 reads" in text
    assert "1 stale, as it allows, by 500.0 ms at most, the last 250.0 ms after the fault's" in text


OPTIONS = Options(
    reads=5, clients=1, readers=1, seed=1, faults=[HANG], limit_s=1, settings={}, folder=None
)


@pytest.mark.parametrize(
    ("reads", "faults", "code"),
    [
        pytest.param([read(2, 11.5)] * 4 + [read(1, 10.5)], [HANG], Exit.PASSED, id="kept"),
        pytest.param([read(2, 11.5)] * 4 + [read(1, 11.5)], [HANG], Exit.RED, id="one stale"),
        pytest.param([read(1, 11.5)], [], Exit.RED, id="stale and cut short"),
        pytest.param([read(2, 11.5)] * 4, [HANG], Exit.NOT_MEASURED, id="too few reads"),
        pytest.param([read(2, 11.5)] * 5, [], Exit.NOT_MEASURED, id="a fault not seen"),
        pytest.param(
            [read(2, 11.5)] * 3 + [read(2, 10.5)] * 2,
            [HANG],
            Exit.NOT_MEASURED,
            id="too few held to a bound",
        ),
    ],
)
def test_the_exit_code_says_kept_broken_or_not_measured(
    reads: Sequence[Read], faults: Sequence[str], code: Exit
) -> None:
    history = History(WRITES, list(reads), [Fault(kind, 9.5, 10.25) for kind in faults])
    assert judged(OPTIONS, history, check(history, PROMISE)) is code


def test_the_next_ids_of_a_process_differ_by_second_and_counter_alone() -> None:
    assert next_ids("0000000a" + "ab" * 5 + "00ffff", 20.7) == [
        "00000014" + "ab" * 5 + "010000",
        "00000015" + "ab" * 5 + "010000",
    ]
    assert next_ids("0000000a" + "ab" * 5 + "ffffff", 20.0)[0].endswith("000000")
