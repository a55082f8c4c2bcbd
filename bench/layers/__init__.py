"""What each layer costs, in the format of pytest-benchmark: ``python -m bench.layers``."""
