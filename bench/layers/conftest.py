"""For those who give these benchmarks to pytest themselves, with options of pytest-benchmark."""

import pytest

from bench.layers.contest import USUAL
from bench.layers.reporting import Plugin, measures


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Measure as ``python -m bench.layers`` does, unless it is what runs."""
    if not measures(config):
        config.pluginmanager.register(Plugin(USUAL))
