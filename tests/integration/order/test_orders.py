"""Orders on a real MongoDB."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from unittest.mock import ANY

import pytest
from pymongo.errors import WriteError

from services.common.clock import utc_now
from services.common.errors import InvalidArgument
from services.common.ids import new_id
from services.common.money import Money
from services.common.paging import DEFAULT_PAGE_SIZE
from services.order.model import (
    Checkout,
    OrderLine,
    OrderNotFound,
    RejectedError,
    RejectReason,
    Unsettled,
)
from services.order.repository import prepare_schema
from tests.integration.order.conftest import LINES, Shelf, begun

EVEN_NEW_S = -60.0

Change = Callable[[Checkout], Checkout]

CHANGES: dict[str, Change] = {
    "confirmed": lambda checkout: checkout.confirmed(LINES, utc_now()),
    "rejected": lambda checkout: checkout.rejected(
        RejectedError(RejectReason.INSUFFICIENT_STOCK, "too few"), utc_now()
    ),
    "cancelled": lambda checkout: checkout.cancelled(utc_now()),
    "given up": lambda checkout: checkout.given_up(),
    "settled": lambda checkout: checkout.followed(),
}


async def test_an_opened_checkout_is_found_as_it_was_stored(shelf: Shelf) -> None:
    checkout = begun(shelf.user_id)
    assert await shelf.orders.open(checkout) == checkout
    assert await shelf.orders.get(checkout.order.order_id) == checkout
    assert await shelf.walk(5) == [[checkout.order]]


async def test_an_unknown_order_is_not_found(shelf: Shelf) -> None:
    with pytest.raises(OrderNotFound):
        await shelf.orders.get(new_id())
    assert await shelf.walk(5) == [[]]


async def test_one_request_opened_many_times_at_once_is_one_order(
    shelf: Shelf, rival: Shelf
) -> None:
    opened = await asyncio.gather(
        *(side.orders.open(begun(shelf.user_id, "r")) for side in [shelf, rival] * 10)
    )
    assert len({checkout.order.order_id for checkout in opened}) == 1
    assert await shelf.walk(5) == [[opened[0].order]]


async def test_a_request_opened_again_is_answered_with_what_became_of_it(shelf: Shelf) -> None:
    first = await shelf.orders.open(begun(shelf.user_id, "r"))
    confirmed = first.confirmed(LINES, utc_now())
    await shelf.orders.save(confirmed)
    assert await shelf.orders.open(begun(shelf.user_id, "r")) == confirmed


async def test_a_request_id_belongs_to_its_user(shelf: Shelf) -> None:
    mine = await shelf.orders.open(begun(shelf.user_id, "r"))
    others = await shelf.orders.open(begun(new_id(), "r"))
    assert mine.order.order_id != others.order.order_id
    assert await shelf.walk(5) == [[mine.order]]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_saved_checkout_is_found_as_it_was_saved(shelf: Shelf, change: Change) -> None:
    await shelf.ordered(1)
    opened = await shelf.orders.open(begun(shelf.user_id))
    await shelf.walk(5)
    changed = change(opened)
    assert await shelf.orders.save(changed)
    assert await shelf.orders.get(opened.order.order_id) == changed
    assert (await shelf.walk(5))[0][0] == changed.order


async def test_of_many_changes_at_once_one_is_saved(shelf: Shelf, rival: Shelf) -> None:
    opened = await shelf.orders.open(begun(shelf.user_id))
    changes = [change(opened) for change in CHANGES.values()]
    attempts = [(side, change) for change in changes for side in (shelf, rival)] * 2
    saved = await asyncio.gather(*(side.orders.save(change) for side, change in attempts))
    (winner,) = [change for (_, change), won in zip(attempts, saved, strict=True) if won]
    assert await shelf.orders.get(opened.order.order_id) == winner
    assert await shelf.walk(5) == [[winner.order]]


async def test_a_change_of_an_old_version_is_not_saved(shelf: Shelf) -> None:
    opened = await shelf.orders.open(begun(shelf.user_id))
    confirmed = opened.confirmed(LINES, utc_now())
    assert await shelf.orders.save(confirmed)
    for stale in (opened.cancelled(utc_now()), confirmed, opened):
        assert not await shelf.orders.save(stale)
    skipping = replace(confirmed.followed(), version=confirmed.version + 2)
    assert not await shelf.orders.save(skipping)
    assert await shelf.orders.get(opened.order.order_id) == confirmed


async def test_a_change_of_an_unknown_order_is_not_saved(shelf: Shelf) -> None:
    assert not await shelf.orders.save(begun(shelf.user_id).followed())
    assert await shelf.walk(5) == [[]]


@pytest.mark.parametrize("count", [0, 1, 6, 7])
async def test_the_pages_hold_every_order_once_newest_first_even_of_one_moment(
    shelf: Shelf, count: int
) -> None:
    orders = await shelf.ordered(count, now=utc_now())
    for _ in range(2):
        pages = await shelf.walk(3)
        assert [order for page in pages for order in page] == orders[::-1]
        assert all(len(page) == 3 for page in pages[:-1])
        assert len(pages) == max(1, -(-count // 3))


async def test_the_newest_order_comes_first_whenever_it_was_stored(shelf: Shelf) -> None:
    now = utc_now()
    (middle,) = await shelf.ordered(1, now)
    (newest,) = await shelf.ordered(1, now + timedelta(seconds=1))
    (oldest,) = await shelf.ordered(1, now - timedelta(seconds=1))
    assert await shelf.walk(2) == [[newest, middle], [oldest]]


@pytest.mark.parametrize("size", [7, DEFAULT_PAGE_SIZE, DEFAULT_PAGE_SIZE + 1, 100])
async def test_pages_of_any_size_show_the_same_orders(shelf: Shelf, size: int) -> None:
    orders = await shelf.ordered(2 * DEFAULT_PAGE_SIZE + 1)
    for _ in range(2):
        pages = await shelf.walk(size)
        assert [order for page in pages for order in page] == orders[::-1]
        assert [len(page) for page in pages[:-1]] == [size] * (len(orders) // size)


async def test_nobody_sees_the_orders_of_others(shelf: Shelf) -> None:
    mine = await shelf.ordered(2)
    other = replace(shelf, user_id=new_id())
    others = await other.ordered(2)
    assert await shelf.walk(5) == [mine[::-1]]
    assert await other.walk(5) == [others[::-1]]
    token = (await other.orders.page_of_user(other.user_id, 1, "")).value.next_page_token
    with pytest.raises(InvalidArgument, match="page_token"):
        await shelf.orders.page_of_user(shelf.user_id, 1, token)


async def test_unsettled_checkouts_are_listed_longest_untouched_first(shelf: Shelf) -> None:
    a, b, c, done = [await shelf.orders.open(begun(shelf.user_id)) for _ in range(4)]
    await shelf.orders.save(done.followed())
    await asyncio.sleep(0.01)
    await shelf.orders.touch(b)
    await asyncio.sleep(0.01)
    saved = a.given_up()
    await shelf.orders.save(saved)
    assert (await shelf.orders.unsettled(EVEN_NEW_S, 10)).checkouts == [c, b, saved]
    assert (await shelf.orders.unsettled(EVEN_NEW_S, 2)).checkouts == [c, b]
    assert (await shelf.orders.unsettled(3_600, 10)) == Unsettled([], 0.0, 0)


async def test_for_how_long_the_oldest_was_left_alone_is_told(shelf: Shelf) -> None:
    old, _ = [await shelf.orders.open(begun(shelf.user_id)) for _ in range(2)]
    await shelf.orders.touch(old, ahead_s=-600)
    unsettled = await shelf.orders.unsettled(300, 10)
    assert unsettled.checkouts == [old]
    assert 600 <= unsettled.oldest_s < 900


async def test_a_checkout_that_failed_is_left_alone_for_a_while_and_counted(shelf: Shelf) -> None:
    stuck, other = [await shelf.orders.open(begun(shelf.user_id)) for _ in range(2)]
    failed = stuck.failed()
    await shelf.orders.touch(failed, ahead_s=600)
    assert await shelf.orders.get(stuck.order.order_id) == failed
    assert await shelf.walk(5) == [[other.order, stuck.order]]
    unsettled = await shelf.orders.unsettled(EVEN_NEW_S, 10)
    assert (unsettled.checkouts, unsettled.failing) == ([other], 1)
    unsettled = await shelf.orders.unsettled(-900, 10)
    assert (unsettled.checkouts, unsettled.failing) == ([other, failed], 1)
    await shelf.orders.save(failed.given_up())
    assert (await shelf.orders.unsettled(EVEN_NEW_S, 10)).failing == 0


async def test_a_checkout_that_changed_meanwhile_is_not_touched(shelf: Shelf) -> None:
    opened = await shelf.orders.open(begun(shelf.user_id))
    changed = opened.given_up()
    await shelf.orders.save(changed)
    await shelf.orders.touch(opened.failed(), ahead_s=600)
    assert (await shelf.orders.unsettled(EVEN_NEW_S, 10)).checkouts == [changed]


@pytest.mark.parametrize("wrong_by", [timedelta(hours=1), -timedelta(hours=1)])
async def test_the_clock_of_a_process_ages_no_checkout(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, wrong_by: timedelta
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + wrong_by

    monkeypatch.setattr("services.common.clock.datetime", Wrong)
    opened, saved, touched = [await shelf.orders.open(begun(shelf.user_id)) for _ in range(3)]
    assert await shelf.orders.save(saved.given_up())
    await shelf.orders.touch(touched)
    assert not (await shelf.orders.unsettled(600, 10)).checkouts
    found = await shelf.orders.unsettled(EVEN_NEW_S, 10)
    assert found.checkouts == [opened, saved.given_up(), touched]
    assert found.oldest_s < 600


async def test_what_a_checkout_expects_is_stored(shelf: Shelf) -> None:
    expecting = replace(begun(shelf.user_id), expected_total=Money("EUR", 1_999))
    await shelf.orders.open(expecting)
    assert await shelf.orders.get(expecting.order.order_id) == expecting


async def test_documents_of_releases_before_are_read_and_changed(shelf: Shelf) -> None:
    opened = await shelf.orders.open(begun(shelf.user_id))
    documents = shelf.mongo.collection("orders")
    new = {"expected_total": "", "failures": ""}
    await documents.update_one({"_id": opened.order.order_id}, {"$unset": new})
    assert await shelf.orders.get(opened.order.order_id) == opened
    assert (await shelf.orders.unsettled(EVEN_NEW_S, 10)) == Unsettled([opened], ANY, 0)
    await shelf.orders.touch(opened.failed())
    assert await shelf.orders.save(opened.given_up())
    assert await shelf.orders.get(opened.order.order_id) == opened.given_up()


async def test_a_checkout_opened_twice_is_one_and_as_it_is_by_now(shelf: Shelf) -> None:
    opened = await shelf.orders.open(begun(shelf.user_id))
    given_up = opened.given_up()
    await shelf.orders.save(given_up)
    assert await shelf.orders.open(opened) == given_up


async def test_a_page_ends_before_it_is_too_large_for_a_client(shelf: Shelf) -> None:
    now = utc_now()
    lines = [
        OrderLine(f"{n:024x}", 1, "\N{GRINNING FACE}" * 200, LINES[0].unit_price)
        for n in range(100)
    ]
    orders = []
    for _ in range(30):
        opened = await shelf.orders.open(begun(shelf.user_id, now=now))
        confirmed = opened.confirmed(lines, now)
        assert await shelf.orders.save(confirmed)
        orders.append(confirmed.order)
    pages = await shelf.walk(100)
    assert [order for page in pages for order in page] == orders[::-1]
    assert len(pages) == 2
    assert len(pages[0]) > DEFAULT_PAGE_SIZE


async def test_the_schema_may_be_prepared_again(shelf: Shelf) -> None:
    orders = await shelf.ordered(1)
    await asyncio.gather(*(prepare_schema(shelf.mongo) for _ in range(3)))
    assert await shelf.walk(5) == [orders]


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"status": "LOST"}},
        {"$set": {"lines": []}},
        {"$set": {"settled": "yes"}},
        {"$unset": {"user_id": ""}},
    ],
    ids=str,
)
async def test_mongodb_itself_refuses_what_is_no_order(
    shelf: Shelf, change: dict[str, object]
) -> None:
    opened = await shelf.orders.open(begun(shelf.user_id))
    with pytest.raises(WriteError, match="Document failed validation"):
        await shelf.mongo.collection("orders").update_one({"_id": opened.order.order_id}, change)
    assert await shelf.orders.get(opened.order.order_id) == opened
