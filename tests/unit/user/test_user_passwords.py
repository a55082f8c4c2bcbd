"""Hashing passwords with argon2id in a bounded pool."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
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


@contextmanager
def busy_passwords(queue: int) -> Iterator[tuple[Argon2Passwords, Event]]:
    """Passwords whose one thread does nothing before the event is set."""
    with ThreadPoolExecutor(1) as pool:
        release = Event()
        pool.submit(release.wait)
        try:
            yield Argon2Passwords(pool, workers=1, queue=queue), release
        finally:
            release.set()


async def test_one_share_takes_no_more_than_half_of_the_places_and_gives_them_back() -> None:
    with busy_passwords(queue=3) as (passwords, _):
        for _ in range(3):
            with ExitStack() as held:
                for _ in range(2):
                    held.enter_context(passwords.place("flood"))
                with pytest.raises(LoginOverloaded) as refused, passwords.place("flood"):
                    pass
                held.enter_context(passwords.place("customer"))
            assert refused.value.retry_delay_s == 1.0
            assert passwords.figures.taken == 0


async def test_when_all_places_are_taken_everybody_is_refused() -> None:
    with busy_passwords(queue=1) as (passwords, _):
        with passwords.place("a"), passwords.place("b"):
            for share in ("a", "c"):
                with pytest.raises(LoginOverloaded), passwords.place(share):
                    pass
        with passwords.place("c"):
            pass


async def test_nothing_is_kept_of_shares_without_a_place() -> None:
    with busy_passwords(queue=1) as (passwords, _):
        for number in range(10):
            with passwords.place(f"{number}"), suppress(LoginOverloaded), passwords.place("again"):
                pass
    assert not passwords._held


async def test_turns_go_round_the_shares() -> None:
    with busy_passwords(queue=15) as (passwords, release):
        ended = []

        async def hash_for(share: str) -> None:
            with passwords.place(share) as place:
                await place.hash("correct horse")
            ended.append(share)

        shares = ["flood"] * 5 + ["customer"]
        waiting = [asyncio.create_task(hash_for(share)) for share in shares]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(*waiting)
    # One turn was given before the customer came, and one was the flood's before its turn came.
    assert ended.index("customer") <= 2


async def test_a_cancelled_call_leaves_its_place_and_its_turn_to_another() -> None:
    with busy_passwords(queue=1) as (passwords, release):
        for _ in range(5):
            waiting = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(2)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(outcomes[0], asyncio.CancelledError)
        release.set()
        await asyncio.gather(passwords.hash("correct horse"), share_hash(passwords))


async def share_hash(passwords: Argon2Passwords) -> None:
    with passwords.place("another") as place:
        await place.hash("correct horse")
