import base64
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization

from services.common.auth import tokens
from services.common.auth.keys import SigningKey
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import ServiceIdentity, TokenSigner, TokenVerifier
from services.common.errors import Unauthenticated
from tests.unit.common.fakes import NOON, FakeClock, new_signing_key, trusting

USER_KEY = new_signing_key()
ORDER_KEY = new_signing_key()
KEYS = trusting(user=USER_KEY, order=ORDER_KEY)
ANNA = Principal("5" * 24, Role.CUSTOMER)
PEER = "shop.inventory.v1.InventoryService"
CLAIMS = {
    "iss": "user",
    "aud": "shop",
    "sub": ANNA.subject,
    "role": "customer",
    "iat": int(NOON),
    "exp": int(NOON) + 900,
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def verifier(clock: FakeClock) -> TokenVerifier:
    return TokenVerifier(KEYS, clock, service=PEER)


def signed(
    key: SigningKey = USER_KEY, headers: dict[str, Any] | None = None, **changed: Any
) -> str:
    """A token that is good but for what is changed; a claim of None is left out."""
    claims = {name: value for name, value in (CLAIMS | changed).items() if value is not None}
    return jwt.encode(
        claims,
        key.private,
        algorithm="EdDSA",
        headers={"kid": key.key_id, "typ": "at+jwt"} | (headers or {}),
    )


def unsigned(header: object, payload: object = CLAIMS, signature: bytes = b"") -> str:
    parts = (orjson.dumps(header), orjson.dumps(payload), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.ADMIN])
def test_a_signed_token_proves_its_principal(
    clock: FakeClock, verifier: TokenVerifier, role: Role
) -> None:
    principal = Principal(ANNA.subject, role)
    token, expire = TokenSigner(USER_KEY, "user", clock).sign(principal, 900)
    assert expire == NOON + 900
    assert verifier.verify(token) == principal
    assert verifier.verify(token) == principal


def test_the_tokens_changed_below_are_good_before_the_change(verifier: TokenVerifier) -> None:
    assert verifier.verify(signed()) == ANNA


def test_a_token_that_ended_is_refused(verifier: TokenVerifier) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(signed(exp=int(NOON)))


def test_a_remembered_token_is_refused_once_it_ends(
    clock: FakeClock, verifier: TokenVerifier
) -> None:
    token = signed()
    assert verifier.verify(token) == ANNA
    clock.now = NOON + 899
    assert verifier.verify(token) == ANNA
    clock.now = NOON + 900
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="expired"):
            verifier.verify(token)


def test_only_the_first_use_of_a_token_pays_for_the_signature(
    clock: FakeClock, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signed()
    verifier.verify(token)
    monkeypatch.setattr(jwt, "decode", None)
    assert verifier.verify(token) == ANNA


def test_a_bounded_number_of_tokens_is_remembered_and_the_oldest_goes_first(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_MAX_REMEMBERED", 3)
    known = [signed(jti=str(n)) for n in range(5)]
    for token in known:
        assert verifier.verify(token) == ANNA
    assert list(verifier._remembered) == known[2:]


def test_refused_tokens_are_not_remembered(verifier: TokenVerifier) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(aud="elsewhere"))
    assert not verifier._remembered


def test_a_token_of_a_key_that_is_trusted_later_is_good_from_then_on(
    verifier: TokenVerifier,
) -> None:
    new = new_signing_key()
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(new))
    verifier.trust(trusting(user=new))
    assert verifier.verify(signed(new)) == ANNA
    assert verifier.trusted == trusting(user=new)


def test_a_remembered_token_is_refused_once_its_key_is_not_trusted_any_more(
    verifier: TokenVerifier,
) -> None:
    identity = ServiceIdentity("order", ORDER_KEY, verifier._clock)
    token, of_the_service = signed(), identity.token(PEER)
    assert verifier.verify(token) == ANNA
    assert verifier.verify(of_the_service).is_service
    verifier.trust(trusting(order=ORDER_KEY))
    with pytest.raises(Unauthenticated, match="not valid"):
        verifier.verify(token)
    assert verifier.verify(of_the_service).is_service


def test_a_remembered_token_is_refused_once_its_key_is_anothers(verifier: TokenVerifier) -> None:
    token = signed()
    assert verifier.verify(token) == ANNA
    verifier.trust(trusting(order=USER_KEY))
    with pytest.raises(Unauthenticated, match="not valid"):
        verifier.verify(token)


def test_a_remembered_token_stays_known_while_keys_are_added_and_other_keys_go(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signed()
    verifier.verify(token)
    verifier.trust(KEYS | {"new": next(iter(trusting(user=new_signing_key()).values()))})
    verifier.trust(trusting(user=USER_KEY))
    monkeypatch.setattr(jwt, "decode", None)
    assert verifier.verify(token) == ANNA


def test_a_signer_signs_with_the_key_that_it_was_given_last(
    clock: FakeClock, verifier: TokenVerifier
) -> None:
    new = new_signing_key()
    verifier.trust(trusting(user=new))
    signer = TokenSigner(USER_KEY, "user", clock)
    signer.use(new)
    assert signer.key_id == new.key_id
    assert verifier.verify(signer.sign(ANNA, 900)[0]) == ANNA


def test_a_service_with_a_new_key_sends_no_token_of_the_old_one(
    clock: FakeClock, verifier: TokenVerifier
) -> None:
    identity = ServiceIdentity("order", ORDER_KEY, clock)
    identity.token(PEER)
    new = new_signing_key()
    identity.use(new)
    verifier.trust(trusting(order=new))
    assert (identity.issuer, identity.key_id) == ("order", new.key_id)
    assert verifier.verify(identity.token(PEER)).is_service


def test_a_service_given_the_key_it_has_keeps_its_token(clock: FakeClock) -> None:
    identity = ServiceIdentity("order", ORDER_KEY, clock)
    token = identity.token(PEER)
    clock.now += 1
    identity.use(ORDER_KEY)
    assert identity.token(PEER) == token


def raw_public(key: SigningKey) -> bytes:
    return key.private.public_key().public_bytes_raw()


def pem_public(key: SigningKey) -> bytes:
    return key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def hs256(secret: bytes) -> str:
    """A token signed symmetrically with what everybody may know."""
    header = {"alg": "HS256", "kid": USER_KEY.key_id, "typ": "at+jwt"}
    body = unsigned(header).rpartition(".")[0]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        body.encode(), secret
    )
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


