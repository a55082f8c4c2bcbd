"""An interceptor that every call goes through takes longer: by how much, the environment says."""

import os
from typing import Any

from bench.gate.mutants import CHAIN_US
from bench.gate.mutants.burn import burn, turns_in
from services.common.rpc.interceptors.metrics import MetricsInterceptor
from services.common.rpc.methods import Context, Method


def mutate() -> None:
    """Let each call be counted in more time."""
    turns = turns_in(float(os.environ[CHAIN_US]))
    kind: Any = MetricsInterceptor
    bind = kind.bind

    def slower(interceptor: MetricsInterceptor, method: Method, method_name: str) -> Method:
        bound: Method = bind(interceptor, method, method_name)

        async def call(request: Any, context: Context) -> Any:
            burn(turns)
            return await bound(request, context)

        return call

    kind.bind = slower
