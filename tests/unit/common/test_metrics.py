"""What is counted of calls, and how it reads when scraped."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc.aio import AbortError
from prometheus_client import CollectorRegistry

from services.common.rpc.adaptive_limit import AdaptiveLimit
from services.common.rpc.interceptors.concurrency_limit import ConcurrencyLimitInterceptor
from services.common.rpc.interceptors.metrics import MetricsInterceptor
from services.common.rpc.load_gauge import LoadGauge
from services.common.rpc.load_metrics import LoadMetrics
from services.common.rpc.methods import Context, Method
from services.common.telemetry import exposition, workers
from services.common.telemetry.exposition import exposed_at_socket, exposed_over_http
from services.common.telemetry.peers import PeerMetrics
from services.common.telemetry.rpc import BUCKETS_S, RpcMetrics
from services.common.telemetry.workers import WorkerMetrics
from services.stack.ports import claimed_ports
from tests.patience import PATIENCE_S
from tests.unit.common.fakes import FakeContext
from tests.unit.pages import Page, text_of

DO = "/shop.test.v1.Test/Do"
OF_DO = {"grpc_service": "shop.test.v1.Test", "grpc_method": "Do"}


class Counted:
    """Calls to a method, counted."""

    def __init__(self) -> None:
        self.metrics = RpcMetrics()
        self._interceptor = MetricsInterceptor(self.metrics)

    async def call(self, method: Method, context: FakeContext | None = None) -> Any:
        bound = self._interceptor.bind(method, DO)
        return await bound("request", (context or FakeContext()).context)

    @property
    def page(self) -> Page:
        return Page(text_of(self.metrics))

    @property
    def handled(self) -> dict[str, float]:
        """How many calls ended with each code, if any did."""
        by_code = self.page.by("grpc_code", "grpc_server_handled_total")
        return {code: n for code, n in by_code.items() if n}

    @property
    def in_flight(self) -> float:
        return self.page.value("grpc_server_in_flight", **OF_DO)


async def answer(request: Any, context: Context) -> Any:
    return f"answer to {request}"


async def test_a_call_that_succeeds_is_counted_as_ok() -> None:
    counted = Counted()
    assert await counted.call(answer) == "answer to request"
    assert counted.handled == {"OK": 1}
    assert counted.page.value("grpc_server_started_total", **OF_DO) == 1


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
async def test_an_aborted_call_is_counted_by_the_code_that_the_client_gets(
    code: grpc.StatusCode,
) -> None:
    async def abort(request: Any, context: Context) -> Any:
        await context.abort(code)

    counted = Counted()
    with pytest.raises(AbortError):
        await counted.call(abort)
    assert counted.handled == {code.name: 1}


@pytest.mark.parametrize(
    ("time_left_s", "code"),
    [(None, "CANCELLED"), (60.0, "CANCELLED"), (0.0, "DEADLINE_EXCEEDED")],
)
async def test_a_cancelled_call_is_counted_by_whether_its_time_was_over(
    time_left_s: float | None, code: str
) -> None:
    async def cancelled(request: Any, context: Context) -> Any:
        raise asyncio.CancelledError

    counted = Counted()
    with pytest.raises(asyncio.CancelledError):
        await counted.call(cancelled, FakeContext(time_left_s=time_left_s))
    assert counted.handled == {code: 1}


async def test_a_call_is_in_flight_until_it_ends() -> None:
    counted, door = Counted(), asyncio.Event()

    async def wait(request: Any, context: Context) -> Any:
        await door.wait()

    calls = [asyncio.create_task(counted.call(wait)) for _ in range(5)]
    await asyncio.sleep(0)
    assert counted.in_flight == 5
    calls[0].cancel()
    await asyncio.wait(calls[:1])
    assert counted.in_flight == 4
    door.set()
    await asyncio.gather(*calls[1:])
    assert counted.in_flight == 0
    assert counted.handled == {"OK": 4, "CANCELLED": 1}


async def test_a_call_is_timed_whether_it_succeeds_or_not() -> None:
    async def slow(request: Any, context: Context) -> Any:
        await asyncio.sleep(0.03)

    async def slow_failure(request: Any, context: Context) -> Any:
        await asyncio.sleep(0.03)
        await context.abort(grpc.StatusCode.ABORTED)

    counted = Counted()
    await counted.call(slow)
    await asyncio.gather(counted.call(slow_failure), return_exceptions=True)
    name, text = "grpc_server_handling_seconds", counted.page
    assert text.value(f"{name}_bucket", le="0.025", **OF_DO) == 0
    assert text.value(f"{name}_bucket", le="10", **OF_DO) == 2
    assert text.value(f"{name}_count", **OF_DO) == 2
    assert 0.05 <= text.value(f"{name}_sum", **OF_DO) < 60


# ---- how it reads


def test_a_method_reads_zero_before_its_first_call() -> None:
    metrics = RpcMetrics()
    MetricsInterceptor(metrics).bind(answer, DO)
    text = Page(text_of(metrics))
    assert text.value("grpc_server_started_total", **OF_DO) == 0
    assert text.value("grpc_server_handled_total", grpc_code="OK", **OF_DO) == 0
    assert text.value("grpc_server_in_flight", **OF_DO) == 0
    assert text.value("grpc_server_handling_seconds_count", **OF_DO) == 0


def test_each_call_is_in_its_bucket_and_all_above() -> None:
    metrics = RpcMetrics()
    series = metrics.of(DO)
    for elapsed_s in (10e-6, 25e-6, 26e-6, 0.02, 9.0, 11.0):
        series.started += 1
        series.succeeded(elapsed_s)
    text = Page(text_of(metrics))
    buckets = [s for s in text.samples if s.name == "grpc_server_handling_seconds_bucket"]
    counts = {float(s.labels["le"]): s.value for s in buckets}
    assert counts[25e-6] == 2
    assert counts[50e-6] == 3
    assert counts[0.01] == 3
    assert counts[0.025] == 4
    assert counts[5.0] == 4
    assert counts[10.0] == 5
    assert counts[float("inf")] == 6
    assert text.value("grpc_server_handling_seconds_count", **OF_DO) == 6


def test_buckets_go_from_25_microseconds_to_10_seconds() -> None:
    assert (BUCKETS_S[0], BUCKETS_S[-1]) == (25e-6, 10.0)
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))
    metrics = RpcMetrics()
    metrics.of(DO)
    bounds = [
        float(s.labels["le"])
        for s in Page(text_of(metrics)).samples
        if s.name == "grpc_server_handling_seconds_bucket"
    ]
    assert bounds == [*BUCKETS_S, float("inf")]


def test_the_load_of_a_server_reads_as_it_is() -> None:
    load = LoadGauge()
    load.notice(0.25)
    limiter = ConcurrencyLimitInterceptor(AdaptiveLimit(7, 7, 7), load, 3, 0.1)
    limiter.in_flight, limiter.refused = 4, 9
    text = Page(text_of(LoadMetrics(limiter, load)))
    assert {sample.name: sample.value for sample in text.samples} == {
        "shop_concurrency_limit": 7,
        "shop_calls_let_in": 4,
        "shop_calls_queued": 0,
        "shop_calls_shed_total": 9,
        "shop_event_loop_lag_seconds": 0.25,
    }


def test_calls_to_others_read_by_method_and_code() -> None:
    metrics = PeerMetrics()
    for code in (grpc.StatusCode.OK, grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE):
        metrics.count("shop.test.v1.Test", "Do", code, started=0.0)
    text = Page(text_of(metrics))
    assert text.value("grpc_client_handled_total", grpc_code="OK", **OF_DO) == 2
    assert text.value("grpc_client_handled_total", grpc_code="UNAVAILABLE", **OF_DO) == 1
    assert text.value("grpc_client_handling_seconds_total", **OF_DO) > 0


# ---- over HTTP


def asked(host: str, port: int) -> str:
    with urlopen(f"http://{host}:{port}/metrics", timeout=PATIENCE_S) as page:
        text: str = page.read().decode()
        return text


def threads_of_clients() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


async def test_clients_that_send_nothing_take_few_threads_and_keep_nobody_from_the_page() -> None:
    with claimed_ports(1) as (port,), ExitStack() as silent:
        async with exposed_over_http(worker(2), "127.0.0.1", port):
            for _ in range(50):
                silent.enter_context(socket.create_connection(("127.0.0.1", port)))
            text = await asyncio.to_thread(asked, "127.0.0.1", port)
            assert Page(text).value("grpc_server_started_total", **OF_DO) == 2
            assert threads_of_clients() <= exposition._CONNECTIONS


async def test_a_client_that_sends_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exposition._Handler.timeout == exposition._SILENT_S
    monkeypatch.setattr(exposition._Handler, "timeout", 0.1)
    with claimed_ports(1) as (port,):
        async with exposed_over_http(worker(2), "127.0.0.1", port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize(
    ("host", "asked_at"), [("::", "[::1]"), ("::", "127.0.0.1"), ("localhost", "localhost")]
)
async def test_the_page_is_served_at_any_kind_of_address(host: str, asked_at: str) -> None:
    with claimed_ports(1) as (port,):
        async with exposed_over_http(worker(2), host, port):
            assert "grpc_server_started_total" in await asyncio.to_thread(asked, asked_at, port)


# ---- of several workers


@pytest.fixture
def half_a_page(tmp_path: Path) -> Iterator[Path]:
    """A worker that dies in the middle of a word."""
    path = tmp_path / "half.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(60)

        def say() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b'grpc_server_started_total{grpc_service="sh')

        thread = threading.Thread(target=say)
        thread.start()
        yield path
        thread.join()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, no worker counts as silent."""
    monkeypatch.setattr(workers, "_TIMEOUT_S", PATIENCE_S)


