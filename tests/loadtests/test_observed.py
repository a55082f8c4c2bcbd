"""What the services and the system say of themselves."""

import os

import pytest

from loadtests import facts
from loadtests.cautions import cautions
from loadtests.cpu import cpu_by_name, executable_of
from loadtests.observation import GENERATOR, Observation
from loadtests.plan import Targets
from loadtests.results import Process, Schedule
from loadtests.server_metrics import Figures, parsed
from loadtests.shops import Shop

_NOBODY = 2**22 + 1  # beyond the highest process id of Linux

TEXT = """\
# HELP grpc_server_handling_seconds How long calls took.
# TYPE grpc_server_handling_seconds histogram
grpc_server_handling_seconds_bucket{grpc_service="shop.a.v1.A",grpc_method="Get",le="0.1"} 3
grpc_server_handling_seconds_sum{grpc_service="shop.a.v1.A",grpc_method="Get",worker="0"} 0.5
grpc_server_handling_seconds_sum{grpc_service="shop.a.v1.A",grpc_method="Get",worker="1"} 0.25
grpc_server_handling_seconds_count{grpc_service="shop.a.v1.A",grpc_method="Get",worker="0"} 100
grpc_server_handling_seconds_count{grpc_service="shop.a.v1.A",grpc_method="Get",worker="1"} 50
grpc_server_handling_seconds_count{grpc_service="grpc.health.v1.Health",grpc_method="Check"} 9
process_cpu_seconds_total{worker="0"} 1.5
process_cpu_seconds_total{worker="1"} 2.5e0
"""


def test_workers_are_added_up_and_health_checks_left_out() -> None:
    figures = parsed(TEXT)
    assert figures.requests == 150
    assert figures.cpu_s == 4.0
    assert figures.mean_ms("Get") == pytest.approx(5.0)
    assert figures.mean_ms("Put") is None


def test_what_was_there_before_does_not_count() -> None:
    now = parsed(TEXT)
    since = now.since(Figures({"Get": 0.65}, {"Get": 140}, 3.0))
    assert since.requests == 10
    assert since.cpu_s == pytest.approx(1.0)
    assert since.mean_ms("Get") == pytest.approx(10.0)


def test_cpu_is_told_per_request_of_each_process() -> None:
    seen = Observation(
        {"inventory": Figures({"Get": 0.1}, {"Get": 500}, 0.0)}, {"inventory": 1.0, "redis": 0.5}
    )
    assert seen.server_ms("Get") == pytest.approx(0.2)
    assert seen.processes(calls=1_000, generator_cpu_s=2.0) == [
        Process("inventory", 1.0, 500, 2_000.0),
        Process("redis", 0.5, 1_000, 500.0),
        Process(GENERATOR, 2.0, 1_000, 2_000.0),
    ]


def test_stores_are_found_among_the_descendants_of_a_process(
    mongo_uri: str, redis_url: str
) -> None:
    found = cpu_by_name(os.getpid())
    assert found["mongodb"] > 0
    assert found["redis"] >= 0
    program = executable_of(os.getpid(), "mongodb")
    assert program is not None
    assert program.endswith("/mongod")


def test_processes_of_others_are_not_counted(mongo_uri: str) -> None:
    assert cpu_by_name(_NOBODY) == {}
    assert executable_of(_NOBODY, "mongodb") is None


def test_a_busy_generator_and_a_missed_schedule_are_told() -> None:
    def said(cpu_s: float, kept: Schedule | None, cores: int = 1) -> list[str]:
        return list(cautions(kept, [Process(GENERATOR, cpu_s, 100, 0.0)], 10.0, cores))

    assert said(6.9, None) == []
    assert "0.80 of 1 cores" in said(8.0, None)[0]
    assert said(27.0, None, cores=4) == []
    assert "2.90 of 4 cores" in said(29.0, None, cores=4)[0]
    assert said(1.0, Schedule(1_000, 10, 0, 0, 11.0)) == []
    assert "20 of 1,000" in said(1.0, Schedule(1_000, 20, 5, 0, 30.0))[0]
    assert "and 40 never" in said(1.0, Schedule(1_000, 0, 0, 40, 0.0))[0]


def test_settings_are_told_without_ports_paths_and_secrets() -> None:
    told = {"SHOP_TRANSPORT": "grpcio", "SHOP_KEYS_REFRESH_S": "5", "SHOP_REDIS_TIMEOUT_MS": "200"}
    kept = {
        *("SHOP_ORDER_PORT", "SHOP_USER_METRICS_PORT", "SHOP_MONGO_URI", "SHOP_REDIS_URL"),
        *("SHOP_ADMIN_PASSWORD", "SHOP_TLS_KEY", "SHOP_TRUSTED_KEYS_FILE", "SHOP_DATA_DIR"),
    }
    shop = Shop(Targets(), {}, {**told, **dict.fromkeys(kept, "x"), "HOME": "/"})
    assert facts.settings(shop) == told
