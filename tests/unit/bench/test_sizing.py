"""The table of what a call costs every process, from figures that are given."""

import os
import time

from bench.load import Target
from bench.sizing import PROCESSES, Cost, Meter, table
from bench.sizing_works import Work
from tests.unit.bench.test_tables import rows

WORK = Work("`Buy`", Target("nowhere", "/Shop/Buy", []), calls=10, at_once=4)


def test_a_call_costs_each_process_the_median_of_the_rounds_and_together_their_sum() -> None:
    rounds = [dict.fromkeys(PROCESSES, microseconds) for microseconds in (30.0, 10.0, 1_200.0)]
    head, _, row = rows(table([Cost(WORK, rounds)]))
    assert head[1:] == ["User", "Inventory", "Order", "MongoDB", "Redis", "together"]
    assert row == ["`Buy`", "30", "30", "30", "30", "30", "150"]


def test_what_a_process_uses_at_rest_is_not_charged_to_the_calls() -> None:
    own = {"own": os.getpid()}
    busy = time.process_time() + 0.2
    with Meter(own, {"own": 0.0}).reading() as all_of_it:
        while time.process_time() < busy:
            pass
    assert all_of_it["own"] > 0.1
    with Meter(own, {"own": 1_000.0}).reading() as beyond_rest:
        time.sleep(0.01)
    assert beyond_rest["own"] == 0.0
