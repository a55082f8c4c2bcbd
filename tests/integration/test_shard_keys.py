"""That queries name the shard keys of ``docs/scaling.md``, so that each goes to one shard.

Every method of every repository is called, and MongoDB's profiler says what it was asked.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, Protocol

import pytest

from services.common.auth.principal import Role
from services.common.clock import utc_now
from services.common.ids import new_id
from services.common.mongo import Document, Mongo
from services.inventory.model import Adjustment, HeldFilter, ProductFilter, ReservationItem
from services.inventory.repository import MongoProducts, MongoReservations
from services.inventory.repository import prepare_schema as prepare_inventory
from services.order.repository import MongoOrders
from services.order.repository import prepare_schema as prepare_order
from services.user.model import Attempt, Client, LoginLimits, ProfileDraft, RefreshToken
from services.user.repository import MongoSessions, MongoUsers
from services.user.repository import prepare_schema as prepare_user
from services.user.throttle import MongoThrottle
from tests.integration.inventory.conftest import LAMP, OWNER
from tests.integration.order.conftest import LINES, begun
from tests.integration.user.conftest import ADA

SHARD_KEYS: Final = {
    "users": "_id",
    "sessions": "_id",
    "login_attempts": "_id",
    "products": "_id",
    "reservations": "_id",
    "stock_adjustments": "_id",
    "orders": "user_id",
}
# All others go to one shard. docs/scaling.md says of each what it costs and what may be done.
TO_ALL_SHARDS: Final = {
    ("users", "find_account_named"),
    ("users", "find_registered"),
    ("products", "page"),
    ("products", "add_again"),
    ("reservations", "page_held"),
    ("orders", "get"),
    ("orders", "unsettled"),
}
# A unique index must begin with the shard key: collections with one of these stay on one shard.
UNIQUE_ELSEWHERE: Final = {
    ("users", ("username_key",)),
    ("users", ("email_key",)),
    ("products", ("sku",)),
    ("products", ("request_id",)),
}

Step = Callable[[], Awaitable[object]]
Prepare = Callable[[Mongo], Awaitable[None]]


class Methods(Protocol):
    """Says which methods there are, in an order in which they can be called."""

    async def __call__(self, mongo: Mongo) -> Mapping[str, Step]: ...


async def of_users(mongo: Mongo) -> Mapping[str, Step]:
    users, sessions = MongoUsers(mongo), MongoSessions(mongo, 60)
    throttle = MongoThrottle(mongo, LoginLimits(1, 1, window_s=9, known_s=9))
    client = Client("203.0.113.7")
    user = await users.add(ADA, Role.ADMIN, "hash")
    account = await users.find_account(user.user_id)
    assert account is not None
    draft = ProfileDraft(user.email, "Ada", Role.CUSTOMER, active=True)
    admin_id = user.user_id
    token = RefreshToken.new()
    return {
        "get": lambda: users.get(user.user_id),
        "find_account": lambda: users.find_account(user.user_id),
        "find_account_named": lambda: users.find_account_named(ADA.username),
        "find_registered": lambda: users.find_registered(replace(ADA, request_id="a")),
        "update": lambda: users.update(user.user_id, draft, ["full_name"]),
        "administrate": lambda: users.administrate(admin_id, admin_id, draft, ["role"]),
        "remember_setting": lambda: users.remember_setting(account, "setting"),
        "reinstate": lambda: users.reinstate(replace(account, setting_hash="setting"), "other"),
        "replace_password": lambda: users.replace_password(account, "other"),
        "upgrade_hash": lambda: users.upgrade_hash(account, "third"),
        "open": lambda: sessions.open(account, token),
        "rotate": lambda: sessions.rotate(token),
        "rotate_again": lambda: sessions.rotate(token),
        "end": lambda: sessions.end(token),
        "count": lambda: throttle.count("ada", client),
        "forgive": lambda: throttle.forgive(Attempt("ada", client, known=False), "login"),
    }


async def of_inventory(mongo: Mongo) -> Mapping[str, Step]:
    products, reservations = MongoProducts(mongo), MongoReservations(mongo)
    product = await products.add(LAMP)
    items = [ReservationItem(product.product_id, 1)]
    some, others = new_id(), new_id()
    adjustment = Adjustment(new_id(), product.product_id, 1)
    held = HeldFilter(OWNER, min_age=timedelta(0))
    return {
        "get": lambda: products.get(product.product_id),
        "add": lambda: products.add(replace(LAMP, sku="made once"), "once"),
        "add_again": lambda: products.add(replace(LAMP, sku="made once"), "once"),
        "adjust": lambda: products.adjust(adjustment),
        "adjust_again": lambda: products.adjust(adjustment),
        "page": lambda: products.page(ProductFilter(category="lamps"), 5, ""),
        "update": lambda: products.update(product.product_id, LAMP, ["name"], 0),
        "reserve": lambda: reservations.reserve(OWNER, some, items),
        "page_held": lambda: reservations.page_held(held, 5, ""),
        "commit": lambda: reservations.commit(OWNER, some),
        "release": lambda: reservations.release(OWNER, some),
        "release_none": lambda: reservations.release(OWNER, others),
        "remove": lambda: products.remove(product.product_id),
    }


async def of_order(mongo: Mongo) -> Mapping[str, Step]:
    orders = MongoOrders(mongo)
    user_id = new_id()
    checkout = await orders.open(begun(user_id))
    confirmed = checkout.confirmed(LINES, utc_now())
    return {
        "open": lambda: orders.open(checkout),
        "get": lambda: orders.get(checkout.order.order_id),
        "save": lambda: orders.save(confirmed),
        "note": lambda: orders.note(confirmed.followed()),
        "newest_of_users": lambda: orders.newest_of_users([user_id, new_id()]),
        "page_of_user": lambda: orders.page_of_user(user_id, 3, ""),
        "touch": lambda: orders.touch(confirmed),
        "unsettled": lambda: orders.unsettled(5, 5),
    }


@dataclass
class Heard:
    """What the collections were asked: the filters of each method, and how they were found."""

    filters: dict[tuple[str, str], list[Document]] = field(
        default_factory=lambda: defaultdict(list)
    )
    scanned: list[str] = field(default_factory=list)

    def hear(self, method: str, profiled: Document) -> None:
        collection = profiled["ns"].partition(".")[2]
        if collection not in SHARD_KEYS:
            return
        command = profiled["command"]
        self.filters[collection, method] += _filters(command)
        if "COLLSCAN" in profiled.get("planSummary", ""):
            self.scanned.append(f"{collection}: {method}")

    def to_all_shards(self) -> set[tuple[str, str]]:
        """Return the methods that do not name the shard key in some filter."""
        return {
            (collection, method)
            for (collection, method), filters in self.filters.items()
            if any(not _names(SHARD_KEYS[collection], query) for query in filters)
        }


def _filters(command: Document) -> Iterator[Document]:
    """Yield the filters in a command as the profiler has it; an insertion has none."""
    for name in ("filter", "query", "q"):
        if name in command:
            yield command[name]
    for stage in command.get("pipeline", []):
        if "$match" in stage:
            yield stage["$match"]
        if "$unionWith" in stage:
            yield from _filters(stage["$unionWith"])


def _names(key: str, query: Document) -> bool:
    """Whether a filter says which values of the key there may be."""
    wanted = query.get(key)
    return isinstance(wanted, str) or (isinstance(wanted, dict) and wanted.keys() == {"$in"})


async def profiled(mongo: Mongo, methods: Mapping[str, Step]) -> Heard:
    heard, told = Heard(), 0
    for method, call in methods.items():
        await mongo._command({"profile": 2})
        await call()
        await mongo._command({"profile": 0})
        entries = await mongo.collection("system.profile").find({}).to_list(None)
        for entry in entries[told:]:
            if entry["ns"].partition(".")[2] != "system.profile":
                heard.hear(method, entry)
        told = len(entries)
    return heard


@pytest.mark.parametrize(
    ("prepare", "methods"),
    [
        (prepare_user, of_users),
        (prepare_inventory, of_inventory),
        (prepare_order, of_order),
    ],
    ids=["user", "inventory", "order"],
)
async def test_queries_name_the_shard_key_and_have_an_index_but_for_those_that_are_listed(
    prepare: Prepare, methods: Methods, mongo: Mongo
) -> None:
    await prepare(mongo)
    heard = await profiled(mongo, await methods(mongo))
    collections = {collection for collection, _ in heard.filters}
    listed = {name for name in TO_ALL_SHARDS if name[0] in collections}
    assert heard.to_all_shards() == listed
    assert heard.scanned == []


async def test_unique_indexes_begin_with_the_shard_key_but_for_those_that_are_listed(
    mongo: Mongo,
) -> None:
    for prepare in (prepare_user, prepare_inventory, prepare_order):
        await prepare(mongo)
    elsewhere = set()
    for collection, key in SHARD_KEYS.items():
        answer = await mongo._command({"listIndexes": collection})
        for index in answer["cursor"]["firstBatch"]:
            if index.get("unique") and next(iter(index["key"])) != key:
                elsewhere.add((collection, tuple(index["key"])))
    assert elsewhere == UNIQUE_ELSEWHERE
