"""What a request takes: time in the server, and CPU of each process."""

from collections.abc import Sequence

from loadtests.pages.calls import by_method
from loadtests.pages.markup import datum, element, text
from loadtests.pages.table import row, table
from loadtests.pages.words import milliseconds, rate, share, whole
from loadtests.results import Process, Report, Sample


def server_table(report: Report) -> str:
    """Return each method's mean as the server measured it beside the client's."""
    rows = [
        _server_row(method, samples[0][0], [sample for _, sample in samples])
        for method, samples in by_method(report.samples).items()
    ]
    head = ["method", "client's mean, ms", "server's mean, ms", "outside the server"]
    return table("Time in the server beside the client's", head, [element("tbody", "".join(rows))])


def cpu_table(report: Report) -> str:
    """Return what a request cost each process, with bars."""
    dearest = max((each.cpu_us_per_request for each in report.processes), default=0.0)
    rows = [_cpu_row(place, process, dearest) for place, process in enumerate(report.processes)]
    head = ["process", "CPU per request", "us", "CPU, s", "requests"]
    return table("CPU time of each process", head, [element("tbody", "".join(rows))], left=1)


def _server_row(method: str, place: int, samples: Sequence[Sample]) -> str:
    count = sum(sample.count for sample in samples)
    mean = sum(sample.latency_ms.mean * sample.count for sample in samples) / max(count, 1)
    served = samples[0].server_ms
    cells = [milliseconds(mean), "", ""]
    if served is not None:
        cells[1] = datum(f"samples.{place}.server_ms", served, milliseconds(served))
        cells[2] = share(max(0.0, mean - served), mean)
    return row(text(method), cells)


def _cpu_row(place: int, process: Process, dearest: float) -> str:
    width = 100 * process.cpu_us_per_request / dearest if dearest else 0
    bar = element("span", element("i", style=f"width:{width:.1f}%"), class_="bar")
    path = f"processes.{place}"
    cells = [
        bar,
        datum(
            f"{path}.cpu_us_per_request",
            process.cpu_us_per_request,
            rate(process.cpu_us_per_request),
        ),
        datum(f"{path}.cpu_s", process.cpu_s, f"{process.cpu_s:.2f}"),
        datum(f"{path}.requests", process.requests, whole(process.requests)),
    ]
    return row(text(process.name), cells, words=1)