def worker(calls: int) -> CollectorRegistry:
    registry, metrics = CollectorRegistry(), RpcMetrics()
    registry.register(metrics)
    series = metrics.of(DO)
    for _ in range(calls):
        series.started += 1
        series.succeeded(0.001)
    return registry


@pytest.mark.usefixtures("patience")
async def test_workers_are_told_apart_and_add_up(tmp_path: Path) -> None:
    sockets = {str(n): tmp_path / f"{n}.sock" for n in range(3)}
    async with (
        exposed_at_socket(worker(2), sockets["0"]),
        exposed_at_socket(worker(5), sockets["1"]),
    ):
        text = Page(await asyncio.to_thread(text_of, WorkerMetrics(sockets)))
    for name in ("grpc_server_started_total", "grpc_server_handling_seconds_count"):
        assert text.by("worker", name) == {"0": 2, "1": 5}
    assert text.value("grpc_server_handling_seconds_bucket", worker="1", le="10", **OF_DO) == 5


@pytest.mark.usefixtures("patience")
async def test_each_figure_is_explained_once(tmp_path: Path) -> None:
    sockets = {str(n): tmp_path / f"{n}.sock" for n in range(2)}
    async with (
        exposed_at_socket(worker(1), sockets["0"]),
        exposed_at_socket(worker(1), sockets["1"]),
    ):
        text = await asyncio.to_thread(text_of, WorkerMetrics(sockets))
    kinds = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert "# TYPE grpc_server_started_total counter" in kinds
    assert "# TYPE grpc_server_handling_seconds histogram" in kinds
    assert len(kinds) == len(set(kinds))


@pytest.mark.usefixtures("patience")
async def test_a_worker_that_ends_while_it_is_asked_is_left_out(
    tmp_path: Path, half_a_page: Path
) -> None:
    sockets = {"0": half_a_page, "1": tmp_path / "1.sock"}
    async with exposed_at_socket(worker(5), sockets["1"]):
        text = Page(await asyncio.to_thread(text_of, WorkerMetrics(sockets)))
    assert text.by("worker", "grpc_server_started_total") == {"1": 5}
