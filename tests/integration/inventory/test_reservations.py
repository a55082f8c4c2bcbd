"""Reservations on a real MongoDB."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from services.common.clock import as_utc, utc_now
from services.common.errors import DomainError, InvalidArgument
from services.common.ids import new_id
from services.common.money import Money
from services.common.mongo import MongoDriver, MongoOptions, NoTransactionsError, open_mongo
from services.common.transaction import Session
from services.inventory.model import (
    HeldFilter,
    InsufficientStock,
    Product,
    ProductNotFound,
    Reservation,
    ReservationIdReused,
    ReservationItem,
    ReservationNotFound,
    ReservationNotOwned,
    ReservationReleased,
    ReservationState,
    ReservedLine,
)
from services.inventory.ports import Reservations
from services.inventory.repository import MongoReservations, prepare_schema
from tests.integration.conftest import PATIENT_MS
from tests.integration.inventory.conftest import LAMP, OWNER, Counts, Inventory, items

Step = Callable[[], Awaitable[object]]


async def refusals(steps: list[Step], at_once: int) -> Counter[str]:
    """Run the steps, some at once, and return how often they were refused for which reason."""
    places = asyncio.Semaphore(at_once)
    reasons: Counter[str] = Counter()

    async def take(step: Step) -> None:
        async with places:
            try:
                await step()
            except DomainError as error:
                reasons[error.reason] += 1

    await asyncio.gather(*(take(step) for step in steps))
    return reasons


async def test_reserving_holds_stock_back_at_the_present_price(
    inventory: Inventory, lamp: Product
) -> None:
    chair = await inventory.stocked(5, name="Chair", price=Money("EUR", 7))
    reservation = await inventory.reservations.reserve(OWNER, "r", items((chair, 2), (lamp, 3)))
    assert reservation.state is ReservationState.HELD
    assert reservation.lines == (
        ReservedLine(chair.product_id, "Chair", 2, Money("EUR", 7)),
        ReservedLine(lamp.product_id, lamp.name, 3, lamp.price),
    )
    assert await inventory.counts(chair) == Counts(3, 2, 0)
    assert await inventory.counts(lamp) == Counts(7, 3, 0)


async def test_a_product_shows_what_was_reserved_and_given_back_and_not_what_was_sold(
    inventory: Inventory, lamp: Product
) -> None:
    seen = []

    async def look() -> None:
        product = (await inventory.products.get(lamp.product_id)).value
        seen.append((product.stock, product.version))

    await look()
    await inventory.reservations.reserve(OWNER, "a", items((lamp, 3)))
    await look()
    await inventory.reservations.commit(OWNER, "a")
    await look()
    await inventory.reservations.release(OWNER, "a")
    await look()
    assert seen == [(10, 1), (7, 1), (7, 1), (10, 1)]


@pytest.mark.parametrize("short", [True, False], ids=["too little", "deleted"])
async def test_either_all_items_are_reserved_or_none(
    inventory: Inventory, lamp: Product, *, short: bool
) -> None:
    other = await inventory.stocked(2)
    if not short:
        await inventory.products.remove(other.product_id)
    with pytest.raises(InsufficientStock if short else ProductNotFound) as refused:
        await inventory.reservations.reserve(OWNER, "r", items((lamp, 1), (other, 3)))
    assert refused.value.metadata["product_id"] == other.product_id
    assert await inventory.counts(lamp) == Counts(10, 0, 0)
    with pytest.raises(ReservationNotFound):
        await inventory.reservations.commit(OWNER, "r")
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 10)))


async def test_the_last_piece_can_be_reserved_and_none_after_it(
    inventory: Inventory, lamp: Product
) -> None:
    await inventory.reservations.reserve(OWNER, "all", items((lamp, 10)))
    with pytest.raises(InsufficientStock) as refused:
        await inventory.reservations.reserve(OWNER, "more", items((lamp, 1)))
    assert refused.value.metadata == {"product_id": lamp.product_id, "available": "0"}


async def test_reserving_again_gives_the_same_reservation_at_the_price_it_had(
    inventory: Inventory, lamp: Product
) -> None:
    first = await inventory.reservations.reserve(OWNER, "r", items((lamp, 3)))
    dearer = replace(LAMP, price=Money("EUR", 99_99))
    await inventory.products.update(lamp.product_id, dearer, ["price"], 0)
    assert await inventory.reservations.reserve(OWNER, "r", items((lamp, 3))) == first
    assert await inventory.counts(lamp) == Counts(7, 3, 0)
    await inventory.reservations.commit(OWNER, "r")
    again = await inventory.reservations.reserve(OWNER, "r", items((lamp, 3)))
    assert again == replace(first, state=ReservationState.COMMITTED)
    assert await inventory.counts(lamp) == Counts(7, 0, 3)


async def test_reserving_again_in_another_order_gives_the_lines_in_that_order(
    inventory: Inventory, lamp: Product
) -> None:
    chair = await inventory.stocked(5)
    first = await inventory.reservations.reserve(OWNER, "r", items((lamp, 3), (chair, 2)))
    again = await inventory.reservations.reserve(OWNER, "r", items((chair, 2), (lamp, 3)))
    assert again == replace(first, lines=first.lines[::-1])
    assert await inventory.counts(lamp) == Counts(7, 3, 0)


async def test_a_reservation_is_of_no_use_to_another_service(
    inventory: Inventory, lamp: Product
) -> None:
    reservations = inventory.reservations
    for name in ("held", "sold", "gone"):
        await reservations.reserve(OWNER, name, items((lamp, 1)))
    await reservations.commit(OWNER, "sold")
    await reservations.release(OWNER, "gone")
    for name in ("held", "sold", "gone"):
        for step in (
            reservations.reserve("other", name, items((lamp, 1))),
            reservations.commit("other", name),
            reservations.release("other", name),
        ):
            with pytest.raises(ReservationNotOwned):
                await step
    assert await inventory.counts(lamp) == Counts(8, 1, 1)
    await reservations.reserve("other", "others", items((lamp, 1)))
    for owner, name in ((OWNER, "held"), ("other", "others")):
        (found,) = (await reservations.page_held(HeldFilter(owner), 5, "")).items
        assert (found.owner, found.reservation_id) == (owner, name)


async def test_a_reservation_from_before_there_were_owners_is_of_use_to_every_service(
    inventory: Inventory, lamp: Product
) -> None:
    reservations, wanted = inventory.reservations, items((lamp, 1))
    for name in ("a", "b"):
        await reservations.reserve(OWNER, name, wanted)
        await inventory.mongo.collection("reservations").update_one(
            {"_id": name}, {"$unset": {"owner": ""}}
        )
    for owner in (OWNER, "other"):
        page = await reservations.page_held(HeldFilter(owner), 5, "")
        assert [found.reservation_id for found in page.items] == ["a", "b"]
        await reservations.reserve(owner, "a", wanted)
    await reservations.commit(OWNER, "a")
    await reservations.release("other", "a")
    await reservations.release("other", "b")
    assert await inventory.counts(lamp) == Counts(10, 0, 0)


async def test_the_age_of_a_reservation_is_by_mongodbs_clock(
    inventory: Inventory, lamp: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = utc_now() + timedelta(days=1)
    monkeypatch.setattr("services.inventory.repository.utc_now", lambda: fast)
    before = await inventory.mongo.now()
    held = await inventory.reservations.reserve(OWNER, "r", items((lamp, 1)))
    assert before <= held.create_time <= await inventory.mongo.now()
    page = await inventory.reservations.page_held(HeldFilter(OWNER, min_age=timedelta(0)), 5, "")
    assert page.items == (held,)


async def test_only_reservations_that_nobody_can_need_expire_after_7_days(
    inventory: Inventory, lamp: Product
) -> None:
    for name in ("held", "sold", "shipped", "shipped at once", "given back", "taken back"):
        await inventory.reservations.reserve(OWNER, name, items((lamp, 1)))
    for name in ("sold", "shipped", "taken back"):
        await inventory.reservations.commit(OWNER, name)
    before = await inventory.mongo.now()
    for name in ("shipped", "shipped at once"):
        await inventory.reservations.commit(OWNER, name, irrevocable=True)
    released = ("given back", "taken back", "never made")
    for name in released:
        await inventory.reservations.release(OWNER, name)
    long_ago = {"$set": {"end_time": before - timedelta(days=6)}}
    await inventory.mongo.collection("reservations").update_one({"_id": "given back"}, long_ago)
    await inventory.reservations.release(OWNER, "given back")
    answer = await inventory.mongo._command({"listIndexes": "reservations"})
    assert {
        next(iter(index["key"])): index["expireAfterSeconds"]
        for index in answer["cursor"]["firstBatch"]
        if "expireAfterSeconds" in index
    } == {"end_time": 7 * 24 * 60 * 60}
    found = await inventory.mongo.collection("reservations").find({}).to_list(None)
    times = {one["_id"]: as_utc(one["end_time"]) for one in found if "end_time" in one}
    assert set(times) == {*released, "shipped", "shipped at once"}
    assert before <= min(times.values()) <= max(times.values()) <= await inventory.mongo.now()


async def test_one_name_reserved_many_times_at_once_is_reserved_once(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    outcomes = await asyncio.gather(
        *(
            side.reservations.reserve(OWNER, "r", items((lamp, 2)))
            for side in [inventory, rival] * 10
        )
    )
    assert len({str(outcome) for outcome in outcomes}) == 1
    assert await inventory.counts(lamp) == Counts(8, 2, 0)


async def test_a_name_stands_for_its_items_only(inventory: Inventory, lamp: Product) -> None:
    other = await inventory.stocked(5)
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 3)))
    for others in (items((lamp, 2)), items((other, 3)), items((lamp, 3), (other, 1))):
        with pytest.raises(ReservationIdReused):
            await inventory.reservations.reserve(OWNER, "r", others)
    assert await inventory.counts(lamp) == Counts(7, 3, 0)
    assert await inventory.counts(other) == Counts(5, 0, 0)


async def test_committing_sells_once_however_often_it_is_asked_for(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 3)))
    await asyncio.gather(*(side.reservations.commit(OWNER, "r") for side in [inventory, rival] * 5))
    assert await inventory.counts(lamp) == Counts(7, 0, 3)


@pytest.mark.parametrize("sold", [False, True])
async def test_releasing_gives_back_once_however_often_it_is_asked_for(
    inventory: Inventory, rival: Inventory, lamp: Product, *, sold: bool
) -> None:
    await inventory.reservations.reserve(OWNER, "other", items((lamp, 1)))
    await inventory.reservations.commit(OWNER, "other")
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 3)))
    if sold:
        await inventory.reservations.commit(OWNER, "r")
    outcomes = await asyncio.gather(
        *(side.reservations.release(OWNER, "r") for side in [inventory, rival] * 5)
    )
    (lines,) = {outcome.lines for outcome in outcomes}
    assert [(line.product_id, line.quantity) for line in lines] == [(lamp.product_id, 3)]
    assert await inventory.counts(lamp) == Counts(9, 0, 1)


async def test_commit_and_release_at_once_end_released(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    names = [f"r{n}" for n in range(5)]
    for name in names:
        await inventory.reservations.reserve(OWNER, name, items((lamp, 2)))
    await asyncio.gather(
        *(inventory.reservations.commit(OWNER, name) for name in names),
        *(rival.reservations.release(OWNER, name) for name in names),
        return_exceptions=True,
    )
    assert await inventory.counts(lamp) == Counts(10, 0, 0)


async def test_released_is_for_good(inventory: Inventory, lamp: Product) -> None:
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 3)))
    await inventory.reservations.release(OWNER, "r")
    with pytest.raises(ReservationReleased):
        await inventory.reservations.reserve(OWNER, "r", items((lamp, 3)))
    with pytest.raises(ReservationReleased):
        await inventory.reservations.commit(OWNER, "r")
    assert await inventory.counts(lamp) == Counts(10, 0, 0)


async def test_releasing_an_unknown_name_takes_it_out_of_use(
    inventory: Inventory, lamp: Product
) -> None:
    released = await inventory.reservations.release(OWNER, "never")
    assert (released.state, released.lines) == (ReservationState.RELEASED, ())
    with pytest.raises(ReservationReleased):
        await inventory.reservations.reserve(OWNER, "never", items((lamp, 1)))
    with pytest.raises(ReservationReleased):
        await inventory.reservations.commit(OWNER, "never")


async def test_a_release_after_one_that_nobody_was_told_of_makes_the_product_forgotten(
    inventory: Inventory, lamp: Product
) -> None:
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 2)))
    await inventory.products.get(lamp.product_id)
    await MongoReservations(inventory.mongo).release(OWNER, "r")  # its process dies before it tells
    await inventory.reservations.release(OWNER, "r")
    assert (await inventory.products.get(lamp.product_id)).value.stock == 10


async def test_reserve_and_release_at_once_leave_nothing_reserved(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    for n in range(10):
        await asyncio.gather(
            inventory.reservations.reserve(OWNER, f"r{n}", items((lamp, 1))),
            rival.reservations.release(OWNER, f"r{n}"),
            return_exceptions=True,
        )
    assert await inventory.counts(lamp) == Counts(10, 0, 0)


class Overtaken(MongoReservations):
    """Reservations of which a rival makes one while it is being released as unknown."""

    rival: Reservations
    overtaken = False
    items: Sequence[ReservationItem]

    async def _leave(
        self,
        states: Sequence[ReservationState],
        state: ReservationState,
        reservation_id: str,
        session: Session,
    ) -> Reservation | None:
        known = await super()._leave(states, state, reservation_id, session)
        if not self.overtaken:
            self.overtaken = True
            await self.rival.reserve(OWNER, reservation_id, self.items)
        return known


async def test_a_name_reserved_while_it_is_released_as_unknown_is_released(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    slow = Overtaken(inventory.mongo)
    slow.rival, slow.items = rival.reservations, items((lamp, 1))
    assert (await slow.release(OWNER, "r")).lines
    assert slow.overtaken
    assert await inventory.counts(lamp) == Counts(10, 0, 0)


async def test_an_unknown_name_cannot_be_committed(inventory: Inventory) -> None:
    with pytest.raises(ReservationNotFound):
        await inventory.reservations.commit(OWNER, "never")


async def test_what_was_sold_of_a_deleted_product_is_given_back_to_nobody(
    inventory: Inventory, lamp: Product
) -> None:
    other = await inventory.stocked(5)
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 3), (other, 1)))
    await inventory.reservations.commit(OWNER, "r")
    await inventory.products.remove(lamp.product_id)
    await inventory.reservations.release(OWNER, "r")
    assert await inventory.counts(other) == Counts(5, 0, 0)
    with pytest.raises(ProductNotFound):
        await inventory.products.get(lamp.product_id)


async def test_twenty_five_buyers_of_the_last_ten_get_exactly_ten(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    outcomes = await asyncio.gather(
        *(
            (inventory, rival)[n % 2].reservations.reserve(OWNER, f"r{n}", items((lamp, 1)))
            for n in range(25)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, InsufficientStock) for outcome in outcomes) == 15
    assert await inventory.counts(lamp) == Counts(0, 10, 0)


async def test_two_hundred_random_steps_at_once_neither_make_nor_lose_a_piece(
    inventory: Inventory, rival: Inventory
) -> None:
    chance = random.Random(4711)  # noqa: S311 (repeatable, not secret)
    products = [await inventory.stocked(stock) for stock in (0, 3, 10, 20, 40)]
    wanted = {
        f"r{n}": [
            ReservationItem(product.product_id, chance.randint(1, 3))
            for product in chance.sample(products, chance.randint(1, 3))
        ]
        for n in range(40)
    }

    def step() -> Step:
        name = chance.choice(list(wanted))
        reservations = chance.choice([inventory, rival]).reservations
        return chance.choice(
            [
                lambda: reservations.reserve(OWNER, name, wanted[name]),
                lambda: reservations.reserve(OWNER, name, wanted[name]),
                lambda: reservations.commit(OWNER, name),
                lambda: reservations.release(OWNER, name),
            ]
        )

    reasons = await refusals([step() for _ in range(200)], at_once=16)
    assert set(reasons) <= {
        "INSUFFICIENT_STOCK",
        "RESERVATION_NOT_FOUND",
        "RESERVATION_RELEASED",
    }
    documents = await inventory.mongo.collection("reservations").find({}).to_list(None)
    moved: Counter[tuple[str, str]] = Counter()
    for document in documents:
        for line in document["lines"]:
            moved[line["product_id"], document["state"]] += line["quantity"]
    assert sum(moved.values()) > 0
    for product in products:
        counts = await inventory.counts(product)
        assert counts.total == product.stock
        assert min(counts.stock, counts.reserved, counts.sold) >= 0
        assert counts.reserved == moved[product.product_id, ReservationState.HELD]
        assert counts.sold == moved[product.product_id, ReservationState.COMMITTED]
        assert (await inventory.products.get(product.product_id)).value.stock == counts.stock


async def test_a_reservation_in_opposite_orders_at_once_ends_in_time(
    inventory: Inventory, rival: Inventory
) -> None:
    a, b = await inventory.stocked(20), await inventory.stocked(20)
    await asyncio.gather(
        *(
            inventory.reservations.reserve(OWNER, f"ab{n}", items((a, 1), (b, 1)))
            for n in range(10)
        ),
        *(rival.reservations.reserve(OWNER, f"ba{n}", items((b, 1), (a, 1))) for n in range(10)),
    )
    assert await inventory.counts(a) == await inventory.counts(b) == Counts(0, 20, 0)


async def test_an_update_of_the_stock_and_reservations_at_once_lose_nothing(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    async def rename(n: int) -> None:
        await rival.products.update(lamp.product_id, replace(LAMP, name=f"{n}"), ["name"], 0)

    await asyncio.gather(
        *(inventory.reservations.reserve(OWNER, f"r{n}", items((lamp, 1))) for n in range(10)),
        *(rename(n) for n in range(10)),
    )
    assert await inventory.counts(lamp) == Counts(0, 10, 0)
    assert (await inventory.products.get(lamp.product_id)).value.version == 11


async def held_names(inventory: Inventory, size: int = 2) -> list[list[str]]:
    pages = []
    token = ""
    while True:
        page = await inventory.reservations.page_held(HeldFilter(OWNER), size, token)
        pages.append([reservation.reservation_id for reservation in page.items])
        token = page.next_page_token
        if not token:
            return pages


async def test_the_pages_of_held_reservations_hold_each_once_oldest_first(
    inventory: Inventory, lamp: Product
) -> None:
    for name in ("e", "d", "c", "sold", "b", "given-back", "a"):
        await inventory.reservations.reserve(OWNER, name, items((lamp, 1)))
    await inventory.reservations.commit(OWNER, "sold")
    await inventory.reservations.release(OWNER, "given-back")
    assert [name for page in await held_names(inventory) for name in page] == [*"edcba"]
    same_time = {"$set": {"create_time": utc_now()}}
    for name in "edcba":
        await inventory.mongo.collection("reservations").update_one({"_id": name}, same_time)
    assert await held_names(inventory) == [["a", "b"], ["c", "d"], ["e"]]
    assert await held_names(inventory, 5) == [[*"abcde"]]


async def test_only_reservations_older_than_asked_for_are_listed(
    inventory: Inventory, lamp: Product
) -> None:
    held = await inventory.reservations.reserve(OWNER, "r", items((lamp, 1)))
    later = held.create_time + timedelta(milliseconds=1)
    for wanted, found in (
        (HeldFilter(OWNER, before=held.create_time), ()),
        (HeldFilter(OWNER, before=later), (held,)),
        (HeldFilter(OWNER, min_age=timedelta(hours=1)), ()),
        (HeldFilter(OWNER, min_age=timedelta(days=3_652_500)), ()),
        (HeldFilter(OWNER, min_age=timedelta(0)), (held,)),
    ):
        assert (await inventory.reservations.page_held(wanted, 5, "")).items == found


async def test_a_token_of_held_reservations_is_good_for_their_moment_only(
    inventory: Inventory, lamp: Product
) -> None:
    for name in "ab":
        await inventory.reservations.reserve(OWNER, name, items((lamp, 1)))
    before = utc_now() + timedelta(seconds=1)
    wanted = HeldFilter(OWNER, before)
    token = (await inventory.reservations.page_held(wanted, 1, "")).next_page_token
    for other in (
        replace(wanted, before=before + timedelta(seconds=1)),
        replace(wanted, min_age=timedelta(0)),
        replace(wanted, owner="other"),
    ):
        with pytest.raises(InvalidArgument, match="page_token"):
            await inventory.reservations.page_held(other, 1, token)


# PyMongo's AsyncMongoClient leaves the socket open on which it was connecting when cancelled.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
async def test_a_reservation_given_up_halfway_leaves_no_trace(
    inventory: Inventory, rival: Inventory, lamp: Product, lasting_transactions: None
) -> None:
    """A caller who goes away cancels the work wherever it is."""
    for n in range(20):
        task = asyncio.create_task(inventory.reservations.reserve(OWNER, f"r{n}", items((lamp, 1))))
        await asyncio.sleep(n / 4000)
        task.cancel()
        with suppress(asyncio.CancelledError, DomainError):
            await task
        await rival.reservations.release(OWNER, f"r{n}")
    assert await inventory.counts(lamp) == Counts(10, 0, 0)
    await rival.reservations.reserve(OWNER, new_id(), items((lamp, 10)))
    gc.collect()


async def test_where_transactions_cannot_be_nothing_is_prepared(
    lone_mongo_uri: str, database: str, driver: MongoDriver
) -> None:
    async with open_mongo(MongoOptions(lone_mongo_uri, driver, PATIENT_MS), database) as mongo:
        with pytest.raises(NoTransactionsError, match="SHOP_MONGO_URI"):
            await prepare_schema(mongo)
