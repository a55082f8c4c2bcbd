"""What a caller may ask of the caches, and what a call is told of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import ServiceIdentity, TokenSigner, TokenVerifier
from services.common.call import Call, current_call, enter_call
from services.common.errors import NotFound
from services.common.freshness import Freshness, Source
from services.common.rpc.interceptors.cache_control import (
    CacheControlInterceptor,
    CacheControlPolicy,
)
from services.common.rpc.methods import Context
from tests.unit.common.fakes import FakeClock, FakeContext, new_signing_key, trusting

CLOCK = FakeClock()
USER_KEY, ORDER_KEY = new_signing_key(), new_signing_key()
VERIFIER = TokenVerifier(trusting(user=USER_KEY, order=ORDER_KEY), CLOCK, service="shop.Test")
ANNA = Principal("a" * 24, Role.CUSTOMER)
ROOT, ORDER = Principal("c" * 24, Role.ADMIN), Principal("order", Role.SERVICE)
ADMIN, ANY, OFF = CacheControlPolicy.ADMIN, CacheControlPolicy.ANY, CacheControlPolicy.OFF
NEAR, SHARED, STORE = Freshness.NEAR, Freshness.SHARED, Freshness.STORE

Metadata = Sequence[tuple[str, str | bytes]]

NO_CACHE: Metadata = [("cache-control", "no-cache")]


def bearer(principal: Principal, lifetime_s: int = 60) -> Metadata:
    if principal.is_service:
        token = ServiceIdentity(principal.subject, ORDER_KEY, CLOCK).token("shop.Test")
    else:
        token, _ = TokenSigner(USER_KEY, "user", CLOCK).sign(principal, lifetime_s)
    return [("authorization", f"Bearer {token}")]


async def freshness_seen(
    policy: CacheControlPolicy,
    metadata: Metadata,
    proven: Principal | None = None,
    method: str = "Get",
) -> Freshness:
    """How fresh the method must answer; ``proven`` is the caller that the authorization knows."""

    async def read(request: Any, context: Context) -> Freshness:
        return current_call().freshness

    async def in_call() -> Freshness:
        call = Call("r")
        enter_call(call)
        if proven is not None:
            call.principal = proven
        served = CacheControlInterceptor(policy, VERIFIER, ["Get"]).bind(read, f"/Test/{method}")
        freshness: Freshness = await served("request", FakeContext(metadata).context)
        return freshness

    return await asyncio.create_task(in_call())


@pytest.mark.parametrize(
    ("directives", "freshness"),
    [
        ([], NEAR),
        (["no-cache"], STORE),
        (["no-near"], SHARED),
        (["NO-Cache"], STORE),
        (["  no-near\t"], SHARED),
        (["max-age=0,no-near,,only-if-cached"], SHARED),
        (["no-near, no-cache"], STORE),
        (["no-cache, no-near"], STORE),
        (["no-near", "no-cache"], STORE),
        (["max-age=0"], NEAR),
        (["no-cache," + "x" * 256], NEAR),  # longer than any that is meant
        (["no-cache-at-all"], NEAR),
        (["no-cache=near"], NEAR),
        ([""], NEAR),
        ([b"no-cache"], NEAR),
    ],
)
async def test_an_answer_must_be_as_fresh_as_the_strictest_known_directive_says(
    directives: Sequence[str | bytes], freshness: Freshness
) -> None:
    metadata = [("cache-control", directive) for directive in directives]
    assert await freshness_seen(ANY, [("x-other", "no-cache"), *metadata]) is freshness


@pytest.mark.parametrize(
    ("policy", "caller", "freshness"),
    [
        (ADMIN, ROOT, STORE),
        (ADMIN, ORDER, STORE),
        (ADMIN, ANNA, NEAR),
        (ANY, ROOT, STORE),
        (ANY, ANNA, STORE),
        (OFF, ROOT, NEAR),
        (OFF, ORDER, NEAR),
    ],
)
async def test_a_caller_is_heeded_as_far_as_the_policy_trusts_them(
    policy: CacheControlPolicy, caller: Principal, freshness: Freshness
) -> None:
    assert await freshness_seen(policy, NO_CACHE, proven=caller) is freshness
    assert await freshness_seen(policy, [*NO_CACHE, *bearer(caller)]) is freshness


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "Bearer forged")],
        [("authorization", "Basic YTpi")],
        bearer(ROOT, lifetime_s=0),
    ],
    ids=["none", "forged", "other scheme", "expired"],
)
async def test_whoever_proves_nothing_is_served_as_if_they_had_not_asked(
    metadata: Metadata,
) -> None:
    assert await freshness_seen(ADMIN, [*NO_CACHE, *metadata]) is NEAR


async def test_a_token_does_not_make_more_of_a_caller_who_is_proven_already() -> None:
    assert await freshness_seen(ADMIN, [*NO_CACHE, *bearer(ROOT)], proven=ANNA) is NEAR


async def test_a_token_is_looked_at_only_when_something_is_asked_for() -> None:
    class Watched(TokenVerifier):
        def verify(self, token: str) -> Principal:
            raise AssertionError("nobody asked")

    async def answer(request: Any, context: Context) -> Any:
        return request

    served = CacheControlInterceptor(ADMIN, Watched({}), ["Get"]).bind(answer, "/Test/Get")
    for directive in ("max-age=0", ""):
        metadata = [*bearer(ROOT), ("cache-control", directive)]
        assert await asyncio.create_task(_served(served, FakeContext(metadata))) == "request"


async def _served(method: Any, context: FakeContext) -> Any:
    return await method("request", context.context)


async def test_a_method_that_reads_through_no_cache_is_left_as_it_is() -> None:
    assert await freshness_seen(ANY, NO_CACHE, method="Put") is NEAR


def answering(
    *answered: tuple[Source, int], failure: Exception | None = None
) -> tuple[FakeContext, Any]:
    """A call to a method whose reads are answered from these, with its context."""

    async def read(request: Any, context: Context) -> Any:
        for source, age_ms in answered:
            current_call().answered_from(source, age_ms)
        if failure is not None:
            raise failure
        return request

    context = FakeContext()
    method = CacheControlInterceptor(ADMIN, VERIFIER, ["Get"]).bind(read, "/Test/Get")
    return context, asyncio.create_task(_served(method, context))


@pytest.mark.parametrize(
    ("answered", "told"),
    [
        ([(Source.NEAR, 12)], "near; age_ms=12"),
        ([(Source.NEAR, 0)], "near; age_ms=0"),
        ([(Source.REDIS, 250)], "redis; age_ms=250"),
        ([(Source.MONGO, 0)], "mongo"),
        ([(Source.BYPASS, 0)], "bypass"),
        ([(Source.NEAR, 40), (Source.REDIS, 7)], "redis; age_ms=40"),
        ([(Source.NEAR, 40), (Source.MONGO, 0)], "mongo"),
    ],
)
async def test_what_answered_is_told(answered: list[tuple[Source, int]], told: str) -> None:
    context, served = answering(*answered)
    assert await served == "request"
    assert context.trailing == (("x-cache", told),)


async def test_what_answered_is_told_of_a_refusal_too() -> None:
    context, served = answering((Source.NEAR, 5), failure=NotFound("remembered"))
    with pytest.raises(NotFound):
        await served
    assert context.trailing == (("x-cache", "near; age_ms=5"),)


async def test_where_no_cache_was_asked_nothing_is_told() -> None:
    context, served = answering()
    await served
    assert context.trailing == ()
