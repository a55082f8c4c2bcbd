import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.common.auth.principal import ANONYMOUS, Principal, Role
from services.common.auth.tokens import ServiceIdentity, TokenSigner, TokenVerifier
from services.common.call import Call, current_call, enter_call
from services.common.errors import PermissionDenied, Unauthenticated
from services.common.rpc.access import (
    ADMIN,
    ADMIN_OR_SERVICE,
    PUBLIC,
    SERVICE,
    SIGNED_IN,
    USER,
    Rule,
    acting_for,
    owned_by,
    owned_or_administered,
)
from services.common.rpc.interceptors.authorization import AuthorizationInterceptor
from services.common.rpc.methods import Context
from tests.unit.common.fakes import FakeClock, FakeContext, new_signing_key, trusting

CLOCK = FakeClock()
USER_KEY, ORDER_KEY = new_signing_key(), new_signing_key()
VERIFIER = TokenVerifier(trusting(user=USER_KEY, order=ORDER_KEY), CLOCK, service="shop.Test")
ANNA, BERT = Principal("a" * 24, Role.CUSTOMER), Principal("b" * 24, Role.CUSTOMER)
ROOT, ORDER = Principal("c" * 24, Role.ADMIN), Principal("order", Role.SERVICE)


def bearer(principal: Principal, lifetime_s: int = 60) -> list[tuple[str, str]]:
    if principal.is_service:
        token = ServiceIdentity(principal.subject, ORDER_KEY, CLOCK).token("shop.Test")
    else:
        token, _ = TokenSigner(USER_KEY, "user", CLOCK).sign(principal, lifetime_s)
    return [("authorization", f"Bearer {token}")]


async def caller_seen(request: Any, context: Context) -> Principal:
    return current_call().principal


async def served(
    rule: Rule, metadata: Sequence[tuple[str, str | bytes]] = (), method: str = "Do"
) -> Any:
    """Whom the method sees as its caller."""

    async def in_call() -> Any:
        enter_call(Call("r"))
        return await AuthorizationInterceptor({"Do": rule}, VERIFIER).intercept(
            caller_seen, ANNA.subject, FakeContext(metadata).context, f"/shop.Test/{method}"
        )

    return await asyncio.create_task(in_call())


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer forged")]])
async def test_a_public_method_is_for_anybody(metadata: list[tuple[str, str]]) -> None:
    assert await served(PUBLIC, metadata) == ANONYMOUS


async def test_a_proven_caller_is_known_to_the_method() -> None:
    assert await served(SIGNED_IN, bearer(ANNA)) == ANNA


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_may_be_in_any_case(scheme: str) -> None:
    ((key, value),) = bearer(ANNA)
    assert await served(SIGNED_IN, [(key, value.replace("Bearer", scheme))]) == ANNA


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("x-authorization", "Bearer x")],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer forged")],
        [("authorization", "Basic YTpi")],
        [("authorization", b"Bearer x")],
        [("authorization", bearer(ANNA)[0][1].removeprefix("Bearer "))],
        bearer(ANNA, lifetime_s=0),
    ],
    ids=[
        "no metadata",
        "another key",
        "empty",
        "scheme alone",
        "empty token",
        "forged",
        "other scheme",
        "bytes",
        "token alone",
        "expired",
    ],
)
async def test_who_cannot_prove_who_they_are_is_unauthenticated(
    metadata: list[tuple[str, str | bytes]],
) -> None:
    with pytest.raises(Unauthenticated):
        await served(SIGNED_IN, metadata)


RULES = [
    (SIGNED_IN, {ANNA, BERT, ROOT, ORDER}),
    (USER, {ANNA, BERT, ROOT}),
    (ADMIN, {ROOT}),
    (SERVICE, {ORDER}),
    (ADMIN_OR_SERVICE, {ROOT, ORDER}),
    (acting_for(str), {ANNA, ROOT, ORDER}),
    (owned_or_administered(str), {ANNA, ROOT}),
    (owned_by(str), {ANNA}),
]


@pytest.mark.parametrize(("rule", "welcome"), RULES, ids=[rule.name for rule, _ in RULES])
@pytest.mark.parametrize(
    "principal", [ANNA, BERT, ROOT, ORDER], ids=["owner", "stranger", "admin", "service"]
)
async def test_a_rule_lets_in_those_it_names_and_denies_all_others(
    rule: Rule, welcome: set[Principal], principal: Principal
) -> None:
    if principal in welcome:
        assert await served(rule, bearer(principal)) == principal
    else:
        with pytest.raises(PermissionDenied):
            await served(rule, bearer(principal))


async def test_a_service_named_like_a_user_is_not_that_user() -> None:
    namesake = Principal(ANNA.subject, Role.SERVICE)
    assert not namesake.owns(ANNA.subject)


@pytest.mark.parametrize("principal", [ANNA, ROOT, ORDER])
async def test_a_method_that_is_not_declared_is_refused_to_everybody(principal: Principal) -> None:
    with pytest.raises(PermissionDenied):
        await served(PUBLIC, bearer(principal), method="Undeclared")
