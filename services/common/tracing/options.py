"""Whether calls are traced, and how many of them."""

from dataclasses import dataclass
from enum import StrEnum


class TracingMode(StrEnum):
    """Where traces go: nowhere, or to a collector as the ``OTEL_EXPORTER_OTLP_*`` variables say."""

    OFF = "off"
    OTLP = "otlp"


@dataclass(frozen=True, slots=True)
class TracingOptions:
    """Where traces go, and the share of calls traced of those whose caller did not decide it."""

    mode: TracingMode
    sample_ratio: float
