"""Streams of a server that was given the interceptors as any interceptors are."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from services.common.auth.tokens import TokenVerifier
from services.common.rpc.access import PUBLIC, SIGNED_IN, Rule
from services.common.rpc.adaptive_limit import AdaptiveLimit
from services.common.rpc.interceptors.authorization import AuthorizationInterceptor
from services.common.rpc.interceptors.base import MethodInterceptor
from services.common.rpc.interceptors.concurrency_limit import ConcurrencyLimitInterceptor
from services.common.rpc.interceptors.deadline import DeadlineInterceptor
from services.common.rpc.interceptors.drain import DrainInterceptor
from services.common.rpc.interceptors.error_mapping import ErrorMappingInterceptor
from services.common.rpc.interceptors.metrics import MetricsInterceptor
from services.common.rpc.interceptors.request_log import RequestLogInterceptor
from services.common.rpc.load_gauge import LoadGauge
from services.common.telemetry.rpc import RpcMetrics

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
TIMEOUT_S = 10.0


@asynccontextmanager
async def served(*interceptors: MethodInterceptor) -> AsyncIterator[str]:
    server = aio.server(interceptors=interceptors)
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection([HEALTH], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def reflected(target: str) -> list[str]:
    def ask() -> list[str]:
        with grpc.insecure_channel(target) as channel:
            return list(ProtoReflectionDescriptorDatabase(channel).get_services())

    return await asyncio.to_thread(ask)


async def refusal_of_reflection(access: Mapping[str, Rule]) -> grpc.StatusCode:
    errors = ErrorMappingInterceptor("shop", lambda _error: None)
    async with served(errors, AuthorizationInterceptor(access, TokenVerifier({}))) as target:
        with pytest.raises(grpc.RpcError) as refused:
            await reflected(target)
    assert isinstance(refused.value, grpc.Call)
    code: grpc.StatusCode = refused.value.code()
    return code


async def test_streams_pass_by_what_is_meant_for_unary_methods() -> None:
    metrics = RpcMetrics()
    limiter = ConcurrencyLimitInterceptor(AdaptiveLimit(1, 1, 1), LoadGauge(), 0, TIMEOUT_S)
    async with served(
        MetricsInterceptor(metrics),
        RequestLogInterceptor(),
        ErrorMappingInterceptor("shop", lambda _error: None),
        DrainInterceptor(),
        limiter,
        DeadlineInterceptor({"Watch": 0.0}),
    ) as target:
        assert await reflected(target) == [HEALTH]
        async with aio.insecure_channel(target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
            assert await watching.read()
            assert limiter.in_flight == 0
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
            watching.cancel()
    assert metrics.of(f"/{HEALTH}/Check").ok == 1
    assert metrics.of(f"/{HEALTH}/Watch").started == 0


async def test_a_stream_is_open_to_those_whom_its_row_permits() -> None:
    access = {"ServerReflectionInfo": PUBLIC}
    async with served(AuthorizationInterceptor(access, TokenVerifier({}))) as target:
        assert await reflected(target) == [HEALTH]


async def test_a_stream_is_closed_to_others_and_they_are_told_why() -> None:
    access = {"ServerReflectionInfo": SIGNED_IN}
    assert await refusal_of_reflection(access) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_without_a_row_is_closed() -> None:
    assert await refusal_of_reflection({}) is grpc.StatusCode.PERMISSION_DENIED
