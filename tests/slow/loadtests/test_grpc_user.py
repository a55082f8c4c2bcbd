"""A user of one's own, run by Locust's own command."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from typing import Any

import pytest

from loadtests import PROJECT
from tests.slow.loadtests.support.slow_shop import SlowShop, slow_shop

pytestmark = pytest.mark.timeout(200)

PATIENT_S = 60.0
USERS = 2


async def heard(
    shop: SlowShop, each: int, timeout_s: float = PATIENT_S
) -> tuple[int, list[dict[str, Any]], str]:
    """Run two users for so many calls each; return the exit code, what they heard, and all text."""
    process = await asyncio.create_subprocess_exec(
        *(
            str(PROJECT / ".venv-load/bin/locust"),
            "-f",
            "tests/slow/loadtests/support/own_users.py",
        ),
        *("--headless", "--users", str(USERS), "--spawn-rate", str(USERS)),
        *("--run-time", "120s", "--stop-timeout", "5"),
        cwd=PROJECT,
        env={
            **os.environ,
            "PYTHONPATH": f"{PROJECT}:{PROJECT}/proto",
            "OWN_TARGET": shop.target,
            "OWN_CALLS": str(each),
            "OWN_TIMEOUT_S": str(timeout_s),
        },
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(180):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    lines = [line for line in said.decode().splitlines() if line.startswith("[{")]
    assert lines, complained.decode()
    return process.returncode, json.loads(lines[-1]), complained.decode() + said.decode()


async def test_calls_are_timed_in_microseconds_and_know_their_source() -> None:
    async with slow_shop(0.002) as shop:
        code, calls, told = await heard(shop, each=20)
    assert code == 0
    assert len(calls) >= 20 * USERS
    assert {(call["method"], call["error"], call["source"]) for call in calls} == {
        ("GetProduct", "", "redis")
    }
    assert all(call["elapsed_us"] >= 2_000 for call in calls)
    assert len({call["elapsed_us"] % 1_000 for call in calls}) > 5
    assert all(call["response_bytes"] > 0 for call in calls)
    assert len(shop.peers) == USERS
    assert "GetProduct" in told


async def test_what_fails_is_an_error_of_its_status_to_locust_too() -> None:
    async with slow_shop(0.002, refuse_every=2) as shop:
        code, calls, told = await heard(shop, each=10)
    assert code == 1
    assert {call["error"] for call in calls} == {"", "RESOURCE_EXHAUSTED"}
    assert all(call["source"] == "" for call in calls if call["error"])
    assert "RESOURCE_EXHAUSTED" in told


async def test_a_call_that_is_not_answered_ends_with_the_users_timeout() -> None:
    async with slow_shop(30.0) as shop:
        _, calls, _ = await heard(shop, each=1, timeout_s=0.5)
    assert {call["error"] for call in calls} == {"DEADLINE_EXCEEDED"}
    assert all(call["elapsed_us"] > 450_000 for call in calls)
    assert min(call["elapsed_us"] for call in calls) < 5_000_000


async def test_locust_counts_times_with_three_significant_digits() -> None:
    ask = (
        "import loadtests.grpc_user; from locust.stats import bucket_response_time as bucket;"
        "print(*map(bucket, (0.12345, 1.2345, 123.45, 3_123.45)))"
    )
    process = await asyncio.create_subprocess_exec(
        *(str(PROJECT / ".venv-load/bin/python"), "-c", ask), cwd=PROJECT, stdout=PIPE
    )
    said, _ = await process.communicate()
    assert said.decode().split() == ["0.123", "1.23", "123.0", "3120.0"]
