"""Hashing passwords with argon2id in a bounded pool."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from argon2 import PasswordHasher

from services.user.model import LoginOverloaded
from services.user.passwords import Argon2Passwords, open_passwords


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    with open_passwords(workers=2, queue=2) as opened:
        yield opened


async def test_a_hash_is_one_of_its_password_and_of_no_other(passwords: Argon2Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert await passwords.verify("correct horse", hashed)
    assert not await passwords.verify("wrong horse", hashed)


async def test_hashes_are_argon2id_with_at_least_the_parameters_of_owasp(
    passwords: Argon2Passwords,
) -> None:
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hashed != await passwords.hash("correct horse")


async def test_a_password_is_right_however_it_is_composed(passwords: Argon2Passwords) -> None:
    composed, decomposed = "résumé 12", "re\u0301sume\u0301\u00a012"
    for chosen in (composed, decomposed):
        hashed = await passwords.hash(chosen)
        for typed in (composed, decomposed):
            assert await passwords.verify(typed, hashed)
        assert not await passwords.verify("resume 12", hashed)


async def test_a_hash_of_a_password_as_it_was_given_stays_good(passwords: Argon2Passwords) -> None:
    decomposed = "re\u0301sume\u0301 12"
    assert await passwords.verify(decomposed, PasswordHasher().hash(decomposed))


async def test_no_password_is_right_for_nobody(passwords: Argon2Passwords) -> None:
    assert not await passwords.verify("correct horse", None)


async def test_a_hash_with_other_parameters_is_outdated(passwords: Argon2Passwords) -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    assert passwords.is_outdated(weaker)
    assert await passwords.verify("correct horse", weaker)
    assert not passwords.is_outdated(await passwords.hash("correct horse"))


async def test_more_than_the_pool_and_its_queue_take_is_refused_at_once() -> None:
    with ThreadPoolExecutor(1) as pool:
        release = Event()
        passwords = Argon2Passwords(pool, workers=1, queue=1)
        pool.submit(release.wait)
        waiting = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(LoginOverloaded) as refused:
            await passwords.hash("correct horse")
        assert refused.value.retry_delay_s == 1.0
        release.set()
        await asyncio.gather(*waiting)
        await passwords.hash("correct horse")


async def test_a_cancelled_call_leaves_its_place_to_another() -> None:
    with ThreadPoolExecutor(1) as pool:
        release = Event()
        passwords = Argon2Passwords(pool, workers=1, queue=1)
        pool.submit(release.wait)
        for _ in range(5):
            waiting = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(2)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            assert all(
                isinstance(outcome, asyncio.CancelledError)
                for outcome in await asyncio.gather(*waiting, return_exceptions=True)
            )
        release.set()
        await asyncio.gather(*(passwords.hash("correct horse") for _ in range(2)))
