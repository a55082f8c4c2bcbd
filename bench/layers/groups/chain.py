"""The interceptors, the whole chain and each alone, without a transport.

What surrounds them is a context that only holds metadata, and a handler that answers at once, so
that the differences are theirs. What the chain costs on a server is measured by the transports.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.empty_server import INVENTORY
from bench.layers.contest import Group
from bench.layers.members import Local, Member, Work, confirm
from bench.layers.setting import Setting
from services.common.auth.keys import SigningKey, TrustedKey, key_id
from services.common.auth.tokens import ServiceIdentity, TokenVerifier
from services.common.rpc.chain import Chain, ChainOptions, LimitKind
from services.common.rpc.compose import compose
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Method
from services.common.rpc.service import Service
from services.inventory.access import ACCESS
from services.inventory.bootstrap import CACHED, MAX_S

_WHOLE: Final = "whole chain, public method"
_WHOLE_SIGNED: Final = "whole chain, with a token"
_NONE: Final = "nothing round the handler"
_SIGNED_METHOD: Final = "CommitReservation"
_PUBLIC_METHOD: Final = "GetProduct"
_ANSWER: Final = object()
_REQUEST: Final = object()


class _Handler:
    """Counts the calls that reach it, and answers."""

    def __init__(self) -> None:
        self.reached = 0

    async def answer(self, _request: Any, _context: Any) -> object:
        self.reached += 1
        return _ANSWER

    def __getattr__(self, _method: str) -> Any:
        return self.answer


@dataclass(frozen=True, slots=True)
class _Context:
    """A call with this metadata and no deadline."""

    metadata: tuple[tuple[str, str], ...]

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    def time_remaining(self) -> None:
        return None


class _Bench:
    """The chain of the Inventory service, and the calls that go through parts of it."""

    def __init__(self) -> None:
        private = Ed25519PrivateKey.generate()
        key = SigningKey(key_id(private.public_key()), private)
        verifier = TokenVerifier(
            {key.key_id: TrustedKey("order", private.public_key())}, service=INVENTORY.full_name
        )
        self._handler = _Handler()
        service = Service(INVENTORY, self._handler, ACCESS, MAX_S, cached=CACHED)
        options = ChainOptions(LimitKind.ADAPTIVE, max_in_flight=512, log_every_call=False)
        chain = Chain(service, verifier, lambda _error: None, options)
        self.interceptors: Final = chain.interceptors
        token = ServiceIdentity("order", key).token(INVENTORY.full_name)
        self._context: Any = _Context(
            (("user-agent", "bench"), ("authorization", f"Bearer {token}"))
        )

    def member(self, name: str, wanted: Sequence[MethodInterceptor], method: str) -> Member:
        """Return the calls of a method through these interceptors."""
        bound: Method = getattr(compose(self._handler, INVENTORY, wanted), method)
        return Local(name, self._calls(bound))

    def _calls(self, method: Method) -> Work:
        async def work(operations: int) -> None:
            before = self._handler.reached
            for _ in range(operations):
                answer = await method(_REQUEST, self._context)
            confirm(answer is _ANSWER, "the answer is not the handler's")
            confirm(self._handler.reached == before + operations, "calls did not get through")

        return work


@asynccontextmanager
async def _opened(_setting: Setting) -> AsyncIterator[Sequence[Member]]:
    bench = _Bench()
    yield [
        bench.member(_WHOLE, bench.interceptors, _PUBLIC_METHOD),
        bench.member(_WHOLE_SIGNED, bench.interceptors, _SIGNED_METHOD),
        bench.member(_NONE, [], _PUBLIC_METHOD),
        *(
            bench.member(_named(interceptor), [interceptor], _method_for(interceptor))
            for interceptor in bench.interceptors
        ),
    ]


def _named(interceptor: MethodInterceptor) -> str:
    return type(interceptor).__name__


def _method_for(interceptor: MethodInterceptor) -> str:
    """Return a method for which it has something to do: a public one is not authorized."""
    return _SIGNED_METHOD if "Authorization" in _named(interceptor) else _PUBLIC_METHOD


GROUPS: Final = (
    Group(
        "interceptors",
        (_WHOLE, _WHOLE_SIGNED, _NONE, *map(_named, _Bench().interceptors)),
        _opened,
    ),
)
