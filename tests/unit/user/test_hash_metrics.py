"""How busy the hashing of passwords is, as its figures tell."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from services.user.metrics import HashMetrics
from services.user.model import LoginOverloaded
from services.user.passwords import Argon2Passwords
from tests.unit.pages import Page, page_of


def page(passwords: Argon2Passwords) -> Page:
    return page_of(HashMetrics(passwords.figures))


async def hash_for(passwords: Argon2Passwords, share: str) -> None:
    with passwords.place(share) as place:
        await place.hash("correct horse")


async def test_places_are_taken_until_their_hash_is_made_and_refusals_are_counted() -> None:
    with ThreadPoolExecutor(1) as pool:
        release = Event()
        passwords = Argon2Passwords(pool, workers=1, queue=1)
        assert page(passwords).value("shop_hash_places") == 2
        pool.submit(release.wait)
        waiting = [asyncio.create_task(hash_for(passwords, share)) for share in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(LoginOverloaded):
            await hash_for(passwords, "c")
        busy = page(passwords)
        release.set()
        await asyncio.gather(*waiting)
        idle = page(passwords)
    assert busy.value("shop_hash_taken") == 2
    assert busy.value("shop_hash_refused_total") == 1
    assert busy.value("shop_hash_done_total") == 0
    assert idle.value("shop_hash_taken") == 0
    assert idle.value("shop_hash_refused_total") == 1
    assert idle.value("shop_hash_done_total") == 2
    assert idle.value("shop_hash_seconds_total") > 0


async def test_a_cancelled_call_that_was_not_begun_leaves_its_place() -> None:
    with ThreadPoolExecutor(1) as pool:
        release = Event()
        passwords = Argon2Passwords(pool, workers=1, queue=1)
        pool.submit(release.wait)
        task = asyncio.create_task(passwords.hash("correct horse"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        taken = page(passwords).value("shop_hash_taken")
        release.set()
    assert taken == 0
