"""The closed and the open model, errors and the knee, on a shop whose capacity is known."""

import asyncio
from pathlib import Path

import pytest

from services.stack.ports import claimed_ports
from tests.loadtests.support.runs import at, load
from tests.loadtests.support.slow_shop import slow_shop

pytestmark = pytest.mark.timeout(400)

BROWSE = ("--scenario", "browse", "--duration", "4", "--warmup", "0", "--customers", "1")
PAUSE_S = 0.05


async def test_a_closed_loop_hides_what_the_open_model_shows(tmp_path: Path) -> None:
    async with slow_shop(PAUSE_S) as one, slow_shop(PAUSE_S) as other:
        closed, opened = await asyncio.gather(
            load(tmp_path / "closed", *BROWSE, *at(one.target), "--users", "1"),
            load(tmp_path / "open", *BROWSE, *at(other.target), "--rate", "60", "--users", "2"),
        )
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


async def test_errors_are_counted_by_status_and_sources_by_layer(tmp_path: Path) -> None:
    async with slow_shop(0.001, refuse_every=4) as shop:
        run = await load(
            tmp_path, *BROWSE, *at(shop.target), "--users", "2", "--fail-error-rate", "0.1"
        )
    assert run.code == 1
    sample = run.sample("GetProduct")
    assert set(sample.errors) == {"RESOURCE_EXHAUSTED"}
    assert sample.errors["RESOURCE_EXHAUSTED"] == pytest.approx(sample.count / 4, rel=0.1, abs=2)
    assert sample.sources == {"redis": sample.count - sample.errors["RESOURCE_EXHAUSTED"]}
    assert run.sample("BatchGetProducts").errors == {}


async def test_users_have_connections_of_their_own_or_share_one_and_always_a_deadline(
    tmp_path: Path,
) -> None:
    few = ("--duration", "2", "--users", "3")
    async with slow_shop(0.001) as apart, slow_shop(0.001) as together:
        await asyncio.gather(
            load(tmp_path / "apart", *BROWSE, *few, *at(apart.target)),
            load(
                tmp_path / "together",
                *(*BROWSE, *few, *at(together.target), "--channels", "shared"),
            ),
        )
        for again in ("again", "once more"):  # a user may not have come to read a product
            if len(apart.peers) < 3:
                apart.peers.clear()
                await load(tmp_path / again, *BROWSE, *few, *at(apart.target))
    assert len(apart.peers) == 3
    assert len(together.peers) == 1
    assert all(left is not None and 0 < left < 6 for left in apart.remaining_s)


async def test_steps_end_at_the_knee(tmp_path: Path) -> None:
    async with slow_shop(PAUSE_S) as shop:
        run = await load(
            tmp_path,
            *(*BROWSE, *at(shop.target), "--duration", "90", "--users", "2"),
            *("--shape", "step", "--step", "3", "--knee-p99-ms", "5000"),
        )
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
        run = await load(tmp_path, *BROWSE, *at(f"127.0.0.1:{nobodys}"), "--users", "1")
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
