"""The figures of several worker processes on one page."""

import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_TIMEOUT_S: Final = 1.0


class WorkerMetrics(Collector):
    """What every worker says about itself, told apart by the label ``worker``.

    A worker that does not answer within a second, or ends before it has said all, is left out.
    """

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._sockets = sockets

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        families: dict[str, Metric] = {}
        for worker, path in self._sockets.items():
            for family in text_string_to_metric_families(_read(path)):
                merged = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                merged.samples.extend(_labelled(sample, worker) for sample in family.samples)
        return families.values()


def _labelled(sample: Sample, worker: str) -> Sample:
    return sample._replace(labels={**sample.labels, "worker": worker})


def _read(path: Path) -> str:
    chunks: list[bytes] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
            while chunk := connection.recv(65_536):
                chunks.append(chunk)
    except OSError:
        return ""
    page = b"".join(chunks)
    return page.decode() if page.endswith(b"\n") else ""
