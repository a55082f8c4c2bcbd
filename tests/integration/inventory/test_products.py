"""The catalogue on a real MongoDB."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pymongo.errors import WriteError

from services.common.cache.watched import Watched, stages_for
from services.common.changes import Position
from services.common.errors import InvalidArgument
from services.common.ids import new_id
from services.common.money import Money
from services.inventory.model import (
    MAX_STOCK,
    PRODUCT_FIELDS,
    Adjustment,
    InsufficientStock,
    Product,
    ProductChanged,
    ProductFilter,
    ProductNotFound,
    ProductRequestIdReused,
    ProductReserved,
    SkuTaken,
    StockLimitExceeded,
)
from services.inventory.repository import PRODUCT_CHANGES, prepare_schema
from tests.integration.inventory.conftest import (
    LAMP,
    OWNER,
    Counts,
    Inventory,
    by_id,
    got,
    items,
)

EVERYTHING = ProductFilter()
OTHER = replace(
    LAMP,
    sku="other-1",
    name="Blue Chair",
    description="Stands all day",
    category="chairs",
    price=Money("USD", 1),
    stock=3,
    tags=("blue",),
)


async def walk(inventory: Inventory, wanted: ProductFilter, size: int) -> list[list[str]]:
    """Return the names on each page, from the first to the last."""
    pages = []
    token = ""
    while True:
        page = await inventory.products.page(wanted, size, token)
        pages.append([product.name for product in page.items])
        token = page.next_page_token
        if not token:
            return pages


async def add_named(inventory: Inventory, names: Sequence[str], category: str = "lamps") -> None:
    for name in names:
        await inventory.products.add(replace(LAMP, sku=new_id(), name=name, category=category))


async def test_a_new_product_is_found_as_it_was_stored(inventory: Inventory, lamp: Product) -> None:
    assert lamp.version == 1
    assert lamp.create_time == lamp.update_time
    for _ in range(2):
        assert (await inventory.products.get(lamp.product_id)).value == lamp
        assert await got(inventory, lamp.product_id) == by_id(lamp)


async def test_an_unknown_product_is_not_found(inventory: Inventory) -> None:
    with pytest.raises(ProductNotFound):
        await inventory.products.get(new_id())
    with pytest.raises(ProductNotFound):
        await inventory.products.update(new_id(), LAMP, ["name"], 0)
    with pytest.raises(ProductNotFound):
        await inventory.products.remove(new_id())


async def test_many_products_come_each_under_its_id_without_the_unknown(
    inventory: Inventory,
) -> None:
    known = [await inventory.stocked(1) for _ in range(3)]
    wanted = [new_id(), *(product.product_id for product in known)]
    for _ in range(2):
        assert await got(inventory, *wanted) == by_id(*known)
    late = await inventory.stocked(1)
    assert await got(inventory, late.product_id, *wanted) == by_id(late, *known)


@pytest.mark.parametrize("field", PRODUCT_FIELDS)
async def test_an_update_changes_the_named_field_only(
    inventory: Inventory, lamp: Product, field: str
) -> None:
    updated = await inventory.products.update(lamp.product_id, OTHER, [field], lamp.version)
    expected = replace(
        lamp,
        **{field: getattr(OTHER, field)},
        version=2,
        update_time=updated.update_time,
    )
    assert updated == expected
    assert updated.update_time >= lamp.update_time
    assert (await inventory.products.get(lamp.product_id)).value == expected


async def test_an_update_of_another_version_is_refused_and_changes_nothing(
    inventory: Inventory, lamp: Product
) -> None:
    for version in (lamp.version + 1, 99):
        with pytest.raises(ProductChanged) as refused:
            await inventory.products.update(lamp.product_id, OTHER, ["name"], version)
        assert refused.value.metadata == {"version": "1"}
    assert (await inventory.products.get(lamp.product_id)).value == lamp


async def test_an_update_without_a_version_takes_any(inventory: Inventory, lamp: Product) -> None:
    for version in (2, 3):
        updated = await inventory.products.update(lamp.product_id, OTHER, ["name"], 0)
        assert updated.version == version


async def test_of_concurrent_updates_of_one_version_one_succeeds(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    outcomes = await asyncio.gather(
        *(
            side.products.update(
                lamp.product_id, replace(LAMP, name=f"Lamp {n}"), ["name"], lamp.version
            )
            for n in range(10)
            for side in (inventory, rival)
        ),
        return_exceptions=True,
    )
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Product)]
    assert sum(isinstance(outcome, ProductChanged) for outcome in outcomes) == 19
    assert (await inventory.products.page(EVERYTHING, 10, "")).items == (winner,)


async def test_a_sku_is_taken_once(inventory: Inventory, lamp: Product) -> None:
    with pytest.raises(SkuTaken):
        await inventory.products.add(replace(OTHER, sku=lamp.sku))
    other = await inventory.products.add(OTHER)
    with pytest.raises(SkuTaken):
        await inventory.products.update(other.product_id, LAMP, ["sku"], 0)
    assert (await inventory.products.get(other.product_id)).value == other


async def test_of_concurrent_products_with_one_sku_one_is_added(
    inventory: Inventory, rival: Inventory
) -> None:
    outcomes = await asyncio.gather(
        *(side.products.add(LAMP) for side in [inventory, rival] * 10), return_exceptions=True
    )
    assert sum(isinstance(outcome, Product) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, SkuTaken) for outcome in outcomes) == 19


async def test_a_request_makes_one_product_and_its_repeats_are_told_of_it(
    inventory: Inventory, rival: Inventory
) -> None:
    made = await asyncio.gather(
        *(side.products.add(LAMP, "once") for side in [inventory, rival] * 5)
    )
    assert len({product.product_id for product in made}) == 1
    edited = await inventory.products.update(made[0].product_id, OTHER, PRODUCT_FIELDS, 0)
    assert await rival.products.add(LAMP, "once") == edited


async def test_a_request_that_made_a_product_makes_no_other_and_hides_no_others_sku(
    inventory: Inventory, lamp: Product
) -> None:
    await inventory.products.add(OTHER, "once")
    for draft in (LAMP, replace(OTHER, stock=4), replace(OTHER, sku="other-2")):
        with pytest.raises(ProductRequestIdReused):
            await inventory.products.add(draft, "once")
    with pytest.raises(SkuTaken):
        await inventory.products.add(LAMP, "another")
    with pytest.raises(SkuTaken):
        await inventory.products.add(OTHER)


async def test_the_stock_moves_by_an_amount_once_per_request_beside_sales(
    inventory: Inventory, rival: Inventory, lamp: Product
) -> None:
    more, less = (Adjustment(f"{by}", lamp.product_id, by) for by in (5, -3))
    await asyncio.gather(
        *(side.products.adjust(more) for side in [inventory, rival] * 3),
        *(side.products.adjust(less) for side in [inventory, rival] * 3),
        *(rival.reservations.reserve(OWNER, f"r{n}", items((lamp, 1))) for n in range(4)),
    )
    assert await inventory.counts(lamp) == Counts(8, 4, 0)
    shown = (await inventory.products.get(lamp.product_id)).value
    assert (shown.stock, shown.version) == (8, lamp.version)
    assert await inventory.products.adjust(less) == shown
    renamed = await inventory.products.update(lamp.product_id, OTHER, ["name"], lamp.version)
    assert (renamed.stock, renamed.version) == (8, lamp.version + 1)


async def test_a_repeat_of_an_adjustment_is_known_when_it_could_not_be_made_again(
    inventory: Inventory, lamp: Product
) -> None:
    all_of_it = Adjustment("all", lamp.product_id, -10)
    for _ in range(2):
        assert (await inventory.products.adjust(all_of_it)).stock == 0
    for other in (replace(all_of_it, delta=-9), replace(all_of_it, product_id=new_id())):
        with pytest.raises(ProductRequestIdReused):
            await inventory.products.adjust(other)


async def test_the_stock_stays_within_its_bounds_and_what_was_refused_may_be_asked_again(
    inventory: Inventory, lamp: Product
) -> None:
    less = Adjustment("less", lamp.product_id, -11)
    with pytest.raises(InsufficientStock) as refused:
        await inventory.products.adjust(less)
    assert refused.value.metadata == {"product_id": lamp.product_id, "available": "10"}
    with pytest.raises(StockLimitExceeded):
        await inventory.products.adjust(Adjustment("more", lamp.product_id, MAX_STOCK - 9))
    with pytest.raises(ProductNotFound):
        await inventory.products.adjust(Adjustment("none", new_id(), 1))
    assert (await inventory.products.get(lamp.product_id)).value == lamp
    await inventory.products.adjust(Adjustment("fill", lamp.product_id, MAX_STOCK - 10))
    assert (await inventory.products.adjust(less)).stock == MAX_STOCK - 11


async def test_the_cache_is_told_of_every_change_that_a_product_shows_and_of_no_other(
    inventory: Inventory, lamp: Product
) -> None:
    async def nothing(_: object) -> None: ...

    begin = Position(await inventory.mongo.operation_time())
    wanted = items((lamp, 1))
    await inventory.products.update(lamp.product_id, LAMP, ["name"], 0)
    await inventory.products.adjust(Adjustment("a", lamp.product_id, 1))
    await inventory.reservations.reserve(OWNER, "r", wanted)
    await inventory.reservations.commit(OWNER, "r")
    await inventory.reservations.release(OWNER, "r")
    await inventory.products.remove(lamp.product_id)
    stages = stages_for({"products": Watched.of(PRODUCT_CHANGES, nothing)})
    told: list[str] = []
    async with inventory.mongo.changes(stages, begin) as stream:
        while "delete" not in told:
            told += [change["operationType"] for change in (await stream.next()).changes]
    assert told.count("update") == 4


async def test_a_removed_product_is_gone_and_its_sku_free(
    inventory: Inventory, lamp: Product
) -> None:
    await inventory.products.get(lamp.product_id)
    await inventory.products.remove(lamp.product_id)
    with pytest.raises(ProductNotFound):
        await inventory.products.get(lamp.product_id)
    assert not await inventory.products.get_many([lamp.product_id])
    with pytest.raises(ProductNotFound):
        await inventory.products.remove(lamp.product_id)
    await inventory.products.add(LAMP)


async def test_a_product_stays_while_some_of_it_is_reserved(
    inventory: Inventory, lamp: Product
) -> None:
    await inventory.reservations.reserve(OWNER, "r", items((lamp, 1)))
    with pytest.raises(ProductReserved):
        await inventory.products.remove(lamp.product_id)
    await inventory.reservations.release(OWNER, "r")
    await inventory.products.remove(lamp.product_id)


@pytest.mark.parametrize(("count", "sizes"), [(7, [3, 3, 1]), (6, [3, 3]), (3, [3]), (0, [0])])
async def test_the_pages_hold_every_product_once_oldest_first(
    inventory: Inventory, count: int, sizes: list[int]
) -> None:
    names = [f"Lamp {n}" for n in range(count)]
    await add_named(inventory, names)
    pages = await walk(inventory, EVERYTHING, 3)
    assert [len(page) for page in pages] == sizes
    assert [name for page in pages for name in page] == names


async def test_a_filter_holds_on_every_page(inventory: Inventory) -> None:
    await add_named(inventory, ["Red 1", "Blue 2", "Red 3"], "lamps")
    await add_named(inventory, ["Red 4", "Red 5"], "chairs")
    await add_named(inventory, ["Red 6"], "lamps")
    lamps = ProductFilter(category="lamps")
    assert await walk(inventory, lamps, 2) == [["Red 1", "Blue 2"], ["Red 3", "Red 6"]]
    await inventory.products.add(replace(OTHER, name="Green 7", tags=()))
    red_chairs = ProductFilter(category="chairs", query="red")
    assert await walk(inventory, red_chairs, 1) == [["Red 4"], ["Red 5"]]
    assert await walk(inventory, ProductFilter(query="blue"), 5) == [["Blue 2"]]
    assert await walk(inventory, ProductFilter(category="none"), 5) == [[]]


async def test_a_token_is_good_for_its_own_filter_only(inventory: Inventory) -> None:
    await add_named(inventory, ["Red 1", "Red 2", "Red 3"])
    token = (await inventory.products.page(ProductFilter("lamps", "red"), 1, "")).next_page_token
    for other in (EVERYTHING, ProductFilter("lamps"), ProductFilter("chairs", "red")):
        with pytest.raises(InvalidArgument, match="page_token"):
            await inventory.products.page(other, 1, token)
    with pytest.raises(InvalidArgument, match="page_token"):
        await inventory.products.page(ProductFilter("lamps", "red"), 1, token[:-2])


async def test_a_query_finds_what_has_all_words_in_name_description_or_tags(
    inventory: Inventory, lamp: Product
) -> None:
    await inventory.products.add(OTHER)
    for query in ("lamp", "LAMP", "red lamp", "lamp red", "night", "light", "Red night light"):
        assert await walk(inventory, ProductFilter(query=query), 5) == [[lamp.name]], query


ODD_NAMES = [
    "C++ in depth",
    "Dark $5 bill",
    "O'Reilly's guide",
    'A "quoted" title',
    "Cold box -40",
    "Back\\slash",
    "Café crème",
    "Lamp",
]


ODD_QUERIES = {
    "c++": ["C++ in depth"],
    "$5": ["Dark $5 bill"],
    "$5 bill": ["Dark $5 bill"],
    "o'reilly's": ["O'Reilly's guide"],
    '"quoted"': ['A "quoted" title'],
    'title" "quoted': ['A "quoted" title'],
    '"lamp': ["Lamp"],
    "-40": ["Cold box -40"],
    "lamp -bill": [],
    'lamp"-bill': [],
    "-lamp": [],
    "back slash": ["Back\\slash"],
    "lamp\\": ["Lamp"],
    "lamp \\": ["Lamp"],
    "Café": ["Café crème"],
    "lamp guide": [],
    "lamp or guide": [],
    "$": [],
    "-": [],
    '"': [],
    "\\": [],
    '" "': [],
    '{"$ne": null}': [],
    "$where": [],
    "*": [],
    ".*": [],
    "l": [],
}


async def test_a_query_is_words_whatever_its_characters(inventory: Inventory) -> None:
    for name in ODD_NAMES:
        await inventory.stocked(1, name=name, description="", tags=())
    found = {
        query: (await walk(inventory, ProductFilter(query=query), 20))[0] for query in ODD_QUERIES
    }
    assert found == ODD_QUERIES


async def test_the_schema_may_be_prepared_again(inventory: Inventory, lamp: Product) -> None:
    await asyncio.gather(*(prepare_schema(inventory.mongo) for _ in range(3)))
    assert (await inventory.products.get(lamp.product_id)).value == lamp


@pytest.mark.parametrize("count", ["stock", "reserved", "sold"])
async def test_mongodb_itself_refuses_a_negative_count(
    inventory: Inventory, lamp: Product, count: str
) -> None:
    with pytest.raises(WriteError, match="Document failed validation"):
        await inventory.mongo.collection("products").update_one(
            {"_id": lamp.product_id}, {"$inc": {count: -11}}
        )
    assert (await inventory.products.get(lamp.product_id)).value == lamp
