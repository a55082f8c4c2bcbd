"""Which access tokens the services believe."""

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Any, Final

import grpc
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from services.common.auth.principal import Role
from tests.e2e.support.people import Customer
from tests.e2e.support.refusals import outcome, refused
from tests.e2e.support.running_shop import RunningShop
from tests.e2e.support.tokens import TYPE, Mint, claims, signed

Forgery = Callable[[Mint, str], str]


def _unsigned(mint: Mint, user_id: str) -> str:
    header = {"alg": "none", "typ": TYPE, "kid": mint.user_key.key_id}
    return f"{_part(header)}.{_part(claims(user_id))}."


def _public_key_as_secret(mint: Mint, user_id: str) -> str:
    secret = mint.user_key.private.public_key().public_bytes_raw()
    return jwt.encode(
        claims(user_id),
        secret,
        algorithm="HS256",
        headers={"kid": mint.user_key.key_id, "typ": TYPE},
    )


def _other_algorithm(mint: Mint, user_id: str) -> str:
    return jwt.encode(
        claims(user_id),
        rsa.generate_private_key(65_537, 2_048),
        algorithm="RS256",
        headers={"kid": mint.user_key.key_id, "typ": TYPE},
    )


def _changed(mint: Mint, user_id: str) -> str:
    header, _, signature = signed(mint.user_key, claims(user_id, role="customer")).split(".")
    return f"{header}.{_part(claims(user_id))}.{signature}"


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode()


def _with(**changes: Any) -> Forgery:
    return lambda mint, user_id: signed(mint.user_key, claims(user_id, **changes))


FORGERIES: Final[dict[str, Forgery]] = {
    "unsigned": _unsigned,
    "public key as secret": _public_key_as_secret,
    "other algorithm": _other_algorithm,
    "changed after signing": _changed,
    "another audience": _with(aud="bank"),
    "no audience": _with(aud=None),
    "another issuer": _with(iss="order"),
    "no issuer": _with(iss=None),
    "no end": _with(exp=None),
    "no subject": _with(sub=None),
    "unknown role": _with(role="root"),
    "role of a service": _with(role="service"),
    "no role": _with(role=None),
    "end is text": _with(exp="never"),
    "another type": lambda m, u: signed(m.user_key, claims(u), typ="JWT"),
    "unknown key": lambda m, u: signed(m.user_key, claims(u), kid="somebody"),
    "no token at all": lambda _m, _u: "abc",
    "too long": lambda m, u: signed(m.user_key, claims(u, more="x" * 4_000)),
}


async def test_a_token_of_the_user_service_is_believed(
    shop: RunningShop, customer: Customer
) -> None:
    good = shop.bearer(signed(shop.mint.user_key, claims(customer.user_id)))

    assert (await good.profile(customer.user_id)).user_id == customer.user_id


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_token_is_not_believed(
    forgery: Forgery, shop: RunningShop, customer: Customer
) -> None:
    caller = shop.bearer(forgery(shop.mint, customer.user_id))

    refusal = await refused(caller.profile(customer.user_id))

    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
    refusal.confirm_complete("shop.user.v1")


async def test_a_token_that_was_believed_ends_at_its_time(
    shop: RunningShop, customer: Customer
) -> None:
    for lifetime_s in (1, 5, 20):  # the shortest that is not over before the call arrives
        token = shop.mint.user(customer.user_id, Role.CUSTOMER, lifetime_s)
        caller = shop.bearer(token)
        believed = await outcome(caller.profile(customer.user_id))
        if believed is grpc.StatusCode.OK:
            break

    assert believed is grpc.StatusCode.OK
    ends: int = jwt.decode(token, options={"verify_signature": False})["exp"]
    await asyncio.sleep(ends + 0.1 - time.time())
    refusal = await refused(caller.profile(customer.user_id))

    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
