"""What a caller may ask of the caches, and what the caches tell the caller."""

from collections.abc import Collection
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from services.common.auth.principal import ANONYMOUS, Principal
from services.common.auth.tokens import TokenVerifier
from services.common.call import Call, own_call
from services.common.errors import Unauthenticated
from services.common.freshness import Freshness, Source
from services.common.rpc.bearer import proven_caller
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.methods import Context, Method

CACHE_CONTROL_KEY: Final = "cache-control"
X_CACHE_KEY: Final = "x-cache"

_STRICTEST_FIRST: Final = (Freshness.STORE, Freshness.SHARED)
_AGEING: Final = frozenset({Source.NEAR, Source.REDIS})


class CacheControlPolicy(StrEnum):
    """Whose ``cache-control`` is heeded: that of administrators and services, any, or none."""

    ADMIN = "admin"
    ANY = "any"
    OFF = "off"


_MAX_CHARS: Final = 256


class CacheControlInterceptor(MethodInterceptor):
    """Lets trusted callers say how fresh an answer must be, and tells all where theirs is from.

    In the request's metadata, ``cache-control: no-near`` keeps the process's own memory out of
    the answer, and ``no-cache`` every cache. Directives are separated by commas, in any case; the
    strictest wins, and unknown ones are ignored (RFC 9111, 5.2), as are all of a caller who is
    not trusted. In the trailing metadata, of refusals too, ``x-cache`` names what answered, with
    its age if it was a cache: ``near; age_ms=12``, ``redis; age_ms=250``, ``mongo``, ``bypass``.

    It concerns the methods named ``cached``, and belongs inside the authorization, which proves
    the caller. The caller of a public method is proven here, and only when they ask for something.
    """

    def __init__(
        self, policy: CacheControlPolicy, verifier: TokenVerifier, cached: Collection[str]
    ) -> None:
        self._policy = policy
        self._verifier = verifier
        self._cached = cached

    def bind(self, method: Method, method_name: str) -> Method:
        """Return the method, as fresh as its caller wants, telling where its answer is from."""
        if method_name.rpartition("/")[2] not in self._cached:
            return method
        heeded = self._policy is not CacheControlPolicy.OFF

        async def call(request: Any, context: Context) -> Any:
            this = own_call(context)
            if heeded:
                said = ""
                for key, value in this.metadata:
                    if key == CACHE_CONTROL_KEY and isinstance(value, str):
                        said = f"{said},{value}" if said else value
                if said:
                    self._heed(this, said)
            try:
                return await method(request, context)
            finally:
                if this.source is not None:
                    context.set_trailing_metadata(_x_cache(this.source, this.age_ms))

        return call

    def _heed(self, call: Call, said: str) -> None:
        wanted = _strictest(said) if len(said) <= _MAX_CHARS else None
        if wanted is not None and self._trusts(call):
            call.freshness = wanted

    def _trusts(self, call: Call) -> bool:
        if self._policy is CacheControlPolicy.ANY:
            return True
        caller = self._caller(call)
        return caller.is_admin or caller.is_service

    def _caller(self, call: Call) -> Principal:
        if call.principal is ANONYMOUS:
            with suppress(Unauthenticated):
                return proven_caller(call, self._verifier)
        return call.principal


@lru_cache(maxsize=256)  # callers say the same again and again
def _strictest(said: str) -> Freshness | None:
    """Return the strictest freshness that is asked for."""
    directives = {directive.strip().lower() for directive in said.split(",")}
    return next((wanted for wanted in _STRICTEST_FIRST if wanted.value in directives), None)


@lru_cache(maxsize=1024)  # ages are small numbers, the same ones again and again
def _x_cache(source: Source, age_ms: int) -> tuple[tuple[str, str]]:
    """Return the trailing metadata that says what answered and how old it was."""
    age = f"; age_ms={age_ms}" if source in _AGEING else ""
    return ((X_CACHE_KEY, f"{source.name.lower()}{age}"),)
