"""Every RPC asks its stores and peers for exactly what bench/limits.toml says."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from bench.gate.limits import Budget, read_limits
from tests.budgets.desk import Desk
from tests.budgets.scenes import SCENES, nobody
from tests.budgets.wire import Wire
from tests.e2e.support.contracts import METHODS
from tests.e2e.support.ledger import eventually
from tests.e2e.support.people import Caller
from tests.e2e.support.refusals import refused

LIMITS: Final = read_limits()
CACHED: Final = {"GetProduct", "BatchGetProducts", "GetUserProfile", "ListUserOrders"}
PUBLIC: Final = {
    *("RegisterUser", "AuthenticateUser", "RefreshTokens", "RevokeTokens"),
    *("GetProduct", "BatchGetProducts", "ListProducts"),
}
STOCK: Final = {"ReserveStock", "CommitReservation", "ReleaseReservation", "ListHeldReservations"}
CUSTOMERS: Final = {"CreateOrder", "ChangePassword"}

Record = Callable[[str, object], None]


def test_every_rpc_has_a_budget_and_every_budget_a_scene() -> None:
    assert {name.partition(".")[0] for name in LIMITS.budgets} == set(METHODS)
    assert set(SCENES) == set(LIMITS.budgets)
    for method in CACHED:
        assert {f"{method}.{case}" for case in ("near", "redis", "cold", "uncached")} <= set(SCENES)


@pytest.mark.parametrize("name", SCENES)
async def test_a_call_asks_for_no_more_and_no_less(
    desk: Desk, name: str, record_property: Record
) -> None:
    limit = LIMITS.budgets[name]
    act = await SCENES[name](desk)
    spent, said = await desk.spent(act, limit)
    note(record_property, name, limit, spent)
    assert spent == limit, said
    assert desk.heard.streams == 0, "a process watches the changes, and invalidates by itself"


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_is_refused_asks_for_nothing(
    desk: Desk, method: str, record_property: Record
) -> None:
    ways = refusals(desk, method)

    async def be_refused() -> None:
        for who, request, code in ways:
            assert (await refused(desk.call(method, request, who))).code is code

    spent, said = await desk.spent(be_refused, LIMITS.refused)
    spent = replace(spent, peers=spent.peers - (len(ways) - 1))
    note(record_property, f"{method}.refused", LIMITS.refused, spent)
    assert spent == LIMITS.refused, said


async def test_a_crowd_at_redis_shares_round_trips(desk: Desk, record_property: Record) -> None:
    product_ids = await desk.stocked(LIMITS.crowd.calls)
    await desk.until_near(lambda: desk.batch(product_ids))
    trips = await crowd(desk, desk.redis, desk.heard.redis, product_ids, "no-near")
    note_crowd(record_property, "redis", trips)
    assert 0 < trips <= LIMITS.crowd.at_most


async def test_a_crowd_at_mongodb_shares_queries(desk: Desk, record_property: Record) -> None:
    product_ids = await desk.stocked(LIMITS.crowd.calls)
    queries = await crowd(desk, desk.mongo, desk.heard.queries, product_ids, "no-cache")
    note_crowd(record_property, "queries", queries)
    assert 0 < queries <= LIMITS.crowd.at_most


async def crowd(
    desk: Desk, wire: Wire, said: Sequence[str], product_ids: Collection[str], freshness: str
) -> int:
    """How often the store is asked when all read at once and its first answers are held up."""
    await desk.quiet()
    before, begun = len(said), await desk.calls("GetProduct")

    async def have_all_come() -> bool:
        return await desk.calls("GetProduct") >= begun + len(product_ids)

    with wire.held():
        reads = [
            asyncio.create_task(desk.product(product_id, freshness)) for product_id in product_ids
        ]
        await eventually(have_all_come, 30, "not all calls have come")
    await asyncio.gather(*reads)
    await desk.quiet()
    return len(said) - before


def refusals(desk: Desk, method: str) -> Sequence[tuple[Caller, Message, grpc.StatusCode]]:
    """The ways in which a call is refused: for what it asks, and for who asks."""
    request = bad_input(desk, method)
    ways = [(welcome(desk, method), request, grpc.StatusCode.INVALID_ARGUMENT)]
    if method not in PUBLIC:
        ways.append((nobody(desk), request, grpc.StatusCode.UNAUTHENTICATED))
    return ways


def welcome(desk: Desk, method: str) -> Caller:
    """Somebody who may call the method."""
    if method in STOCK:
        return desk.shop.service
    return desk.customer if method in CUSTOMERS else desk.admin


def bad_input(desk: Desk, method: str) -> Any:
    """A request that nothing can be done with."""
    request: Any = GetMessageClass(METHODS[method].input_type)()
    fields = METHODS[method].input_type.fields_by_name
    if "page_size" in fields:
        request.page_size = -1
    if method == "ChangePassword":
        request.user_id = desk.customer.user_id
    return request


def note(record_property: Record, name: str, limit: Budget, spent: Budget) -> None:
    """Leave limit and measurement for whoever reads the results."""
    record_property("check", name)
    record_property("limit", words(limit))
    record_property("measured", words(spent))


def note_crowd(record_property: Record, store: str, measured: int) -> None:
    record_property("check", f"crowd.{store}")
    record_property("limit", f"at most {LIMITS.crowd.at_most} {store}")
    record_property("measured", f"{measured} {store}")


def words(budget: Budget) -> str:
    return f"{budget.queries} queries, {budget.redis} redis, {budget.peers} peers"
