"""The tables of the measurements, from figures that are given."""

import os
from pathlib import Path

from bench import grpcio_releases, rpc
from bench.cpu import cpu_seconds


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_calls_are_compared_with_the_empty_one_of_their_transport_round_by_round() -> None:
    compared = [
        rpc.Variant("empty", "native", "none", [50.0, 100.0, 60.0], [1_000, 3_000, 2_000]),
        rpc.Variant("empty", "native", "full", [60.0, 120.0, 90.0], [900, 2_900, 1_900]),
        rpc.Variant("empty", "grpcio", "none", [300.0, 300.0, 300.0], [500, 500, 500]),
        rpc.Variant("product", "grpcio", "none", [600.0, 900.0, 600.0], [250, 250, 250]),
        rpc.Variant("empty", "native", "DeadlineInterceptor", [55.0] * 3, [1_000] * 3),
    ]
    head, line, *body = rows(rpc.table(compared))
    assert head[0] == "transport, handler, layers"
    assert len(line) == len(head)
    assert body == [
        ["native  empty    bare", "60.0 us", "1.00", "2,000"],
        ["native  empty    whole chain", "90.0 us", "1.20", "1,900"],
        ["grpcio  empty    bare", "300.0 us", "1.00", "500"],
        ["grpcio  product  bare", "600.0 us", "2.00", "250"],
        ["native  empty    + DeadlineInterceptor", "55.0 us", "0.92", "1,000"],
    ]


def test_every_interceptor_of_the_chain_is_measured_alone() -> None:
    interceptors = Path(rpc.__file__).parents[1] / "services/common/rpc/interceptors"
    kinds = {path.stem for path in interceptors.glob("*.py")} - {"__init__", "base"}
    assert len(rpc.INTERCEPTORS) == len(kinds)
    layers = {variant.layers for variant in rpc.variants()}
    assert layers == {"none", "full", *rpc.INTERCEPTORS}


def test_grpcio_releases_are_compared_with_the_first() -> None:
    first = grpcio_releases.Variant("1.76.0", "", [200.0, 100.0], [120.0, 120.0])
    newer = grpcio_releases.Variant("1.85.1", "-event_engine", [300.0, 150.0], [180.0, 180.0])
    _, _, *body = rows(grpcio_releases.table([first, newer]))
    assert body == [
        ["1.76.0", "150 us", "1.00", "120 us", "1.00"],
        ["1.85.1 -event_engine", "225 us", "1.50", "180 us", "1.50"],
    ]


def test_releases_with_the_event_engine_are_measured_without_it_too() -> None:
    names = [variant.name for variant in grpcio_releases.variants()]
    assert len(names) == len(set(names))
    for release in grpcio_releases.RELEASES:
        both = [name for name in names if name.startswith(release)]
        assert len(both) == (1 if release < "1.80" else 2)


def test_the_cpu_time_of_a_process_is_read_in_seconds() -> None:
    before, used = cpu_seconds(os.getpid()), sum(os.times()[:2])
    assert abs(before - used) < 0.5
    sum(n * n for n in range(2_000_000))
    assert 0.01 < cpu_seconds(os.getpid()) - before < 30
