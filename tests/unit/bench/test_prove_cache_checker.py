"""The check must be able to fail: histories made by hand, good ones and bad ones."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.prove_cache.checker import Promise, Verdict, check
from bench.prove_cache.faults import KINDS
from bench.prove_cache.history import ALLOWING, CUT, GONE, HANG, KILL, Fault, History, Read, Write

THING = "product:1"
PROMISE = Promise(near_bound_s=1.0, delivered_s=1.0)

FIRST = Write(THING, 1, 0.9, 1.0)
SECOND = Write(THING, 2, 9.9, 10.0)
THIRD = Write(THING, 3, 10.4, 10.5)


def read(
    shown: int | None,
    start: float,
    source: str = "redis",
    *,
    took: float = 0.1,
    asked: str = "",
    by: str = "inventory-0",
    code: str = "OK",
) -> Read:
    return Read(THING, shown, start, start + took, source, asked, by, code)


def checked(
    reads: Sequence[Read],
    writes: Sequence[Write] = (FIRST, SECOND, THIRD),
    faults: Sequence[Fault] = (),
) -> Verdict:
    return check(History(list(writes), list(reads), list(faults)), PROMISE)


def test_a_read_that_shows_the_newest_acknowledged_write_is_fine() -> None:
    verdict = checked([read(1, 5.0), read(2, 10.2), read(3, 11.0)])
    assert verdict.kept
    assert verdict.strict == 3


def test_a_read_from_redis_that_shows_an_older_value_breaks_the_promise() -> None:
    verdict = checked([read(1, 10.001)])
    assert not verdict.kept
    (broken,) = verdict.stale
    assert (broken.shown, broken.owed, broken.acknowledged) == (1, 2, 10.0)
    assert round(broken.staleness_s, 6) == 0.001


def test_so_does_one_from_mongodb_or_past_the_cache_or_without_a_word_where_it_is_from() -> None:
    for source in ("mongo", "bypass", "unlabelled"):
        assert not checked([read(1, 10.2, source)]).kept


def test_a_read_that_began_before_the_acknowledgement_may_show_either_value() -> None:
    assert checked([read(1, 9.999, took=1.0), read(2, 9.999), read(2, 10.0)]).kept


def test_the_moment_of_the_acknowledgement_is_not_after_it() -> None:
    assert checked([read(1, 10.0)]).kept


def test_a_younger_write_than_owed_may_be_seen_before_it_is_acknowledged() -> None:
    assert checked([read(3, 10.3)]).kept


def test_staleness_counts_from_the_oldest_write_that_was_missed() -> None:
    (broken,) = checked([read(1, 12.0)]).stale
    assert broken.staleness_s == 2.0
    assert broken.owed == 3


def test_of_several_reads_that_missed_one_write_the_first_stands_for_all() -> None:
    verdict = checked([read(1, 10.3), read(1, 10.2), read(2, 10.6), read(1, 10.4)])
    assert len(verdict.stale) == 4
    assert [broken.read.start for broken in verdict.first_of_each] == [10.2, 10.6]


def test_a_near_read_may_miss_what_was_acknowledged_less_than_the_bound_before() -> None:
    verdict = checked([read(1, 10.9, "near")])
    assert verdict.kept
    assert [round(s, 6) for s in verdict.near] == [0.9]
    assert verdict.strict == 0


def test_a_near_read_beyond_the_bound_breaks_the_promise() -> None:
    (broken,) = checked([read(1, 11.1, "near")]).stale
    assert (broken.shown, broken.owed) == (1, 2)


def test_a_near_read_may_not_miss_what_its_own_process_took() -> None:
    taken = Write(THING, 2, 9.9, 10.0, by="inventory-0")
    writes = (FIRST, taken, THIRD)
    assert checked([read(1, 10.2, "near", by="inventory-1")], writes).kept
    assert checked([read(2, 10.8, "near", by="inventory-0")], writes).kept
    (broken,) = checked([read(1, 10.2, "near", by="inventory-0")], writes).stale
    assert (broken.shown, broken.owed, broken.acknowledged) == (1, 2, 10.0)


def test_a_near_answer_to_who_asked_for_no_near_one_must_not_be_old_at_all() -> None:
    assert not checked([read(1, 10.2, "near", asked="no-near")]).kept
    assert checked([read(2, 10.2, "near", asked="no-near")]).kept


def test_a_deleted_product_must_not_be_seen_again() -> None:
    deleted = Write(THING, GONE, 11.9, 12.0)
    writes = (FIRST, SECOND, THIRD, deleted)
    assert checked([read(None, 12.1)], writes).kept
    (broken,) = checked([read(3, 12.1)], writes).stale
    assert broken.owed == GONE


def test_a_product_that_is_being_deleted_may_be_there_or_not() -> None:
    writes = (FIRST, Write(THING, GONE, 11.9, 12.0))
    assert checked([read(None, 11.95), read(1, 11.95)], writes).kept


def test_a_created_product_must_be_there_although_it_was_not_found_before() -> None:
    assert checked([read(None, 0.5)]).kept
    (broken,) = checked([read(None, 1.1)]).stale
    assert (broken.shown, broken.owed) == (0, 1)


def test_a_live_product_must_not_vanish_before_its_deletion_begins() -> None:
    writes = (FIRST, Write(THING, GONE, 11.9, 12.0))
    assert not checked([read(None, 5.0)], writes).kept


def test_a_write_whose_outcome_is_open_may_be_seen_or_not() -> None:
    unknown = Write(THING, 4, 11.0, None)
    reads = [read(3, 12.0), read(4, 12.1), read(3, 12.2)]
    assert checked(reads, (FIRST, SECOND, THIRD, unknown)).kept


def test_an_open_write_does_not_excuse_the_value_before_an_acknowledged_one() -> None:
    unknown = Write(THING, 4, 11.0, None)
    assert not checked([read(2, 12.0)], (FIRST, SECOND, THIRD, unknown)).kept


def test_an_open_write_may_have_reached_the_store_after_a_younger_one() -> None:
    unknown, younger = Write(THING, 4, 11.0, None), Write(THING, 5, 12.0, 12.1)
    assert checked([read(4, 13.0)], (FIRST, unknown, younger)).kept


def test_an_open_deletion_may_be_seen_or_not() -> None:
    assert checked([read(None, 12.0), read(1, 12.1)], (FIRST, Write(THING, GONE, 11.0, None))).kept


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - set(ALLOWING)))
@pytest.mark.parametrize("start", [10.2, 11.2], ids=["during", "after"])
def test_a_fault_that_meets_all_alike_allows_no_stale_read(kind: str, start: float) -> None:
    fault = Fault(kind, 9.5, 11.0, "inventory-1" if kind == KILL else "")
    verdict = checked([read(1, start), read(1, 10.9, "near")], faults=[fault])
    (broken,) = verdict.stale
    assert broken.read.start == start
    assert not verdict.kept
    assert verdict.judged_share == 1.0


CUT_OFF = Fault(CUT, 9.5, 11.0, "inventory-1")
BY_THE_CUT = tuple(write._replace(by="inventory-1") for write in (FIRST, SECOND, THIRD))


def test_what_a_process_took_that_is_cut_off_others_may_miss_for_a_while() -> None:
    reads = [read(1, 10.2), read(1, 11.9, took=0.4), read(1, 11.9, "near")]
    verdict = checked(reads, BY_THE_CUT, [CUT_OFF])
    assert verdict.kept
    assert (verdict.strict, verdict.near, verdict.judged_share) == (0, [], 0.0)
    window = verdict.windows[CUT]
    assert (window.faults, window.reads, window.stale) == (1, 3, 3)
    assert [round(s, 6) for s in (window.greatest_s, window.last_stale_after_s)] == [1.9, 0.9]
    assert round(window.slowest_s, 6) == 0.4


@pytest.mark.parametrize(
    ("broken", "writes"),
    [
        pytest.param(read(1, 12.1), BY_THE_CUT, id="later than that"),
        pytest.param(read(1, 12.1, "near"), BY_THE_CUT, id="near, later than that"),
        pytest.param(read(1, 10.2, by="inventory-1"), BY_THE_CUT, id="to the process itself"),
        pytest.param(read(0, 10.2), BY_THE_CUT, id="what was written before the cut"),
        pytest.param(read(1, 10.2), (FIRST, SECOND, THIRD), id="what others wrote"),
        pytest.param(
            read(1, 10.6), (*BY_THE_CUT[:2], THIRD), id="what others wrote after the process"
        ),
        pytest.param(read(1, 10.2, by="order-0"), BY_THE_CUT, id="in another service"),
    ],
)
def test_a_cut_of_one_process_allows_nothing_else(broken: Read, writes: Sequence[Write]) -> None:
    assert checked([broken], writes, [CUT_OFF]).stale


def test_a_redis_that_hangs_for_a_moment_allows_what_was_written_since_for_a_while() -> None:
    hang = Fault(HANG, 9.5, 11.0)
    verdict = checked([read(1, 10.2), read(1, 11.9)], faults=[hang])
    assert verdict.kept
    assert verdict.windows[HANG].stale == 2
    assert verdict.judged_share == 0.0
    assert not checked([read(1, 12.1)], faults=[hang]).kept
    assert not checked([read(0, 10.2)], faults=[hang]).kept
    taken = (FIRST, SECOND._replace(by="inventory-0"))
    assert checked([read(1, 10.2, by="inventory-1")], taken, [hang]).kept
    assert not checked([read(1, 10.2, by="inventory-0")], taken, [hang]).kept


def test_what_a_near_read_may_miss_at_any_time_is_no_use_of_an_excuse() -> None:
    hang = Fault(HANG, 9.5, 11.0)
    verdict = checked([read(1, 10.9, "near"), read(1, 11.1, "near")], faults=[hang])
    assert verdict.windows[HANG].stale == 1


def test_a_read_before_the_fault_is_not_allowed_anything_although_it_ends_in_it() -> None:
    assert not checked([read(1, 10.2, took=0.5)], faults=[Fault(HANG, 10.3, 11.0)]).kept


def test_a_read_that_fails_in_a_killed_process_is_excused() -> None:
    fault = Fault("service-kill", 9.5, 11.0, "inventory-0")
    verdict = checked([read(None, 10.2, code="UNAVAILABLE")], faults=[fault])
    assert verdict.kept
    assert verdict.excused == {"UNAVAILABLE": 1}


def test_any_other_failed_read_breaks_the_promise() -> None:
    killed = Fault("service-kill", 9.5, 11.0, "inventory-0")
    frozen = Fault("redis-freeze", 9.5, 11.0)
    for failure in (
        read(None, 10.2, code="UNAVAILABLE", by="inventory-1"),
        read(None, 20.0, code="UNAVAILABLE"),
        read(None, 10.2, code="DEADLINE_EXCEEDED"),
        read(None, 10.2, code="WRONG_OBJECT"),
    ):
        verdict = checked([failure], faults=[killed, frozen])
        assert not verdict.kept
        assert verdict.failed == [failure]


def test_reads_that_owe_nothing_are_not_counted_as_checked() -> None:
    verdict = checked([read(None, 0.5), read(1, 0.95)])
    assert verdict.kept
    assert (verdict.strict, verdict.nothing_owed) == (0, 2)


def test_reads_within_a_millisecond_after_a_write_are_counted() -> None:
    verdict = checked([read(2, 10.0005), read(2, 10.002)])
    assert (verdict.strict, verdict.just_after) == (2, 1)


def test_objects_do_not_answer_for_each_other() -> None:
    other = Write("product:2", 7, 10.0, 10.1)
    assert checked([read(1, 11.0)], (FIRST, other)).kept


def test_histories_of_several_processes_are_put_together(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    History([FIRST], [read(1, 5.0)], foreseen=1).save(one)
    History([SECOND], [read(1, 10.2)], foreseen=2).save(other)
    both = History()
    both.add(one)
    both.add(other)
    assert both == History([FIRST, SECOND], [read(1, 5.0), read(1, 10.2)], foreseen=3)
    assert not check(both, PROMISE).kept