KID = {"kid": USER_KEY.key_id, "typ": "at+jwt"}
FORGERIES = {
    "for another audience": signed(aud="elsewhere"),
    "for many audiences, not this one": signed(aud=["elsewhere", "nowhere"]),
    "of another issuer than its key's": signed(iss="order"),
    "of an issuer nobody knows": signed(iss="stranger"),
    "of an unknown key": signed(key=new_signing_key()),
    "of one trusted key under another's id": signed(ORDER_KEY, headers=KID),
    "signed by another key under a trusted id": signed(new_signing_key(), headers=KID),
    "without a key id": unsigned({"alg": "EdDSA", "typ": "at+jwt"}),
    "with a key id that is no text": unsigned({"alg": "EdDSA", "typ": "at+jwt", "kid": [1]}),
    "of another type": signed(headers={"typ": "JWT"}),
    "without a type": signed(headers={"typ": None}),
    "not signed at all": unsigned({"alg": "none"} | KID),
    "not signed, in capitals": unsigned({"alg": "NONE"} | KID),
    "signed with the public key as a secret": hs256(raw_public(USER_KEY)),
    "signed with the public key's PEM as a secret": hs256(pem_public(USER_KEY)),
    "with a wrong signature": unsigned({"alg": "EdDSA"} | KID, signature=b"\x00" * 64),
    "with its payload changed": ".".join(
        [*signed().split(".")[:1], signed(role="admin").split(".")[1], signed().split(".")[2]]
    ),
    "over-long": signed(padding="x" * 4096),
    "without an end": signed(exp=None),
    "without a beginning": signed(iat=None),
    "without a subject": signed(sub=None),
    "without an audience": signed(aud=None),
    "without an issuer": signed(iss=None),
    "without a role": signed(role=None),
    "of an unknown role": signed(role="owner"),
    "of a user who claims to be a service": signed(role="service"),
    "of a user who claims to be nobody": signed(role="anonymous"),
    "with an end that is no number": unsigned({"alg": "EdDSA"} | KID, {"exp": "soon"}),
    "empty": "",
    "without parts": "token",
    "with empty parts": "..",
    "of other characters": "é.\ud800.☃",
    "deeply nested": base64.urlsafe_b64encode(b"[" * 2990).decode().rstrip("=") + ".e30.AA",
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES.keys())
def test_no_other_token_proves_anything(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(Unauthenticated, match="not valid"):
        verifier.verify(token)


def test_a_service_signs_itself_and_nobody_else(clock: FakeClock, verifier: TokenVerifier) -> None:
    token = ServiceIdentity("order", ORDER_KEY, clock).token(PEER)
    assert verifier.verify(token) == Principal("order", Role.SERVICE)


def test_a_services_token_is_for_the_service_that_it_is_sent_to(clock: FakeClock) -> None:
    identity = ServiceIdentity("order", ORDER_KEY, clock)
    peers = [PEER, "shop.user.v1.UserService", "shop.order.v1.OrderService"]
    tokens = {peer: identity.token(peer) for peer in peers}
    assert tokens == {peer: identity.token(peer) for peer in peers}
    of_the_whole_shop = signed(ORDER_KEY, iss="order")
    for peer in peers:
        verifier = TokenVerifier(KEYS, clock, service=peer)
        assert verifier.verify(tokens.pop(peer)).is_service
        for token in (*tokens.values(), of_the_whole_shop, signed(ORDER_KEY, iss="order", aud="")):
            with pytest.raises(Unauthenticated, match="not valid"):
                verifier.verify(token)
        tokens[peer] = identity.token(peer)
        assert verifier.verify(signed()) == ANNA
        with pytest.raises(Unauthenticated, match="not valid"):
            verifier.verify(signed(aud=peer))
    nameless = TokenVerifier(KEYS, clock)
    for token in (*tokens.values(), signed(ORDER_KEY, iss="order", aud="")):
        with pytest.raises(Unauthenticated, match="not valid"):
            nameless.verify(token)


@pytest.mark.parametrize("role", ["admin", "customer", "service", None])
def test_a_service_can_never_pass_for_a_user(verifier: TokenVerifier, role: str | None) -> None:
    token = signed(ORDER_KEY, iss="order", aud=PEER, sub=ANNA.subject, role=role)
    assert verifier.verify(token) == Principal("order", Role.SERVICE)


def test_a_service_renews_its_token_a_minute_before_the_end(
    clock: FakeClock, verifier: TokenVerifier
) -> None:
    identity = ServiceIdentity("order", ORDER_KEY, clock)
    first = identity.token(PEER)
    clock.now = NOON + ServiceIdentity.LIFETIME_S - 61
    assert identity.token(PEER) == first
    clock.now = NOON + ServiceIdentity.LIFETIME_S - 60
    assert identity.token(PEER) != first
    assert verifier.verify(identity.token(PEER)).is_service
