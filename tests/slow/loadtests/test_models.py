"""The closed and the open model, errors and the knee, on a shop whose capacity is known."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.stack.ports import claimed_ports
from tests.slow.loadtests.support.runs import Finished, at, load
from tests.slow.loadtests.support.slow_shop import SlowShop, slow_shop

pytestmark = pytest.mark.timeout(400)

BROWSE = ("--scenario", "browse", "--warmup", "0", "--customers", "1")
BRIEF = (*BROWSE, "--duration", "2")
PAUSE_S = 0.05
WHOLE_S = 4


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs on shops of their own, made at once: most of their time they wait."""

    closed: Finished
    open: Finished
    refused: Finished
    apart: Finished
    together: Finished
    steps: Finished
    with_connections_apart: SlowShop
    with_shared_connections: SlowShop


@pytest.fixture(scope="module")
async def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    path = tmp_path_factory.mktemp("runs")
    whole = (*BROWSE, "--duration", str(WHOLE_S))
    three = (*BRIEF, "--users", "3", "--think", "0.02")
    async with (
        slow_shop(PAUSE_S) as closed,
        slow_shop(PAUSE_S) as opened,
        slow_shop(0.005, refuse_every=4) as refusing,
        slow_shop(0.001) as apart,
        slow_shop(0.001) as together,
        slow_shop(PAUSE_S) as full,
    ):
        finished = await asyncio.gather(
            load(path / "closed", *whole, *at(closed.target), "--users", "1"),
            load(path / "open", *whole, *at(opened.target), "--rate", "60", "--users", "2"),
            load(
                path / "refused",
                *(*BRIEF, *at(refusing.target), "--users", "2", "--fail-error-rate", "0.1"),
            ),
            load(path / "apart", *three, *at(apart.target)),
            load(path / "together", *three, *at(together.target), "--channels", "shared"),
            load(
                path / "steps",
                *(*BROWSE, *at(full.target), "--duration", "90", "--users", "2"),
                *("--shape", "step", "--step", "3", "--knee-p99-ms", "5000"),
            ),
        )
        for again in ("again", "once more"):  # a user may not have come to read a product
            if len(apart.peers) < 3:
                apart.peers.clear()
                await load(path / again, *three, *at(apart.target))
    return Runs(*finished, with_connections_apart=apart, with_shared_connections=together)


def test_a_closed_loop_hides_what_the_open_model_shows(runs: Runs) -> None:
    closed, opened = runs.closed, runs.open
    assert closed.code == opened.code == 0
    # 70 % of 60 a second are product reads, of which 20 a second can be answered.
    assert closed.sample("GetProduct").latency_ms.p50 < 500
    assert opened.sample("GetProduct").latency_ms.p50 > 700
    schedule = opened.report.schedule
    assert schedule is not None
    assert schedule.late > 0
    assert schedule.unattended > schedule.late / 2
    assert schedule.never_started > 0
    assert any("because all users were busy" in note for note in opened.report.notes)
    assert closed.report.schedule is None


def test_errors_are_counted_by_status_and_sources_by_layer(runs: Runs) -> None:
    run = runs.refused
    assert run.code == 1
    sample = run.sample("GetProduct")
    assert set(sample.errors) == {"RESOURCE_EXHAUSTED"}
    assert sample.errors["RESOURCE_EXHAUSTED"] == pytest.approx(sample.count / 4, rel=0.1, abs=2)
    assert sample.sources == {"redis": sample.count - sample.errors["RESOURCE_EXHAUSTED"]}
    assert run.sample("BatchGetProducts").errors == {}


def test_users_have_connections_of_their_own_or_share_one_and_always_a_deadline(
    runs: Runs,
) -> None:
    assert runs.apart.code == runs.together.code == 0
    assert len(runs.with_connections_apart.peers) == 3
    assert len(runs.with_shared_connections.peers) == 1
    remaining_s = runs.with_connections_apart.remaining_s
    assert remaining_s
    assert all(left is not None and 0 < left < 6 for left in remaining_s)


def test_steps_end_at_the_knee(runs: Runs) -> None:
    run = runs.steps
    assert run.code == 0
    # One lamp after the other: more users are not answered more often.
    assert "hardly more" in run.said
    assert run.report.run.duration_s < 60


async def test_a_shop_that_has_no_room_at_first_is_prepared_a_little_later(tmp_path: Path) -> None:
    async with slow_shop(0.001, refuse_first=3) as shop:
        run = await load(tmp_path, *BROWSE, *at(shop.target), "--users", "1", "--duration", "1")
    assert run.code == 0
    assert run.sample("GetProduct").count > 0


async def test_a_shop_that_cannot_be_reached_is_said_to_be(tmp_path: Path) -> None:
    with claimed_ports(1) as (nobodys,):
        run = await load(tmp_path, *BRIEF, *at(f"127.0.0.1:{nobodys}"), "--users", "1")
    assert run.code == 2
    assert "cannot be reached" in run.complained
    assert "Traceback" not in run.complained


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--user", "50"], "the number of users is --users"),
        (["--user", "127.0.0.1:1"], "belong together"),
        (["--rate", "-1"], "--rate"),
        (["--rate", "5", "--think", "1"], "--think"),
        (["--scenario", "nothing"], "--scenario"),
        (["--shape", "round"], "--shape"),
        (["--zipf", "x"], "--zipf"),
        (["--duration", "0"], "--duration"),
        (["--scenario", "browse", "--fail-speedup-below", "2"], "--fail-speedup-below"),
    ],
)
def test_a_wrong_option_is_named(
    options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from loadtests.options import of_run

    with pytest.raises(SystemExit) as raised:
        of_run(options)
    assert raised.value.code == 2
    assert named in capsys.readouterr().err
